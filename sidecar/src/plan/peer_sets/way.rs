//! [`Way`]: whether a peer is asked by naming the authors, or by kinds and times alone.
//!
//! Naming the authors costs bytes each time, and more with each author. Without names a peer also
//! lists the events of authors whom nobody here follows, each of which is downloaded once to learn
//! that it is unwanted. That pays where a peer holds little else than what we follow; anybody may
//! publish on a peer, so how much is learned is bounded by what naming would cost.

use super::MOST_UNWANTED;

/// The length of an author in a filter, in bytes.
const AUTHOR_LENGTH: u64 = 67;

/// Naming authors for less than this many bytes is not worth any thought.
const CHEAP: u64 = 2_000;

/// About how many bytes it costs to learn that an event is unwanted.
const EVENT_LENGTH: u64 = 700;

/// What is learned must pay within this many runs: 30 days of hourly ones.
const MOST_RUNS: u64 = 30 * 24;

/// How long a peer is not asked without naming authors after that has failed, in seconds: a week.
const AFTER_FAILURE: u64 = 7 * 86_400;

/// How many runs in a row learning may cost more than naming.
const MOST_STRIKES: u8 = 3;

/// A single run in which learning cost more than this many bytes and this many times as much as
/// naming is enough.
const FAR_TOO_MUCH: u64 = 4_000_000;
const FAR_TOO_OFTEN: u64 = 8;

/// The age of the events that are asked for. Of recent ones, new ones appear all the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span {
    /// Those of the last days.
    Recent,
    /// Those before.
    Older,
}

/// How a peer is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// By naming the authors; and not otherwise before this time, in Unix seconds.
    Named(u64),
    /// By kinds and times alone. The number is that of the last runs in a row in which learning
    /// cost more than naming would have.
    ByKinds(u8),
}

impl Default for Way {
    fn default() -> Self {
        Self::Named(0)
    }
}

impl Way {
    /// By naming the authors for the next week, because without names it cost too much.
    pub(crate) const fn failed(now: u64) -> Self {
        Self::Named(now.saturating_add(AFTER_FAILURE))
    }

    /// Whether it may be tried at `now`, in Unix seconds, to do without names.
    pub(crate) fn may_be_tried(self, now: u64) -> bool {
        match self {
            // A time further ahead was set by a clock that was wrong.
            Self::Named(not_before) => {
                now >= not_before || not_before > now.saturating_add(AFTER_FAILURE)
            }
            Self::ByKinds(_) => false,
        }
    }

    /// The way after a run at `now` by kinds and times alone in which so many bytes of unwanted
    /// events came.
    pub(crate) const fn after(self, unwanted: u64, naming: Naming, now: u64) -> Self {
        let Self::ByKinds(strikes) = self else {
            return self;
        };
        let is_far_too_much = unwanted > FAR_TOO_MUCH && unwanted / FAR_TOO_OFTEN > naming.0;
        if unwanted <= naming.0 {
            Self::ByKinds(0)
        } else if is_far_too_much || strikes + 1 >= MOST_STRIKES {
            Self::failed(now)
        } else {
            Self::ByKinds(strikes + 1)
        }
    }
}

/// What naming the authors costs in one run, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Naming(u64);

impl Naming {
    /// The cost of naming this many authors in each of so many questions.
    pub(crate) const fn of(authors: usize, questions: usize) -> Self {
        Self(authors as u64 * questions as u64 * AUTHOR_LENGTH)
    }

    /// Whether it is so little that nothing else is tried.
    pub(crate) const fn is_cheap(self) -> bool {
        self.0 <= CHEAP
    }

    /// How many unwanted events may be learned of a peer for it to pay.
    pub(crate) fn worth(self) -> usize {
        let events = self.0.saturating_mul(MOST_RUNS) / EVENT_LENGTH;
        usize::try_from(events).map_or(MOST_UNWANTED, |events| events.min(MOST_UNWANTED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    #[test]
    fn what_failed_is_tried_again_after_a_week() {
        assert!(Way::default().may_be_tried(NOW));
        let failed = Way::failed(NOW);
        assert!(!failed.may_be_tried(NOW + AFTER_FAILURE - 1));
        assert!(failed.may_be_tried(NOW + AFTER_FAILURE));
        assert!(
            failed.may_be_tried(NOW - 400 * 86_400),
            "the clock was ahead"
        );
        assert!(!Way::ByKinds(0).may_be_tried(NOW));
    }

    #[test]
    fn a_peer_with_more_and_more_that_is_unwanted_is_asked_by_authors_again() {
        let naming = Naming::of(1000, 2);
        let mut way = Way::ByKinds(0);
        way = way.after(134_001, naming, NOW);
        assert_eq!(way, Way::ByKinds(1));
        way = way.after(134_000, naming, NOW);
        assert_eq!(way, Way::ByKinds(0), "naming would have cost as much");
        for _ in 0..MOST_STRIKES {
            way = way.after(134_001, naming, NOW);
        }
        assert_eq!(way, Way::failed(NOW));
        assert_eq!(way.after(u64::MAX, naming, NOW), Way::failed(NOW));
        let at_once = Way::ByKinds(0).after(FAR_TOO_MUCH + 1, naming, NOW);
        assert_eq!(at_once, Way::failed(NOW));
    }

    #[test]
    fn what_is_learned_pays_within_a_month() {
        assert!(Naming::of(14, 2).is_cheap() && !Naming::of(15, 2).is_cheap());
        assert_eq!(Naming::of(100, 2).worth(), 13_782);
        assert_eq!(Naming::of(100_000, 2).worth(), MOST_UNWANTED);
    }
}
