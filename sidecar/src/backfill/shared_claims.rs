//! [`Claims`] for sessions that run side by side: who is waiting is told when something
//! changes.

use std::sync::{Mutex, MutexGuard};

use constellation_shared::EventId;
use tokio::sync::Notify;

use crate::admission::intake::PeerIndex;
use crate::backfill::claims::{Claim, Claims};
use crate::support::mutex::lock;

/// What is missing, shared out among the sessions of a run.
#[derive(Debug)]
pub struct SharedClaims {
    share: Mutex<Claims>,
    changed: Notify,
}

impl SharedClaims {
    /// Claims of this many peers.
    pub fn new(peers: usize) -> Self {
        Self {
            share: Mutex::new(Claims::new(peers)),
            changed: Notify::new(),
        }
    }

    fn share(&self) -> MutexGuard<'_, Claims> {
        lock(&self.share)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Claims) -> T) -> T {
        let result = change(&mut self.share());
        self.changed.notify_waiters();
        result
    }

    /// A peer has these events, and this station lacks them.
    pub fn offer(&self, peer: PeerIndex, ids: impl IntoIterator<Item = EventId>) {
        self.change(|share| share.offer(peer, ids));
    }

    /// Takes at most `most` ids for this peer to fetch now.
    pub fn claim(&self, peer: PeerIndex, most: usize) -> Claim {
        self.share().claim(peer, most)
    }

    /// Takes at most `most` ids for this peer, waiting until there are some or nothing is left.
    /// Can be dropped while it waits.
    pub async fn claim_patiently(&self, peer: PeerIndex, most: usize) -> Vec<EventId> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            match self.claim(peer, most) {
                Claim::Fetch(ids) => return ids,
                Claim::Done => return Vec::new(),
                Claim::Wait => changed.await,
            }
        }
    }

    /// Lets this peer fetch what others are fetching and it has, too.
    pub fn take_over(&self, peer: PeerIndex) {
        self.change(|share| share.take_over(peer));
    }

    /// The event is here, or is refused whoever sends it.
    pub fn settle(&self, id: EventId) {
        let mut share = self.share();
        share.settle(id);
        let is_fetching = share.is_fetching();
        drop(share);
        // Those who wait look through all that they have: not for each event anew.
        if !is_fetching {
            self.changed.notify_waiters();
        }
    }

    /// This peer did not bring these events: others may.
    pub fn release(&self, peer: PeerIndex, ids: impl IntoIterator<Item = EventId>) {
        self.change(|share| ids.into_iter().for_each(|id| share.release(peer, id)));
    }

    /// The connection broke before these came: this peer may be asked again.
    pub fn give_back(&self, peer: PeerIndex, ids: impl IntoIterator<Item = EventId>) {
        self.change(|share| share.give_back(peer, ids));
    }

    /// This peer brings nothing more.
    pub fn leave(&self, peer: PeerIndex) {
        self.change(|share| share.leave(peer));
    }

    /// How many events were missing in all, and how many of them are settled.
    pub fn progress(&self) -> (usize, usize) {
        self.share().progress()
    }

    /// The ids that this peer listed and, asked for them, did not bring.
    pub fn failed(&self, peer: PeerIndex) -> Vec<EventId> {
        self.share().failed(peer).collect()
    }

    /// How many ids this peer listed and, asked for them, did not bring.
    pub fn failures(&self, peer: PeerIndex) -> usize {
        self.share().failures(peer)
    }

    /// The ids that were missing and that nobody brought.
    pub fn undelivered(&self) -> Vec<EventId> {
        self.share().undelivered().collect()
    }
}
