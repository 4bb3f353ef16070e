//! The loop that asks a relay, listens, and asks again until nothing is missing.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use constellation_shared::EventId;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tracing::debug;

use crate::admission::intake::{Intake, MOST_GARBAGE};
use crate::admission::rules::Refusal;
use crate::relay::connection::{Connection, ConnectionError};
use crate::relay::filter::Filter;
use crate::relay::message::{self, FromRelay, Head, Reason};
use crate::relay::pager::{Asked, Pager};
use crate::relay::rate_limit::{asks_for_patience, named_wait};
use crate::relay::traffic::Traffic;

/// Why a relay was left before everything had come.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// The connection cannot be used any more; another one may do.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// It sends more than was asked for, without an end.
    #[error("it sends far more events than were asked for")]
    Endless,
    /// It sends what is forged, was not asked for, or means nothing.
    #[error(
        "more than {MOST_GARBAGE} of its events are forged, unasked, malformed or far too long, and fewer are genuine"
    )]
    Garbage,
    /// Nothing came but words, the last of which are these.
    #[error("no progress for {seconds} s, and it says: {1}", seconds = .0.as_secs())]
    SilentAfter(Duration, String),
    /// It would answer later: after this time, if it says so.
    #[error("it asks for patience: {0}")]
    RateLimited(String, Option<Duration>),
    /// It cannot answer now.
    #[error("it asks for patience: {0}")]
    Limited(String),
    /// It refuses even one question at a time.
    #[error("it refuses every question: {0}")]
    Refused(String),
}

impl FetchError {
    /// What a relay says that would answer later.
    pub(crate) fn limited(reason: &Reason) -> Self {
        let text = reason.to_string();
        if asks_for_patience(reason) {
            Self::RateLimited(text, named_wait(reason))
        } else {
            Self::Limited(text)
        }
    }

    /// The stable word for it in logs and reports.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Connection(error) => error.code(),
            Self::Endless => "endless",
            Self::Garbage => "garbage",
            Self::SilentAfter(..) => "silent",
            Self::RateLimited(..) | Self::Limited(_) => "rate_limited",
            Self::Refused(_) => "refused",
        }
    }

    /// Whether another connection may bring more.
    pub(crate) const fn is_worth_another_try(&self) -> bool {
        match self {
            Self::Connection(error) => !matches!(error, ConnectionError::Wasteful { .. }),
            Self::RateLimited(..) | Self::Limited(_) | Self::SilentAfter(..) => true,
            Self::Endless | Self::Garbage | Self::Refused(_) => false,
        }
    }
}

/// Asks all that `pager` wants to know, and hands what comes to `intake`. Where this
/// fails the pager knows what is still to be asked. `progress` is called as events come.
///
/// # Errors
/// [`FetchError`].
pub(crate) async fn fetch<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    pager: &mut Pager,
    intake: &mut Intake,
    patience: Duration,
    progress: impl FnMut(),
) -> Result<(), FetchError> {
    let mut walk = Walk {
        pager,
        intake,
        patience,
        deadline: Instant::now() + patience,
        last_notice: None,
        came: HashMap::new(),
        progress,
    };
    walk.run(connection).await
}

/// A walk through one relay's pages, on one connection.
struct Walk<'a, P> {
    pager: &'a mut Pager,
    intake: &'a mut Intake,
    patience: Duration,
    /// Until when something must bring us further.
    deadline: Instant,
    last_notice: Option<Reason>,
    /// What came for each open question: an event counts once.
    came: HashMap<u64, HashSet<EventId>>,
    progress: P,
}

impl<P: FnMut()> Walk<'_, P> {
    async fn run<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        connection: &mut Connection<S>,
    ) -> Result<(), FetchError> {
        loop {
            while let Some((subscription, filter)) = self.pager.next_subscription() {
                connection.send(req(subscription, &filter)).await?;
            }
            if self.pager.is_done() {
                return Ok(());
            }
            let text = connection.receive(self.deadline, self.patience).await;
            let text = match (text, &self.last_notice) {
                (Err(ConnectionError::Silent(patience)), Some(notice)) => {
                    let notice = notice.to_string();
                    return Err(FetchError::SilentAfter(patience, notice));
                }
                (text, _) => text?,
            };
            match message::parse(&text) {
                Some(FromRelay::Event {
                    subscription,
                    event,
                }) => {
                    let traffic = connection.traffic();
                    self.event(traffic, &subscription, event).await?;
                }
                Some(FromRelay::Eose { subscription }) => {
                    if let Ok(number) = subscription.parse()
                        && self.pager.end(number)
                    {
                        self.came.remove(&number);
                        connection.send(close(&subscription)).await?;
                        self.deadline = Instant::now() + self.patience;
                    }
                }
                Some(FromRelay::Closed {
                    subscription,
                    reason,
                }) => self.closed(connection, &subscription, &reason).await?,
                Some(FromRelay::Notice(reason)) => {
                    debug!("the relay says: {}", reason.as_str());
                    if reason.says_too_many_subscriptions() {
                        ask_fewer(connection, self.pager, &reason).await?;
                    } else if asks_for_patience(&reason) {
                        return Err(FetchError::limited(&reason));
                    }
                    self.last_notice = Some(reason);
                }
                Some(
                    FromRelay::Auth
                    | FromRelay::Other
                    | FromRelay::NegMsg { .. }
                    | FromRelay::NegErr { .. },
                ) => {}
                None => self.intake.refuse_garbage(Refusal::Malformed),
            }
            if self.intake.is_garbage() {
                return Err(FetchError::Garbage);
            }
        }
    }

    async fn event(
        &mut self,
        traffic: &Traffic,
        subscription: &str,
        json: &str,
    ) -> Result<(), FetchError> {
        let subscription = subscription.parse().ok();
        let Some(arrival) = self.intake.read(json) else {
            // It takes the place of an event all the same.
            if let Some(subscription) = subscription {
                self.pager.unreadable(subscription);
            }
            self.intake.refuse_garbage(Refusal::Malformed);
            return Ok(());
        };
        let Head {
            id,
            author,
            kind,
            created_at,
        } = *arrival.head();
        let asked = subscription.map_or(Asked::No, |subscription| {
            self.pager.event(subscription, &author, kind, created_at)
        });
        match asked {
            Asked::TooMany => return Err(FetchError::Endless),
            Asked::No => self.intake.refuse_garbage(Refusal::Unasked),
            Asked::Yes | Asked::Late => {
                let is_first = asked == Asked::Yes
                    && subscription.is_some_and(|s| self.came.entry(s).or_default().insert(id));
                if is_first {
                    traffic.credit(arrival.useful_bytes(json));
                }
                // If strfry is slow that is not the relay's fault.
                let left = self.deadline.saturating_duration_since(Instant::now());
                let is_new = self.intake.take(arrival, json).await;
                (self.progress)();
                let granted = if is_new && is_first {
                    self.patience
                } else {
                    left
                };
                self.deadline = Instant::now() + granted;
            }
        }
        Ok(())
    }

    async fn closed<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        connection: &mut Connection<S>,
        subscription: &str,
        reason: &Reason,
    ) -> Result<(), FetchError> {
        let subscription = subscription.parse().ok();
        let is_ours = subscription.is_some_and(|s| self.pager.is_open(s));
        if is_ours && matches!(reason.prefix(), "rate-limited" | "error") {
            return Err(FetchError::limited(reason));
        }
        if reason.says_too_many_subscriptions() {
            return ask_fewer(connection, self.pager, reason).await;
        }
        let is_known = subscription.is_some_and(|s| {
            self.pager
                .closed(s, &reason.to_string(), reason.wants_auth())
        });
        if is_known {
            self.deadline = Instant::now() + self.patience;
        }
        Ok(())
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
