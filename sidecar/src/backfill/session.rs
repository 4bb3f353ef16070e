//! [`Session`]: everything that is wanted of one peer. Connect, ask, and try again if the connection
//! breaks. The steps are in the files of this folder.

mod any_author;
mod attempt;
mod failure;
mod limits;
mod outcome;
mod progress;

use std::sync::Arc;
use std::time::{Duration, Instant};

use constellation_shared::counted;
use indicatif::ProgressBar;
use tracing::{error, info, warn};

use crate::admission::counts::Tally;
use crate::admission::intake::{Admission, Intake, PeerIndex};
use crate::backfill::reconciliation::Reconciliation;
use crate::backfill::stop::Stop;
use crate::plan::manners::{Manners, Rest, RestReason};
use crate::plan::peer_memory::KnownLimits;
use crate::plan::place::Resumption;
use crate::plan::wanted::Wanted;
use crate::relay::address::Address;
use crate::relay::connection::{Connector, NO_WEBSOCKET, OWN_RELAY};
use crate::relay::traffic::Traffic;
use crate::support::backoff::{MOST_ATTEMPTS, MOST_FRUITLESS_WAITS, wait_after, wait_for_patience};
use crate::support::error_chain::chain;
use crate::support::humanize::duration;
use crate::swarm::station_name::{StationName, with_address};

pub use any_author::AnyAuthor;
pub(crate) use any_author::MOST_EVENTS as MOST_EVENTS_OF_ANY_AUTHOR;
use failure::{AttemptError, SessionFailure};
pub(crate) use failure::{LEFT_ALONE, WANTS_AUTH};
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
    /// What the peer's station calls itself, if that is known.
    pub station: Option<StationName>,
    /// What an earlier run learned of the relay.
    pub known: Option<KnownLimits>,
    /// What the relay's answers showed in earlier runs.
    pub manners: Manners,
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
    /// What is wanted of the peer whoever wrote it.
    pub any_author: Option<AnyAuthor>,
    /// Where an earlier run broke off that paged through the peer's events.
    pub resumption: Option<Resumption>,
    /// How long the peer may make no progress before it is given up.
    pub patience: Duration,
    /// Whether it is no failure if nothing at the address speaks WebSocket: the station is reached in
    /// another way.
    pub may_be_no_relay: bool,
    /// Whether the peer is given up for good, instead of being tried again, once that has passed.
    pub silence_ends_it: bool,
    /// Shows how many events came.
    pub bar: ProgressBar,
}

impl Session {
    /// The peer as it is shown to people.
    fn shown(&self) -> String {
        with_address(self.station.as_ref(), &self.address)
    }

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
        let mut progress = Progress::new(now);
        let result = match self.manners.rest(now) {
            Some(rest) => Err(self.pass_over(rest, now)),
            None => self.try_until_stopped(&mut intake, &mut progress).await,
        };
        let mut of_any_author = None;
        if result.is_ok() {
            let information = progress.information.as_ref();
            of_any_author = self.fetch_of_any_author(&mut intake, information).await;
        }
        intake.flush().await;
        if let (Some(reconciliation), Err(_)) = (&self.reconciliation, &result) {
            reconciliation.claims.leave(self.index);
        }
        let mut outcome = self.outcome(result, progress, start.elapsed(), now);
        outcome.report.of_any_author = of_any_author;
        self.bar.finish_and_clear();
        outcome
    }

    /// Says that the relay is not asked, because it was found not long ago not to want that.
    fn pass_over(&self, rest: Rest, now: u64) -> SessionFailure {
        let time = duration(rest.until.saturating_sub(now));
        let (cause, code) = match rest.reason {
            RestReason::Busy => (
                format!("it asked to be left alone for another {time}"),
                LEFT_ALONE,
            ),
            RestReason::WantsAuth => (
                format!(
                    "it answers only clients who say who they are (NIP-42), and is asked again in {time}"
                ),
                WANTS_AUTH,
            ),
        };
        info!("{} is passed over: {cause}", self.shown());
        SessionFailure { cause, code }
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
                error!("WebSocket backfill failed: {}: {reason} [{code}]", self.shown());
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
        let mut tries = Tries::default();
        loop {
            tries.attempts += 1;
            let before = self.came(progress);
            let Err(error) = self.try_once(intake, progress).await else {
                return Ok(());
            };
            let (cause, code) = (chain(&error), error.code());
            // The caller logs this: no peer has failed.
            if code == OWN_RELAY || (code == NO_WEBSOCKET && self.may_be_no_relay) {
                return Err(SessionFailure { cause, code });
            }
            let brought_something = self.came(progress) > before;
            let wait = self.wait_after(&error, brought_something, &mut tries);
            if let (None, Some(Some(wait))) = (wait, error.plea()) {
                progress.wants_rest = Some(wait);
            }
            let Some(wait) = wait else {
                error!(
                    "WebSocket backfill failed after {}: {}: {cause} [{code}]",
                    counted(tries.attempts, "attempt"),
                    self.shown()
                );
                return Err(SessionFailure { cause, code });
            };
            warn!(
                "{}: {cause} [{code}]; attempt {} follows in {:.1} s",
                self.shown(),
                tries.attempts + 1,
                wait.as_secs_f64()
            );
            tokio::time::sleep(wait).await;
        }
    }

    /// How long to wait after an attempt that ended like this before the next one; `None` if it was
    /// the last one.
    fn wait_after(
        &self,
        error: &AttemptError,
        brought_something: bool,
        tries: &mut Tries,
    ) -> Option<Duration> {
        if let Some(named) = error.plea()
            && !self.silence_ends_it
        {
            if brought_something {
                tries.fruitless_waits = 0;
            }
            tries.fruitless_waits += 1;
            let usual = wait_for_patience(tries.fruitless_waits, self.patience);
            let wait = named.map_or(usual, |named| named.max(usual));
            let fits = named.is_none_or(|_| self.stop.leaves(wait));
            return (tries.fruitless_waits <= MOST_FRUITLESS_WAITS && fits).then_some(wait);
        }
        tries.failures += 1;
        // A relay that was dead a moment ago gets one chance to be alive again.
        let was_unreachable = self.known.as_ref().is_some_and(|known| known.unreachable);
        let most = if was_unreachable { 1 } else { MOST_ATTEMPTS };
        let is_last = tries.failures >= most || (self.silence_ends_it && error.is_silence());
        (!is_last && error.is_worth_another_try()).then(|| wait_after(tries.failures, chance()))
    }

    /// A number that grows as the relay brings the session further. Pages count only once they
    /// are complete: one that breaks off is asked for again.
    fn came(&self, progress: &Progress) -> u64 {
        match &progress.pager {
            Some(pager) => pager.answered(),
            None => self.traffic.useful(),
        }
    }
}

/// How often a session has tried.
#[derive(Default)]
struct Tries {
    /// How many attempts it has made.
    attempts: u32,
    /// How many of them failed, other than because the relay asked for patience.
    failures: u32,
    /// How often in a row the relay asked for patience and brought nothing after it got that.
    fruitless_waits: u32,
}

/// A random number from 0 to 1, taken from the seeds of the standard library's hash maps.
fn chance() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let number = RandomState::new().hash_one(()) >> 32;
    u32::try_from(number).map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}
