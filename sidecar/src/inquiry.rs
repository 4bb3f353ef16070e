//! [`Inquiry`]: whom a look at the constellation may ask, and how. Nothing is fetched for
//! keeps, and no tunnel is opened unless that is wanted.

use std::sync::Arc;
use std::time::Duration;

use crate::error::SyncError;
use crate::peer::{self, Description, PassedOver, Peer};
use crate::relay::connection::Connector;
use crate::run::Run;
use crate::tunnel::Patience;
use crate::tunnel::tunnels::Tunnels;

/// How long a connection or a tunnel may take to come about.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whom to ask, and how.
pub struct Inquiry {
    /// How to reach them.
    pub connector: Connector,
    /// These; all that `--peer` names, else those of the swarm.
    pub peers: Vec<Peer>,
    /// Why others are not asked.
    pub passed_over: Vec<PassedOver>,
    /// What the stations of the swarm say of themselves.
    pub descriptions: Vec<Description>,
    /// Our own peer id, where it is known.
    pub own_node: Option<String>,
    tunnels: Option<Arc<Tunnels>>,
}

impl Inquiry {
    /// Finds the peers of a station; those behind tunnels can only be reached where
    /// `tunnels` may be opened.
    ///
    /// # Errors
    /// [`SyncError::Certificate`].
    pub fn prepare(run: &Run, tunnels: bool) -> Result<Self, SyncError> {
        let options = &run.options;
        let connector = Connector::new(options.ca_file.as_deref())?.patient(PATIENCE);
        // With a ledger of its own: whoever loads one closes what is in it, and that of the
        // backfill may be in use.
        let tunnels = tunnels.then(|| {
            Arc::new(Tunnels::new(
                options.ipfs_program(),
                run.file("constellation-inquiry-tunnels.json"),
                Patience {
                    waits: Vec::new(),
                    ..Patience::within(PATIENCE)
                },
            ))
        });
        let connector = match &tunnels {
            Some(tunnels) => connector.with_tunnels(Arc::clone(tunnels)),
            None => connector,
        };
        let (descriptions, mut passed_over) = peer::read_descriptions(&run.station);
        let own_node = peer::own_node_id(&run.station);
        let peers = match options.peer.is_empty() {
            true => {
                let (peers, more) = peer::sort_out(&descriptions, own_node.as_deref());
                passed_over.extend(more);
                peers
            }
            false => {
                passed_over.clear();
                peer::given(&options.peer)
            }
        };
        Ok(Self {
            connector,
            peers,
            passed_over,
            descriptions,
            own_node,
            tunnels,
        })
    }

    /// Whether this peer may be asked.
    pub fn may_ask(&self, peer: &Peer) -> bool {
        self.tunnels.is_some() || peer.address.tunnel().is_none()
    }

    /// Closes what was opened.
    pub async fn close(&self) {
        if let Some(tunnels) = &self.tunnels {
            tunnels.close().await;
        }
    }
}
