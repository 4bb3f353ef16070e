//! The loop that asks a relay, listens, and asks again until nothing is missing.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use constellation_shared::EventId;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tracing::debug;

use crate::admission::intake::{Intake, MOST_GARBAGE};
use crate::admission::rules::Refusal;
use crate::backfill::doubts::Doubts;
use crate::relay::connection::{Connection, ConnectionError};
use crate::relay::filter::Filter;
use crate::relay::message::{self, FromRelay, Head, Reason};
use crate::relay::objection::Objection;
use crate::relay::pager::{Asked, Pager};
use crate::relay::rate_limit::named_wait;
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
    /// It refuses even one question at a time, and even the smallest.
    #[error("it refuses every question: {0}")]
    Refused(String),
    /// It sends no events by their ids.
    #[error("it refuses to send events by their ids: {0}")]
    RefusesIds(String),
}

impl FetchError {
    /// What a relay says that would answer later.
    pub(crate) fn limited(reason: &Reason) -> Self {
        let text = reason.to_string();
        if reason.objection() == Objection::RateLimited {
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
            Self::Refused(_) | Self::RefusesIds(_) => "refused",
        }
    }

    /// Whether another connection may bring more.
    pub(crate) const fn is_worth_another_try(&self) -> bool {
        match self {
            Self::Connection(error) => !matches!(error, ConnectionError::Wasteful { .. }),
            Self::RateLimited(..) | Self::Limited(_) | Self::SilentAfter(..) => true,
            Self::Endless | Self::Garbage | Self::Refused(_) | Self::RefusesIds(_) => false,
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
        doubts: Doubts::new(),
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
    doubts: Doubts<u64>,
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
            let deadline = self.doubts.deadline(self.deadline);
            let text = match connection.receive(deadline, self.patience).await {
                Err(ConnectionError::Silent(patience)) => {
                    if let Some((notice, refused)) = self.doubts.refused() {
                        for subscription in refused {
                            connection.send(close(&subscription.to_string())).await?;
                            self.refused(connection, subscription, &notice).await?;
                        }
                        continue;
                    }
                    return Err(self.silent(patience));
                }
                text => text?,
            };
            match message::parse(&text) {
                Some(FromRelay::Event {
                    subscription,
                    event,
                }) => {
                    self.event(connection.traffic(), &subscription, event)
                        .await?;
                }
                Some(FromRelay::Eose { subscription }) => {
                    self.end(connection, &subscription).await?;
                }
                Some(FromRelay::Closed {
                    subscription,
                    reason,
                }) => self.closed(connection, &subscription, &reason).await?,
                Some(FromRelay::Notice(reason)) => self.notice(connection, reason).await?,
                Some(FromRelay::TooLong {
                    subscription,
                    bytes,
                }) => {
                    connection.traffic().skip(bytes);
                    self.doubts.postpone();
                    if let Ok(number) = subscription.parse() {
                        self.pager.unreadable(number);
                        self.intake.refuse_too_long(None);
                    }
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

    /// The relay has brought nothing for as long as it may.
    fn silent(&self, patience: Duration) -> FetchError {
        match &self.last_notice {
            Some(notice) => FetchError::SilentAfter(patience, notice.to_string()),
            None => ConnectionError::Silent(patience).into(),
        }
    }

    /// Ends a question whose stored events have all come (EOSE).
    async fn end<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        connection: &mut Connection<S>,
        subscription: &str,
    ) -> Result<(), FetchError> {
        let Some(number) = subscription.parse().ok() else {
            return Ok(());
        };
        self.doubts.postpone();
        if let Some(notice) = self.doubts.too_much(&number).cloned()
            && self.pager.count(number) == 0
        {
            self.doubts.answered(&number);
            connection.send(close(subscription)).await?;
            return self.refused(connection, number, &notice).await;
        }
        self.doubts.answered(&number);
        if self.pager.end(number) {
            self.came.remove(&number);
            connection.send(close(subscription)).await?;
            self.deadline = Instant::now() + self.patience;
        }
        Ok(())
    }

    async fn notice<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        connection: &mut Connection<S>,
        notice: Reason,
    ) -> Result<(), FetchError> {
        debug!("the relay says: {}", notice.as_str());
        match notice.objection() {
            Objection::TooManyOpen => ask_fewer(connection, self.pager, &notice).await?,
            Objection::RateLimited => return Err(FetchError::limited(&notice)),
            _ => {
                let open: Vec<u64> = self.pager.open_subscriptions().collect();
                self.doubts.raise(&notice, open);
            }
        }
        self.last_notice = Some(notice);
        Ok(())
    }

    async fn event(
        &mut self,
        traffic: &Traffic,
        subscription: &str,
        json: &str,
    ) -> Result<(), FetchError> {
        let subscription = subscription.parse().ok();
        let Some(arrival) = self.intake.read_or_refuse(json) else {
            // It takes the place of an event all the same.
            if let Some(subscription) = subscription {
                self.pager.unreadable(subscription);
            }
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
            Asked::Counted => {
                let is_first =
                    subscription.is_some_and(|s| self.came.entry(s).or_default().insert(id));
                if is_first {
                    traffic.credit(json.len() as u64);
                    self.deadline = Instant::now() + self.patience;
                }
            }
            Asked::No => self.intake.refuse_garbage(Refusal::Unasked),
            Asked::Yes | Asked::Late => {
                self.doubts.postpone();
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
        let ours = subscription.filter(|number| self.pager.is_open(*number));
        match ours {
            Some(number) => {
                self.doubts.postpone();
                self.doubts.answered(&number);
                self.refused(connection, number, reason).await
            }
            None if reason.objection() == Objection::TooManyOpen => {
                ask_fewer(connection, self.pager, reason).await
            }
            None => Ok(()),
        }
    }

    /// What to do with an open question that the relay refuses: ask later, fewer at a time, or
    /// smaller.
    async fn refused<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        connection: &mut Connection<S>,
        subscription: u64,
        reason: &Reason,
    ) -> Result<(), FetchError> {
        let objection = reason.objection();
        let is_general_error = objection == Objection::Unknown && reason.prefix() == "error";
        match objection {
            Objection::RateLimited => return Err(FetchError::limited(reason)),
            Objection::TooManyOpen => return ask_fewer(connection, self.pager, reason).await,
            // It may pass.
            _ if is_general_error && self.pager.is_worn_out(subscription) => {
                return Err(FetchError::limited(reason));
            }
            _ => {}
        }
        let words = reason.to_string();
        if self.pager.refused(subscription, &words, objection) {
            self.came.remove(&subscription);
            self.deadline = Instant::now() + self.patience;
        }
        if self.pager.is_hopeless() {
            return Err(FetchError::Refused(words));
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
