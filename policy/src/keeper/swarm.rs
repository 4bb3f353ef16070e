//! The thread that searches other stations' lists, so that the station's own are looked at
//! in time, however long that takes.

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

/// What the threads tell each other.
#[derive(Debug, Default)]
pub(super) struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Whether the station's own lists were looked at.
    has_first: bool,
    /// Whom to search for.
    wanted: Option<Arc<KeySet>>,
    /// Whether there are keys among them that were not wanted before.
    is_urgent: bool,
    /// Whom the lists were last searched for.
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

    /// Has these keys searched for; with patience at once, and waits for the end of that.
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

    /// Waits until the next look, or until there is something urgent; whom to search for,
    /// or `None` where it is over.
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
            // Without anybody to search for there is nothing to do but wait.
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

/// Starts the thread. It ends, at its next look, when the board is closed.
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
            // Other stations may have ceased to count meanwhile.
            publish(lists, |lists| {
                let swarm = lists.swarm.as_mut();
                swarm.map(|swarm| mem::replace(swarm, new))
            });
        }
        board.have_searched(blocked);
        next_look = Instant::now() + found.wait;
        // Answering comes first, but for the first answers, which wait for this.
        if mem::take(&mut is_first) {
            let _ = rustix::process::nice(10);
        }
    }
}
