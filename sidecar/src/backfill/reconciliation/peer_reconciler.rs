//! What one peer's turn works with, and how it fetches.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use constellation_shared::EventId;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::admission::arrival::Arrival;
use crate::admission::intake::{Intake, PeerIndex};
use crate::backfill::compare::{
    Bounds, CompareError, Compared, MOST_FAILURES, compare, compare_within, filter,
};
use crate::backfill::fetch_by_id::{Manner, Verdict, collect};
use crate::backfill::paging::FetchError;
use crate::backfill::reconciliation::local_ids::Divided;
use crate::backfill::reconciliation::task::{Asking, Task};
use crate::backfill::reconciliation::{
    LARGEST_FRAME, MESSAGE_FRAME, Reconciliation, ReconciliationError, SMALLEST_MESSAGE,
};
use crate::backfill::shared_claims::SharedClaims;
use crate::plan::wanted::{Wanted, subscriptions};
use crate::relay::connection::Connection;
use crate::relay::negentropy::{self, LocalSet};
use crate::relay::nip11::Information;
use crate::support::mutex::lock;

/// How many ids one filter names at most, and how many bytes one of them takes.
const MOST_IDS: u64 = 500;
const ID_LENGTH: u64 = 67;

/// An event that a peer lacks this many seconds after it was created does not come there by itself.
/// Peers fetch what is new every hour.
const LACKED_AFTER: u64 = 3 * 3600;

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
    /// How many bytes came of unwanted events.
    pub unwanted_bytes: AtomicU64,
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

    /// How many bytes of unwanted events came.
    pub(super) fn unwanted_bytes(&self) -> u64 {
        self.unwanted_bytes.load(Ordering::Relaxed)
    }

    /// When the run began, in Unix seconds.
    pub(super) fn now(&self) -> u64 {
        self.reconciliation.times.now
    }

    /// Whether a question is about all authors whose events are wanted.
    pub(super) fn is_about_everybody(&self, task: &Task) -> bool {
        let mut parts = self.wanted.parts.iter();
        parts.all(|part| part.authors.len() <= task.authors.len())
    }

    /// Puts a question, which ends once more than `most` unknown events are listed. What the peer
    /// lacks for good is left out of our set; if no authors are named, what it holds of others is
    /// in it.
    ///
    /// # Errors
    /// [`CompareError`].
    pub(super) async fn compare<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        connection: &mut Connection<S>,
        task: &Task,
        most: usize,
    ) -> Result<Compared, CompareError> {
        let shared = self.reconciliation;
        let is_by_kinds = task.asking != Asking::ByAuthors;
        let (lacked, unwanted) = {
            let sets = shared.sets();
            let unwanted = if is_by_kinds {
                sets.unwanted(&self.url, &task.window)
            } else {
                Vec::new()
            };
            (sets.lacked(&self.url), unwanted)
        };
        let held = shared
            .local_ids
            .held(&task.authors, &task.window, &lacked, unwanted);
        let bounds = Bounds {
            frame: (self.message_length().saturating_sub(MESSAGE_FRAME) / 2).min(LARGEST_FRAME),
            needed: most,
            patience: self.patience,
        };
        // What is listed and need not come. It is not in our set because this peer lacked it.
        let listed = Mutex::new(Vec::new());
        let is_known = |id: &EventId| {
            let is_known = shared.refused.contains(*id, &self.url)
                || (is_by_kinds && shared.sets().is_unwanted(id));
            if is_known {
                lock(&listed).push(*id);
            }
            is_known
        };
        let compared = compare_within(
            connection,
            &filter(&task.window),
            &held,
            bounds,
            is_known,
            |_| true,
        )
        .await?;
        let listed = std::mem::take(&mut *lock(&listed));
        let mut sets = shared.sets();
        sets.has(&self.url, &listed);
        sets.holds(&self.url, listed);
        Ok(compared)
    }

    /// Divides what was found out: what is missing here is returned, in what the peer's set differs
    /// from ours for good is remembered.
    pub(super) fn missing(&self, task: &Task, compared: Compared) -> Vec<EventId> {
        let shared = self.reconciliation;
        // Others bring events while this relay tells what it has.
        let Divided { here, missing } =
            shared
                .local_ids
                .divide(&task.authors, &task.window, compared.needed);
        // What is new here the peer may fetch itself in its next run.
        let before = self.now().saturating_sub(LACKED_AFTER);
        let older =
            shared
                .local_ids
                .created_before(before, &task.authors, &task.window, &compared.lacked);
        let mut sets = shared.sets();
        let gone: Vec<EventId> = {
            let unwanted = compared.lacked.into_iter();
            unwanted.filter(|id| sets.is_unwanted(id)).collect()
        };
        sets.has(&self.url, &here);
        sets.lacks(&self.url, older.into_iter().chain(gone));
        missing
    }

    /// Offers events to whoever fetches them first; this peer has them.
    pub(super) fn offer(&self, missing: Vec<EventId>) {
        self.reconciliation.claims.offer(self.peer, missing);
        self.reconciliation.show_progress();
    }

    /// These events are of this kind, because no other was asked for.
    pub(super) fn name(&self, ids: &[EventId], kind: u16) {
        let ids = ids.iter().copied();
        self.reconciliation.name(self.peer, ids, kind);
    }

    /// What this peer listed and did not bring.
    pub(super) fn failed(&self) -> Vec<EventId> {
        self.reconciliation.claims.failed(self.peer)
    }

    /// This peer does not have these events after all.
    pub(super) fn withdraw(&self, ids: &[EventId]) {
        self.reconciliation.claims.withdraw(self.peer, ids);
    }

    /// Leaves of these ids, which the peer has listed, those of which nothing is known. That it
    /// holds the unwanted ones is remembered.
    pub(super) fn retain_unknown(&self, ids: &mut Vec<EventId>) {
        let shared = self.reconciliation;
        let mut sets = shared.sets();
        sets.holds(&self.url, ids.iter().copied());
        ids.retain(|id| {
            !sets.is_unwanted(id)
                && shared.local_ids.arrived(id).is_none()
                && !shared.refused.contains(*id, &self.url)
        });
    }

    /// Fetches these events for this peer alone, to learn whether they are unwanted.
    ///
    /// # Errors
    /// [`FetchError`].
    pub(super) async fn learn<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        connection: &mut Connection<S>,
        intake: &mut Intake,
        ids: &[EventId],
    ) -> Result<(), FetchError> {
        // Not shared with the others: nobody misses what does not come.
        let claims = SharedClaims::new(1);
        claims.offer(0, ids.iter().copied());
        let manner = Manner {
            peer: 0,
            ..self.manner(false)
        };
        let judge = |arrival: &Arrival| self.judge(arrival, true);
        collect(connection, &claims, intake, manner, judge, || {}).await
    }

    /// What becomes of an event that was asked for by its id. If that was `listed_by_kinds`, it may
    /// be one that nobody here wants.
    fn judge(&self, arrival: &Arrival, listed_by_kinds: bool) -> Verdict {
        let head = arrival.head();
        if self.wanted.wants(head) {
            return Verdict::Wanted;
        }
        let mut parts = self.wanted.parts.iter();
        let is_followed = parts.any(|part| part.authors.binary_search(&head.author).is_ok());
        let is_of_kind = self.wanted.kinds.contains(&head.kind);
        // Otherwise a wanted event could be passed off as an unwanted one.
        if listed_by_kinds && is_of_kind && !is_followed && arrival.has_own_id() {
            let bytes = arrival.length() as u64;
            self.unwanted_bytes.fetch_add(bytes, Ordering::Relaxed);
            let mut sets = self.reconciliation.sets();
            sets.learn(&self.url, head.id, head.into());
            return Verdict::Unwanted;
        }
        Verdict::Unasked
    }

    fn manner(&self, waits: bool) -> Manner {
        Manner {
            peer: self.peer,
            ids_at_once: self.ids_at_once(),
            questions: subscriptions(self.information),
            patience: self.patience,
            waits,
        }
    }

    /// Fetches this peer's share of what is missing; `waits` for what others are fetching. Some of
    /// it may have been `listed_by_kinds`, without names of authors.
    pub(crate) async fn collect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        connection: &mut Connection<S>,
        intake: &mut Intake,
        waits: bool,
        listed_by_kinds: bool,
        mut progress: impl FnMut(),
    ) -> Result<(), ReconciliationError> {
        let manner = self.manner(waits);
        let judge = |arrival: &Arrival| self.judge(arrival, listed_by_kinds);
        let progress = || {
            self.reconciliation.show_progress();
            progress();
        };
        let claims = &self.reconciliation.claims;
        collect(connection, claims, intake, manner, judge, progress).await?;
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
        let mut unnamed = self.reconciliation.unnamed(self.peer, failed);
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
                    Ok(listed) => {
                        let reconciliation = self.reconciliation;
                        reconciliation.name(self.peer, listed.needed, *kind);
                    }
                    Err(CompareError::AuthRequired | CompareError::TooMany) => {}
                    // It is a remark that is at stake, no event.
                    Err(_) => return,
                }
            }
        }
    }
}
