//! One attempt to get everything from a peer: by reconciliation if the relay offers it, and page
//! by page otherwise.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
use tracing::info;

use crate::admission::intake::Intake;
use crate::backfill::compare::CompareError;
use crate::backfill::paging::fetch;
use crate::backfill::reconciliation::{self, PeerReconciler, Reconciliation, ReconciliationError};
use crate::backfill::session::Session;
use crate::backfill::session::failure::{AttemptError, ReconcileAttemptError};
use crate::backfill::session::progress::Progress;
use crate::relay::connection::{ConnectError, Connection, Stream};
use crate::relay::nip11::Information;
use crate::relay::pager::Pager;
use crate::support::error_chain::chain;

/// How long a connection may be idle before it is replaced: relays and the proxies in front of
/// them drop idle ones.
const IDLE: Duration = Duration::from_secs(10);

impl Session {
    /// Learns the relay's limits, and fetches what is still missing: by reconciliation, or page by
    /// page if the relay does not reconcile.
    pub(super) async fn try_once(
        &self,
        intake: &mut Intake,
        progress: &mut Progress,
    ) -> Result<(), AttemptError> {
        let information = match &progress.information {
            Some(information) => information.clone(),
            None => {
                let information = self.information().await?;
                progress.information = Some(information.clone());
                information
            }
        };
        if let Some(reconciliation) = &self.reconciliation
            && reconciliation::is_fit(&information)
            && !progress.is_unfit
            && !self.manners.never_reconciles(progress.now)
        {
            let reconciled = self.reconcile(reconciliation, intake, progress, &information);
            match reconciled.await {
                Ok(()) => return Ok(()),
                Err(ReconcileAttemptError::Attempt(error)) => return Err(error),
                Err(ReconcileAttemptError::Unfit(error)) => {
                    progress.never_reconciles |= error.is_for_good();
                    let error = chain(&error);
                    info!("{}: {error}; its events are paged through", self.shown());
                    progress.is_unfit = true;
                    // It may cover only a part.
                    progress.pager = None;
                }
            }
        }
        self.page(intake, progress, &information).await
    }

    /// Pages through everything that is wanted.
    async fn page(
        &self,
        intake: &mut Intake,
        progress: &mut Progress,
        information: &Information,
    ) -> Result<(), AttemptError> {
        let mut connection = self.open().await?;
        let all = || {
            let windows = self.wanted.windows(information);
            let windows = match &self.resumption {
                Some(resumption) => resumption.windows(windows),
                None => windows,
            };
            self.wanted.pager(windows, information)
        };
        self.walk(&mut connection, intake, progress, all).await?;
        connection.close().await;
        Ok(())
    }

    /// Finds out which events the relay has and we lack, and fetches this peer's share of them.
    async fn reconcile(
        &self,
        reconciliation: &Reconciliation,
        intake: &mut Intake,
        progress: &mut Progress,
        information: &Information,
    ) -> Result<(), ReconcileAttemptError> {
        if !reconciliation.look_up(&self.wanted).await {
            let error = CompareError::NothingToCompare;
            return Err(ReconcileAttemptError::Unfit(error));
        }
        let mut connection = self.open().await?;
        let waiting = Instant::now();
        let _turn = reconciliation.turn().await;
        if waiting.elapsed() > IDLE {
            connection.close().await;
            connection = self.open().await?;
        }
        let reconciler = self.reconciler(reconciliation, information);
        let reconciled = progress
            .reconciliation
            .get_or_insert_with(|| reconciliation::Progress::new(&reconciler));
        let result = reconciled
            .reconcile(&mut connection, &reconciler, intake, || self.bar.inc(1))
            .await;
        if let Err(ReconciliationError::Unfit(_)) = result {
            reconciliation.claims.leave(self.index);
        }
        result?;
        let to_walk = reconciled.to_walk.clone();
        if !to_walk.is_empty() {
            let rest = || self.wanted.pager(to_walk, information);
            self.walk(&mut connection, intake, progress, rest).await?;
        }
        reconciler.name_undelivered(&mut connection).await;
        connection.close().await;
        Ok(())
    }

    fn reconciler<'a>(
        &'a self,
        reconciliation: &'a Reconciliation,
        information: &'a Information,
    ) -> PeerReconciler<'a> {
        PeerReconciler {
            reconciliation,
            wanted: &self.wanted,
            peer: self.index,
            url: self.address.to_string(),
            information,
            patience: self.patience,
            unwanted_bytes: AtomicU64::new(0),
        }
    }

    /// Pages through what is left of the pager's windows; without a pager yet, `begin` makes one.
    async fn walk<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        connection: &mut Connection<S>,
        intake: &mut Intake,
        progress: &mut Progress,
        begin: impl FnOnce() -> Pager,
    ) -> Result<(), AttemptError> {
        let pager = progress.pager.get_or_insert_with(begin);
        pager.begin_within(self.manners.bounds(progress.now), progress.now);
        pager.reconnected();
        let bar = &self.bar;
        fetch(connection, pager, intake, self.patience, || bar.inc(1)).await?;
        Ok(())
    }

    /// Opens a connection whose bytes are counted. From then on, the peer counts as reached.
    pub(super) async fn open(&self) -> Result<Connection<Box<dyn Stream>>, AttemptError> {
        let opened = self.connector.open(&self.address).await;
        if matches!(opened, Ok(_) | Err(ConnectError::Busy { .. })) {
            self.traffic.reach();
        }
        let connection = opened?;
        Ok(connection.counted_in(Arc::clone(&self.traffic)))
    }
}
