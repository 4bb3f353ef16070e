//! The files of a station, all below one folder (`~/.zen` by default).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::settings::ListSettings;
use crate::verdict::Strangers;

/// The folder of a station, and the names of the files and folders below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Station {
    root: PathBuf,
    lists: ListSettings,
    settings: Option<PathBuf>,
}

/// The station's folder is unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no station folder: HOME is not set, so ~/.zen is unknown; set HOME, pass --zen DIR or set CONSTELLATION_ZEN"
)]
pub struct NoRoot;

impl Station {
    /// The station in this folder, which need not exist.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            lists: ListSettings::default(),
            settings: None,
        }
    }

    /// The station in the folder `zen` if that is given, otherwise in `.zen` below `home`. An empty
    /// path counts as not given.
    ///
    /// # Errors
    /// [`NoRoot`] if neither is given.
    pub fn locate(zen: Option<PathBuf>, home: Option<OsString>) -> Result<Self, NoRoot> {
        if let Some(zen) = zen.filter(|zen| !zen.as_os_str().is_empty()) {
            return Ok(Self::new(zen));
        }
        let home = home.filter(|home| !home.is_empty()).ok_or(NoRoot)?;
        Ok(Self::new(Path::new(&home).join(".zen")))
    }

    /// The station with these settings of its lists.
    #[must_use]
    pub fn with_lists(self, lists: ListSettings) -> Self {
        Self { lists, ..self }
    }

    /// The station with its settings in this file, if one is given; an empty path counts as not given.
    #[must_use]
    pub fn with_settings_file(self, file: Option<PathBuf>) -> Self {
        let given = file.filter(|file| !file.as_os_str().is_empty());
        let settings = given.map(|file| std::path::absolute(&file).unwrap_or(file));
        Self { settings, ..self }
    }

    /// Whether somebody said which file holds the settings.
    pub const fn has_given_settings_file(&self) -> bool {
        self.settings.is_some()
    }

    /// The file with the settings of both programs.
    pub fn settings_file(&self) -> PathBuf {
        let usual = || self.root.join("strfry/constellation.toml");
        self.settings.clone().unwrap_or_else(usual)
    }

    /// The station's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// strfry's folder, with its executable, configuration and database, the lists, and our
    /// state files.
    pub fn strfry_dir(&self) -> PathBuf {
        self.root.join("strfry")
    }

    /// The list of the keys that may not write.
    pub fn blacklist(&self) -> PathBuf {
        let usual = || self.root.join("strfry/blacklist.txt");
        self.lists.blacklist.clone().unwrap_or_else(usual)
    }

    /// The lists of this station's friends of friends.
    pub fn friend_lists(&self) -> Vec<PathBuf> {
        let usual = || vec![self.root.join("strfry/amisOfAmis.txt")];
        self.lists.amis.clone().unwrap_or_else(usual)
    }

    /// Whether the friends of other stations count.
    pub fn trusts_swarm(&self) -> bool {
        self.lists.swarm.unwrap_or(true)
    }

    /// What authors may write who are in no list.
    pub fn strangers(&self) -> Strangers {
        self.lists.strangers.unwrap_or_default()
    }

    /// The list that friends of friends are added to: the first of those that count.
    pub fn friends(&self) -> PathBuf {
        let first = self.friend_lists().into_iter().next();
        first.unwrap_or_else(|| self.root.join("strfry/amisOfAmis.txt"))
    }

    /// The folder that contains one folder for each other station, downloaded from it.
    pub fn swarm_dir(&self) -> PathBuf {
        self.root.join("tmp/swarm")
    }

    /// The file name of another station's friends list.
    pub const SWARM_FRIENDS: &'static str = "amisOfAmis.txt";

    /// The file name of another station's description.
    pub const SWARM_DESCRIPTION: &'static str = "12345.json";

    /// The file name of the script whose presence says that another station offers an IPFS
    /// tunnel.
    pub const SWARM_TUNNEL: &'static str = "x_strfry.sh";

    /// The folder that contains one folder for each local member.
    pub fn members_dir(&self) -> PathBuf {
        self.root.join("game/nostr")
    }

    /// The folder that contains the geographic keys, at any depth.
    pub fn flashmem_dir(&self) -> PathBuf {
        self.root.join("flashmem")
    }

    /// The file name of the pubkey of a member, of a place, or of a station's node.
    pub const HEX: &'static str = "HEX";

    /// The file name of the pubkey of another station's captain.
    pub const HEX_CAPTAIN: &'static str = "HEX_CAPTAIN";

    /// The folder that this station publishes, if its IPFS id is this. `None` if the id cannot be
    /// the name of a folder.
    pub fn published_dir(&self, node_id: &str) -> Option<PathBuf> {
        let is_name =
            !node_id.is_empty() && node_id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_name.then(|| self.root.join("tmp").join(node_id))
    }

    /// The log to which the filters' output is appended.
    pub fn filter_log(&self) -> PathBuf {
        self.root.join("tmp/strfry.log")
    }

    /// The folder in which other programs look for profiles.
    pub fn profiles_dir(&self) -> PathBuf {
        self.root.join("tmp/coucou")
    }

    /// The usual folder of kubo (IPFS), beside the station's folder.
    pub fn ipfs_dir(&self) -> PathBuf {
        self.root.parent().unwrap_or(Path::new("/")).join(".ipfs")
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
    fn files_are_where_the_station_s_scripts_put_them() {
        let station = Station::new("/home/captain/.zen");
        let at = |path: &str| PathBuf::from(format!("/home/captain/{path}"));
        assert_eq!(station.strfry_dir(), at(".zen/strfry"));
        assert_eq!(station.profiles_dir(), at(".zen/tmp/coucou"));
        assert_eq!(station.blacklist(), at(".zen/strfry/blacklist.txt"));
        assert_eq!(station.friends(), at(".zen/strfry/amisOfAmis.txt"));
        assert_eq!(station.swarm_dir(), at(".zen/tmp/swarm"));
        assert_eq!(station.members_dir(), at(".zen/game/nostr"));
        assert_eq!(station.flashmem_dir(), at(".zen/flashmem"));
        assert_eq!(station.ipfs_dir(), at(".ipfs"));
        assert_eq!(station.filter_log(), at(".zen/tmp/strfry.log"));
        assert_eq!(
            station.published_dir("12D3Koo"),
            Some(at(".zen/tmp/12D3Koo"))
        );
        for id in ["", "..", "a/b", "."] {
            assert_eq!(station.published_dir(id), None, "{id}");
        }
    }
}
