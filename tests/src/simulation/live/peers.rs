//! [`Peers`]: which peers a station reads from, as the selection of `constellation-sync` chooses them.

use std::collections::BTreeMap;

use constellation_sync::testing::peer_history::{self, PeerHistory, PeerOutcome};
use constellation_sync::testing::selection::{Candidate, Identity, Selection};
use fastrand::Rng;

/// When the simulation begins, in Unix seconds.
const BEGIN: u64 = 1_800_000_000;

/// Which peers a station reads from.
#[derive(Debug, Default)]
pub struct Peers {
    own: u32,
    /// The peers, and how many events each was the first to bring.
    brought: BTreeMap<u32, u64>,
    histories: BTreeMap<u32, PeerHistory>,
}

impl Peers {
    /// The first peers of a station, chosen among all stations.
    pub fn new(own: u32, identities: &[Identity], most: usize, chance: &mut Rng) -> Self {
        let mut peers = Self {
            own,
            ..Self::default()
        };
        let chosen = peers.select(identities, most, BEGIN, chance);
        peers.brought = chosen.into_iter().map(|peer| (peer, 0)).collect();
        peers
    }

    /// The peers of now.
    pub fn all(&self) -> impl Iterator<Item = u32> {
        self.brought.keys().copied()
    }

    /// A peer brought an event first.
    pub fn bring(&mut self, peer: u32) {
        if let Some(count) = self.brought.get_mut(&peer) {
            *count += 1;
        }
    }

    /// An hour later: of what is selected now, at most `most` new peers take the places of those that
    /// brought least. Returns who left and who came.
    pub fn rotate(
        &mut self,
        identities: &[Identity],
        most: usize,
        chance: &mut Rng,
    ) -> (Vec<u32>, Vec<u32>) {
        let mut known: Vec<(PeerHistory, PeerOutcome)> = Vec::new();
        for (peer, brought) in &self.brought {
            let history = self.histories.get(peer).copied().unwrap_or_default();
            known.push((history, PeerOutcome::Complete(*brought)));
        }
        peer_history::settle(
            BEGIN,
            known
                .iter_mut()
                .map(|(history, outcome)| (history, *outcome)),
        );
        let peers: Vec<u32> = self.all().collect();
        let known = known.into_iter().map(|(history, _)| history);
        self.histories.extend(peers.iter().copied().zip(known));
        let chosen = self.select(identities, peers.len(), BEGIN + 3600, chance);
        let come = chosen.into_iter().filter(|peer| !peers.contains(peer));
        let come: Vec<u32> = come.take(most).collect();
        let mut leave = peers;
        leave.sort_by_key(|peer| self.brought.get(peer).copied());
        leave.truncate(come.len());
        for peer in &leave {
            self.brought.remove(peer);
        }
        self.brought.extend(come.iter().map(|peer| (*peer, 0)));
        (leave, come)
    }

    fn select(&self, identities: &[Identity], most: usize, now: u64, chance: &mut Rng) -> Vec<u32> {
        let others = || (0..identities.len() as u32).filter(|other| *other != self.own);
        let candidates: Vec<Candidate> = others()
            .map(|other| Candidate {
                identity: identities[other as usize],
                history: self.histories.get(&other).copied().unwrap_or_default(),
            })
            .collect();
        let own = identities[self.own as usize];
        let selection = Selection::some(own, &candidates, most, now, chance);
        let others: Vec<u32> = others().collect();
        selection
            .first()
            .iter()
            .map(|place| others[*place])
            .collect()
    }
}
