//! [`Lock`]: ensures that only one backfill runs at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process;

use crate::support::atomic_file;

/// What stands behind the process id of `live` in the lock file.
const LIVE: &str = " live";

/// Who takes the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// A backfill.
    Run,
    /// `live`, which does backfills all the time.
    Live,
}

/// The lock of a running backfill. The kernel releases it when the process ends, even if it was
/// killed.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
    pid_file: PathBuf,
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// Another run holds the lock; the text is its process id, or empty if that cannot be read.
    #[error("Backfill already running with PID: {0}")]
    Held(String),
    /// `live` holds the lock; the text is its process id.
    #[error(
        "constellation-sync live, PID {0}, keeps this station level all the time and does its backfills, too"
    )]
    Live(String),
    /// The lock file or the process id file cannot be written.
    #[error("{0} cannot be locked; check the free disk space and who owns it")]
    Io(String, #[source] io::Error),
}

impl Lock {
    /// Takes the lock on `path`, and writes our process id there and into `pid_file`, where
    /// `_12345.sh` looks for it.
    ///
    /// # Errors
    /// [`LockError`]; the lock of another run is not affected.
    pub(crate) fn take(path: &Path, pid_file: PathBuf, holder: Holder) -> Result<Self, LockError> {
        let io = |error| LockError::Io(path.display().to_string(), error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = (&file).take(20).read_to_string(&mut holder);
                let holder = holder.trim();
                return Err(match holder.strip_suffix(LIVE) {
                    Some(pid) => LockError::Live(pid.to_owned()),
                    None => LockError::Held(holder.to_owned()),
                });
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        let pid = format!("{}\n", process::id());
        let named = match holder {
            Holder::Run => pid.clone(),
            Holder::Live => format!("{}{LIVE}\n", process::id()),
        };
        file.set_len(0)
            .and_then(|()| file.write_all(named.as_bytes()))
            .map_err(io)?;
        // As a whole: an empty file or a part of a process id would mislead its readers.
        atomic_file::write(&pid_file, pid.as_bytes()).map_err(|error| {
            // It may name an earlier run.
            let _ = fs::remove_file(&pid_file);
            LockError::Io(pid_file.display().to_string(), error)
        })?;
        Ok(Self {
            _file: file,
            pid_file,
        })
    }

    /// Says that `live` holds the lock on `path`, if it does. The lock is not taken.
    pub(crate) fn live(path: &Path) -> Option<LockError> {
        let mut text = String::new();
        let file = File::open(path).ok()?;
        let _ = (&file).take(20).read_to_string(&mut text);
        let pid = text.trim().strip_suffix(LIVE)?;
        let is_held = matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
        is_held.then(|| LockError::Live(pid.to_owned()))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.pid_file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_is_first_and_takes_nothing_away() {
        let dir = tempfile::tempdir().unwrap();
        let (path, pid_file) = (dir.path().join("lock"), dir.path().join("pid"));
        let first = Lock::take(&path, pid_file.clone(), Holder::Run).unwrap();
        let second = Lock::take(&path, pid_file.clone(), Holder::Run).unwrap_err();
        let pid = process::id();
        assert_eq!(
            second.to_string(),
            format!("Backfill already running with PID: {pid}")
        );
        assert_eq!(fs::read_to_string(&pid_file).unwrap(), format!("{pid}\n"));
        drop(first);
        assert!(!pid_file.exists());
        let live = Lock::take(&path, pid_file.clone(), Holder::Live).unwrap();
        let run = Lock::take(&path, pid_file, Holder::Run).unwrap_err();
        assert!(matches!(run, LockError::Live(holder) if holder == pid.to_string()));
        assert!(Lock::live(&path).is_some());
        drop(live);
        assert!(Lock::live(&path).is_none());
    }

    #[test]
    fn what_a_killed_run_left_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        fs::write(&path, "4194304 and more\n").unwrap();
        let _lock = Lock::take(&path, dir.path().join("pid"), Holder::Run).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!("{}\n", process::id())
        );
    }
}
