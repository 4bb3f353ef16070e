//! Tunnels over IPFS to relays that only listen on their own machines: a single tunnel
//! ([`Tunnel`]), all tunnels of a run ([`tunnels`]), the list of those that we opened ([`ledger`]),
//! and the program that opens them ([`ipfs`]).
//!
//! The script `x_strfry.sh` beside such a station's description comes from that station. It is
//! neither run nor read.

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

/// The timeouts of a tunnel, and how often opening it is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patience {
    /// The timeout for each `ipfs` command. It only talks to the daemon of this machine, but a
    /// Raspberry Pi takes seconds to load the program from its card.
    pub command: Duration,
    /// How long to wait until the tunnel's port answers.
    pub ready: Duration,
    /// The delay before each further attempt; there is one attempt more than there are delays.
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
    /// The default timeouts, but none longer than `most`.
    pub fn within(most: Duration) -> Self {
        let usual = Self::default();
        Self {
            command: usual.command.min(most),
            ready: usual.ready.min(most),
            ..usual
        }
    }
}

/// The first delay between connection attempts to the tunnel's port; each delay is twice as long
/// as the one before.
const FIRST_WAIT: Duration = Duration::from_millis(2);
/// The longest delay between connection attempts to the tunnel's port.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// Why there is no tunnel.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// No port of this machine is free.
    #[error("no free port for a tunnel")]
    Port(#[source] io::Error),
    /// `ipfs` did not open the tunnel.
    #[error(transparent)]
    Ipfs(#[from] IpfsError),
    /// `ipfs` opened a tunnel that does not work.
    #[error("the tunnel's port {0} did not answer within {1:?}")]
    Deaf(u16, Duration),
    /// This command opens no tunnels.
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

/// An open tunnel. [`Tunnel::close`] closes it. If it is dropped instead, it stays in the ledger,
/// which closes it at the end.
#[derive(Debug)]
pub(crate) struct Tunnel {
    port: u16,
    ipfs: Ipfs,
    ledger: Arc<Ledger>,
}

impl Tunnel {
    /// Opens a tunnel to the relay of `peer`, and waits until its port answers.
    ///
    /// # Errors
    /// [`TunnelError`] of the last attempt; no tunnel is open then.
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
            // Another program took the port in the meantime; try a different one.
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
            // The tunnel may have been opened before the command was killed.
            IpfsError::Slow(..) => tunnel.close().await,
            // If anything listens there now, it is not ours.
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

    /// The TCP port of this machine on which the tunnel listens.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Closes the tunnel. If that fails, it is logged, and the next run tries again.
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
