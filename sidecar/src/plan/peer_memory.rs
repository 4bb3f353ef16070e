//! [`PeerMemory`]: what the station remembers of each peer from one run to the next
//! (`strfry/constellation-peers.json`): the outcomes of earlier runs and the relay's limits. A peer
//! is known by its name, which is the same when its relay moves to another URL. The file may be
//! deleted at any time.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use constellation_shared::kinds;
use serde::{Deserialize, Serialize};

use crate::plan::manners::Manners;
use crate::plan::peer_history::{PeerHistory, PeerOutcome, Reach, settle};
use crate::relay::nip11::Information;
use crate::support::state_file::PEERS;
use crate::swarm::peer::Peer;

/// How long a relay's limits are believed before they are asked for again, in seconds.
const FRESH: u64 = 3600;

/// How long a peer is remembered after it was last seen, in seconds: 90 days.
const REMEMBERED: u64 = 90 * 86_400;

/// The version of the file's format.
const VERSION: u32 = 3;

/// The version that remembered peers by their URLs, and not when they were last asked.
const BY_URL: u32 = 2;

/// How many peers are remembered at most.
const MOST_PEERS: usize = 10_000;

/// What a relay said of its limits, and whether it could be reached at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownLimits {
    /// When this was learned, in Unix seconds.
    pub learned_at: u64,
    /// The limits, empty if the relay does not publish any.
    pub information: Information,
    /// Whether the relay could not be reached.
    pub unreachable: bool,
}

/// One peer's entry in the file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct PeerRecord {
    /// The URL of its relay when it was last asked. Behind another URL there may be another relay.
    #[serde(default)]
    url: String,
    /// When the peer was last asked or described in the swarm, in Unix seconds.
    last_seen: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limits: Option<KnownLimits>,
    #[serde(default, skip_serializing_if = "is_unknown")]
    manners: Manners,
    #[serde(flatten)]
    history: PeerHistory,
    /// The kinds that the peer gave at its last success, if they were not the usual 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gave: Option<KindsGiven>,
}

/// The kinds that a peer gave when it was asked for others than the usual 20.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct KindsGiven {
    kinds: Vec<u16>,
    /// When the peer last gave the usual 20 kinds, in Unix seconds.
    usual: Option<u64>,
}

fn is_unknown(manners: &Manners) -> bool {
    *manners == Manners::default()
}

impl PeerRecord {
    fn at(url: String) -> Self {
        Self {
            url,
            ..Self::default()
        }
    }

    /// The record of a peer at this URL: what was learned of another relay does not count, but what
    /// its node did does.
    fn moved_to(&mut self, url: String) {
        if self.url != url {
            self.url = url;
            self.limits = None;
            self.manners = Manners::default();
            self.gave = None;
            self.history.last_success = None;
        }
    }

    /// When the peer last gave all of these kinds, in Unix seconds, if that is known.
    fn gave(&self, kinds: &[u16]) -> Option<u64> {
        let usual = usual();
        let usual = kinds.iter().all(|kind| usual.contains(kind));
        match &self.gave {
            Some(gave) if kinds.iter().all(|kind| gave.kinds.contains(kind)) => {
                self.history.last_success
            }
            Some(gave) if usual => gave.usual,
            None if usual => self.history.last_success,
            Some(_) | None => None,
        }
    }
}

/// The 20 kinds that the constellation syncs unless it is told otherwise.
fn usual() -> Vec<u16> {
    kinds::Set::Seed.numbers()
}

/// What is remembered of all peers, by name.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct PeerMemory {
    version: u32,
    /// When this station began to remember its peers, in Unix seconds.
    begin: u64,
    peers: BTreeMap<String, PeerRecord>,
}

impl PeerMemory {
    /// Reads the file. If it is missing, broken or of another version, memory begins at `now`, in
    /// Unix seconds.
    pub(crate) fn load(path: &Path, now: u64) -> Self {
        PEERS
            .read(path)
            .and_then(|text| serde_json::from_slice::<Self>(&text).ok())
            .and_then(Self::of_this_version)
            .unwrap_or_else(|| Self {
                version: VERSION,
                begin: now,
                peers: BTreeMap::new(),
            })
    }

    /// What another version of this program remembered, as far as it is still true: the URL by which
    /// it knew a peer is also the peer's name as long as no other is known.
    fn of_this_version(mut self) -> Option<Self> {
        match self.version {
            VERSION => Some(self),
            BY_URL => {
                self.version = VERSION;
                for (url, peer) in &mut self.peers {
                    peer.url.clone_from(url);
                    let history = &mut peer.history;
                    let last_failure = Some(history.last_failure).filter(|time| *time > 0);
                    history.last_asked = history.last_success.max(last_failure);
                    history.has_given = history.last_success.is_some();
                }
                Some(self)
            }
            _ => None,
        }
    }

    /// What is remembered of a peer by its name, or else by its URL: that is how earlier versions
    /// remembered it, and how it is remembered if an operator names it.
    fn record(&self, peer: &Peer) -> Option<&PeerRecord> {
        let by_name = self.peers.get(&peer.name());
        by_name.or_else(|| self.peers.get(&peer.url()))
    }

    /// What is remembered of a peer, if its relay was at the same URL then.
    fn record_of_relay(&self, peer: &Peer) -> Option<&PeerRecord> {
        self.record(peer).filter(|record| record.url == peer.url())
    }

    /// The limits of a peer, if they are recent enough to be believed at `now`, in Unix seconds.
    pub(crate) fn of(&self, peer: &Peer, now: u64) -> Option<&KnownLimits> {
        let known = self.record_of_relay(peer)?.limits.as_ref()?;
        is_fresh(known, now).then_some(known)
    }

    /// Remembers the limits of a peer.
    pub(crate) fn learn(&mut self, peer: &Peer, known: KnownLimits) {
        let record = self.remember(peer);
        record.last_seen = record.last_seen.max(known.learned_at);
        record.limits = Some(known);
    }

    /// What a peer's answers showed of its relay.
    pub(crate) fn manners(&self, peer: &Peer) -> Manners {
        let record = self.record_of_relay(peer);
        record
            .map(|record| record.manners.clone())
            .unwrap_or_default()
    }

    /// Remembers what a peer's answers showed of its relay at `now`, in Unix seconds.
    pub(crate) fn learn_manners(&mut self, peer: &Peer, manners: Manners, now: u64) {
        self.remember(peer).manners = manners.fresh(now);
    }

    /// The outcomes of earlier runs with a peer.
    pub(crate) fn history(&self, peer: &Peer) -> PeerHistory {
        let record = self.record(peer);
        record.map_or_else(PeerHistory::default, |record| record.history)
    }

    /// The time from which on a run at `now` asks a peer for events of these kinds. A success
    /// with other kinds does not count: older events of these kinds would be skipped for ever.
    pub(crate) fn since(&self, peer: &Peer, kinds: &[u16], now: u64, reach: Reach) -> u64 {
        let record = self.record_of_relay(peer);
        let history = PeerHistory {
            last_success: record.and_then(|record| record.gave(kinds)),
            ..PeerHistory::default()
        };
        history.since(now, self.begin, reach)
    }

    /// Records that these peers were described in the swarm at `now`, asked or not.
    pub(crate) fn see<'a>(&mut self, peers: impl IntoIterator<Item = &'a Peer>, now: u64) {
        for peer in peers {
            if let Some(record) = self.peers.get_mut(&peer.name()) {
                record.last_seen = now;
            }
        }
    }

    /// Records that these peers were asked by the run that began at `now`, whatever came of it.
    pub(crate) fn ask<'a>(&mut self, peers: impl IntoIterator<Item = &'a Peer>, now: u64) {
        for peer in peers {
            let record = self.remember(peer);
            record.last_seen = record.last_seen.max(now);
            record.history.last_asked = Some(now);
        }
    }

    /// Records how a run that began at `now` and asked for these kinds went with each peer. If no
    /// peer could be reached, the cause was our own network, and no failure is recorded.
    pub(crate) fn settle<'a>(
        &mut self,
        now: u64,
        outcomes: impl IntoIterator<Item = (&'a Peer, PeerOutcome)>,
        kinds: &[u16],
    ) {
        let asked: BTreeSet<u16> = kinds.iter().copied().collect();
        let is_usual = asked == BTreeSet::from_iter(usual());
        let (peers, outcomes): (Vec<&Peer>, Vec<PeerOutcome>) = outcomes.into_iter().unzip();
        for peer in &peers {
            self.remember(peer);
        }
        let mut histories: Vec<PeerHistory> = peers.iter().map(|peer| self.history(peer)).collect();
        settle(now, histories.iter_mut().zip(outcomes.iter().copied()));
        for ((peer, outcome), history) in peers.into_iter().zip(outcomes).zip(histories) {
            let record = self.remember(peer);
            record.last_seen = record.last_seen.max(now);
            if matches!(outcome, PeerOutcome::Complete(_)) {
                record.gave = (!is_usual).then(|| KindsGiven {
                    kinds: kinds.to_vec(),
                    usual: record.gave(&usual()),
                });
            }
            record.history = history;
        }
    }

    /// The record of a peer that is asked at its present URL.
    fn remember(&mut self, peer: &Peer) -> &mut PeerRecord {
        let url = peer.url();
        let by_url = self.peers.get(&url).cloned();
        let record = self.peers.entry(peer.name());
        let record =
            record.or_insert_with(|| by_url.unwrap_or_else(|| PeerRecord::at(url.clone())));
        record.moved_to(url);
        record
    }

    /// Forgets old entries and writes the file atomically.
    ///
    /// # Errors
    /// If the file cannot be written; it is then unchanged.
    pub(crate) fn save(&mut self, path: &Path, now: u64) -> io::Result<()> {
        self.peers
            .retain(|_, peer| now.saturating_sub(peer.last_seen) < REMEMBERED);
        for peer in self.peers.values_mut() {
            peer.limits.take_if(|known| !is_fresh(known, now));
        }
        self.forget(self.peers.len().saturating_sub(MOST_PEERS));
        PEERS.write_json(path, self, |memory| memory.peers.len(), Self::forget)
    }

    /// Forgets `surplus` peers, those first that were not seen for the longest time.
    fn forget(&mut self, surplus: usize) {
        if surplus == 0 {
            return;
        }
        let age = |(url, peer): (&String, &PeerRecord)| {
            (peer.last_seen, peer.history.last_success, url.clone())
        };
        let mut oldest: Vec<_> = self.peers.iter().map(age).collect();
        oldest.sort_unstable();
        for (_, _, url) in oldest.iter().take(surplus) {
            self.peers.remove(url);
        }
    }
}

fn is_fresh(known: &KnownLimits, now: u64) -> bool {
    // A time in the future was recorded before the clock was set back.
    let age = now.checked_sub(known.learned_at);
    age.is_some_and(|age| age < FRESH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    use crate::relay::address::Address;

    const ID: &str = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";
    const NOW: u64 = 1_800_000_000;
    const DAY: u64 = 86_400;
    const REACH: Reach = Reach {
        days: 1,
        most_days: 30,
    };

    fn saved(peer_memory: &mut PeerMemory, now: u64) -> PeerMemory {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peers.json");
        peer_memory.save(&path, now).unwrap();
        assert!(fs::metadata(&path).unwrap().len() < PEERS.most_bytes);
        PeerMemory::load(&path, now + 5)
    }

    fn known(learned_at: u64) -> KnownLimits {
        KnownLimits {
            learned_at,
            information: Information {
                max_limit: Some(500),
                ..Information::default()
            },
            unreachable: false,
        }
    }

    fn at(url: &str) -> Peer {
        Peer::at(Address::parse(url).unwrap())
    }

    /// The one node that these tests know, with its relay at this URL.
    fn node(url: &str) -> Peer {
        Peer {
            node: Some(ID.parse().unwrap()),
            ..at(url)
        }
    }

    fn nothing() -> PeerMemory {
        PeerMemory::load(Path::new("/nonexistent"), NOW)
    }

    #[test]
    fn limits_are_believed_for_an_hour() {
        let mut peer_memory = nothing();
        let (a, end) = (at("ws://a"), NOW + 3600);
        peer_memory.learn(&a, known(NOW));
        let mut peer_memory = saved(&mut peer_memory, NOW);
        assert_eq!(peer_memory.of(&a, end - 1), Some(&known(NOW)));
        assert_eq!(peer_memory.of(&a, end), None);
        assert_eq!(peer_memory.of(&a, NOW - 1), None, "the clock was set back");
        assert_eq!(peer_memory.of(&at("ws://b"), NOW), None);
        assert_eq!(saved(&mut peer_memory, end).of(&a, NOW), None, "forgotten");
    }

    #[test]
    fn what_became_of_asking_a_peer_is_remembered_for_90_days_after_it_was_last_seen() {
        let mut peer_memory = nothing();
        let [a, b, c] = ["ws://a", "ws://b", "ws://c"].map(at);
        let outcomes = [(&a, PeerOutcome::Complete(50)), (&b, PeerOutcome::Failed)];
        peer_memory.settle(NOW, outcomes, &usual());
        let mut peer_memory = saved(&mut peer_memory, NOW);
        let history = peer_memory.history(&a);
        assert_eq!((history.last_success, history.score), (Some(NOW), 50.0));
        assert_eq!(peer_memory.history(&b).failures, 1);
        peer_memory.see([&b, &c], NOW + 50 * DAY);
        let mut peer_memory = saved(&mut peer_memory, NOW + 90 * DAY - 1);
        assert_eq!(peer_memory.peers.len(), 2);
        let peer_memory = saved(&mut peer_memory, NOW + 90 * DAY);
        assert_eq!(peer_memory.peers.keys().collect::<Vec<_>>(), ["ws://b"]);
    }

    #[test]
    fn a_peer_never_spoken_to_is_asked_back_to_the_beginning_of_memory() {
        let peer_memory = saved(&mut nothing(), NOW);
        let since = |now| now - peer_memory.since(&at("ws://new"), &usual(), now, REACH);
        assert_eq!(since(NOW), DAY);
        assert_eq!(since(NOW + 3 * DAY), 4 * DAY);
        assert_eq!(since(NOW + 300 * DAY), 30 * DAY);
    }

    #[test]
    fn a_success_counts_for_the_kinds_that_were_asked_for() {
        let peer = at("ws://a");
        let mut peer_memory = nothing();
        let mut asked = |day: u64, kinds: &[u16]| {
            let gave = [(&peer, PeerOutcome::Complete(1))];
            peer_memory.settle(NOW + day * DAY, gave, kinds);
            peer_memory = saved(&mut peer_memory, NOW + day * DAY);
            let since = |kinds: &[u16]| {
                let now = NOW + 20 * DAY;
                let since = peer_memory.since(&peer, kinds, now, REACH);
                // A day before the last success.
                21 - (now - since) / DAY
            };
            [
                since(&usual()),
                since(&[0, 1]),
                since(&[1]),
                since(&[30_078]),
            ]
        };
        // Never: back to the beginning of memory.
        assert_eq!(asked(1, &[0, 1]), [0, 1, 1, 0]);
        assert_eq!(asked(2, &usual()), [2, 2, 2, 0]);
        assert_eq!(asked(3, &[1]), [2, 2, 3, 0]);
        assert_eq!(asked(4, &[1, 0]), [2, 4, 4, 0]);
        let more = [usual(), vec![30_078]].concat();
        assert_eq!(asked(5, &more), [5, 5, 5, 5]);
        assert_eq!(asked(6, &[1]), [5, 5, 6, 0]);
    }

    #[test]
    fn a_node_is_remembered_when_its_relay_moves_and_what_its_relay_said_is_not() {
        let mut peer_memory = nothing();
        let before = node("ws://before");
        peer_memory.settle(NOW, [(&before, PeerOutcome::Complete(9))], &usual());
        peer_memory.learn(&before, known(NOW));
        let mut peer_memory = saved(&mut peer_memory, NOW);
        assert!(peer_memory.of(&before, NOW).is_some());
        let after = node("ws://after");
        assert_eq!(peer_memory.of(&after, NOW), None);
        assert_eq!(peer_memory.history(&after).last_asked, Some(NOW));
        let since = peer_memory.since(&after, &usual(), NOW + DAY, REACH);
        assert_eq!(since, NOW - DAY, "back to the beginning of memory");
        peer_memory.settle(NOW + DAY, [(&after, PeerOutcome::Failed)], &usual());
        let peer_memory = saved(&mut peer_memory, NOW + DAY);
        assert_eq!(peer_memory.peers.len(), 1);
        let history = peer_memory.history(&after);
        assert_eq!((history.last_asked, history.failures), (Some(NOW + DAY), 1));
        assert_eq!(history.last_success, None);
    }

    #[test]
    fn what_was_remembered_by_url_is_taken_over_by_the_node_that_is_found_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peers.json");
        let text = format!(
            r#"{{"version":2,"begin":{NOW},"peers":{{
                "ws://a":{{"last_seen":{NOW},"last_success":{NOW},"failures":0,"last_failure":0,"score":7.0}},
                "ws://b":{{"last_seen":{NOW},"last_success":null,"failures":2,"last_failure":{NOW},"score":0.0}}
            }}}}"#
        );
        fs::write(&path, text).unwrap();
        let mut peer_memory = PeerMemory::load(&path, NOW + DAY);
        let [a, b, other] = [node("ws://a"), at("ws://b"), node("ws://other")];
        let history = peer_memory.history(&a);
        assert_eq!((history.last_asked, history.score), (Some(NOW), 7.0));
        let since = peer_memory.since(&a, &usual(), NOW + DAY, REACH);
        assert_eq!(since, NOW - DAY);
        assert_eq!(peer_memory.history(&b).failures, 2);
        assert_eq!(peer_memory.history(&b).last_asked, Some(NOW));
        assert_eq!(peer_memory.history(&other), PeerHistory::default());
        let now = NOW + DAY;
        peer_memory.settle(now, [(&a, PeerOutcome::Complete(7))], &usual());
        let mut peer_memory = saved(&mut peer_memory, now);
        let outcome = [(&other, PeerOutcome::Failed)];
        peer_memory.settle(now + DAY, outcome, &usual());
        assert_eq!(peer_memory.history(&other).last_asked, Some(now + DAY));
        assert_eq!(peer_memory.history(&at("ws://a")).last_success, Some(NOW));
    }

    #[test]
    fn the_file_does_not_grow_for_ever() {
        let mut peer_memory = nothing();
        for number in 0..MOST_PEERS as u64 + 50 {
            let peer = at(&format!("wss://a.example/{}{number}", "x".repeat(400)));
            let outcome = [(&peer, PeerOutcome::Complete(1))];
            peer_memory.settle(NOW + number, outcome, &usual());
            peer_memory.learn(&peer, known(NOW + number));
        }
        let peer_memory = saved(&mut peer_memory, NOW + 20_000);
        assert_eq!(peer_memory.peers.len(), MOST_PEERS);
        let times = peer_memory.peers.values().map(|peer| peer.last_seen);
        assert_eq!(times.min(), Some(NOW + 50), "the oldest are forgotten");
    }

    #[test]
    fn the_file_is_bounded_in_bytes_too() {
        let kinds: Vec<u16> = (0..9000).collect();
        let mut peer_memory = nothing();
        for number in 0..1000 {
            let peer = at(&format!("ws://{number:04}.example"));
            let outcome = [(&peer, PeerOutcome::Complete(1))];
            peer_memory.settle(NOW + number, outcome, &kinds);
        }
        let peer_memory = saved(&mut peer_memory, NOW + 2000);
        assert!((100..900).contains(&peer_memory.peers.len()));
        assert!(peer_memory.peers.contains_key("ws://0999.example"));
        assert!(!peer_memory.peers.contains_key("ws://0000.example"));
    }

    #[test]
    fn a_broken_file_is_nothing_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peers.json");
        for text in ["", "{", "{\"version\":1,\"peers\":{}}", "[]"] {
            fs::write(&path, text).unwrap();
            assert_eq!(PeerMemory::load(&path, NOW), nothing(), "{text}");
        }
    }
}
