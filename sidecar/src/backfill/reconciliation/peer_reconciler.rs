//! What one peer's turn works with, and how it fetches.

use std::time::Duration;

use constellation_shared::EventId;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::admission::intake::{Intake, PeerIndex};
use crate::backfill::compare::{CompareError, MOST_FAILURES, compare};
use crate::backfill::fetch_by_id::{Manner, collect};
use crate::backfill::reconciliation::{
    MESSAGE_FRAME, Reconciliation, ReconciliationError, SMALLEST_MESSAGE,
};
use crate::plan::wanted::{Wanted, subscriptions};
use crate::relay::connection::Connection;
use crate::relay::message::Head;
use crate::relay::negentropy::{self, LocalSet};
use crate::relay::nip11::Information;

/// How many ids one filter names at most, and how many bytes one of them takes.
const MOST_IDS: u64 = 500;
const ID_LENGTH: u64 = 67;

/// Of how many undelivered events of a peer the kinds are found out.
const MOST_NAMED: usize = 2000;

/// What one peer's turn works with.
#[derive(Debug)]
pub(crate) struct PeerReconciler<'a> {
    /// What the sessions share.
    pub reconciliation: &'a Reconciliation,
    /// What is wanted.
    pub wanted: &'a Wanted,
    /// The peer's place in the run.
    pub peer: PeerIndex,
    /// The URL of the peer.
    pub url: String,
    /// What it tells of itself.
    pub information: &'a Information,
    /// How long the peer may make no progress before it is given up.
    pub patience: Duration,
}

impl PeerReconciler<'_> {
    /// How long a message to it may be, in bytes.
    pub(crate) fn message_length(&self) -> u64 {
        let told = self.information.max_message_length;
        told.unwrap_or(SMALLEST_MESSAGE)
    }

    /// How many ids a question names.
    fn ids_at_once(&self) -> usize {
        let fitting = self.message_length().saturating_sub(MESSAGE_FRAME) / ID_LENGTH;
        let limit = self.information.max_limit.unwrap_or(MOST_IDS);
        usize::try_from(fitting.min(limit).clamp(1, MOST_IDS)).unwrap_or(1)
    }

    /// Fetches this peer's share of what is missing; `waits` for what others are fetching.
    pub(crate) async fn collect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        connection: &mut Connection<S>,
        intake: &mut Intake,
        waits: bool,
        mut progress: impl FnMut(),
    ) -> Result<(), ReconciliationError> {
        let manner = Manner {
            peer: self.peer,
            ids_at_once: self.ids_at_once(),
            questions: subscriptions(self.information),
            patience: self.patience,
            waits,
        };
        let is_wanted = |event: &Head| self.wanted.wants(event);
        let progress = || {
            self.reconciliation.show_progress();
            progress();
        };
        let claims = &self.reconciliation.claims;
        collect(connection, claims, intake, manner, is_wanted, progress).await?;
        if claims.failures(self.peer) > MOST_FAILURES {
            Err(ReconciliationError::Unfit(CompareError::Invents))
        } else {
            Ok(())
        }
    }

    /// Of which kinds those events are that the peer listed and did not send: asked by their
    /// ids, it lists them again, kind by kind. What it does not list again stays unknown.
    pub(crate) async fn name_undelivered<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        connection: &mut Connection<S>,
    ) {
        let failed = self.reconciliation.claims.failed(self.peer);
        let mut unnamed = self.reconciliation.unnamed(failed);
        unnamed.truncate(MOST_NAMED);
        let nothing = LocalSet::from_iter([]);
        for ids in unnamed.chunks(self.ids_at_once()) {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            for kind in &self.wanted.kinds {
                let filter = serde_json::json!({"ids": ids, "kinds": [kind]}).to_string();
                let frame = negentropy::SMALLEST_FRAME;
                let all = |_: &EventId| false;
                let patience = self.patience;
                match compare(connection, &filter, &nothing, frame, patience, all).await {
                    Ok(listed) => self.reconciliation.name(listed.needed, *kind),
                    Err(CompareError::AuthRequired | CompareError::TooMany) => {}
                    // It is a remark that is at stake, no event.
                    Err(_) => return,
                }
            }
        }
    }
}
