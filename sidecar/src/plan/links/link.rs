//! [`Link`]: what is known of the connection to one live peer: which authors its subscription leaves
//! out, what it brought lately, and when it is polled. No clock: callers pass the time in milliseconds.

use std::collections::BTreeSet;

use constellation_shared::Pubkey;

/// In which time the weight of what happened falls to half, in milliseconds.
const HALF_LIFE: f64 = 60_000.0;

/// The number by which the caller knows a live peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u32);

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

/// The connection to one live peer. Times in milliseconds.
#[derive(Debug, Clone, Default)]
pub(super) struct Link {
    pub(super) can_be_polled: bool,
    /// The authors that its subscription leaves out.
    pub(super) left_out: BTreeSet<Pubkey>,
    /// When the caller was last told to subscribe.
    pub(super) subscribed_at: u64,
    /// How many events were pushed in vain or fetched although they could have been pushed, since the
    /// caller was last told to subscribe.
    pub(super) misplaced: usize,
    /// How many events were pushed lately that are not let in, or that were here although it is their
    /// route.
    pub(super) useless: Recent,
    /// How many events of lately it was the first to bring.
    pub(super) first: Recent,
    /// Until when it is nobody's route.
    pub(super) distrusted_until: u64,
    /// When the last poll began.
    pub(super) polled_at: u64,
    /// Whether a poll is under way.
    pub(super) is_being_polled: bool,
    /// How long to wait from one poll to the next.
    pub(super) interval: u64,
}

impl Link {
    /// Whether its relay pushes whatever it gets.
    pub(super) fn is_whole(&self) -> bool {
        self.left_out.is_empty()
    }

    /// When the next poll is due, if the peer is polled and no poll is under way.
    pub(super) fn poll_due(&self) -> Option<u64> {
        (!self.is_whole() && !self.is_being_polled).then_some(self.polled_at + self.interval)
    }
}
