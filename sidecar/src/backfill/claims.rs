//! Sharing out what is missing among the peers that have it, so that each event travels
//! once, from whoever is quickest.
//!
//! Nothing is planned ahead: a peer that is ready takes the next ids that nobody is
//! fetching. What it fails to deliver is free again for the others.

use std::collections::{BTreeMap, HashSet, VecDeque};

use constellation_shared::EventId;

use crate::admission::intake::PeerIndex;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody fetches it now.
    Free,
    /// This peer was asked for it.
    Asked(PeerIndex),
}

/// What a peer is given to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The ids that this peer is to fetch.
    Fetch(Vec<EventId>),
    /// Others are fetching what this peer has too; they may fail.
    Wait,
    /// Nothing is left that this peer could bring.
    Done,
}

/// Who has what, and who fetches it.
#[derive(Debug)]
pub(crate) struct Claims {
    /// What is missing still. What is settled takes no memory here.
    states: BTreeMap<EventId, State>,
    /// What each peer has and was not yet asked for.
    queues: Vec<VecDeque<EventId>>,
    /// What each peer listed and, asked for it, did not bring.
    failed: Vec<HashSet<EventId>>,
    /// How many are being fetched.
    asked: usize,
    /// How many came, or will not be taken from anybody.
    settled: usize,
}

impl Claims {
    /// Claims of this many peers, with nothing missing yet.
    pub(crate) fn new(peers: usize) -> Self {
        Self {
            states: BTreeMap::new(),
            queues: vec![VecDeque::new(); peers],
            failed: vec![HashSet::new(); peers],
            asked: 0,
            settled: 0,
        }
    }

    /// This peer has these, and we lack them. Each peer begins at another place, so that
    /// those who have the same do not all look at the same first.
    pub(crate) fn offer(&mut self, peer: PeerIndex, ids: impl IntoIterator<Item = EventId>) {
        let mut ids: Vec<EventId> = ids.into_iter().collect();
        ids.sort_unstable();
        let start = ids.len() * peer / self.queues.len().max(1);
        ids.rotate_left(start);
        for id in &ids {
            self.states.entry(*id).or_insert(State::Free);
        }
        if let Some(queue) = self.queues.get_mut(peer) {
            queue.extend(ids);
        }
    }

    /// At most `most` ids for this peer to fetch now.
    pub(crate) fn claim(&mut self, peer: PeerIndex, most: usize) -> Claim {
        let Some(queue) = self.queues.get_mut(peer) else {
            return Claim::Done;
        };
        let mut claimed = Vec::new();
        for _ in 0..queue.len() {
            if claimed.len() >= most {
                break;
            }
            let Some(id) = queue.pop_front() else { break };
            match self.states.get_mut(&id) {
                Some(state @ State::Free) => {
                    *state = State::Asked(peer);
                    self.asked += 1;
                    claimed.push(id);
                }
                Some(State::Asked(_)) => queue.push_back(id),
                // It is settled.
                None => {}
            }
        }
        match (claimed.is_empty(), queue.is_empty()) {
            (false, _) => Claim::Fetch(claimed),
            (true, false) => Claim::Wait,
            (true, true) => Claim::Done,
        }
    }

    /// The event is here, or is refused whoever sends it.
    pub(crate) fn settle(&mut self, id: EventId) {
        let before = self.states.remove(&id);
        self.asked -= usize::from(matches!(before, Some(State::Asked(_))));
        self.settled += usize::from(before.is_some());
    }

    /// What this peer has and others are fetching is free for it to fetch.
    pub(crate) fn take_over(&mut self, peer: PeerIndex) {
        for id in self.queues.get(peer).into_iter().flatten() {
            if let Some(state @ State::Asked(_)) = self.states.get_mut(id) {
                *state = State::Free;
                self.asked -= 1;
            }
        }
    }

    /// Whether anybody is fetching anything: as long as nobody fails, only the end of that
    /// changes something for those who wait.
    pub(crate) const fn is_fetching(&self) -> bool {
        self.asked > 0
    }

    /// This peer did not bring it: the others may.
    pub(crate) fn release(&mut self, peer: PeerIndex, id: EventId) {
        if let Some(state) = self.states.get_mut(&id)
            && *state == State::Asked(peer)
        {
            *state = State::Free;
            self.asked -= 1;
            if let Some(failed) = self.failed.get_mut(peer) {
                failed.insert(id);
            }
        }
    }

    /// How many ids this peer listed and, asked for them, did not bring.
    pub(crate) fn failures(&self, peer: PeerIndex) -> usize {
        self.failed.get(peer).map_or(0, HashSet::len)
    }

    /// The ids that this peer listed and, asked for them, did not bring.
    pub(crate) fn failed(&self, peer: PeerIndex) -> impl Iterator<Item = EventId> {
        self.failed.get(peer).into_iter().flatten().copied()
    }

    /// This peer was asked for these and the connection broke: it may be asked again.
    pub(crate) fn give_back(&mut self, peer: PeerIndex, ids: impl IntoIterator<Item = EventId>) {
        for id in ids {
            if let Some(state) = self.states.get_mut(&id)
                && *state == State::Asked(peer)
            {
                *state = State::Free;
                self.asked -= 1;
            }
            if let Some(queue) = self.queues.get_mut(peer) {
                queue.push_front(id);
            }
        }
    }

    /// This peer brings nothing more.
    pub(crate) fn leave(&mut self, peer: PeerIndex) {
        if let Some(queue) = self.queues.get_mut(peer) {
            queue.clear();
        }
        for state in self.states.values_mut() {
            if *state == State::Asked(peer) {
                *state = State::Free;
                self.asked -= 1;
            }
        }
    }

    /// How many were missing in all, and how many of them are settled.
    pub(crate) fn progress(&self) -> (usize, usize) {
        (self.states.len() + self.settled, self.settled)
    }

    /// What was missing and nobody brought.
    pub(crate) fn undelivered(&self) -> impl Iterator<Item = EventId> {
        self.states.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u16) -> EventId {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        EventId::from_bytes(bytes)
    }

    fn ids(numbers: std::ops::Range<u16>) -> impl Iterator<Item = EventId> {
        numbers.map(id)
    }

    fn fetched(claim: Claim) -> Vec<EventId> {
        match claim {
            Claim::Fetch(ids) => ids,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_id_is_fetched_once_and_the_quick_fetch_more() {
        let mut share = Claims::new(3);
        for peer in 0..3 {
            share.offer(peer, ids(0..1000));
        }
        let mut counts = [0; 3];
        // The first peer is twice as quick as the others.
        for turn in [0, 1, 0, 2].into_iter().cycle() {
            match share.claim(turn, 50) {
                Claim::Fetch(ids) => {
                    counts[turn] += ids.len();
                    ids.into_iter().for_each(|id| share.settle(id));
                }
                Claim::Done => break,
                Claim::Wait => panic!("nobody else is fetching"),
            }
        }
        assert_eq!(counts, [500, 250, 250]);
        assert_eq!(share.progress(), (1000, 1000));
    }

    #[test]
    fn what_one_fails_to_bring_the_next_is_asked_for() {
        let mut share = Claims::new(2);
        share.offer(0, ids(0..10));
        share.offer(1, ids(0..10));
        let first = fetched(share.claim(0, 100));
        assert_eq!(first.len(), 10);
        assert_eq!(share.claim(1, 100), Claim::Wait);
        for id in first {
            share.release(0, id);
        }
        assert_eq!(share.claim(0, 100), Claim::Done, "it was asked already");
        assert_eq!(fetched(share.claim(1, 100)).len(), 10);
        share.leave(1);
        assert_eq!(share.undelivered().count(), 10);
        assert_eq!(share.failed(0).count(), 10);
        assert_eq!(share.failed(1).count(), 0, "it left");
    }

    #[test]
    fn what_a_slow_one_holds_up_another_takes_over() {
        let mut share = Claims::new(2);
        share.offer(0, ids(0..10));
        share.offer(1, ids(0..10));
        let slow = fetched(share.claim(0, 10));
        assert_eq!(share.claim(1, 10), Claim::Wait);
        share.take_over(1);
        assert_eq!(fetched(share.claim(1, 10)).len(), 10);
        // The slow one brings some of it after all, and fails to bring the rest.
        slow[..3].iter().for_each(|id| share.settle(*id));
        slow[3..].iter().for_each(|id| share.release(0, *id));
        ids(3..10).for_each(|id| share.settle(id));
        assert_eq!(
            (share.claim(1, 10), share.progress()),
            (Claim::Done, (10, 10))
        );
        assert!(!share.is_fetching());
    }

    #[test]
    fn a_broken_connection_may_ask_again() {
        let mut share = Claims::new(1);
        share.offer(0, ids(0..3));
        let claimed = fetched(share.claim(0, 3));
        share.settle(claimed[0]);
        share.give_back(0, claimed[1..].iter().copied());
        assert_eq!(share.failed(0).count(), 0);
        assert_eq!(fetched(share.claim(0, 3)).len(), 2);
    }

    #[test]
    fn what_is_settled_is_asked_of_nobody() {
        let mut share = Claims::new(2);
        share.offer(1, [id(1)]);
        assert_eq!(share.claim(1, 9), Claim::Fetch(vec![id(1)]));
        share.offer(0, [id(1), id(2)]);
        share.settle(id(1));
        assert_eq!(share.progress(), (2, 1));
        assert_eq!(share.claim(0, 9), Claim::Fetch(vec![id(2)]));
        share.release(1, id(2));
        assert_eq!(
            share.claim(0, 9),
            Claim::Done,
            "only who was asked releases"
        );
    }
}
