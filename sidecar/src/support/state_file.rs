//! [`StateFile`]: our files in strfry's folder, each with a bound on its size.
//!
//! Much of their content was chosen by others, such as addresses and error messages. So the bound
//! is enforced when a file is written, and reading a file never needs more memory than its bound.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use constellation_shared::regular_file;
use serde::Serialize;
use tracing::warn;

use crate::support::atomic_file;

/// One of our files in strfry's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateFile {
    /// The file's name.
    pub name: &'static str,
    /// The largest size in bytes; for a log, the size at which it is rotated.
    pub most_bytes: u64,
}

const MB: u64 = 1024 * 1024;

/// What is remembered of each peer. If there are too many, those not seen for the longest time are
/// forgotten.
pub(crate) const PEERS: StateFile = file("constellation-peers.json", 16 * MB);
/// What was had of each peer, completely. If there is too much, those peers are forgotten that were
/// not asked for the longest time.
pub(crate) const COVERAGE: StateFile = file("constellation-coverage.json", 32 * MB);
/// Refused events. If there are too many, the oldest are forgotten.
pub const REFUSED: StateFile = file("constellation-refused.txt", 16 * MB);
/// In what the sets of the peers differ from ours.
pub(crate) const PEER_SETS: StateFile = file("constellation-peer-sets", 32 * MB);
/// The stations and friends that were known a while ago. If there are too many, lists of other
/// stations are forgotten.
pub(crate) const SWARM: StateFile = file("constellation-swarm.json", 12 * MB);
/// Pubkeys without a profile anywhere. If there are too many, those asked for first are forgotten.
pub(crate) const MISSING_PROFILES: StateFile = file("constellation-missing-profiles.json", 8 * MB);
/// Earlier runs. If there are too many, the oldest are forgotten.
pub(crate) const RUNS: StateFile = file("constellation-runs.json", MB);
/// The report of the last run, for programs.
pub(crate) const REPORT: StateFile = file("constellation-report.json", 16 * MB);
/// The report of the last run, for people.
pub(crate) const REPORT_PAGE: StateFile = file("constellation-report.html", 16 * MB);
/// The tunnels that a backfill has open.
pub(crate) const TUNNELS: StateFile = file("constellation-tunnels.json", MB);
/// The tunnels that the doctor has open.
pub(crate) const PROBE_TUNNELS: StateFile = file("constellation-inquiry-tunnels.json", MB);
/// The tunnels that `live` has open.
pub(crate) const LIVE_TUNNELS: StateFile = file("constellation-live-tunnels.json", MB);
/// What `live` has, and of whom.
pub(crate) const LIVE: StateFile = file("constellation-live.json", MB);
/// The attempts of the trigger.
pub(crate) const TRIGGER: StateFile = file("constellation-trigger.json", 4096);
/// When the last triggered backfill that succeeded began.
pub(crate) const LAST_SUCCESS: StateFile = file("last_constellation_sync", 4096);
/// The log of the current run. Once it is full, only messages for scripts are added.
pub(crate) const RUN_LOG: StateFile = file("constellation-backfill.log", 32 * MB);
/// The warnings and errors of all runs.
pub(crate) const ERROR_LOG: StateFile = file("constellation-backfill.error.log", 10_000_000);
/// The log of messages about profiles.
pub(crate) const PROFILE_LOG: StateFile = file("hex-to-profile.log", 10_000_000);
/// The log of `live`.
pub(crate) const LIVE_JOURNAL: StateFile = file("constellation-live.log", 10_000_000);
/// The log of the trigger.
pub(crate) const TRIGGER_LOG: StateFile = file("constellation-trigger.log", 10_000_000);
/// The process id of a running backfill, for the station's own scripts.
pub(crate) const PID: StateFile = file("constellation-backfill.lock", 64);
/// The lock of a running backfill.
pub(crate) const LOCK: StateFile = file("constellation-sync.lock", 64);

/// All of our files in strfry's folder.
pub const ALL: [StateFile; 22] = [
    PEERS,
    COVERAGE,
    REFUSED,
    PEER_SETS,
    SWARM,
    MISSING_PROFILES,
    RUNS,
    REPORT,
    REPORT_PAGE,
    TUNNELS,
    PROBE_TUNNELS,
    LIVE_TUNNELS,
    LIVE,
    LIVE_JOURNAL,
    TRIGGER,
    LAST_SUCCESS,
    RUN_LOG,
    ERROR_LOG,
    PROFILE_LOG,
    TRIGGER_LOG,
    PID,
    LOCK,
];

const fn file(name: &'static str, most_bytes: u64) -> StateFile {
    StateFile { name, most_bytes }
}

/// A file would be larger than its bound, and was not written.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("it would be {bytes} bytes long, and {most} are the most")]
struct TooLarge {
    bytes: u64,
    most: u64,
}

/// The beginning of a file, up to its bound.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Beginning {
    /// The bytes, at most as many as the file's bound.
    pub bytes: Vec<u8>,
    /// Whether this is the whole file.
    pub is_whole: bool,
}

impl StateFile {
    /// Reads the file. Returns `None` if it is missing, larger than its bound, no regular file, or
    /// unreadable. A warning reports one that is too large.
    pub fn read(self, path: &Path) -> Option<Vec<u8>> {
        let Beginning { bytes, is_whole } = read_beginning(path, self.most_bytes)?;
        if !is_whole {
            warn!(
                "{} is larger than {}, which no run of ours writes; what it remembers does not count",
                path.display(),
                Size(self.most_bytes)
            );
        }
        is_whole.then_some(bytes)
    }

    /// Reads the file up to its bound. Returns `None` if it is missing, no regular file, or
    /// unreadable. A warning reports one that is too large.
    pub fn read_beginning(self, path: &Path) -> Option<Vec<u8>> {
        let Beginning { bytes, is_whole } = read_beginning(path, self.most_bytes)?;
        if !is_whole {
            warn!(
                "{} is larger than {}, which no run of ours writes; what lies behind that does not count",
                path.display(),
                Size(self.most_bytes)
            );
        }
        Some(bytes)
    }

    /// Writes the file atomically.
    ///
    /// # Errors
    /// If writing fails, or if the file would be larger than its bound.
    pub fn write(self, path: &Path, content: &[u8]) -> io::Result<()> {
        let bytes = content.len() as u64;
        if bytes > self.most_bytes {
            let most = self.most_bytes;
            return Err(io::Error::other(TooLarge { bytes, most }));
        }
        atomic_file::write(path, content)
    }

    /// Writes a state as JSON, atomically. If it is larger than the bound, `forget` is called to drop
    /// a number of its `count` entries, the least valuable ones, until it fits. A warning reports
    /// how many were dropped.
    ///
    /// # Errors
    /// If writing fails.
    pub fn write_json<S: Serialize>(
        self,
        path: &Path,
        state: &mut S,
        count: impl Fn(&S) -> usize,
        forget: impl Fn(&mut S, usize),
    ) -> io::Result<()> {
        let entries = count(state);
        let mut json = serde_json::to_vec(state)?;
        while json.len() as u64 > self.most_bytes && count(state) > 0 {
            // The share of entries to drop is the share of bytes that are too many.
            let length = json.len() as u64;
            let surplus = (count(state) as u64).saturating_mul(length - self.most_bytes) / length;
            forget(state, usize::try_from(surplus).unwrap_or(1).max(1));
            json = serde_json::to_vec(state)?;
        }
        let forgotten = entries - count(state).min(entries);
        if forgotten > 0 {
            self.warn_forgotten(path, forgotten);
        }
        self.write(path, &json)
    }

    /// Warns that some entries found no room.
    pub(crate) fn warn_forgotten(self, path: &Path, entries: usize) {
        warn!(
            "{}: its least useful entries are forgotten ({}): it takes at most {}",
            path.display(),
            entries,
            Size(self.most_bytes)
        );
    }
}

/// Reads at most `most` bytes of a file.
fn read_beginning(path: &Path, most: u64) -> Option<Beginning> {
    let mut file = regular_file::open(path).ok()?;
    let mut bytes = Vec::new();
    file.by_ref().take(most).read_to_end(&mut bytes).ok()?;
    let is_whole = !matches!(file.read(&mut [0]), Ok(1..));
    Some(Beginning { bytes, is_whole })
}

struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0..MB => write!(f, "{} bytes", self.0),
            bytes => write!(f, "{} MiB", bytes / MB),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    const SMALL: StateFile = file("small", 20);

    #[test]
    fn a_file_is_never_written_beyond_its_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("small");
        SMALL.write(&path, &[b'x'; 20]).unwrap();
        let error = SMALL.write(&path, &[b'x'; 21]).unwrap_err().to_string();
        assert_eq!(error, "it would be 21 bytes long, and 20 are the most");
        assert_eq!(fs::metadata(&path).unwrap().len(), 20);
        let mut state: Vec<u32> = (10..99).collect();
        let forget = |state: &mut Vec<u32>, count: usize| {
            state.drain(..count.min(state.len()));
        };
        SMALL
            .write_json(&path, &mut state, Vec::len, forget)
            .unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "[93,94,95,96,97,98]");
        // Not one of them fits.
        let mut state = vec!["x".repeat(30)];
        let forget = |state: &mut Vec<String>, count: usize| {
            state.drain(..count);
        };
        SMALL
            .write_json(&path, &mut state, Vec::len, forget)
            .unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "[]");
    }

    #[test]
    fn reading_costs_no_more_than_the_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("small");
        assert_eq!(SMALL.read_beginning(&path), None);
        fs::write(&path, [b'x'; 20]).unwrap();
        assert_eq!(SMALL.read(&path).map(|bytes| bytes.len()), Some(20));
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(SMALL.read(&path), None);
        assert_eq!(SMALL.read_beginning(&path), Some(vec![0; 20]));
    }
}
