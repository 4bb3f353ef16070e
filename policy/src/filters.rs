//! The station's own filters: an executable `KIND.sh` in a folder decides about the events of
//! that kind whose authors may write.
//!
//! A filter is called as the station's original plugin calls it: the request's JSON is the
//! first argument, and exit code 0 accepts the event. If a request is too long for an argument,
//! a filter that looks there would see nothing and accept. So such an event is rejected, unless
//! the filter declares in a comment that it reads its standard input.
//!
//! A filter that exceeds its time limit is killed with its children, at once or after a grace
//! period. If it ends in time, processes that it leaves running are left alone, as scripts rely on
//! that. A filter inherits none of our open files, so that nothing it leaves behind can hold up
//! strfry. What it prints is appended to the station's log of the plugin.

mod declaration;
mod log;
mod run;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use rustix::fs::{Access, access};
use tracing::{debug, error, warn};

pub use crate::filters::run::Limits;
use crate::filters::run::{End, Runner};
use crate::message::Answer;

/// The filters of a folder.
#[derive(Debug)]
pub struct Filters {
    folder: PathBuf,
    limits: Limits,
    /// The kinds that have a filter, or `None` if the folder exists but was never readable.
    kinds: RwLock<Option<BTreeSet<u64>>>,
    /// What was last logged about each file, so that it is logged once.
    complaints: Mutex<BTreeMap<PathBuf, String>>,
    /// The kinds for which it was logged that an event was too long for their filter.
    too_long: Mutex<BTreeSet<u64>>,
    runner: Arc<Runner>,
}

/// Whether a filter must be asked about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// No filter is to be asked.
    Nothing,
    /// The filter of this kind must be asked.
    Filter(u64),
    /// It is unknown whether there is a filter, so the event is not written.
    Refusal(Answer),
}

impl Filters {
    /// The filters in this folder. What they print is appended to the file `log`.
    ///
    /// # Errors
    /// Fails if the working directory cannot be found, or a thread cannot be started.
    pub fn start(folder: &Path, limits: Limits, log: &Path) -> io::Result<Self> {
        let runner = Runner::start(std::path::absolute(log)?)?;
        Self::run_by(Arc::new(runner), folder, limits)
    }

    /// The filters in another folder, or with other limits.
    ///
    /// # Errors
    /// Fails if the working directory cannot be found.
    pub fn moved(&self, folder: &Path, limits: Limits) -> io::Result<Self> {
        Self::run_by(Arc::clone(&self.runner), folder, limits)
    }

    fn run_by(runner: Arc<Runner>, folder: &Path, limits: Limits) -> io::Result<Self> {
        let filters = Self {
            // Absolute, so that a filter finds its own folder from any working directory.
            folder: std::path::absolute(folder)?,
            limits,
            kinds: RwLock::new(None),
            complaints: Mutex::default(),
            too_long: Mutex::default(),
            runner,
        };
        filters.refresh();
        Ok(filters)
    }

    /// Looks which filters exist.
    pub fn refresh(&self) {
        let entries = fs::read_dir(&self.folder);
        self.refresh_from(
            entries.map(|entries| entries.map(|entry| entry.map(|entry| entry.file_name()))),
        );
    }

    fn refresh_from(&self, names: io::Result<impl Iterator<Item = io::Result<OsString>>>) {
        let mut complaints = BTreeMap::new();
        let listed = match names {
            Ok(names) => kinds_among(&self.folder, names, &mut complaints),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let complaint = "does not exist: until it does, no filter is run; check --filters";
                complaints.insert(self.folder.clone(), complaint.to_owned());
                Ok(BTreeSet::new())
            }
            Err(error) => Err(error),
        };
        let found = match listed {
            Ok(found) => Some(found),
            Err(error) => {
                let known = self.kinds.read().unwrap_or_else(PoisonError::into_inner);
                let consequence = match *known {
                    Some(_) => "the filters found before are run",
                    None => "every event is rejected until it can be read",
                };
                let complaint = format!(
                    "cannot be read ({error}): {consequence}; it must be a folder that this user \
                     may read and enter"
                );
                complaints.insert(self.folder.clone(), complaint);
                None
            }
        };
        if let Some(found) = found {
            let mut kinds = self.kinds.write().unwrap_or_else(PoisonError::into_inner);
            if kinds.as_ref() != Some(&found) {
                debug!("{}: filters of kinds {found:?}", self.folder.display());
                *kinds = Some(found);
            }
        }
        self.log_complaints(complaints);
    }

    /// Whether a filter must be asked about an event whose request has this kind, as it is
    /// written there.
    pub fn wanted(&self, kind: Option<&[u8]>) -> Wanted {
        let kinds = self.kinds.read().unwrap_or_else(PoisonError::into_inner);
        let Some(kinds) = kinds.as_ref() else {
            return Wanted::Refusal(Answer::Reject("error: filters unavailable"));
        };
        if kinds.is_empty() {
            return Wanted::Nothing;
        }
        let digits = kind.filter(|kind| kind.iter().all(u8::is_ascii_digit));
        let Some(digits) = digits.and_then(|digits| std::str::from_utf8(digits).ok()) else {
            // Written in another way, it may still mean a kind that has a filter.
            return Wanted::Refusal(Answer::Reject("invalid: kind is not a number"));
        };
        match digits.parse() {
            Ok(kind) if kinds.contains(&kind) => Wanted::Filter(kind),
            // Either there is no such filter, or the number is too large to be a filter's.
            _ => Wanted::Nothing,
        }
    }

    /// Asks the filter of this kind about a request. `None` if the filter no longer exists.
    pub fn ask(&self, kind: u64, request: &[u8]) -> Option<Answer> {
        let path = self.folder.join(format!("{kind}.sh"));
        match self.runner.run(&path, request, self.limits) {
            Ok(end) => {
                self.complaints().remove(&path);
                Some(self.answer(kind, &path, request.len(), &end))
            }
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && fs::symlink_metadata(&path).is_err() =>
            {
                debug!(
                    "{} was removed: its kind has no filter any more",
                    path.display()
                );
                None
            }
            Err(error) => {
                self.complain_of_start(path, &error);
                Some(Answer::Reject("error: filter cannot be started"))
            }
        }
    }

    /// The answer to a request of this length whose filter ended like this.
    fn answer(&self, kind: u64, path: &Path, length: usize, end: &End) -> Answer {
        let filter = path.display();
        match end {
            End::Exited(status) if status.success() => Answer::Accept,
            End::Exited(status) if status.code().is_some() => {
                debug!("{filter} refused an event ({status})");
                Answer::Reject("blocked: refused by a filter of this relay")
            }
            End::Exited(status) => {
                warn!("{filter} crashed or was killed ({status}): the event is rejected");
                Answer::Reject("error: filter failed")
            }
            End::TooLong => {
                self.warn_too_long(kind, length);
                Answer::Reject("error: too long for this relay's filters")
            }
            End::Flooded => {
                warn!(
                    "{filter} printed more than 16 MiB and was killed with its children: the event \
                     is rejected; see the end of strfry.log for what it printed"
                );
                Answer::Reject("error: filter failed")
            }
            End::Late => {
                warn!(
                    "{filter} took longer than {:?}: the event is rejected, and the filter may go \
                     on for {:?}; start what takes long in the background with &, or pass \
                     --filter-timeout",
                    self.limits.timeout, self.limits.grace
                );
                Answer::Reject("error: filter timed out")
            }
            End::TimedOut => {
                warn!(
                    "{filter} took longer than {:?} and was killed with its children: the \
                     event is rejected; start what takes long in the background with &, or \
                     pass --filter-timeout or --filter-grace",
                    self.limits.timeout
                );
                Answer::Reject("error: filter timed out")
            }
        }
    }

    /// Reports, once, that a filter cannot be started.
    fn complain_of_start(&self, path: PathBuf, error: &io::Error) {
        let complaint = format!(
            "cannot be started ({error}): every event of its kind is rejected until it can; check \
             its first line (#!/bin/bash) and who may execute it"
        );
        let mut complaints = self.complaints();
        if complaints.get(&path) != Some(&complaint) {
            error!("{} {complaint}", path.display());
            complaints.insert(path, complaint);
        }
    }

    /// Warns, once for each filter, that an event is too long for it.
    fn warn_too_long(&self, kind: u64, length: usize) {
        let mut warned = self.too_long.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.insert(kind) {
            let path = self.folder.join(format!("{kind}.sh"));
            warn!(
                "{} looks for events in its first argument, which cannot hold one of \
                 {length} bytes: events this long are rejected; have the filter read stdin if \
                 CONSTELLATION_EVENT is stdin, and declare it in its first lines: \
                 # constellation: reads stdin",
                path.display()
            );
        }
    }

    fn complaints(&self) -> MutexGuard<'_, BTreeMap<PathBuf, String>> {
        self.complaints
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs the complaints that are new, and remembers them all. Complaints about filters that
    /// cannot be started are kept for as long as the filters exist.
    fn log_complaints(&self, new: BTreeMap<PathBuf, String>) {
        let mut complaints = self.complaints();
        for (path, complaint) in &new {
            if complaints.get(path) != Some(complaint) {
                warn!("{} {complaint}", path.display());
            }
        }
        complaints.retain(|path, complaint| complaint.starts_with(NOT_STARTED) && path.exists());
        complaints.extend(new);
    }
}

/// The kinds that have a filter in this folder. A missing folder has none.
///
/// # Errors
/// Fails if the folder cannot be read.
pub fn kinds_in(folder: &Path) -> io::Result<BTreeSet<u64>> {
    match fs::read_dir(folder) {
        Ok(entries) => {
            let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
            kinds_among(folder, names, &mut BTreeMap::new())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

/// The kinds that have a filter, judging by the names in the folder. What is no filter is described
/// in `complaints`.
///
/// # Errors
/// Fails if a name cannot be read, because it may be that of any filter.
fn kinds_among(
    folder: &Path,
    names: impl Iterator<Item = io::Result<OsString>>,
    complaints: &mut BTreeMap<PathBuf, String>,
) -> io::Result<BTreeSet<u64>> {
    let mut kinds = BTreeSet::new();
    for name in names {
        let name = name?;
        let Some(kind) = name.to_str().and_then(kind_of) else {
            continue;
        };
        let path = folder.join(&name);
        let wrong = match fs::metadata(&path) {
            // A folder or a FIFO in the place of a filter is no wish to do without it: it
            // cannot be started, and its events are rejected.
            Ok(metadata) if !metadata.is_file() => {
                kinds.insert(kind);
                continue;
            }
            Ok(_) if access(&path, Access::EXEC_OK).is_err() => "is not executable",
            Err(error) if error.kind() == io::ErrorKind::NotFound => "is a broken link",
            // Any other fault shows when the filter is started.
            _ => {
                kinds.insert(kind);
                continue;
            }
        };
        let complaint =
            format!("{wrong}: it is skipped; chmod +x it, or remove it from the folder");
        complaints.insert(path, complaint);
    }
    Ok(kinds)
}

/// How complaints begin that looking at the folder again does not settle.
const NOT_STARTED: &str = "cannot be started";

/// The kind in a filter's name, such as `1.sh`, if it is written in the usual way.
fn kind_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".sh")?;
    let kind: u64 = digits.parse().ok()?;
    (kind.to_string() == digits).then_some(kind)
}
