//! The loop that asks a relay, listens, and asks again until nothing is missing.

use std::time::Duration;

use constellation_shared::Event;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tracing::debug;

use crate::admission::intake::Intake;
use crate::admission::rules::Refusal;
use crate::relay::connection::{Connection, ConnectionError};
use crate::relay::message::{self, FromRelay, Reason};
use crate::relay::pager::{Asked, Filter, Pager};

/// How many events and messages that mean nothing are taken of one relay.
pub(crate) const MOST_GARBAGE: u64 = 1000;

/// How many events that were asked for and that NIP-01 spells otherwise are taken of one
/// relay: some hold what others posted so, and each costs nothing to make.
const MOST_ODD: u64 = 20_000;

/// Why a relay was left before everything had come.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The connection cannot be used any more; another one may do.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// It sends more than was asked for, without an end.
    #[error("it sends far more events than were asked for")]
    Endless,
    /// It sends what is forged, was not asked for, or means nothing.
    #[error(
        "more than {MOST_GARBAGE} of its events are forged, unasked, malformed or far too long"
    )]
    Garbage,
    /// It sends what is spelled otherwise than NIP-01 has it, without an end.
    #[error("more than {MOST_ODD} of its events are malformed")]
    Odd,
    /// Nothing came but words, the last of which are these.
    #[error("no progress for {seconds} s, and it says: {1}", seconds = .0.as_secs())]
    SilentAfter(Duration, String),
    /// It would answer later.
    #[error("it asks for patience: {0}")]
    Limited(String),
    /// It refuses even one question at a time.
    #[error("it refuses every question: {0}")]
    Refused(String),
}

impl FetchError {
    /// The stable word for it in logs and reports.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Connection(error) => error.code(),
            Self::Endless => "endless",
            Self::Garbage | Self::Odd => "garbage",
            Self::SilentAfter(..) => "silent",
            Self::Limited(_) => "rate_limited",
            Self::Refused(_) => "refused",
        }
    }

    /// Whether another connection may bring more.
    pub const fn is_worth_another_try(&self) -> bool {
        matches!(
            self,
            Self::Connection(_) | Self::Limited(_) | Self::SilentAfter(..)
        )
    }
}

/// Asks all that `pager` wants to know, and hands what comes to `intake`. Where this
/// fails the pager knows what is still to be asked. `progress` is called as events come.
///
/// # Errors
/// [`FetchError`].
pub async fn fetch<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    pager: &mut Pager,
    intake: &mut Intake,
    patience: Duration,
    mut progress: impl FnMut(u64),
) -> Result<(), FetchError> {
    let mut deadline = Instant::now() + patience;
    let mut last_notice: Option<Reason> = None;
    loop {
        while let Some((subscription, filter)) = pager.next_question() {
            connection.send(req(subscription, &filter)).await?;
        }
        if pager.is_done() {
            return Ok(());
        }
        let text = match (connection.receive(deadline, patience).await, &last_notice) {
            (Err(ConnectionError::Silent(patience)), Some(notice)) => {
                return Err(FetchError::SilentAfter(patience, notice.to_string()));
            }
            (text, _) => text?,
        };
        match message::parse(&text) {
            Some(FromRelay::Event {
                subscription,
                event: json,
            }) => {
                // What we do not take fills the relay's pages all the same.
                let head = message::head(json);
                let asked = head.as_ref().map_or(Asked::No, |head| {
                    subscription.parse().map_or(Asked::No, |s| {
                        pager.event(s, &head.author, head.kind, head.created_at)
                    })
                });
                match (asked, head) {
                    (Asked::TooMany, _) => return Err(FetchError::Endless),
                    (Asked::No, Some(_)) => intake.refuse_garbage(Refusal::Unasked),
                    (Asked::No, None) => intake.refuse_garbage(Refusal::Malformed),
                    (Asked::Yes | Asked::Late, _) => {
                        // Where strfry is slow that is not the relay's fault.
                        let left = deadline.saturating_duration_since(Instant::now());
                        // Before it is read: millions of tags take much more memory.
                        let is_new = if intake.is_too_long(json) {
                            intake.refuse_garbage(Refusal::TooLong);
                            false
                        } else {
                            match Event::parse(json.as_bytes()) {
                                Ok(event) => intake.take(event, json).await,
                                Err(_) => intake.refuse_odd(json),
                            }
                        };
                        progress(connection.received());
                        let is_progress = is_new && asked == Asked::Yes;
                        let granted = if is_progress { patience } else { left };
                        deadline = Instant::now() + granted;
                    }
                }
            }
            Some(FromRelay::Eose { subscription }) => {
                if subscription.parse().is_ok_and(|s| pager.end(s)) {
                    connection.send(close(&subscription)).await?;
                    deadline = Instant::now() + patience;
                }
            }
            Some(FromRelay::Closed {
                subscription,
                reason,
            }) => {
                let is_ours = subscription.parse().is_ok_and(|s| pager.is_open(s));
                if is_ours && matches!(reason.prefix(), "rate-limited" | "error") {
                    return Err(FetchError::Limited(reason.to_string()));
                }
                if reason.says_too_many_subscriptions() {
                    ask_fewer(connection, pager, &reason).await?;
                    continue;
                }
                let known = subscription
                    .parse()
                    .is_ok_and(|s| pager.closed(s, &reason.to_string(), reason.wants_auth()));
                if known {
                    deadline = Instant::now() + patience;
                }
            }
            Some(FromRelay::Notice(reason)) => {
                debug!("the relay says: {}", reason.as_str());
                if reason.says_too_many_subscriptions() {
                    ask_fewer(connection, pager, &reason).await?;
                }
                last_notice = Some(reason);
            }
            Some(
                FromRelay::Auth
                | FromRelay::Other
                | FromRelay::NegMsg { .. }
                | FromRelay::NegErr { .. },
            ) => {}
            None => intake.refuse_garbage(Refusal::Malformed),
        }
        if intake.garbage() > MOST_GARBAGE {
            return Err(FetchError::Garbage);
        }
        if intake.odd() > MOST_ODD {
            return Err(FetchError::Odd);
        }
    }
}

async fn ask_fewer<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    pager: &mut Pager,
    reason: &Reason,
) -> Result<(), FetchError> {
    let Some(given_up) = pager.too_many_open() else {
        return Err(FetchError::Refused(reason.to_string()));
    };
    for subscription in given_up {
        connection.send(close(&subscription.to_string())).await?;
    }
    Ok(())
}

fn req(subscription: u64, filter: &Filter) -> String {
    // Texts and numbers alone cannot fail to be spelled, so the fallback is never taken.
    let filter = serde_json::to_string(filter).unwrap_or_default();
    format!("[\"REQ\",\"{subscription}\",{filter}]")
}

pub(crate) fn close(subscription: &str) -> String {
    format!("[\"CLOSE\",\"{subscription}\"]")
}
