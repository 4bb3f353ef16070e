//! The files that can pardon keys, and which blocked keys each of them holds. If strangers must be
//! told from others, it is also remembered which keys are in any of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use constellation_shared::list_file::ListFile;
use constellation_shared::wot::KeySet;
use tracing::warn;

use crate::lists::content::{self, Content, Keys};
use crate::lists::known::{KnownKeys, Mark, compact};
use crate::lists::list_state::{ListState, Look};
use crate::lists::sources::Pardoning;

/// A file that can pardon keys, or whose keys are at least no strangers.
#[derive(Debug, Default)]
struct File {
    known: ListState,
    role: Role,
    keys: Keys,
    /// Whether keys count that were in it earlier, as it may have been half written when it was read.
    is_merged: bool,
}

/// What the keys of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Role {
    /// Friends or members, whom the file pardons.
    #[default]
    Pardoned,
    /// Nodes or captains of stations, whom the file does not pardon.
    Station,
}

/// A file to look at.
#[derive(Debug)]
struct Wanted {
    list: ListFile,
    role: Role,
}

/// What a search is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sought<'a> {
    /// The blocked keys.
    pub(super) blocked: &'a KeySet,
    /// Whether all files must be read again, as keys were blocked that were not sought before.
    pub(super) again: bool,
    /// Whether all keys are to be remembered.
    pub(super) all_keys: bool,
}

/// All files that can pardon keys.
#[derive(Debug, Default)]
pub(super) struct Pardons {
    files: BTreeMap<ListFile, File>,
    /// The folder that cannot be read.
    unreadable: Option<(PathBuf, ListState)>,
    /// What was last reported to be left out.
    left_out: String,
}

/// What a look at a file led to.
enum Outcome {
    Unchanged,
    Missing,
    Read {
        /// Whether the file may have been half written.
        torn: bool,
        /// Whether there is no key in it.
        holds_none: bool,
    },
}

impl File {
    /// Looks at the file, and reads it if it has changed.
    ///
    /// # Errors
    /// Fails if the file cannot be read.
    fn look(&mut self, wanted: &Wanted, sought: Sought<'_>, now: Duration) -> io::Result<Outcome> {
        let Wanted { list, role } = wanted;
        self.role = *role;
        // Another station that publishes no key of its own harms nobody but itself.
        self.known.is_minor = *role == Role::Station && list.is_foreign();
        if sought.again {
            self.known.read = None;
        }
        match self.known.look(list, now)? {
            Look::Unchanged => Ok(Outcome::Unchanged),
            Look::Missing => {
                self.known.remember(None, now);
                Ok(Outcome::Missing)
            }
            Look::Changed { open, torn, .. } => {
                let pardons = *role == Role::Pardoned;
                let mut found = BTreeSet::new();
                let mut marks = Vec::new();
                let mut count = 0_u64;
                if sought.all_keys {
                    // Without enough memory it is still read, only more slowly.
                    let _ = marks.try_reserve_exact(open.most_keys());
                }
                self.known.read(list, open, now, |key| {
                    count += 1;
                    if sought.all_keys {
                        marks.push(Mark::from(&key));
                    }
                    if pardons && sought.blocked.contains(&key) {
                        found.insert(key);
                    }
                })?;
                self.keys.content = Content {
                    found: found.into_iter().collect(),
                    marks: compact(marks),
                };
                let holds_none = count == 0;
                Ok(Outcome::Read { torn, holds_none })
            }
        }
    }

    /// Looks at the file, and reads it if it has changed, which is counted in `read`. Returns whether
    /// other keys count than before.
    fn search(
        &mut self,
        wanted: &Wanted,
        sought: Sought<'_>,
        now: Duration,
        read: &mut usize,
    ) -> bool {
        let has_expired = self.keys.expire(now);
        let last = std::mem::take(&mut self.keys.content);
        let changed = match self.look(wanted, sought, now) {
            Ok(Outcome::Unchanged) => {
                self.keys.content = last;
                false
            }
            Ok(Outcome::Missing) => self.vanish(wanted, last, now),
            Ok(Outcome::Read { torn, holds_none }) => {
                *read += 1;
                // It is read again in a moment. Until then, nobody loses anything. If that goes on
                // and on, it is not repeated, or the keys would be ever more.
                self.is_merged = torn && !self.is_merged;
                if self.is_merged {
                    self.keys.content.merge(&last);
                }
                if holds_none && !self.is_merged {
                    self.vanish(wanted, last, now)
                } else {
                    let changed = self.keys.content != last;
                    if changed {
                        self.keys.have_read();
                    }
                    changed
                }
            }
            Err(error) => {
                self.complain(wanted, &last, &error);
                self.keys.content = last;
                false
            }
        };
        changed || has_expired
    }

    /// Takes note that the file is gone or holds no key any more, and that these keys were in it.
    /// Returns whether other keys count than before.
    fn vanish(&mut self, wanted: &Wanted, last: Content, now: Duration) -> bool {
        if is_kept(&wanted.list) {
            self.keys.keep(last, now);
            return false;
        }
        !last.is_empty()
    }

    /// Reports that the file cannot be read, so that what it held before still counts.
    fn complain(&mut self, wanted: &Wanted, last: &Content, error: &io::Error) {
        let consequence = if last.is_empty() {
            "its keys do not count"
        } else {
            "the keys it held before still count"
        };
        self.known.complain(wanted.list.path(), error, consequence);
    }
}

/// The result of a search.
#[derive(Debug, Default)]
pub(super) struct Searched {
    /// Whether the keys found are not the same as before.
    pub(super) changed: bool,
    /// How many files were read.
    pub(super) read: usize,
}

impl Pardons {
    /// Reads the files that have changed, or all of them if that is sought. `now` is the time since
    /// 1970.
    pub(super) fn search(
        &mut self,
        pardoning: Pardoning,
        sought: Sought<'_>,
        now: Duration,
    ) -> Searched {
        let mut before = std::mem::take(&mut self.files);
        let mut searched = Searched {
            changed: sought.again,
            read: 0,
        };
        self.report_left_out(&pardoning);
        for wanted in self.with_the_vanished(pardoning, &before) {
            let mut file = before.remove(&wanted.list).unwrap_or_default();
            searched.changed |= file.search(&wanted, sought, now, &mut searched.read);
            self.files.insert(wanted.list, file);
        }
        // The rest belonged to files that no longer count, or that vanished a while ago.
        for (list, mut file) in before {
            searched.changed |= !file.keys.content.is_empty();
            file.keys.content = Content::default();
            searched.changed |= file.keys.expire(now);
            if is_kept(&list) && !file.keys.is_empty() {
                self.files.insert(list, file);
            }
        }
        if searched.changed {
            content::bound(self.files.values_mut().map(|file| &mut file.keys));
        }
        searched
    }

    /// Forgets a file that no longer counts although it is still there. Returns whether a key of it
    /// counted.
    pub(super) fn forget(&mut self, list: &ListFile) -> bool {
        let file = self.files.remove(list);
        file.is_some_and(|file| !file.keys.is_empty())
    }

    /// The blocked keys in any of the files.
    pub(super) fn found(&self) -> KeySet {
        let all = self.files.values().flat_map(|file| file.keys.all());
        all.flat_map(|content| &content.found).copied().collect()
    }

    /// The keys in any of the files.
    pub(super) fn known(&self) -> KnownKeys {
        let all = || self.files.values().flat_map(|file| file.keys.all());
        let mut marks = Vec::with_capacity(all().map(|content| content.marks.len()).sum());
        for content in all() {
            marks.extend(&content.marks);
        }
        KnownKeys::from(marks)
    }

    /// The files, and those that held a key and are gone, as a list that is being replaced is missing
    /// for a moment. Of a folder that cannot be read, all files known before are kept.
    fn with_the_vanished(
        &mut self,
        pardoning: Pardoning,
        before: &BTreeMap<ListFile, File>,
    ) -> Vec<Wanted> {
        let Pardoning {
            files,
            stations,
            left_out,
            unreadable,
        } = pardoning;
        let mut present: BTreeSet<&ListFile> = files.iter().collect();
        // A file that pardons need not be read twice.
        let stations: Vec<&ListFile> = stations
            .iter()
            .filter(|list| !present.contains(list))
            .collect();
        present.extend(&stations);
        let left_out: BTreeSet<&PathBuf> = left_out.lists.iter().chain(&left_out.keys).collect();
        let folder = unreadable.as_ref().map(|(folder, _)| folder);
        let vanished = before.iter().filter(|(list, file)| {
            let kept = folder.is_some_and(|folder| list.path().starts_with(folder));
            (kept || !file.keys.content.is_empty())
                && !present.contains(list)
                && !left_out.contains(&list.path().to_owned())
        });
        let vanished = vanished.map(|(list, file)| Wanted {
            list: list.clone(),
            role: file.role,
        });
        let wanted = |role: Role| {
            move |list: &ListFile| Wanted {
                list: list.clone(),
                role,
            }
        };
        let all: Vec<Wanted> = files
            .iter()
            .map(wanted(Role::Pardoned))
            .chain(stations.into_iter().map(wanted(Role::Station)))
            .chain(vanished)
            .collect();
        let last = self.unreadable.take();
        if let Some((folder, error)) = unreadable {
            let mut known = last.map_or_else(ListState::default, |(_, known)| known);
            known.complain(&folder, &error, "its keys count as they did before");
            self.unreadable = Some((folder, known));
        }
        all
    }

    fn report_left_out(&mut self, pardoning: &Pardoning) {
        let left_out = pardoning.left_out.to_string();
        if left_out != self.left_out && !left_out.is_empty() {
            warn!("some friends lists of other stations are not read: {left_out}");
        }
        self.left_out = left_out;
    }
}

/// Whether the keys of a file keep their standing for a while when it vanishes: of another station,
/// whose folder the station's scripts empty once a day. A member whose file is deleted is none.
const fn is_kept(list: &ListFile) -> bool {
    list.is_foreign()
}
