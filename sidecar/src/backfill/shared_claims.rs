//! [`SharedClaims`]: the [`Claims`] of sessions that run side by side. A session that waits is woken
//! when something changes.

use std::sync::{Mutex, MutexGuard};

use constellation_shared::EventId;
use tokio::sync::Notify;

use crate::admission::intake::PeerIndex;
use crate::backfill::claims::{Claim, Claims, ClaimsProgress};
use crate::support::mutex::lock;

/// What is missing, shared out among the sessions of a run.
#[derive(Debug)]
pub struct SharedClaims {
    claims: Mutex<Claims>,
    changed: Notify,
}

impl SharedClaims {
    /// Claims of this many peers.
    pub fn new(peers: usize) -> Self {
        Self {
            claims: Mutex::new(Claims::new(peers)),
            changed: Notify::new(),
        }
    }

    fn claims(&self) -> MutexGuard<'_, Claims> {
        lock(&self.claims)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Claims) -> T) -> T {
        let result = change(&mut self.claims());
        self.changed.notify_waiters();
        result
    }

    /// A peer has these events, and this station lacks them.
    pub fn offer(&self, peer: PeerIndex, ids: impl IntoIterator<Item = EventId>) {
        self.change(|claims| claims.offer(peer, ids));
    }

    /// Takes at most `most` ids for this peer to fetch now.
    pub fn claim(&self, peer: PeerIndex, most: usize) -> Claim {
        self.claims().claim(peer, most)
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
        self.change(|claims| claims.take_over(peer));
    }

    /// The event is here, or is refused whoever sends it.
    pub fn settle(&self, id: EventId) {
        let mut claims = self.claims();
        claims.settle(id);
        let is_fetching = claims.is_fetching();
        drop(claims);
        // Those who wait look through all that they have: not for each event anew.
        if !is_fetching {
            self.changed.notify_waiters();
        }
    }

    /// This peer did not bring these events: others may.
    pub fn release(&self, peer: PeerIndex, ids: impl IntoIterator<Item = EventId>) {
        self.change(|claims| ids.into_iter().for_each(|id| claims.release(peer, id)));
    }

    /// This peer sent these events in a form that cannot be taken: others may do better.
    pub fn pass_over(&self, peer: PeerIndex, ids: impl IntoIterator<Item = EventId>) {
        self.change(|claims| ids.into_iter().for_each(|id| claims.pass_over(peer, id)));
    }

    /// The connection broke before these came: this peer may be asked again.
    pub fn give_back(&self, peer: PeerIndex, ids: impl IntoIterator<Item = EventId>) {
        self.change(|claims| claims.give_back(peer, ids));
    }

    /// This peer does not have these events after all, which it did not bring.
    pub fn withdraw(&self, peer: PeerIndex, ids: &[EventId]) {
        self.change(|claims| claims.withdraw(peer, ids));
    }

    /// This peer brings nothing more.
    pub fn leave(&self, peer: PeerIndex) {
        self.change(|claims| claims.leave(peer));
    }

    /// How far the sharing out has come.
    pub fn progress(&self) -> ClaimsProgress {
        self.claims().progress()
    }

    /// The ids that this peer listed and, asked for them, did not bring.
    pub fn failed(&self, peer: PeerIndex) -> Vec<EventId> {
        self.claims().failed(peer).collect()
    }

    /// How many ids this peer listed and, asked for them, did not bring.
    pub fn failures(&self, peer: PeerIndex) -> usize {
        self.claims().failures(peer)
    }

    /// The ids that were missing and that nobody brought.
    pub fn undelivered(&self) -> Vec<EventId> {
        self.claims().undelivered().collect()
    }
}
