//! What relays say, compared with a reading by serde_json.

use constellation_sync::testing::message::{FromRelay, Reason, head, parse};
use constellation_sync::testing::nip11::Information;
use serde_json::Value;

/// What is read is what serde_json reads, the relay's words are short and harmless, and
/// what is no message is none. The same text is read as an event and as a NIP-11 document.
///
/// # Panics
/// Where that is not so.
pub fn holds(text: &[u8]) {
    limits_hold(text);
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    heads_agree(text);
    let Some(message) = parse(text) else {
        let value: Result<Value, _> = serde_json::from_str(text);
        let Ok(Value::Array(parts)) = value else {
            return;
        };
        // Without a kind, or with something else than a text where one belongs.
        let kind = parts.first().and_then(Value::as_str);
        assert!(
            kind.is_none()
                || parts.get(1).is_none_or(|second| !second.is_string())
                || kind == Some("NEG-MSG")
        );
        return;
    };
    // Half a surrogate pair, numbers beyond all bounds and a hundred levels that are passed
    // over here stop a general parser.
    let Ok(Value::Array(parts)) = serde_json::from_str(text) else {
        return;
    };
    let second = parts.get(1).and_then(Value::as_str);
    let third = parts.get(2).and_then(Value::as_str).unwrap_or_default();
    let kind = parts[0].as_str().unwrap();
    match message {
        FromRelay::Event {
            subscription,
            event,
        } => {
            assert_eq!((kind, Some(&*subscription)), ("EVENT", second));
            let event: Value = serde_json::from_str(event).unwrap();
            assert_eq!(event, parts[2]);
        }
        FromRelay::Eose { subscription } => {
            assert_eq!((kind, Some(&*subscription)), ("EOSE", second));
        }
        FromRelay::Closed {
            subscription,
            reason,
        } => {
            assert_eq!((kind, Some(&*subscription)), ("CLOSED", second));
            says(&reason, third);
        }
        FromRelay::NegErr {
            subscription,
            reason,
        } => {
            assert_eq!((kind, Some(&*subscription)), ("NEG-ERR", second));
            says(&reason, third);
        }
        FromRelay::NegMsg {
            subscription,
            message,
        } => {
            assert_eq!((kind, Some(&*subscription)), ("NEG-MSG", second));
            if !message.contains('\\') {
                assert_eq!(message, third);
            }
        }
        FromRelay::Notice(reason) => {
            assert_eq!(kind, "NOTICE");
            says(&reason, second.unwrap());
        }
        FromRelay::Auth => assert_eq!(kind, "AUTH"),
        FromRelay::Other | FromRelay::TooLong { .. } => {}
    }
}

fn says(reason: &Reason, text: &str) {
    let said = reason.as_str();
    assert!(
        said.chars().count() <= 200 && super::is_harmless(said),
        "{said}"
    );
    let start: String = text
        .trim_start_matches("ERROR: ")
        .trim()
        .chars()
        .take(200)
        .collect();
    if super::is_harmless(&start) && !start.starts_with("ERROR: ") {
        assert!(
            said.contains(&start) || text.starts_with("ERROR: ERROR: "),
            "{said} of {text}"
        );
    }
    assert!(said.starts_with(reason.prefix()));
}

fn heads_agree(text: &str) {
    let (Some(head), Ok(value)) = (head(text), serde_json::from_str::<Value>(text)) else {
        return;
    };
    let author = super::key::naive(value["pubkey"].as_str().unwrap().as_bytes(), "npub");
    assert_eq!(Some(*head.author.as_bytes()), author);
    assert_eq!(value["kind"], head.kind);
    assert_eq!(value["created_at"], head.created_at);
}

fn limits_hold(json: &[u8]) {
    let Some(told) = Information::parse(json) else {
        return;
    };
    let value: Value = serde_json::from_slice(json).unwrap();
    for (name, limit) in [
        ("max_limit", told.max_limit),
        ("max_message_length", told.max_message_length),
        ("max_subscriptions", told.max_subscriptions),
    ] {
        let expected = value["limitation"][name].as_u64();
        assert_eq!(limit, expected.filter(|&limit| limit > 0), "{name}");
    }
    assert!(
        told.software
            .is_none_or(|software| super::is_harmless(&software))
    );
}
