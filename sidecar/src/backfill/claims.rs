//! Sharing out what is missing among the peers that have it, so that each event travels
//! once, from whoever is quickest.
//!
//! Nothing is planned ahead: a peer that is ready takes the next ids that nobody is
//! fetching. What it fails to deliver is free again for the others.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet, VecDeque};

use constellation_shared::EventId;

use crate::admission::intake::PeerIndex;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody fetches it now.
    Free,
    /// The peer with this number was asked for it.
    Asked(u32),
}

/// The state of an event for which this peer was asked. A run has less than four billion peers.
fn asked_of(peer: PeerIndex) -> State {
    State::Asked(u32::try_from(peer).unwrap_or(u32::MAX))
}

/// A missing event.
#[derive(Debug, Clone, Copy)]
struct Missing {
    state: State,
    /// How many peers have it and were not yet asked for it.
    queued: u32,
}

impl Missing {
    /// Whether nobody will bring it: all who listed it were asked in vain.
    const fn is_given_up(self) -> bool {
        matches!(self.state, State::Free) && self.queued == 0
    }
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

/// How many events were missing, and how many of them are not any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimsProgress {
    /// How many events were missing in all.
    pub missing: usize,
    /// How many of them came, or are refused whoever sends them.
    pub settled: usize,
    /// How many of them nobody will bring: all peers that listed them were asked in vain.
    pub given_up: usize,
}

/// Which peer has which missing events, and who fetches them.
#[derive(Debug)]
pub(crate) struct Claims {
    /// The events that are still missing. Those that are settled are removed.
    states: BTreeMap<EventId, Missing>,
    /// The events that each peer has and was not yet asked for.
    queues: Vec<VecDeque<EventId>>,
    /// The events that each peer listed and, asked for them, did not bring.
    failed: Vec<HashSet<EventId>>,
    /// How many events are being fetched.
    asked: usize,
    /// How many events came, or are refused whoever sends them.
    settled: usize,
    /// How many of the missing events nobody will bring.
    given_up: usize,
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
            given_up: 0,
        }
    }

    /// Changes what is known of a missing event.
    fn change(&mut self, id: EventId, change: impl FnOnce(&mut Missing)) {
        if let Some(missing) = self.states.get_mut(&id) {
            let was_given_up = missing.is_given_up();
            change(missing);
            self.given_up += usize::from(missing.is_given_up());
            self.given_up -= usize::from(was_given_up);
        }
    }

    /// Records that this peer has these events, and that we lack them. Each peer begins at another
    /// place, so that peers with the same events do not all begin with the same ones.
    pub(crate) fn offer(&mut self, peer: PeerIndex, ids: impl IntoIterator<Item = EventId>) {
        let mut ids: Vec<EventId> = ids.into_iter().collect();
        ids.sort_unstable();
        let start = ids.len() * peer / self.queues.len().max(1);
        ids.rotate_left(start);
        for id in &ids {
            let new = Missing {
                state: State::Free,
                queued: 0,
            };
            if let Entry::Vacant(place) = self.states.entry(*id) {
                place.insert(new);
                self.given_up += 1;
            }
            self.change(*id, |missing| missing.queued += 1);
        }
        if let Some(queue) = self.queues.get_mut(peer) {
            queue.extend(ids);
        }
    }

    /// Claims at most `most` ids for this peer to fetch now.
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
            // A place in the queue is worth something as long as the event is missing.
            match self.states.get_mut(&id) {
                Some(missing) if missing.state == State::Free => {
                    missing.state = asked_of(peer);
                    missing.queued = missing.queued.saturating_sub(1);
                    self.asked += 1;
                    claimed.push(id);
                }
                Some(_) => queue.push_back(id),
                // It is settled.
                None => {}
            }
        }
        if !claimed.is_empty() {
            Claim::Fetch(claimed)
        } else if queue.is_empty() {
            Claim::Done
        } else {
            Claim::Wait
        }
    }

    /// Records that the event is here, or is refused whoever sends it.
    pub(crate) fn settle(&mut self, id: EventId) {
        let Some(before) = self.states.remove(&id) else {
            return;
        };
        self.asked -= usize::from(before.state != State::Free);
        self.given_up -= usize::from(before.is_given_up());
        self.settled += 1;
    }

    /// Frees what others are fetching and this peer has, too, so that this peer can fetch it.
    pub(crate) fn take_over(&mut self, peer: PeerIndex) {
        for id in self.queues.get(peer).into_iter().flatten() {
            if let Some(missing) = self.states.get_mut(id)
                && missing.state != State::Free
            {
                missing.state = State::Free;
                self.asked -= 1;
            }
        }
    }

    /// Whether any peer is fetching anything. As long as no peer fails, the peers that wait have
    /// something new to learn only when this ends.
    pub(crate) const fn is_fetching(&self) -> bool {
        self.asked > 0
    }

    /// Records that this peer did not bring the event, and frees it for the others.
    pub(crate) fn release(&mut self, peer: PeerIndex, id: EventId) {
        if self.free(peer, id)
            && let Some(failed) = self.failed.get_mut(peer)
        {
            failed.insert(id);
        }
    }

    /// Records that this peer sent the event in a form that cannot be taken, which is not held against
    /// it, and frees the event for the others.
    pub(crate) fn pass_over(&mut self, peer: PeerIndex, id: EventId) {
        self.free(peer, id);
    }

    /// Frees the event if this peer was asked for it; returns whether it was.
    fn free(&mut self, peer: PeerIndex, id: EventId) -> bool {
        let state = self.states.get(&id).map(|missing| missing.state);
        let was_asked = state == Some(asked_of(peer));
        if was_asked {
            self.change(id, |missing| missing.state = State::Free);
            self.asked -= 1;
        }
        was_asked
    }

    /// How many ids this peer listed and, asked for them, did not bring.
    pub(crate) fn failures(&self, peer: PeerIndex) -> usize {
        self.failed.get(peer).map_or(0, HashSet::len)
    }

    /// The ids that this peer listed and, asked for them, did not bring.
    pub(crate) fn failed(&self, peer: PeerIndex) -> impl Iterator<Item = EventId> {
        self.failed.get(peer).into_iter().flatten().copied()
    }

    /// Records that the connection broke before these came. The same peer may be asked again.
    pub(crate) fn give_back(&mut self, peer: PeerIndex, ids: impl IntoIterator<Item = EventId>) {
        for id in ids {
            self.free(peer, id);
            if let Some(queue) = self.queues.get_mut(peer) {
                queue.push_front(id);
                self.change(id, |missing| missing.queued += 1);
            }
        }
    }

    /// Records that this peer does not have these events after all, which it did not bring: they
    /// are missing only if another peer listed them, too.
    pub(crate) fn withdraw(&mut self, peer: PeerIndex, ids: &[EventId]) {
        if let Some(failed) = self.failed.get_mut(peer) {
            ids.iter().for_each(|id| {
                failed.remove(id);
            });
        }
        let mut withdrawn: HashSet<EventId> = ids.iter().copied().collect();
        let listed = self.queues.iter().flatten();
        listed.for_each(|id| {
            withdrawn.remove(id);
        });
        withdrawn.retain(|id| !self.failed.iter().any(|failed| failed.contains(id)));
        for id in withdrawn {
            if let Some(missing) = self.states.get(&id)
                && missing.state == State::Free
            {
                self.given_up -= usize::from(missing.is_given_up());
                self.states.remove(&id);
            }
        }
    }

    /// Records that this peer brings nothing more.
    pub(crate) fn leave(&mut self, peer: PeerIndex) {
        let left = self.queues.get_mut(peer).map(std::mem::take);
        for id in left.into_iter().flatten() {
            self.change(id, |missing| {
                missing.queued = missing.queued.saturating_sub(1);
            });
        }
        for missing in self.states.values_mut() {
            if missing.state == asked_of(peer) {
                missing.state = State::Free;
                self.asked -= 1;
                self.given_up += usize::from(missing.is_given_up());
            }
        }
    }

    /// How far the sharing out has come.
    pub(crate) fn progress(&self) -> ClaimsProgress {
        ClaimsProgress {
            missing: self.states.len() + self.settled,
            settled: self.settled,
            given_up: self.given_up,
        }
    }

    /// The ids that were missing and that no peer brought.
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

    fn progress(claims: &Claims) -> (usize, usize) {
        let ClaimsProgress {
            missing, settled, ..
        } = claims.progress();
        (missing, settled)
    }

    fn given_up(claims: &Claims) -> usize {
        claims.progress().given_up
    }

    fn fetched(claim: Claim) -> Vec<EventId> {
        match claim {
            Claim::Fetch(ids) => ids,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_id_is_fetched_once_and_the_quick_fetch_more() {
        let mut claims = Claims::new(3);
        for peer in 0..3 {
            claims.offer(peer, ids(0..1000));
        }
        let mut counts = [0; 3];
        // The first peer is twice as quick as the others.
        for turn in [0, 1, 0, 2].into_iter().cycle() {
            match claims.claim(turn, 50) {
                Claim::Fetch(ids) => {
                    counts[turn] += ids.len();
                    ids.into_iter().for_each(|id| claims.settle(id));
                }
                Claim::Done => break,
                Claim::Wait => panic!("nobody else is fetching"),
            }
        }
        assert_eq!(counts, [500, 250, 250]);
        assert_eq!(progress(&claims), (1000, 1000));
    }

    #[test]
    fn what_one_fails_to_bring_the_next_is_asked_for() {
        let mut claims = Claims::new(2);
        claims.offer(0, ids(0..10));
        claims.offer(1, ids(0..10));
        let first = fetched(claims.claim(0, 100));
        assert_eq!(first.len(), 10);
        assert_eq!(claims.claim(1, 100), Claim::Wait);
        for id in first {
            claims.release(0, id);
        }
        assert_eq!(claims.claim(0, 100), Claim::Done, "it was asked already");
        assert_eq!(given_up(&claims), 0, "the other one may bring it");
        assert_eq!(fetched(claims.claim(1, 100)).len(), 10);
        claims.leave(1);
        assert_eq!(given_up(&claims), 10);
        assert_eq!(claims.undelivered().count(), 10);
        assert_eq!(claims.failed(0).count(), 10);
        assert_eq!(claims.failed(1).count(), 0, "it left");
    }

    #[test]
    fn what_a_slow_one_holds_up_another_takes_over() {
        let mut claims = Claims::new(2);
        claims.offer(0, ids(0..10));
        claims.offer(1, ids(0..10));
        let slow = fetched(claims.claim(0, 10));
        assert_eq!(claims.claim(1, 10), Claim::Wait);
        claims.take_over(1);
        assert_eq!(fetched(claims.claim(1, 10)).len(), 10);
        // The slow one brings some of it after all, and fails to bring the rest.
        slow[..3].iter().for_each(|id| claims.settle(*id));
        slow[3..].iter().for_each(|id| claims.release(0, *id));
        ids(3..10).for_each(|id| claims.settle(id));
        assert_eq!(
            (claims.claim(1, 10), progress(&claims)),
            (Claim::Done, (10, 10))
        );
        assert!(!claims.is_fetching());
        assert_eq!(given_up(&claims), 0);
    }

    /// Whatever happens, in whatever order: it is the number of those that nobody fetches and that
    /// are in nobody's queue.
    #[test]
    fn what_nobody_will_bring_is_counted_as_it_happens() {
        let mut chance = fastrand::Rng::with_seed(7);
        for _ in 0..300 {
            let mut claims = Claims::new(3);
            let mut settled = HashSet::new();
            for _ in 0..80 {
                let peer = chance.usize(..3);
                let mut some: Vec<EventId> = (0..5).map(|_| id(chance.u16(..20))).collect();
                match chance.u8(..9) {
                    0 => {
                        // What is here is offered by nobody.
                        some.retain(|id| !settled.contains(id));
                        claims.offer(peer, some);
                    }
                    1 | 2 => drop(claims.claim(peer, 4)),
                    3 => {
                        settled.insert(some[0]);
                        claims.settle(some[0]);
                    }
                    4 => claims.take_over(peer),
                    5 => some.iter().for_each(|id| claims.release(peer, *id)),
                    6 => claims.pass_over(peer, some[0]),
                    7 => claims.withdraw(peer, &some),
                    _ if chance.u8(..4) == 0 => claims.leave(peer),
                    _ => {
                        let state =
                            |id: &EventId| claims.states.get(id).map(|missing| missing.state);
                        let asked = some.iter().filter(|id| state(id) == Some(asked_of(peer)));
                        let asked: Vec<EventId> = asked.copied().collect();
                        claims.give_back(peer, asked);
                    }
                }
                let is_queued = |id: &EventId| claims.queues.iter().any(|queue| queue.contains(id));
                let left = claims
                    .states
                    .iter()
                    .filter(|(id, missing)| missing.state == State::Free && !is_queued(id));
                assert_eq!(given_up(&claims), left.count());
            }
        }
    }

    #[test]
    fn what_a_peer_does_not_have_after_all_is_missing_only_if_another_lists_it() {
        let mut claims = Claims::new(3);
        claims.offer(0, ids(0..4));
        claims.offer(1, ids(1..2));
        claims.offer(2, ids(2..3));
        for id in fetched(claims.claim(0, 9)) {
            claims.release(0, id);
        }
        fetched(claims.claim(1, 9))
            .into_iter()
            .for_each(|id| claims.release(1, id));
        let all: Vec<EventId> = ids(0..4).collect();
        claims.withdraw(0, &all);
        assert_eq!((claims.failures(0), claims.failures(1)), (0, 1));
        let undelivered: Vec<EventId> = claims.undelivered().collect();
        assert_eq!(undelivered, [id(1), id(2)]);
    }

    #[test]
    fn a_broken_connection_may_ask_again() {
        let mut claims = Claims::new(1);
        claims.offer(0, ids(0..3));
        let claimed = fetched(claims.claim(0, 3));
        claims.settle(claimed[0]);
        claims.give_back(0, claimed[1..].iter().copied());
        assert_eq!(claims.failed(0).count(), 0);
        assert_eq!(fetched(claims.claim(0, 3)).len(), 2);
    }

    #[test]
    fn what_is_settled_is_asked_of_nobody() {
        let mut claims = Claims::new(2);
        claims.offer(1, [id(1)]);
        assert_eq!(claims.claim(1, 9), Claim::Fetch(vec![id(1)]));
        claims.offer(0, [id(1), id(2)]);
        claims.settle(id(1));
        assert_eq!(progress(&claims), (2, 1));
        assert_eq!(claims.claim(0, 9), Claim::Fetch(vec![id(2)]));
        claims.release(1, id(2));
        assert_eq!(
            claims.claim(0, 9),
            Claim::Done,
            "only who was asked releases"
        );
    }
}
