//! The thread that keeps the lists up to date beside the one that answers, so that no
//! event waits for a file.

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

use crate::filters::Filters;
use crate::keeper::publish::publish;
use crate::keeper::remover::Remover;
use crate::keeper::schedule::{LOOK_EVERY, since_1970};
use crate::keeper::swarm::Board;
use crate::lists::{Lists, Loader, Own, Sources, Swarm, Undecided};
use crate::settings::WatchedSettings;

/// For how long the first answers wait for the search of other stations' lists, and after
/// them a newly blocked key. Most searches are over by then, and so a friend of theirs who is
/// blacklisted is let in throughout; else he is rejected until the search is over.
const SEARCH_QUIETLY_FOR: (Duration, Duration) =
    (Duration::from_millis(150), Duration::from_millis(100));

/// For how long the first answers wait for the station's own lists, and a little longer than
/// for a blacklist that is being rewritten. Less than strfry waits for an answer, 10 s.
const FIRST_PATIENCE: Duration = Duration::from_secs(6);

/// How often, before anything was read, a blacklist is looked at that another program is
/// at work on. Answers wait for it, for 0.4 s at the most.
const FIRST_LOOK_EVERY: Duration = Duration::from_millis(5);

/// The lists, kept up to date until this is closed.
#[derive(Debug)]
pub struct Keeper {
    lists: Arc<RwLock<Lists>>,
    board: Arc<Board>,
    pardoned: Option<Sender<Pubkey>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// The same as [`Keeper::start`], with the lists that the settings name at each moment.
    ///
    /// # Errors
    /// That of starting a thread.
    pub fn start_watching(
        settings: WatchedSettings,
        remove: bool,
        filters: Option<Arc<Filters>>,
    ) -> io::Result<Self> {
        Self::start_with(settings.sources(), Some(settings), remove, filters)
    }

    /// Reads the lists, and goes on looking for changes. With `remove`, the lines of
    /// pardoned authors leave the blacklist. `filters` are looked for as often as lists.
    ///
    /// # Errors
    /// That of starting a thread.
    pub fn start(
        sources: Sources,
        remove: bool,
        filters: Option<Arc<Filters>>,
    ) -> io::Result<Self> {
        Self::start_with(sources, None, remove, filters)
    }

    fn start_with(
        sources: Sources,
        settings: Option<WatchedSettings>,
        remove: bool,
        filters: Option<Arc<Filters>>,
    ) -> io::Result<Self> {
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
            loader: Loader::new(sources.clone()),
            sources,
            settings,
            lists: Arc::clone(&lists),
            board: Arc::clone(&board),
            filters,
            refreshed: true,
        };
        let thread = thread::Builder::new()
            .name("lists".to_owned())
            .spawn(move || work.go_on(|work| work.run(&receiver)))?;
        board.wait_for_the_first(FIRST_PATIENCE);
        Ok(Self {
            lists,
            board,
            pardoned: Some(sender),
            thread: Some(thread),
        })
    }

    /// The verdict on an author. A pardoned author's lines leave the blacklist a little
    /// later.
    ///
    /// # Errors
    /// [`Undecided`]: nothing of his may be let in until there is a verdict.
    pub fn verdict(&self, author: &Pubkey) -> Result<Verdict, Undecided> {
        // Lists that nobody keeps would let in whoever is blocked from now on.
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            return Err(Undecided::Unavailable);
        }
        let lists = self.lists.read().unwrap_or_else(PoisonError::into_inner);
        let verdict = lists.verdict(author);
        drop(lists);
        if let (Ok(Verdict::Pardon), Some(pardoned)) = (verdict, &self.pardoned) {
            // Fails only where the thread is gone; the author is let in all the same.
            let _ = pardoned.send(*author);
        }
        verdict
    }

    /// Finishes what was begun.
    pub fn close(mut self) {
        self.pardoned = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.board.close();
    }
}

struct Work {
    sources: Sources,
    settings: Option<WatchedSettings>,
    loader: Loader,
    lists: Arc<RwLock<Lists>>,
    board: Arc<Board>,
    remover: Option<Remover>,
    filters: Option<Arc<Filters>>,
    /// Whether the files were looked at since the last panic.
    refreshed: bool,
}

impl Work {
    /// Runs until that ends without a panic: a fault of ours in one place must not leave
    /// the lists to nobody. Where it panics again before the files were looked at, every
    /// event is rejected until they were.
    fn go_on(&mut self, mut run: impl FnMut(&mut Self)) {
        while catch_unwind(AssertUnwindSafe(|| run(self))).is_err() {
            error!("a fault of this program, please report it: the lists are loaded anew");
            if !mem::take(&mut self.refreshed) {
                publish(&self.lists, |lists| mem::take(&mut lists.own));
            }
            self.loader = Loader::new(self.sources.clone());
            // What the last one watched is taken over from where it lies.
            if let Some(remover) = self.remover.take() {
                self.remover = Some(Remover::new(remover.blacklist));
            }
        }
    }

    fn run(&mut self, pardoned: &Receiver<Pubkey>) {
        let mut patience = SEARCH_QUIETLY_FOR.0;
        loop {
            self.refresh(patience);
            if !self.loader.is_waiting() {
                break;
            }
            thread::sleep(FIRST_LOOK_EVERY);
        }
        self.board.have_the_first();
        // Answering comes first; on a single core the scheduler must know.
        let _ = rustix::process::nice(10);
        patience = SEARCH_QUIETLY_FOR.1;
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
            // First: who is blocked must not wait for lines that may leave later.
            self.refresh(patience);
            if let Some(filters) = &self.filters {
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

    /// Who was pardoned and is not any more stays on the blacklist.
    fn keep_the_pardoned(&self, keys: &mut BTreeSet<Pubkey>) {
        let lists = self.lists.read().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|key| lists.verdict(key) == Ok(Verdict::Pardon));
    }

    /// Goes over to other lists. What was known of the former ones holds until the new ones
    /// were read.
    fn adopt(&mut self, sources: Sources) {
        self.loader = Loader::new(sources.clone());
        if let Some(remover) = self.remover.take() {
            let blacklist = sources.blacklist.clone();
            self.remover = Some(match remover.blacklist == blacklist {
                true => remover,
                false => Remover::new(blacklist),
            });
        }
        if sources.swarm != self.sources.swarm {
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

    /// Looks at the station's own lists. Whoever is newly blocked waits as long for the
    /// search of the others.
    fn refresh(&mut self, patience: Duration) {
        let other = self.settings.as_mut().and_then(WatchedSettings::look);
        if let Some(sources) = other {
            self.adopt(sources);
        }
        // No lock is held while files are read: the keys in it are shared, not copied.
        let held = self.lists.read().unwrap_or_else(PoisonError::into_inner);
        let current = held.own.clone();
        drop(held);
        if let Some(new) = self.loader.refresh(&current, since_1970()) {
            let newly_blocked = self.loader.take_newly_blocked();
            if let (true, Some(blocked)) = (self.sources.swarm, new.blocked()) {
                self.board.ask(blocked, newly_blocked.then_some(patience));
            }
            publish(&self.lists, |lists| mem::replace(&mut lists.own, new));
        }
        self.refreshed = true;
    }
}
