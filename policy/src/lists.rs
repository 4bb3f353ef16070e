//! The lists as the plugin needs them: loaded, kept while a file cannot be read, loaded
//! again when a file changed.
//!
//! A friend or member matters only if he is blocked. So the blocked keys are the only
//! ones kept, and the other lists, however long, are read through once for the few that
//! are blocked.

use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use constellation_shared::list_file::{self, ListFile, OpenList, Signature};
use constellation_shared::verdict::{Standing, Verdict};
use constellation_shared::wot::KeySet;
use constellation_shared::{Pubkey, Station};
use tracing::{debug, error, warn};

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
    pardoned: KeySet,
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

/// For how long a changed file is left alone: `sort -o` empties a list and fills it again,
/// and what is read in between is half a list.
const SETTLING: Duration = Duration::from_millis(100);

/// After how long a file that changes all the time is read all the same.
const PATIENCE: Duration = Duration::from_millis(400);

/// What is known of a file since it was last looked at.
#[derive(Debug, Default)]
struct Known {
    /// Its state when it was last read to the end; `Some(None)` when it was missing.
    read: Option<Option<Signature>>,
    /// It was read while it was fresh: it may have changed since without a trace.
    fresh: bool,
    /// Since when it has been changing.
    changing_since: Option<Duration>,
    /// The state in which its faulty lines were last reported.
    reported: Option<Signature>,
    /// What was last said about it going wrong, so that it is said once.
    complaint: Option<String>,
}

/// What a look at a file found.
enum Look {
    Unchanged,
    Missing,
    Changed(OpenList),
}

impl Known {
    /// Looks whether the file must be read; `now` is the time since 1970.
    fn look(&mut self, list: &ListFile, now: Duration) -> io::Result<Look> {
        let state = list.signature()?;
        if self.read == Some(state) && !self.fresh {
            self.changing_since = None;
            return Ok(Look::Unchanged);
        }
        let fresh = state.as_ref().is_some_and(|state| is_fresh(state, now));
        let since = *self.changing_since.get_or_insert(now);
        let wait = fresh && now.saturating_sub(since) < PATIENCE;
        // The first look must not wait: a verdict is wanted.
        if wait && self.read.is_some() {
            return Ok(Look::Unchanged);
        }
        Ok(list.open()?.map_or(Look::Missing, Look::Changed))
    }

    /// Reads a file to its end and remembers in which state it was.
    fn read(
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

    fn remember(&mut self, state: Option<Signature>, now: Duration) {
        self.read = Some(state);
        self.fresh = state.is_some_and(|state| is_fresh(&state, now));
        self.changing_since = self.fresh.then_some(now);
        self.complaint = None;
    }

    fn complain(&mut self, path: &Path, error: &io::Error, consequence: &str) {
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

/// Loads the lists and knows which of them must be loaded again.
#[derive(Debug)]
pub struct Loader {
    sources: Sources,
    blacklist: Known,
    /// Whether a key was blocked that the other lists have not been searched for.
    search_again: bool,
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
            pardoning: BTreeMap::new(),
            folders: BTreeMap::new(),
        }
    }

    /// Looks at all files and reads those that changed since `current` was loaded; `now`
    /// is the time since 1970. `None` where `current` still holds.
    pub fn refresh(&mut self, current: &Lists, now: Duration) -> Option<Lists> {
        let read = self.read_blacklist(now);
        if let Some(new) = &read {
            let subset = current
                .blocked
                .as_ref()
                .is_some_and(|old| is_subset(new, old));
            self.search_again |= !subset;
        }
        let changed = read.is_some();
        let blocked = read.or_else(|| current.blocked.clone())?;
        // With nobody blocked there is nobody to pardon, and nothing to look at.
        let pardoned = match blocked.is_empty() {
            true => changed.then(KeySet::default),
            false => self.search(&blocked, now),
        };
        if !changed && pardoned.is_none() {
            return None;
        }
        let pardoned = pardoned.unwrap_or_else(|| current.pardoned.clone());
        debug!(
            "lists loaded: {} keys blocked, {} of them friends or members",
            blocked.len(),
            pardoned.len()
        );
        Some(Lists {
            blocked: Some(blocked),
            pardoned,
        })
    }

    /// The blocked keys, where the file changed and could be read.
    fn read_blacklist(&mut self, now: Duration) -> Option<Arc<KeySet>> {
        let list = ListFile::own(&self.sources.blacklist);
        let known = &mut self.blacklist;
        let mut keys = Vec::new();
        let read = match known.look(&list, now) {
            Ok(Look::Unchanged) => return None,
            Ok(Look::Missing) => {
                known.remember(None, now);
                Ok(())
            }
            Ok(Look::Changed(open)) => {
                keys.reserve_exact(open.most_keys());
                known.read(&list, open, now, |key| keys.push(key))
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

    /// The blocked keys that are friends or members, where that may have changed.
    fn search(&mut self, blocked: &KeySet, now: Duration) -> Option<KeySet> {
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
        for list in files {
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
                Ok(Look::Changed(open)) => known.read(&list, open, now, |key| {
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
    keys.len() <= of.len() && keys.as_slice().iter().all(|key| of.contains(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Long after every file of these tests was written.
    const LATER: Duration = Duration::from_secs(1 << 40);

    struct Dir {
        root: tempfile::TempDir,
        loader: Loader,
        lists: Lists,
    }

    impl Dir {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let station = Station::new(root.path());
            let loader = Loader::new(Sources {
                blacklist: station.blacklist(),
                friends: vec![station.friends()],
                swarm: true,
                station,
            });
            Self {
                root,
                loader,
                lists: Lists::default(),
            }
        }

        fn write(&self, path: &str, keys: &[u8]) {
            let path = self.root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let lines: String = keys
                .iter()
                .map(|&byte| format!("{}\n", key(byte)))
                .collect();
            fs::write(path, lines).unwrap();
        }

        fn refresh(&mut self) -> bool {
            let new = self.loader.refresh(&self.lists, LATER);
            let changed = new.is_some();
            self.lists = new.unwrap_or_else(|| self.lists.clone());
            changed
        }

        fn verdicts(&self, keys: &[u8]) -> Vec<Option<Verdict>> {
            keys.iter()
                .map(|&byte| self.lists.verdict(&key(byte)))
                .collect()
        }
    }

    fn key(byte: u8) -> Pubkey {
        Pubkey::from_bytes([byte; 32])
    }

    const ALLOW: Option<Verdict> = Some(Verdict::Allow);
    const PARDON: Option<Verdict> = Some(Verdict::Pardon);
    const BLOCK: Option<Verdict> = Some(Verdict::Block);

    #[test]
    fn each_list_pardons_and_no_list_does_not() {
        let mut dir = Dir::new();
        dir.write("strfry/blacklist.txt", &[1, 2, 3, 4, 5]);
        dir.write("strfry/amisOfAmis.txt", &[2, 5, 9]);
        dir.write("tmp/swarm/12D3KooA/amisOfAmis.txt", &[3, 5]);
        dir.write("game/nostr/a@b.org/HEX", &[4]);
        assert!(dir.refresh());
        assert_eq!(
            dir.verdicts(&[1, 2, 3, 4, 5, 9, 10]),
            [BLOCK, PARDON, PARDON, PARDON, PARDON, ALLOW, ALLOW]
        );
        assert!(!dir.refresh(), "nothing has changed");
    }

    #[test]
    fn each_change_is_taken_up() {
        let mut dir = Dir::new();
        assert!(dir.refresh());
        assert_eq!(dir.verdicts(&[1]), [ALLOW], "a missing list is empty");
        dir.write("strfry/blacklist.txt", &[1]);
        assert!(dir.refresh());
        assert_eq!(dir.verdicts(&[1]), [BLOCK]);
        dir.write("tmp/swarm/12D3KooA/amisOfAmis.txt", &[1, 2]);
        assert!(dir.refresh());
        assert_eq!(dir.verdicts(&[1]), [PARDON]);
        dir.write("strfry/blacklist.txt", &[1, 2, 3]);
        assert!(dir.refresh());
        assert_eq!(
            dir.verdicts(&[1, 2, 3]),
            [PARDON, PARDON, BLOCK],
            "a key blocked later is looked for in lists that did not change"
        );
        fs::remove_dir_all(dir.root.path().join("tmp")).unwrap();
        assert!(dir.refresh());
        assert_eq!(dir.verdicts(&[1, 2, 3]), [BLOCK, BLOCK, BLOCK]);
        fs::remove_file(dir.root.path().join("strfry/blacklist.txt")).unwrap();
        assert!(dir.refresh());
        assert_eq!(dir.verdicts(&[1, 2, 3]), [ALLOW, ALLOW, ALLOW]);
    }

    #[test]
    fn nothing_is_let_in_until_the_blacklist_could_be_read() {
        let mut dir = Dir::new();
        let blacklist = dir.root.path().join("strfry/blacklist.txt");
        fs::create_dir_all(&blacklist).unwrap();
        assert!(!dir.refresh());
        assert_eq!(dir.verdicts(&[1, 2]), [None, None]);
        fs::remove_dir(&blacklist).unwrap();
        dir.write("strfry/blacklist.txt", &[1]);
        assert!(dir.refresh());
        assert_eq!(dir.verdicts(&[1, 2]), [BLOCK, ALLOW]);
    }

    #[test]
    fn a_list_that_becomes_unreadable_keeps_its_keys() {
        let mut dir = Dir::new();
        dir.write("strfry/blacklist.txt", &[1, 2]);
        dir.write("strfry/amisOfAmis.txt", &[2]);
        dir.refresh();
        for list in ["strfry/blacklist.txt", "strfry/amisOfAmis.txt"] {
            let path = dir.root.path().join(list);
            fs::remove_file(&path).unwrap();
            fs::create_dir(&path).unwrap();
        }
        assert!(!dir.refresh());
        assert_eq!(dir.verdicts(&[1, 2, 3]), [BLOCK, PARDON, ALLOW]);
    }

    #[test]
    fn friends_that_never_could_be_read_are_none() {
        let mut dir = Dir::new();
        dir.write("strfry/blacklist.txt", &[1]);
        fs::create_dir_all(dir.root.path().join("strfry/amisOfAmis.txt")).unwrap();
        dir.refresh();
        assert_eq!(dir.verdicts(&[1, 2]), [BLOCK, ALLOW]);
    }

    #[test]
    fn a_list_being_written_is_left_alone_for_a_moment_but_not_for_long() {
        let mut dir = Dir::new();
        dir.write("strfry/blacklist.txt", &[1]);
        dir.refresh();
        dir.write("strfry/blacklist.txt", &[]);
        let list = ListFile::own(dir.root.path().join("strfry/blacklist.txt"));
        let (seconds, nanoseconds) = list.signature().unwrap().unwrap().changed();
        let written = Duration::new(seconds.try_into().unwrap(), nanoseconds.try_into().unwrap());
        let ms = Duration::from_millis;
        assert!(dir.loader.refresh(&dir.lists, written + ms(1)).is_none());
        assert!(dir.loader.refresh(&dir.lists, written + ms(99)).is_none());
        assert!(dir.loader.refresh(&dir.lists, written + ms(101)).is_some());

        // A writer that never rests: the file is always one millisecond old.
        let known = &mut Known::default();
        known.remember(None, written);
        let mut waited = 0;
        while matches!(known.look(&list, written + ms(1)), Ok(Look::Unchanged)) {
            known.changing_since = known.changing_since.map(|since| since - ms(50));
            waited += 50;
        }
        assert_eq!(waited, 400);
    }

    #[test]
    fn what_was_read_while_fresh_is_read_again() {
        let dir = Dir::new();
        dir.write("strfry/blacklist.txt", &[1]);
        let list = ListFile::own(dir.root.path().join("strfry/blacklist.txt"));
        let (seconds, _) = list.signature().unwrap().unwrap().changed();
        let now = Duration::from_secs(seconds.try_into().unwrap()) + Duration::from_secs(1);
        let mut known = Known::default();
        let state = list.signature().unwrap();
        known.remember(state, now - Duration::from_secs(1) + SETTLING / 2);
        known.fresh = true;
        assert!(matches!(
            known.look(&list, now + PATIENCE),
            Ok(Look::Changed(_))
        ));
    }

    #[test]
    fn without_the_swarm_only_the_station_s_own_lists_pardon() {
        let mut dir = Dir::new();
        dir.loader.sources.swarm = false;
        dir.write("strfry/blacklist.txt", &[1, 2]);
        dir.write("tmp/swarm/12D3KooA/amisOfAmis.txt", &[1]);
        dir.write("game/nostr/a@b.org/HEX", &[2]);
        dir.refresh();
        assert_eq!(dir.verdicts(&[1, 2]), [BLOCK, PARDON]);
    }
}
