//! The station's own filters: an executable `KIND.sh` in a folder decides on the events of
//! that kind, of authors who may write.
//!
//! Called as the station's own plugin calls them: the request's JSON is the first argument,
//! and exit 0 accepts. A filter that looks there for a request too long for an argument would
//! see nothing, and accept: such an event is rejected, unless the filter says in a comment
//! that it reads its standard input. A filter has a limit of time, past which it is killed with its
//! children; what it leaves running when it ends in time is left alone, as scripts count
//! on. It gets none of our descriptors, so that nothing it leaves can hold up strfry.

mod declaration;
mod run;
mod said;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use rustix::fs::{Access, access};
use tracing::{debug, error, info, warn};

use crate::filters::run::{End, Runner};
use crate::message::Answer;

/// The filters of a folder.
#[derive(Debug)]
pub struct Filters {
    folder: PathBuf,
    timeout: Duration,
    /// The kinds that have a filter, or `None` where the folder is there but was never
    /// readable.
    kinds: RwLock<Option<BTreeSet<u64>>>,
    /// What was last said about a file, so that it is said once.
    complaints: Mutex<BTreeMap<PathBuf, String>>,
    /// The kinds of which it was said that some events are too long for their filter.
    too_long: Mutex<BTreeSet<u64>>,
    runner: Runner,
}

/// What the filters have to do with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// There is none for it.
    Nothing,
    /// The one of this kind is to be run.
    Filter(u64),
    /// It cannot be told which: the event is not written.
    Refusal(Answer),
}

impl Filters {
    /// The filters in this folder, each with so much time.
    ///
    /// # Errors
    /// Those of finding the working directory, and of starting the threads that end a
    /// filter when we are ended, and that read what it prints.
    pub fn start(folder: &Path, timeout: Duration) -> io::Result<Self> {
        let filters = Self {
            // A filter finds its folder by its own name, wherever it goes.
            folder: std::path::absolute(folder)?,
            timeout,
            kinds: RwLock::new(None),
            complaints: Mutex::default(),
            too_long: Mutex::default(),
            runner: Runner::start()?,
        };
        filters.look();
        Ok(filters)
    }

    /// Looks which filters there are.
    pub fn look(&self) {
        let entries = fs::read_dir(&self.folder);
        self.look_through(
            entries.map(|entries| entries.map(|entry| entry.map(|entry| entry.file_name()))),
        );
    }

    fn look_through(&self, names: io::Result<impl Iterator<Item = io::Result<OsString>>>) {
        let mut complaints = BTreeMap::new();
        let listed = match names {
            Ok(names) => self.among(names, &mut complaints),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let complaint = "is not there: until it is, no filter is run; check --filters";
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
        self.complain_of_all(complaints);
    }

    /// The kinds that have a filter, by the names in the folder; a name that cannot be read
    /// may be that of any filter.
    fn among(
        &self,
        names: impl Iterator<Item = io::Result<OsString>>,
        complaints: &mut BTreeMap<PathBuf, String>,
    ) -> io::Result<BTreeSet<u64>> {
        let mut kinds = BTreeSet::new();
        for name in names {
            let name = name?;
            let Some(kind) = name.to_str().and_then(kind_of) else {
                continue;
            };
            let path = self.folder.join(&name);
            let wrong = match fs::metadata(&path) {
                Ok(metadata) if !metadata.is_file() => "is no file",
                Ok(_) if access(&path, Access::EXEC_OK).is_err() => "is not executable",
                Err(error) if error.kind() == io::ErrorKind::NotFound => "leads nowhere",
                // What is wrong with it will be seen when it is started.
                _ => {
                    kinds.insert(kind);
                    continue;
                }
            };
            let complaint =
                format!("{wrong}: it is passed over; chmod +x it, or take it out of the folder");
            complaints.insert(path, complaint);
        }
        Ok(kinds)
    }

    /// What there is to do with an event of this kind, as its request spells it.
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
            // Whoever spells it otherwise may mean a kind that has a filter.
            return Wanted::Refusal(Answer::Reject("invalid: kind is not a number"));
        };
        match digits.parse() {
            Ok(kind) if kinds.contains(&kind) => Wanted::Filter(kind),
            // A number that no name of a filter spells.
            _ => Wanted::Nothing,
        }
    }

    /// Asks the filter of this kind about a request.
    pub fn ask(&self, kind: u64, request: &[u8]) -> Answer {
        let path = self.folder.join(format!("{kind}.sh"));
        let filter = path.display();
        let end = self.runner.run(&path, kind, request, self.timeout);
        let Err(error) = end else {
            self.complaints().remove(&path);
            return match end {
                Ok(End::Exited(status)) if status.success() => Answer::Accept,
                Ok(End::Exited(status)) if status.code().is_some() => {
                    debug!("{filter} refused an event ({status})");
                    Answer::Reject("blocked: refused by a filter of this relay")
                }
                Ok(End::Exited(status)) => {
                    warn!("{filter} was ended ({status}): the event is rejected");
                    Answer::Reject("error: filter failed")
                }
                Ok(End::TooLong) => {
                    self.say_too_long(kind, request.len());
                    Answer::Reject("error: too long for this relay's filters")
                }
                _ => {
                    warn!(
                        "{filter} took longer than {:?} and was killed with its children: the \
                         event is rejected; let it do what takes long behind &, or pass \
                         --filter-timeout",
                        self.timeout
                    );
                    Answer::Reject("error: filter timed out")
                }
            };
        };
        if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(&path).is_err() {
            debug!("{filter} was taken away: its kind has no filter any more");
            return Answer::Accept;
        }
        let complaint = format!(
            "cannot be started ({error}): every event of its kind is rejected until it can; look at \
             its first line (#!/bin/bash) and at who may execute it"
        );
        let mut complaints = self.complaints();
        if complaints.get(&path) != Some(&complaint) {
            error!("{filter} {complaint}");
            complaints.insert(path, complaint);
        }
        Answer::Reject("error: filter cannot be started")
    }

    /// Says once of a filter what becomes of events that are too long for it.
    fn say_too_long(&self, kind: u64, length: usize) {
        let mut said = self.too_long.lock().unwrap_or_else(PoisonError::into_inner);
        if said.insert(kind) {
            let path = self.folder.join(format!("{kind}.sh"));
            warn!(
                "{} looks for events in its first argument, which cannot hold one of \
                 {length} bytes: it and its like are rejected; let the filter read stdin where \
                 CONSTELLATION_EVENT is stdin, and say so in its first lines: # constellation: \
                 reads stdin",
                path.display()
            );
        }
    }

    /// Waits a moment for what the filters said last.
    pub fn close(&self) {
        if !self.runner.close() {
            info!("what filters left running may have more to say: it is not waited for");
        }
    }

    fn complaints(&self) -> MutexGuard<'_, BTreeMap<PathBuf, String>> {
        self.complaints
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what was not said yet. What is said of filters that cannot be started stays
    /// while they are there.
    fn complain_of_all(&self, new: BTreeMap<PathBuf, String>) {
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

/// How the complaints begin that a look at the folder does not end.
const NOT_STARTED: &str = "cannot be started";

/// The kind in the name of a filter, `1.sh`, as everyone spells it.
fn kind_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".sh")?;
    let kind: u64 = digits.parse().ok()?;
    (kind.to_string() == digits).then_some(kind)
}
