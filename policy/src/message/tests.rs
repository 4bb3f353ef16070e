//! Requests and answers, line by line.

use super::*;

const KEY: &str = "774ae7f858a9411e5ef4246b70c65aac5649980be5c17891bbec17895da008cb";

fn request(id: &str, pubkey: &str) -> String {
    format!(r#"{{"type":"new","event":{{"id":{id},"pubkey":{pubkey}}}}}"#)
}

#[test]
fn requests_as_strfry_writes_them() {
    let line = format!(
        r#"{{"authed":"{KEY}","event":{{"content":"a \"id\":\"no\" b","created_at":1,"id":"0x12","kind":1,"pubkey":"{KEY}","sig":"","tags":[]}},"receivedAt":1,"sourceInfo":"::1","sourceType":"IP6","type":"new"}}"#
    );
    assert_eq!(
        Request::parse(line.as_bytes()),
        Request::New {
            id: RawId(b"\"0x12\""),
            author: KEY.parse().ok(),
            kind: Some(b"1"),
        }
    );
}

#[test]
fn fields_that_are_not_looked_at_may_hold_anything() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for field in [
        r#""kind":18446744073709551616"#,
        r#""kind":1e400"#,
        r#""tags":[["t","x",1],{"id":"no"},null]"#,
        r#""content":"\ud800""#,
        &format!(r#""tags":{deep}"#),
    ] {
        let line = request(r#""i""#, &format!("\"{KEY}\",{field}"));
        let Request::New { id, author, .. } = Request::parse(line.as_bytes()) else {
            panic!("{field:.80} was not understood");
        };
        assert_eq!(id, RawId(b"\"i\""), "{field:.80}");
        assert_eq!(author, KEY.parse().ok(), "{field:.80}");
    }
}

#[test]
fn an_event_of_another_type_need_not_be_an_object() {
    for event in ["5", "\"x\"", "[{\"id\":\"1\"}]", "null"] {
        let line = format!(r#"{{"event":{event},"type":"other"}}"#);
        let request = Request::parse(line.as_bytes());
        assert!(matches!(request, Request::Other { .. }), "{request:?}");
    }
}

#[test]
fn a_kind_is_what_is_spelled_once() {
    for (fields, expected) in [
        (r#""x":1"#, None),
        (r#""kind":30023"#, Some("30023")),
        (r#""kind":-0"#, Some("-0")),
        (r#""tags":{"kind":1},"kind":"1""#, Some(r#""1""#)),
        (r#""kind":1,"kind":2"#, None),
        (r#""kind":1,"kind":2,"kind":1"#, None),
    ] {
        let line = request(r#""i""#, &format!("\"{KEY}\",{fields}"));
        let Request::New { kind, .. } = Request::parse(line.as_bytes()) else {
            panic!("{fields} was not understood");
        };
        assert_eq!(kind, expected.map(str::as_bytes), "{fields}");
    }
}

#[test]
fn bytes_that_are_no_text_are_passed_over_outside_of_what_is_looked_at() {
    let mut line = request(r#""i""#, &format!("\"{KEY}\",\"content\":\"?\"")).into_bytes();
    let place = line.iter().position(|&byte| byte == b'?').unwrap();
    line[place] = 0xff;
    assert!(matches!(
        Request::parse(&line),
        Request::New {
            author: Some(_),
            ..
        }
    ));
}

#[test]
fn an_author_is_one_under_every_spelling() {
    let key: Pubkey = KEY.parse().unwrap();
    for spelling in [
        KEY.to_owned(),
        KEY.to_uppercase(),
        format!("0x{KEY}"),
        key.to_bech32(),
        format!("\\u0037{}", &KEY[1..]),
    ] {
        let line = request(r#""i""#, &format!("\"{spelling}\""));
        let Request::New { author, .. } = Request::parse(line.as_bytes()) else {
            panic!("{spelling} was not understood");
        };
        assert_eq!(author, Some(key), "{spelling}");
    }
    for none in ["1", "null", "{}", "\"\"", "\"abc\""] {
        let line = request(r#""i""#, none);
        assert!(
            matches!(
                Request::parse(line.as_bytes()),
                Request::New { author: None, .. }
            ),
            "{none}"
        );
    }
}

#[test]
fn the_id_comes_back_as_it_was_spelled() {
    let spell = |line: &str| {
        let mut answer = Vec::new();
        match Request::parse(line.as_bytes()) {
            Request::New { id, .. } => Answer::Accept.write_json(id, &mut answer),
            Request::Other { id } => Answer::ShadowReject.write_json(id, &mut answer),
            Request::Broken { id, .. } => Answer::Reject("error: why").write_json(id, &mut answer),
        }
        String::from_utf8(answer).unwrap()
    };
    let long = "a".repeat(LONGEST_ANSWER);
    for (line, answer) in [
        (
            request(r#""a\"\\\u00e9é""#, "null"),
            r#"{"id":"a\"\\\u00e9é","action":"accept"}"#,
        ),
        (
            r#"{"type":"lookback","event":{"id":"x"}}"#.to_owned(),
            r#"{"id":"x","action":"shadowReject"}"#,
        ),
        (
            r#"{"type":"lookback"}"#.to_owned(),
            r#"{"id":"","action":"shadowReject"}"#,
        ),
        (
            r#"{"type":"new","event":{"id":"x","pubkey":"#.to_owned(),
            r#"{"id":"x","action":"reject","msg":"error: why"}"#,
        ),
        (
            r#"{"event":{"id": "x"}}"#.to_owned(),
            r#"{"id":"x","action":"reject","msg":"error: why"}"#,
        ),
        (
            r#"{"type":"new","event":{"id":"x","id":"y"}}"#.to_owned(),
            r#"{"id":"x","action":"reject","msg":"error: why"}"#,
        ),
        (
            r#"{"type":["new"],"event":{"id":"x"}}"#.to_owned(),
            r#"{"id":"x","action":"reject","msg":"error: why"}"#,
        ),
        (
            request("7", "null"),
            r#"{"id":"","action":"reject","msg":"error: why"}"#,
        ),
        (
            request(r#""\ud800""#, "null"),
            r#"{"id":"","action":"reject","msg":"error: why"}"#,
        ),
        (
            request(&format!("\"{long}\""), "null"),
            r#"{"id":"","action":"reject","msg":"error: why"}"#,
        ),
        (
            "[]".to_owned(),
            r#"{"id":"","action":"reject","msg":"error: why"}"#,
        ),
        (
            "\u{0}".to_owned(),
            r#"{"id":"","action":"reject","msg":"error: why"}"#,
        ),
    ] {
        assert_eq!(spell(&line), format!("{answer}\n"), "{line:.80}");
    }
}

#[test]
fn a_text_is_plain_without_escapes_and_foreign_letters() {
    for (text, plain) in [
        (&b""[..], true),
        (b"abc", true),
        (b"\x7f", true),
        (b"a\x80", false),
        (b"\xff", false),
        (b"a\\n", false),
        (b"\\\\", false),
        ("é".as_bytes(), false),
    ] {
        assert_eq!(is_plain(text), plain, "{text:?}");
    }
}

#[test]
fn a_type_is_the_same_under_every_spelling() {
    for (kind, is_new) in [
        ("new", true),
        ("\\u006eew", true),
        ("n\\u0065w", true),
        ("newer", false),
        ("", false),
    ] {
        let line = format!("{{\"type\":\"{kind}\",\"event\":{{\"id\":\"1\"}}}}");
        let request = Request::parse(line.as_bytes());
        assert_eq!(matches!(request, Request::New { .. }), is_new, "{kind}");
    }
}
