//! [`Bounds`]: how much of each thing a relay takes in one question, as far as its refusals tell.

use serde::{Deserialize, Serialize};

use crate::relay::filter::{LATEST, Window};
use crate::relay::objection::Dimension;

/// Spans of time are not cut shorter than this, in seconds.
const SHORTEST_SPAN: u64 = 60;

/// How far ahead of our clock events may be dated that are asked for if a relay takes only a span
/// of time, in seconds. Later ones are refused anyway.
const AHEAD: u64 = 3600;

/// The most that a relay takes in one question; it is unknown to take more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// How many authors.
    pub authors: usize,
    /// How many kinds.
    pub kinds: usize,
    /// How many seconds between `since` and `until`.
    pub span: u64,
    /// The largest `limit`.
    pub limit: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            authors: usize::MAX,
            kinds: usize::MAX,
            span: u64::MAX,
            limit: usize::MAX,
        }
    }
}

impl Bounds {
    /// Whether nothing is bounded.
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }

    /// Halves one dimension of a window that was refused; `false` if it cannot be any smaller.
    pub(super) fn halve(
        &mut self,
        dimension: Dimension,
        window: &Window,
        limit: usize,
        now: u64,
    ) -> bool {
        let halve = |bound: &mut usize, size: usize| {
            if size > 1 {
                *bound = (*bound).min(size / 2);
            }
            size > 1
        };
        match dimension {
            Dimension::Authors => halve(&mut self.authors, window.authors.len()),
            Dimension::Kinds => halve(&mut self.kinds, window.kinds.len()),
            Dimension::Limit => halve(&mut self.limit, limit),
            Dimension::Span => {
                let span = end(window, now).saturating_sub(window.since);
                if span <= SHORTEST_SPAN {
                    return false;
                }
                self.span = self.span.min((span / 2).max(SHORTEST_SPAN));
                true
            }
            Dimension::Ids | Dimension::Items | Dimension::Filters | Dimension::Any => false,
        }
    }
}

/// The end of a window; of one without end, a time at which hardly any event is dated.
pub(super) const fn end(window: &Window, now: u64) -> u64 {
    if window.until < LATEST {
        return window.until;
    }
    let ahead = now.saturating_add(AHEAD);
    if window.since > ahead {
        window.since
    } else {
        ahead
    }
}
