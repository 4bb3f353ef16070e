//! The conversation of a reconciliation (NIP-77): NEG-OPEN, NEG-MSG, NEG-CLOSE.

use std::collections::BTreeSet;
use std::time::Duration;

use constellation_shared::EventId;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::relay::connection::{Connection, ConnectionError};
use crate::relay::filter::{LATEST, Window};
use crate::relay::message::{self, FromRelay, Reason};
use crate::relay::negentropy::{LocalSet, ReconcileError, Reconciler, Step};

/// How long the first answer may take: a relay that never answers is not waited for long,
/// one that sorts a million events first is given time.
const FIRST_ANSWER: Duration = Duration::from_secs(15);

/// How long one reconciliation may take in all.
const ALL_ANSWERS: Duration = Duration::from_secs(300);

/// How many events a relay may list and not send, in all.
pub(crate) const MOST_FAILURES: usize = 10_000;

/// What one id takes in a message, in bytes of hex.
const LISTED: u64 = 64;

/// The subscription of every reconciliation: one at a time on a connection.
const NAME: &str = "neg";

/// Why a reconciliation did not tell what we lack.
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
    /// The relay does not do it after all.
    #[error("it refuses to reconcile: {0}")]
    Refused(String),
    /// It does not answer.
    #[error("it says that it reconciles, and does not go on")]
    Silent,
    /// It lists what it does not have.
    #[error("it lists more than {MOST_FAILURES} events that it does not send")]
    Invents,
    /// What is here is unknown.
    #[error("what is here is unknown")]
    NothingToCompare,
    /// What it says is wrong or endless.
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
}

/// What a relay has and we lack.
#[derive(Debug)]
pub struct Compared {
    /// The ids.
    pub needed: BTreeSet<EventId>,
    /// Whether there may be more, to be found once these are here.
    pub is_part: bool,
}

/// Finds out what a relay has of a filter and we lack. `held` is what we hold of exactly
/// that filter; what `is_refused` is not missing.
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
    let (mut reconciler, first) = Reconciler::begin(held, frame_limit)?;
    let open = format!("[\"NEG-OPEN\",\"{NAME}\",{filter},\"{first}\"]");
    connection.send(open).await?;
    let start = Instant::now();
    let mut answered = false;
    loop {
        let patience = if answered {
            patience
        } else {
            FIRST_ANSWER.min(patience)
        };
        let deadline = (Instant::now() + patience).min(start + ALL_ANSWERS);
        let text = match connection.receive(deadline, patience).await {
            Err(ConnectionError::Silent(_)) if start.elapsed() >= ALL_ANSWERS => {
                return Err(ReconcileError::Endless.into());
            }
            Err(ConnectionError::Silent(_)) => return Err(CompareError::Silent),
            text => text?,
        };
        match message::parse(&text) {
            Some(FromRelay::NegMsg {
                subscription,
                message,
            }) if subscription == NAME => {
                answered = true;
                let needed = reconciler.needed();
                let step = reconciler.take(message, &is_refused)?;
                let more = (reconciler.needed() - needed) as u64;
                connection.traffic().credit(more * LISTED);
                if let Step::Send(next) = &step {
                    let next = format!("[\"NEG-MSG\",\"{NAME}\",\"{next}\"]");
                    connection.send(next).await?;
                    continue;
                }
                let close = format!("[\"NEG-CLOSE\",\"{NAME}\"]");
                connection.send(close).await?;
                return Ok(Compared {
                    needed: reconciler.into_needed(),
                    is_part: step == Step::Enough,
                });
            }
            Some(FromRelay::NegErr {
                subscription,
                reason,
            }) if subscription == NAME => return Err(refusal(&reason)),
            // Where a relay knows no NIP-77, or does not like the question, a NOTICE is
            // all that comes.
            Some(FromRelay::Notice(reason)) if !answered => {
                return Err(CompareError::Refused(reason.to_string()));
            }
            // Anything else brings us no further, and must not keep us for long.
            _ if start.elapsed() >= ALL_ANSWERS => return Err(ReconcileError::Endless.into()),
            _ if !answered && start.elapsed() >= FIRST_ANSWER.min(patience) => {
                return Err(CompareError::Silent);
            }
            _ => {}
        }
    }
}

fn refusal(reason: &Reason) -> CompareError {
    match reason.prefix() {
        "blocked" => CompareError::TooMany,
        _ if reason.wants_auth() => CompareError::AuthRequired,
        _ => CompareError::Refused(reason.to_string()),
    }
}

/// The window as a filter; without `limit`, which strfry would honour.
pub(crate) fn filter(window: &Window) -> String {
    let authors: Vec<String> = window.authors.iter().map(ToString::to_string).collect();
    let mut filter = serde_json::json!({"authors": authors, "kinds": window.kinds});
    if let Some(fields) = filter.as_object_mut() {
        if window.since > 0 {
            fields.insert("since".to_owned(), window.since.into());
        }
        if window.until < LATEST {
            fields.insert("until".to_owned(), window.until.into());
        }
    }
    filter.to_string()
}
