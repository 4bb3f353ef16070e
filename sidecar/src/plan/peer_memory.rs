//! [`PeerMemory`]: what the station remembers of each peer from one run to the next
//! (`strfry/constellation-peers.json`): the outcomes of earlier runs and the relay's limits. The
//! file may be deleted at any time.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use constellation_shared::kinds;
use serde::{Deserialize, Serialize};

use crate::plan::peer_history::{PeerHistory, PeerOutcome, Reach, settle};
use crate::relay::address::LONGEST_URL;
use crate::relay::nip11::Information;
use crate::support::state_file::PEERS;

/// How long a relay's limits are believed before they are asked for again, in seconds.
const FRESH: u64 = 3600;

/// How long a peer is remembered after it was last seen, in seconds: 90 days.
const REMEMBERED: u64 = 90 * 86_400;

/// The version of the file's format.
const VERSION: u32 = 2;

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
    /// When the peer was last asked or described in the swarm, in Unix seconds.
    last_seen: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limits: Option<KnownLimits>,
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

impl PeerRecord {
    /// When the peer last gave all of these kinds, in Unix seconds, if that is known.
    fn gave(&self, kinds: &[u16]) -> Option<u64> {
        let usual = kinds.iter().all(|kind| kinds::find(*kind).is_some());
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
    kinds::KINDS.iter().map(|kind| kind.number).collect()
}

/// What is remembered of all peers, by URL.
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
            .filter(|peer_memory| peer_memory.version == VERSION)
            .unwrap_or_else(|| Self {
                version: VERSION,
                begin: now,
                peers: BTreeMap::new(),
            })
    }

    /// The limits of a peer, if they are recent enough to be believed at `now`, in Unix seconds.
    pub(crate) fn of(&self, url: &str, now: u64) -> Option<&KnownLimits> {
        let known = self.peers.get(url)?.limits.as_ref()?;
        is_fresh(known, now).then_some(known)
    }

    /// Remembers the limits of a peer.
    pub(crate) fn learn(&mut self, url: String, known: KnownLimits) {
        if let Some(peer) = self.remember(url) {
            peer.last_seen = peer.last_seen.max(known.learned_at);
            peer.limits = Some(known);
        }
    }

    /// The outcomes of earlier runs with a peer.
    pub(crate) fn history(&self, url: &str) -> PeerHistory {
        let peer = self.peers.get(url);
        peer.map_or_else(PeerHistory::default, |peer| peer.history)
    }

    /// The time from which on a run at `now` asks a peer for events of these kinds. A success
    /// with other kinds does not count: older events of these kinds would be skipped for ever.
    pub(crate) fn since(&self, url: &str, kinds: &[u16], now: u64, reach: Reach) -> u64 {
        let last_success = self.peers.get(url).and_then(|peer| peer.gave(kinds));
        let history = PeerHistory {
            last_success,
            ..self.history(url)
        };
        history.since(now, self.begin, reach)
    }

    /// Records that these peers were described in the swarm at `now`, asked or not.
    pub(crate) fn see<'a>(&mut self, urls: impl IntoIterator<Item = &'a str>, now: u64) {
        for url in urls {
            if let Some(peer) = self.peers.get_mut(url) {
                peer.last_seen = now;
            }
        }
    }

    /// Records how a run that began at `now` and asked for these kinds went with each peer. If
    /// every peer failed, the cause was our own network, and no failure is recorded.
    pub(crate) fn settle(
        &mut self,
        now: u64,
        outcomes: impl IntoIterator<Item = (String, PeerOutcome)>,
        kinds: &[u16],
    ) {
        let asked: BTreeSet<u16> = kinds.iter().copied().collect();
        let is_usual = asked == BTreeSet::from_iter(usual());
        let (urls, outcomes): (Vec<String>, Vec<PeerOutcome>) = outcomes.into_iter().unzip();
        let mut histories: Vec<PeerHistory> = urls.iter().map(|url| self.history(url)).collect();
        settle(now, histories.iter_mut().zip(outcomes.iter().copied()));
        for ((url, outcome), history) in urls.into_iter().zip(outcomes).zip(histories) {
            if let Some(peer) = self.remember(url) {
                peer.last_seen = peer.last_seen.max(now);
                if matches!(outcome, PeerOutcome::Complete(_)) {
                    peer.gave = (!is_usual).then(|| KindsGiven {
                        kinds: kinds.to_vec(),
                        usual: peer.gave(&usual()),
                    });
                }
                peer.history = history;
            }
        }
    }

    fn remember(&mut self, url: String) -> Option<&mut PeerRecord> {
        (url.len() <= LONGEST_URL).then(|| self.peers.entry(url).or_default())
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

    fn nothing() -> PeerMemory {
        PeerMemory::load(Path::new("/nonexistent"), NOW)
    }

    #[test]
    fn limits_are_believed_for_an_hour() {
        let mut peer_memory = nothing();
        peer_memory.learn("ws://a".to_owned(), known(NOW));
        let mut peer_memory = saved(&mut peer_memory, NOW);
        let (a, end) = ("ws://a", NOW + 3600);
        assert_eq!(peer_memory.of(a, end - 1), Some(&known(NOW)));
        assert_eq!(peer_memory.of(a, end), None);
        assert_eq!(peer_memory.of(a, NOW - 1), None, "the clock was set back");
        assert_eq!(peer_memory.of("ws://b", NOW), None);
        assert_eq!(saved(&mut peer_memory, end).of(a, NOW), None, "forgotten");
    }

    #[test]
    fn what_became_of_asking_a_peer_is_remembered_for_90_days_after_it_was_last_seen() {
        let mut peer_memory = nothing();
        let turns = [
            ("ws://a", PeerOutcome::Complete(50)),
            ("ws://b", PeerOutcome::Failed),
        ];
        let turns = turns.map(|(url, turn)| (url.to_owned(), turn));
        peer_memory.settle(NOW, turns, &usual());
        let mut peer_memory = saved(&mut peer_memory, NOW);
        let a = peer_memory.history("ws://a");
        assert_eq!((a.last_success, a.score), (Some(NOW), 50.0));
        assert_eq!(peer_memory.history("ws://b").failures, 1);
        peer_memory.see(["ws://b", "ws://c"], NOW + 50 * DAY);
        let mut peer_memory = saved(&mut peer_memory, NOW + 90 * DAY - 1);
        assert_eq!(peer_memory.peers.len(), 2);
        let peer_memory = saved(&mut peer_memory, NOW + 90 * DAY);
        assert_eq!(peer_memory.peers.keys().collect::<Vec<_>>(), ["ws://b"]);
    }

    #[test]
    fn a_peer_never_spoken_to_is_asked_back_to_the_beginning_of_memory() {
        let peer_memory = saved(&mut nothing(), NOW);
        let since = |now| now - peer_memory.since("ws://new", &usual(), now, REACH);
        assert_eq!(since(NOW), DAY);
        assert_eq!(since(NOW + 3 * DAY), 4 * DAY);
        assert_eq!(since(NOW + 300 * DAY), 30 * DAY);
    }

    #[test]
    fn a_success_counts_for_the_kinds_that_were_asked_for() {
        let url = "ws://a";
        let mut peer_memory = nothing();
        let mut asked = |day: u64, kinds: &[u16]| {
            let gave = [(url.to_owned(), PeerOutcome::Complete(1))];
            peer_memory.settle(NOW + day * DAY, gave, kinds);
            peer_memory = saved(&mut peer_memory, NOW + day * DAY);
            let since = |kinds: &[u16]| {
                let now = NOW + 20 * DAY;
                let since = peer_memory.since(url, kinds, now, REACH);
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
    fn the_file_does_not_grow_for_ever() {
        let mut peer_memory = nothing();
        for number in 0..MOST_PEERS as u64 + 50 {
            let url = format!("wss://{}.example/{number}", "x".repeat(400));
            peer_memory.settle(
                NOW + number,
                [(url.clone(), PeerOutcome::Complete(1))],
                &usual(),
            );
            peer_memory.learn(url, known(NOW + number));
        }
        let long = "x".repeat(LONGEST_URL + 1);
        peer_memory.settle(NOW, [(long, PeerOutcome::Complete(1))], &usual());
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
            let url = format!("ws://{number:04}.example");
            peer_memory.settle(NOW + number, [(url, PeerOutcome::Complete(1))], &kinds);
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
