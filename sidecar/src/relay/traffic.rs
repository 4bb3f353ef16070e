//! [`Traffic`]: how many bytes a relay sent and was sent, and how many of its own were useful.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::relay::oversize::MOST_SKIPPED;

/// Honest relays send at most this many bytes for each useful byte: a page repeats the last second
/// of the page before it.
const MOST_FOR_EACH_USEFUL: u64 = 4;

/// Beyond that, a relay may send this many useless bytes: ids of events that we have, notices,
/// replies to several attempts, some events that are far too long.
const MOST_USELESS: u64 = 96 * 1024 * 1024;

/// The bytes that one relay sent and was sent over all connections of a session. Admission, which learns which
/// of them were useful, shares it.
#[derive(Debug, Default)]
pub struct Traffic {
    sent: AtomicU64,
    received: AtomicU64,
    useful: AtomicU64,
    waited_ms: AtomicU64,
    is_waiting_for_others: AtomicBool,
    is_reached: AtomicBool,
}

impl Traffic {
    /// Records that a connection to the relay was made.
    pub fn reach(&self) {
        self.is_reached.store(true, Relaxed);
    }

    /// Adds a message that was skipped because it was too long. One of this length at most.
    pub fn skip(&self, bytes: u64) {
        self.receive(bytes.min(MOST_SKIPPED), Duration::ZERO);
    }

    /// Counts a message of this many bytes, and the time that we waited for it.
    pub fn receive(&self, bytes: u64, waited: Duration) {
        self.received.fetch_add(bytes, Relaxed);
        self.wait(waited);
    }

    /// Counts a message of this many bytes that we send.
    pub fn send(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Relaxed);
    }

    /// Counts a time that we waited for the relay.
    pub fn wait(&self, waited: Duration) {
        let ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        self.waited_ms.fetch_add(ms, Relaxed);
    }

    /// Counts bytes that were asked for and new.
    pub fn credit(&self, bytes: u64) {
        self.useful.fetch_add(bytes, Relaxed);
    }

    /// Sets whether the session is waiting for events that other peers fetch, and not for its own
    /// relay.
    pub fn wait_for_others(&self, is_waiting: bool) {
        self.is_waiting_for_others.store(is_waiting, Relaxed);
    }

    /// Whether a connection to the relay was made.
    pub fn is_reached(&self) -> bool {
        self.is_reached.load(Relaxed)
    }

    /// How many bytes we sent.
    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// How many bytes were received.
    pub fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// How many bytes were useful.
    pub fn useful(&self) -> u64 {
        self.useful.load(Relaxed)
    }

    /// How long we waited for the relay.
    pub fn waited(&self) -> Duration {
        Duration::from_millis(self.waited_ms.load(Relaxed))
    }

    /// Whether the session is waiting for events that other peers fetch.
    pub fn is_waiting_for_others(&self) -> bool {
        self.is_waiting_for_others.load(Relaxed)
    }

    /// Whether the relay sent far more than is useful.
    pub fn is_wasted(&self) -> bool {
        let paid = self.useful().saturating_mul(MOST_FOR_EACH_USEFUL);
        self.received().saturating_sub(paid) > MOST_USELESS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn useful_bytes_pay_for_others() {
        let traffic = Traffic::default();
        traffic.receive(MOST_USELESS, Duration::from_millis(1500));
        assert!(!traffic.is_wasted());
        traffic.receive(1000, Duration::ZERO);
        assert!(traffic.is_wasted());
        traffic.credit(250);
        assert!(!traffic.is_wasted());
        assert_eq!(traffic.waited(), Duration::from_millis(1500));
    }
}
