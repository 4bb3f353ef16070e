//! What is let in: the rules that an event must keep before strfry sees it.
//!
//! strfry's import checks none of this: it stores what is expired, ephemeral or dated in
//! the future, and a forged event would keep the genuine one out for good.

use constellation_shared::wot::KeySet;
use constellation_shared::{Event, kinds};
use serde::Serialize;

/// What a greeting of the relay's own web page begins or goes on with; visitors' greetings
/// are not events of the constellation.
const VISITOR_GREETING: &str = "Hello NOSTR visitor";

/// How far ahead of our clock an event may be dated, in seconds: strfry's
/// `rejectEventsNewerThanSeconds`.
const FUTURE_TOLERANCE: u64 = 900;

/// Why an event is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Not an event in canonical spelling (NIP-01).
    Malformed,
    /// Nobody asked for it: another author, kind or time, or no such subscription.
    Unasked,
    /// Id or signature is not true (NIP-01).
    Forged,
    /// Its author is blacklisted.
    Blocked,
    /// A greeting of a visitor.
    Visitor,
    /// Its expiration has passed (NIP-40).
    Expired,
    /// Of a kind that is not stored (NIP-01: 20000 to 29999).
    Ephemeral,
    /// Dated more than 15 minutes ahead.
    Future,
    /// Longer than `events.maxEventSize` of strfry.conf; strfry would abort its import.
    TooLong,
    /// Its author deleted it (NIP-09): strfry says so, once it was given the event.
    Deleted,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Malformed,
        Self::Unasked,
        Self::Forged,
        Self::Blocked,
        Self::Visitor,
        Self::Expired,
        Self::Ephemeral,
        Self::Future,
        Self::TooLong,
        Self::Deleted,
    ];

    /// The stable word for it in logs and reports.
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
            Self::Deleted => "deleted",
        }
    }
}

/// The rules of one run.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The time of the run, Unix seconds.
    pub now: u64,
    /// `events.maxEventSize` of strfry.conf, in bytes, the newline of a line included.
    pub max_event_size: usize,
    /// The authors whose verdict is block.
    pub blocked: KeySet,
}

impl Rules {
    /// Whether the event may come in as far as it alone tells; id and signature are for
    /// [`constellation_shared::verify`].
    ///
    /// # Errors
    /// The first [`Refusal`] that applies.
    pub fn check(&self, event: &Event) -> Result<(), Refusal> {
        if self.blocked.contains(&event.pubkey) {
            return Err(Refusal::Blocked);
        }
        if kinds::is_ephemeral(event.kind) {
            return Err(Refusal::Ephemeral);
        }
        if event.created_at > self.now.saturating_add(FUTURE_TOLERANCE) {
            return Err(Refusal::Future);
        }
        // strfry counts the first tag of this name alone.
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

    /// Whether strfry's import takes a line of this length, without its newline.
    pub const fn takes_line(&self, length: usize) -> bool {
        length < self.max_event_size
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
            max_event_size: 65_536,
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
