//! Chooses which friends lists of other stations are read, so that this machine can bear the cost
//! of all of them together, whatever anybody sends.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::list_file::{FOREIGN_LIMIT, ListFile, MOST_STATIONS, swarm_folders};
use crate::station::Station;
use crate::text::counted;

/// How long all lists together may be, in bytes: enough for two million keys.
pub const SWARM_LIMIT: u64 = 132_000_000;

/// The friends lists of the other stations.
#[derive(Debug, Default)]
pub struct SwarmLists {
    /// The lists that are read, in ascending order of their paths.
    pub lists: Vec<ListFile>,
    /// What is not read because there is too much of it.
    pub left_out: LeftOut,
}

/// The folders and lists that are not read because there are too many, or they are too long.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// How many folders there are beyond [`MOST_STATIONS`].
    pub folders: u64,
    /// The longest lists, without which the others are at most [`SWARM_LIMIT`] bytes long.
    pub lists: Vec<PathBuf>,
}

impl LeftOut {
    /// Whether everything is read.
    pub const fn is_empty(&self) -> bool {
        self.folders == 0 && self.lists.is_empty()
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.folders > 0 {
            write!(
                f,
                "{} beyond the first {MOST_STATIONS} by name",
                counted(
                    usize::try_from(self.folders).unwrap_or(usize::MAX),
                    "station"
                )
            )?;
        }
        if let Some(first) = self.lists.first() {
            let and = if self.folders > 0 { ", and " } else { "" };
            write!(
                f,
                "{and}{} that would bring all of them above {} MB (the first: {})",
                counted(self.lists.len(), "long list"),
                SWARM_LIMIT / 1_000_000,
                first.display()
            )?;
        }
        Ok(())
    }
}

impl SwarmLists {
    /// Finds the lists. The shortest are chosen first, so that a long list displaces no other.
    ///
    /// # Errors
    /// Fails if `tmp/swarm` cannot be read.
    pub fn find(station: &Station) -> io::Result<Self> {
        if !station.trusts_swarm() {
            return Ok(Self::default());
        }
        let folders = swarm_folders(station)?;
        let files = folders.paths.into_iter().filter_map(|folder| {
            let list = ListFile::foreign(folder.join(Station::SWARM_FRIENDS));
            match list.signature() {
                Ok(None) => None,
                Ok(Some(state)) => Some((state.length(), list)),
                // Reading it will tell what is wrong with it.
                Err(_) => Some((0, list)),
            }
        });
        let mut found = choose(files.collect());
        found.left_out.folders = folders.passed_over;
        Ok(found)
    }
}

/// The friends lists of the other stations that are read. See [`SwarmLists`] for those that
/// are not.
///
/// # Errors
/// Fails if `tmp/swarm` cannot be read.
pub fn swarm_friends(station: &Station) -> io::Result<Vec<ListFile>> {
    Ok(SwarmLists::find(station)?.lists)
}

/// Chooses the lists to read by their lengths.
fn choose(mut files: Vec<(u64, ListFile)>) -> SwarmLists {
    // Longer lists are refused when they are opened, without being read.
    let cost = |length: u64| if length > FOREIGN_LIMIT { 0 } else { length };
    files.sort_unstable_by(|(a, one), (b, other)| (cost(*a), one).cmp(&(cost(*b), other)));
    let mut sum = 0;
    let mut found = SwarmLists::default();
    for (length, list) in files {
        sum += cost(length);
        if sum > SWARM_LIMIT {
            found.left_out.lists.push(list.path().to_owned());
        } else {
            found.lists.push(list);
        }
    }
    found.lists.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn chosen(lengths: &[u64]) -> (Vec<usize>, usize) {
        let files = lengths.iter().enumerate();
        let files = files.map(|(i, &length)| (length, ListFile::foreign(i.to_string())));
        let found = choose(files.collect());
        let names = found.lists.iter().map(|list| {
            let name = list.path().to_str().unwrap();
            name.parse().unwrap()
        });
        (names.collect(), found.left_out.lists.len())
    }

    #[test]
    fn the_shortest_lists_are_read_up_to_the_limit() {
        assert_eq!(chosen(&[]), (vec![], 0));
        assert_eq!(
            chosen(&[FOREIGN_LIMIT, 1, FOREIGN_LIMIT - 1]),
            (vec![0, 1, 2], 0)
        );
        assert_eq!(chosen(&[FOREIGN_LIMIT, 1, FOREIGN_LIMIT]), (vec![0, 1], 1));
        let hostile = [FOREIGN_LIMIT; 8];
        let (read, left_out) = chosen(&[&hostile[..], &[5000, 5000]].concat());
        assert_eq!(read, [0, 8, 9]);
        assert_eq!(left_out, 7);
        // What is never read costs nothing.
        assert_eq!(chosen(&[u64::MAX, 7, FOREIGN_LIMIT + 1]).0.len(), 3);
    }

    #[test]
    fn what_is_left_out_is_said() {
        let mut left_out = LeftOut::default();
        assert!(left_out.is_empty());
        left_out.folders = 1;
        assert_eq!(
            left_out.to_string(),
            "1 station beyond the first 20000 by name"
        );
        left_out.lists = vec!["a".into(), "b".into()];
        assert_eq!(
            left_out.to_string(),
            "1 station beyond the first 20000 by name, and 2 long lists that would bring all \
             of them above 132 MB (the first: a)"
        );
        assert!(!left_out.is_empty());
    }

    #[test]
    fn a_station_without_a_list_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let station = Station::new(dir.path());
        fs::create_dir_all(station.swarm_dir().join("A")).unwrap();
        fs::create_dir_all(station.swarm_dir().join("B/amisOfAmis.txt")).unwrap();
        let found = SwarmLists::find(&station).unwrap();
        assert_eq!(
            found.lists.len(),
            1,
            "what is no list is said when it is read"
        );
        assert!(found.left_out.is_empty());
    }
}
