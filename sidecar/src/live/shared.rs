//! [`Shared`]: what all connections of `live` share.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::timeout;

use crate::backfill::situation::Situation;
use crate::live::conductor::Conductor;
use crate::live::inlet::Inlet;
use crate::relay::connection::Connector;
use crate::relay::message::Head;
use crate::report::live_state::{LiveState, Newest};
use crate::support::clock::unix_time;
use crate::support::mutex::lock;

/// How many peers are caught up with at the same time.
const AT_ONCE: usize = 2;

/// A peer waits at most this long for those that are caught up with before it.
const MOST_WAIT: Duration = Duration::from_secs(3);

/// What all connections share.
#[derive(Clone)]
pub(super) struct Shared {
    /// Opens connections to relays.
    pub(super) connector: Connector,
    /// How long a peer may make no progress before it is given up.
    pub(super) patience: Duration,
    /// Whether what was missed is reconciled (NIP-77) where a relay can.
    pub(super) reconciles: bool,
    /// Decides of which peers events are pushed.
    pub(super) conductor: Arc<Conductor>,
    /// The way into strfry.
    pub(super) inlet: Arc<Inlet>,
    /// Who is wanted, and of whom it could be had.
    pub(super) situations: watch::Receiver<Arc<Situation>>,
    pub(super) turns: Arc<Semaphore>,
    /// How it goes, for other programs.
    pub(super) board: Arc<Mutex<LiveState>>,
}

impl Shared {
    /// Connections that share these.
    pub(super) fn new(
        connector: Connector,
        conductor: Arc<Conductor>,
        inlet: Arc<Inlet>,
        situations: watch::Receiver<Arc<Situation>>,
        state: LiveState,
    ) -> Self {
        Self {
            patience: Duration::from_secs(30),
            reconciles: true,
            connector,
            conductor,
            inlet,
            situations,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            board: Arc::new(Mutex::new(state)),
        }
    }

    /// Who is wanted at the moment.
    pub(super) fn situation(&self) -> Arc<Situation> {
        Arc::clone(&self.situations.borrow())
    }

    /// Waits for a turn to catch up with a peer, which lasts until the permit is dropped; not for long
    /// if those before are slow.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // Only fails once the semaphore is closed, which nobody does.
        timeout(MOST_WAIT, self.turns.acquire()).await.ok()?.ok()
    }

    /// Notes that an event of the peer with this relay came, which is new to us or not.
    pub(super) fn arrived(&self, url: &str, event: &Head, is_new: bool) {
        if is_new {
            self.inlet.count(1);
        }
        let mut board = lock(&self.board);
        board.peer(url).events += 1;
        if is_new {
            board.events += 1;
            let is_newest = board
                .newest
                .is_none_or(|newest| newest.created_at <= event.created_at);
            if is_newest {
                board.newest = Some(Newest {
                    created_at: event.created_at,
                    lag: unix_time().saturating_sub(event.created_at),
                });
            }
        }
    }
}
