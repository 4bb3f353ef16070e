//! Fetching events by their ids, with as many subscriptions at once as the relay allows.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use constellation_shared::EventId;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::admission::arrival::Arrival;
use crate::admission::intake::{Intake, PeerIndex};
use crate::admission::rules::Refusal;
use crate::backfill::claims::Claim;
use crate::backfill::compare::MOST_FAILURES;
use crate::backfill::paging::{FetchError, close};
use crate::backfill::shared_claims::SharedClaims;
use crate::relay::connection::{Connection, ConnectionError};
use crate::relay::message::{self, FromRelay, Reason};
use crate::relay::traffic::Traffic;

/// How often in a row a relay may ask for fewer subscriptions although only one is open.
const MOST_REFUSALS: u32 = 10;

/// How many refused questions are asked again in halves.
const MOST_REFUSED_QUESTIONS: u32 = 1000;

/// How one relay is asked for events by their ids.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// The peer's number in the run.
    pub peer: PeerIndex,
    /// How many ids one question names.
    pub ids_at_once: usize,
    /// How many questions are open at once.
    pub questions: usize,
    /// How long the peer may make no progress before it is given up.
    pub patience: Duration,
    /// Whether to wait for what other peers are fetching, because they may fail to bring it.
    pub waits: bool,
}

/// One question and what it still waits for.
#[derive(Debug)]
struct Question {
    ids: HashSet<EventId>,
    /// The ids that came. More events may come with one of these ids: the genuine event and its
    /// forged twins are told apart later.
    came: HashSet<EventId>,
}

/// What becomes of an event that was asked for by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is handed on, to be verified.
    Wanted,
    /// Nobody here wants it, which is remembered.
    Unwanted,
    /// It is not what the relay said that it has.
    Unasked,
}

/// Something that came as an event.
struct Came<'a> {
    subscription: &'a str,
    json: &'a str,
    traffic: &'a Traffic,
}

/// Whether an event was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Yes,
    /// Something of this id came before.
    Again,
    No,
}

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
            let text = connection.receive(self.deadline, self.manner.patience);
            let text = text.await?;
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
                    }
                }
                Some(FromRelay::Eose { subscription }) => {
                    self.end(connection, &subscription).await?;
                }
                Some(FromRelay::Closed {
                    subscription,
                    reason,
                }) => self.closed(connection, &subscription, &reason).await?,
                Some(FromRelay::Notice(reason)) if reason.says_too_many_subscriptions() => {
                    self.ask_fewer(connection, &reason).await?;
                }
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
                    self.ask(connection, ids).await?;
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
                self.ask(connection, ids).await?;
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

    /// Closes all open questions, and from now on asks one at a time.
    async fn ask_fewer<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        connection: &mut Connection<S>,
        reason: &Reason,
    ) -> Result<(), FetchError> {
        self.refusals += 1;
        if self.refusals > MOST_REFUSALS {
            return Err(FetchError::Limited(reason.to_string()));
        }
        let given_back = std::mem::take(&mut self.open);
        for (name, question) in given_back {
            connection.send(close(&name)).await?;
            self.claims.give_back(self.manner.peer, question.ids);
        }
        self.manner.questions = 1;
        self.may_claim = true;
        Ok(())
    }

    /// The relay closed a question by itself. It may only mind some of the ids.
    async fn closed<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        connection: &mut Connection<S>,
        subscription: &str,
        reason: &Reason,
    ) -> Result<(), FetchError> {
        if !self.open.contains_key(subscription) {
            return Ok(());
        }
        if matches!(reason.prefix(), "rate-limited" | "error") {
            return Err(FetchError::limited(reason));
        }
        if let Some(question) = self.open.remove(subscription) {
            self.may_claim = true;
            self.ask_in_halves(connection, question).await?;
        }
        Ok(())
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
        let Some(arrival) = intake.read(json) else {
            // It does not count as delivered.
            intake.refuse_garbage(Refusal::Malformed);
            return Asked::No;
        };
        let id = arrival.head().id;
        let asked = self.asked(subscription, id);
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

    fn asked(&mut self, subscription: &str, id: EventId) -> Asked {
        let Some(question) = self.open.get_mut(subscription) else {
            return Asked::No;
        };
        if question.ids.remove(&id) {
            question.came.insert(id);
            return Asked::Yes;
        }
        if question.came.contains(&id) {
            Asked::Again
        } else {
            Asked::No
        }
    }

    /// Asks again for the two halves of a question that the relay refused.
    async fn ask_in_halves<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        connection: &mut Connection<S>,
        question: Question,
    ) -> Result<(), FetchError> {
        let mut ids: Vec<EventId> = question.ids.into_iter().collect();
        self.refused_questions += 1;
        if ids.len() < 2 || self.refused_questions > MOST_REFUSED_QUESTIONS {
            self.claims.release(self.manner.peer, ids);
            return Ok(());
        }
        let rest = ids.split_off(ids.len() / 2);
        self.ask(connection, ids).await?;
        self.ask(connection, rest).await
    }

    /// Ends a question whose stored events have all come (EOSE). A relay that sent only some of
    /// the events may have reached its limit for one question: it is asked for the rest, until
    /// it sends none of it.
    async fn end<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        connection: &mut Connection<S>,
        subscription: &str,
    ) -> Result<(), FetchError> {
        let Some(question) = self.open.remove(subscription) else {
            return Ok(());
        };
        connection.send(close(subscription)).await?;
        self.extend_deadline();
        self.may_claim = true;
        if question.ids.is_empty() {
            return Ok(());
        }
        if !question.came.is_empty() {
            return self
                .ask(connection, question.ids.into_iter().collect())
                .await;
        }
        self.claims.release(self.manner.peer, question.ids);
        Ok(())
    }

    async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        connection: &mut Connection<S>,
        ids: Vec<EventId>,
    ) -> Result<(), FetchError> {
        let name = format!("ids{}", self.next_name);
        self.next_name += 1;
        let hex: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let filter = serde_json::json!({"ids": hex, "limit": ids.len()});
        let question = Question {
            ids: ids.into_iter().collect(),
            came: HashSet::new(),
        };
        // Before it is sent: if that fails, the ids are given back.
        self.open.insert(name.clone(), question);
        connection
            .send(format!("[\"REQ\",\"{name}\",{filter}]"))
            .await?;
        Ok(())
    }
}
