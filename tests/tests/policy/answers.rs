//! The right answer for each event, whatever its shape.

use constellation_tests::command::wait_until;
use constellation_tests::policy_program::{
    ACCEPT, BLOCKED, NO_KEY, Policy, key, lines, request, wait_until_tidy,
};
use constellation_tests::{StationDir, station};

/// A station that blocks key 1.
fn blocking_station() -> StationDir {
    let station = station!();
    station.blacklist(&[key(1)]);
    station
}

fn answer(id: &str, rest: &str) -> String {
    format!(r#"{{"id":"{id}",{rest}}}"#)
}

#[test]
fn every_row_of_the_verdict() {
    let station = station!();
    // A key for each set of lists that it can be in, by the bits of its number.
    let members = |bit: u32| (0..16).filter(move |number| number & bit != 0).map(key);
    let (blocked, friend, swarm, member) = (1, 2, 4, 8);
    station.blacklist(&Vec::from_iter(members(blocked)));
    station.friends(&Vec::from_iter(members(friend)));
    station.peer_friends("12D3KooA", &Vec::from_iter(members(swarm)));
    station.peer_friends("12D3KooB", &[key(99)]);
    for key in members(member) {
        station.member(&format!("{key}@example.org"), key);
    }
    let mut policy = Policy::start(&station);
    for number in 0..16 {
        let rest = match number {
            1 => BLOCKED,
            _ => ACCEPT,
        };
        assert_eq!(policy.ask_key(number), rest, "lists {number:04b}");
    }
    wait_until("the pardoned keys to leave the blacklist", || {
        station.read("strfry/blacklist.txt") == lines([key(1)])
    });
    wait_until_tidy(&station);
    for number in 0..16 {
        let rest = if number == 1 { BLOCKED } else { ACCEPT };
        assert_eq!(policy.ask_key(number), rest, "afterwards, {number:04b}");
    }
    policy.close();
}

#[test]
fn a_blocked_key_is_rejected_in_every_spelling() {
    let key = key(1);
    let hex = key.to_hex();
    let mixed: String = hex
        .char_indices()
        .map(|(place, digit)| match place % 3 {
            0 => digit.to_ascii_uppercase(),
            _ => digit,
        })
        .collect();
    let spellings = [
        hex.clone(),
        hex.to_uppercase(),
        mixed.clone(),
        format!("0x{hex}"),
        format!("0X{}", hex.to_uppercase()),
        key.to_bech32(),
        key.to_bech32().to_uppercase(),
    ];
    let escaped = format!("\\u00{:02x}{}", hex.as_bytes()[0], &hex[1..]);
    for listed in &spellings {
        let station = station!();
        station.write("strfry/blacklist.txt", format!("{listed}\n"));
        let mut policy = Policy::start(&station);
        for asked in spellings.iter().chain([&escaped]) {
            let rest = policy.ask(asked);
            assert_eq!(rest, BLOCKED, "listed as {listed}, asked as {asked}");
        }
        policy.close();
    }
}

#[test]
fn a_pubkey_that_is_not_a_key_is_rejected() {
    let station = blocking_station();
    let mut policy = Policy::start(&station);
    let hex = key(1).to_hex();
    for pubkey in [
        "",
        "abc",
        &hex[1..],
        &format!("{hex}00"),
        &format!(" {hex}"),
        &format!("0x0x{hex}"),
        "npub1",
        "nsec1",
    ] {
        assert_eq!(policy.ask(pubkey), NO_KEY, "{pubkey:?}");
    }
    policy.close();
}

#[test]
fn events_of_every_shape_that_strfry_passes_on_are_answered() {
    let nested = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    let long = "x".repeat(16 * 1024 * 1024);
    let station = blocking_station();
    let mut policy = Policy::start(&station);
    for (number, rest) in [(1, BLOCKED), (2, ACCEPT)] {
        let pubkey = key(number);
        for shape in [
            format!(r#""tags":[["t","x",1,-2.5e3,null,true],["e",{{"id":"no"}}],{nested}]"#),
            format!(r#""tags":{{"a":{nested}}}"#),
            r#""kind":18446744073709551616"#.to_owned(),
            r#""kind":-1e999,"tags":"none","created_at":null"#.to_owned(),
            r#""content":["not","text"],"sig":7"#.to_owned(),
            r#""content":"\u0000\ud83d\ude00\ud800 é 漢""#.to_owned(),
            format!(r#""content":"{long}""#),
            r#""unknown":{"pubkey":"no","id":"no"}"#.to_owned(),
        ] {
            policy.write(format!(
                "{{\"authed\":\"{pubkey}\",\"event\":{{{shape},\"id\":\"i\",\"pubkey\":\"{pubkey}\"}},\
                 \"receivedAt\":1,\"sourceInfo\":\"wss://x\",\"sourceType\":\"?\",\"type\":\"new\"}}\n"
            ));
            assert_eq!(policy.answer(), answer("i", rest), "{shape:.80}");
        }
        // Neither tags nor kind, nor anything else.
        policy.write(format!(
            "{{\"type\":\"new\",\"event\":{{\"pubkey\":\"{pubkey}\",\"id\":\"\"}}}}\n"
        ));
        assert_eq!(policy.answer(), answer("", rest));
    }
    policy.close();
}

#[test]
fn every_source_is_treated_alike_and_other_request_types_are_accepted() {
    let station = blocking_station();
    let mut policy = Policy::start(&station);
    for source in ["IP4", "IP6", "Import", "Stream", "Sync", "Stored", "?"] {
        let line = request("i", &key(1).to_hex()).replace("IP4", source);
        policy.write(line + "\n");
        assert_eq!(policy.answer(), answer("i", BLOCKED), "{source}");
    }
    let line = request("i", &key(1).to_hex());
    policy.write(line.replace(r#""type":"new""#, r#""type":"lookback""#) + "\n");
    assert_eq!(policy.answer(), answer("i", ACCEPT));
    policy.write(line.replace(r#""type":"new""#, r#""type":"n\u0065w""#) + "\n");
    assert_eq!(
        policy.answer(),
        answer("i", BLOCKED),
        "new in other letters"
    );
    policy.close();
}

#[test]
fn with_shadow_a_blocked_author_is_not_told() {
    let station = blocking_station();
    let mut policy = Policy::start_with(&station, &["--shadow"]);
    assert_eq!(policy.ask_key(1), r#""action":"shadowReject""#);
    assert_eq!(policy.ask_key(2), ACCEPT);
    policy.close();
}
