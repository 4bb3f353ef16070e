//! Loads the lists as the plugin needs them: keeps them while a file cannot be read, and loads
//! them again when a file has changed.
//!
//! Unless strangers must be told from others, friends and members only matter if they are blocked.
//! So only the blocked keys are kept, and the other lists, however long, are only searched for
//! those. If strangers must be told from others, a few bytes of every key are kept ([`known`]). The
//! station's own lists are read
//! before the first answer, and those of other stations in the background ([`swarm`]). Until
//! they have been read, authors whom they may pardon are told to try again.

mod content;
pub(crate) mod friends_before;
mod known;
mod list_state;
mod own_node;
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
use constellation_shared::verdict::{self, Verdict};
use constellation_shared::wot::KeySet;
use tracing::{debug, info, warn};

use crate::blacklist::sees_every_writer;
pub use crate::lists::known::KnownKeys;
use crate::lists::list_state::{ListState, Look, Rest, is_in_work};
use crate::lists::own_node::OwnNode;
use crate::lists::pardons::{Pardons, Sought};
pub use crate::lists::sources::{Pardoning, Sources};

/// How long the first answers wait for a blacklist that is being rewritten. This is less than
/// strfry waits for an answer, 10 s.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no verdict on an author.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undecided {
    /// The blocked keys are unknown, or not all known.
    Unavailable,
    /// The author is blocked, and the lists of other stations, which may pardon, are not read yet.
    SwarmUnread,
}

/// Whether an author is in none of the lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stranger {
    /// The author is in a list, or it does not matter.
    No,
    /// The author is in none of the lists.
    Yes,
    /// The author is in none of the station's own lists, and those of other stations are not read
    /// yet.
    Unread,
}

/// What the lists say of an author.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The verdict.
    pub verdict: Verdict,
    /// Whether an author who is not blocked is in none of the lists.
    pub stranger: Stranger,
}

/// The content of the station's own lists at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Own {
    /// The blocked keys, or `None` if the blacklist exists but was never readable.
    blocked: Option<Arc<KeySet>>,
    /// Whether some blocked keys may be missing.
    partial: bool,
    /// The blocked keys that are friends or members.
    pardoned: Arc<KeySet>,
    /// The friends, the members and this station's node, if strangers must be told from others.
    known: Option<Arc<KnownKeys>>,
}

/// The content of the other stations' lists at one moment.
#[derive(Debug, Clone, Default)]
pub struct Swarm {
    /// The blocked keys that were searched for.
    searched: Option<Arc<KeySet>>,
    /// The blocked keys that were found.
    pardoned: Arc<KeySet>,
    /// The friends, nodes and captains of other stations, if strangers must be told from others and
    /// these lists have been read.
    known: Option<Arc<KnownKeys>>,
}

/// The content of all lists at one moment.
#[derive(Debug, Clone, Default)]
pub struct Lists {
    /// The station's own lists.
    pub own: Own,
    /// The lists of the other stations, if they count.
    pub swarm: Option<Swarm>,
}

impl Own {
    /// The blocked keys, if they are known.
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
    /// [`Undecided`] if there is no verdict yet. The author's events must be rejected until then.
    pub fn verdict(&self, author: &Pubkey) -> Result<Verdict, Undecided> {
        let blocked = self.own.blocked.as_ref().ok_or(Undecided::Unavailable)?;
        if !blocked.contains(author) {
            return if self.own.partial {
                Err(Undecided::Unavailable)
            } else {
                Ok(Verdict::Allow)
            };
        }
        let standing = verdict::Standing {
            blocked: true,
            // Friend or member, the verdict is the same.
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

    /// Whether an author who may write is in none of the lists.
    pub fn stranger(&self, author: &Pubkey) -> Stranger {
        // If it does not matter who is a stranger, the keys are not known.
        let Some(own) = &self.own.known else {
            return Stranger::No;
        };
        if own.contains(author) {
            return Stranger::No;
        }
        match self.swarm.as_ref().map(|swarm| &swarm.known) {
            None => Stranger::Yes,
            Some(None) => Stranger::Unread,
            Some(Some(known)) if known.contains(author) => Stranger::No,
            Some(Some(_)) => Stranger::Yes,
        }
    }
}

/// Loads the station's own lists and knows which of them must be loaded again.
#[derive(Debug)]
pub struct Loader {
    sources: Sources,
    blacklist: ListState,
    rest: Rest,
    /// Whether keys still count that are no longer in the blacklist.
    retained: bool,
    /// Whether a key was blocked that the other lists have not been searched for.
    newly_blocked: bool,
    pardons: Pardons,
    own_node: OwnNode,
    /// Lets a test say whether all programs can be seen that may write the blacklist.
    #[cfg(test)]
    sees_every_writer: Option<bool>,
}

/// What was found in the lists other than the blacklist.
#[derive(Default)]
struct Found {
    pardoned: Arc<KeySet>,
    known: Option<Arc<KnownKeys>>,
}

/// The result of reading the blacklist.
struct Blocked {
    keys: Arc<KeySet>,
    partial: bool,
}

impl Loader {
    /// A loader that has not read anything yet.
    pub fn new(sources: Sources) -> Self {
        Self {
            sources,
            blacklist: ListState::default(),
            rest: Rest::default(),
            retained: false,
            newly_blocked: true,
            pardons: Pardons::default(),
            own_node: OwnNode::default(),
            #[cfg(test)]
            sees_every_writer: None,
        }
    }

    /// Looks at all files and reads those that changed since `current` was loaded; `now` is the time
    /// since 1970. `None` if `current` is still up to date.
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
        let all_keys = self.sources.tells_strangers();
        // If no key is blocked and no stranger to be told from others, there is nobody to pardon and
        // nothing to look at.
        let is_idle = keys.is_empty() && !all_keys;
        let found = if is_idle {
            changed.then(Found::default)
        } else {
            let mut pardoning = self.sources.own_pardoning();
            let friends = &self.sources.friends;
            pardoning
                .files
                .extend(friends_before::in_force(friends, now));
            let mut has_ended = false;
            for list in friends_before::not_in_force(friends, now) {
                has_ended |= self.pardons.forget(&list);
            }
            if all_keys {
                pardoning
                    .stations
                    .extend(self.own_node.key(&self.sources.station, now));
            }
            let sought = Sought {
                blocked: &keys,
                again: self.newly_blocked,
                all_keys,
            };
            let searched = self.pardons.search(pardoning, sought, now);
            (searched.changed || changed || has_ended).then(|| Found {
                pardoned: Arc::new(self.pardons.found()),
                known: all_keys.then(|| Arc::new(self.pardons.known())),
            })
        };
        let found = found?;
        debug!(
            "own lists loaded: {} blocked, {} of them friends or members",
            counted(keys.len(), "key"),
            found.pardoned.len()
        );
        Some(Own {
            blocked: Some(keys),
            partial,
            pardoned: found.pardoned,
            known: found.known,
        })
    }

    /// Whether a key was newly blocked since the last call.
    pub fn take_newly_blocked(&mut self) -> bool {
        std::mem::take(&mut self.newly_blocked)
    }

    /// Whether the blacklist has not been read because another program is rewriting it.
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

    /// The blocked keys, if the file has changed and could be read. An added key counts at once. A
    /// missing key only counts as removed if the list is complete: if no program is known to be
    /// rewriting it, or nobody has changed it for a while.
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
                if known.read != Some(None) {
                    warn_of_missing_blacklist(&self.sources);
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
                    // It changed while its writers were looked for.
                    || list.signature().ok() != Some(Some(open.signature()));
                torn |= in_work;
                let seen = before == Some(Some(open.signature()));
                if torn && (!urgent || seen || first && in_work) {
                    return self.wait_for_the_whole(now);
                }
                // Without enough memory it is still read, only more slowly.
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
        // If we cannot see all programs, only a list that nobody changes is known to be complete.
        // A list that is missing at the first look most likely never existed.
        let missing = known.read == Some(None);
        finished &= rested || first && missing || self.sees_every_writer();
        Some(self.retain(KeySet::from(keys), current, finished, first))
    }

    /// The keys of the list. If its writers have not finished, the keys that were blocked before stay
    /// blocked too.
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
        // If no key is missing, there is nothing to wait for.
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
                "{path}: {} no longer in it will stay blocked until nobody has changed it for 10 s: who \
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

    /// Does not read the list yet. If it was never read, this is reported after a while, and nobody
    /// may write until then.
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

/// Warns of a blacklist that somebody named and that does not exist. Most stations have none at
/// first, so the usual one may be missing.
fn warn_of_missing_blacklist(sources: &Sources) {
    if sources.blacklist != sources.station.blacklist() {
        warn!(
            "{} does not exist: until it does, no key is blocked; check --blacklist, \
             CONSTELLATION_BLACKLIST and constellation.toml",
            sources.blacklist.display()
        );
    }
}

fn is_subset(keys: &KeySet, of: &KeySet) -> bool {
    keys.as_slice().iter().all(|key| of.contains(key))
}
