//! The station's files, all below one root (`~/.zen` unless told otherwise).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::settings::ListSettings;

/// The root of a station, and the names of what lies below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Station {
    root: PathBuf,
    lists: ListSettings,
}

/// There is no root to work on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no station folder: HOME is not set, so ~/.zen is unknown; set HOME, pass --zen DIR or set CONSTELLATION_ZEN"
)]
pub struct NoRoot;

impl Station {
    /// The station below this folder; whether it exists is not checked.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            lists: ListSettings::default(),
        }
    }

    /// The station below `zen` where that was given, else below `home`/.zen. An empty
    /// value counts as none.
    ///
    /// # Errors
    /// [`NoRoot`] where neither is there.
    pub fn locate(zen: Option<PathBuf>, home: Option<OsString>) -> Result<Self, NoRoot> {
        if let Some(zen) = zen.filter(|zen| !zen.as_os_str().is_empty()) {
            return Ok(Self::new(zen));
        }
        let home = home.filter(|home| !home.is_empty()).ok_or(NoRoot)?;
        Ok(Self::new(Path::new(&home).join(".zen")))
    }

    /// The same station with other lists.
    #[must_use]
    pub fn with_lists(self, lists: ListSettings) -> Self {
        Self { lists, ..self }
    }

    /// What both programs are told by a file.
    pub fn settings_file(&self) -> PathBuf {
        self.root.join("strfry/constellation.toml")
    }

    /// The root itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// strfry's folder: its binary, its conf, its database, the lists and our state.
    pub fn strfry_dir(&self) -> PathBuf {
        self.root.join("strfry")
    }

    /// The keys that may not write.
    pub fn blacklist(&self) -> PathBuf {
        let usual = || self.root.join("strfry/blacklist.txt");
        self.lists.blacklist.clone().unwrap_or_else(usual)
    }

    /// The lists of this station's friends of friends.
    pub fn friend_lists(&self) -> Vec<PathBuf> {
        let usual = || vec![self.friends()];
        self.lists.amis.clone().unwrap_or_else(usual)
    }

    /// Whether the friends of other stations count.
    pub fn trusts_swarm(&self) -> bool {
        self.lists.swarm.unwrap_or(true)
    }

    /// This station's friends of friends, as its scripts write them.
    pub fn friends(&self) -> PathBuf {
        self.root.join("strfry/amisOfAmis.txt")
    }

    /// The folder with a folder for each other station, all of foreign content.
    pub fn swarm_dir(&self) -> PathBuf {
        self.root.join("tmp/swarm")
    }

    /// The name of a station's friends list in its folder of the swarm.
    pub const SWARM_FRIENDS: &'static str = "amisOfAmis.txt";

    /// The name of a station's description in its folder of the swarm.
    pub const SWARM_DESCRIPTION: &'static str = "12345.json";

    /// The name of the script whose presence says that a station offers an IPFS tunnel.
    pub const SWARM_TUNNEL: &'static str = "x_strfry.sh";

    /// The folder with a folder for each local member.
    pub fn members_dir(&self) -> PathBuf {
        self.root.join("game/nostr")
    }

    /// The folder below which, at any depth, geographic keys lie.
    pub fn flashmem_dir(&self) -> PathBuf {
        self.root.join("flashmem")
    }

    /// The name of the file that holds a member's or a geographic pubkey.
    pub const HEX: &'static str = "HEX";

    /// The folder in which others look for the profiles.
    pub fn profiles_dir(&self) -> PathBuf {
        self.root.join("tmp/coucou")
    }

    /// The configuration of kubo (IPFS), beside the root.
    pub fn ipfs_config(&self) -> PathBuf {
        self.root
            .parent()
            .unwrap_or(Path::new("/"))
            .join(".ipfs/config")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_given_folder_wins_over_home() {
        let home = || Some(OsString::from("/home/captain"));
        assert_eq!(
            Station::locate(Some("/data/zen".into()), home()),
            Ok(Station::new("/data/zen"))
        );
        assert_eq!(
            Station::locate(Some(PathBuf::new()), home()),
            Ok(Station::new("/home/captain/.zen"))
        );
        assert_eq!(Station::locate(None, Some(OsString::new())), Err(NoRoot));
        assert_eq!(Station::locate(None, None), Err(NoRoot));
    }

    #[test]
    fn files_lie_where_the_station_s_scripts_put_them() {
        let station = Station::new("/home/captain/.zen");
        let at = |path: &str| PathBuf::from(format!("/home/captain/{path}"));
        assert_eq!(station.strfry_dir(), at(".zen/strfry"));
        assert_eq!(station.profiles_dir(), at(".zen/tmp/coucou"));
        assert_eq!(station.blacklist(), at(".zen/strfry/blacklist.txt"));
        assert_eq!(station.friends(), at(".zen/strfry/amisOfAmis.txt"));
        assert_eq!(station.swarm_dir(), at(".zen/tmp/swarm"));
        assert_eq!(station.members_dir(), at(".zen/game/nostr"));
        assert_eq!(station.flashmem_dir(), at(".zen/flashmem"));
        assert_eq!(station.ipfs_config(), at(".ipfs/config"));
    }
}
