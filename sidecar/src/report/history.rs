//! What is remembered of earlier runs (`strfry/constellation-runs.json`): the last ones, the
//! last hours, sums over all of them, and whom something was told. Safe to delete: the
//! sums then begin anew.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::report::Outcome;
use crate::report::document::Document;
use crate::report::notify::Notified;
use crate::report::run_summary::{Hour, RunSummary};
use crate::support::sanitize::for_terminal;
use crate::support::state_file::RUNS;

/// The layout of the file.
const VERSION: u32 = 1;

/// How many runs and hours are remembered.
const MOST_RUNS: usize = 30;
const MOST_HOURS: usize = 48;

/// The most characters of a reason.
const MOST_OF_A_REASON: usize = 200;

const HOUR: u64 = 3600;

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
        document.last_success_at = self.last_success_at;
        document.failures_in_a_row = self.failures_in_a_row;
        document.last_call.clone_from(&self.notified.last);
        document.pinged.clone_from(&self.notified.pinged);
        document.runs.clone_from(&self.runs);
        document.hours.clone_from(&self.hours);
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

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// If writing fails.
    pub(crate) fn save(&mut self, path: &Path) -> io::Result<()> {
        let count = |history: &Self| history.runs.len() + history.hours.len();
        RUNS.write_json(path, self, count, Self::forget)
    }

    /// Forgets this many runs or hours: the oldest runs first, then the oldest hours.
    fn forget(&mut self, surplus: usize) {
        let of_hours = surplus.saturating_sub(self.runs.len());
        self.runs.truncate(self.runs.len().saturating_sub(surplus));
        self.hours
            .truncate(self.hours.len().saturating_sub(of_hours));
    }
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
    fn a_broken_file_is_nothing_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("runs.json");
        for text in ["", "{", "[]", "{\"version\":2}"] {
            fs::write(&path, text).unwrap();
            assert_eq!(RunHistory::load(&path), RunHistory::default(), "{text}");
        }
    }
}
