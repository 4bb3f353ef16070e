//! Events, read and verified by ours and by the `nostr` crate.

use constellation_shared::TagElement;
use constellation_shared::event::{Event, EventError};
use constellation_shared::verify::verify;
use nostr::JsonUtil;

/// How two implementations see a text that may be an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    /// Both as an event, and as genuine.
    Genuine,
    /// Both as an event, and as forged.
    Forged,
    /// Neither as an event.
    NoEvent,
    /// Only nostr as an event: a key, id or signature is spelled otherwise than in NIP-01's
    /// 64 or 128 lower-case digits (upper case, bech32, `nostr:`).
    OddSpelling,
    /// Only nostr as an event: its fields stand in an array, without their names.
    Array,
    /// Only nostr as an event: its kind is beyond 65535 (NIP-01), and nostr keeps the last
    /// 16 bits of it.
    KindTooHigh,
    /// Only ours as an event, spelled as strfry spells some: a tag holds more than texts, or the
    /// id or the signature stands behind `0x`.
    StrfrysSpelling,
}

/// Both read the same fields and come to the same verdict, but for spellings that NIP-01
/// does not know; and what we read we write so that both read it again.
///
/// # Panics
/// Where that is not so.
pub fn holds(json: &[u8]) {
    seen(json);
}

/// How both see it.
///
/// # Panics
/// Where they differ in any other way than [`Seen`] knows.
pub fn seen(json: &[u8]) -> Seen {
    let theirs = nostr::Event::from_json(json);
    let ours = match Event::parse(json) {
        Ok(ours) => ours,
        Err(error) => {
            return match (theirs, error) {
                (Err(_), _) => Seen::NoEvent,
                (Ok(_), EventError::Spelling(_) | EventError::Hex(_)) => Seen::OddSpelling,
                (Ok(_), EventError::Shape(_)) if json.trim_ascii().starts_with(b"[") => Seen::Array,
                (Ok(_), EventError::Shape(_)) if has_kind_too_high(json) => Seen::KindTooHigh,
                (Ok(_), error) => panic!("only nostr reads it as an event: {error:?}"),
            };
        }
    };
    let Ok(theirs) = theirs else {
        let elements = ours.tags.iter().flatten();
        let texts_alone = elements.map(TagElement::as_text).all(|text| text.is_some());
        assert!(!texts_alone || has_0x(json), "only we read it as an event");
        assert_eq!(Event::parse(ours.to_json().as_bytes()).unwrap(), ours);
        return Seen::StrfrysSpelling;
    };
    assert_eq!(ours.id.as_bytes(), theirs.id.as_bytes());
    assert_eq!(ours.pubkey.as_bytes(), theirs.pubkey.as_bytes());
    assert_eq!(ours.created_at, theirs.created_at.as_secs());
    assert_eq!(ours.kind, theirs.kind.as_u16());
    assert_eq!(ours.content, theirs.content);
    let tags = theirs.tags.iter().map(|tag| tag.clone().to_vec());
    let tags: Vec<Vec<TagElement>> = tags
        .map(|tag| tag.into_iter().map(TagElement::from).collect())
        .collect();
    assert_eq!(ours.tags, tags);

    let line = ours.to_json();
    assert!(!line.contains('\n'));
    assert_eq!(Event::parse(line.as_bytes()).unwrap(), ours);
    assert_eq!(nostr::Event::from_json(&line).unwrap(), theirs);

    let verdict = verify(&ours);
    assert_eq!(verdict.is_ok(), theirs.verify().is_ok(), "{verdict:?}");
    match verdict {
        Ok(()) => Seen::Genuine,
        Err(_) => Seen::Forged,
    }
}

fn has_0x(json: &[u8]) -> bool {
    let event: Result<serde_json::Value, _> = serde_json::from_slice(json);
    let is_0x = |value: &serde_json::Value| value.as_str().is_some_and(|s| s.starts_with("0x"));
    event.is_ok_and(|event| is_0x(&event["id"]) || is_0x(&event["sig"]))
}

fn has_kind_too_high(json: &[u8]) -> bool {
    let event: Result<serde_json::Value, _> = serde_json::from_slice(json);
    let kind = event.ok().and_then(|event| event["kind"].as_u64());
    kind.is_some_and(|kind| kind > u64::from(u16::MAX))
}
