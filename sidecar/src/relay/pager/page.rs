//! One page of events: what was asked for, and what has arrived so far.

use constellation_shared::Pubkey;

use crate::relay::filter::Window;

/// How many events more than asked for a relay may send. Some relays do not know `limit` and send
/// everything.
pub(crate) const MOST_SURPLUS: usize = 100_000;

/// Whether an event belongs to a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It belongs to the open subscription.
    Yes,
    /// It belongs to a subscription that has ended.
    Late,
    /// It belongs to a question that only counts, and is not wanted.
    Counted,
    /// It was not asked for, or its subscription was never open.
    No,
    /// The relay sends far more events than the filter allows, and might never stop.
    TooMany,
}

/// A window that is still to be asked for.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub window: Window,
    /// Whether an event of the second `until` is known, so that a relay with an inclusive `until`
    /// sends it again.
    pub expects_until: bool,
    /// How many events the page before this one had. If this one brings new events, that page was
    /// cut off at that number.
    pub after: usize,
    /// How often it was asked smaller although nobody knows what the relay's words mean.
    pub doubts: u8,
}

/// The events that have arrived for one subscription so far.
#[derive(Debug)]
pub(crate) struct Page {
    pub task: Task,
    pub until_shift: u64,
    pub count: usize,
    /// How many events arrived whose author or time cannot be read.
    pub unreadable: usize,
    pub newest: u64,
    pub oldest: u64,
    /// The time of the last event. It is the oldest one if the relay sends the newest events first
    /// (NIP-01), even if the relay put other events before them.
    pub last: u64,
}

impl Page {
    pub(crate) fn holds(&self, author: &Pubkey, kind: u16, created_at: u64) -> bool {
        let window = &self.task.window;
        let since = window.since.saturating_sub(1);
        let until = window.until + self.until_shift;
        (since..=until).contains(&created_at)
            && window.kinds.contains(&kind)
            && (window.authors.is_empty() || window.authors.contains(author))
    }

    /// The time from which on, downwards, there may be more events: that of the last event or, if
    /// that brings no progress, that of the oldest, since some relays send the oldest first.
    pub(crate) fn reached(&self) -> u64 {
        if self.last < self.task.window.until {
            self.last
        } else {
            self.oldest
        }
    }
}

/// A second whose events filled a page, or may have filled it.
#[derive(Debug)]
pub(crate) struct FullSecond {
    pub window: Window,
    pub count: usize,
}
