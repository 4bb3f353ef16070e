//! The lists as the plugin needs them: loaded, kept while a file cannot be read, loaded
//! again when a file changed.
//!
//! A friend or member matters only if he is blocked. So the blocked keys are the only
//! ones kept, and the other lists, however long, are read through once for the few that
//! are blocked.

mod known;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use constellation_shared::counted;
use constellation_shared::list_file::{self, ListFile};
use constellation_shared::verdict::{Standing, Verdict};
use constellation_shared::wot::KeySet;
use constellation_shared::{Pubkey, Station};
use tracing::debug;

use crate::lists::known::{Known, Look, is_in_work};

/// For how long a newly blocked key waits for the search of the lists that may pardon it.
/// Most searches are over by then, and a friend who is blacklisted is let in throughout.
/// Where other stations send many long lists, blocking goes first, and such a friend is
/// rejected until the search is over, about a second.
const SEARCH_QUIETLY_FOR: Duration = Duration::from_millis(300);

/// For how long the first answers wait for a blacklist that is being rewritten. Less than
/// strfry waits for an answer, 10 s.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);

/// Which files decide.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The station, for its members and its swarm.
    pub station: Station,
    /// The keys that may not write.
    pub blacklist: PathBuf,
    /// The friends of friends of this station.
    pub friends: Vec<PathBuf>,
    /// Whether the friends of other stations count.
    pub swarm: bool,
}

impl Sources {
    /// All files that can pardon a key: friends, then the swarm's friends, then members;
    /// and the folders that could not be read.
    pub fn pardoning(&self) -> (Vec<ListFile>, Vec<(PathBuf, io::Error)>) {
        let mut files: Vec<ListFile> = self.friends.iter().map(ListFile::own).collect();
        let mut unreadable = Vec::new();
        let mut add = |found: io::Result<Vec<ListFile>>, folder| match found {
            Ok(found) => files.extend(found),
            Err(error) => unreadable.push((folder, error)),
        };
        if self.swarm {
            let found = list_file::swarm_friends(&self.station);
            add(found, self.station.swarm_dir());
        }
        let found = list_file::member_keys(&self.station);
        add(found, self.station.members_dir());
        (files, unreadable)
    }
}

/// What the lists say at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lists {
    /// The blocked keys, or `None` where the blacklist is there but was never readable.
    blocked: Option<Arc<KeySet>>,
    /// Those of them that are friends or members.
    pardoned: Arc<KeySet>,
}

impl Lists {
    /// The verdict on an author, or `None` where the lists are unavailable and nothing
    /// may be let in.
    pub fn verdict(&self, author: &Pubkey) -> Option<Verdict> {
        let blocked = self.blocked.as_ref()?.contains(author);
        let standing = Standing {
            blocked,
            // A friend or a member: the verdict is the same.
            friend: blocked && self.pardoned.contains(author),
            member: false,
        };
        Some(standing.verdict())
    }
}

/// Loads the lists and knows which of them must be loaded again.
#[derive(Debug)]
pub struct Loader {
    sources: Sources,
    blacklist: Known,
    /// Whether a key was blocked that the other lists have not been searched for.
    search_again: bool,
    /// After which time of searching newly blocked keys are blocked all the same.
    search_quietly_for: Duration,
    /// The files that can pardon, each with the blocked keys that it holds.
    pardoning: BTreeMap<ListFile, (Known, Vec<Pubkey>)>,
    /// The folders that cannot be read.
    folders: BTreeMap<PathBuf, Known>,
}

impl Loader {
    /// A loader that has not yet read anything.
    pub fn new(sources: Sources) -> Self {
        Self {
            sources,
            blacklist: Known::default(),
            search_again: true,
            search_quietly_for: SEARCH_QUIETLY_FOR,
            pardoning: BTreeMap::new(),
            folders: BTreeMap::new(),
        }
    }

    /// Looks at all files and reads those that changed since `current` was loaded; `now`
    /// is the time since 1970. `None` where `current` still holds.
    ///
    /// Where the search takes long, `publish` is handed the newly blocked keys before it is
    /// over, with the pardons known so far.
    pub fn refresh(
        &mut self,
        current: &Lists,
        now: Duration,
        publish: impl FnOnce(Lists),
    ) -> Option<Lists> {
        let read = self.read_blacklist(current, now);
        if let Some(new) = &read {
            let subset = current
                .blocked
                .as_ref()
                .is_some_and(|old| is_subset(new, old));
            self.search_again |= !subset;
        }
        let changed = read.is_some();
        let blocked = read.or_else(|| current.blocked.clone())?;
        // Before the first lists there is nobody let in whom this could stop.
        let urgent = changed && self.search_again && current.blocked.is_some();
        // With nobody blocked there is nobody to pardon, and nothing to look at.
        let pardoned = match blocked.is_empty() {
            true => changed.then(KeySet::default),
            false => self.search(&blocked, now, urgent.then_some(publish)),
        };
        if !changed && pardoned.is_none() {
            return None;
        }
        let pardoned = pardoned.map_or_else(|| Arc::clone(&current.pardoned), Arc::new);
        debug!(
            "lists loaded: {} blocked, {} of them friends or members",
            counted(blocked.len(), "key"),
            pardoned.len()
        );
        Some(Lists {
            blocked: Some(blocked),
            pardoned,
        })
    }

    /// Whether the blacklist could be read, but for the program that is at work on it.
    pub fn is_waiting(&self) -> bool {
        self.blacklist.read.is_none() && self.blacklist.complaint.is_none()
    }

    /// The blocked keys, where the file changed and could be read. Of a file that is
    /// rewritten all the time what is added counts at once, and what is missing only when
    /// it is missing from the whole: nobody slips in while a list is sorted.
    fn read_blacklist(&mut self, current: &Lists, now: Duration) -> Option<Arc<KeySet>> {
        let list = ListFile::blacklist(&self.sources.blacklist);
        let known = &mut self.blacklist;
        let mut keys = Vec::new();
        let read = match known.look(&list, now) {
            Ok(Look::Unchanged) => return None,
            Ok(Look::Missing) => {
                known.remember(None, now);
                Ok(())
            }
            Ok(Look::Changed {
                open,
                mut torn,
                urgent,
            }) => {
                let (before, since, whole) = (known.read, known.changing_since, known.whole);
                let first = before.is_none();
                let in_work = is_in_work(&list, now)
                    // While it was looked for who writes.
                    || list.signature().ok() != Some(Some(open.signature()));
                torn |= in_work;
                let seen = before == Some(Some(open.signature()));
                if torn && (!urgent || seen || first && in_work) {
                    return self.wait_for_the_whole(now);
                }
                keys.reserve_exact(open.most_keys());
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
                    if let Some(blocked) = &current.blocked {
                        keys.extend_from_slice(blocked.as_slice());
                    }
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
        Some(Arc::new(KeySet::from(keys)))
    }

    /// Nothing is read yet. Before anything was read that is said after a while, and lets
    /// nobody in.
    fn wait_for_the_whole(&mut self, now: Duration) -> Option<Arc<KeySet>> {
        let known = &mut self.blacklist;
        let since = known.changing_since.unwrap_or(now);
        if known.read.is_none() && now.saturating_sub(since) >= FIRST_PATIENCE {
            let error = io::Error::other("another program has been rewriting it for seconds");
            let consequence = "every event is rejected until it can be read";
            known.complain(&self.sources.blacklist, &error, consequence);
        }
        None
    }

    /// The blocked keys that are friends or members, where that may have changed.
    /// `publish` is called where that takes long.
    fn search(
        &mut self,
        blocked: &Arc<KeySet>,
        now: Duration,
        mut publish: Option<impl FnOnce(Lists)>,
    ) -> Option<KeySet> {
        let started = Instant::now();
        let search_again = mem::take(&mut self.search_again);
        let mut before = mem::take(&mut self.pardoning);
        let mut changed = search_again;
        let (mut files, unreadable) = self.sources.pardoning();
        let mut folders = mem::take(&mut self.folders);
        for (folder, error) in unreadable {
            // What is known of the files in it is still the best we have.
            let kept = before
                .keys()
                .filter(|list| list.path().starts_with(&folder));
            files.extend(kept.cloned());
            let mut known = folders.remove(&folder).unwrap_or_default();
            known.complain(&folder, &error, "its keys count as they did before");
            self.folders.insert(folder, known);
        }
        if publish.is_some() {
            // So that as many as can be are searched in time.
            files.sort_by_cached_key(|list| {
                fs::symlink_metadata(list.path()).map_or(0, |metadata| metadata.len())
            });
        }
        for list in files {
            if started.elapsed() >= self.search_quietly_for
                && let Some(publish) = publish.take()
            {
                let found = self.pardoning.values().chain(before.values());
                let found = found.flat_map(|(_, found)| found);
                publish(Lists {
                    blocked: Some(Arc::clone(blocked)),
                    pardoned: Arc::new(found.copied().collect()),
                });
            }
            let (mut known, last_found) = before.remove(&list).unwrap_or_default();
            if search_again {
                known.read = None;
            }
            let mut found = Vec::new();
            let read = match known.look(&list, now) {
                Ok(Look::Unchanged) => {
                    self.pardoning.insert(list, (known, last_found));
                    continue;
                }
                Ok(Look::Missing) => {
                    known.remember(None, now);
                    Ok(())
                }
                Ok(Look::Changed { open, .. }) => known.read(&list, open, now, |key| {
                    if blocked.contains(&key) {
                        found.push(key);
                    }
                }),
                Err(error) => Err(error),
            };
            if let Err(error) = read {
                let consequence = match last_found.is_empty() {
                    true => "its keys do not count",
                    false => "the keys it held before still count",
                };
                known.complain(list.path(), &error, consequence);
                found.clone_from(&last_found);
            }
            changed |= found != last_found;
            self.pardoning.insert(list, (known, found));
        }
        // What is left belonged to files that are gone.
        changed |= before.values().any(|(_, found)| !found.is_empty());
        changed.then(|| {
            let found = self.pardoning.values().flat_map(|(_, found)| found);
            found.copied().collect()
        })
    }
}

fn is_subset(keys: &KeySet, of: &KeySet) -> bool {
    keys.as_slice().iter().all(|key| of.contains(key))
}
