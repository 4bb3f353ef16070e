//! [`Ledger`]: the [`Coverage`] of all peers, and what it is counted by: the number of the run, the
//! run since which each key has been followed, and events by which the database is recognised
//! (`strfry/constellation-coverage.json`). All of it is in one file, so that its parts never
//! contradict each other. The file may be deleted at any time: then everything is asked for again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use constellation_shared::{EventId, Pubkey};
use serde::{Deserialize, Serialize};

use crate::plan::coverage::{Asked, Circumstances, Completed, Coverage};
use crate::plan::place::{BrokenOff, Place, Resumption};
use crate::plan::slices::Slices;
use crate::support::state_file::COVERAGE;

/// The version of the file's format.
const VERSION: u32 = 1;

/// How many peers are remembered at most.
const MOST_PEERS: usize = 2_000;

/// Of how many peers it is remembered at most how far paging came.
const MOST_PLACES: usize = 50;

/// How many events the database is recognised by at most.
pub(crate) const MOST_WITNESSES: usize = 32;

/// The first bytes of a key, which stand for it in the file. Nobody makes a key whose first 64 bits
/// are those of another.
type KeyPrefix = u64;

/// How many hex digits a [`KeyPrefix`] has.
const DIGITS: usize = 16;

/// What was had of all peers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    version: u32,
    /// The number of the last run that was recorded.
    run: u64,
    /// For each run, the keys that have been followed since then without a break, as prefixes in
    /// hex, one after the other.
    followed_since: BTreeMap<u64, String>,
    /// The run since which each key has been followed, by key.
    #[serde(skip)]
    runs: BTreeMap<KeyPrefix, u64>,
    /// Events that the database held at the end of the last run.
    witnesses: Vec<String>,
    slices: Slices,
    /// When the slices were chosen, in Unix seconds.
    sliced_at: u64,
    peers: BTreeMap<String, Coverage>,
    /// How far paging through peers came that did not give everything yet.
    #[serde(default)]
    places: BTreeMap<String, Place>,
}

impl Ledger {
    /// Reads the file. If it is missing, broken or of another version, nothing was had.
    pub fn load(path: &Path, now: u64) -> Self {
        let mut ledger = COVERAGE
            .read(path)
            .and_then(|text| serde_json::from_slice::<Self>(&text).ok())
            .filter(|ledger| ledger.version == VERSION)
            .unwrap_or_default();
        ledger.version = VERSION;
        for (run, prefixes) in &ledger.followed_since {
            let digits = prefixes.as_bytes().chunks(DIGITS);
            let prefixes = digits.filter_map(|digits| std::str::from_utf8(digits).ok());
            let prefixes = prefixes.filter_map(|text| KeyPrefix::from_str_radix(text, 16).ok());
            ledger.runs.extend(prefixes.map(|prefix| (prefix, *run)));
        }
        ledger.forget_the_future(now);
        ledger
    }

    /// Forgets comparisons that are dated after `now`, in Unix seconds: the clock was ahead. Places
    /// that are too old to go on from are forgotten, too.
    pub fn forget_the_future(&mut self, now: u64) {
        self.places.retain(|_, place| place.is_fresh(now));
        let peers = self.peers.values_mut();
        peers.for_each(|coverage| coverage.forget_the_future(now));
    }

    /// Begins the next run, which follows these keys. A key that was not followed in the last run
    /// is new, even if it was followed before.
    pub fn begin_run(&mut self, followed: &[Pubkey]) {
        self.run += 1;
        let before = std::mem::take(&mut self.runs);
        for key in followed {
            let prefix = prefix(key);
            let since = before.get(&prefix).copied().unwrap_or(self.run);
            self.runs.insert(prefix, since);
        }
    }

    /// Records that this run did not follow these keys to its end: their events were kept out.
    pub fn unfollow<'a>(&mut self, keys: impl IntoIterator<Item = &'a Pubkey>) {
        for key in keys {
            self.runs.remove(&prefix(key));
        }
    }

    /// The events by which the database is recognised.
    pub fn witnesses(&self) -> Vec<EventId> {
        let witnesses = self.witnesses.iter();
        witnesses.filter_map(|id| id.parse().ok()).collect()
    }

    /// Remembers events by which the database is recognised.
    pub fn witness(&mut self, events: &[EventId]) {
        let events = events.iter().take(MOST_WITNESSES);
        self.witnesses = events.map(ToString::to_string).collect();
    }

    /// Whether a database that lacks this many of the witnesses is another one: it was lost,
    /// restored from a backup, or replaced. Single events may have been deleted by their authors.
    pub fn is_another_database(&self, missing: usize) -> bool {
        8 * missing > self.witnesses.len()
    }

    /// Forgets what was had of all peers.
    pub fn forget_peers(&mut self) {
        self.peers.clear();
        self.places.clear();
        self.witnesses.clear();
    }

    /// What this run asks a peer.
    pub fn plan(&self, peer: &str, address: &str, circumstances: Circumstances<'_>) -> Asked {
        Coverage::plan(self.peers.get(peer), address, circumstances, |key| {
            // A key that this run does not know is new.
            let since = self.runs.get(&prefix(key));
            since.copied().unwrap_or(u64::MAX)
        })
    }

    /// How this run goes on with a peer with which an earlier run broke off, if it can.
    pub fn resumption(
        &self,
        peer: &str,
        address: &str,
        circumstances: Circumstances<'_>,
    ) -> Option<Resumption> {
        let Circumstances {
            now,
            followed,
            kinds,
            overlap,
            ..
        } = circumstances;
        let place = self.places.get(peer)?;
        let is_new = |key: &&Pubkey| {
            let since = self.runs.get(&prefix(key));
            since.is_none_or(|since| *since > place.run())
        };
        place.fits(address, kinds, now).then(|| Resumption {
            place: place.clone(),
            new_keys: followed.iter().filter(is_new).copied().collect(),
            overlap,
        })
    }

    /// Remembers where this run broke off with a peer.
    pub fn keep_place(&mut self, peer: &str, broken_off: BrokenOff<'_>) {
        let broken_off = BrokenOff {
            run: self.run,
            ..broken_off
        };
        let before = self.places.remove(peer);
        if let Some(place) = Place::of(before.as_ref(), broken_off)
            && self.places.len() < MOST_PLACES
        {
            self.places.insert(peer.to_owned(), place);
        }
    }

    /// Forgets where an earlier run broke off with a peer.
    pub fn forget_place(&mut self, peer: &str) {
        self.places.remove(peer);
    }

    /// Records that a peer gave all that it was asked for in this run. What earlier runs had of it
    /// by paging was compared when they began.
    pub fn settle(&mut self, peer: &str, asked: &Asked, completed: Completed<'_>) {
        let mut began = completed.now;
        if asked.covers_all_keys
            && let Some(place) = self.places.remove(peer)
            && !completed.reconciled
        {
            began = place.begin().min(began);
        }
        let completed = Completed {
            run: self.run,
            now: began,
            ..completed
        };
        let before = self.peers.remove(peer);
        if let Some(coverage) = Coverage::settle(before, asked, completed) {
            self.peers.insert(peer.to_owned(), coverage);
        }
    }

    /// What was had of a peer.
    pub fn coverage(&self, peer: &str) -> Option<&Coverage> {
        self.peers.get(peer)
    }

    /// How the history is swept.
    pub const fn slices(&self) -> &Slices {
        &self.slices
    }

    /// Whether the slices were chosen so long ago that they are chosen anew.
    pub fn is_to_be_sliced(&self, now: u64) -> bool {
        const DAY: u64 = 86_400;
        now.checked_sub(self.sliced_at).is_none_or(|age| age >= DAY)
    }

    /// Sets how the history is swept from now on.
    pub fn slice(&mut self, slices: Slices, now: u64) {
        self.slices = slices;
        self.sliced_at = now;
    }

    /// Writes the file atomically. If there are too many peers, those that were not asked for the
    /// longest time are forgotten.
    ///
    /// # Errors
    /// If the file cannot be written; it is then unchanged.
    pub fn save(&mut self, path: &Path) -> io::Result<()> {
        self.followed_since.clear();
        for (prefix, run) in &self.runs {
            let prefixes = self.followed_since.entry(*run).or_default();
            // Writing to a string never fails.
            let _ = write!(prefixes, "{prefix:016x}");
        }
        self.forget(self.peers.len().saturating_sub(MOST_PEERS));
        COVERAGE.write_json(path, self, |ledger| ledger.peers.len(), Self::forget)
    }

    fn forget(&mut self, surplus: usize) {
        if surplus == 0 {
            return;
        }
        let last =
            |(name, coverage): (&String, &Coverage)| (coverage.last_comparison(), name.clone());
        let mut oldest: Vec<_> = self.peers.iter().map(last).collect();
        oldest.sort_unstable();
        for (_, name) in oldest.iter().take(surplus) {
            self.peers.remove(name);
        }
    }
}

fn prefix(key: &Pubkey) -> KeyPrefix {
    let bytes = key.as_bytes();
    let first = bytes.first_chunk().copied();
    KeyPrefix::from_be_bytes(first.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const NOW: u64 = 1_800_000_000;
    const DAY: u64 = 86_400;
    const A: &str = "ws://a";

    fn keys(numbers: std::ops::Range<u8>) -> Arc<[Pubkey]> {
        numbers
            .map(|number| Pubkey::from_bytes([number; 32]))
            .collect()
    }

    fn nothing() -> Ledger {
        Ledger::load(Path::new("/nonexistent"), NOW)
    }

    fn reloaded(ledger: &mut Ledger, now: u64) -> Ledger {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("coverage.json");
        ledger.save(&path).unwrap();
        Ledger::load(&path, now)
    }

    /// A run that follows these keys, and in which the peer gives everything; what it was asked.
    fn run(ledger: &mut Ledger, now: u64, followed: &Arc<[Pubkey]>) -> Asked {
        *ledger = reloaded(ledger, now);
        ledger.begin_run(followed);
        let slices = Slices {
            cuts: vec![1000],
            period: DAY,
        };
        let circumstances = Circumstances {
            now,
            followed,
            kinds: &[1],
            overlap: DAY,
            slices: &slices,
        };
        let asked = ledger.plan(A, A, circumstances);
        let completed = Completed {
            address: A,
            now,
            run: 0,
            newest: now,
            kinds: &[1],
            reconciled: true,
        };
        ledger.settle(A, &asked, completed);
        asked
    }

    #[test]
    fn a_key_that_was_gone_for_one_run_is_new_again() {
        let mut ledger = nothing();
        assert_eq!(run(&mut ledger, NOW, &keys(0..9)), Asked::since(0));
        let asked = run(&mut ledger, NOW + 3600, &keys(0..9));
        assert!(asked.new_keys.is_empty());
        let asked = run(&mut ledger, NOW + 7200, &keys(0..8));
        assert!(asked.new_keys.is_empty());
        let asked = run(&mut ledger, NOW + 10_800, &keys(0..9));
        assert_eq!(asked.new_keys, keys(8..9));
        let asked = run(&mut ledger, NOW + 14_400, &keys(0..9));
        assert!(asked.new_keys.is_empty());
    }

    #[test]
    fn a_key_that_was_blocked_while_a_run_went_on_is_new_in_the_next() {
        let mut ledger = nothing();
        run(&mut ledger, NOW, &keys(0..9));
        ledger.unfollow(keys(3..4).iter());
        let asked = run(&mut ledger, NOW + 3600, &keys(0..9));
        assert_eq!(asked.new_keys, keys(3..4));
    }

    #[test]
    fn where_all_lists_were_empty_for_one_run_everything_is_asked_for() {
        let mut ledger = nothing();
        run(&mut ledger, NOW, &keys(0..9));
        run(&mut ledger, NOW + 3600, &keys(0..0));
        assert_eq!(run(&mut ledger, NOW + 7200, &keys(0..9)), Asked::since(0));
    }

    #[test]
    fn a_run_that_was_not_recorded_did_not_happen() {
        let mut ledger = nothing();
        run(&mut ledger, NOW, &keys(0..9));
        let mut killed = reloaded(&mut ledger, NOW);
        killed.begin_run(&keys(0..8));
        drop(killed);
        let asked = run(&mut ledger, NOW + 3600, &keys(0..9));
        assert!(asked.new_keys.is_empty());
    }

    #[test]
    fn a_database_without_an_eighth_of_its_witnesses_is_another_one() {
        let mut ledger = nothing();
        assert!(!ledger.is_another_database(0), "there are none yet");
        let ids: Vec<EventId> = (0..40)
            .map(|byte| EventId::from_bytes([byte; 32]))
            .collect();
        ledger.witness(&ids);
        let mut ledger = reloaded(&mut ledger, NOW);
        assert_eq!(ledger.witnesses(), ids[..MOST_WITNESSES]);
        assert!(!ledger.is_another_database(MOST_WITNESSES / 8));
        assert!(ledger.is_another_database(MOST_WITNESSES / 8 + 1));
        run(&mut ledger, NOW, &keys(0..9));
        ledger.forget_peers();
        assert_eq!(run(&mut ledger, NOW + 3600, &keys(0..9)), Asked::since(0));
    }

    #[test]
    fn a_broken_file_means_that_nothing_was_had() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("coverage.json");
        for text in ["", "{", "[]", "{\"version\":9}"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(Ledger::load(&path, NOW), nothing(), "{text}");
        }
    }

    #[test]
    fn the_file_is_bounded() {
        let mut ledger = nothing();
        for number in 0..MOST_PEERS as u64 + 20 {
            ledger.begin_run(&keys(0..3));
            let name = format!("ws://{number}");
            let completed = Completed {
                address: &name,
                now: NOW + number,
                run: 0,
                newest: NOW,
                kinds: &[1],
                reconciled: true,
            };
            ledger.settle(&name, &Asked::since(0), completed);
        }
        let ledger = reloaded(&mut ledger, NOW + DAY);
        assert_eq!(ledger.peers.len(), MOST_PEERS);
        assert!(ledger.coverage("ws://0").is_none());
    }
}
