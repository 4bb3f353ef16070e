//! [`Traffic`]: how much came from a relay, and how much of it was of use.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// So many bytes for each useful one are what honest relays send at most: a page repeats the
/// second at which the one before it ended.
const MOST_FOR_EACH_USEFUL: u64 = 4;

/// So many bytes more may be of no use: lists of what we have, NOTICEs, answers to several
/// tries, some events that are far too long.
const MOST_USELESS: u64 = 96 * 1024 * 1024;

/// What came from one relay over all connections of a session, in bytes. Shared with those who
/// learn what was of use.
#[derive(Debug, Default)]
pub struct Traffic {
    received: AtomicU64,
    useful: AtomicU64,
    waited_ms: AtomicU64,
    is_waiting_for_others: AtomicBool,
}

impl Traffic {
    /// A message of so many bytes came, after the relay was waited for so long.
    pub fn receive(&self, bytes: u64, waited: Duration) {
        self.received.fetch_add(bytes, Relaxed);
        self.wait(waited);
    }

    /// The relay was waited for so long.
    pub fn wait(&self, waited: Duration) {
        let ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        self.waited_ms.fetch_add(ms, Relaxed);
    }

    /// So many of the bytes were asked for and new.
    pub fn credit(&self, bytes: u64) {
        self.useful.fetch_add(bytes, Relaxed);
    }

    /// Whether the session waits for what other peers fetch, and not for its relay.
    pub fn wait_for_others(&self, does: bool) {
        self.is_waiting_for_others.store(does, Relaxed);
    }

    /// Bytes received.
    pub fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// Bytes that were of use.
    pub fn useful(&self) -> u64 {
        self.useful.load(Relaxed)
    }

    /// How long the relay was waited for.
    pub fn waited(&self) -> Duration {
        Duration::from_millis(self.waited_ms.load(Relaxed))
    }

    /// Whether the session waits for what other peers fetch.
    pub fn is_waiting_for_others(&self) -> bool {
        self.is_waiting_for_others.load(Relaxed)
    }

    /// Whether far more came than is of use.
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
