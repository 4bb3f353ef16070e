//! Keeps the lists up to date in a thread of its own, so that no answer waits for a file.

mod publish;
mod remover;
mod schedule;
mod swarm;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use constellation_shared::Pubkey;
use constellation_shared::verdict::Verdict;
use tracing::error;

use crate::in_force::InForce;
use crate::keeper::publish::publish;
use crate::keeper::remover::Remover;
use crate::keeper::schedule::{LOOK_EVERY, since_1970};
use crate::keeper::swarm::Board;
use crate::lists::friends_before::FriendsBefore;
use crate::lists::{Lists, Loader, Own, Sources, Standing, Stranger, Swarm, Undecided};
use crate::log_level::LogLevel;
use crate::settings::{Change, WatchedSettings};

/// How long the first answers wait for the search of other stations' lists. Most searches are
/// over by then, so that a blacklisted friend of another station is let in from the start.
/// Otherwise that friend is rejected until the search is over.
const FIRST_SEARCH_PATIENCE: Duration = Duration::from_millis(150);

/// How long a newly blocked key waits for the search of other stations' lists before it counts.
const SEARCH_PATIENCE: Duration = Duration::from_millis(100);

/// How long the first answers wait for the station's own lists: a little longer than for a
/// blacklist that is being rewritten, and less than strfry waits for an answer, 10 s.
const FIRST_PATIENCE: Duration = Duration::from_secs(6);

/// How often, at the start, a blacklist is looked at that another program is rewriting. The first
/// answers wait for it.
const FIRST_LOOK_EVERY: Duration = Duration::from_millis(5);

/// Keeps the lists up to date until it is closed.
#[derive(Debug)]
pub struct Keeper {
    lists: Arc<RwLock<Lists>>,
    board: Arc<Board>,
    pardoned: Option<Sender<Pubkey>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Like [`Keeper::start`], but also follows changes to the settings, which say where the lists
    /// are.
    ///
    /// # Errors
    /// Fails if a thread cannot be started.
    pub fn start_watching(
        settings: WatchedSettings,
        in_force: Arc<InForce>,
        log: LogLevel,
    ) -> io::Result<Self> {
        let remove = settings.conduct().remove;
        let followed = Followed {
            settings,
            in_force,
            log,
        };
        Self::start_with(followed.settings.sources(), Some(followed), remove)
    }

    /// Reads the lists and starts looking for changes to them. With `remove`, the lines of pardoned
    /// authors are removed from the blacklist.
    ///
    /// # Errors
    /// Fails if a thread cannot be started.
    pub fn start(sources: Sources, remove: bool) -> io::Result<Self> {
        Self::start_with(sources, None, remove)
    }

    fn start_with(sources: Sources, followed: Option<Followed>, remove: bool) -> io::Result<Self> {
        let lists = Arc::new(RwLock::new(Lists {
            own: Own::default(),
            swarm: sources.swarm.then(Swarm::default),
        }));
        let board = Arc::new(Board::default());
        if sources.swarm {
            swarm::start(sources.clone(), Arc::clone(&lists), Arc::clone(&board))?;
        }
        let (sender, receiver) = mpsc::channel();
        let mut work = Work {
            remover: remove.then(|| Remover::new(sources.blacklist.clone())),
            friends_before: remove.then(FriendsBefore::default),
            loader: Loader::new(sources.clone()),
            sources,
            followed,
            lists: Arc::clone(&lists),
            board: Arc::clone(&board),
            refreshed: true,
        };
        let thread = thread::Builder::new()
            .name("lists".to_owned())
            .spawn(move || work.run_despite_panics(|work| work.run(&receiver)))?;
        board.wait_for_the_first(FIRST_PATIENCE);
        Ok(Self {
            lists,
            board,
            pardoned: Some(sender),
            thread: Some(thread),
        })
    }

    /// What the lists say of an author. The lines of a pardoned author are removed from the blacklist
    /// a little later.
    ///
    /// # Errors
    /// [`Undecided`] if there is no verdict yet. The author's events must be rejected until then.
    pub fn standing(&self, author: &Pubkey) -> Result<Standing, Undecided> {
        // Without the thread, keys that are blocked from now on would be let in.
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            return Err(Undecided::Unavailable);
        }
        let lists = self.lists.read().unwrap_or_else(PoisonError::into_inner);
        let verdict = lists.verdict(author)?;
        let stranger = if verdict == Verdict::Allow {
            lists.stranger(author)
        } else {
            Stranger::No
        };
        drop(lists);
        if let (Verdict::Pardon, Some(pardoned)) = (verdict, &self.pardoned) {
            // It only fails if the thread is gone. The author is let in either way.
            let _ = pardoned.send(*author);
        }
        Ok(Standing { verdict, stranger })
    }

    /// Finishes the removals that were begun, and ends the threads.
    pub fn close(mut self) {
        self.pardoned = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.board.close();
    }
}

/// The settings that are followed, and what they change besides the lists.
struct Followed {
    settings: WatchedSettings,
    in_force: Arc<InForce>,
    log: LogLevel,
}

struct Work {
    sources: Sources,
    followed: Option<Followed>,
    loader: Loader,
    lists: Arc<RwLock<Lists>>,
    board: Arc<Board>,
    remover: Option<Remover>,
    /// `None` if nothing is to be changed in the station's folders.
    friends_before: Option<FriendsBefore>,
    /// Whether the files were looked at since the last panic.
    refreshed: bool,
}

impl Work {
    /// Calls `run` until it ends without a panic, because the lists must be kept up to date whatever
    /// fault we have. If it panics again before the files were looked at, every event is rejected
    /// until they have been.
    fn run_despite_panics(&mut self, mut run: impl FnMut(&mut Self)) {
        while catch_unwind(AssertUnwindSafe(|| run(self))).is_err() {
            error!("a fault of this program, please report it: the lists are loaded anew");
            if !mem::take(&mut self.refreshed) {
                publish(&self.lists, |lists| mem::take(&mut lists.own));
            }
            self.loader = Loader::new(self.sources.clone());
            // The new one takes over the files that the last one watched.
            if let Some(remover) = self.remover.take() {
                self.remover = Some(Remover::new(remover.blacklist));
            }
        }
    }

    fn run(&mut self, pardoned: &Receiver<Pubkey>) {
        let mut patience = FIRST_SEARCH_PATIENCE;
        loop {
            self.refresh(patience);
            if !self.loader.is_waiting() {
                break;
            }
            thread::sleep(FIRST_LOOK_EVERY);
        }
        self.board.have_the_first();
        // Answering comes first, which the scheduler must know on a single core.
        let _ = rustix::process::nice(10);
        patience = SEARCH_PATIENCE;
        let mut keys = BTreeSet::new();
        let mut next_look = Instant::now() + LOOK_EVERY;
        loop {
            let wait = next_look.saturating_duration_since(Instant::now());
            let closed = match pardoned.recv_timeout(wait) {
                Ok(key) => {
                    keys.insert(key);
                    if !wait.is_zero() {
                        continue;
                    }
                    false
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            if closed {
                self.refresh(patience);
                self.keep_the_pardoned(&mut keys);
                if let Some(remover) = &mut self.remover {
                    remover.finish(&mut keys);
                }
                self.board.close();
                return;
            }
            // This comes first, as blocking is urgent and removing lines is not.
            self.refresh(patience);
            if let Some(followed) = &self.followed
                && let Some(filters) = followed.in_force.asked().filters()
            {
                filters.refresh();
            }
            self.keep_the_pardoned(&mut keys);
            match &mut self.remover {
                Some(remover) => remover.work(&mut keys),
                None => keys.clear(),
            }
            next_look = Instant::now() + LOOK_EVERY;
        }
    }

    /// Drops keys that are not pardoned any more, so that they stay on the blacklist.
    fn keep_the_pardoned(&self, keys: &mut BTreeSet<Pubkey>) {
        let lists = self.lists.read().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|key| lists.verdict(key) == Ok(Verdict::Pardon));
    }

    /// Looks at the settings, and puts in force what has changed in them.
    fn follow(&mut self) {
        let Some(followed) = &mut self.followed else {
            return;
        };
        let Some(Change { sources, conduct }) = followed.settings.look() else {
            return;
        };
        // Filters come first: whoever becomes a stranger is judged by the new ones.
        if let Some(conduct) = conduct {
            let log = self.sources.station.filter_log();
            followed.in_force.change(&conduct, &log);
            followed.log.set(conduct.log);
            if conduct.remove && self.remover.is_none() {
                self.remover = Some(Remover::new(self.sources.blacklist.clone()));
                self.friends_before = Some(FriendsBefore::default());
            } else if !conduct.remove {
                self.remover = None;
                self.friends_before = None;
            }
        }
        if let Some(sources) = sources {
            self.adopt(sources);
        }
    }

    /// Switches to other lists. The old ones stay in force until the new ones have been read.
    fn adopt(&mut self, sources: Sources) {
        self.loader = Loader::new(sources.clone());
        if let Some(remover) = self.remover.take() {
            let blacklist = sources.blacklist.clone();
            self.remover = Some(if remover.blacklist == blacklist {
                remover
            } else {
                Remover::new(blacklist)
            });
        }
        let others = (sources.swarm, sources.strangers);
        if others != (self.sources.swarm, self.sources.strangers) {
            self.board.close();
            self.board = Arc::new(Board::default());
            let swarm = sources.swarm.then(Swarm::default);
            publish(&self.lists, |lists| mem::replace(&mut lists.swarm, swarm));
            let started = sources.swarm.then(|| {
                let (lists, board) = (Arc::clone(&self.lists), Arc::clone(&self.board));
                swarm::start(sources.clone(), lists, board)
            });
            if let Some(Err(why)) = started {
                error!("other stations' lists cannot be searched: {why}");
            }
        }
        self.sources = sources;
    }

    /// Looks at the station's own lists. A newly blocked key waits for up to `patience` for the search
    /// of the other stations' lists before it counts.
    fn refresh(&mut self, patience: Duration) {
        self.follow();
        // No lock is held while files are read. Cloning is cheap, as the keys are shared.
        let held = self.lists.read().unwrap_or_else(PoisonError::into_inner);
        let current = held.own.clone();
        drop(held);
        let now = since_1970();
        if let Some(friends_before) = &mut self.friends_before {
            friends_before.keep(&self.sources.friends, now);
        }
        if let Some(new) = self.loader.refresh(&current, now) {
            let newly_blocked = self.loader.take_newly_blocked();
            if let (true, Some(blocked)) = (self.sources.swarm, new.blocked()) {
                self.board.ask(blocked, newly_blocked.then_some(patience));
            }
            publish(&self.lists, |lists| mem::replace(&mut lists.own, new));
        }
        self.refreshed = true;
    }
}
