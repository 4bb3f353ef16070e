//! What becomes of questions for ids that the relay refuses.

use constellation_shared::EventId;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::backfill::fetch_by_id::Collector;
use crate::backfill::fetch_by_id::question::Question;
use crate::backfill::paging::{FetchError, close};
use crate::relay::connection::Connection;
use crate::relay::message::Reason;
use crate::relay::objection::{Dimension, Objection};

/// How often in a row a relay may ask for fewer subscriptions although only one is open.
const MOST_REFUSALS: u32 = 10;

/// How many refused questions are asked again in halves.
const MOST_REFUSED_QUESTIONS: u32 = 1000;

/// How often a question is asked smaller although nobody knows what the relay's words mean.
const MOST_DOUBTS: u8 = 2;

impl Collector<'_> {
    /// Closes all open questions, and from now on asks one at a time.
    pub(super) async fn ask_fewer<S: AsyncRead + AsyncWrite + Unpin>(
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

    /// What to do with an open question that the relay refuses: ask later, fewer at a time, or for
    /// fewer ids, some of which it may mind.
    pub(super) async fn refused<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        connection: &mut Connection<S>,
        name: &str,
        reason: &Reason,
    ) -> Result<(), FetchError> {
        let Some(doubts) = self.open.get(name).map(|question| question.doubts) else {
            return Ok(());
        };
        let doubts = match reason.objection() {
            Objection::RateLimited => return Err(FetchError::limited(reason)),
            Objection::TooManyOpen => return self.ask_fewer(connection, reason).await,
            Objection::TooMuch(
                Dimension::Ids
                | Dimension::Items
                | Dimension::Filters
                | Dimension::Limit
                | Dimension::Any,
            ) => doubts,
            Objection::Unknown if doubts < MOST_DOUBTS => doubts + 1,
            // It may pass.
            Objection::Unknown if reason.prefix() == "error" => {
                return Err(FetchError::limited(reason));
            }
            _ => return Err(FetchError::RefusesIds(reason.to_string())),
        };
        self.doubts.answered(&name.to_owned());
        if let Some(question) = self.open.remove(name) {
            self.may_claim = true;
            let question = Question { doubts, ..question };
            self.ask_in_halves(connection, question).await?;
        }
        Ok(())
    }

    /// Asks again for the two halves of a question that the relay refused.
    pub(super) async fn ask_in_halves<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        connection: &mut Connection<S>,
        question: Question,
    ) -> Result<(), FetchError> {
        let mut ids: Vec<EventId> = question.ids.iter().copied().collect();
        self.refused_questions += 1;
        if ids.len() < 2 || self.refused_questions > MOST_REFUSED_QUESTIONS {
            self.claims.release(self.manner.peer, ids);
            return Ok(());
        }
        let rest = ids.split_off(ids.len() / 2);
        self.ask(connection, Question::new(ids, question.doubts))
            .await?;
        self.ask(connection, Question::new(rest, question.doubts))
            .await
    }
}
