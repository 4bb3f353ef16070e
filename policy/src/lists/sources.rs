//! Which files the lists are read from.

use std::io;
use std::path::PathBuf;

use constellation_shared::Station;
use constellation_shared::list_file::{self, ListFile};
use constellation_shared::swarm_lists::{LeftOut, SwarmLists};

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
}

impl From<Station> for Sources {
    fn from(station: Station) -> Self {
        Self {
            blacklist: station.blacklist(),
            friends: station.friend_lists(),
            swarm: station.trusts_swarm(),
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

    /// The files of other stations that can pardon a key.
    pub fn swarm_pardoning(&self) -> Pardoning {
        if !self.swarm {
            return Pardoning::default();
        }
        match SwarmLists::find(&self.station) {
            Ok(found) => Pardoning {
                files: found.lists,
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
    /// The files that are not read because together they are too long.
    pub left_out: LeftOut,
    /// The folder that could not be searched for files, and why.
    pub unreadable: Option<(PathBuf, io::Error)>,
}
