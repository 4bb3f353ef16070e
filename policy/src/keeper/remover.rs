//! Taking the lines of pardoned keys out of the blacklist, as often as that can be done.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use constellation_shared::{Pubkey, counted};
use tracing::{info, warn};

use crate::blacklist::{self, RemoveError, ReplacedList};
use crate::keeper::schedule::LOOK_EVERY;

/// For how long a list from which nothing could be taken out is left alone: where others
/// were faster, and where this user may not write.
pub(super) const RETRY_AFTER: (Duration, Duration) =
    (Duration::from_secs(1), Duration::from_secs(60));

/// How often a replaced list that is still held open is looked at, at the most and the
/// least.
pub(super) const RESCUE_AFTER: (Duration, Duration) =
    (Duration::from_millis(200), Duration::from_secs(5));

/// For how long, at the end of input, a replaced list is waited for to be let go of: the
/// time between two looks, and as long again for one who still holds it. What is left then
/// is taken over by the next start.
pub(super) const LET_GO_WITHIN: Duration = Duration::from_millis(400);

/// For how long the list is left alone after this, and what is to be done.
pub(super) const fn after(error: &RemoveError) -> (Duration, &'static str) {
    match error {
        RemoveError::Contended | RemoveError::Locked => (RETRY_AFTER.0, "it is tried again"),
        RemoveError::Attribute(_) => (
            RETRY_AFTER.1,
            "run strfry as the user who owns the file, or pass --no-remove",
        ),
        RemoveError::TooLarge => (RETRY_AFTER.1, "look at what fills it, or pass --no-remove"),
        RemoveError::ReadOnly | RemoveError::Step(..) => (
            RETRY_AFTER.1,
            "make the file and its folder writable for this user, or pass --no-remove",
        ),
    }
}

/// Takes pardoned keys out of the blacklist.
pub(super) struct Remover {
    pub(super) blacklist: PathBuf,
    /// Whether what earlier runs left is taken over.
    adopted: bool,
    pub(super) remainders: Vec<ReplacedList>,
    pub(super) next_rescue: Instant,
    pub(super) rescue_after: Duration,
    pub(super) not_before: Option<Instant>,
    /// Since when others keep the folder locked.
    pub(super) locked_since: Option<Instant>,
    pub(super) complaint: Option<String>,
}

impl Remover {
    pub(super) fn new(blacklist: PathBuf) -> Self {
        Self {
            blacklist,
            adopted: false,
            remainders: Vec::new(),
            next_rescue: Instant::now(),
            rescue_after: RESCUE_AFTER.0,
            not_before: None,
            locked_since: None,
            complaint: None,
        }
    }

    /// Does what is due. Keys that must wait are still in `keys` afterwards.
    pub(super) fn work(&mut self, keys: &mut BTreeSet<Pubkey>) {
        self.adopt();
        self.remove(keys);
        if Instant::now() >= self.next_rescue || self.remainders.iter().any(ReplacedList::has_grown)
        {
            self.rescue();
        }
    }

    /// Does the work for the last time. What was replaced just now is not deleted at once:
    /// a program whose descriptors this user may not see can be about to append to it.
    /// Without the wait each short run would leave a file behind.
    pub(super) fn finish(&mut self, keys: &mut BTreeSet<Pubkey>) {
        let started = Instant::now();
        self.not_before = None;
        loop {
            self.adopt();
            self.remove(keys);
            self.rescue();
            let done = self.adopted && keys.is_empty() && self.remainders.is_empty();
            if done || started.elapsed() >= LET_GO_WITHIN {
                return;
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    pub(super) fn adopt(&mut self) {
        if self.adopted {
            return;
        }
        match blacklist::recover(&self.blacklist) {
            Ok(Some(remainders)) => self.remainders.extend(remainders),
            // Another of us is at work; it is tried again.
            Ok(None) => return,
            Err(error) => warn!(
                "{}: what an earlier run left beside it cannot be taken over: {error}",
                self.blacklist.display()
            ),
        }
        self.adopted = true;
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
        let removed = blacklist::remove(&self.blacklist, keys, &mut self.remainders);
        self.rescue_after = RESCUE_AFTER.0;
        self.next_rescue = Instant::now();
        if let Err(error @ RemoveError::Locked) = removed {
            // Most often another of us, for a moment: the keys are kept.
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
        self.remainders
            .retain_mut(|remainder| match remainder.rescue() {
                Ok(gone) => !gone,
                Err(error) => {
                    warn!(
                        "{}: lines appended while it was replaced wait beside it: {error}",
                        path.display()
                    );
                    true
                }
            });
        // One that was just let go of is gone at the next look.
        self.rescue_after = match self.remainders.iter().any(ReplacedList::is_closed) {
            true => RESCUE_AFTER.0,
            false => (self.rescue_after * 2).min(RESCUE_AFTER.1),
        };
        self.next_rescue = Instant::now() + self.rescue_after;
    }
}
