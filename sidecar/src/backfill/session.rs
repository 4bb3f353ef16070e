//! [`Session`]: everything that is wanted of one peer. Connect, ask, and try again if the connection
//! breaks. The steps are in the files of this folder.

mod attempt;
mod failure;
mod limits;
mod outcome;
mod progress;

use std::sync::Arc;
use std::time::{Duration, Instant};

use constellation_shared::counted;
use indicatif::ProgressBar;
use tracing::{error, warn};

use crate::admission::counts::Tally;
use crate::admission::intake::{Admission, Intake, PeerIndex};
use crate::backfill::reconciliation::Reconciliation;
use crate::backfill::stop::Stop;
use crate::plan::peer_memory::KnownLimits;
use crate::plan::wanted::Wanted;
use crate::relay::address::Address;
use crate::relay::connection::{Connector, OWN_RELAY};
use crate::relay::traffic::Traffic;
use crate::support::backoff::{MOST_ATTEMPTS, wait_after};
use crate::support::error_chain::chain;

use failure::SessionFailure;
pub use outcome::SessionOutcome;
use progress::Progress;

/// One peer's session.
pub struct Session {
    /// The peer's number in the run.
    pub index: PeerIndex,
    /// What the sessions share about reconciliation; `None` if everything is paged through.
    pub reconciliation: Option<Arc<Reconciliation>>,
    /// The address of the peer's relay.
    pub address: Address,
    /// What an earlier run learned of the relay.
    pub known: Option<KnownLimits>,
    /// Opens connections to the relay.
    pub connector: Connector,
    /// Counts the peer's events.
    pub tally: Tally,
    /// Counts the bytes that the relay sends.
    pub traffic: Arc<Traffic>,
    /// What ends the session early.
    pub stop: Stop,
    /// Checks the peer's events and hands them on.
    pub admission: Arc<Admission>,
    /// The events that are wanted of the peer.
    pub wanted: Arc<Wanted>,
    /// How long the peer may make no progress before it is given up.
    pub patience: Duration,
    /// Whether the peer is given up for good, instead of being tried again, once that has passed.
    pub silence_ends_it: bool,
    /// Shows how many events came.
    pub bar: ProgressBar,
}

impl Session {
    /// Asks for everything that is wanted until it has come, the attempts are used up, or the
    /// session is stopped. The report's counts are still empty: how many events were let in is
    /// known only once the pipeline is closed.
    pub async fn run(self, now: u64) -> SessionOutcome {
        let start = Instant::now();
        let mut intake = Intake::new(
            Arc::clone(&self.admission),
            Arc::clone(&self.tally),
            Arc::clone(&self.traffic),
            self.index,
        );
        let mut progress = Progress::default();
        let result = self.try_until_stopped(&mut intake, &mut progress).await;
        intake.flush().await;
        if let (Some(reconciliation), Err(_)) = (&self.reconciliation, &result) {
            reconciliation.claims.leave(self.index);
        }
        let outcome = self.outcome(result, progress, start.elapsed(), now);
        self.bar.finish_and_clear();
        outcome
    }

    /// Makes its attempts, unless something stops the session first.
    async fn try_until_stopped(
        &self,
        intake: &mut Intake,
        progress: &mut Progress,
    ) -> Result<(), SessionFailure> {
        tokio::select! {
            result = self.try_several_times(intake, progress) => result,
            reason = self.stop.clone().stopped() => {
                let code = reason.code();
                error!("WebSocket backfill failed: {}: {reason} [{code}]", self.address);
                Err(SessionFailure { cause: reason.to_string(), code })
            }
        }
    }

    /// Makes attempts until one brings everything or another one is not worth it.
    async fn try_several_times(
        &self,
        intake: &mut Intake,
        progress: &mut Progress,
    ) -> Result<(), SessionFailure> {
        // A relay that was dead a moment ago gets one chance to be alive again.
        let was_unreachable = self.known.as_ref().is_some_and(|known| known.unreachable);
        let most = if was_unreachable { 1 } else { MOST_ATTEMPTS };
        let mut attempts = 0;
        loop {
            attempts += 1;
            let Err(error) = self.try_once(intake, progress).await else {
                return Ok(());
            };
            let (cause, code) = (chain(&error), error.code());
            // The caller logs this: no peer has failed.
            if code == OWN_RELAY {
                return Err(SessionFailure { cause, code });
            }
            let is_last = attempts >= most || (self.silence_ends_it && error.is_silence());
            if is_last || !error.is_worth_another_try() {
                error!(
                    "WebSocket backfill failed after {}: {}: {cause} [{code}]",
                    counted(attempts, "attempt"),
                    self.address
                );
                return Err(SessionFailure { cause, code });
            }
            let wait = wait_after(attempts, chance());
            warn!(
                "{}: {cause} [{code}]; attempt {} follows in {:.1} s",
                self.address,
                attempts + 1,
                wait.as_secs_f64()
            );
            tokio::time::sleep(wait).await;
        }
    }
}

/// A random number from 0 to 1, taken from the seeds of the standard library's hash maps.
fn chance() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let number = RandomState::new().hash_one(()) >> 32;
    u32::try_from(number).map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}
