//! What was learned of each peer, kept from one run to the next for an hour
//! (`strfry/constellation-peers.json`). Safe to delete.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::relay::information::Information;
use crate::whole_file;

/// For how long it is believed, in seconds.
const FRESH: u64 = 3600;

/// The layout of the file.
const VERSION: u32 = 1;

/// The largest file that is read, in bytes, and the most peers that are remembered.
const LARGEST: u64 = 8 * 1024 * 1024;
const MOST_PEERS: usize = 10_000;

/// What was learned of one peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// When, Unix seconds.
    pub learned_at: u64,
    /// Its limits, empty where it does not tell them.
    pub information: Information,
    /// Whether it could not be reached.
    pub unreachable: bool,
}

/// What is known of all peers, by URL.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Knowledge {
    version: u32,
    peers: BTreeMap<String, Known>,
}

impl Knowledge {
    /// Reads what earlier runs left; nothing where the file is missing, broken or of
    /// another version.
    pub fn load(path: &Path) -> Self {
        whole_file::read(path, LARGEST)
            .and_then(|text| serde_json::from_slice::<Self>(&text).ok())
            .filter(|knowledge| knowledge.version == VERSION)
            .unwrap_or_default()
    }

    /// What is known of a peer and still believed at `now`, Unix seconds.
    pub fn of(&self, url: &str, now: u64) -> Option<&Known> {
        let known = self.peers.get(url)?;
        // A time ahead of us was learned before the clock was set back.
        let age = now.checked_sub(known.learned_at)?;
        (age < FRESH).then_some(known)
    }

    /// Remembers something of a peer.
    pub fn learn(&mut self, url: String, known: Known) {
        self.peers.insert(url, known);
    }

    /// Writes what is still believed at `now`, whole or not at all.
    ///
    /// # Errors
    /// Those of writing.
    pub fn save(&mut self, path: &Path, now: u64) -> io::Result<()> {
        self.version = VERSION;
        self.peers.retain(|_, known| {
            now.checked_sub(known.learned_at)
                .is_some_and(|age| age < FRESH)
        });
        while self.peers.len() > MOST_PEERS {
            self.peers.pop_last();
        }
        whole_file::write(path, &serde_json::to_vec(self)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_was_learned_is_believed_for_an_hour() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peers.json");
        let known = Known {
            learned_at: 10_000,
            information: Information {
                max_limit: Some(500),
                ..Information::default()
            },
            unreachable: false,
        };
        let mut knowledge = Knowledge::load(&path);
        knowledge.learn("ws://a".to_owned(), known.clone());
        knowledge.save(&path, 10_000).unwrap();
        let knowledge = Knowledge::load(&path);
        assert_eq!(knowledge.of("ws://a", 13_599), Some(&known));
        assert_eq!(knowledge.of("ws://a", 13_600), None);
        assert_eq!(
            knowledge.of("ws://a", 9_999),
            None,
            "the clock was set back"
        );
        assert_eq!(knowledge.of("ws://b", 10_000), None);
    }

    #[test]
    fn a_broken_file_is_nothing_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peers.json");
        for text in ["", "{", "{\"version\":2,\"peers\":{}}", "[]"] {
            fs::write(&path, text).unwrap();
            assert_eq!(Knowledge::load(&path), Knowledge::default(), "{text}");
        }
    }
}
