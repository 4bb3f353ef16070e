//! Peers that send what is no event, or not what it says it is.

use constellation_shared::Event;
use constellation_tests::RawRelay;
use constellation_tests::author::{forged_signature, tampered, upper_case_json};
use constellation_tests::sync_program::recent;

use crate::row::{AUTHORS, Fault, GOOD, all_hold};
use crate::rows;

#[test]
fn events_that_are_not_what_they_say_stay_out() {
    all_hold(rows![
        a_forged_signature,
        a_changed_content,
        replayed_under_another_id,
        signed_by_another_key,
        a_pubkey_not_on_the_curve,
        upper_case_ids,
        a_forged_twin_of_what_the_good_peer_has,
        dated_1970,
        dated_1970_and_asked_for,
        dated_2106,
        dated_beyond_64_bits,
        dated_before_1970,
        numbers_where_strings_belong,
        a_kind_beyond_16_bits,
        fields_twice,
        a_million_tags,
        nine_events_of_tags_alone,
        nul_and_control_characters,
    ]);
}

fn event(text: &str) -> Event {
    AUTHORS[2].note(recent() - 7, text)
}

/// A peer that has these, of any spelling, for each question.
fn sending(events: Vec<String>) -> Fault {
    Fault::of(RawRelay::answering(move |talk, name| {
        for json in &events {
            talk.event(name, json)?;
        }
        talk.eose(name)
    }))
}

fn a_forged_signature() -> Fault {
    sending(vec![forged_signature(&event("x")).to_json()]).refuses("forged", 1)
}

fn a_changed_content() -> Fault {
    sending(vec![tampered(&event("x")).to_json()]).refuses("forged", 1)
}

fn replayed_under_another_id() -> Fault {
    let mut replayed = event("said once");
    replayed.created_at += 1;
    replayed.id = replayed.hash();
    sending(vec![replayed.to_json()]).refuses("forged", 1)
}

fn signed_by_another_key() -> Fault {
    let mut signed = event("whose?");
    signed.pubkey = AUTHORS[0].pubkey();
    signed.id = signed.hash();
    sending(vec![signed.to_json()]).refuses("forged", 1)
}

/// A station can be made to follow a key that is none: it is a friend by its hex alone.
fn a_pubkey_not_on_the_curve() -> Fault {
    let mut odd = event("nobody's");
    odd.pubkey = "f".repeat(64).parse().unwrap();
    odd.id = odd.hash();
    let key = odd.pubkey;
    sending(vec![odd.to_json()])
        .prepared(move |station| station.geographic_key("1/2", key))
        .refuses("forged", 1)
}

fn upper_case_ids() -> Fault {
    let genuine = event("SHOUTED");
    sending(vec![upper_case_json(&genuine)]).brings(&[genuine])
}

fn a_forged_twin_of_what_the_good_peer_has() -> Fault {
    sending(GOOD.iter().map(|event| tampered(event).to_json()).collect())
        .refuses("forged", 120)
        .fails("120 of the 120 events that it sent and that were verified are forged [forged]")
}

fn dated_1970() -> Fault {
    sending(vec![AUTHORS[2].note(0, "the epoch").to_json()]).refuses("unasked", 1)
}

fn dated_1970_and_asked_for() -> Fault {
    let (first, second) = (
        AUTHORS[2].note(0, "the epoch"),
        AUTHORS[2].note(1, "a second"),
    );
    sending(vec![second.to_json(), first.to_json()])
        .args(&["--days", "0"])
        .brings(&[first, second])
}

fn dated_2106() -> Fault {
    let ahead = [(1 << 32) - 1, 1 << 32, 1 << 40, i64::MAX as u64, u64::MAX];
    let events = ahead.map(|at| AUTHORS[2].note(at, "from then").to_json());
    sending(events.to_vec()).refuses("future", 3)
}

fn dated_beyond_64_bits() -> Fault {
    let dated = |at: &str| {
        let json = event("x").to_json();
        let now = format!("\"created_at\":{}", event("x").created_at);
        json.replace(&now, &format!("\"created_at\":{at}"))
    };
    sending(
        ["18446744073709551616", "1e400", "1e3", "1.5"]
            .map(dated)
            .to_vec(),
    )
    .refuses("malformed", 4)
}

fn dated_before_1970() -> Fault {
    let json = event("x").to_json();
    sending(vec![json.replace("\"created_at\":", "\"created_at\":-")]).refuses("malformed", 1)
}

fn numbers_where_strings_belong() -> Fault {
    let json = event("x").to_json();
    let events = [
        json.replace("\"content\":\"x\"", "\"content\":1e400"),
        json.replace("\"content\":\"x\"", "\"content\":null"),
        json.replace("\"tags\":[]", "\"tags\":[[1]]"),
        json.replace("\"tags\":[]", "\"tags\":[[]]"),
        json.replace("\"tags\":[]", "\"tags\":7"),
        json.replace("\"kind\":1", "\"kind\":\"1\""),
        json.replace("\"sig\":\"", "\"sig\":[\"")
            .replace("\",\"tags", "\"],\"tags"),
    ];
    sending(events.to_vec()).refuses("malformed", 7)
}

fn a_kind_beyond_16_bits() -> Fault {
    let json = event("x").to_json();
    let kinds = ["65537", "-1", "1e0", "9223372036854775808", "1e400"];
    let events = kinds.map(|kind| json.replace("\"kind\":1", &format!("\"kind\":{kind}")));
    sending(events.to_vec()).refuses("malformed", 5)
}

/// Two readers of JSON may each believe another of them.
fn fields_twice() -> Fault {
    let json = event("x").to_json();
    let twice = json.replace("\"content\":\"x\"", "\"content\":\"y\",\"content\":\"x\"");
    let hidden = json.replace("\"content\":\"x\"", "\"content\":\"x\",\"content\":\"y\"");
    sending(vec![twice, hidden]).refuses("malformed", 2)
}

/// An event of so many tags, in a few bytes each; in memory each takes a hundred.
fn of_tags(count: usize, text: &str) -> String {
    let tags = vec!["[\"\"]"; count].join(",");
    let tags = format!("\"tags\":[{tags}]");
    event(text).to_json().replace("\"tags\":[]", &tags)
}

fn a_million_tags() -> Fault {
    sending(vec![of_tags(800_000, "x")])
        .refuses("too_long", 1)
        .patiently()
}

fn nine_events_of_tags_alone() -> Fault {
    let events: Vec<String> = (0..9)
        .map(|number| of_tags(70_000, &number.to_string()))
        .collect();
    Fault::of(RawRelay::answering(move |talk, name| {
        // Once: what is asked next is about the same second.
        if name == "0" {
            for json in &events {
                talk.event(name, json)?;
            }
        }
        talk.eose(name)
    }))
    .refuses("forged", 9)
    .memory(64 << 20)
    .patiently()
}

fn nul_and_control_characters() -> Fault {
    let odd = event("\u{0}\u{1}\u{7f}\u{2028}\u{feff}\"\\\r\n\t\u{8}\u{c}");
    sending(vec![odd.to_json()]).brings(&[odd])
}
