//! [`ListState`]: what is known of a list from earlier looks, and whether it must be read again.

use std::io;
use std::path::Path;
use std::time::Duration;

use constellation_shared::Pubkey;
use constellation_shared::list_file::{FileTime, ListFile, OpenList, Signature};
use constellation_shared::regular_file;
use tracing::{debug, error, warn};

use crate::blacklist::is_being_rewritten;

/// How long a changed file is left alone. `sort -o` empties a list and fills it again; reading it
/// in between would return half a list.
pub(super) const SETTLING: Duration = Duration::from_millis(100);

/// How long a file that became shorter or disappeared is left alone. If it is half a list whose
/// writer was held up, the missing keys would be let in.
pub(super) const SETTLING_SHORTER: Duration = Duration::from_millis(400);

/// How long a file that keeps changing is left alone before it is read anyway.
pub(super) const PATIENCE: Duration = Duration::from_millis(400);

/// How long a list that a program has open for rewriting, but does not change, counts as half
/// written. A program that has it open for longer is not going to continue.
const STALLED_AFTER: Duration = Duration::from_secs(10);

/// How far in the future a change may be. Up to this, it was made after we took the time; beyond
/// it, the clock was set back.
const AHEAD: Duration = Duration::from_secs(10);

/// How long nobody may have changed a list before it counts as complete, if we cannot see its
/// writers. A program that takes longer between two writes is not going to continue.
const REST: Duration = STALLED_AFTER;

/// How long a list may keep growing before it counts as complete even without a rest. Programs that
/// fill an emptied list are done long before; others only append now and then. Without this
/// bound, authors could be rejected for as long as keys are added.
const GROWTH: Duration = Duration::from_secs(60);

/// On a file system that counts seconds only, two changes within this time can leave the same time
/// behind.
const COARSE_TICK: Duration = Duration::from_millis(2100);

/// How long a file has been in its current state.
#[derive(Debug, Default)]
pub(super) struct Rest {
    state: Option<Option<Signature>>,
    /// When that was first seen; `None` where it was never seen in another.
    since: Option<Duration>,
    /// Since when it is the same file and has at most become longer.
    growing_since: Duration,
}

impl Rest {
    /// Takes note of the state in which the file is now.
    pub(super) fn look(&mut self, state: Option<Signature>, now: Duration) {
        let same = match (self.state, state) {
            (Some(Some(old)), Some(new)) => new.has_same_content(&old),
            (old, new) => old == Some(new),
        };
        if same {
            return;
        }
        let has_grown = match (self.state, state) {
            (Some(Some(old)), Some(new)) => new.is_same_file(&old) && new.length() > old.length(),
            _ => false,
        };
        if !has_grown {
            self.growing_since = now;
        }
        self.since = self.state.is_some().then_some(now);
        self.state = Some(state);
    }

    /// Whether nobody has changed it for a while, by its own times, which may be those of
    /// another machine, and as it was seen from here; or whether it has only grown for so
    /// long that nobody can be in the middle of writing it anew.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        if now.saturating_sub(self.growing_since) >= GROWTH {
            return true;
        }
        let seen = self
            .since
            .is_none_or(|since| now.saturating_sub(since) >= REST);
        let state = self.state.flatten();
        seen && !state.is_some_and(|state| is_young(state.modified(), now, REST))
    }
}

/// What is known of a file from earlier looks.
#[derive(Debug, Default)]
pub(super) struct ListState {
    /// Its state when it was last read to the end. `Some(None)` if it was missing then.
    pub(super) read: Option<Option<Signature>>,
    /// Whether it must be read again once nobody changes it: it may have been half written, or have
    /// changed since without a trace.
    pub(super) again: bool,
    /// Since when it has been changing.
    pub(super) changing_since: Option<Duration>,
    /// Its length in bytes when it was last read completely.
    pub(super) whole: u64,
    /// The state in which its faulty lines were last reported.
    reported: Option<Signature>,
    /// The last complaint about it, so that it is logged only once.
    pub(super) complaint: Option<String>,
    /// Whether faults of it matter to its author alone, so that they are logged for debugging only.
    pub(super) is_minor: bool,
}

/// The result of looking at a file.
pub(super) enum Look {
    Unchanged,
    Missing,
    Changed {
        open: OpenList,
        /// Whether it may be half written, so that keys may be missing.
        torn: bool,
        /// Whether it has been left alone for long enough and must be read now.
        urgent: bool,
    },
}

impl ListState {
    /// Looks at the file and opens it if it must be read; `now` is the time since 1970.
    ///
    /// # Errors
    /// Fails if the file cannot be looked at or opened.
    pub(super) fn look(&mut self, list: &ListFile, now: Duration) -> io::Result<Look> {
        let state = list.signature()?;
        if self.read == Some(state) && !self.again {
            self.changing_since = None;
            return Ok(Look::Unchanged);
        }
        let first = self.read.is_none();
        let shorter = !first && state.map_or(0, |state| state.length()) < self.whole;
        let settling = if shorter { SETTLING_SHORTER } else { SETTLING };
        let since = *self.changing_since.get_or_insert(now);
        let urgent = now.saturating_sub(since) >= PATIENCE;
        let at_rest = state.is_some_and(|state| !is_younger(&state, now, settling));
        // The first look must not wait, as answers depend on it.
        if !at_rest && !urgent && !first {
            return Ok(Look::Unchanged);
        }
        Ok(match list.open()? {
            Some(open) => Look::Changed {
                torn: (!at_rest || state != Some(open.signature())) && (shorter || first),
                urgent,
                open,
            },
            None if first || urgent && state.is_none() => Look::Missing,
            // It was deleted at this moment.
            None => Look::Unchanged,
        })
    }

    /// Reads the file to its end and remembers its state.
    ///
    /// # Errors
    /// Fails if reading fails.
    pub(super) fn read(
        &mut self,
        list: &ListFile,
        open: OpenList,
        now: Duration,
        mut each_key: impl FnMut(Pubkey),
    ) -> io::Result<()> {
        let state = open.signature();
        let faults = open.read(|_, key| each_key(key))?;
        if !faults.is_empty() && self.reported != Some(state) {
            let path = list.path().display();
            if self.is_minor {
                debug!("{path}: {faults}");
            } else {
                warn!(
                    "{path}: {faults}; a line should be 64 hex digits, npub1… or a comment after #"
                );
            }
            self.reported = Some(state);
        }
        self.remember(Some(state), now);
        Ok(())
    }

    /// Whether the list was changed while it was read, other than by appending to it.
    pub(super) fn is_cut(&self, list: &ListFile, now: Duration) -> bool {
        let state = list.signature().ok();
        if self.read == state {
            return false;
        }
        let (Some(old), Some(new)) = (self.read.flatten(), state.flatten()) else {
            return true;
        };
        let has_grown = new.is_same_file(&old) && new.length() > old.length();
        !has_grown || is_in_work(list, now)
    }

    pub(super) fn remember(&mut self, state: Option<Signature>, now: Duration) {
        self.read = Some(state);
        self.again = state.is_some_and(|state| {
            let is_coarse = state.changed().nanoseconds == 0;
            is_younger(&state, now, if is_coarse { COARSE_TICK } else { SETTLING })
        });
        self.changing_since = self.again.then_some(now);
        self.whole = state.map_or(0, |state| state.length());
        self.complaint = None;
    }

    pub(super) fn complain(&mut self, path: &Path, error: &io::Error, consequence: &str) {
        let complaint = format!(
            "{} cannot be read ({error}): {consequence}; check what it is and who may read it",
            path.display()
        );
        if self.complaint.as_ref() != Some(&complaint) {
            if self.is_minor {
                debug!("{complaint}");
            } else {
                error!("{complaint}");
            }
            self.complaint = Some(complaint);
        }
    }
}

/// Whether a file was changed less than `than` ago.
fn is_younger(state: &Signature, now: Duration, than: Duration) -> bool {
    is_young(state.changed(), now, than)
}

fn is_young(time: FileTime, now: Duration, than: Duration) -> bool {
    let (Ok(seconds), Ok(nanoseconds)) = (time.seconds.try_into(), time.nanoseconds.try_into())
    else {
        return false;
    };
    let changed = Duration::new(seconds, nanoseconds);
    match now.checked_sub(changed) {
        Some(age) => age < than,
        None => changed.saturating_sub(now) < AHEAD,
    }
}

/// Whether another program is in the middle of rewriting this list of the station.
pub(super) fn is_in_work(list: &ListFile, now: Duration) -> bool {
    let changing = |state: Signature| is_younger(&state, now, STALLED_AFTER);
    matches!(list.open(), Ok(Some(open)) if changing(open.signature()))
        && regular_file::open(list.path()).is_ok_and(|file| is_being_rewritten(&file))
}
