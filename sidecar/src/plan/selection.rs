//! [`Selection`]: which peers a run asks. Up to 24 peers are all asked. Of more, a few are chosen so
//! that new events come soon wherever they appear, and that every live peer is asked in turn. No
//! clock, no file and no random numbers of its own: callers pass them.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::collections::btree_map::{BTreeMap, Entry};
use std::hash::{DefaultHasher, Hash, Hasher};

use fastrand::Rng;

use crate::plan::peer_history::PeerHistory;

/// Up to this many peers, a run asks all of them.
pub(crate) const ASK_ALL_UP_TO: usize = 24;

/// How many peers a run asks if there are more than [`ASK_ALL_UP_TO`].
pub(crate) const PEERS_PER_RUN: usize = 8;

/// How many peers a run asks if there are more than [`ASK_ALL_UP_TO`], on a machine with less
/// than [`SMALL_MEMORY`] bytes of memory.
pub(crate) const PEERS_PER_RUN_WHERE_SMALL: usize = 6;

/// The memory below which a machine counts as small, in bytes: 1 GB.
pub(crate) const SMALL_MEMORY: u64 = 1_000_000_000;

/// How many of the selected peers are chosen at random, because a score can be gamed.
const RANDOM: usize = 2;
/// How many of the selected peers are chosen by rotation, so that all peers but one at times are
/// asked within half as many runs as there are. Anybody can invent folders of stations, and must not keep the
/// rotation from coming to the true ones: peers that have never given anything take at most one of
/// the places if one of the others has waited for long.
const ROTATION: usize = 2;

/// One run in this many asks one of the dead peers. Otherwise a swarm with 300 dead stations
/// among 1,000 would cost every run two attempts, for ever.
const DEAD_PEER_INTERVAL: u32 = 4;

/// About how long it takes from one run to the next, in seconds.
const HOUR: u64 = 3600;

/// How many of the selected peers are asked at a time. Listing its ids costs a peer a tenth of
/// what sending the events does, so the other peers wait until the events of the first ones are
/// here and need not be listed any more. Two at a time, so that one slow peer does not hold up
/// the run.
pub(crate) const AT_ONCE: usize = 2;

/// A run asks at most this many times the number of selected peers, however many of them fail.
const MOST_TRIES: usize = 4;

/// If none of the selected peers can be reached, this many others are tried before our own link is
/// taken for the cause. Trying more would take long if it is, because each may time out.
const TRIES_WITHOUT_LINK: usize = 4;

/// The name of a station or a peer as a hash that is evenly spread and the same in every run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity(u64);

impl Identity {
    /// The identity for a node id or a relay's URL.
    pub fn of(name: &str) -> Self {
        // The seed of this hasher is fixed. Another release of Rust may use another hash, which
        // changes each station's order once and does no harm.
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        Self(hasher.finish())
    }

    /// A number from 0 to below `end`.
    pub const fn below(self, end: u64) -> u64 {
        match end {
            0 => 0,
            _ => self.0 % end,
        }
    }

    /// The rank of a peer in this station's own order of all peers.
    const fn order(self, peer: Self) -> u64 {
        // The finalizer of SplitMix64: each bit of either changes half of the result's.
        let mixed = self.0 ^ peer.0.rotate_left(32);
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// A peer that may be selected.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    /// The peer's identity.
    pub identity: Identity,
    /// The outcomes of earlier runs with the peer.
    pub history: PeerHistory,
}

/// Why a peer was selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    Best,
    Random,
    Rotation,
}

/// The peers that one run asks, as indices into the list of candidates.
#[derive(Debug)]
pub struct Selection {
    /// The peers to ask first, best first.
    first: Vec<usize>,
    reasons: BTreeMap<usize, Reason>,
    /// The peers that take the places of others.
    spare: BTreeMap<Reason, VecDeque<usize>>,
    /// How many peers failed.
    failures: usize,
    /// How many peers gave nothing, those that failed among them.
    lost: usize,
    is_anybody_reached: bool,
}

impl Selection {
    /// Selects all peers, best first. None is replaced if it fails.
    pub fn all(own: Identity, peers: &[Candidate]) -> Self {
        let mut first: Vec<usize> = (0..peers.len()).collect();
        sort_best_first(&mut first, own, peers);
        Self {
            first,
            reasons: BTreeMap::new(),
            spare: BTreeMap::new(),
            failures: 0,
            lost: 0,
            is_anybody_reached: false,
        }
    }

    /// Selects at most `most` peers for the run that begins at `now`, in Unix seconds: those with
    /// the highest scores, some at random, and some by rotation.
    pub fn some(
        own: Identity,
        peers: &[Candidate],
        most: usize,
        now: u64,
        chance: &mut Rng,
    ) -> Self {
        if peers.len() <= most {
            return Self::all(own, peers);
        }
        let by_rotation = ROTATION.min(most.div_ceil(2));
        let at_random = RANDOM.min(most - by_rotation);
        let by_score = most - by_rotation - at_random;
        let mut selection = Self {
            first: Vec::with_capacity(most),
            reasons: BTreeMap::new(),
            spare: candidates_by_reason(own, peers, most * MOST_TRIES, now, chance),
            failures: 0,
            lost: 0,
            is_anybody_reached: false,
        };
        for (reason, count) in [
            (Reason::Rotation, by_rotation),
            (Reason::Best, by_score),
            (Reason::Random, at_random),
        ] {
            for _ in 0..count {
                let next = selection.take(reason);
                selection.first.extend(next);
            }
        }
        sort_best_first(&mut selection.first, own, peers);
        selection
    }

    /// The peers to ask first, best first.
    pub fn first(&self) -> &[usize] {
        &self.first
    }

    /// How many peers are asked at a time: all of them if all were selected, otherwise two, so
    /// that the next ones need not list what the first ones have brought.
    pub fn at_once(&self) -> usize {
        if self.reasons.is_empty() {
            usize::MAX
        } else {
            AT_ONCE
        }
    }

    /// How many peers are asked at most, including those that replace failing ones.
    pub fn most_tries(&self) -> usize {
        if self.reasons.is_empty() {
            self.first.len()
        } else {
            self.first.len() * MOST_TRIES
        }
    }

    /// Records that a peer was reached, whatever it gives.
    pub const fn reached(&mut self) {
        self.is_anybody_reached = true;
    }

    /// Whether so many peers failed while none was reached that our own network must be the cause.
    /// No further peers are asked then.
    pub const fn has_no_link(&self) -> bool {
        !self.is_anybody_reached && self.failures >= self.first.len() + TRIES_WITHOUT_LINK
    }

    /// Records that a peer failed. Returns the peer that takes its place, if there is one.
    pub fn failed(&mut self, peer: usize) -> Option<usize> {
        self.failures += 1;
        self.left_alone(peer)
    }

    /// Records that a peer wants to be left alone, which says nothing of our own network. Returns the
    /// peer that takes its place, if there is one.
    pub fn left_alone(&mut self, peer: usize) -> Option<usize> {
        self.lost += 1;
        if self.lost > self.first.len() * (MOST_TRIES - 1) {
            return None;
        }
        let reason = *self.reasons.get(&peer)?;
        self.take(reason)
    }

    /// The next peer for this reason that was not selected before; if there is none, a random
    /// one.
    fn take(&mut self, reason: Reason) -> Option<usize> {
        for from in [reason, Reason::Random, Reason::Rotation] {
            while let Some(index) = self.spare.get_mut(&from).and_then(VecDeque::pop_front) {
                if let Entry::Vacant(entry) = self.reasons.entry(index) {
                    entry.insert(reason);
                    return Some(index);
                }
            }
        }
        None
    }
}

/// For each reason at most `count` peers that may be selected for it in the run that begins at
/// `now`, the first ones first.
fn candidates_by_reason(
    own: Identity,
    peers: &[Candidate],
    count: usize,
    now: u64,
    chance: &mut Rng,
) -> BTreeMap<Reason, VecDeque<usize>> {
    let (mut awake, mut dead) = (Vec::new(), Vec::new());
    for (index, peer) in peers.iter().enumerate() {
        if peer.history.rests(now) {
            continue;
        }
        if peer.history.is_dead() {
            dead.push(index);
        } else {
            awake.push(index);
        }
    }
    let history = |index: usize| {
        peers
            .get(index)
            .map_or_else(PeerHistory::default, |peer| peer.history)
    };
    let order = |index: usize| peers.get(index).map_or(0, |peer| own.order(peer.identity));
    let mut best: Vec<usize> = awake
        .iter()
        .copied()
        .filter(|&index| history(index).score > 0.0)
        .collect();
    least(&mut best, count, |index| {
        (Reverse(Score(history(index).score)), order(index))
    });
    let random = sample(&awake, count, chance);
    let (mut proven, mut unproven): (Vec<usize>, Vec<usize>) = awake
        .into_iter()
        .partition(|&index| history(index).is_proven());
    let turn = proven.len() as u64 * HOUR / ROTATION as u64;
    let longest_waiting = |index: usize| (history(index).last_asked_at(now), order(index));
    least(&mut proven, count, longest_waiting);
    // One that failed once has one more try, and rests for long if that fails too.
    least(&mut unproven, count, |index| {
        (Reverse(history(index).failures), longest_waiting(index))
    });
    let is_due = |&index: &usize| now - history(index).last_asked_at(now) > turn;
    let mut rotation = if !proven.first().is_some_and(is_due) {
        unproven.append(&mut proven);
        VecDeque::from(unproven)
    } else if chance.bool() {
        alternate(proven, unproven)
    } else {
        alternate(unproven, proven)
    };
    if chance.u32(..DEAD_PEER_INTERVAL) == 0 {
        // Of the dead peers, the one with the fewest failures is likeliest to be back. Whoever
        // invents new ones all the time must not keep the true ones from their turn.
        let is_for_true_ones = chance.bool();
        least(&mut dead, 1, |index| {
            let history = history(index);
            let is_invented = is_for_true_ones && !history.has_given;
            (
                is_invented,
                history.failures,
                history.last_failure,
                order(index),
            )
        });
        for index in dead {
            rotation.push_front(index);
        }
    }
    BTreeMap::from([
        (Reason::Best, VecDeque::from(best)),
        (Reason::Random, VecDeque::from(random)),
        (Reason::Rotation, rotation),
    ])
}

/// The indices of both in turn, and at the end what is left of the longer one.
fn alternate(first: Vec<usize>, second: Vec<usize>) -> VecDeque<usize> {
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut all = VecDeque::with_capacity(first.len() + second.len());
    while first.len() + second.len() > 0 {
        all.extend(first.next());
        all.extend(second.next());
    }
    all
}

/// A score as a key for sorting.
#[derive(PartialEq)]
struct Score(f64);

impl Eq for Score {}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

fn sort_best_first(indices: &mut [usize], own: Identity, peers: &[Candidate]) {
    indices.sort_by_key(|&index| {
        peers.get(index).map(|peer| {
            let score = Reverse(Score(peer.history.score));
            (score, own.order(peer.identity))
        })
    });
}

/// Keeps the `count` indices with the smallest keys, in ascending order.
fn least<K: Ord>(indices: &mut Vec<usize>, count: usize, key: impl Fn(usize) -> K) {
    if indices.len() > count {
        indices.select_nth_unstable_by_key(count, |&index| key(index));
        indices.truncate(count);
    }
    indices.sort_unstable_by_key(|&index| key(index));
}

/// At most `count` indices at random; some may occur twice.
fn sample(indices: &[usize], count: usize, chance: &mut Rng) -> Vec<usize> {
    let mut sample = Vec::with_capacity(count);
    // A repeated index is skipped when it is taken.
    for _ in 0..2 * count.min(indices.len()) {
        sample.extend(indices.get(chance.usize(..indices.len())));
    }
    sample
}

#[cfg(test)]
mod tests;
