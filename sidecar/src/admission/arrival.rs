//! [`Arrival`]: what a relay sent as an event, read once.

use constellation_shared::Event;
use constellation_shared::event::EventError;
use constellation_shared::verify::own_length;

use crate::admission::rules::Refusal;
use crate::relay::message::{self, Head};

/// What came for a question: an event, or what takes the place of one.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// An event.
    Event(Head, Event),
    /// None that we can take.
    Unreadable(Unreadable),
}

/// What cannot be let in, whatever it says: too long, or no event that we can read.
#[derive(Debug)]
pub(crate) struct Unreadable {
    /// As much of it as tells whether it was asked for.
    pub head: Head,
    /// The text.
    pub json: String,
    /// Why it is not let in.
    pub refusal: Refusal,
}

impl Arrival {
    /// Reads what a relay sent as an event; `None` for what does not tell id, author, kind and
    /// time. An event in one of its spellings has at most `longest` bytes.
    pub(crate) fn read(json: &str, longest: usize) -> Option<Self> {
        // Before it is read: millions of tags take much more memory. What anybody can put around
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

    /// As much of it as tells whether it was asked for.
    pub(crate) const fn head(&self) -> &Head {
        match self {
            Self::Event(head, _) => head,
            Self::Unreadable(unreadable) => &unreadable.head,
        }
    }

    /// How many of its bytes are of use as far as is known: what cannot be read is of none
    /// until it is known that its author signed it.
    pub(crate) fn useful_bytes(&self, json: &str) -> u64 {
        match self {
            // A character takes at most six; anything more is blanks and unknown fields.
            Self::Event(_, event) => json.len().min(6 * event.size()) as u64,
            Self::Unreadable(_) => 0,
        }
    }
}
