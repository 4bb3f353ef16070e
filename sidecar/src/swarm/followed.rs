//! [`Followed`]: the pubkeys whose events this station wants.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use constellation_shared::list_file::{self, ListFile};
use constellation_shared::swarm_lists;
use constellation_shared::verdict::{Standing, Verdict};
use constellation_shared::wot::{Faults, KeySet};
use constellation_shared::{Pubkey, Station};
use tracing::warn;

use crate::swarm::peer::Description;

/// How many folders deep below `flashmem` the search for `HEX` files goes.
const DEEPEST: usize = 16;

/// How many pubkeys of another station's list are followed at most: ten times as many as the
/// largest known constellation has.
pub(crate) const MOST_OF_A_STATION: usize = 50_000;

/// How many pubkeys of all other stations' lists together are followed at most.
const MOST_OF_THE_SWARM: usize = 50_000;

/// How long the blacklist must stay unchanged before it counts as complete.
const REST: Duration = Duration::from_millis(20);
/// How often the blacklist is read again while it keeps changing.
const MOST_READINGS: u32 = 25;

/// The pubkeys that a run follows and those that it blocks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Followed {
    /// The pubkeys whose events are wanted, in ascending order.
    pub keys: Vec<Pubkey>,
    /// The pubkeys whose events are refused.
    pub blocked: KeySet,
    /// How many `HEX` files with a pubkey there are, of members and of geographic keys.
    pub hex_files: usize,
}

/// The blacklist exists but cannot be read, so that it is unknown who is blocked.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0} cannot be read; nothing is synced until it can, for blocked authors would come in; check what it is and who may read it"
)]
pub(crate) struct BlacklistUnreadable(String, #[source] std::io::Error);

impl BlacklistUnreadable {
    pub(crate) fn new(blacklist: &ListFile, error: std::io::Error) -> Self {
        Self(blacklist.path().display().to_string(), error)
    }
}

/// Reads all lists: members, friends, friends of other stations, captains and nodes of the
/// described stations, and geographic keys. Blocked pubkeys are left out. A list that cannot be
/// read causes a warning and counts as empty. `kept_friends` count as friends although no list has
/// them.
///
/// # Errors
/// [`BlacklistUnreadable`].
pub(crate) fn followed(
    station: &Station,
    descriptions: &[Description],
    kept_friends: &BTreeSet<Pubkey>,
) -> Result<Followed, BlacklistUnreadable> {
    let blacklist = ListFile::blacklist(station.blacklist());
    let blacklisted =
        keys_at_rest(&blacklist).map_err(|error| BlacklistUnreadable::new(&blacklist, error))?;
    let mut friends = own_friends(station);
    let mut swarm = SwarmKeys::new(MOST_OF_THE_SWARM);
    for list in folder_or_none(swarm_lists::swarm_friends(station), &station.swarm_dir()) {
        let keys = keys_or_none(&list);
        // A pardon counts even beyond the bound on followed pubkeys.
        friends.extend(keys.intersection(&blacklisted));
        swarm.add(at_most(MOST_OF_A_STATION, keys, list.path()).collect());
    }
    friends.extend(swarm.into_fair_shares());
    friends.extend(kept_friends);
    let mut hex_files = 0;
    let mut members = BTreeSet::new();
    for list in folder_or_none(list_file::member_keys(station), &station.members_dir()) {
        let keys = keys_or_none(&list);
        hex_files += usize::from(!keys.is_empty());
        members.extend(keys);
    }
    let mut keys: BTreeSet<Pubkey> = members.union(&friends).copied().collect();
    for list in geographic_keys(station) {
        let found = keys_or_none(&list);
        hex_files += usize::from(!found.is_empty());
        keys.extend(found);
    }
    for description in descriptions {
        keys.extend(description.captain);
        keys.extend(description.node);
    }
    let verdict = |key: &Pubkey| {
        Standing {
            blocked: blacklisted.contains(key),
            friend: friends.contains(key),
            member: members.contains(key),
        }
        .verdict()
    };
    keys.retain(|key| verdict(key) != Verdict::Block);
    let blocked = blacklisted
        .iter()
        .filter(|key| verdict(key) == Verdict::Block);
    Ok(Followed {
        blocked: blocked.copied().collect(),
        keys: keys.into_iter().collect(),
        hex_files,
    })
}

/// The station's own friends of friends. A list that cannot be read is logged, and counts as empty.
pub(crate) fn own_friends(station: &Station) -> BTreeSet<Pubkey> {
    let lists = station.friend_lists().into_iter().map(ListFile::own);
    lists.flat_map(|list| keys_or_none(&list)).collect()
}

/// The keys on each list of friends: on our own, whose name is empty, and on those of other stations,
/// by the names of their folders.
pub(crate) type FriendLists = BTreeMap<String, BTreeSet<Pubkey>>;

/// Reads all lists of friends that count. One that cannot be read counts as empty, and nothing is
/// logged.
pub(crate) fn friend_lists(station: &Station) -> FriendLists {
    let keys = |list: &ListFile| Keys::read(list).map(|read| read.keys).unwrap_or_default();
    let own = station.friend_lists().into_iter().map(ListFile::own);
    let own = own.flat_map(|list| keys(&list)).collect();
    let mut lists = FriendLists::from([(String::new(), own)]);
    for list in swarm_lists::swarm_friends(station).unwrap_or_default() {
        let folder = list.path().parent().and_then(Path::file_name);
        let name = folder.unwrap_or_default().to_string_lossy().into_owned();
        lists.insert(name, keys(&list));
    }
    lists
}

/// The pubkeys on a list; none if there is no such list. Its faulty lines are logged.
///
/// # Errors
/// If the list exists and cannot be read.
pub(crate) fn keys_of(list: &ListFile) -> std::io::Result<BTreeSet<Pubkey>> {
    let Keys { keys, faults } = Keys::read(list)?;
    if !faults.is_empty() {
        warn!("{}: {faults}", list.path().display());
    }
    Ok(keys)
}

/// What a list holds.
pub(crate) struct Keys {
    /// Its pubkeys.
    pub keys: BTreeSet<Pubkey>,
    /// Its lines that hold none.
    pub faults: Faults,
}

impl Keys {
    /// Reads a list without logging its faults; nothing if there is no such list.
    ///
    /// # Errors
    /// If the list exists and cannot be read.
    pub(crate) fn read(list: &ListFile) -> std::io::Result<Self> {
        let mut keys = BTreeSet::new();
        let mut faults = Faults::default();
        if let Some(open) = list.open()? {
            faults = open.read(|_, key| {
                keys.insert(key);
            })?;
        }
        Ok(Self { keys, faults })
    }
}

/// The pubkeys on other stations' lists, up to a bound. Every list has the same share of it, and
/// other lists get what one does not use, so that no list crowds out another.
#[derive(Debug)]
struct SwarmKeys {
    most: usize,
    lists: Vec<BTreeSet<Pubkey>>,
    held: usize,
    /// How many pubkeys were cut off.
    cut: usize,
}

impl SwarmKeys {
    const fn new(most: usize) -> Self {
        Self {
            most,
            lists: Vec::new(),
            held: 0,
            cut: 0,
        }
    }

    fn add(&mut self, keys: BTreeSet<Pubkey>) {
        self.held += keys.len();
        self.lists.push(keys);
        // This bounds memory, and still leaves each list more than its final share.
        if self.held > self.most.saturating_mul(4) {
            self.cut_to(self.most.saturating_mul(2));
        }
    }

    /// Cuts the longest lists until all lists together have at most `most` pubkeys.
    fn cut_to(&mut self, most: usize) {
        self.lists.sort_by_key(BTreeSet::len);
        let (mut room, mut left) = (most, self.lists.len());
        for list in &mut self.lists {
            let share = room / left.max(1);
            if list.len() > share {
                self.cut += list.len() - share;
                *list = std::mem::take(list).into_iter().take(share).collect();
            }
            room -= list.len();
            left -= 1;
        }
        self.held = most - room;
    }

    fn into_fair_shares(mut self) -> BTreeSet<Pubkey> {
        if self.held > self.most {
            self.cut_to(self.most);
        }
        if self.cut > 0 {
            warn!(
                "the other stations' lists name more than {} keys: {} of them, those of the longest lists, will not be followed",
                self.most, self.cut
            );
        }
        self.lists.into_iter().flatten().collect()
    }
}

/// At most `most` of the pubkeys on another station's list. A longer list would fill this
/// station's database and memory.
pub(crate) fn at_most(
    most: usize,
    keys: BTreeSet<Pubkey>,
    path: &Path,
) -> impl Iterator<Item = Pubkey> {
    if keys.len() > most {
        warn!(
            "{}: of its {} keys only {most} will be followed, the most of one station",
            path.display(),
            keys.len()
        );
    }
    keys.into_iter().take(most)
}

/// Reads a list that may be in the middle of a rewrite, as `sort -o` empties a file first. Reads
/// again until the file has not changed in between.
pub(crate) fn keys_at_rest(list: &ListFile) -> std::io::Result<BTreeSet<Pubkey>> {
    let mut before = list.signature()?;
    let mut keys = keys_of(list)?;
    let mut changed = false;
    for _ in 0..MOST_READINGS {
        thread::sleep(REST);
        let after = list.signature()?;
        if after == before {
            return if changed { keys_of(list) } else { Ok(keys) };
        }
        changed = true;
        before = after;
        keys.extend(keys_of(list)?);
    }
    // The file keeps changing: every pubkey that was seen in it counts.
    Ok(keys)
}

pub(crate) fn keys_or_none(list: &ListFile) -> BTreeSet<Pubkey> {
    keys_of(list).unwrap_or_else(|error| {
        warn!(
            "{} cannot be read: {error}; its keys do not count",
            list.path().display()
        );
        BTreeSet::new()
    })
}

pub(crate) fn folder_or_none(
    found: std::io::Result<Vec<ListFile>>,
    folder: &Path,
) -> Vec<ListFile> {
    found.unwrap_or_else(|error| {
        warn!(
            "{} cannot be read: {error}; its keys do not count",
            folder.display()
        );
        Vec::new()
    })
}

/// All `HEX` files of geographic keys.
pub(crate) fn geographic_keys(station: &Station) -> Vec<ListFile> {
    let mut found = Vec::new();
    find_hex_files(&station.flashmem_dir(), DEEPEST, &mut found);
    found
}

fn find_hex_files(folder: &Path, depth: usize, found: &mut Vec<ListFile>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_dir() && depth > 0 {
            find_hex_files(&entry.path(), depth - 1, found);
        } else if entry.file_name() == Station::HEX {
            found.push(ListFile::own(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Pubkey {
        Pubkey::from_bytes([byte; 32])
    }

    fn write(station: &Station, path: &str, keys: &[u8]) {
        let path = station.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let lines: String = keys
            .iter()
            .map(|&byte| format!("{}\n", key(byte)))
            .collect();
        fs::write(path, lines).unwrap();
    }

    #[test]
    fn every_source_counts_once_and_the_blocked_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let station = Station::new(dir.path());
        write(&station, "game/nostr/a@b.org/HEX", &[1]);
        // Of clients that proved to hold a key, and of nobody: hidden.
        write(&station, "game/nostr/.pubkey_7/HEX", &[7, 10]);
        write(&station, "tmp/swarm/.old/amisOfAmis.txt", &[9, 10]);
        write(&station, "strfry/amisOfAmis.txt", &[1, 2, 8]);
        write(&station, "tmp/swarm/12D3KooA/amisOfAmis.txt", &[3]);
        write(&station, "flashmem/48.8/2.3/HEX", &[4, 7]);
        write(&station, "strfry/blacklist.txt", &[1, 7, 8, 9]);
        let described = [
            Description {
                captain: Some(key(5)),
                node: Some(key(6)),
                ..Description::default()
            },
            Description {
                captain: Some(key(5)),
                node: Some(key(9)),
                ..Description::default()
            },
        ];
        let followed = followed(&station, &described, &BTreeSet::new()).unwrap();
        assert_eq!(followed.keys, [1, 2, 3, 4, 5, 6, 8].map(key));
        assert_eq!(followed.blocked.as_slice(), [7, 9].map(key));
        assert_eq!(followed.hex_files, 2);
    }

    #[test]
    fn the_blacklist_is_read_as_the_policy_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let station = Station::new(dir.path());
        write(&station, "strfry/amisOfAmis.txt", &[]);
        write(&station, "flashmem/48.8/2.3/HEX", &[1]);
        write(&station, "flashmem/48.8/2.4/HEX", &[2]);
        write(&station, "flashmem/48.8/2.5/HEX", &[3]);
        let glued = format!("\0{} spam\n{}{}\n", key(1), key(2), key(4));
        fs::write(station.blacklist(), glued).unwrap();
        let followed = followed(&station, &[], &BTreeSet::new()).unwrap();
        assert_eq!(followed.keys, [key(3)]);
        assert_eq!(followed.blocked.as_slice(), [1, 2, 4].map(key));
    }

    #[test]
    fn no_station_s_list_crowds_out_the_others() {
        let numbered = |from: u32, count: u32| -> BTreeSet<Pubkey> {
            let number = |number: u32| {
                let mut bytes = [0; 32];
                bytes[..4].copy_from_slice(&number.to_be_bytes());
                Pubkey::from_bytes(bytes)
            };
            (from..from + count).map(number).collect()
        };
        let mut swarm = SwarmKeys::new(1000);
        let honest = [numbered(900_000, 10), numbered(910_000, 150)];
        swarm.add(honest[0].clone());
        for station in 0..20 {
            swarm.add(numbered(station * 1000, 900));
            assert!(swarm.held <= 4000, "{}", swarm.held);
        }
        swarm.add(honest[1].clone());
        let followed = swarm.into_fair_shares();
        assert!((950..=1000).contains(&followed.len()), "{}", followed.len());
        assert!(followed.is_superset(&honest[0]));
        // Its share, which is that of each of the twenty.
        let of_the_other = followed.intersection(&honest[1]).count();
        assert!((40..=50).contains(&of_the_other), "{of_the_other}");
    }

    #[test]
    fn a_station_s_list_is_cut_at_a_number() {
        let keys: BTreeSet<Pubkey> = (0..9).map(key).collect();
        assert_eq!(at_most(9, keys.clone(), Path::new("")).count(), 9);
        assert_eq!(at_most(8, keys, Path::new("")).count(), 8);
    }

    #[test]
    fn an_unreadable_blacklist_stops_everything() {
        let dir = tempfile::tempdir().unwrap();
        let station = Station::new(dir.path());
        fs::create_dir_all(station.blacklist()).unwrap();
        assert!(followed(&station, &[], &BTreeSet::new()).is_err());
    }
}
