//! Everything that is wanted of one peer: connect, ask, and try again where it breaks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use constellation_shared::counted;
use indicatif::ProgressBar;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{error, info, warn};

use crate::admission::counts::{Counts, Tally};
use crate::admission::intake::{Admission, Intake, PeerIndex};
use crate::backfill::compare::CompareError;
use crate::backfill::paging::{FetchError, fetch};
use crate::backfill::reconciliation::{self, PeerReconciler, Reconciliation, ReconciliationError};
use crate::backfill::stop::Stop;
use crate::plan::peer_memory::KnownLimits;
use crate::plan::wanted::{RESTRICTED_KINDS, Wanted};
use crate::relay::address::Address;
use crate::relay::connection::{
    ConnectError, Connection, ConnectionError, Connector, OWN_RELAY, Stream,
};
use crate::relay::nip11::{Information, InformationError};
use crate::relay::pager::Pager;
use crate::relay::traffic::Traffic;
use crate::report::PeerReport;
use crate::support::backoff::{MOST_ATTEMPTS, wait_after};
use crate::support::error_chain::chain;

/// For how long a connection may lie idle before it is made anew: relays and the proxies
/// before them forget idle ones.
const IDLE: Duration = Duration::from_secs(10);

/// Why one attempt did not bring everything.
#[derive(Debug, thiserror::Error)]
enum AttemptError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

/// Why not everything came of a peer that was talked to.
#[derive(Debug, thiserror::Error)]
enum Shortfall {
    #[error("it shows kinds {0:?} only to clients who say who they are (NIP-42)")]
    Kept(Vec<u16>),
    #[error("it holds what could not be had: {0}")]
    Gap(String),
    #[error("it holds what could not be had: {0}; and {1} more of the kind")]
    Gaps(String, usize),
}

impl Shortfall {
    const fn code(&self) -> &'static str {
        match self {
            Self::Kept(_) => "auth_required",
            Self::Gap(_) | Self::Gaps(..) => "gap",
        }
    }
}

/// Why reconciliation did not bring everything.
enum SessionError {
    /// The relay does not do it.
    Unfit(CompareError),
    /// Something that paging would meet as well.
    Attempt(AttemptError),
}

impl From<AttemptError> for SessionError {
    fn from(error: AttemptError) -> Self {
        Self::Attempt(error)
    }
}

impl AttemptError {
    fn code(&self) -> &'static str {
        match self {
            Self::Connect(error) => error.code(),
            Self::Fetch(error) => error.code(),
        }
    }

    const fn is_worth_another_try(&self) -> bool {
        match self {
            Self::Connect(error) => error.is_worth_another_try(),
            Self::Fetch(error) => error.is_worth_another_try(),
        }
    }

    const fn is_silence(&self) -> bool {
        matches!(
            self,
            Self::Fetch(FetchError::Connection(ConnectionError::Silent(_)))
        )
    }
}

/// One peer's session.
pub struct Session {
    /// The peer's number in the run.
    pub index: PeerIndex,
    /// What the sessions share about reconciliation; nothing where all is paged through.
    pub reconciliation: Option<Arc<Reconciliation>>,
    /// The address of its relay.
    pub address: Address,
    /// What an earlier run learned of it.
    pub known: Option<KnownLimits>,
    /// How to reach it.
    pub connector: Connector,
    /// Where its events are counted.
    pub tally: Tally,
    /// Where its bytes are counted.
    pub traffic: Arc<Traffic>,
    /// What ends it early.
    pub stop: Stop,
    /// Where its events go.
    pub admission: Arc<Admission>,
    /// What is wanted of it.
    pub wanted: Arc<Wanted>,
    /// How long the peer may make no progress before it is given up.
    pub patience: Duration,
    /// Whether it is not tried again once that has passed.
    pub silence_ends_it: bool,
    /// Where progress is shown.
    pub bar: ProgressBar,
}

impl Session {
    /// Asks for everything, and says why not everything came. What was let in of it is
    /// known once the gate is closed: the report's counts are still empty.
    pub async fn run(self, now: u64) -> (PeerReport, KnownLimits) {
        let start = Instant::now();
        let (admission, tally) = (Arc::clone(&self.admission), Arc::clone(&self.tally));
        let traffic = Arc::clone(&self.traffic);
        let mut intake = Intake::new(admission, tally, traffic, self.index);
        let mut progress = Progress::default();
        let tries = self.try_several_times(&mut intake, &mut progress);
        let result = tokio::select! {
            result = tries => result,
            why = self.stop.clone().stopped() => {
                let code = why.code();
                error!(
                    "WebSocket backfill failed: {}: {why} [{code}]",
                    self.address
                );
                Err((why.to_string(), code))
            }
        };
        intake.flush().await;
        if let (Some(reconciliation), Err(_)) = (&self.reconciliation, &result) {
            reconciliation.claims.leave(self.index);
        }
        let Progress {
            pager,
            level,
            unfit,
            information,
            reached,
        } = progress;
        let unreachable = !reached;
        let reconciled = level.is_some() && !unfit;
        let gaps = pager.as_ref().map_or(&[][..], Pager::gaps);
        let broke_off = result.is_err();
        let mut unreadable_kinds = level.map_or(Vec::new(), |level| level.unreadable_kinds);
        unreadable_kinds.extend(pager.iter().flat_map(Pager::unreadable_kinds));
        unreadable_kinds.sort_unstable();
        unreadable_kinds.dedup();
        let is_usual = unreadable_kinds
            .iter()
            .all(|kind| RESTRICTED_KINDS.contains(kind));
        let in_part = match gaps {
            [] if is_usual => None,
            [] => Some(Shortfall::Kept(unreadable_kinds.clone())),
            [gap] => Some(Shortfall::Gap(gap.to_string())),
            [gap, more @ ..] => Some(Shortfall::Gaps(gap.to_string(), more.len())),
        };
        let failure = match (result, in_part) {
            (Err(failure), _) => Some(failure),
            (Ok(()), None) => None,
            (Ok(()), Some(why)) => {
                let code = why.code();
                error!(
                    "WebSocket backfill failed in part: {}: {why} [{code}]",
                    self.address
                );
                Some((why.to_string(), code))
            }
        };
        let (failure, code) = failure.unzip();
        if is_usual && !unreadable_kinds.is_empty() {
            info!(
                "{} shows kinds {unreadable_kinds:?} only to clients who say who they are (NIP-42): they stay there",
                self.address
            );
        }
        self.bar.finish_and_clear();
        let report = PeerReport {
            address: self.address,
            counts: Counts::default(),
            bytes: self.traffic.received(),
            seconds: start.elapsed().as_secs_f64(),
            failure,
            code,
            reached,
            reconciled,
            broke_off,
            unreadable_kinds,
        };
        // What was not asked again is not newer than it was.
        let learned_at = match self.known {
            Some(known) if !known.unreachable && !unreachable => known.learned_at,
            _ => now,
        };
        let known = KnownLimits {
            learned_at,
            information: Information {
                negentropy: information.as_ref().is_some_and(|i| i.negentropy) && !unfit,
                ..information.unwrap_or_default()
            },
            unreachable,
        };
        (report, known)
    }

    async fn try_several_times(
        &self,
        intake: &mut Intake,
        progress: &mut Progress,
    ) -> Result<(), (String, &'static str)> {
        // One that was dead a moment ago gets one chance to be alive again.
        let was_unreachable = self.known.as_ref().is_some_and(|known| known.unreachable);
        let most = if was_unreachable { 1 } else { MOST_ATTEMPTS };
        let mut attempts = 0;
        loop {
            attempts += 1;
            let Err(error) = self.try_once(intake, progress).await else {
                return Ok(());
            };
            let (cause, code) = (chain(&error), error.code());
            // Whoever asked for this session says so: nothing went wrong with a peer.
            if code == OWN_RELAY {
                return Err((cause, code));
            }
            let is_last = attempts >= most || (self.silence_ends_it && error.is_silence());
            if is_last || !error.is_worth_another_try() {
                error!(
                    "WebSocket backfill failed after {}: {}: {cause} [{code}]",
                    counted(attempts, "attempt"),
                    self.address
                );
                return Err((cause, code));
            }
            let wait = wait_after(attempts, chance());
            warn!(
                "{}: {} [{code}]; attempt {} follows in {:.1} s",
                self.address,
                cause,
                attempts + 1,
                wait.as_secs_f64()
            );
            tokio::time::sleep(wait).await;
        }
    }

    async fn try_once(
        &self,
        intake: &mut Intake,
        progress: &mut Progress,
    ) -> Result<(), AttemptError> {
        if progress.information.is_none() {
            progress.information = Some(self.inform().await?);
        }
        let information = progress.information.clone().unwrap_or_default();
        if let Some(reconciliation) = &self.reconciliation
            && reconciliation::is_fit(&information)
            && !progress.unfit
        {
            match self
                .level(reconciliation, intake, progress, &information)
                .await
            {
                Err(SessionError::Unfit(error)) => {
                    let error = chain(&error);
                    info!("{}: {error}; its events are paged through", self.address);
                    progress.unfit = true;
                    // It may have been made for a part.
                    progress.pager = None;
                }
                Err(SessionError::Attempt(error)) => return Err(error),
                Ok(()) => return Ok(()),
            }
        }
        let mut connection = self.open().await?;
        progress.reached = true;
        let all = || {
            self.wanted
                .pager(self.wanted.windows(&information), &information)
        };
        self.walk(&mut connection, intake, progress, all).await?;
        connection.close().await;
        Ok(())
    }

    async fn open(&self) -> Result<Connection<Box<dyn Stream>>, AttemptError> {
        let connection = self.connector.open(&self.address).await?;
        Ok(connection.counted_in(Arc::clone(&self.traffic)))
    }

    /// Learns what the relay has and we lack, and fetches this peer's share of it.
    async fn level(
        &self,
        reconciliation: &Reconciliation,
        intake: &mut Intake,
        progress: &mut Progress,
        information: &Information,
    ) -> Result<(), SessionError> {
        let local_ids = reconciliation.local_ids(&self.wanted).await;
        let Some(local_ids) = local_ids else {
            return Err(SessionError::Unfit(CompareError::NothingToCompare));
        };
        let mut connection = self.open().await?;
        progress.reached = true;
        let waiting = Instant::now();
        let _turn = reconciliation.turn().await;
        if waiting.elapsed() > IDLE {
            connection.close().await;
            connection = self.open().await?;
        }
        let level = progress
            .level
            .get_or_insert_with(|| reconciliation::Progress::new(&self.wanted));
        let turn = PeerReconciler {
            reconciliation,
            local_ids: &local_ids,
            wanted: &self.wanted,
            peer: self.index,
            url: self.address.to_string(),
            information,
            patience: self.patience,
        };
        let bar = &self.bar;
        let reconciled = level
            .reconcile(&mut connection, &turn, intake, || bar.inc(1))
            .await;
        match reconciled {
            Ok(()) => {}
            Err(ReconciliationError::Unfit(error)) => {
                reconciliation.claims.leave(self.index);
                return Err(SessionError::Unfit(error));
            }
            Err(ReconciliationError::Fetch(error)) => {
                return Err(SessionError::Attempt(error.into()));
            }
        }
        let to_walk = level.to_walk.clone();
        if !to_walk.is_empty() {
            let rest = || self.wanted.pager(to_walk, information);
            self.walk(&mut connection, intake, progress, rest).await?;
        }
        turn.name_undelivered(&mut connection).await;
        connection.close().await;
        Ok(())
    }

    /// Pages through what there is.
    async fn walk<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        connection: &mut Connection<S>,
        intake: &mut Intake,
        progress: &mut Progress,
        begin: impl FnOnce() -> Pager,
    ) -> Result<(), AttemptError> {
        let pager = progress.pager.get_or_insert_with(begin);
        pager.reconnected();
        let bar = &self.bar;
        fetch(connection, pager, intake, self.patience, || bar.inc(1)).await?;
        Ok(())
    }

    /// What the relay tells of itself, from an earlier run where that is not long ago.
    async fn inform(&self) -> Result<Information, ConnectError> {
        let information = self.learn().await?;
        let identity = information.identity.as_ref();
        if self.connector.guard().is_ours(&self.address, identity) {
            return Err(ConnectError::OwnIdentity(self.address.to_string()));
        }
        Ok(information)
    }

    async fn learn(&self) -> Result<Information, ConnectError> {
        if let Some(known) = &self.known
            && !known.unreachable
        {
            return Ok(known.information.clone());
        }
        match Information::fetch(&self.address, &self.connector).await {
            Ok(information) => Ok(information),
            Err(InformationError::Connect(error)) => Err(error),
            Err(error) => {
                info!(
                    "{}: {}; usual limits are assumed",
                    self.address,
                    chain(&error)
                );
                Ok(Information::default())
            }
        }
    }
}

#[derive(Default)]
struct Progress {
    /// How far paging has come.
    pager: Option<Pager>,
    /// How far reconciliation has come.
    level: Option<reconciliation::Progress>,
    /// Whether the relay turned out not to reconcile.
    unfit: bool,
    reached: bool,
    information: Option<Information>,
}

/// A number from 0 to 1, of the kernel's making by way of the hash map's seeds.
fn chance() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let number = RandomState::new().hash_one(()) >> 32;
    u32::try_from(number).map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}
