//! The thread that keeps the lists up to date beside the one that answers, so that no
//! event waits for a file.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::error::Error;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use constellation_shared::Pubkey;
use constellation_shared::counted;
use constellation_shared::verdict::Verdict;
use tracing::{error, info, warn};

use crate::blacklist::{self, Remainder, RemoveError};
use crate::filters::Filters;
use crate::lists::{Lists, Loader, Sources};

/// How often the files are looked at. A change is in force after this, the time that a
/// changing file is left alone (0.4 s at the most) and the time to read it: within 1 s.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How often, before anything was read, a blacklist is looked at that another program is
/// at work on. Answers wait for it, for 0.4 s at the most.
const FIRST_LOOK_EVERY: Duration = Duration::from_millis(5);

/// For how long a list from which nothing could be taken out is left alone: where others
/// were faster, and where this user may not write.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How often a replaced list that is still held open is looked at, at the most and the
/// least.
const RESCUE_AFTER: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// For how long, at the end of input, a replaced list is waited for to be let go of: the
/// time between two looks, and as long again for one who still holds it. What is left then
/// is taken over by the next start.
const LET_GO_WITHIN: Duration = Duration::from_millis(400);

/// The lists, kept up to date until this is closed.
#[derive(Debug)]
pub struct Keeper {
    lists: Arc<RwLock<Lists>>,
    pardoned: Option<Sender<Pubkey>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
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
        let mut loader = Loader::new(sources.clone());
        let first = loop {
            let first = loader.refresh(&Lists::default(), since_1970(), |_| {});
            if first.is_some() || !loader.is_waiting() {
                break first.unwrap_or_default();
            }
            thread::sleep(FIRST_LOOK_EVERY);
        };
        let lists = Arc::new(RwLock::new(first));
        let (sender, receiver) = mpsc::channel();
        let mut work = Work {
            remover: remove.then(|| Remover::new(sources.blacklist.clone())),
            sources,
            loader,
            lists: Arc::clone(&lists),
            filters,
            refreshed: true,
        };
        let thread = thread::Builder::new()
            .name("lists".to_owned())
            .spawn(move || work.go_on(|work| work.run(&receiver)))?;
        Ok(Self {
            lists,
            pardoned: Some(sender),
            thread: Some(thread),
        })
    }

    /// The verdict on an author, or `None` where nothing may be let in because the lists
    /// are unavailable. A pardoned author's lines leave the blacklist a little later.
    pub fn verdict(&self, author: &Pubkey) -> Option<Verdict> {
        // Lists that nobody keeps would let in whoever is blocked from now on.
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            return None;
        }
        let lists = self.lists.read().unwrap_or_else(PoisonError::into_inner);
        let verdict = lists.verdict(author);
        drop(lists);
        if let (Some(Verdict::Pardon), Some(pardoned)) = (verdict, &self.pardoned) {
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
    }
}

fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

struct Work {
    sources: Sources,
    loader: Loader,
    lists: Arc<RwLock<Lists>>,
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
                publish(&self.lists, Lists::default());
            }
            self.loader = Loader::new(self.sources.clone());
            // What the last one watched is taken over from where it lies.
            if let Some(remover) = self.remover.take() {
                self.remover = Some(Remover::new(remover.blacklist));
            }
        }
    }

    fn run(&mut self, pardoned: &Receiver<Pubkey>) {
        // Answering comes first; on a single core the scheduler must know.
        let _ = rustix::process::nice(10);
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
                self.refresh();
                self.keep_the_pardoned(&mut keys);
                if let Some(remover) = &mut self.remover {
                    remover.finish(&mut keys);
                }
                return;
            }
            // First: who is blocked must not wait for lines that may leave later.
            self.refresh();
            if let Some(filters) = &self.filters {
                filters.look();
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
        keys.retain(|key| lists.verdict(key) == Some(Verdict::Pardon));
    }

    fn refresh(&mut self) {
        // No lock is held while files are read: both lists in it are shared, not copied.
        let held = self.lists.read().unwrap_or_else(PoisonError::into_inner);
        let current = held.clone();
        drop(held);
        let lists = &self.lists;
        let early = |new| publish(lists, new);
        if let Some(new) = self.loader.refresh(&current, since_1970(), early) {
            publish(lists, new);
        }
        self.refreshed = true;
    }
}

fn publish(lists: &RwLock<Lists>, new: Lists) {
    let mut lists = lists.write().unwrap_or_else(PoisonError::into_inner);
    let old = mem::replace(&mut *lists, new);
    drop(lists);
    // Given back only now: it can be large, and an answer would wait for it.
    drop(old);
}

/// For how long the list is left alone after this, and what is to be done.
const fn after(error: &RemoveError) -> (Duration, &'static str) {
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
struct Remover {
    blacklist: PathBuf,
    /// Whether what earlier runs left is taken over.
    adopted: bool,
    remainders: Vec<Remainder>,
    next_rescue: Instant,
    rescue_after: Duration,
    not_before: Option<Instant>,
    /// Since when others keep the folder locked.
    locked_since: Option<Instant>,
    complaint: Option<String>,
}

impl Remover {
    fn new(blacklist: PathBuf) -> Self {
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
    fn work(&mut self, keys: &mut BTreeSet<Pubkey>) {
        self.adopt();
        self.remove(keys);
        if Instant::now() >= self.next_rescue || self.remainders.iter().any(Remainder::has_grown) {
            self.rescue();
        }
    }

    /// Does the work for the last time. What was replaced just now is not deleted at once:
    /// a program whose descriptors this user may not see can be about to append to it.
    /// Without the wait each short run would leave a file behind.
    fn finish(&mut self, keys: &mut BTreeSet<Pubkey>) {
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

    fn adopt(&mut self) {
        if self.adopted {
            return;
        }
        match blacklist::adopt(&self.blacklist) {
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

    fn remove(&mut self, keys: &mut BTreeSet<Pubkey>) {
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

    fn complain(&mut self, error: &RemoveError, remedy: &str) {
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

    fn rescue(&mut self) {
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
        self.rescue_after = match self.remainders.iter().any(Remainder::is_let_go) {
            true => RESCUE_AFTER.0,
            false => (self.rescue_after * 2).min(RESCUE_AFTER.1),
        };
        self.next_rescue = Instant::now() + self.rescue_after;
    }
}
