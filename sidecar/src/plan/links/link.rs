//! [`Link`]: what is known of the connection to one live peer: how its events come, what it brought
//! lately, and when it is polled. No clock: callers pass the time in milliseconds.

/// In which time the weight of what a peer brought falls to half, in milliseconds.
const HALF_LIFE: f64 = 60_000.0;

/// The number by which the caller knows a live peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u32);

/// How the events of a peer come to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Its relay pushes every event that matches, whether or not it is here already.
    Subscribed,
    /// We reconcile the recent window with it from time to time, and fetch what we lack.
    Polled,
}

/// A count in which what happened long ago weighs little.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Recent {
    sum: f64,
    at: u64,
}

impl Recent {
    /// Counts one more.
    pub(super) fn add(&mut self, now: u64) {
        self.sum = self.sum_at(now) + 1.0;
        self.at = self.at.max(now);
    }

    /// The count by now.
    pub(super) fn sum_at(&self, now: u64) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "an age in milliseconds is far below 2^52"
        )]
        let age = now.saturating_sub(self.at) as f64;
        self.sum * (-age / HALF_LIFE).exp2()
    }
}

/// What came from a peer lately, however it came.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Brought {
    /// Events that were pushed and that nobody had brought before.
    pub(super) pushed_first: Recent,
    /// Events that were pushed and of no use: here already, or not let in.
    pub(super) pushed_in_vain: Recent,
    /// Events that a poll found here first, and that were let in.
    pub(super) fetched_first: Recent,
}

impl Brought {
    /// How many events were pushed.
    pub(super) fn pushed_at(&self, now: u64) -> f64 {
        self.pushed_first.sum_at(now) + self.pushed_in_vain.sum_at(now)
    }

    /// How many events came from this peer first.
    pub(super) fn first_at(&self, now: u64) -> f64 {
        self.pushed_first.sum_at(now) + self.fetched_first.sum_at(now)
    }

    /// The share of what was pushed that nobody had brought before; 1 if nothing was pushed.
    pub(super) fn share_first_at(&self, now: u64) -> f64 {
        let pushed = self.pushed_at(now);
        if pushed > 0.0 {
            self.pushed_first.sum_at(now) / pushed
        } else {
            1.0
        }
    }
}

/// The connection to one live peer. Times in milliseconds.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) mode: Mode,
    pub(super) can_be_polled: bool,
    /// Since when it has its mode.
    pub(super) mode_since: u64,
    pub(super) brought: Brought,
    /// When the last poll began.
    pub(super) polled_at: u64,
    /// Whether a poll is under way.
    pub(super) is_being_polled: bool,
    /// How long to wait from one poll to the next.
    pub(super) interval: u64,
    /// Until when it is not subscribed by way of trial, because the last trial brought nothing.
    pub(super) no_trial_before: u64,
    /// How long the next rest after a trial in vain is.
    pub(super) trial_rest: u64,
}

impl Link {
    pub(super) fn is_subscribed(&self) -> bool {
        self.mode == Mode::Subscribed
    }

    /// When the next poll is due, if the peer is polled and no poll is under way.
    pub(super) fn poll_due(&self) -> Option<u64> {
        (self.mode == Mode::Polled && !self.is_being_polled)
            .then_some(self.polled_at + self.interval)
    }
}
