//! Messages from a relay (NIP-01, NIP-42, NIP-77).

use std::borrow::Cow;
use std::fmt;

use constellation_shared::{Event, EventId, Pubkey};
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::relay::objection::{Objection, classify};
use crate::relay::oversize::SKIPPED;
use crate::support::sanitize::{one_line, quoted_in_log};

/// A message from a relay.
#[derive(Debug)]
pub enum FromRelay<'a> {
    /// An event for a subscription, not yet parsed.
    Event {
        /// The subscription.
        subscription: Cow<'a, str>,
        /// The event's JSON.
        event: &'a str,
    },
    /// The relay has sent all stored events for a subscription.
    Eose {
        /// The subscription.
        subscription: String,
    },
    /// The relay ended or refused a subscription.
    Closed {
        /// The subscription.
        subscription: String,
        /// The relay's reason.
        reason: Reason,
    },
    /// The next message of a reconciliation (NIP-77), in hex.
    NegMsg {
        /// The reconciliation's subscription.
        subscription: String,
        /// The message.
        message: &'a str,
    },
    /// The relay refused or ended a reconciliation (NIP-77).
    NegErr {
        /// The reconciliation's subscription.
        subscription: String,
        /// The relay's reason.
        reason: Reason,
    },
    /// An event of this subscription, or something else, was too long to be taken. It is not the
    /// relay that says so, but our end of the connection.
    TooLong {
        /// The subscription, empty if it is unknown.
        subscription: String,
        /// How many bytes it had.
        bytes: u64,
    },
    /// A message for people.
    Notice(Reason),
    /// The relay asks for authentication, for which we have no key.
    Auth,
    /// Any other message, such as `OK`; none of them matters to us.
    Other,
}

/// A relay's reason or notice, without the prefix `ERROR: ` that strfry adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    text: String,
}

/// How much of a relay's reason is kept, in characters.
const LONGEST_REASON: usize = 200;

/// How much of a relay's words is looked at, in characters: some are left out.
const MOST_LOOKED_AT: usize = 10 * LONGEST_REASON;

impl Reason {
    fn new(text: &str) -> Self {
        let text = text.strip_prefix("ERROR: ").unwrap_or(text).trim_start();
        // A relay can say megabytes: no more of it is looked at than may be kept.
        let end = text.char_indices().nth(MOST_LOOKED_AT);
        let text = end.map_or(text, |(end, _)| text.get(..end).unwrap_or_default());
        let text = one_line(text.trim_end());
        Self {
            text: text.chars().take(LONGEST_REASON).collect(),
        }
    }

    /// The machine-readable prefix before the first colon (NIP-01, NIP-42), or an empty text.
    pub fn prefix(&self) -> &str {
        self.text.split_once(':').map_or("", |(prefix, _)| prefix)
    }

    /// The text, at most 200 characters without hidden ones. It is for comparing; to show it, use
    /// `Display`, which quotes it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What the relay means.
    pub fn objection(&self) -> Objection {
        classify(&self.text)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quoted_in_log(&self.text, LONGEST_REASON))
    }
}

/// Parses a message from a relay; `None` if the text is no message.
pub fn parse(message: &str) -> Option<FromRelay<'_>> {
    let Parts(parts) = serde_json::from_str(message).ok()?;
    let [kind, rest @ ..] = parts.as_slice() else {
        return None;
    };
    let message = match (kind.get(), rest) {
        ("\"EVENT\"", [subscription, event, ..]) => FromRelay::Event {
            subscription: text(subscription)?,
            event: event.get(),
        },
        ("\"EOSE\"", [subscription, ..]) => FromRelay::Eose {
            subscription: text(subscription)?.into_owned(),
        },
        ("\"CLOSED\"", [subscription, rest @ ..]) => FromRelay::Closed {
            subscription: text(subscription)?.into_owned(),
            reason: Reason::new(&rest.first().and_then(|r| text(r)).unwrap_or_default()),
        },
        ("\"NEG-MSG\"", [subscription, message, ..]) => FromRelay::NegMsg {
            subscription: text(subscription)?.into_owned(),
            message: message.get().strip_prefix('"')?.strip_suffix('"')?,
        },
        ("\"NEG-ERR\"", [subscription, rest @ ..]) => FromRelay::NegErr {
            subscription: text(subscription)?.into_owned(),
            reason: Reason::new(&rest.first().and_then(|r| text(r)).unwrap_or_default()),
        },
        ("\"NOTICE\"", [notice, ..]) => FromRelay::Notice(Reason::new(&text(notice)?)),
        ("\"AUTH\"", _) => FromRelay::Auth,
        (kind, [subscription, bytes, ..]) if kind.trim_matches('"') == *SKIPPED => {
            FromRelay::TooLong {
                subscription: text(subscription)?.into_owned(),
                bytes: bytes.get().parse().ok()?,
            }
        }
        (kind, _) if kind.starts_with('"') => FromRelay::Other,
        _ => return None,
    };
    Some(message)
}

/// The fields of an event that tell which subscription it belongs to. They can be read even of
/// events that are otherwise malformed, which some relays store and serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The id that the event claims to have.
    pub id: EventId,
    /// The author.
    pub author: Pubkey,
    /// The kind.
    pub kind: u16,
    /// Unix time in seconds.
    pub created_at: u64,
}

impl From<&Event> for Head {
    fn from(event: &Event) -> Self {
        Self {
            id: event.id,
            author: event.pubkey,
            kind: event.kind,
            created_at: event.created_at,
        }
    }
}

/// Reads the [`Head`] of an event; `None` if one of its fields is missing or malformed.
pub fn head(json: &str) -> Option<Head> {
    #[derive(Deserialize)]
    struct Fields<'a> {
        #[serde(borrow)]
        id: Cow<'a, str>,
        #[serde(borrow)]
        pubkey: Cow<'a, str>,
        kind: u16,
        created_at: u64,
    }
    // serde would also accept an array of the right length.
    if !json.starts_with('{') {
        return None;
    }
    let fields: Fields<'_> = serde_json::from_str(json).ok()?;
    Some(Head {
        id: EventId::parse(fields.id.as_bytes()).ok()?,
        author: Pubkey::parse(fields.pubkey.as_bytes()).ok()?,
        kind: fields.kind,
        created_at: fields.created_at,
    })
}

/// How many elements of a message have a meaning.
const MOST_PARTS: usize = 4;

/// The first elements of an array. The others are skipped, since a message can hold millions.
struct Parts<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Parts<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = Parts<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Parts<'de>, A::Error> {
                let mut parts = Vec::with_capacity(MOST_PARTS);
                while parts.len() < MOST_PARTS {
                    match array.next_element()? {
                        Some(part) => parts.push(part),
                        None => return Ok(Parts(parts)),
                    }
                }
                while array.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Parts(parts))
            }
        }
        deserializer.deserialize_seq(Elements)
    }
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn text<'a>(value: &'a RawValue) -> Option<Cow<'a, str>> {
    serde_json::from_str::<Text<'a>>(value.get())
        .ok()
        .map(|text| text.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_relay_can_say_that_a_message_of_its_own_was_skipped() {
        let said = r#"["TOO-LONG","1",5000000]"#;
        assert!(matches!(parse(said), Some(FromRelay::Other)));
        let ours = format!(r#"["{}","1",5000000]"#, *SKIPPED);
        let Some(FromRelay::TooLong { bytes, .. }) = parse(&ours) else {
            panic!("{ours}");
        };
        assert_eq!(bytes, 5_000_000);
    }

    #[test]
    fn what_follows_the_elements_that_count_is_passed_over() {
        let long = format!("[\"EOSE\",\"s\"{}]", ",[7]".repeat(1000));
        assert!(
            matches!(parse(&long), Some(FromRelay::Eose { subscription }) if subscription == "s")
        );
        assert!(parse(&long[..long.len() - 1]).is_none(), "it does not end");
    }

    #[test]
    fn messages_of_every_kind() {
        let event = parse(r#"["EVENT","s",{"id":"x"}]"#);
        assert!(
            matches!(event, Some(FromRelay::Event { subscription, event })
                if subscription == "s" && event == r#"{"id":"x"}"#)
        );
        assert!(
            matches!(parse(r#" [ "EOSE" , "s" ] "#), Some(FromRelay::Eose { subscription }) if subscription == "s")
        );
        assert!(matches!(
            parse(r#"["CLOSED","s","ERROR: auth-required: no"]"#),
            Some(FromRelay::Closed { reason, .. }) if reason.objection() == Objection::WantsAuth && reason.as_str() == "auth-required: no"
        ));
        assert!(matches!(
            parse(r#"["CLOSED","s"]"#),
            Some(FromRelay::Closed { reason, .. }) if reason.as_str().is_empty()
        ));
        assert!(matches!(
            parse(r#"["NOTICE","ERROR: too many concurrent REQs"]"#),
            Some(FromRelay::Notice(reason)) if reason.objection() == Objection::TooManyOpen
        ));
        assert!(matches!(
            parse(r#"["AUTH","challenge"]"#),
            Some(FromRelay::Auth)
        ));
        assert!(matches!(
            parse(r#"["OK","id",true,""]"#),
            Some(FromRelay::Other)
        ));
        assert!(matches!(parse(r#"["SOMETHING"]"#), Some(FromRelay::Other)));
    }

    #[test]
    fn what_is_no_message_is_none() {
        for text in [
            "",
            "{}",
            "[]",
            "null",
            "[1]",
            "[null,\"s\"]",
            "[\"EOSE\"",
            "[\"EVENT\",7,{}]",
            "[\"NOTICE\",[]]",
            "[\"EOSE\",\"\\ud800\"]",
        ] {
            assert!(parse(text).is_none(), "{text}");
        }
        let short = ["EVENT", "EOSE", "CLOSED", "NOTICE", "NEG-MSG", "NEG-ERR"];
        for kind in short {
            // Too short to mean anything, but no reason to give up on the relay.
            assert!(matches!(
                parse(&format!("[\"{kind}\"]")),
                Some(FromRelay::Other)
            ));
        }
        let deep = "[".repeat(100_000);
        assert!(parse(&deep).is_none());
    }

    #[test]
    fn a_relay_s_words_are_cut_and_harmless() {
        let reason = Reason::new(&format!("error: \u{1b}[2J{}", "x".repeat(1000)));
        assert_eq!(reason.prefix(), "error");
        assert_eq!(reason.as_str().chars().count(), 200);
        assert!(!reason.as_str().contains('\u{1b}'));
    }
}
