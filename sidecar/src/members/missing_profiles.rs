//! [`MissingProfiles`]: the pubkeys whose profile nobody had, remembered for about a day
//! (`strfry/constellation-missing-profiles.json`). The file may be deleted.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use constellation_shared::Pubkey;
use serde::{Deserialize, Serialize};

use crate::support::state_file::MISSING_PROFILES;

/// For how long nobody is asked again, in seconds: an hour less than a day, so that a
/// daily run that begins a little earlier than the last one still asks.
const FRESH: u64 = 23 * 3600;

/// The layout of the file.
const VERSION: u32 = 1;

/// The most pubkeys that are remembered.
const MOST_PUBKEYS: usize = 20_000;

/// When a profile was asked for without success, and why there was none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Vain {
    /// When, Unix seconds.
    pub asked_at: u64,
    /// Why there is none, in plain words.
    pub reason: String,
}

/// All of them, by pubkey.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MissingProfiles {
    version: u32,
    pubkeys: BTreeMap<String, Vain>,
    /// Who was asked for last: the next run goes on behind that key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_turn: Option<String>,
}

impl MissingProfiles {
    /// Reads what earlier runs left; nothing where the file is missing, broken or of
    /// another version.
    pub(crate) fn load(path: &Path) -> Self {
        MISSING_PROFILES
            .read(path)
            .and_then(|text| serde_json::from_slice::<Self>(&text).ok())
            .filter(|missing| missing.version == VERSION)
            .unwrap_or_default()
    }

    /// Why this pubkey's profile is not asked for at `now`, Unix seconds; nothing where it
    /// may be.
    pub(crate) fn of(&self, key: &Pubkey, now: u64) -> Option<&Vain> {
        let vain = self.pubkeys.get(&key.to_hex())?;
        is_fresh(vain, now).then_some(vain)
    }

    /// Remembers that nobody had the profile.
    pub(crate) fn remember(&mut self, key: &Pubkey, vain: Vain) {
        self.pubkeys.insert(key.to_hex(), vain);
    }

    /// Who had the last turn of an earlier run.
    pub(crate) fn last_turn(&self) -> Option<Pubkey> {
        self.last_turn.as_ref()?.parse().ok()
    }

    /// Remembers who had the last turn of this run.
    pub(crate) fn set_last_turn(&mut self, key: &Pubkey) {
        self.last_turn = Some(key.to_hex());
    }

    /// Forgets it: its profile is there.
    pub(crate) fn forget(&mut self, key: &Pubkey) {
        self.pubkeys.remove(&key.to_hex());
    }

    /// Writes what still counts at `now`, whole or not at all.
    ///
    /// # Errors
    /// If writing fails.
    pub(crate) fn save(&mut self, path: &Path, now: u64) -> io::Result<()> {
        self.version = VERSION;
        self.pubkeys.retain(|_, vain| is_fresh(vain, now));
        self.forget_oldest(self.pubkeys.len().saturating_sub(MOST_PUBKEYS));
        let count = |missing: &Self| missing.pubkeys.len();
        MISSING_PROFILES.write_json(path, self, count, Self::forget_oldest)
    }

    fn forget_oldest(&mut self, surplus: usize) {
        if surplus == 0 {
            return;
        }
        let age = |(key, vain): (&String, &Vain)| (vain.asked_at, key.clone());
        let mut oldest: Vec<(u64, String)> = self.pubkeys.iter().map(age).collect();
        oldest.sort_unstable();
        for (_, key) in oldest.iter().take(surplus) {
            self.pubkeys.remove(key);
        }
    }
}

fn is_fresh(vain: &Vain, now: u64) -> bool {
    // A time ahead of us was noted before the clock was set back.
    now.checked_sub(vain.asked_at)
        .is_some_and(|age| age < FRESH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn key(number: u32) -> Pubkey {
        let mut bytes = [7; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        Pubkey::from_bytes(bytes)
    }

    fn vain(asked_at: u64) -> Vain {
        Vain {
            asked_at,
            reason: "nobody has it".to_owned(),
        }
    }

    #[test]
    fn nobody_is_asked_twice_within_a_day() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("missing.json");
        let mut missing = MissingProfiles::load(&path);
        missing.remember(&key(1), vain(100_000));
        missing.remember(&key(2), vain(100_000));
        missing.forget(&key(2));
        missing.save(&path, 100_000).unwrap();
        let missing = MissingProfiles::load(&path);
        assert_eq!(
            missing.of(&key(1), 100_000 + FRESH - 1),
            Some(&vain(100_000))
        );
        assert_eq!(missing.of(&key(1), 100_000 + FRESH), None);
        assert_eq!(missing.of(&key(1), 99_999), None, "the clock was set back");
        assert_eq!(missing.of(&key(2), 100_000), None);
    }

    #[test]
    fn a_broken_file_is_nothing_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("missing.json");
        for text in ["", "{", "{\"version\":2,\"pubkeys\":{}}", "[]"] {
            fs::write(&path, text).unwrap();
            let missing = MissingProfiles::load(&path);
            assert_eq!(missing, MissingProfiles::default(), "{text}");
        }
    }

    #[test]
    fn the_file_does_not_grow_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("missing.json");
        let mut missing = MissingProfiles::default();
        for number in 0..20_050 {
            missing.remember(&key(number), vain(1000 + u64::from(number) / 100));
        }
        missing.save(&path, 2000).unwrap();
        assert!(fs::metadata(&path).unwrap().len() < MISSING_PROFILES.most_bytes);
        let missing = MissingProfiles::load(&path);
        assert_eq!(missing.pubkeys.len(), MOST_PUBKEYS);
        assert!(missing.of(&key(20_049), 2000).is_some());
    }
}
