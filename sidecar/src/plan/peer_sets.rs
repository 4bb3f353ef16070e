//! [`PeerSets`]: in what the set of each peer differs from ours for good
//! (`strfry/constellation-peer-sets`), so that reconciling equal sets costs next to nothing. The
//! file may be deleted at any time: then it is learned again.
//!
//! What a peer lacks is left out of the set that we reconcile with it; what it holds of authors
//! whom nobody here follows is added. Nothing of this decides what comes in: what is left out by
//! mistake is listed by the peer and is here already, and an event counts as unwanted only once
//! its id was found to be the hash of its content.

mod codec;
mod way;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use constellation_shared::{EventId, Pubkey};

use crate::relay::about::{About, has_author};
use crate::relay::filter::Window;
use crate::relay::negentropy::LocalEvent;
use crate::support::state_file::PEER_SETS;

pub(crate) use way::{Naming, Span, Way};

/// How many events that it lacks are remembered of one peer at most.
const MOST_LACKED: usize = 50_000;

/// How many unwanted events are remembered of one peer at most.
pub(crate) const MOST_UNWANTED: usize = 100_000;

/// How many unwanted events are remembered of all peers together at most. While there is no room,
/// nothing is learned, and the authors are named.
const MOST_UNWANTED_IN_ALL: usize = 300_000;

/// Once a peer, or all peers together, reach this percentage of the most unwanted events, only
/// those of the last days are kept: these are the ones that most runs ask for.
const FULL_PERCENT: usize = 90;

/// The last days, in seconds: more than what counts as recent.
const KEPT_IF_FULL: u64 = 3 * 86_400;

/// How many ids are remembered of all peers together at most. Peers that were not asked for the
/// longest time are forgotten first.
const MOST_IN_ALL: usize = 1_000_000;

/// How many peers are remembered at most.
const MOST_PEERS: usize = 1_000;

/// The first bytes of an id. Where two events share them, a few bytes more travel.
type IdPrefix = u64;

fn prefix(id: &EventId) -> IdPrefix {
    let first = id.as_bytes().first_chunk().copied();
    IdPrefix::from_be_bytes(first.unwrap_or_default())
}

/// The ids of events that a peer lacks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lacked(BTreeSet<IdPrefix>);

impl Lacked {
    /// Whether the peer lacks this event.
    pub(crate) fn contains(&self, id: &EventId) -> bool {
        self.0.contains(&prefix(id))
    }
}

/// In what one peer's set differs from ours.
#[derive(Debug, Clone, Default, PartialEq)]
struct PeerSet {
    /// When the peer was last asked, in Unix seconds.
    last_asked: u64,
    /// Events of our set that it lacks.
    lacks: BTreeSet<IdPrefix>,
    /// Unwanted events that it holds.
    holds: BTreeSet<IdPrefix>,
    /// How it is asked for recent events.
    recent: Way,
    /// How it is asked for older events.
    older: Way,
}

/// In what the sets of all peers differ from ours.
#[derive(Debug, Default, PartialEq)]
pub struct PeerSets {
    /// Genuine events that some peer holds and nobody here wants.
    unwanted: BTreeMap<EventId, About>,
    /// By the peer's address.
    peers: BTreeMap<String, PeerSet>,
}

impl PeerSets {
    /// Reads the file; nothing is known if it is missing, broken or of another version. Events of
    /// an author who is followed now are wanted from now on. `followed` is in ascending order.
    pub(crate) fn load(path: &Path, followed: &[Pubkey]) -> Self {
        let mut sets = PEER_SETS
            .read(path)
            .and_then(|bytes| codec::decode(&bytes))
            .unwrap_or_default();
        sets.unwanted
            .retain(|_, about| !has_author(followed, &about.author));
        sets
    }

    /// Begins a session with a peer at `now`, in Unix seconds. Returns whether it was asked in an
    /// earlier run.
    pub(crate) fn begin(&mut self, peer: &str, now: u64) -> bool {
        let set = self.peers.entry(peer.to_owned()).or_default();
        let is_known = set.last_asked != 0;
        set.last_asked = now;
        is_known
    }

    /// How a peer is asked for events of a span.
    pub(crate) fn way(&self, peer: &str, span: Span) -> Way {
        let set = self.peers.get(peer);
        set.map(|set| *set.way(span)).unwrap_or_default()
    }

    /// Sets how a peer is asked for events of a span from now on.
    pub(crate) fn set_way(&mut self, peer: &str, span: Span, way: Way) {
        if let Some(set) = self.peers.get_mut(peer) {
            match span {
                Span::Recent => set.recent = way,
                Span::Older => set.older = way,
            }
        }
    }

    /// The events that a peer lacks.
    pub(crate) fn lacked(&self, peer: &str) -> Lacked {
        let set = self.peers.get(peer);
        Lacked(set.map(|set| set.lacks.clone()).unwrap_or_default())
    }

    /// The unwanted events of a window that a peer holds.
    pub(crate) fn unwanted(&self, peer: &str, window: &Window) -> Vec<LocalEvent> {
        let Some(set) = self.peers.get(peer) else {
            return Vec::new();
        };
        let span = window.since..=window.until;
        let unwanted = self.unwanted.iter();
        unwanted
            .filter(|(id, about)| {
                span.contains(&about.created_at)
                    && window.kinds.contains(&about.kind)
                    && set.holds.contains(&prefix(id))
            })
            .map(|(id, about)| LocalEvent {
                created_at: about.created_at,
                id: *id,
            })
            .collect()
    }

    /// Whether an event is known to be unwanted.
    pub(crate) fn is_unwanted(&self, id: &EventId) -> bool {
        self.unwanted.contains_key(id)
    }

    /// How many more unwanted events may be learned of a peer.
    pub(crate) fn room(&self, peer: &str) -> usize {
        let held = self.peers.get(peer).map_or(0, |set| set.holds.len());
        let of_peer = MOST_UNWANTED.saturating_sub(held);
        of_peer.min(MOST_UNWANTED_IN_ALL.saturating_sub(self.unwanted.len()))
    }

    /// Remembers that a peer holds an unwanted event, whose id is the hash of its content.
    pub(crate) fn learn(&mut self, peer: &str, id: EventId, about: About) {
        if self.room(peer) > 0 {
            self.unwanted.insert(id, about);
            self.holds(peer, [id]);
        }
    }

    /// Remembers that a peer holds these events, of which only the unwanted ones count.
    pub(crate) fn holds(&mut self, peer: &str, ids: impl IntoIterator<Item = EventId>) {
        let Some(set) = self.peers.get_mut(peer) else {
            return;
        };
        for id in ids {
            if set.holds.len() < MOST_UNWANTED && self.unwanted.contains_key(&id) {
                set.holds.insert(prefix(&id));
            }
        }
    }

    /// Remembers that a peer lacks these events, all of which were in the set that was compared.
    pub(crate) fn lacks(&mut self, peer: &str, ids: impl IntoIterator<Item = EventId>) {
        let Some(set) = self.peers.get_mut(peer) else {
            return;
        };
        for id in ids {
            if self.unwanted.contains_key(&id) {
                set.holds.remove(&prefix(&id));
                continue;
            }
            // Much of what fills it is not here any more either: it begins anew.
            if set.lacks.len() >= MOST_LACKED {
                set.lacks.clear();
            }
            set.lacks.insert(prefix(&id));
        }
    }

    /// Remembers that a peer has these events, which it may have lacked before.
    pub(crate) fn has(&mut self, peer: &str, ids: &[EventId]) {
        if let Some(set) = self.peers.get_mut(peer) {
            for id in ids {
                set.lacks.remove(&prefix(id));
            }
        }
    }

    /// Writes the file atomically at `now`, in Unix seconds, without what no peer holds any more
    /// and without the peers for which there is no room.
    ///
    /// # Errors
    /// If the file cannot be written; it is then unchanged.
    pub(crate) fn save(&mut self, path: &Path, now: u64) -> io::Result<()> {
        self.forget_peers();
        self.make_room(now);
        let mut held: BTreeSet<IdPrefix> = BTreeSet::new();
        for set in self.peers.values() {
            held.extend(&set.holds);
        }
        self.unwanted.retain(|id, _| held.contains(&prefix(id)));
        let known: BTreeSet<IdPrefix> = self.unwanted.keys().map(prefix).collect();
        for set in self.peers.values_mut() {
            set.holds.retain(|id| known.contains(id));
        }
        PEER_SETS.write(path, &codec::encode(self))
    }

    /// Forgets older unwanted events where there are so many that soon no new ones could be learned.
    /// For older events, the authors are named then.
    fn make_room(&mut self, now: u64) {
        let is_full = |held: usize, most: usize| held * 100 >= most * FULL_PERCENT;
        let are_full = is_full(self.unwanted.len(), MOST_UNWANTED_IN_ALL);
        let oldest = now.saturating_sub(KEPT_IF_FULL);
        let kept = self.unwanted.iter();
        let kept = kept.filter(|(_, about)| about.created_at >= oldest);
        let kept: BTreeSet<IdPrefix> = kept.map(|(id, _)| prefix(id)).collect();
        for set in self.peers.values_mut() {
            if are_full || is_full(set.holds.len(), MOST_UNWANTED) {
                set.older = Way::failed(now);
                set.holds.retain(|id| kept.contains(id));
            }
        }
    }

    fn forget_peers(&mut self) {
        let mut by_age: Vec<(u64, String)> = self
            .peers
            .iter()
            .map(|(peer, set)| (set.last_asked, peer.clone()))
            .collect();
        by_age.sort_unstable_by(|a, b| b.cmp(a));
        let mut ids = 0;
        for (place, (_, peer)) in by_age.iter().enumerate() {
            let size = self.peers.get(peer).map_or(0, PeerSet::size);
            if place >= MOST_PEERS || ids + size > MOST_IN_ALL {
                self.peers.remove(peer);
            } else {
                ids += size;
            }
        }
    }
}

impl PeerSet {
    const fn way(&self, span: Span) -> &Way {
        match span {
            Span::Recent => &self.recent,
            Span::Older => &self.older,
        }
    }

    fn size(&self) -> usize {
        self.lacks.len() + self.holds.len()
    }
}

#[cfg(test)]
mod tests;
