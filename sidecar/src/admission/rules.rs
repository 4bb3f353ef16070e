//! [`Rules`]: the rules that an event must satisfy before strfry gets it.
//!
//! strfry's import checks none of them. It would store expired, ephemeral and future events, and a
//! forged event would keep out the genuine one for good.

use constellation_shared::wot::KeySet;
use constellation_shared::{Event, TagElement, kinds};
use serde::Serialize;

use crate::strfry::conf::EventLimits;

/// A text in the greetings that the relay's own web page posts for visitors. They are not events of
/// the constellation.
const VISITOR_GREETING: &str = "Hello NOSTR visitor";

/// How far ahead of our clock an event may be dated, in seconds: strfry's
/// `rejectEventsNewerThanSeconds`.
pub(crate) const FUTURE_TOLERANCE: u64 = 900;

/// Why an event is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The event is not well-formed (NIP-01).
    Malformed,
    /// The event was not asked for: it has another author, kind or time, or no open subscription.
    Unasked,
    /// The id or the signature is wrong (NIP-01).
    Forged,
    /// The author is blocked.
    Blocked,
    /// The event is a visitor's greeting.
    Visitor,
    /// The event has expired (NIP-40).
    Expired,
    /// The kind is ephemeral and never stored (NIP-01: 20000 to 29999).
    Ephemeral,
    /// The event is dated more than 15 minutes in the future.
    Future,
    /// The event is longer than `events.maxEventSize` in strfry.conf; strfry would abort the import.
    TooLong,
    /// The event has more tags than `events.maxNumTags` in strfry.conf; strfry would refuse it.
    TooManyTags,
    /// A tag of the event is longer than `events.maxTagValSize` in strfry.conf; strfry would refuse it.
    TagTooLong,
    /// The author deleted the event (NIP-09), which strfry reports when it is given the event.
    Deleted,
}

impl Refusal {
    /// All reasons.
    pub const ALL: [Self; 12] = [
        Self::Malformed,
        Self::Unasked,
        Self::Forged,
        Self::Blocked,
        Self::Visitor,
        Self::Expired,
        Self::Ephemeral,
        Self::Future,
        Self::TooLong,
        Self::TooManyTags,
        Self::TagTooLong,
        Self::Deleted,
    ];

    /// The stable code of the reason in logs and reports.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unasked => "unasked",
            Self::Forged => "forged",
            Self::Blocked => "blocked",
            Self::Visitor => "visitor",
            Self::Expired => "expired",
            Self::Ephemeral => "ephemeral",
            Self::Future => "future",
            Self::TooLong => "too_long",
            Self::TooManyTags => "too_many_tags",
            Self::TagTooLong => "tag_too_long",
            Self::Deleted => "deleted",
        }
    }
}

/// The rules of one run.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The time of the run, in Unix seconds.
    pub now: u64,
    /// The limits of the local strfry.
    pub limits: EventLimits,
    /// The blocked authors.
    pub blocked: KeySet,
}

impl Rules {
    /// Checks an event against every rule except the id and the signature, which
    /// [`constellation_shared::verify`] checks.
    ///
    /// # Errors
    /// The first [`Refusal`] that applies.
    fn check(&self, event: &Event) -> Result<(), Refusal> {
        if self.blocked.contains(&event.pubkey) {
            return Err(Refusal::Blocked);
        }
        if kinds::is_ephemeral(event.kind) {
            return Err(Refusal::Ephemeral);
        }
        if event.created_at > self.now.saturating_add(FUTURE_TOLERANCE) {
            return Err(Refusal::Future);
        }
        // Like strfry, look only at the first tag of this name.
        let expiration = event
            .tag("expiration")
            .and_then(|text| text.parse::<u64>().ok());
        if expiration.is_some_and(|expiration| expiration <= self.now) {
            return Err(Refusal::Expired);
        }
        if event.content.contains(VISITOR_GREETING) {
            return Err(Refusal::Visitor);
        }
        Ok(())
    }

    /// The verdict on an event, given whether its id or signature is wrong: the line to feed to
    /// strfry, without its newline. This is the order in which an event is judged: a forged event
    /// is nothing else, and its length counts only if all other rules let it in.
    ///
    /// # Errors
    /// The first [`Refusal`] that applies.
    pub(crate) fn judge(&self, event: &Event, is_forged: bool) -> Result<String, Refusal> {
        if is_forged {
            return Err(Refusal::Forged);
        }
        self.check(event)?;
        let mut line = event.to_json();
        if !self.takes_line(line.len()) {
            return Err(Refusal::TooLong);
        }
        self.check_tags(event)?;
        // The line is kept until strfry has stored it.
        line.shrink_to_fit();
        Ok(line)
    }

    /// Checks the tags as strfry's import does, which looks at the values of tags with names of one
    /// byte only.
    fn check_tags(&self, event: &Event) -> Result<(), Refusal> {
        if event.tags.len() > self.limits.tags {
            return Err(Refusal::TooManyTags);
        }
        let is_long = |tag: &Vec<TagElement>| {
            let text = |place: usize| tag.get(place).and_then(TagElement::as_text);
            text(0).is_some_and(|name| name.len() == 1)
                && text(1).is_some_and(|value| value.len() > self.limits.tag_value)
        };
        if event.tags.iter().any(is_long) {
            return Err(Refusal::TagTooLong);
        }
        Ok(())
    }

    /// Whether strfry's import accepts a line of this length, not counting its newline.
    const fn takes_line(&self, length: usize) -> bool {
        length < self.limits.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use constellation_shared::{EventId, Pubkey};

    const NOW: u64 = 1_800_000_000;

    fn rules() -> Rules {
        Rules {
            now: NOW,
            limits: EventLimits::default(),
            blocked: [Pubkey::from_bytes([9; 32])].into_iter().collect(),
        }
    }

    fn event() -> Event {
        Event {
            id: EventId::from_bytes([0; 32]),
            pubkey: Pubkey::from_bytes([1; 32]),
            created_at: NOW,
            kind: 1,
            tags: Vec::new(),
            content: "hello".to_owned(),
            sig: [0; 64],
        }
    }

    fn expiring(at: &str) -> Event {
        let tag = ["expiration".to_owned(), at.to_owned()];
        Event {
            tags: vec![tag.map(Into::into).to_vec()],
            ..event()
        }
    }

    #[test]
    fn each_rule_refuses_and_its_edge_does_not() {
        let with = |change: &dyn Fn(&mut Event)| {
            let mut event = event();
            change(&mut event);
            rules().check(&event)
        };
        assert_eq!(with(&|_| ()), Ok(()));
        assert_eq!(
            with(&|e| e.pubkey = Pubkey::from_bytes([9; 32])),
            Err(Refusal::Blocked)
        );
        assert_eq!(with(&|e| e.kind = 20_000), Err(Refusal::Ephemeral));
        assert_eq!(with(&|e| e.kind = 19_999), Ok(()));
        assert_eq!(with(&|e| e.created_at = NOW + 900), Ok(()));
        assert_eq!(with(&|e| e.created_at = NOW + 901), Err(Refusal::Future));
        assert_eq!(with(&|e| e.created_at = u64::MAX), Err(Refusal::Future));
        assert_eq!(
            with(&|e| e.content = "x Hello NOSTR visitor!".to_owned()),
            Err(Refusal::Visitor)
        );
        assert_eq!(
            rules().check(&expiring(&NOW.to_string())),
            Err(Refusal::Expired)
        );
        assert_eq!(rules().check(&expiring(&(NOW + 1).to_string())), Ok(()));
        assert_eq!(rules().check(&expiring("soon")), Ok(()));
    }

    #[test]
    fn a_line_fits_with_its_newline_or_not_at_all() {
        assert!(rules().takes_line(65_535));
        assert!(!rules().takes_line(65_536));
    }
}
