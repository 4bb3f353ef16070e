//! [`Tunnels`]: all tunnels of a run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use tokio::sync::OnceCell;
use tracing::{info, warn};

use crate::relay::peer_id::PeerId;
use crate::relay::tunnel::ipfs::{Ipfs, IpfsProgram, listen_address, service};
use crate::relay::tunnel::ledger::{Entry, Ledger};
use crate::relay::tunnel::{Patience, Tunnel, TunnelError, close};
use crate::support::mutex::lock;

type Slot = Arc<OnceCell<Tunnel>>;

/// Opens each tunnel when it is first needed, and closes all of them at the end.
///
/// If it is dropped without [`Tunnels::close`], the ledger starts closing the open tunnels.
#[derive(Debug)]
pub struct Tunnels {
    ipfs: Ipfs,
    patience: Patience,
    ledger: Arc<Ledger>,
    slots: Mutex<BTreeMap<PeerId, Slot>>,
}

impl Tunnels {
    /// No tunnels yet. They will be opened by this program; the file at `ledger_path` lists those that
    /// an earlier run left open.
    pub fn new(program: IpfsProgram, ledger_path: PathBuf, patience: Patience) -> Self {
        let ipfs = Ipfs::new(program, patience.command);
        Self {
            ledger: Arc::new(Ledger::load(ledger_path, ipfs.clone())),
            ipfs,
            patience,
            slots: Mutex::default(),
        }
    }

    /// Closes the tunnels that a killed run left open, if the daemon still has exactly those.
    pub async fn sweep(&self) {
        let left = self.ledger.entries();
        if left.is_empty() {
            return;
        }
        let listed = self.ipfs.list().await;
        let is_gone = |entry: &Entry| match &listed {
            Ok(listed) => !listed.iter().any(|listener| {
                listener.service == service(&entry.peer)
                    && listener.listen_address == listen_address(entry.port)
            }),
            // Unknown; closing will show.
            Err(_) => false,
        };
        let (gone, open): (Vec<_>, Vec<_>) = left.into_iter().partition(is_gone);
        for entry in gone {
            self.ledger.remove(entry.port);
        }
        for entry in &open {
            let Entry { port, peer, .. } = entry;
            info!("the tunnel to {peer} on port {port} was left by an earlier run: it is closed");
        }
        self.close_each(open).await;
    }

    /// The port of this machine that leads to the relay of `peer`. Opens the tunnel unless it is
    /// open already.
    ///
    /// # Errors
    /// [`TunnelError`]; a later call tries again.
    pub async fn port(&self, peer: &PeerId) -> Result<u16, TunnelError> {
        let slot = {
            let mut slots = lock(&self.slots);
            Arc::clone(slots.entry(peer.clone()).or_default())
        };
        let opening = || Tunnel::open(peer, &self.ipfs, &self.ledger, &self.patience);
        let tunnel = slot.get_or_try_init(opening).await?;
        Ok(tunnel.port())
    }

    /// Closes a tunnel whose port no longer answers, so that the next call opens a new one.
    pub async fn discard(&self, peer: &PeerId, port: u16) {
        let is_it = |slot: &Slot| slot.get().is_some_and(|tunnel| tunnel.port() == port);
        {
            let mut slots = lock(&self.slots);
            if !slots.get(peer).is_some_and(is_it) {
                return;
            }
            slots.remove(peer);
        }
        warn!("the tunnel to {peer} on port {port} no longer answers: it is closed");
        close(&self.ipfs, &self.ledger, port).await;
    }

    /// Closes every tunnel that is open or may be open, including any that was about to be opened.
    pub async fn close(&self) {
        {
            let mut slots = lock(&self.slots);
            slots.clear();
        }
        let mut entries = self.ledger.entries();
        entries.retain(|entry| !entry.given_up);
        self.close_each(entries).await;
    }

    async fn close_each(&self, entries: Vec<Entry>) {
        let closing = entries
            .into_iter()
            .map(|entry| close(&self.ipfs, &self.ledger, entry.port));
        join_all(closing).await;
    }
}
