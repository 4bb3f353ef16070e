//! [`PassedOver`]: why a station of the swarm is not asked.

use std::io;
use std::path::Path;

use constellation_shared::counted;
use constellation_shared::list_file::MOST_STATIONS;
use tracing::warn;

use crate::relay::address::{Address, AddressError};
use crate::relay::peer_id::NoPeerId;

/// Why a station of the swarm is not asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PassedOver {
    /// The folder of all stations cannot be read.
    #[error("{0} cannot be read: {1}")]
    Swarm(String, io::Error),
    /// There are more folders than are looked at.
    #[error(
        "{n} of the swarm passed over: only the first {MOST_STATIONS} by name are looked at; delete folders of tmp/swarm that are no station's",
        n = counted(*.0, "station")
    )]
    TooMany(u64),
    /// Its description cannot be read.
    #[error("{0} is passed over: {1}")]
    Unreadable(String, io::Error),
    /// Its description is no JSON object.
    #[error("{0} is passed over: not a JSON object")]
    NoObject(String),
    /// The address of its relay is invalid.
    #[error("peer {0:?} is passed over: its myRELAY is {1}")]
    Relay(String, AddressError),
    /// Its relay listens only on its own machine, and it offers no tunnel.
    #[error(
        "peer {0:?} is passed over: {1} listens on its own machine only, and it offers no tunnel"
    )]
    NoTunnel(String, Address),
    /// The address is that of this station's own relay.
    #[error("peer {0:?} is passed over: {1} is this station's own relay")]
    Own(String, Address),
    /// The address belongs to this machine or to a private network.
    #[error(
        "peer {0:?} is passed over: {1} is an address of this machine or of a private network; --allow-private-peers allows it"
    )]
    Private(String, Address),
    /// Its node id is invalid.
    #[error("peer {0:?} is passed over: its ipfsnodeid {1:?} is {2}")]
    NodeId(String, String, NoPeerId),
}

impl PassedOver {
    /// Whether it is about the station with this folder in `tmp/swarm`.
    pub(crate) fn is_of(&self, folder: &str) -> bool {
        match self {
            Self::Swarm(..) | Self::TooMany(_) => false,
            Self::Unreadable(path, _) | Self::NoObject(path) => {
                let path = Path::new(path).parent();
                path.and_then(Path::file_name)
                    .is_some_and(|name| name.to_string_lossy() == folder)
            }
            Self::Relay(name, ..)
            | Self::NoTunnel(name, ..)
            | Self::Own(name, ..)
            | Self::Private(name, ..)
            | Self::NodeId(name, ..) => name == folder,
        }
    }
}

/// Logs each of them.
pub(crate) fn warn_of(passed_over: Vec<PassedOver>) {
    for why in passed_over {
        warn!("{why}");
    }
}
