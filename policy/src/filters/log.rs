//! [`FilterLog`]: the file to which everything is appended that filters print, as the station's
//! original plugin does.
//!
//! Filters write to the file themselves, not through us: what they leave running in the background
//! can go on printing when we have ended.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use constellation_shared::regular_file;
use tracing::warn;

/// The longest log that is appended to, in bytes. The station empties its folder every day.
const LONGEST: u64 = 256 * 1024 * 1024;

/// How much a filter may print in one run, in bytes. One that prints more is killed, before it
/// fills the disk.
const MOST_OF_A_RUN: u64 = 16 * 1024 * 1024;

/// The file to which the filters' output is appended.
#[derive(Debug)]
pub(super) struct FilterLog {
    path: PathBuf,
    /// What was last said about it, so that it is said once.
    complaint: Mutex<Option<String>>,
}

/// The log as it was opened for one run of a filter.
#[derive(Debug)]
pub(super) struct RunLog {
    /// `None` if the output is discarded.
    file: Option<File>,
    /// How long the log was at the beginning of the run.
    length: u64,
}

impl FilterLog {
    /// A log at this path. It and its folder are created when they are needed.
    pub(super) const fn new(path: PathBuf) -> Self {
        Self {
            path,
            complaint: Mutex::new(None),
        }
    }

    /// Opens the log for one run of a filter. If it cannot be written, the output of the run is
    /// discarded, which is logged once.
    pub(super) fn open(&self) -> RunLog {
        let opened = self.try_open();
        let complaint = opened.as_ref().err().map(|error| {
            format!(
                "{} cannot be written ({error}): what filters print is discarded; check who may \
                 write it and its folder",
                self.path.display()
            )
        });
        let mut last = self
            .complaint
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *last != complaint {
            if let Some(complaint) = &complaint {
                warn!("{complaint}");
            }
            *last = complaint;
        }
        opened.unwrap_or(RunLog {
            file: None,
            length: 0,
        })
    }

    fn try_open(&self) -> io::Result<RunLog> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut options = OpenOptions::new();
        let file = regular_file::open_with(&self.path, options.append(true).create(true))?;
        let length = file.metadata()?.len();
        if length > LONGEST {
            return Err(io::Error::other("it is longer than 256 MiB"));
        }
        Ok(RunLog {
            file: Some(file),
            length,
        })
    }
}

impl RunLog {
    /// The file for a filter to write to, or `None` if its output is discarded.
    ///
    /// # Errors
    /// Fails if the descriptor cannot be duplicated.
    pub(super) fn file(&self) -> io::Result<Option<File>> {
        self.file.as_ref().map(File::try_clone).transpose()
    }

    /// Whether more was printed since the beginning of the run than a filter may print.
    pub(super) fn is_flooded(&self) -> bool {
        let length = self.file.as_ref().and_then(|file| file.metadata().ok());
        length.is_some_and(|now| now.len().saturating_sub(self.length) > MOST_OF_A_RUN)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::Path;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;
    use crate::logged::logged;

    fn print(log: &FilterLog, text: &str) {
        let mut file = log.open().file().unwrap().unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn output_is_appended_and_the_folder_is_created() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tmp/strfry.log");
        let log = FilterLog::new(path.clone());
        print(&log, "one\n");
        print(&log, "two\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        // The station empties the folder every day.
        fs::remove_file(&path).unwrap();
        print(&log, "three\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
    }

    #[test]
    fn a_log_that_cannot_be_written_is_said_once_and_holds_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("strfry.log");
        let log = FilterLog::new(path.clone());
        mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
        let said = logged(|| {
            for _ in 0..3 {
                assert!(log.open().file().unwrap().is_none());
            }
        });
        assert_eq!(said.matches("is discarded").count(), 1, "{said}");
        fs::remove_file(&path).unwrap();
        File::create(&path).unwrap().set_len(LONGEST + 1).unwrap();
        let said = logged(|| assert!(log.open().file().unwrap().is_none()));
        assert!(said.contains("longer than 256 MiB"), "{said}");
        assert!(
            !FilterLog::new(Path::new("/proc/x/y").into())
                .open()
                .is_flooded()
        );
    }

    #[test]
    fn only_what_was_printed_since_the_beginning_of_the_run_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("strfry.log");
        let log = FilterLog::new(path.clone());
        let file = File::create(&path).unwrap();
        file.set_len(2 * MOST_OF_A_RUN).unwrap();
        let run = log.open();
        file.set_len(3 * MOST_OF_A_RUN).unwrap();
        assert!(!run.is_flooded());
        file.set_len(3 * MOST_OF_A_RUN + 1).unwrap();
        assert!(run.is_flooded());
    }
}
