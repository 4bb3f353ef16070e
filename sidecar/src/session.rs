//! Everything that is wanted of one peer: connect, ask, and try again where it breaks.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use constellation_shared::Pubkey;
use indicatif::ProgressBar;
use tracing::{error, info, warn};

use crate::backoff::{MOST_ATTEMPTS, wait_after};
use crate::intake::{Admission, Counts, Intake, Tally};
use crate::knowledge::Known;
use crate::relay::address::Address;
use crate::relay::connection::{ConnectError, ConnectionError, Connector};
use crate::relay::fetch::{FetchError, PATIENCE, fetch};
use crate::relay::information::{Information, InformationError};
use crate::relay::pager::{LATEST, Pager, Window};
use crate::report::PeerReport;

/// How many authors one question names at the most.
const MOST_AUTHORS: usize = 100;

/// What a question takes besides its authors, and what an author takes, in bytes.
const QUESTION_FRAME: u64 = 1000;
const AUTHOR_LENGTH: u64 = 67;

/// What is believed of a relay that tells nothing: strfry's default of events for one
/// filter, the smallest message length and number of subscriptions seen on stations.
const USUAL_LIMIT: u64 = 500;
const USUAL_MESSAGE_LENGTH: u64 = 65_536;
const USUAL_SUBSCRIPTIONS: u64 = 5;

/// How many questions are open at once at the most: more only makes a relay work on more
/// of them at a time.
const MOST_QUESTIONS: u64 = 8;

/// Between what limits a question asks, whatever the relay tells.
const LIMITS: (u64, u64) = (100, 5000);

/// What is wanted of every peer.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Whose events.
    pub authors: Vec<Pubkey>,
    /// Of which kinds.
    pub kinds: Vec<u16>,
    /// Not older than this, Unix seconds.
    pub since: u64,
    /// At most so many events, the newest; the page that reaches that comes whole.
    pub most_events: usize,
}

impl Wanted {
    /// The questions to begin with, such that each fits into a message that this relay
    /// takes.
    fn windows(&self, information: &Information) -> Vec<Window> {
        let length = information
            .max_message_length
            .unwrap_or(USUAL_MESSAGE_LENGTH);
        let fitting = length.saturating_sub(QUESTION_FRAME) / AUTHOR_LENGTH;
        let authors = usize::try_from(fitting)
            .unwrap_or(MOST_AUTHORS)
            .clamp(1, MOST_AUTHORS);
        self.authors
            .chunks(authors)
            .map(|authors| Window {
                authors: authors.to_vec(),
                kinds: self.kinds.clone(),
                since: self.since,
                until: LATEST,
            })
            .collect()
    }

    fn pager(&self, information: &Information) -> Pager {
        let (least, most) = LIMITS;
        let limit = information
            .max_limit
            .unwrap_or(USUAL_LIMIT)
            .clamp(least, most);
        let open = information.max_subscriptions.unwrap_or(USUAL_SUBSCRIPTIONS);
        let small = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Pager::new(
            self.windows(information),
            small(open.min(MOST_QUESTIONS)),
            small(limit),
        )
        .with_most_events(self.most_events)
    }
}

/// Why one attempt did not bring everything.
#[derive(Debug, thiserror::Error)]
enum AttemptError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

impl AttemptError {
    const fn is_worth_another_try(&self) -> bool {
        match self {
            Self::Connect(_) => true,
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

/// One peer's turn.
pub struct Session {
    /// Its relay.
    pub address: Address,
    /// What an earlier run learned of it.
    pub known: Option<Known>,
    /// How to reach it.
    pub connector: Connector,
    /// Where its events are counted.
    pub tally: Tally,
    /// Where its events go.
    pub admission: Arc<Admission>,
    /// What is wanted of it.
    pub wanted: Arc<Wanted>,
    /// How long it may go without bringing us further.
    pub patience: Duration,
    /// Whether it is not tried again once that has passed.
    pub silence_ends_it: bool,
    /// Where progress is shown.
    pub bar: ProgressBar,
}

impl Session {
    /// Asks for everything, and says why not everything came. What was let in of it is
    /// known once the gate is closed: the report's counts are still empty.
    pub async fn run(self, now: u64) -> (PeerReport, Known) {
        let start = Instant::now();
        let mut intake = Intake::new(Arc::clone(&self.admission), Arc::clone(&self.tally));
        let mut progress = Progress::default();
        let result = self.try_several_times(&mut intake, &mut progress).await;
        intake.flush().await;
        let Progress {
            pager,
            information,
            bytes,
        } = progress;
        let unreachable = pager.is_none();
        let gaps = pager.as_ref().map_or(&[][..], Pager::gaps);
        let broke_off = result.is_err();
        let failure = match (result, gaps) {
            (Err(failure), _) => Some(failure),
            (Ok(()), []) => None,
            (Ok(()), [first, rest @ ..]) => {
                let failure = match rest.len() {
                    0 => format!("it holds what could not be had: {first}"),
                    more => format!(
                        "it holds what could not be had: {first}; and {more} more of the kind"
                    ),
                };
                error!(
                    "WebSocket backfill failed in part: {}: {failure}",
                    self.address
                );
                Some(failure)
            }
        };
        let unreadable_kinds = pager
            .as_ref()
            .map_or(&[][..], Pager::unreadable_kinds)
            .to_vec();
        if !unreadable_kinds.is_empty() {
            info!(
                "{} shows kinds {unreadable_kinds:?} only to clients who say who they are (NIP-42): they stay there",
                self.address
            );
        }
        self.bar.finish_and_clear();
        let report = PeerReport {
            address: self.address,
            counts: Counts::default(),
            bytes,
            seconds: start.elapsed().as_secs_f64(),
            failure,
            broke_off,
            unreadable_kinds,
        };
        let known = Known {
            learned_at: now,
            information: information.unwrap_or_default(),
            unreachable,
        };
        (report, known)
    }

    async fn try_several_times(
        &self,
        intake: &mut Intake,
        progress: &mut Progress,
    ) -> Result<(), String> {
        // One that was dead a moment ago gets one chance to be alive again.
        let was_unreachable = self.known.as_ref().is_some_and(|known| known.unreachable);
        let most = if was_unreachable { 1 } else { MOST_ATTEMPTS };
        let mut attempts = 0;
        loop {
            attempts += 1;
            let Err(error) = self.try_once(intake, progress).await else {
                return Ok(());
            };
            let cause = chain(&error);
            let is_last = attempts >= most || (self.silence_ends_it && error.is_silence());
            if is_last || !error.is_worth_another_try() {
                error!(
                    "WebSocket backfill failed after {attempts} attempts: {}: {cause}",
                    self.address
                );
                return Err(cause);
            }
            let wait = wait_after(attempts, chance());
            warn!(
                "{}: {cause}; attempt {} follows in {:.1} s",
                self.address,
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
        let mut connection = self.connector.open(&self.address).await?;
        let information = progress.information.clone().unwrap_or_default();
        let pager = progress
            .pager
            .get_or_insert_with(|| self.wanted.pager(&information));
        pager.reconnected();
        let earlier_bytes = progress.bytes;
        let bar = &self.bar;
        let mut events = 0_u64;
        let fetched = fetch(&mut connection, pager, intake, self.patience, |_| {
            events += 1;
            bar.inc(1);
        })
        .await;
        progress.bytes = earlier_bytes + connection.received();
        fetched?;
        connection.close().await;
        Ok(())
    }

    /// What the relay tells of itself, from an earlier run where that is not long ago.
    async fn inform(&self) -> Result<Information, ConnectError> {
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
    pager: Option<Pager>,
    information: Option<Information>,
    bytes: u64,
}

/// An error and what is behind it, in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some errors say their cause themselves.
        if !words.ends_with(&more) {
            words.push_str(": ");
            words.push_str(&more);
        }
        cause = error.source();
    }
    words
}

/// A number from 0 to 1, of the kernel's making by way of the hash map's seeds.
fn chance() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let number = RandomState::new().hash_one(()) >> 32;
    u32::try_from(number).map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

/// The patience of a real run.
pub const USUAL_PATIENCE: Duration = PATIENCE;
