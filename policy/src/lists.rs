//! The lists as the plugin needs them: loaded, kept while a file cannot be read, loaded
//! again when a file changed.
//!
//! A friend or member matters only if he is blocked. So the blocked keys are the only
//! ones kept, and the other lists, however long, are read through once for the few that
//! are blocked. The station's own are read before anything is answered, and those of other
//! stations beside that ([`swarm`]): until they are read, whoever they may pardon is told so.

mod known;
mod pardons;
mod sources;
pub(crate) mod swarm;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use constellation_shared::Pubkey;
use constellation_shared::counted;
use constellation_shared::list_file::ListFile;
use constellation_shared::verdict::{Standing, Verdict};
use constellation_shared::wot::KeySet;
use tracing::{debug, info, warn};

use crate::blacklist::sees_every_writer;
use crate::lists::known::{Known, Look, Rest, is_in_work};
use crate::lists::pardons::Pardons;
pub use crate::lists::sources::{Pardoning, Sources};

/// For how long the first answers wait for a blacklist that is being rewritten. Less than
/// strfry waits for an answer, 10 s.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no verdict on an author.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undecided {
    /// Who is blocked is not known, or not completely.
    Unavailable,
    /// He is blocked, and the lists of other stations that may pardon him are not read yet.
    SwarmUnread,
}

/// What the station's own lists say at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Own {
    /// The blocked keys, or `None` where the blacklist is there but was never readable.
    blocked: Option<Arc<KeySet>>,
    /// Whether keys may be missing that belong to them.
    partial: bool,
    /// Those of them that are friends or members.
    pardoned: Arc<KeySet>,
}

/// What the lists of other stations say at one moment.
#[derive(Debug, Clone, Default)]
pub struct Swarm {
    /// The blocked keys that were looked for in them.
    searched: Option<Arc<KeySet>>,
    /// Those of them that were found.
    pardoned: Arc<KeySet>,
}

/// What all lists say at one moment.
#[derive(Debug, Clone, Default)]
pub struct Lists {
    /// The station's own.
    pub own: Own,
    /// Those of the other stations, where they count.
    pub swarm: Option<Swarm>,
}

impl Own {
    /// The blocked keys, where they are known.
    pub const fn blocked(&self) -> Option<&Arc<KeySet>> {
        self.blocked.as_ref()
    }
}

impl Swarm {
    fn has_been_searched_for(&self, author: &Pubkey, blocked: &Arc<KeySet>) -> bool {
        let searched = self.searched.as_ref();
        searched.is_some_and(|keys| Arc::ptr_eq(keys, blocked) || keys.contains(author))
    }
}

impl Lists {
    /// The verdict on an author.
    ///
    /// # Errors
    /// [`Undecided`]: nothing of his may be let in until there is a verdict.
    pub fn verdict(&self, author: &Pubkey) -> Result<Verdict, Undecided> {
        let blocked = self.own.blocked.as_ref().ok_or(Undecided::Unavailable)?;
        if !blocked.contains(author) {
            return if self.own.partial {
                Err(Undecided::Unavailable)
            } else {
                Ok(Verdict::Allow)
            };
        }
        let standing = Standing {
            blocked: true,
            // A friend or a member: the verdict is the same.
            friend: self.own.pardoned.contains(author)
                || (self.swarm.as_ref()).is_some_and(|swarm| swarm.pardoned.contains(author)),
            member: false,
        };
        match (standing.verdict(), &self.swarm) {
            (Verdict::Block, Some(swarm)) if !swarm.has_been_searched_for(author, blocked) => {
                Err(Undecided::SwarmUnread)
            }
            (verdict, _) => Ok(verdict),
        }
    }
}

/// Loads the station's own lists and knows which of them must be loaded again.
#[derive(Debug)]
pub struct Loader {
    sources: Sources,
    blacklist: Known,
    rest: Rest,
    /// Whether keys still count that are not in the blacklist any more.
    retained: bool,
    /// Whether a key was blocked that the other lists have not been searched for.
    newly_blocked: bool,
    pardons: Pardons,
    /// Whether all programs can be seen that may write the blacklist, where a test says so.
    #[cfg(test)]
    sees_every_writer: Option<bool>,
}

/// What was read of the blacklist.
struct Blocked {
    keys: Arc<KeySet>,
    partial: bool,
}

impl Loader {
    /// A loader that has not yet read anything.
    pub fn new(sources: Sources) -> Self {
        Self {
            sources,
            blacklist: Known::default(),
            rest: Rest::default(),
            retained: false,
            newly_blocked: true,
            pardons: Pardons::default(),
            #[cfg(test)]
            sees_every_writer: None,
        }
    }

    /// Looks at all files and reads those that changed since `current` was loaded; `now`
    /// is the time since 1970. `None` where `current` still holds.
    pub fn refresh(&mut self, current: &Own, now: Duration) -> Option<Own> {
        let read = self.read_blacklist(current, now);
        if let Some(new) = &read {
            let old = current.blocked.as_ref();
            self.newly_blocked |= !old.is_some_and(|old| is_subset(&new.keys, old));
        }
        let changed = read.is_some();
        let Blocked { keys, partial } = match read {
            Some(read) => read,
            None => Blocked {
                keys: current.blocked.clone()?,
                partial: current.partial,
            },
        };
        // With nobody blocked there is nobody to pardon, and nothing to look at.
        let found = if keys.is_empty() {
            changed.then(KeySet::default)
        } else {
            let again = self.newly_blocked;
            let pardoning = self.sources.own_pardoning();
            let searched = self.pardons.search(pardoning, &keys, again, now);
            (searched.changed || changed).then(|| self.pardons.found())
        };
        if !changed && found.is_none() {
            return None;
        }
        let pardoned = found.map_or_else(|| Arc::clone(&current.pardoned), Arc::new);
        debug!(
            "own lists loaded: {} blocked, {} of them friends or members",
            counted(keys.len(), "key"),
            pardoned.len()
        );
        Some(Own {
            blocked: Some(keys),
            partial,
            pardoned,
        })
    }

    /// Whether a key was blocked since this was last asked.
    pub fn take_newly_blocked(&mut self) -> bool {
        std::mem::take(&mut self.newly_blocked)
    }

    /// Whether the blacklist could be read, but for the program that is at work on it.
    pub fn is_waiting(&self) -> bool {
        self.blacklist.read.is_none() && self.blacklist.complaint.is_none()
    }

    fn sees_every_writer(&self) -> bool {
        #[cfg(test)]
        if let Some(sees) = self.sees_every_writer {
            return sees;
        }
        sees_every_writer(&self.sources.blacklist)
    }

    /// The blocked keys, where the file changed and could be read. What is added counts at
    /// once. What is missing counts only when it is missing from the whole: where it is
    /// known that nobody is at work on the list, or the list has rested.
    fn read_blacklist(&mut self, current: &Own, now: Duration) -> Option<Blocked> {
        let list = ListFile::blacklist(&self.sources.blacklist);
        let rested = list.signature().is_ok_and(|state| {
            self.rest.look(state, now);
            self.rest.is_over(now)
        });
        let known = &mut self.blacklist;
        if self.retained && rested {
            known.again = true;
        }
        let mut keys = Vec::new();
        let first = known.read.is_none();
        let mut finished = true;
        let read = match known.look(&list, now) {
            Ok(Look::Unchanged) => return None,
            Ok(Look::Missing) => {
                // Most stations have none at first, but somebody named this one.
                if known.read != Some(None)
                    && self.sources.blacklist != self.sources.station.blacklist()
                {
                    warn!(
                        "{} does not exist: until it does, no key is blocked; check --blacklist, \
                         CONSTELLATION_BLACKLIST and constellation.toml",
                        self.sources.blacklist.display()
                    );
                }
                known.remember(None, now);
                Ok(())
            }
            Ok(Look::Changed {
                open,
                mut torn,
                urgent,
            }) => {
                let (before, since, whole) = (known.read, known.changing_since, known.whole);
                let in_work = is_in_work(&list, now)
                    // While it was looked for who writes.
                    || list.signature().ok() != Some(Some(open.signature()));
                torn |= in_work;
                let seen = before == Some(Some(open.signature()));
                if torn && (!urgent || seen || first && in_work) {
                    return self.wait_for_the_whole(now);
                }
                // Without the memory it is read all the same, more slowly.
                let _ = keys.try_reserve_exact(open.most_keys());
                let read = known.read(&list, open, now, |key| keys.push(key));
                let cut = read.is_ok() && known.is_cut(&list, now);
                if cut && (!urgent || first) {
                    (known.read, known.changing_since, known.whole) = (before, since, whole);
                    return self.wait_for_the_whole(now);
                }
                if cut || torn {
                    known.whole = whole;
                    known.again = true;
                    known.changing_since = Some(now);
                    finished = first;
                }
                read
            }
            Err(error) => Err(error),
        };
        if let Err(error) = read {
            let consequence = match known.read {
                Some(_) => "the keys it held before stay blocked",
                None => "every event is rejected until it can be read",
            };
            known.complain(list.path(), &error, consequence);
            return None;
        }
        // Whoever sees not all programs knows only of a list that rests that it is whole. A
        // list that is missing at the first look was most likely never there.
        let missing = known.read == Some(None);
        finished &= rested || first && missing || self.sees_every_writer();
        Some(self.retain(KeySet::from(keys), current, finished, first))
    }

    /// The keys of the list, and with them, unless its writers have finished, those that
    /// were blocked before.
    fn retain(&mut self, keys: KeySet, current: &Own, finished: bool, first: bool) -> Blocked {
        let retained = std::mem::replace(&mut self.retained, !finished);
        if finished {
            let keys = Arc::new(keys);
            return Blocked {
                keys,
                partial: false,
            };
        }
        let before = current.blocked.as_deref();
        let missing = |key: &&Pubkey| !keys.contains(key);
        let gone: Vec<Pubkey> = before
            .into_iter()
            .flat_map(KeySet::as_slice)
            .filter(missing)
            .copied()
            .collect();
        let partial = current.partial || first && before.is_none();
        // With nothing missing there is nothing to wait for.
        self.retained = partial || !gone.is_empty();
        let path = self.sources.blacklist.display();
        if partial && !retained {
            warn!(
                "{path}: it was changed a moment ago, and who writes it cannot be seen from here: \
                 authors who are not in it are rejected until nobody has changed it for 10 s, or it has \
                 only grown for 60 s"
            );
        } else if !gone.is_empty() && !retained {
            info!(
                "{path}: {} that left it stay blocked until nobody has changed it for 10 s: who \
                 writes it cannot be seen from here",
                counted(gone.len(), "key")
            );
        }
        if gone.is_empty() {
            let keys = Arc::new(keys);
            return Blocked { keys, partial };
        }
        let all = keys.as_slice().iter().copied().chain(gone);
        Blocked {
            keys: Arc::new(all.collect()),
            partial,
        }
    }

    /// Nothing is read yet. Before anything was read that is said after a while, and lets
    /// nobody in.
    fn wait_for_the_whole(&mut self, now: Duration) -> Option<Blocked> {
        let known = &mut self.blacklist;
        let since = known.changing_since.unwrap_or(now);
        if known.read.is_none() && now.saturating_sub(since) >= FIRST_PATIENCE {
            let error = io::Error::other("another program has been rewriting it for seconds");
            let consequence = "every event is rejected until it can be read";
            known.complain(&self.sources.blacklist, &error, consequence);
        }
        None
    }
}

fn is_subset(keys: &KeySet, of: &KeySet) -> bool {
    keys.as_slice().iter().all(|key| of.contains(key))
}
