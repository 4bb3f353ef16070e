//! Removes the lines of pardoned keys from the blacklist, and tries again if that fails.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use constellation_shared::{Pubkey, counted};
use tracing::{info, warn};

use crate::blacklist::{self, RemoveError, ReplacedList};
use crate::keeper::schedule::LOOK_EVERY;

/// How long a list is left alone after other programs were faster than a removal.
pub(super) const RETRY_SOON: Duration = Duration::from_secs(1);

/// How long a list is left alone after a removal failed, for example as this user may not write it.
pub(super) const RETRY_LATER: Duration = Duration::from_secs(60);

/// How soon a replaced list that other programs still have open is looked at again at first.
pub(super) const SHORTEST_RESCUE_INTERVAL: Duration = Duration::from_millis(200);

/// How seldom such a list is looked at in the end.
pub(super) const LONGEST_RESCUE_INTERVAL: Duration = Duration::from_secs(5);

/// How long to wait, at the end of the input, for other programs to close a replaced list: the
/// time between two looks, and as long again for a program that still has it open. The next start
/// takes over whatever is left then.
pub(super) const CLOSED_WITHIN: Duration = Duration::from_millis(400);

/// How long the list is left alone after this error, and the remedy.
pub(super) const fn after(error: &RemoveError) -> (Duration, &'static str) {
    match error {
        RemoveError::Contended | RemoveError::Locked => (RETRY_SOON, "it is tried again"),
        RemoveError::Attribute(_) => (
            RETRY_LATER,
            "run strfry as the user who owns the file, or pass --no-remove",
        ),
        RemoveError::TooLarge => (RETRY_LATER, "look at what fills it, or pass --no-remove"),
        RemoveError::ReadOnly | RemoveError::Step(..) => (
            RETRY_LATER,
            "make the file and its folder writable for this user, or pass --no-remove",
        ),
    }
}

/// Removes pardoned keys from the blacklist.
pub(super) struct Remover {
    pub(super) blacklist: PathBuf,
    /// Whether the files that earlier runs left were taken over.
    recovered: bool,
    pub(super) replaced: Vec<ReplacedList>,
    pub(super) next_rescue: Instant,
    pub(super) rescue_interval: Duration,
    pub(super) not_before: Option<Instant>,
    /// Since when other programs keep the folder locked.
    pub(super) locked_since: Option<Instant>,
    pub(super) complaint: Option<String>,
}

impl Remover {
    pub(super) fn new(blacklist: PathBuf) -> Self {
        Self {
            blacklist,
            recovered: false,
            replaced: Vec::new(),
            next_rescue: Instant::now(),
            rescue_interval: SHORTEST_RESCUE_INTERVAL,
            not_before: None,
            locked_since: None,
            complaint: None,
        }
    }

    /// Does what is due. Keys that must wait stay in `keys`.
    pub(super) fn work(&mut self, keys: &mut BTreeSet<Pubkey>) {
        self.recover();
        self.remove(keys);
        if Instant::now() >= self.next_rescue || self.replaced.iter().any(ReplacedList::has_grown) {
            self.rescue();
        }
    }

    /// Does the work for the last time. It waits for the lists that were just replaced, because a
    /// program whose open files this user may not see could be about to append to them. Without
    /// the wait, each short run would leave a file behind.
    pub(super) fn finish(&mut self, keys: &mut BTreeSet<Pubkey>) {
        let started = Instant::now();
        self.not_before = None;
        loop {
            self.recover();
            self.remove(keys);
            self.rescue();
            let done = self.recovered && keys.is_empty() && self.replaced.is_empty();
            if done || started.elapsed() >= CLOSED_WITHIN {
                return;
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    pub(super) fn recover(&mut self) {
        if self.recovered {
            return;
        }
        match blacklist::recover(&self.blacklist) {
            Ok(Some(replaced)) => self.replaced.extend(replaced),
            // Another process of ours is at work; try again later.
            Ok(None) => return,
            Err(error) => warn!(
                "{}: what an earlier run left beside it cannot be taken over: {error}",
                self.blacklist.display()
            ),
        }
        self.recovered = true;
    }

    pub(super) fn remove(&mut self, keys: &mut BTreeSet<Pubkey>) {
        if keys.is_empty() {
            return;
        }
        if self.not_before.is_some_and(|then| Instant::now() < then) {
            keys.clear();
            return;
        }
        self.not_before = None;
        let removed = blacklist::remove(&self.blacklist, keys, &mut self.replaced);
        self.rescue_interval = SHORTEST_RESCUE_INTERVAL;
        self.next_rescue = Instant::now();
        if let Err(error @ RemoveError::Locked) = removed {
            // Usually it is another process of ours, for a moment, so the keys are kept.
            let since = *self.locked_since.get_or_insert_with(Instant::now);
            let (wait, remedy) = after(&error);
            if since.elapsed() >= wait {
                self.complain(&error, remedy);
            }
            return;
        }
        self.locked_since = None;
        match removed {
            Ok(lines) => {
                self.complaint = None;
                if lines > 0 {
                    let names: Vec<String> = keys.iter().map(Pubkey::to_hex).collect();
                    info!(
                        "{}: {} of friends or members removed: {}",
                        self.blacklist.display(),
                        counted(lines, "line"),
                        names.join(" ")
                    );
                }
            }
            Err(error) => {
                let (wait, remedy) = after(&error);
                self.not_before = Some(Instant::now() + wait);
                self.complain(&error, remedy);
            }
        }
        keys.clear();
    }

    pub(super) fn complain(&mut self, error: &RemoveError, remedy: &str) {
        let cause = error
            .source()
            .map_or(String::new(), |cause| format!(" ({cause})"));
        let complaint = format!("{error}{cause}");
        if self.complaint.as_ref() != Some(&complaint) {
            warn!(
                "{}: {complaint}: friends and members in it are let in, but their lines stay; {remedy}",
                self.blacklist.display()
            );
            self.complaint = Some(complaint);
        }
    }

    pub(super) fn rescue(&mut self) {
        let path: &Path = &self.blacklist;
        self.replaced.retain_mut(|list| match list.rescue() {
            Ok(gone) => !gone,
            Err(error) => {
                warn!(
                    "{}: lines appended while it was replaced wait beside it: {error}",
                    path.display()
                );
                true
            }
        });
        // A list that was just closed will be gone at the next look.
        self.rescue_interval = if self.replaced.iter().any(ReplacedList::is_closed) {
            SHORTEST_RESCUE_INTERVAL
        } else {
            (self.rescue_interval * 2).min(LONGEST_RESCUE_INTERVAL)
        };
        self.next_rescue = Instant::now() + self.rescue_interval;
    }
}
