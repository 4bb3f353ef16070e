//! Fetching events by their ids, with as many subscriptions at once as the relay allows.

mod question;
mod refusals;

use std::collections::BTreeMap;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::admission::arrival::Arrival;
use crate::admission::intake::Intake;
use crate::admission::rules::Refusal;
use crate::backfill::claims::Claim;
use crate::backfill::compare::MOST_FAILURES;
use crate::backfill::doubts::Doubts;
use crate::backfill::paging::{FetchError, close};
use crate::backfill::shared_claims::SharedClaims;
use crate::relay::connection::{Connection, ConnectionError};
use crate::relay::message::{self, FromRelay};
use crate::relay::objection::Objection;

use question::{Asked, Came, Question};
pub(crate) use question::{Manner, Verdict};

/// Fetches this peer's share of the claims, until nothing is left that the peer could bring or it
/// has failed to bring too much. `judge` says what becomes of each event. If
/// this fails, what was being fetched is given back for others to fetch.
///
/// # Errors
/// [`FetchError`].
pub(crate) async fn collect<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    claims: &SharedClaims,
    intake: &mut Intake,
    manner: Manner,
    judge: impl Fn(&Arrival) -> Verdict,
    progress: impl FnMut(),
) -> Result<(), FetchError> {
    let mut collector = Collector {
        claims,
        manner,
        deadline: Instant::now() + manner.patience,
        next_name: 0,
        open: BTreeMap::new(),
        doubts: Doubts::new(),
        may_claim: true,
        refusals: 0,
        refused_questions: 0,
    };
    let result = collector.run(connection, intake, judge, progress).await;
    // Others wait to hear what became of what came, even if the connection broke.
    intake.flush().await;
    let unfinished = collector
        .open
        .into_values()
        .flat_map(|question| question.ids);
    claims.give_back(manner.peer, unfinished);
    result
}

struct Collector<'a> {
    claims: &'a SharedClaims,
    manner: Manner,
    /// When the relay must have made progress.
    deadline: Instant,
    next_name: u64,
    open: BTreeMap<String, Question>,
    doubts: Doubts<String>,
    /// Whether there may be something to claim.
    may_claim: bool,
    /// How often in a row the relay wanted fewer questions.
    refusals: u32,
    /// How many questions the relay refused.
    refused_questions: u32,
}

impl Collector<'_> {
    /// Claims ids and asks for them, and takes what comes, until nothing is left to claim.
    async fn run<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        connection: &mut Connection<S>,
        intake: &mut Intake,
        judge: impl Fn(&Arrival) -> Verdict,
        mut progress: impl FnMut(),
    ) -> Result<(), FetchError> {
        loop {
            if self.claims.failures(self.manner.peer) > MOST_FAILURES {
                return Ok(());
            }
            self.ask_for_claimed(connection).await?;
            if self.open.is_empty() {
                // What came is only settled once it was verified.
                intake.flush().await;
                if !self.manner.waits || !self.wait_for_others(connection).await? {
                    return Ok(());
                }
                continue;
            }
            let deadline = self.doubts.deadline(self.deadline);
            let text = match connection.receive(deadline, self.manner.patience).await {
                Err(ConnectionError::Silent(patience)) => match self.doubts.refused() {
                    Some((notice, refused)) => {
                        for name in refused {
                            connection.send(close(&name)).await?;
                            self.refused(connection, &name, &notice).await?;
                        }
                        continue;
                    }
                    None => return Err(ConnectionError::Silent(patience).into()),
                },
                text => text?,
            };
            match message::parse(&text) {
                Some(FromRelay::Event {
                    subscription,
                    event,
                }) => {
                    let came = Came {
                        subscription: &subscription,
                        json: event,
                        traffic: connection.traffic(),
                    };
                    if self.event(intake, came, &judge).await == Asked::Yes {
                        progress();
                        self.refusals = 0;
                        self.extend_deadline();
                        self.doubts.postpone();
                    }
                }
                Some(FromRelay::Eose { subscription }) => {
                    self.end(connection, intake, &subscription).await?;
                }
                Some(FromRelay::Closed {
                    subscription,
                    reason,
                }) => {
                    self.doubts.postpone();
                    self.refused(connection, &subscription, &reason).await?;
                }
                Some(FromRelay::TooLong {
                    subscription,
                    bytes,
                }) => {
                    connection.traffic().skip(bytes);
                    self.doubts.postpone();
                    if let Some(question) = self.open.get_mut(&subscription) {
                        question.too_long += 1;
                    }
                }
                Some(FromRelay::Notice(reason)) => match reason.objection() {
                    Objection::TooManyOpen => self.ask_fewer(connection, &reason).await?,
                    Objection::RateLimited => return Err(FetchError::limited(&reason)),
                    _ => self.doubts.raise(&reason, self.open.keys().cloned()),
                },
                Some(_) => {}
                None => intake.refuse_garbage(Refusal::Malformed),
            }
            if intake.is_garbage() {
                return Err(FetchError::Garbage);
            }
        }
    }

    fn extend_deadline(&mut self) {
        self.deadline = Instant::now() + self.manner.patience;
    }

    /// Opens questions for what this peer can claim, as many as may be open at once.
    async fn ask_for_claimed<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        connection: &mut Connection<S>,
    ) -> Result<(), FetchError> {
        while self.may_claim && self.open.len() < self.manner.questions {
            let Manner {
                peer, ids_at_once, ..
            } = self.manner;
            match self.claims.claim(peer, ids_at_once) {
                Claim::Fetch(ids) => {
                    self.ask(connection, Question::new(ids, 0)).await?;
                    self.extend_deadline();
                }
                // To look again for each event that comes would take long.
                Claim::Wait | Claim::Done => self.may_claim = false,
            }
        }
        Ok(())
    }

    /// Waits until another peer fails to bring something that this one has, and asks for it.
    /// Returns `false` if nothing is left that this peer could bring.
    async fn wait_for_others<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        connection: &mut Connection<S>,
    ) -> Result<bool, FetchError> {
        let Manner {
            peer,
            ids_at_once,
            patience,
            ..
        } = self.manner;
        // A relay has time for pings while we wait for the others.
        connection.traffic().wait_for_others(true);
        let claimed = tokio::select! {
            ids = self.claims.claim_patiently(peer, ids_at_once) => Ok(ids),
            // Nothing that was asked for; a relay that leaves shows itself.
            text = connection.receive(Instant::now() + patience * 2, patience) => Err(text),
        };
        connection.traffic().wait_for_others(false);
        match claimed {
            Ok(ids) if ids.is_empty() => return Ok(false),
            Ok(ids) => {
                self.ask(connection, Question::new(ids, 0)).await?;
                self.extend_deadline();
            }
            Err(text) => {
                match text {
                    // It is not this relay that is slow: what the slow ones hold up is fetched
                    // here, at the price of a few events that come twice.
                    Err(ConnectionError::Silent(_)) => self.claims.take_over(peer),
                    text => drop(text?),
                }
                self.may_claim = true;
            }
        }
        Ok(true)
    }

    /// Handles an event that came; returns whether it was waited for.
    async fn event(
        &mut self,
        intake: &mut Intake,
        came: Came<'_>,
        judge: impl Fn(&Arrival) -> Verdict,
    ) -> Asked {
        let Came {
            subscription,
            json,
            traffic,
        } = came;
        // What cannot be read does not count as delivered.
        let Some(arrival) = intake.read_or_refuse(json) else {
            return Asked::No;
        };
        let id = arrival.head().id;
        let question = self.open.get_mut(subscription);
        let asked = question.map_or(Asked::No, |question| question.take(id));
        if asked == Asked::No {
            intake.refuse_garbage(Refusal::Unasked);
            return Asked::No;
        }
        match (judge(&arrival), asked) {
            (Verdict::Wanted, Asked::Yes) => {
                traffic.credit(arrival.useful_bytes(json));
                intake.take_fetched(arrival, json).await;
                Asked::Yes
            }
            (Verdict::Unwanted, Asked::Yes) => {
                traffic.credit(json.len() as u64);
                self.claims.settle(id);
                Asked::Yes
            }
            (Verdict::Unasked, Asked::Yes) => {
                self.claims.release(self.manner.peer, [id]);
                intake.refuse_garbage(Refusal::Unasked);
                Asked::No
            }
            (Verdict::Wanted, _) => {
                intake.take_twin(arrival, json).await;
                Asked::No
            }
            (Verdict::Unwanted | Verdict::Unasked, _) => {
                intake.refuse_garbage(Refusal::Unasked);
                Asked::No
            }
        }
    }

    /// Ends a question whose stored events have all come (EOSE). A relay that sent only some of
    /// the events may have reached its limit for one question: it is asked for the rest, until
    /// it sends none of it.
    async fn end<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        connection: &mut Connection<S>,
        intake: &Intake,
        subscription: &str,
    ) -> Result<(), FetchError> {
        if !self.open.contains_key(subscription) {
            return Ok(());
        }
        connection.send(close(subscription)).await?;
        self.doubts.postpone();
        let name = subscription.to_owned();
        let brought_nothing = |question: &Question| question.came.is_empty();
        if let Some(notice) = self.doubts.too_much(&name).cloned()
            && self.open.get(&name).is_some_and(brought_nothing)
        {
            return self.refused(connection, &name, &notice).await;
        }
        self.doubts.answered(&name);
        let Some(question) = self.open.remove(subscription) else {
            return Ok(());
        };
        self.extend_deadline();
        self.may_claim = true;
        if question.ids.is_empty() {
            return Ok(());
        }
        if question.too_long >= question.ids.len() {
            // All that did not come is too long, whoever sends it; but this relay alone says so.
            let ids = question.ids.iter().copied().map(Some);
            ids.for_each(|id| intake.refuse_too_long(id));
            self.claims.pass_over(self.manner.peer, question.ids);
            return Ok(());
        }
        if !question.came.is_empty() {
            return self.ask(connection, Question::new(question.ids, 0)).await;
        }
        self.claims.release(self.manner.peer, question.ids);
        Ok(())
    }

    async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        connection: &mut Connection<S>,
        question: Question,
    ) -> Result<(), FetchError> {
        // Some relays take names of at most 8 characters.
        let name = format!("i{}", self.next_name);
        self.next_name += 1;
        let hex: Vec<String> = question.ids.iter().map(ToString::to_string).collect();
        let filter = serde_json::json!({"ids": hex, "limit": hex.len()});
        // Before it is sent: if that fails, the ids are given back.
        self.open.insert(name.clone(), question);
        connection
            .send(format!("[\"REQ\",\"{name}\",{filter}]"))
            .await?;
        Ok(())
    }
}
