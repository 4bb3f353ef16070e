//! [`Probe`]: asks peers for single events and documents, for commands that look at the
//! constellation without storing anything. Tunnels are opened only if that is wanted.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::commands::error::SyncError;
use crate::context::{Context, Recalled};
use crate::plan::recall::Kept;
use crate::relay::address::Address;
use crate::relay::connection::{ConnectError, ConnectionError, Connector};
use crate::relay::message::{self, FromRelay};
use crate::relay::objection::Objection;
use crate::relay::tunnel::Patience;
use crate::relay::tunnel::tunnels::Tunnels;
use crate::support::clock::unix_time;
use crate::support::state_file;
use crate::swarm::passed_over::PassedOver;
use crate::swarm::peer::{self, Description, Peer};
use crate::swarm::reach;
use crate::swarm::station_names::{OwnStation, StationNames};

/// How long a connection or a tunnel may take to come about.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a relay may take to answer a question.
const ANSWER_PATIENCE: Duration = Duration::from_secs(4);

/// How many events of an answer are looked at: a question is for one.
const MOST_EVENTS: usize = 20;

/// Why a relay does not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection broke, or nothing came.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// It answers clients who say who they are (NIP-42).
    #[error("it answers only clients who say who they are")]
    Kept,
    /// It refuses the question.
    #[error("it refuses a question: {0}")]
    Refused(String),
}

impl Unanswered {
    /// The stable word for it.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Connect(error) => error.code(),
            Self::Connection(error) => error.code(),
            Self::Kept => "auth_required",
            Self::Refused(_) => "refused",
        }
    }
}

/// Asks a relay for the events that a filter (NIP-01) matches, each as it sends it. The
/// filter is to match few; the first twenty count.
///
/// # Errors
/// [`Unanswered`].
pub(crate) async fn ask(
    filter: &serde_json::Value,
    address: &Address,
    connector: &Connector,
) -> Result<Vec<String>, Unanswered> {
    let mut connection = connector.open(address).await?;
    let question = serde_json::json!(["REQ", "probe", filter]);
    connection.send(question.to_string()).await?;
    let deadline = Instant::now() + ANSWER_PATIENCE;
    let mut events = Vec::new();
    while events.len() < MOST_EVENTS {
        let text = connection.receive(deadline, ANSWER_PATIENCE).await?;
        match message::parse(&text) {
            Some(FromRelay::Event { event, .. }) => events.push(event.to_owned()),
            Some(FromRelay::Eose { .. }) => break,
            Some(FromRelay::Closed { reason, .. })
                if reason.objection() == Objection::WantsAuth =>
            {
                return Err(Unanswered::Kept);
            }
            Some(FromRelay::Closed { reason, .. }) => {
                return Err(Unanswered::Refused(reason.to_string()));
            }
            _ => {}
        }
    }
    connection.close().await;
    Ok(events)
}

/// Whom to ask, and how.
pub(crate) struct Probe {
    /// How to reach them.
    pub connector: Connector,
    /// These; all that `--peer` names, else those of the swarm.
    pub peers: Vec<Peer>,
    /// Why others are not asked.
    pub passed_over: Vec<PassedOver>,
    /// What the stations of the swarm are called.
    pub names: StationNames,
    /// What the stations of the swarm say of themselves.
    pub descriptions: Vec<Description>,
    /// How many of these are not described now, but were until lately.
    pub recalled_stations: usize,
    /// The friends who keep their standing although their list lacks them.
    pub kept: Kept,
    /// This station's own IPFS peer id, if it is known.
    pub own_node: Option<String>,
    tunnels: Option<Arc<Tunnels>>,
}

impl Probe {
    /// Finds the peers of a station; those behind tunnels can only be reached where
    /// `tunnels` may be opened.
    ///
    /// # Errors
    /// [`SyncError::Prepare`].
    pub(crate) fn prepare(context: &Context, tunnels: bool) -> Result<Self, SyncError> {
        let options = &context.options;
        let guard = Arc::new(context.guard());
        let connector = Connector::new(options.ca_file.as_deref(), Arc::clone(&guard))?;
        let connector = connector.patient(PATIENCE);
        // With a ledger of its own: whoever loads one closes what is in it, and that of the
        // backfill may be in use.
        let tunnels = tunnels.then(|| {
            Arc::new(Tunnels::new(
                context.ipfs_program(),
                context.file(state_file::PROBE_TUNNELS.name),
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
        let (mut descriptions, mut passed_over) = peer::read_descriptions(&context.station);
        let Recalled { kept, stations, .. } = context.recall(&mut descriptions, unix_time());
        let own = OwnStation::find(&context.station);
        let names = StationNames::of(&descriptions, &own);
        let own_node = own.node_id;
        let mut peers = if options.peer.is_empty() {
            let (peers, more) = reach::sort_out(&descriptions, own_node.as_deref(), &guard);
            passed_over.extend(more);
            peers
        } else {
            passed_over.clear();
            peer::given(&options.peer)
        };
        names.name(&mut peers);
        Ok(Self {
            connector,
            peers,
            passed_over,
            names,
            descriptions,
            recalled_stations: stations,
            kept,
            own_node,
            tunnels,
        })
    }

    /// Whether this peer may be asked.
    pub(crate) fn may_ask(&self, peer: &Peer) -> bool {
        self.tunnels.is_some() || peer.address.tunnel().is_none()
    }

    /// Closes what was opened.
    pub(crate) async fn close(&self) {
        if let Some(tunnels) = &self.tunnels {
            tunnels.close().await;
        }
    }
}
