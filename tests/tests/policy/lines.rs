//! One answer for each line, in order, whatever comes.

use constellation_policy::message::LONGEST_ANSWER;
use constellation_tests::policy_program::{ACCEPT, BLOCKED, BROKEN, PROGRAM, Policy, key, request};
use constellation_tests::{StationDir, properties, station};
use proptest::prelude::*;

/// A station that blocks key 1.
fn blocking_station() -> StationDir {
    let station = station!();
    station.blacklist(&[key(1)]);
    station
}

/// What the program answers to this input, which ends then.
fn answers(station: &StationDir, input: impl Into<Vec<u8>>) -> Vec<String> {
    let output = station.command(PROGRAM).stdin(input).output();
    output.expect_code(0);
    output.stdout.lines().map(str::to_owned).collect()
}

fn answer(id: &str, rest: &str) -> String {
    format!(r#"{{"id":"{id}",{rest}}}"#)
}

#[test]
fn each_line_that_is_not_blank_gets_one_answer_in_order() {
    let (bad, good) = (key(1).to_hex(), key(2).to_hex());
    let id = r#"0xAB\"\\\u00e9é"#;
    let too_long = "a".repeat(LONGEST_ANSWER);
    let mut input = Vec::new();
    let mut expected = Vec::new();
    let mut add = |line: &[u8], id: &str, rest: &str| {
        input.extend_from_slice(line);
        input.push(b'\n');
        expected.push(answer(id, rest));
    };
    add(request("1", &bad).as_bytes(), "1", BLOCKED);
    add(request("2", &good).as_bytes(), "2", ACCEPT);
    add(request(id, &good).as_bytes(), id, ACCEPT);
    add(request(id, &bad).as_bytes(), id, BLOCKED);
    add(
        format!("  {}\t\r", request("3", &bad)).as_bytes(),
        "3",
        BLOCKED,
    );
    let whole = request("4", &good);
    add(&whole.as_bytes()[..whole.len() - 1], "4", BROKEN);
    add(format!("{whole}}}").as_bytes(), "4", BROKEN);
    add(
        whole.replace(r#""id":"4""#, r#""id":4"#).as_bytes(),
        "",
        BROKEN,
    );
    add(whole.replace(r#""id":"4","#, "").as_bytes(), "", BROKEN);
    add(
        whole.replace(r#""type":"new""#, r#""type":1"#).as_bytes(),
        "4",
        BROKEN,
    );
    add(request(r"\ud800", &good).as_bytes(), "", BROKEN);
    add(request(&too_long, &good).as_bytes(), "", BROKEN);
    add(
        &[
            &whole.as_bytes()[..25],
            &[0xff, 0xfe],
            &whole.as_bytes()[25..],
        ]
        .concat(),
        "4",
        ACCEPT,
    );
    for broken in [
        "[]",
        "{}",
        "null",
        "1",
        "\"new\"",
        "{",
        "x",
        "\u{0}",
        "{\"event\":[]}",
        "�",
    ] {
        add(broken.as_bytes(), "", BROKEN);
    }
    add(b"\xff\xfe\xfd", "", BROKEN);
    add(b"{\"event\":{\"id\":\"\xff\"}}", "", BROKEN);
    input.extend_from_slice(b"\n \t \r\n\n");
    input.extend_from_slice(request("last", &bad).as_bytes());
    expected.push(answer("last", BLOCKED));
    assert_eq!(answers(&blocking_station(), input), expected);
}

#[test]
fn a_line_of_ten_megabytes_and_the_next_one_are_answered() {
    let line = request("1", &key(1).to_hex());
    let long = line.replace("say", &"s\\\"".repeat(10_000_000 / 3));
    let broken = "[".repeat(10_000_000);
    let answers = answers(&blocking_station(), format!("{long}\n{broken}\n{line}\n"));
    let expected = [("1", BLOCKED), ("", BROKEN), ("1", BLOCKED)];
    assert_eq!(answers, expected.map(|(id, rest)| answer(id, rest)));
}

#[test]
fn a_hundred_thousand_lines_at_once_are_answered() {
    let input: String = (0..100_000)
        .map(|number| request(&number.to_string(), &key(number % 3).to_hex()) + "\n")
        .collect();
    let answers = answers(&blocking_station(), input);
    assert_eq!(answers.len(), 100_000);
    for (number, seen) in answers.iter().enumerate() {
        let rest = if number % 3 == 1 { BLOCKED } else { ACCEPT };
        assert_eq!(*seen, answer(&number.to_string(), rest));
    }
}

#[test]
fn an_answer_only_waits_for_the_end_of_its_line() {
    let station = blocking_station();
    let mut policy = Policy::start(&station);
    let line = request("1", &key(1).to_hex()) + "\n" + &request("2", &key(2).to_hex());
    policy.write(&line[..100]);
    policy.write(&line[100..]);
    assert_eq!(policy.answer(), answer("1", BLOCKED));
    policy.write("\n\n");
    assert_eq!(policy.answer(), answer("2", ACCEPT));
    policy.close();
}

/// Lines that are requests, nearly so, or anything.
fn any_lines() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&str] = &[
        "{\"event\":{\"id\":\"",
        "\"id\":",
        "\"pubkey\":\"",
        "\"type\":\"new\"",
        "\"event\":",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "\\",
        "\\u00e9",
        "\\ud800",
        ",",
        ":",
        "1e5",
        "null",
        "\n",
        "\r\n",
        " ",
        "é",
        "\u{1}",
    ];
    let soup = proptest::collection::vec(proptest::sample::select(PIECES), 0..30)
        .prop_map(|pieces| pieces.concat().into_bytes());
    let cut = (any::<prop::sample::Index>(), any::<u8>(), "[ -~é]{0,12}").prop_map(
        |(place, byte, id)| {
            let id = serde_json::to_string(&id).unwrap();
            let mut line = request("ID", &properties::request::BLOCKED.to_hex())
                .replace("\"ID\"", &id)
                .into_bytes();
            let place = place.index(line.len());
            line[place] = byte;
            line
        },
    );
    let bytes = proptest::collection::vec(any::<u8>(), 0..60);
    proptest::collection::vec(prop_oneof![soup, cut, bytes], 0..8)
        .prop_map(|lines| lines.join(&b'\n'))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    #[test]
    fn any_bytes_get_one_valid_answer_per_line(input in any_lines()) {
        properties::request::holds(&input);
    }
}
