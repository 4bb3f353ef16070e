//! What is known of a list from earlier looks, and whether it must be read again.

use std::io;
use std::path::Path;
use std::time::Duration;

use constellation_shared::Pubkey;
use constellation_shared::list_file::{FileTime, ListFile, OpenList, Signature};
use tracing::{error, warn};

use crate::blacklist::{is_being_rewritten, open_regular};

/// For how long a changed file is left alone: `sort -o` empties a list and fills it again,
/// and what is read in between is half a list.
pub(super) const SETTLING: Duration = Duration::from_millis(100);

/// The same for a file that became shorter or is gone: where it is half a list, its writer
/// was held up, and whoever is missing would slip in.
pub(super) const SETTLING_SHORTER: Duration = Duration::from_millis(400);

/// After how long a file that changes all the time is read all the same.
pub(super) const PATIENCE: Duration = Duration::from_millis(400);

/// For how long a list that is open for rewriting, and does not change, counts as half
/// written: whoever holds it longer does not mean to go on.
const STALLED_AFTER: Duration = Duration::from_secs(10);

/// A change so little in the future was made after the time was taken; more, and the clock
/// was set back.
const AHEAD: Duration = Duration::from_secs(10);

/// How long a list rests, once nobody changes it any more, before it counts as whole where
/// its writers cannot be seen. Who takes longer between two writes does not mean to go on.
const REST: Duration = STALLED_AFTER;

/// How long a list that keeps growing goes without a rest before it counts as whole: somebody
/// appends to it now and then, and whoever fills an emptied list is done long before. Without
/// this bound, authors could be rejected for as long as others are blacklisted.
const GROWTH: Duration = Duration::from_secs(60);

/// Changes that follow each other sooner than this can leave the same time behind, on a file
/// system that counts seconds only.
const COARSE_TICK: Duration = Duration::from_millis(2100);

/// Since when a file has been in the state in which it is.
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

/// What is known of a file since it was last looked at.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Its state when it was last read to the end; `Some(None)` when it was missing.
    pub(super) read: Option<Option<Signature>>,
    /// It is read again once it is at rest: it may have changed since without a trace, or
    /// was half written.
    pub(super) again: bool,
    /// Since when it has been changing.
    pub(super) changing_since: Option<Duration>,
    /// How long it was when it was last read whole, in bytes.
    pub(super) whole: u64,
    /// The state in which its faulty lines were last reported.
    reported: Option<Signature>,
    /// What was last said about it going wrong, so that it is said once.
    pub(super) complaint: Option<String>,
}

/// What a look at a file found.
pub(super) enum Look {
    Unchanged,
    Missing,
    Changed {
        open: OpenList,
        /// It may be half written: keys may be missing that belong to it.
        torn: bool,
        /// It is read now or too late, at rest or not.
        urgent: bool,
    },
}

impl Known {
    /// Looks whether the file must be read; `now` is the time since 1970.
    pub(super) fn look(&mut self, list: &ListFile, now: Duration) -> io::Result<Look> {
        let state = list.signature()?;
        if self.read == Some(state) && !self.again {
            self.changing_since = None;
            return Ok(Look::Unchanged);
        }
        let first = self.read.is_none();
        let shorter = !first && state.map_or(0, |state| state.length()) < self.whole;
        let settling = match shorter {
            true => SETTLING_SHORTER,
            false => SETTLING,
        };
        let since = *self.changing_since.get_or_insert(now);
        let urgent = now.saturating_sub(since) >= PATIENCE;
        let at_rest = state.is_some_and(|state| !is_younger(&state, now, settling));
        // The first look must not wait: a verdict is wanted.
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
            // Deleted this instant.
            None => Look::Unchanged,
        })
    }

    /// Reads a file to its end and remembers in which state it was.
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
            warn!(
                "{}: {faults}; a line should be 64 hex digits, npub1… or a remark behind #",
                list.path().display()
            );
            self.reported = Some(state);
        }
        self.remember(Some(state), now);
        Ok(())
    }

    /// Whether the list was changed while it was read, and not just appended to.
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
            error!("{complaint}");
            self.complaint = Some(complaint);
        }
    }
}

/// Whether a file was changed less than this ago.
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

/// Whether another program is in the middle of writing this list of the station anew.
pub(super) fn is_in_work(list: &ListFile, now: Duration) -> bool {
    let changing = |state: Signature| is_younger(&state, now, STALLED_AFTER);
    matches!(list.open(), Ok(Some(open)) if changing(open.signature()))
        && open_regular(list.path()).is_ok_and(|file| is_being_rewritten(&file))
}
