//! The conversation of a reconciliation (NIP-77): NEG-OPEN, NEG-MSG, NEG-CLOSE.

use std::collections::BTreeSet;
use std::time::Duration;

use constellation_shared::EventId;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::relay::connection::{Connection, ConnectionError};
use crate::relay::filter::{LATEST, Window};
use crate::relay::message::{self, FromRelay, Reason};
use crate::relay::negentropy::{LocalSet, ReconcileError, Reconciler, Step};
use crate::relay::objection::Objection;
use crate::relay::rate_limit::named_wait;

/// How long the first answer may take: long enough for a relay that first sorts a million events,
/// short enough for one that never answers.
const FIRST_ANSWER: Duration = Duration::from_secs(15);

/// How long one reconciliation may take in all.
const ALL_ANSWERS: Duration = Duration::from_secs(300);

/// How many events a relay may list and not send, in all.
pub(crate) const MOST_FAILURES: usize = 10_000;

/// The length of one listed id in a message: that of its hex digits.
const LISTED: u64 = 64;

/// The subscription id of every reconciliation. There is one at a time on a connection.
const NAME: &str = "n";

/// Why a reconciliation did not find out which events we lack.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The connection cannot be used any more.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The window holds more than the relay reconciles at once; a shorter one may do.
    #[error("it reconciles no such number of events at once")]
    TooMany,
    /// Only clients who say who they are may read these kinds.
    #[error("it wants to know who we are")]
    AuthRequired,
    /// The relay does not reconcile after all.
    #[error("it refuses to reconcile: {0}")]
    Refused(String),
    /// It does not reconcile at all, or not with us.
    #[error("it refuses to reconcile: {0}")]
    Never(String),
    /// It would answer later: after this time, if it says so.
    #[error("it asks for patience: {0}")]
    RateLimited(String, Option<Duration>),
    /// It reconciles, and sends no events by their ids.
    #[error("it refuses to send events by their ids: {0}")]
    RefusesIds(String),
    /// The relay does not answer.
    #[error("it says that it reconciles, and does not go on")]
    Silent,
    /// It has more events than this that are missing here and may be taken.
    #[error("it has more than {0} events that are missing here")]
    MoreThanTaken(usize),
    /// The relay lists events that it does not have.
    #[error("it lists more than {MOST_FAILURES} events that it does not send")]
    Invents,
    /// It is unknown which events are here.
    #[error("what is here is unknown")]
    NothingToCompare,
    /// What the relay says is wrong or endless.
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
}

impl CompareError {
    /// Whether it would be in vain to ask again soon.
    pub(crate) const fn is_for_good(&self) -> bool {
        matches!(
            self,
            Self::Never(_) | Self::RefusesIds(_) | Self::AuthRequired
        )
    }
}

/// The events that a relay has and we lack.
#[derive(Debug)]
pub struct Compared {
    /// The ids of these events.
    pub needed: BTreeSet<EventId>,
    /// The ids of ours that the relay lacks.
    pub lacked: BTreeSet<EventId>,
    /// Whether there may be more of either, to be found once these are here.
    pub is_part: bool,
}

/// Finds out which events that match a filter a relay has and we lack. `held` are those that we
/// have, and must match exactly that filter. Events for which `is_refused` holds do not count.
///
/// # Errors
/// [`CompareError`].
pub async fn compare<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    filter: &str,
    held: &LocalSet,
    frame_limit: u64,
    patience: Duration,
    is_refused: impl Fn(&EventId) -> bool,
) -> Result<Compared, CompareError> {
    let bounds = Bounds {
        frame: frame_limit,
        needed: usize::MAX,
        patience,
    };
    compare_within(connection, filter, held, bounds, is_refused, |_| true).await
}

/// The bounds of one reconciliation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// The longest message that we send, in bytes before they become hex.
    pub frame: u64,
    /// It ends once more than this many events are found that we lack.
    pub needed: usize,
    /// How long the peer may make no progress before it is given up.
    pub patience: Duration,
}

/// Does what [`compare`] does, within these bounds. What else the relay says meanwhile is given to
/// `aside`, which returns whether it takes more of it.
///
/// # Errors
/// [`CompareError`].
pub(crate) async fn compare_within<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    filter: &str,
    held: &LocalSet,
    bounds: Bounds,
    is_refused: impl Fn(&EventId) -> bool,
    mut aside: impl FnMut(&str) -> bool,
) -> Result<Compared, CompareError> {
    let patience = bounds.patience;
    let (reconciler, first) = Reconciler::begin(held, bounds.frame)?;
    let mut reconciler = reconciler.up_to(bounds.needed);
    let mut conversation = Conversation {
        connection,
        start: Instant::now(),
        patience,
        has_begun: false,
    };
    conversation
        .send(format!("[\"NEG-OPEN\",\"{NAME}\",{filter},\"{first}\"]"))
        .await?;
    loop {
        let text = conversation.receive().await?;
        match message::parse(&text) {
            Some(FromRelay::NegMsg {
                subscription,
                message,
            }) if subscription == NAME => {
                conversation.has_begun = true;
                let needed = reconciler.needed();
                let step = reconciler.take(message, &is_refused)?;
                let more = (reconciler.needed() - needed) as u64;
                conversation.connection.traffic().credit(more * LISTED);
                if let Step::Send(next) = &step {
                    let next = format!("[\"NEG-MSG\",\"{NAME}\",\"{next}\"]");
                    conversation.send(next).await?;
                    continue;
                }
                let close = format!("[\"NEG-CLOSE\",\"{NAME}\"]");
                conversation.send(close).await?;
                return Ok(Compared {
                    lacked: reconciler.take_lacked(),
                    needed: reconciler.into_needed(),
                    is_part: step == Step::Enough,
                });
            }
            Some(
                FromRelay::NegErr {
                    subscription,
                    reason,
                }
                | FromRelay::Closed {
                    subscription,
                    reason,
                },
            ) if subscription == NAME => return Err(refusal(&reason)),
            // A relay that knows no NIP-77, or does not like the question, sends only a NOTICE.
            Some(FromRelay::Notice(reason))
                if !conversation.has_begun || reason.objection() == Objection::RateLimited =>
            {
                return Err(refusal(&reason));
            }
            // Anything else is no progress, and must not go on for long.
            _ if aside(&text) => conversation.check_time()?,
            _ => return Err(CompareError::Silent),
        }
    }
}

/// What is said to a relay and heard of it during one reconciliation.
struct Conversation<'a, S> {
    connection: &'a mut Connection<S>,
    start: Instant,
    patience: Duration,
    /// Whether the relay has answered the first message.
    has_begun: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation<'_, S> {
    async fn send(&mut self, text: String) -> Result<(), ConnectionError> {
        self.connection.send(text).await
    }

    /// How long the relay may take for its next answer.
    fn patience(&self) -> Duration {
        if self.has_begun {
            self.patience
        } else {
            FIRST_ANSWER.min(self.patience)
        }
    }

    /// The next message of the relay.
    async fn receive(&mut self) -> Result<Utf8Bytes, CompareError> {
        let patience = self.patience();
        let deadline = (Instant::now() + patience).min(self.start + ALL_ANSWERS);
        match self.connection.receive(deadline, patience).await {
            Err(ConnectionError::Silent(_)) if self.start.elapsed() >= ALL_ANSWERS => {
                Err(ReconcileError::Endless.into())
            }
            Err(ConnectionError::Silent(_)) => Err(CompareError::Silent),
            text => Ok(text?),
        }
    }

    /// Fails once the relay has taken too long for all of its answers, or for the first.
    fn check_time(&self) -> Result<(), CompareError> {
        let elapsed = self.start.elapsed();
        if elapsed >= ALL_ANSWERS {
            Err(ReconcileError::Endless.into())
        } else if !self.has_begun && elapsed >= FIRST_ANSWER.min(self.patience) {
            Err(CompareError::Silent)
        } else {
            Ok(())
        }
    }
}

fn refusal(reason: &Reason) -> CompareError {
    match reason.objection() {
        Objection::TooMuch(_) => CompareError::TooMany,
        Objection::WantsAuth => CompareError::AuthRequired,
        Objection::RateLimited => CompareError::RateLimited(reason.to_string(), named_wait(reason)),
        Objection::Never => CompareError::Never(reason.to_string()),
        Objection::TooManyOpen | Objection::Unknown => CompareError::Refused(reason.to_string()),
    }
}

/// The window as a filter, of all authors if it names none; without `limit`, which strfry would
/// honour.
pub(crate) fn filter(window: &Window) -> String {
    let authors: Vec<String> = window.authors.iter().map(ToString::to_string).collect();
    let mut filter = serde_json::json!({"kinds": window.kinds});
    if let Some(fields) = filter.as_object_mut() {
        if !authors.is_empty() {
            fields.insert("authors".to_owned(), authors.into());
        }
        if window.since > 0 {
            fields.insert("since".to_owned(), window.since.into());
        }
        if window.until < LATEST {
            fields.insert("until".to_owned(), window.until.into());
        }
    }
    filter.to_string()
}
