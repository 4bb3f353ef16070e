//! The files that can pardon keys, and which blocked keys each of them holds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use constellation_shared::Pubkey;
use constellation_shared::list_file::ListFile;
use constellation_shared::wot::KeySet;
use tracing::warn;

use crate::lists::list_state::{ListState, Look};
use crate::lists::sources::Pardoning;

/// A file that can pardon keys.
#[derive(Debug, Default)]
struct File {
    known: ListState,
    /// The blocked keys in it.
    found: Vec<Pubkey>,
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

/// The result of a search.
#[derive(Debug, Default)]
pub(super) struct Searched {
    /// Whether the keys found are not the same as before.
    pub(super) changed: bool,
    /// How many files were read.
    pub(super) read: usize,
}

impl Pardons {
    /// Reads the files that have changed, or all of them with `again`.
    pub(super) fn search(
        &mut self,
        pardoning: Pardoning,
        blocked: &KeySet,
        again: bool,
        now: Duration,
    ) -> Searched {
        let mut before = std::mem::take(&mut self.files);
        let mut searched = Searched {
            changed: again,
            read: 0,
        };
        self.report_left_out(&pardoning);
        for list in self.with_the_vanished(pardoning, &before) {
            let File {
                mut known,
                found: last_found,
            } = before.remove(&list).unwrap_or_default();
            if again {
                known.read = None;
            }
            let mut found = BTreeSet::new();
            let read = match known.look(&list, now) {
                Ok(Look::Unchanged) => {
                    let found = last_found;
                    self.files.insert(list, File { known, found });
                    continue;
                }
                Ok(Look::Missing) => {
                    known.remember(None, now);
                    Ok(())
                }
                Ok(Look::Changed { open, .. }) => {
                    searched.read += 1;
                    known.read(&list, open, now, |key| {
                        if blocked.contains(&key) {
                            found.insert(key);
                        }
                    })
                }
                Err(error) => Err(error),
            };
            let mut found: Vec<Pubkey> = found.into_iter().collect();
            if let Err(error) = read {
                let consequence = if last_found.is_empty() {
                    "its keys do not count"
                } else {
                    "the keys it held before still count"
                };
                known.complain(list.path(), &error, consequence);
                found.clone_from(&last_found);
            }
            searched.changed |= found != last_found;
            self.files.insert(list, File { known, found });
        }
        // The rest belonged to files that no longer count.
        searched.changed |= before.values().any(|file| !file.found.is_empty());
        searched
    }

    /// The blocked keys in any of the files.
    pub(super) fn found(&self) -> KeySet {
        let found = self.files.values().flat_map(|file| &file.found);
        found.copied().collect()
    }

    /// The files, and those that held a key and are gone, as a list that is being replaced is missing
    /// for a moment. Of a folder that cannot be read, all files known before are kept.
    fn with_the_vanished(
        &mut self,
        pardoning: Pardoning,
        before: &BTreeMap<ListFile, File>,
    ) -> Vec<ListFile> {
        let Pardoning {
            mut files,
            left_out,
            unreadable,
        } = pardoning;
        let present: BTreeSet<&ListFile> = files.iter().collect();
        let left_out: BTreeSet<&PathBuf> = left_out.lists.iter().collect();
        let folder = unreadable.as_ref().map(|(folder, _)| folder);
        let vanished: Vec<ListFile> = before
            .iter()
            .filter(|(list, file)| {
                let kept = folder.is_some_and(|folder| list.path().starts_with(folder));
                (kept || !file.found.is_empty())
                    && !present.contains(list)
                    && !left_out.contains(&list.path().to_owned())
            })
            .map(|(list, _)| list.clone())
            .collect();
        files.extend(vanished);
        let last = self.unreadable.take();
        if let Some((folder, error)) = unreadable {
            let mut known = last.map_or_else(ListState::default, |(_, known)| known);
            known.complain(&folder, &error, "its keys count as they did before");
            self.unreadable = Some((folder, known));
        }
        files
    }

    fn report_left_out(&mut self, pardoning: &Pardoning) {
        let left_out = pardoning.left_out.to_string();
        if left_out != self.left_out && !left_out.is_empty() {
            warn!("some friends lists of other stations are not read: {left_out}");
        }
        self.left_out = left_out;
    }
}
