//! [`Recall`]: the stations of the swarm and the friends that were known a while ago
//! (`strfry/constellation-swarm.json`). The file may be deleted at any time.
//!
//! Once a day the station's scripts empty the folders of the swarm, start a backfill right behind
//! that, and delete `amisOfAmis.txt`, which is written anew over the next hour. A station whose
//! folder is empty is asked for a day as it was known, and friends who vanish together with their
//! list keep their standing for two hours.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use constellation_shared::Pubkey;
use serde::{Deserialize, Serialize};

use crate::support::state_file::SWARM;
use crate::swarm::followed::FriendLists;
use crate::swarm::peer::Description;
use crate::swarm::station_name::StationName;

/// The version of the file's format.
const VERSION: u32 = 1;

/// How long a station is remembered whose folder is empty, in seconds.
const STATION_REMEMBERED: u64 = 24 * 3600;

/// How long friends keep their standing who vanished with their list, in seconds.
pub(crate) const FRIENDS_REMEMBERED: u64 = 2 * 3600;

/// How many stations are remembered at most.
const MOST_STATIONS: usize = 2_000;

/// How many keys of lists are remembered at most.
const MOST_KEYS: usize = 100_000;

/// The length of a key in the file.
const DIGITS: usize = 64;

/// What was known of the swarm and of friends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recall {
    version: u32,
    /// The stations by the names of their folders.
    stations: BTreeMap<String, Known>,
    /// The lists of friends: our own, whose name is empty, and those of other stations.
    lists: BTreeMap<String, Remembered>,
}

/// A station as its folder described it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    relay: String,
    node_id: String,
    captain: Option<String>,
    node: Option<String>,
    offers_tunnel: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hostname: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    captain_email: Option<String>,
    /// When its folder was last seen so, in Unix seconds.
    seen_at: u64,
}

/// A list of friends before it vanished.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    /// Its keys in hex, one after the other.
    keys: String,
    /// When it was first seen without most of them, in Unix seconds.
    vanished_at: Option<u64>,
}

/// The friends who keep their standing although their list lacks them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The friends.
    pub keys: BTreeSet<Pubkey>,
    /// Until when the first of them keep it, in Unix seconds.
    pub until: Option<u64>,
}

impl Recall {
    /// Reads the file; nothing if it is missing, broken or of another version.
    pub(crate) fn load(path: &Path) -> Self {
        let text = SWARM.read(path);
        let recall = text.and_then(|text| serde_json::from_slice::<Self>(&text).ok());
        let known = recall.filter(|recall| recall.version == VERSION);
        Self {
            version: VERSION,
            ..known.unwrap_or_default()
        }
    }

    /// Remembers the stations that are described at `now`, in Unix seconds, and adds those that were
    /// until lately. Returns how many were added.
    pub(crate) fn stations(&mut self, descriptions: &mut Vec<Description>, now: u64) -> usize {
        let is_fresh = |known: &Known| {
            let age = now.checked_sub(known.seen_at);
            age.is_some_and(|age| age < STATION_REMEMBERED)
        };
        self.stations.retain(|_, known| is_fresh(known));
        let mut described: BTreeSet<&str> = BTreeSet::new();
        for description in descriptions.iter() {
            if let Some(known) = Known::of(description, now) {
                described.insert(&description.folder);
                if self.stations.len() < MOST_STATIONS
                    || self.stations.contains_key(&description.folder)
                {
                    self.stations.insert(description.folder.clone(), known);
                }
            }
        }
        let gone = self.stations.iter();
        let gone = gone.filter(|(folder, _)| !described.contains(folder.as_str()));
        let gone: Vec<Description> = gone.map(|(folder, known)| known.describe(folder)).collect();
        let count = gone.len();
        let is_gone = |folder: &str| gone.iter().any(|description| description.folder == folder);
        descriptions.retain(|description| !is_gone(&description.folder));
        descriptions.extend(gone);
        count
    }

    /// Remembers the friends on these lists at `now`, in Unix seconds. Returns those who vanished
    /// lately together with their list.
    pub(crate) fn friends(&mut self, lists: &FriendLists, now: u64) -> Kept {
        let mut kept = Kept::default();
        let nothing = BTreeSet::new();
        let names: BTreeSet<String> = self.lists.keys().chain(lists.keys()).cloned().collect();
        let mut room = MOST_KEYS;
        for name in names {
            let here = lists.get(&name).unwrap_or(&nothing);
            let remembered = self.lists.entry(name.clone()).or_default();
            if let Some(until) = remembered.update(here, now) {
                kept.keys
                    .extend(remembered.keys().filter(|key| !here.contains(key)));
                kept.until = Some(kept.until.map_or(until, |first| first.min(until)));
            }
            let length = remembered.keys.len() / DIGITS;
            if length == 0 || length > room {
                self.lists.remove(&name);
            } else {
                room -= length;
            }
        }
        kept
    }

    /// Writes the file atomically.
    ///
    /// # Errors
    /// If the file cannot be written; it is then unchanged.
    pub(crate) fn save(&mut self, path: &Path) -> io::Result<()> {
        let count = |recall: &Self| recall.stations.len() + recall.lists.len();
        SWARM.write_json(path, self, count, |recall, surplus| {
            for _ in 0..surplus {
                // Our own list comes first.
                if recall.lists.len() > 1 || recall.stations.is_empty() {
                    recall.lists.pop_last();
                } else {
                    recall.stations.pop_last();
                }
            }
        })
    }
}

impl Known {
    /// What is remembered of a station; `None` if it cannot be asked.
    fn of(description: &Description, now: u64) -> Option<Self> {
        let text = |text: Option<&str>| text.map(ToOwned::to_owned);
        Some(Self {
            relay: description.relay.clone()?,
            node_id: description.node_id.clone()?,
            captain: description.captain.map(|key| key.to_hex()),
            node: description.node.map(|key| key.to_hex()),
            offers_tunnel: description.offers_tunnel,
            hostname: text(description.name.as_ref().and_then(StationName::host)),
            captain_email: text(description.name.as_ref().and_then(StationName::captain)),
            seen_at: now,
        })
    }

    fn describe(&self, folder: &str) -> Description {
        let key = |text: &Option<String>| text.as_ref()?.parse().ok();
        Description {
            folder: folder.to_owned(),
            relay: Some(self.relay.clone()),
            node_id: Some(self.node_id.clone()),
            captain: key(&self.captain),
            node: key(&self.node),
            name: StationName::new(self.hostname.as_deref(), self.captain_email.as_deref()),
            offers_tunnel: self.offers_tunnel,
        }
    }
}

impl Remembered {
    fn keys(&self) -> impl Iterator<Item = Pubkey> {
        let chunks = self.keys.as_bytes().chunks(DIGITS);
        chunks.filter_map(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
    }

    /// Takes note of what the list holds now. Returns until when it counts with all that it held, if
    /// it has vanished: it lacks more than half of its keys. A single key that is removed is gone at
    /// once.
    fn update(&mut self, here: &BTreeSet<Pubkey>, now: u64) -> Option<u64> {
        let before: BTreeSet<Pubkey> = self.keys().collect();
        let still = before.intersection(here).count();
        let has_vanished = 2 * still < before.len();
        let is_being_rebuilt = self.vanished_at.is_some() && still < before.len();
        if has_vanished || is_being_rebuilt {
            let vanished_at = *self.vanished_at.get_or_insert(now);
            let until = vanished_at.saturating_add(FRIENDS_REMEMBERED);
            // A clock that was set back says nothing.
            if (vanished_at..until).contains(&now) {
                return Some(until);
            }
        }
        self.keys = here.iter().map(Pubkey::to_hex).collect();
        self.vanished_at = None;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;
    const HOUR: u64 = 3600;

    fn station(folder: &str, relay: Option<&str>) -> Description {
        Description {
            folder: folder.to_owned(),
            relay: relay.map(ToOwned::to_owned),
            node_id: Some(folder.to_owned()),
            captain: Some(key(9)),
            name: StationName::new(Some("saturne"), Some("a@example.org")),
            offers_tunnel: true,
            ..Description::default()
        }
    }

    fn key(byte: u8) -> Pubkey {
        Pubkey::from_bytes([byte; 32])
    }

    fn keys(bytes: std::ops::Range<u8>) -> BTreeSet<Pubkey> {
        bytes.map(key).collect()
    }

    fn saved(recall: &mut Recall) -> Recall {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("swarm.json");
        recall.save(&path).unwrap();
        Recall::load(&path)
    }

    #[test]
    fn a_station_whose_folder_is_empty_is_known_for_a_day() {
        let mut recall = Recall::load(Path::new("/nonexistent"));
        let all = vec![station("A", Some("ws://a")), station("B", Some("ws://b"))];
        let mut now = all.clone();
        assert_eq!(recall.stations(&mut now, NOW), 0);
        assert_eq!(now, all);
        let mut recall = saved(&mut recall);
        // One is starting up and says nothing of its relay, the other is gone.
        let mut now = vec![station("B", None), station("C", Some("ws://c"))];
        assert_eq!(recall.stations(&mut now, NOW + 23 * HOUR), 2);
        let mut expected = vec![station("C", Some("ws://c"))];
        expected.extend(all);
        assert_eq!(now, expected);
        let mut now = Vec::new();
        assert_eq!(recall.stations(&mut now, NOW + 24 * HOUR), 1, "only C");
        assert_eq!(
            recall.stations(&mut Vec::new(), NOW - 1),
            0,
            "the clock was set back"
        );
    }

    #[test]
    fn friends_keep_their_standing_for_two_hours_after_their_list_has_gone() {
        let own = |keys| FriendLists::from([(String::new(), keys)]);
        let mut recall = Recall::load(Path::new("/nonexistent"));
        let mut kept = |keys, now| {
            recall = saved(&mut recall);
            recall.friends(&own(keys), now).keys
        };
        let none = BTreeSet::new;
        assert_eq!(kept(keys(0..10), NOW), none());
        // One that is removed is gone at once.
        assert_eq!(kept(keys(0..9), NOW + HOUR), none());
        assert_eq!(kept(none(), NOW + 2 * HOUR), keys(0..9));
        assert_eq!(kept(keys(0..3), NOW + 3 * HOUR), keys(3..9));
        // Most are back, and the rest still counts.
        assert_eq!(kept(keys(0..8), NOW + 4 * HOUR - 1), keys(8..9));
        assert_eq!(kept(keys(0..8), NOW + 4 * HOUR), none());
        assert_eq!(kept(keys(0..7), NOW + 5 * HOUR), none());
        // Another cycle, in which all of them come back.
        assert_eq!(kept(none(), NOW + 20 * HOUR), keys(0..7));
        assert_eq!(kept(keys(0..12), NOW + 21 * HOUR), none());
        assert_eq!(kept(keys(0..11), NOW + 22 * HOUR), none());
    }

    #[test]
    fn the_lists_of_other_stations_vanish_with_their_folders() {
        let mut recall = Recall::load(Path::new("/nonexistent"));
        let lists = |names: &[&str]| -> FriendLists {
            let lists = names.iter().zip(0_u8..);
            lists
                .map(|(name, number)| ((*name).to_owned(), keys(10 * number..10 * number + 5)))
                .collect()
        };
        recall.friends(&lists(&["", "A", "B"]), NOW);
        let kept = recall.friends(&lists(&["", "A"]), NOW + HOUR);
        assert_eq!(
            (kept.keys, kept.until),
            (keys(20..25), Some(NOW + 3 * HOUR))
        );
        assert_eq!(
            recall.friends(&lists(&["", "A"]), NOW + 3 * HOUR),
            Kept::default()
        );
        assert_eq!(recall.lists.len(), 2, "nothing is left of B");
    }

    #[test]
    fn what_is_remembered_is_bounded_and_a_broken_file_is_empty() {
        let mut recall = Recall::load(Path::new("/nonexistent"));
        let mut many: Vec<Description> = (0..3 * MOST_STATIONS)
            .map(|number| station(&number.to_string(), Some("ws://a")))
            .collect();
        recall.stations(&mut many, NOW);
        assert_eq!(
            (recall.stations.len(), many.len()),
            (MOST_STATIONS, 3 * MOST_STATIONS)
        );
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("swarm.json");
        for text in ["", "{", "[]", "{\"version\":9}"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(Recall::load(&path).stations.len(), 0, "{text}");
        }
    }
}
