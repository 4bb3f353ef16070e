//! The scanner against a general parser.

use super::*;
use proptest::prelude::*;

fn is_json(text: &[u8]) -> bool {
    let mut scanner = Scanner::new(text);
    scanner.value().is_some() && scanner.is_at_end()
}

/// A general parser's word on it, of what is passed over without being understood.
fn is_json_for_serde(text: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()
}

#[test]
fn values_of_every_kind() {
    for text in [
        "0",
        "-0",
        "-12.5e+7",
        "1E400",
        "true",
        "false",
        "null",
        "\"\"",
        "[]",
        "{}",
        " [ ] ",
        "{ }",
        "[1,[2,{\"a\":[]}],\"x\"]",
        "{\"a\":{\"b\":[{}]},\"c\":1}",
        "\"\\ud800\\n\\/\"",
    ] {
        assert!(is_json(text.as_bytes()), "{text}");
    }
    for text in [
        "",
        " ",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "+1",
        "tru",
        "nul",
        "\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\t\"",
        "[",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{1:1}",
        "[}",
        "{]",
        "[]]",
        "[1}",
        "{\"a\":[1}",
        "1 2",
        "{\"a\":1]",
    ] {
        assert!(!is_json(text.as_bytes()), "{text}");
    }
    for depth in [31, 32, 63, 64, 65, 128, 129, 1_000_000] {
        let open = "[{\"a\":".repeat(depth);
        let close = "}]".repeat(depth);
        assert!(is_json(format!("{open}1{close}").as_bytes()), "{depth}");
        assert!(!is_json(format!("{open}1]{close}").as_bytes()), "{depth}");
        assert!(!is_json(format!("{open}1{close}]").as_bytes()), "{depth}");
    }
}

#[test]
fn containers_that_usual_events_have_need_no_memory() {
    let mut around = Containers::new();
    let kinds: Vec<bool> = (0..200).map(|depth| depth % 3 == 0).collect();
    for (depth, &kind) in kinds.iter().enumerate() {
        assert_eq!(around.outer.len(), depth.saturating_sub(1) / 63, "{depth}");
        around.push(kind);
    }
    for kind in kinds.into_iter().rev() {
        assert!(!around.is_empty());
        assert_eq!(around.innermost(), kind);
        around.pop();
    }
    assert!(around.is_empty());
    assert!(around.outer.is_empty());
}

#[test]
fn special_bytes_are_found_wherever_they_stand() {
    let plain = [b' ', b'!', b'#', b'[', b']', b'~', 0x7f, 0x80, 0xff];
    let special = [b'"', b'\\', 0, b'\n', 0x1f];
    for background in plain {
        let mut piece = [background; 16];
        assert!(!any_special(&piece), "{background}");
        assert_eq!(plain_bytes(u64::from_le_bytes([background; 8])), 8);
        for (first, byte) in (0..16).zip(special.into_iter().cycle()) {
            for second in first..16 {
                (piece[first], piece[second]) = (byte, byte);
                assert!(any_special(&piece), "{piece:?}");
                let word = *piece.first_chunk().unwrap();
                assert_eq!(plain_bytes(u64::from_le_bytes(word)), first.min(8));
                piece = [background; 16];
            }
        }
    }
    for byte in 0..=u8::MAX {
        let is_one = special.contains(&byte) || byte < 0x20;
        assert_eq!(is_special(byte), is_one, "{byte}");
        assert_eq!(any_special(&[byte; 16]), is_one, "{byte}");
    }
}

#[test]
fn members_come_one_by_one() {
    let mut seen = Vec::new();
    let mut scanner = Scanner::new(b" { \"a\" : [1, 2] , \"b\\n\":\"}\"} ");
    let whole = scanner.object(|scanner, key| {
        seen.push((key, scanner.value()?));
        Some(())
    });
    assert_eq!(whole, Some(()));
    assert!(scanner.is_at_end());
    assert_eq!(
        seen,
        [(&b"\"a\""[..], &b"[1, 2]"[..]), (b"\"b\\n\"", b"\"}\"")]
    );
}

/// JSON, mostly, with a byte changed here and there.
fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
    let alphabet = "[{\"\\u0e1+-.,: \n]}tfnrueals/b\u{1}é".to_owned();
    let letters: Vec<char> = alphabet.chars().collect();
    let soup = proptest::collection::vec(proptest::sample::select(letters), 0..24)
        .prop_map(|letters| String::from_iter(letters).into_bytes());
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("-1.5e3".to_owned()),
        "[ -~é\u{1}]{0,20}".prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    let tree = leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5)
                .prop_map(|all| format!("[{}]", all.join(","))),
            proptest::collection::vec(inner, 0..5).prop_map(|all| {
                let members: Vec<String> = all.iter().map(|v| format!("\"k\" : {v}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    });
    let bent = (
        tree,
        any::<u8>(),
        any::<prop::sample::Index>(),
        any::<bool>(),
    )
        .prop_map(|(text, byte, place, bend)| {
            let mut text = text.into_bytes();
            if bend {
                let place = place.index(text.len());
                text[place] = byte;
            }
            text
        });
    prop_oneof![soup, bent]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn it_agrees_with_a_general_parser(text in nearly_json()) {
        prop_assert_eq!(
            is_json(&text),
            is_json_for_serde(&text),
            "{}", String::from_utf8_lossy(&text)
        );
    }
}
