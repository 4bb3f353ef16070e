//! Which files the lists are read from.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use constellation_shared::Station;
use constellation_shared::list_file::{self, ListFile};
use constellation_shared::swarm_lists::{LeftOut, SwarmLists};
use constellation_shared::verdict::Strangers;

use crate::lists::own_node::OwnNode;

/// The files that decide who may write.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The station, for its members and its swarm.
    pub station: Station,
    /// The keys that may not write.
    pub blacklist: PathBuf,
    /// The friends of friends of this station.
    pub friends: Vec<PathBuf>,
    /// Whether the friends of other stations count.
    pub swarm: bool,
    /// What authors may write who are in no list.
    pub strangers: Strangers,
}

impl From<Station> for Sources {
    fn from(station: Station) -> Self {
        Self {
            blacklist: station.blacklist(),
            friends: station.friend_lists(),
            swarm: station.trusts_swarm(),
            strangers: station.strangers(),
            station,
        }
    }
}

impl Sources {
    /// The station's own files that can pardon a key: friends, then members.
    pub fn own_pardoning(&self) -> Pardoning {
        let mut pardoning = Pardoning {
            files: self.friends.iter().map(ListFile::own).collect(),
            ..Pardoning::default()
        };
        match list_file::member_keys(&self.station) {
            Ok(found) => pardoning.files.extend(found),
            Err(error) => pardoning.unreadable = Some((self.station.members_dir(), error)),
        }
        pardoning
    }

    /// Whether strangers must be told from authors who are in a list, so that all keys of the lists
    /// are to be known.
    pub const fn tells_strangers(&self) -> bool {
        matches!(self.strangers, Strangers::Filters)
    }

    /// The files with the keys of this station's node and of other stations' nodes and captains, as
    /// far as they are read.
    pub fn station_keys(&self) -> Vec<ListFile> {
        let own = OwnNode::default().key(&self.station, Duration::ZERO);
        let swarm = if self.swarm {
            // If the folder cannot be read, that is said of the friends in it.
            SwarmLists::find_with_keys(&self.station)
                .unwrap_or_default()
                .keys
        } else {
            Vec::new()
        };
        own.into_iter().chain(swarm).collect()
    }

    /// The files of other stations that can pardon a key, and, if strangers must be told from others,
    /// those with the keys of other stations' nodes and captains.
    pub fn swarm_pardoning(&self) -> Pardoning {
        if !self.swarm {
            return Pardoning::default();
        }
        let found = if self.tells_strangers() {
            SwarmLists::find_with_keys(&self.station)
        } else {
            SwarmLists::find(&self.station)
        };
        match found {
            Ok(found) => Pardoning {
                files: found.lists,
                stations: found.keys,
                left_out: found.left_out,
                unreadable: None,
            },
            Err(error) => Pardoning {
                unreadable: Some((self.station.swarm_dir(), error)),
                ..Pardoning::default()
            },
        }
    }
}

/// Files that can pardon a key.
#[derive(Debug, Default)]
pub struct Pardoning {
    /// The files to read.
    pub files: Vec<ListFile>,
    /// Files with the keys of nodes and captains. They pardon nobody, but their keys are no
    /// strangers.
    pub stations: Vec<ListFile>,
    /// The files that are not read because together they are too long.
    pub left_out: LeftOut,
    /// The folder that could not be searched for files, and why.
    pub unreadable: Option<(PathBuf, io::Error)>,
}
