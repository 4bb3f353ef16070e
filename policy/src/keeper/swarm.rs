//! Searches other stations' lists in a thread of its own, so that the station's own lists are
//! looked at in time, however long the search takes.

use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use constellation_shared::wot::KeySet;
use tracing::error;

use crate::keeper::publish::publish;
use crate::keeper::schedule::since_1970;
use crate::lists::swarm::{LOOK_EVERY, SwarmSearch};
use crate::lists::{Lists, Sources};

/// The messages between the thread of the station's own lists and this one.
#[derive(Debug, Default)]
pub(super) struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Whether the station's own lists were looked at.
    has_first: bool,
    /// The blocked keys to search for.
    wanted: Option<Arc<KeySet>>,
    /// Whether some of them were not wanted before.
    is_urgent: bool,
    /// The keys of the last search.
    searched: Option<Arc<KeySet>>,
    is_closed: bool,
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the station's own lists were looked at.
    pub(super) fn wait_for_the_first(&self, patience: Duration) {
        let waiting = |state: &mut State| !state.has_first;
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), patience, waiting);
        drop(waited);
    }

    pub(super) fn have_the_first(&self) {
        self.lock().has_first = true;
        self.changed.notify_all();
    }

    /// Asks for a search for these keys. With `patience`, it starts at once, and this waits for its
    /// end for at most that long.
    pub(super) fn ask(&self, blocked: &Arc<KeySet>, patience: Option<Duration>) {
        let mut state = self.lock();
        state.wanted = Some(Arc::clone(blocked));
        let Some(patience) = patience else { return };
        state.is_urgent = true;
        self.changed.notify_all();
        let waiting = |state: &mut State| {
            let searched = state.searched.as_ref();
            !searched.is_some_and(|keys| Arc::ptr_eq(keys, blocked))
        };
        drop(self.changed.wait_timeout_while(state, patience, waiting));
    }

    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// Waits for the next look or something urgent, and returns the keys to search for, or `None` if
    /// the board was closed.
    fn next(&self, next_look: Instant) -> Option<Arc<KeySet>> {
        let mut state = self.lock();
        loop {
            if state.is_closed {
                return None;
            }
            let wait = next_look.saturating_duration_since(Instant::now());
            if let Some(wanted) = &state.wanted
                && (state.is_urgent || wait.is_zero())
            {
                let wanted = Arc::clone(wanted);
                state.is_urgent = false;
                return Some(wanted);
            }
            // Without keys to search for, there is nothing to do but wait.
            let wait = if state.wanted.is_none() {
                Duration::MAX
            } else {
                wait
            };
            let waited = self.changed.wait_timeout(state, wait);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn have_searched(&self, blocked: Arc<KeySet>) {
        self.lock().searched = Some(blocked);
        self.changed.notify_all();
    }
}

/// Starts the thread, which ends when the board is closed.
///
/// # Errors
/// Fails if the thread cannot be started.
pub(super) fn start(
    sources: Sources,
    lists: Arc<RwLock<Lists>>,
    board: Arc<Board>,
) -> io::Result<()> {
    let thread = thread::Builder::new().name("swarm".to_owned());
    thread.spawn(move || {
        let work = || run(&mut SwarmSearch::new(sources.clone()), &lists, &board);
        while catch_unwind(AssertUnwindSafe(work)).is_err() {
            error!("a fault of this program, please report it: the lists are loaded anew");
            thread::sleep(LOOK_EVERY);
        }
    })?;
    Ok(())
}

fn run(search: &mut SwarmSearch, lists: &RwLock<Lists>, board: &Board) {
    let mut next_look = Instant::now();
    let mut is_first = true;
    while let Some(blocked) = board.next(next_look) {
        let found = search.search(&blocked, since_1970());
        if let Some(new) = found.swarm {
            // The settings may have excluded other stations meanwhile.
            publish(lists, |lists| {
                let swarm = lists.swarm.as_mut();
                swarm.map(|swarm| mem::replace(swarm, new))
            });
        }
        board.have_searched(blocked);
        next_look = Instant::now() + found.wait;
        // Answering comes first from now on. The first answers had to wait for this search.
        if mem::take(&mut is_first) {
            let _ = rustix::process::nice(10);
        }
    }
}
