//! Tunnels over IPFS to relays that only listen on their own machines: one of them
//! ([`Tunnel`]), all of a run's ([`tunnels`]), which of them are ours ([`ledger`]), and
//! the program that makes them ([`ipfs`]).
//!
//! The script `x_strfry.sh` that lies beside such a station's description is foreign: it
//! is never run, nor read.

pub(crate) mod ipfs;
pub(crate) mod ledger;
pub(crate) mod tunnels;

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{debug, warn};

use crate::relay::peer_id::PeerId;
use crate::support::error_chain::chain;
use ipfs::{Ipfs, IpfsError};
use ledger::Ledger;

/// How long is waited for what, and how often a tunnel is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patience {
    /// For each command of `ipfs`. It only speaks to the daemon of this machine, but a
    /// Raspberry Pi takes seconds to load it from its card.
    pub command: Duration,
    /// Until the port answers.
    pub ready: Duration,
    /// Before each further attempt; there is one attempt more than there are waits.
    pub waits: Vec<Duration>,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            command: Duration::from_secs(10),
            ready: Duration::from_secs(10),
            waits: [5, 10].map(Duration::from_secs).to_vec(),
        }
    }
}

impl Patience {
    /// The usual one, but nothing takes longer than `most`.
    pub fn within(most: Duration) -> Self {
        let usual = Self::default();
        Self {
            command: usual.command.min(most),
            ready: usual.ready.min(most),
            ..usual
        }
    }
}

/// Between what waits a port is tried that does not answer yet.
const FIRST_WAIT: Duration = Duration::from_millis(2);
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// Why there is no tunnel.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// No port of this machine is free.
    #[error("no free port for a tunnel")]
    Port(#[source] io::Error),
    /// `ipfs` opens none.
    #[error(transparent)]
    Ipfs(#[from] IpfsError),
    /// It said that it opened one.
    #[error("the tunnel's port {0} did not answer within {1:?}")]
    Deaf(u16, Duration),
    /// Tunnels are for runs that close them again.
    #[error("no tunnels are opened here")]
    Unwanted,
}

impl TunnelError {
    /// The stable word for it in logs and reports.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Port(_) => "tunnel_port",
            Self::Ipfs(IpfsError::Start(..)) => "ipfs_missing",
            Self::Ipfs(IpfsError::Exit { .. }) => "ipfs_refused",
            Self::Ipfs(IpfsError::Slow(..)) => "ipfs_silent",
            Self::Deaf(..) => "tunnel_silent",
            Self::Unwanted => "tunnel_unwanted",
        }
    }

    const fn is_worth_another_try(&self) -> bool {
        !matches!(
            self,
            Self::Ipfs(IpfsError::Start(..)) | Self::Port(_) | Self::Unwanted
        )
    }
}

/// An open tunnel. [`Tunnel::close`] ends it; one that is dropped stays in its ledger,
/// which has it closed.
#[derive(Debug)]
pub(crate) struct Tunnel {
    port: u16,
    ipfs: Ipfs,
    ledger: Arc<Ledger>,
}

impl Tunnel {
    /// Opens a tunnel to the relay of `peer`, and waits until it answers.
    ///
    /// # Errors
    /// [`TunnelError`] of the last attempt; nothing is open then.
    pub(crate) async fn open(
        peer: &PeerId,
        ipfs: &Ipfs,
        ledger: &Arc<Ledger>,
        patience: &Patience,
    ) -> Result<Self, TunnelError> {
        let mut waits = patience.waits.iter();
        loop {
            let error = match Self::try_open(peer, ipfs, ledger, patience.ready).await {
                Ok(tunnel) => return Ok(tunnel),
                Err(error) => error,
            };
            let Some(wait) = waits.next().filter(|_| error.is_worth_another_try()) else {
                return Err(error);
            };
            let cause = chain(&error);
            warn!("no tunnel to {peer} yet: {cause}; another attempt follows in {wait:?}");
            sleep(*wait).await;
        }
    }

    async fn try_open(
        peer: &PeerId,
        ipfs: &Ipfs,
        ledger: &Arc<Ledger>,
        ready: Duration,
    ) -> Result<Self, TunnelError> {
        let first = Self::forward(peer, ipfs, ledger, false).await;
        let tunnel = match first {
            // Somebody else was faster; there are more ports.
            Err((port, TunnelError::Ipfs(IpfsError::Exit { .. }))) if !ledger::is_free(port) => {
                let second = Self::forward(peer, ipfs, ledger, true).await;
                second.map_err(|(_, error)| error)?
            }
            first => first.map_err(|(_, error)| error)?,
        };
        if tunnel.answers(ready).await {
            debug!("the tunnel to {peer} listens on port {}", tunnel.port);
            return Ok(tunnel);
        }
        let port = tunnel.port;
        tunnel.close().await;
        Err(TunnelError::Deaf(port, ready))
    }

    async fn forward(
        peer: &PeerId,
        ipfs: &Ipfs,
        ledger: &Arc<Ledger>,
        unusual_port: bool,
    ) -> Result<Self, (u16, TunnelError)> {
        let reserved = ledger.reserve(peer, unusual_port);
        let port = reserved.map_err(|error| (0, TunnelError::Port(error)))?;
        let tunnel = Self {
            port,
            ipfs: ipfs.clone(),
            ledger: Arc::clone(ledger),
        };
        let Err(error) = ipfs.forward(peer, port).await else {
            return Ok(tunnel);
        };
        match &error {
            // Whether it opened before it was killed is unknown.
            IpfsError::Slow(..) => tunnel.close().await,
            // What may listen there now is not ours.
            IpfsError::Start(..) | IpfsError::Exit { .. } => ledger.remove(port),
        }
        Err((port, error.into()))
    }

    async fn answers(&self, ready: Duration) -> bool {
        let deadline = Instant::now() + ready;
        let mut wait = FIRST_WAIT;
        loop {
            let connecting = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
            match timeout_at(deadline, connecting).await {
                Ok(Ok(_)) => return true,
                Ok(Err(_)) if Instant::now() + wait < deadline => sleep(wait).await,
                Ok(Err(_)) | Err(_) => return false,
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// The TCP port of this machine that it listens on.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Ends it. Where `ipfs` does not, that is said, and the next start tries again.
    pub(crate) async fn close(self) {
        close(&self.ipfs, &self.ledger, self.port).await;
    }
}

async fn close(ipfs: &Ipfs, ledger: &Ledger, port: u16) {
    match ipfs.close(port).await {
        Ok(()) => ledger.remove(port),
        Err(error) => {
            ledger.give_up(port);
            let cause = chain(&error);
            warn!("the tunnel on port {port} may still be open: {cause}; the next run tries again");
        }
    }
}
