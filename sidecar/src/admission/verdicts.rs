//! [`Verdicts`]: who is blocked at the moment, as the gate and the import both ask it.

use std::collections::BTreeSet;
use std::sync::Arc;

use constellation_shared::Pubkey;
use futures_util::future::BoxFuture;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::spawn_blocking;
use tracing::error;

use crate::strfry::import::BlockedAuthors;
use crate::swarm::blocked_now::BlockedNow;

/// The one [`BlockedNow`] of a run, shared by the tasks of its pipeline.
#[derive(Debug, Clone)]
pub(crate) struct Verdicts(Arc<Mutex<BlockedNow>>);

impl Verdicts {
    /// Shares what a run knows of the lists.
    pub(crate) fn new(blocked: BlockedNow) -> Self {
        Self(Arc::new(Mutex::new(blocked)))
    }

    /// Waits until the lists have been checked if that is due. Returns `None` if it cannot be
    /// found out who is blocked; no event may pass then.
    pub(super) async fn current(&self) -> Option<OwnedMutexGuard<BlockedNow>> {
        let mut blocked = Arc::clone(&self.0).lock_owned().await;
        if !blocked.is_due() {
            return Some(blocked);
        }
        // Reading the lists blocks on files.
        let refreshed = spawn_blocking(move || {
            blocked.refresh();
            blocked
        });
        let refreshed = refreshed.await;
        refreshed
            .inspect_err(|error| error!("the import ended unexpectedly: {error}"))
            .ok()
    }
}

impl BlockedAuthors for Verdicts {
    fn among(&self, authors: BTreeSet<Pubkey>) -> BoxFuture<'_, Option<BTreeSet<Pubkey>>> {
        Box::pin(async move {
            let blocked = self.current().await?;
            let authors = authors.into_iter();
            Some(authors.filter(|author| blocked.contains(author)).collect())
        })
    }
}
