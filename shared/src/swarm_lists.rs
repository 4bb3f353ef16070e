//! Chooses which friends lists of other stations are read, so that this machine can bear the cost
//! of all of them together, whatever anybody sends.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::list_file::{FOREIGN_KEYS_LIMIT, FOREIGN_LIMIT, ListFile, MOST_STATIONS, swarm_folders};
use crate::station::Station;
use crate::text::counted;

/// How long all lists together may be, in bytes: enough for two million keys.
pub const SWARM_LIMIT: u64 = 132_000_000;

/// How long the files of the other stations' own keys together may be, in bytes: enough for the
/// keys of every station that is looked at, twice over.
pub const SWARM_KEYS_LIMIT: u64 = 8_000_000;

/// The friends lists of the other stations, and the files of the stations' own keys.
#[derive(Debug, Default)]
pub struct SwarmLists {
    /// The lists that are read, in ascending order of their paths.
    pub lists: Vec<ListFile>,
    /// The files of the keys of nodes and captains that are read, in ascending order of their
    /// paths. Only [`SwarmLists::find_with_keys`] looks for them.
    pub keys: Vec<ListFile>,
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
    /// The longest files of stations' own keys, without which the others are at most
    /// [`SWARM_KEYS_LIMIT`] bytes long.
    pub keys: Vec<PathBuf>,
}

impl LeftOut {
    /// Whether everything is read.
    pub const fn is_empty(&self) -> bool {
        self.folders == 0 && self.lists.is_empty() && self.keys.is_empty()
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
        let mut and = if self.folders > 0 { ", and " } else { "" };
        if let Some(first) = self.lists.first() {
            write!(
                f,
                "{and}{} that would bring all of them above {} MB (the first: {})",
                counted(self.lists.len(), "long list"),
                SWARM_LIMIT / 1_000_000,
                first.display()
            )?;
            and = ", and ";
        }
        if let Some(first) = self.keys.first() {
            write!(
                f,
                "{and}{} of stations' own keys that would bring all of them above {} MB (the first: {})",
                counted(self.keys.len(), "long file"),
                SWARM_KEYS_LIMIT / 1_000_000,
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
        Self::find_some(station, false)
    }

    /// Finds the lists, and the files `HEX` and `HEX_CAPTAIN` in which stations publish the keys of
    /// their nodes and captains.
    ///
    /// # Errors
    /// Fails if `tmp/swarm` cannot be read.
    pub fn find_with_keys(station: &Station) -> io::Result<Self> {
        Self::find_some(station, true)
    }

    fn find_some(station: &Station, with_keys: bool) -> io::Result<Self> {
        if !station.trusts_swarm() {
            return Ok(Self::default());
        }
        let folders = swarm_folders(station)?;
        let (mut lists, mut keys) = (Vec::new(), Vec::new());
        for folder in folders.paths {
            lists.extend(sized(ListFile::foreign(
                folder.join(Station::SWARM_FRIENDS),
            )));
            if with_keys {
                for name in [Station::HEX, Station::HEX_CAPTAIN] {
                    keys.extend(sized(ListFile::foreign_keys(folder.join(name))));
                }
            }
        }
        let lists = choose(lists, FOREIGN_LIMIT, SWARM_LIMIT);
        let keys = choose(keys, FOREIGN_KEYS_LIMIT, SWARM_KEYS_LIMIT);
        Ok(Self {
            lists: lists.read,
            keys: keys.read,
            left_out: LeftOut {
                folders: folders.passed_over,
                lists: lists.left_out,
                keys: keys.left_out,
            },
        })
    }
}

/// A list and its length in bytes, if it exists.
struct Sized {
    length: u64,
    list: ListFile,
}

fn sized(list: ListFile) -> Option<Sized> {
    match list.signature() {
        Ok(None) => None,
        Ok(Some(state)) => Some(Sized {
            length: state.length(),
            list,
        }),
        // Reading it will tell what is wrong with it.
        Err(_) => Some(Sized { length: 0, list }),
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

/// Which lists are read, in ascending order of their paths, and which are not.
#[derive(Debug, Default)]
struct Chosen {
    read: Vec<ListFile>,
    left_out: Vec<PathBuf>,
}

/// Chooses the lists to read by their lengths: none longer than `longest`, and all together at
/// most `limit` bytes.
fn choose(mut files: Vec<Sized>, longest: u64, limit: u64) -> Chosen {
    // Longer lists are refused when they are opened, without being read.
    let cost = |file: &Sized| {
        if file.length > longest {
            0
        } else {
            file.length
        }
    };
    files.sort_unstable_by(|a, b| (cost(a), &a.list).cmp(&(cost(b), &b.list)));
    let mut sum = 0;
    let mut chosen = Chosen::default();
    for file in files {
        sum += cost(&file);
        if sum > limit {
            chosen.left_out.push(file.list.path().to_owned());
        } else {
            chosen.read.push(file.list);
        }
    }
    chosen.read.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn chosen(lengths: &[u64]) -> (Vec<usize>, usize) {
        let files = lengths.iter().enumerate();
        let files = files.map(|(i, &length)| Sized {
            length,
            list: ListFile::foreign(i.to_string()),
        });
        let found = choose(files.collect(), FOREIGN_LIMIT, SWARM_LIMIT);
        let names = found.read.iter().map(|list| {
            let name = list.path().to_str().unwrap();
            name.parse().unwrap()
        });
        (names.collect(), found.left_out.len())
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
        let keys = LeftOut {
            keys: vec!["b".into()],
            ..LeftOut::default()
        };
        assert_eq!(
            keys.to_string(),
            "1 long file of stations' own keys that would bring all of them above 8 MB (the \
             first: b)"
        );
        assert!(!keys.is_empty());
    }

    #[test]
    fn the_keys_of_nodes_and_captains_are_found_within_their_own_limit() {
        let dir = tempfile::tempdir().unwrap();
        let station = Station::new(dir.path());
        for name in ["A", "B", "C"] {
            let folder = station.swarm_dir().join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(Station::HEX), "").unwrap();
        }
        let captain = station.swarm_dir().join("B").join(Station::HEX_CAPTAIN);
        fs::write(&captain, "").unwrap();
        let found = SwarmLists::find_with_keys(&station).unwrap();
        assert_eq!((found.keys.len(), found.lists.len()), (4, 0));
        assert!(SwarmLists::find(&station).unwrap().keys.is_empty());
        // Too long for a key: it is refused when it is opened, and costs nothing.
        let long = fs::File::create(&captain).unwrap();
        long.set_len(FOREIGN_KEYS_LIMIT + 1).unwrap();
        assert!(ListFile::foreign_keys(&captain).open().is_err());
        let found = SwarmLists::find_with_keys(&station).unwrap();
        assert_eq!(found.keys.len(), 4);
        let settings = crate::settings::ListSettings {
            swarm: Some(false),
            ..crate::settings::ListSettings::default()
        };
        let found = SwarmLists::find_with_keys(&station.with_lists(settings)).unwrap();
        assert!(found.keys.is_empty());
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
