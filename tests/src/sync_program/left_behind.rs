//! What a run may not leave behind, however it ended.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::StationDir;
use crate::command::{Output, wait_until};

use super::{ERROR_LOG, LOCK, LOG, PID_FILE};

const TUNNELS: &str = "strfry/constellation-tunnels.json";

/// No process, no tunnel nor a record of one, no lock held, no temporary file, no sign that
/// a foreign script was run; and nobody panicked.
#[track_caller]
pub fn nothing_left_behind(station: &StationDir) {
    let processes = station.processes();
    assert!(processes.is_empty(), "still running: {processes:?}");
    assert_eq!(station.tunnels(), []);
    assert_eq!(station.read(TUNNELS), "", "a record of tunnels");
    assert_eq!(station.read(PID_FILE), "", "our process id");
    if let Ok(lock) = File::open(station.root().join(LOCK)) {
        assert!(lock.try_lock().is_ok(), "the lock is held");
    }
    let left = temporary_files(&station.home());
    assert!(left.is_empty(), "temporary files: {left:?}");
    assert!(!station.foreign_script_ran());
    for log in [LOG, ERROR_LOG] {
        // A test may have put a device there, which has no end.
        if !fs::symlink_metadata(station.root().join(log)).is_ok_and(|log| log.is_file()) {
            continue;
        }
        let log = station.read(log);
        assert!(!log.contains("panicked"), "{log}");
    }
}

/// The same, for a run of which the output is at hand.
#[track_caller]
pub fn ended_well(station: &StationDir, output: &Output) {
    output.expect_not_stderr("panicked");
    nothing_left_behind(station);
}

/// After a `kill -9` its children end by themselves.
pub fn wait_for_orphans(station: &StationDir) {
    wait_until("the children to end", || station.processes().is_empty());
}

/// Whatever lies below a folder under a name that nobody keeps.
fn temporary_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(temporary_files(&path));
        } else if name.ends_with(".new") || name.ends_with(".tmp") || name.starts_with(".black") {
            found.push(path);
        }
    }
    found
}
