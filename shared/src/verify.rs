//! Checks whether an event is genuine: its id is the hash of its content, and its signature is
//! its author's (NIP-01, BIP-340).

use std::borrow::Cow;

use secp256k1::{XOnlyPublicKey, schnorr};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::event::{Event, any_hex};
use crate::key::{EventId, Pubkey};

/// Why an event is not genuine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Forgery {
    /// The id is not the hash of the canonical form.
    #[error("the id is not the hash of the content")]
    Id,
    /// The pubkey is not the x coordinate of a point on the curve.
    #[error("the pubkey is not on the curve")]
    Pubkey,
    /// The signature is not the author's over this id.
    #[error("the signature is not the author's")]
    Signature,
}

/// Checks the id and the signature, which takes about 50 µs.
///
/// # Errors
/// The first [`Forgery`] found.
pub fn verify(event: &Event) -> Result<(), Forgery> {
    if !event.has_own_id() {
        return Err(Forgery::Id);
    }
    is_signed(&event.id, &event.pubkey, event.sig)
}

fn is_signed(id: &EventId, author: &Pubkey, signature: [u8; 64]) -> Result<(), Forgery> {
    let author =
        XOnlyPublicKey::from_byte_array(*author.as_bytes()).map_err(|_| Forgery::Pubkey)?;
    let signature = schnorr::Signature::from_byte_array(signature);
    schnorr::verify(&signature, id.as_bytes(), &author).map_err(|_| Forgery::Signature)
}

/// Whether an author signed exactly this text: the id is the hash of the fields as they are
/// written in it. Relays serve what was published, so if a text is no valid [`Event`] but passes
/// here, its author is to blame and not the relay. It needs no memory besides the text.
pub fn is_signed_as_spelled(json: &str) -> bool {
    let Some(fields) = Spelled::read(json) else {
        return false;
    };
    let pubkey = fields.pubkey.get().trim_matches('"');
    let (Ok(id), Ok(signature), Ok(author)) = (
        any_hex(&fields.id, "id"),
        any_hex(&fields.sig, "sig"),
        any_hex(pubkey, "pubkey"),
    ) else {
        return false;
    };
    let (id, author) = (EventId::from_bytes(id), Pubkey::from_bytes(author));
    let mut hash = Sha256::new_with_prefix("[0,\"");
    hash.update(pubkey);
    hash.update("\"");
    for field in fields.hashed() {
        hash.update(",");
        hash.update(field);
    }
    hash.update("]");
    *id.as_bytes() == <[u8; 32]>::from(hash.finalize())
        && is_signed(&id, &author, signature).is_ok()
}

/// How many bytes of a text are an event's own, and not blanks and unknown fields around them,
/// which anybody can add; `None` for a text that has not all fields of an event. It takes no
/// memory but for the text.
pub fn own_length(json: &str) -> Option<usize> {
    let fields = Spelled::read(json)?;
    let hashed = fields.hashed().into_iter().map(str::len).sum::<usize>();
    Some(hashed + fields.id.len() + fields.pubkey.get().len() + fields.sig.len())
}

/// The fields of an event as they are spelled in a text.
#[derive(Deserialize)]
struct Spelled<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    pubkey: &'a RawValue,
    #[serde(borrow)]
    created_at: &'a RawValue,
    #[serde(borrow)]
    kind: &'a RawValue,
    #[serde(borrow)]
    tags: &'a RawValue,
    #[serde(borrow)]
    content: &'a RawValue,
    #[serde(borrow)]
    sig: Cow<'a, str>,
}

impl<'a> Spelled<'a> {
    fn read(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// What is hashed besides the pubkey.
    fn hashed(&self) -> [&'a str; 4] {
        [self.created_at, self.kind, self.tags, self.content].map(RawValue::get)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tests::GENUINE;

    #[test]
    fn genuine_events_pass_and_each_forgery_is_named() {
        let genuine = Event::parse(GENUINE.as_bytes()).unwrap();
        assert_eq!(verify(&genuine), Ok(()));

        let mut tampered = genuine.clone();
        tampered.content.push('!');
        assert_eq!(verify(&tampered), Err(Forgery::Id));
        tampered.id = tampered.hash();
        assert_eq!(verify(&tampered), Err(Forgery::Signature));

        let mut signed_by_another = genuine.clone();
        signed_by_another.sig[63] ^= 1;
        assert_eq!(verify(&signed_by_another), Err(Forgery::Signature));

        let mut off_the_curve = genuine;
        off_the_curve.pubkey = Pubkey::from_bytes([0xff; 32]);
        off_the_curve.id = off_the_curve.hash();
        assert_eq!(verify(&off_the_curve), Err(Forgery::Pubkey));
    }

    /// The texts were signed with a made-up key, over a pubkey in upper case and over tags nested
    /// 200 deep. A real strfry verified and served them as they are.
    #[test]
    fn a_text_that_was_signed_exactly_as_written_is_recognised() {
        let texts = include_str!("verify/signed_as_spelled.jsonl");
        assert_eq!(texts.lines().count(), 3);
        for text in texts.lines() {
            assert!(is_signed_as_spelled(text), "{text}");
            assert!(Event::parse_respelled(text.as_bytes()).is_err(), "{text}");
            assert!(!is_signed_as_spelled(
                &text.replace("\"kind\":1", "\"kind\":6")
            ));
            assert!(!is_signed_as_spelled(
                &text.replace("\"sig\":\"", "\"sig\":\"0")
            ));
        }
        assert!(is_signed_as_spelled(GENUINE));
        // A relay that passes it on can write it like this. Its author did not.
        let shouted = GENUINE.replace("774ae7f858a9411e", "774AE7F858A9411E");
        assert!(!is_signed_as_spelled(&shouted));
        let event = Event::parse_respelled(shouted.as_bytes()).unwrap();
        assert_eq!(event, Event::parse(GENUINE.as_bytes()).unwrap());
        for text in ["", "[]", "7", "{}"] {
            assert!(!is_signed_as_spelled(text), "{text}");
        }
    }

    #[test]
    fn what_stands_around_an_event_s_fields_is_not_its_own() {
        let padding = "x".repeat(1000);
        let padded = GENUINE.replacen('{', &format!("{{ \"more\":\"{padding}\", "), 1);
        assert_eq!(own_length(&padded), own_length(GENUINE));
        let longer = GENUINE.replace("hello", &padding);
        assert_eq!(own_length(&longer), own_length(GENUINE).map(|n| n + 995));
        assert_eq!(own_length("{}"), None);
    }
}
