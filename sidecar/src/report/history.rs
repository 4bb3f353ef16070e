//! What is remembered of earlier runs (`strfry/constellation-runs.json`): the last ones, the
//! last hours and days, how each peer did in the last ones, sums over all of them, and whom
//! something was told. Safe to delete: the sums then begin anew.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::report::Outcome;
use crate::report::document::Document;
use crate::report::notify::Notified;
use crate::report::run_summary::{Day, Hour, Mark, PeerRuns, RunSummary};
use crate::support::sanitize::for_terminal;
use crate::support::state_file::RUNS;

/// The layout of the file.
const VERSION: u32 = 1;

/// How many runs and hours are remembered.
const MOST_RUNS: usize = 30;
const MOST_HOURS: usize = 48;

/// How many days with a run are remembered: a quarter.
const MOST_DAYS: usize = 92;

/// Of how many peers it is remembered how they did in the last runs.
const MOST_PEERS: usize = 500;

/// The most characters of a reason.
const MOST_OF_A_REASON: usize = 200;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// Everything that is remembered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunHistory {
    version: u32,
    /// When the last run that succeeded ended, Unix seconds.
    pub last_success_at: Option<u64>,
    /// How many failed since, without those that were interrupted.
    pub failures_in_a_row: u32,
    /// Which messages the captain was sent.
    #[serde(rename = "told")]
    pub notified: Notified,
    /// Sums over all runs.
    pub totals: Totals,
    /// The last ones, the newest first.
    pub runs: Vec<RunSummary>,
    /// The last hours with a run in them, the newest first.
    pub hours: Vec<Hour>,
    /// The last days with a run in them, the newest first.
    #[serde(default)]
    pub days: Vec<Day>,
    /// How the peers did that were asked in the last runs, those that were asked last first.
    #[serde(default)]
    pub peers: Vec<PeerRuns>,
}

/// Sums over all runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    /// Runs that succeeded.
    pub succeeded: u64,
    /// Runs that failed.
    pub failed: u64,
    /// Runs that were interrupted.
    pub interrupted: u64,
    /// Events let in.
    pub events: u64,
    /// Events new in the database.
    pub added: u64,
    /// Bytes of the peers' messages.
    pub bytes: u64,
    /// Events not let in, by reason.
    pub refused: BTreeMap<String, u64>,
}

impl RunHistory {
    /// Reads what earlier runs left; nothing where the file is missing, broken or of
    /// another version.
    pub(crate) fn load(path: &Path) -> Self {
        let text = RUNS.read(path);
        text.and_then(|text| serde_json::from_slice::<Self>(&text).ok())
            .filter(|history| history.version == VERSION)
            .unwrap_or_default()
    }

    /// Takes a run in, and completes its document with what is remembered.
    pub(crate) fn take(&mut self, document: &mut Document) {
        self.version = VERSION;
        if document.success {
            self.totals.succeeded += 1;
            self.failures_in_a_row = 0;
            self.last_success_at = Some(document.finished_at);
        } else if document.outcome == Outcome::Interrupted {
            // Somebody ended it, which says nothing about the constellation.
            self.totals.interrupted += 1;
        } else {
            self.totals.failed += 1;
            self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        }
        let run = summary(document);
        self.totals.events += run.events;
        self.totals.added += run.added;
        self.totals.bytes += run.bytes;
        for (reason, count) in &document.refused {
            *self.totals.refused.entry(reason.clone()).or_default() += count;
        }
        self.runs.insert(0, run);
        self.runs.truncate(MOST_RUNS);
        self.take_hour(document);
        self.take_day(document);
        self.take_peers(document);
        document.last_success_at = self.last_success_at;
        document.failures_in_a_row = self.failures_in_a_row;
        document.last_call.clone_from(&self.notified.last);
        document.pinged.clone_from(&self.notified.pinged);
        document.runs.clone_from(&self.runs);
        document.hours.clone_from(&self.hours);
        document.last_days.clone_from(&self.days);
        document.peer_runs.clone_from(&self.peers);
    }

    fn take_hour(&mut self, document: &Document) {
        let began_at = document.finished_at - document.finished_at % HOUR;
        // After a clock was set back its hours come again: those ahead go.
        self.hours.retain(|hour| hour.began_at <= began_at);
        if self
            .hours
            .first()
            .is_none_or(|hour| hour.began_at != began_at)
        {
            let hour = Hour {
                began_at,
                runs: 0,
                succeeded: 0,
                events_by_kind: BTreeMap::new(),
            };
            self.hours.insert(0, hour);
            self.hours.truncate(MOST_HOURS);
        }
        if let Some(hour) = self.hours.first_mut() {
            hour.runs += 1;
            hour.succeeded += u32::from(document.success);
            for (kind, count) in &document.events_by_kind {
                *hour.events_by_kind.entry(*kind).or_default() += count;
            }
        }
    }

    fn take_day(&mut self, document: &Document) {
        let began_at = document.finished_at - document.finished_at % DAY;
        // As for the hours.
        self.days.retain(|day| day.began_at <= began_at);
        if self.days.first().is_none_or(|day| day.began_at != began_at) {
            let day = Day {
                began_at,
                ..Day::default()
            };
            self.days.insert(0, day);
            self.days.truncate(MOST_DAYS);
        }
        if let Some(day) = self.days.first_mut() {
            day.ended_at = document.finished_at;
            day.runs += 1;
            day.succeeded += u32::from(document.success);
            day.interrupted += u32::from(document.outcome == Outcome::Interrupted);
            day.added += document.import.added;
            day.bytes += document.peers.iter().map(|peer| peer.bytes).sum::<u64>();
            day.database_bytes = document.database_bytes.or(day.database_bytes);
        }
    }

    fn take_peers(&mut self, document: &Document) {
        for known in &mut self.peers {
            known.runs.insert(0, Mark::NotAsked.letter());
            known.runs.truncate(MOST_RUNS);
        }
        for peer in &document.peers {
            let place = self.peers.iter().position(|known| known.url == peer.url);
            let mut known = place.map_or_else(
                || PeerRuns {
                    url: peer.url.clone(),
                    runs: Mark::NotAsked.letter().to_string(),
                    ..PeerRuns::default()
                },
                |place| self.peers.swap_remove(place),
            );
            known
                .runs
                .replace_range(..1, &peer.mark().letter().to_string());
            known.asked_at = document.finished_at;
            known.name.clone_from(&peer.name);
            known.complete_until = peer.complete_until;
            known.compared_since = peer.compared_since;
            known.complete_since = peer
                .complete_until
                .and(known.complete_since.or(Some(document.finished_at)));
            self.peers.push(known);
        }
        // Who was not asked in any of the runs is forgotten.
        let not_asked = Mark::NotAsked.letter();
        self.peers
            .retain(|known| known.runs.contains(|letter| letter != not_asked));
        self.peers
            .sort_by(|a, b| (b.asked_at, &a.url).cmp(&(a.asked_at, &b.url)));
        self.peers.truncate(MOST_PEERS);
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// If writing fails.
    pub(crate) fn save(&mut self, path: &Path) -> io::Result<()> {
        let count = |history: &Self| {
            history.runs.len() + history.hours.len() + history.days.len() + history.peers.len()
        };
        RUNS.write_json(path, self, count, Self::forget)
    }

    /// Forgets this many entries: the peers first that were not asked for longest, then the oldest
    /// runs, hours and days.
    fn forget(&mut self, surplus: usize) {
        let left = shorten(&mut self.peers, surplus);
        let left = shorten(&mut self.runs, left);
        let left = shorten(&mut self.hours, left);
        shorten(&mut self.days, left);
    }
}

/// Takes this many entries off the end, or all if there are fewer; returns how many are left to
/// be taken off elsewhere.
fn shorten<T>(entries: &mut Vec<T>, surplus: usize) -> usize {
    let kept = entries.len().saturating_sub(surplus);
    let left = surplus.saturating_sub(entries.len());
    entries.truncate(kept);
    left
}

fn summary(document: &Document) -> RunSummary {
    let failed = document.peers.iter().find_map(|peer| {
        let failure = peer.failure.as_ref()?;
        Some(format!("{}: {failure}", peer.shown()))
    });
    let failure = match (&document.failure, failed) {
        (Some(failure), Some(peer)) => Some(format!("{failure}; {peer}")),
        (failure, peer) => failure.clone().or(peer),
    };
    RunSummary {
        started_at: document.started_at,
        finished_at: document.finished_at,
        outcome: document.outcome,
        exit_code: document.exit_code,
        success: document.success,
        failure: failure.map(|failure| for_terminal(&failure, MOST_OF_A_REASON)),
        synced: document.synced(),
        peers: document.peers.len(),
        events: document.events,
        added: document.import.added,
        bytes: document.peers.iter().map(|peer| peer.bytes).sum(),
        seconds: document.seconds,
        database_bytes: document.database_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::document::tests::document;
    use std::fs;

    fn run_at(time: u64, outcome: Outcome, success: bool) -> Document {
        Document {
            finished_at: time,
            outcome,
            success,
            ..document()
        }
    }

    #[test]
    fn a_failure_leaves_the_last_success_as_it_was() {
        let mut history = RunHistory::default();
        for (time, outcome, success, last, failures) in [
            (100, Outcome::NothingDone, false, None, 1),
            (200, Outcome::Complete, true, Some(200), 0),
            (300, Outcome::SomePeersFailed, false, Some(200), 1),
            (400, Outcome::Interrupted, false, Some(200), 1),
            (500, Outcome::NothingDone, false, Some(200), 2),
            (600, Outcome::SomePeersFailed, true, Some(600), 0),
        ] {
            let mut document = run_at(time, outcome, success);
            history.take(&mut document);
            assert_eq!(document.last_success_at, last, "{time}");
            assert_eq!(document.failures_in_a_row, failures, "{time}");
        }
        let totals = &history.totals;
        let runs = (totals.succeeded, totals.failed, totals.interrupted);
        assert_eq!(runs, (2, 3, 1));
        assert_eq!(history.totals.refused["forged"], 6 * 4);
    }

    #[test]
    fn the_last_30_runs_and_48_hours_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("runs.json");
        for number in 1..=100 {
            let mut history = RunHistory::load(&path);
            let mut document = run_at(number * HOUR / 2, Outcome::Complete, true);
            history.take(&mut document);
            history.save(&path).unwrap();
        }
        let history = RunHistory::load(&path);
        assert_eq!(history.runs.len(), 30);
        assert_eq!(history.runs[0].finished_at, 50 * HOUR);
        assert_eq!(history.hours.len(), 48);
        assert_eq!(history.hours[1].began_at, 49 * HOUR);
        assert_eq!(history.hours[1].runs, 2);
        assert_eq!(history.hours[1].events(), 72);
        assert_eq!(history.totals.succeeded, 100);
        assert!(fs::metadata(&path).unwrap().len() < RUNS.most_bytes / 10);
    }

    #[test]
    fn a_clock_that_was_set_back_begins_its_hours_anew() {
        let mut history = RunHistory::default();
        for time in [50 * HOUR, 10 * HOUR] {
            history.take(&mut run_at(time, Outcome::Complete, true));
        }
        let hours: Vec<u64> = history.hours.iter().map(|hour| hour.began_at).collect();
        assert_eq!(hours, [10 * HOUR]);
    }

    #[test]
    fn a_history_of_an_older_version_is_read_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("runs.json");
        let older = r#"{"version":1,"last_success_at":5,"failures_in_a_row":2,
            "told":{"failure_at":7,"is_open":true,"last":null},
            "totals":{"succeeded":9,"failed":1,"interrupted":0,"events":3,"added":2,"bytes":1,"refused":{}},
            "runs":[{"started_at":1,"finished_at":5,"outcome":"complete","exit_code":0,"success":true,
                "failure":null,"synced":1,"peers":1,"events":3,"added":2,"bytes":1,"seconds":0.5}],
            "hours":[{"began_at":0,"runs":1,"succeeded":1,"events_by_kind":{"1":3}}]}"#;
        fs::write(&path, older).unwrap();
        let mut history = RunHistory::load(&path);
        assert_eq!(
            (history.last_success_at, history.totals.succeeded),
            (Some(5), 9)
        );
        assert_eq!(history.runs[0].database_bytes, None);
        history.take(&mut run_at(50 * HOUR, Outcome::Complete, true));
        assert_eq!((history.runs.len(), history.hours.len()), (2, 2));
    }

    #[test]
    fn of_each_peer_it_is_remembered_how_it_did_in_the_last_runs() {
        let mut history = RunHistory::default();
        let mut rarely = run_at(HOUR, Outcome::Complete, true);
        rarely.peers[0].url = "ws://rarely".to_owned();
        rarely.peers[0].complete_until = Some(7);
        history.take(&mut rarely);
        for hour in 2..40 {
            let mut run = run_at(hour * HOUR, Outcome::SomePeersFailed, true);
            run.peers[1].reached = hour % 2 == 0;
            run.peers[0].complete_until = (hour > 20).then_some(hour);
            history.take(&mut run);
            let known = |url: &str| history.peers.iter().find(|peer| peer.url == url);
            let (a, b) = (known("ws://a").unwrap(), known("ws://b").unwrap());
            let length = usize::try_from(hour).unwrap().min(MOST_RUNS);
            assert_eq!(
                a.runs,
                "s".repeat(length.min(usize::try_from(hour).unwrap() - 1))
            );
            assert!(b.runs.starts_with(if hour % 2 == 0 { "p" } else { "u" }));
            assert_eq!(a.complete_since, (hour > 20).then_some(21 * HOUR));
            let rarely = known("ws://rarely");
            assert_eq!(rarely.is_some(), hour <= 30, "{hour}");
            if let Some(rarely) = rarely {
                assert_eq!(rarely.runs, "-".repeat(length - 1) + "s");
                assert_eq!((rarely.complete_until, rarely.asked_at), (Some(7), HOUR));
            }
            assert_eq!(run.peer_runs, history.peers);
        }
    }

    #[test]
    fn however_many_peers_there_are_the_file_stays_small() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("runs.json");
        let mut history = RunHistory::default();
        for run in 0..40 {
            let mut document = run_at((run + 1) * HOUR, Outcome::Complete, true);
            let peer = document.peers[0].clone();
            document.peers = (0..300)
                .map(|number| crate::report::document::Peer {
                    url: format!("ws://{run}-{number}/{}", "x".repeat(280)),
                    ..peer.clone()
                })
                .collect();
            history.take(&mut document);
            history.save(&path).unwrap();
        }
        assert_eq!(history.peers.len(), MOST_PEERS);
        assert!(history.peers[0].url.starts_with("ws://39-"));
        assert_eq!(RunHistory::load(&path), history);
        assert!(fs::metadata(&path).unwrap().len() < RUNS.most_bytes / 2);
    }

    #[test]
    fn days_remember_the_size_of_the_database() {
        let mut history = RunHistory::default();
        for hour in 0..24 * 100 {
            let mut run = run_at(hour * HOUR, Outcome::Complete, true);
            run.database_bytes = (hour % 2 == 0).then_some(hour);
            history.take(&mut run);
        }
        assert_eq!(history.days.len(), MOST_DAYS);
        let yesterday = &history.days[1];
        assert_eq!((yesterday.runs, yesterday.succeeded), (24, 24));
        assert_eq!(yesterday.database_bytes, Some(24 * 99 - 2));
        assert_eq!(yesterday.ended_at, (24 * 99 - 1) * HOUR);
    }

    #[test]
    fn a_broken_file_is_nothing_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("runs.json");
        for text in ["", "{", "[]", "{\"version\":2}"] {
            fs::write(&path, text).unwrap();
            assert_eq!(RunHistory::load(&path), RunHistory::default(), "{text}");
        }
    }
}
