//! Our reading and verifying of events against the `nostr` crate's, on events that were
//! changed at random. What differs has a name in `properties::event::Seen`; anything else
//! fails, and says with which event.

use std::collections::BTreeMap;

use constellation_shared::{Event, EventId, Pubkey};
use constellation_tests::Author;
use constellation_tests::author::Random;
use constellation_tests::properties::change::Change;
use constellation_tests::properties::event::{Seen, seen};

const TEXTS: [&str; 8] = [
    "",
    "Bonjour à tous \"les\" amis\\ 🌱",
    "\u{0}\u{1}\u{8}\t\n\u{b}\u{c}\r\u{1f}\u{7f}",
    "\u{80}\u{2028}\u{2029}\u{feff}\u{fffd}\u{10ffff}",
    "{\"name\":\"x\"}",
    "wss://relay.example.org",
    "0563f8b45f92f3cee995a5622a0142808977562269106dd37ef6ddbaf95e8fe9",
    "</script>&amp;<",
];

fn genuine(random: &mut Random) -> Event {
    let text = |random: &mut Random| TEXTS[random.below(8) as usize];
    let tags: Vec<Vec<&str>> = (0..random.below(4))
        .map(|_| (0..1 + random.below(3)).map(|_| text(random)).collect())
        .collect();
    let tags: Vec<&[&str]> = tags.iter().map(Vec::as_slice).collect();
    let kind = [0, 1, 3, 5, 7, 1059, 30023, 65535][random.below(8) as usize];
    let created_at =
        [0, 1, 1_795_341_173, 4_291_747_200, 1 << 53, u64::MAX][random.below(6) as usize];
    let content = text(random);
    Author::new(random.below(20)).sign(kind, created_at, &tags, content)
}

/// One field otherwise; sometimes with the id that belongs to it.
fn with_another_field(mut event: Event, random: &mut Random) -> Event {
    let bit = 1 << random.below(8);
    let place = random.below(32) as usize;
    let flipped = |mut bytes: [u8; 32]| {
        bytes[place] ^= bit;
        bytes
    };
    match random.below(8) {
        0 => event.id = EventId::from_bytes(flipped(*event.id.as_bytes())),
        // Half of all numbers are on the curve.
        1 => event.pubkey = Pubkey::from_bytes(flipped(*event.pubkey.as_bytes())),
        2 => event.sig[place] ^= bit,
        3 => event.sig[32 + place] ^= bit,
        4 => event.created_at ^= 1 << random.below(64),
        5 => event.kind ^= 1 << random.below(16),
        6 => event.content.push('\u{0}'),
        _ => event.tags.push(vec!["t".into()]),
    }
    if random.below(2) == 0 {
        event.id = event.hash();
    }
    event
}

/// The same event in another order and with other blanks and escapes.
fn spelled_otherwise(event: &Event, random: &mut Random) -> String {
    let value: serde_json::Value = serde_json::from_str(&event.to_json()).unwrap();
    let mut fields: Vec<String> = value
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| format!("\"{name}\" :\t{value}"))
        .collect();
    fields.rotate_left(random.below(7) as usize);
    let odd = |c: char| match c {
        '/' => "\\/".to_owned(),
        c if c.is_ascii() => c.to_string(),
        c => c
            .encode_utf16(&mut [0; 2])
            .iter()
            .map(|unit| format!("\\u{unit:04X}"))
            .collect(),
    };
    let more = ["", ",\"ots\":null", ",\"x\":[1e5,{}]"][random.below(3) as usize];
    let text = format!(" {{{}{more}}}\r\n", fields.join(" , "));
    text.chars().map(odd).collect()
}

fn compare(count: u32) -> BTreeMap<Seen, u32> {
    let mut random = Random(7);
    let mut kinds = BTreeMap::new();
    for number in 0..count {
        let event = genuine(&mut random);
        let json = match number % 8 {
            0 => spelled_otherwise(&event, &mut random).into_bytes(),
            1..4 => with_another_field(event, &mut random)
                .to_json()
                .into_bytes(),
            _ => {
                let mut json = event.to_json().into_bytes();
                for _ in 0..=random.below(3) {
                    let [first, second, ..] = random.next_u64().to_be_bytes();
                    Change::random(&mut random)
                        .apply(&mut json, u16::from_be_bytes([first, second]));
                }
                json
            }
        };
        let compared = std::panic::catch_unwind(|| seen(&json));
        let Ok(seen) = compared else {
            panic!(
                "event {number} is seen differently: {}",
                String::from_utf8_lossy(&json)
            );
        };
        *kinds.entry(seen).or_default() += 1;
    }
    kinds
}

#[test]
fn changed_events_are_what_nostr_takes_them_for() {
    let kinds = compare(3000);
    for kind in [
        Seen::Genuine,
        Seen::Forged,
        Seen::NoEvent,
        Seen::OddSpelling,
    ] {
        assert!(
            kinds.get(&kind).is_some_and(|&count| count > 5),
            "{kinds:?}"
        );
    }
}

/// `cargo test --release -p constellation-tests --test properties -- --ignored --nocapture differential::`
#[test]
#[ignore = "takes a minute in a release build"]
fn a_hundred_thousand_changed_events_are_what_nostr_takes_them_for() {
    println!("{:?}", compare(100_000));
}
