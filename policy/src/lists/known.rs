//! What is known of a list from earlier looks, and whether it must be read again.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use constellation_shared::Pubkey;
use constellation_shared::list_file::{ListFile, OpenList, Signature};
use tracing::{error, warn};

use crate::blacklist::is_held;

/// For how long a changed file is left alone: `sort -o` empties a list and fills it again,
/// and what is read in between is half a list.
pub(super) const SETTLING: Duration = Duration::from_millis(100);

/// After how long a file that changes all the time is read all the same.
pub(super) const PATIENCE: Duration = Duration::from_millis(400);

/// What is known of a file since it was last looked at.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Its state when it was last read to the end; `Some(None)` when it was missing.
    pub(super) read: Option<Option<Signature>>,
    /// It was read while it was fresh: it may have changed since without a trace.
    pub(super) fresh: bool,
    /// Since when it has been changing.
    pub(super) changing_since: Option<Duration>,
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
        /// Nobody has changed it for a while.
        at_rest: bool,
        /// It is read now or too late, at rest or not.
        urgent: bool,
    },
}

impl Known {
    /// Looks whether the file must be read; `now` is the time since 1970.
    pub(super) fn look(&mut self, list: &ListFile, now: Duration) -> io::Result<Look> {
        let state = list.signature()?;
        if self.read == Some(state) && !self.fresh {
            self.changing_since = None;
            return Ok(Look::Unchanged);
        }
        let fresh = state.as_ref().is_some_and(|state| is_fresh(state, now));
        let since = *self.changing_since.get_or_insert(now);
        let urgent = now.saturating_sub(since) >= PATIENCE;
        // The first look must not wait: a verdict is wanted.
        if fresh && !urgent && self.read.is_some() {
            return Ok(Look::Unchanged);
        }
        Ok(list.open()?.map_or(Look::Missing, |open| Look::Changed {
            at_rest: !fresh && state == Some(open.signature()),
            urgent,
            open,
        }))
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
        if faults.count > 0 && self.reported != Some(state) {
            warn!(
                "{}: {faults}; a line should be 64 hex digits, npub1… or a remark behind #",
                list.path().display()
            );
            self.reported = Some(state);
        }
        self.remember(Some(state), now);
        Ok(())
    }

    pub(super) fn remember(&mut self, state: Option<Signature>, now: Duration) {
        self.read = Some(state);
        self.fresh = state.is_some_and(|state| is_fresh(&state, now));
        self.changing_since = self.fresh.then_some(now);
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

/// Whether a file was changed an instant ago. A time in the future says nothing: the clock
/// was set back.
fn is_fresh(state: &Signature, now: Duration) -> bool {
    let (seconds, nanoseconds) = state.changed();
    let (Ok(seconds), Ok(nanoseconds)) = (seconds.try_into(), nanoseconds.try_into()) else {
        return false;
    };
    now.checked_sub(Duration::new(seconds, nanoseconds))
        .is_some_and(|age| age < SETTLING)
}

/// Whether another program has a list of this station's open that is not to be read yet.
pub(super) fn is_being_written(list: &ListFile) -> bool {
    // Opened twice, as it is this that refuses what would block.
    matches!(list.open(), Ok(Some(_))) && File::open(list.path()).is_ok_and(|file| is_held(&file))
}
