//! [`Arrival`]: a parsed event from a relay, or what is known of one that cannot be parsed.

use constellation_shared::Event;
use constellation_shared::event::EventError;
use constellation_shared::verify::{is_signed_as_spelled, own_length};

use crate::admission::rules::Refusal;
use crate::relay::message::{self, Head};

/// What a relay sent in an EVENT message.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// A well-formed event.
    Event(Head, Event),
    /// An event that cannot be accepted.
    Unreadable(Unreadable),
}

/// An event that cannot be accepted, because it is too long or malformed.
#[derive(Debug)]
pub(crate) struct Unreadable {
    /// The fields that tell whether it was asked for.
    pub head: Head,
    /// Its JSON.
    pub json: String,
    /// Why it is refused.
    pub refusal: Refusal,
}

impl Arrival {
    /// Parses the JSON of an event; `None` if its id, author, kind or time cannot be read. No form
    /// of an acceptable event is longer than `longest` bytes.
    pub(crate) fn read(json: &str, longest: usize) -> Option<Self> {
        // Checked before parsing, because millions of tags need much more memory than their JSON. What anybody can put around
        // an event does not make it long.
        let is_long = json.len() > longest && own_length(json).is_none_or(|own| own > longest);
        let refusal = if is_long {
            Refusal::TooLong
        } else {
            let parsed = match Event::parse(json.as_bytes()) {
                Err(EventError::Spelling(_)) => Event::parse_respelled(json.as_bytes()),
                parsed => parsed,
            };
            match parsed {
                Ok(event) => return Some(Self::Event(Head::from(&event), event)),
                Err(_) => Refusal::Malformed,
            }
        };
        Some(Self::Unreadable(Unreadable {
            head: message::head(json)?,
            json: json.to_owned(),
            refusal,
        }))
    }

    /// The fields that tell whether the event was asked for.
    pub(crate) const fn head(&self) -> &Head {
        match self {
            Self::Event(head, _) => head,
            Self::Unreadable(unreadable) => &unreadable.head,
        }
    }

    /// Whether the id is the hash of the content, so that author, kind and time are true. Of an
    /// unreadable event the signature is checked, too.
    pub(crate) fn has_own_id(&self) -> bool {
        match self {
            Self::Event(_, event) => event.has_own_id(),
            Self::Unreadable(unreadable) => is_signed_as_spelled(&unreadable.json),
        }
    }

    /// How long the event is, in bytes.
    pub(crate) fn length(&self) -> usize {
        match self {
            Self::Event(_, event) => event.size(),
            Self::Unreadable(unreadable) => unreadable.json.len(),
        }
    }

    /// How many bytes of the JSON count as useful. An unreadable event counts only after its
    /// author's signature has been verified.
    pub(crate) fn useful_bytes(&self, json: &str) -> u64 {
        match self {
            // A character has at most six bytes in JSON; the rest is blanks and unknown fields.
            Self::Event(_, event) => json.len().min(6 * event.size()) as u64,
            Self::Unreadable(_) => 0,
        }
    }
}
