//! One peer's turn by reconciliation: learn what it has and we lack, fetch the share of it
//! that falls to this peer, and leave the rest to paging.

mod local_ids;
mod peer_reconciler;
mod progress;
mod task;
mod tries;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use constellation_shared::EventId;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tracing::warn;

use crate::admission::intake::{ArrivalListener, PeerIndex};
use crate::backfill::compare::CompareError;
use crate::backfill::paging::FetchError;
use crate::backfill::shared_claims::SharedClaims;
use crate::plan::peer_sets::PeerSets;
use crate::plan::refused::Refused;
use crate::plan::selection::AT_ONCE;
use crate::plan::wanted::{RESTRICTED_KINDS, Wanted};
use crate::relay::about::About;
use crate::relay::filter::{LATEST, Window};
use crate::relay::message::Head;
use crate::relay::nip11::Information;
use crate::report::Undelivered;
use crate::strfry::Strfry;
use crate::support::error_chain::chain;
use crate::support::mutex::lock;

pub(crate) use peer_reconciler::PeerReconciler;
pub(crate) use progress::Progress;

use local_ids::{LocalIds, Lookup};

/// The smallest message length with which reconciliation is tried, in bytes.
const SMALLEST_MESSAGE: u64 = 65_536;

/// What a message takes besides the frame in it, in bytes.
const MESSAGE_FRAME: u64 = 1000;

/// The largest frame, in bytes: the most that strfry itself sends.
const LARGEST_FRAME: u64 = 500_000;

/// The progress bar as soon as it is known that something is missing.
const MISSING: &str = "{spinner} {pos} of {len} missing events came [{bar:30}]";

/// A peer waits at most this long for the peers before it.
pub(crate) const HEAD_START: Duration = Duration::from_secs(30);

/// The time of a run and how far back it asks, in Unix seconds.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// When the run began.
    pub now: u64,
    /// The earliest time for which any peer will be asked, as far as is known. The local events
    /// since then are looked up at once.
    pub earliest: u64,
}

/// What all sessions of a run share about reconciliation.
#[derive(Debug)]
pub struct Reconciliation {
    /// What tells what we hold, once the first peer wants to know.
    pub strfry: Strfry,
    /// What need not be asked for.
    pub refused: Arc<Refused>,
    /// In what the sets of the peers differ from ours.
    sets: Mutex<PeerSets>,
    /// Who fetches what.
    pub claims: SharedClaims,
    times: Times,
    /// Where it is shown how many are missing, and how many of them came.
    pub bar: ProgressBar,
    /// What is here; looked up again if a peer is asked that reaches further back.
    local_ids: LocalIds,
    /// Held while something is looked up; whether strfry did tell.
    lookup: tokio::sync::Mutex<bool>,
    turns: Semaphore,
    /// Of which kinds those are that a peer listed and did not send, as that peer says. Another
    /// peer's word does not count, or one could excuse whatever others withhold.
    kinds: Mutex<BTreeMap<(EventId, PeerIndex), u16>>,
    /// Which events a peer sent in a forged form.
    forged: Mutex<HashSet<(PeerIndex, EventId)>>,
}

impl Reconciliation {
    /// For one run.
    pub fn new(
        strfry: Strfry,
        refused: Arc<Refused>,
        sets: PeerSets,
        claims: SharedClaims,
        times: Times,
        bar: ProgressBar,
    ) -> Self {
        Self {
            strfry,
            refused,
            sets: Mutex::new(sets),
            claims,
            times,
            bar,
            local_ids: LocalIds::default(),
            lookup: tokio::sync::Mutex::new(true),
            turns: Semaphore::new(AT_ONCE),
            kinds: Mutex::default(),
            forged: Mutex::default(),
        }
    }

    /// Waits for this peer's turn, which lasts until the permit is dropped; not for long
    /// where those before it are slow.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // Only fails once the semaphore is closed, which nobody does.
        timeout(HEAD_START, self.turns.acquire()).await.ok()?.ok()
    }

    /// Shows how many of the missing events came. Those that nobody will send are none of them.
    fn show_progress(&self) {
        if self.bar.is_hidden() {
            return;
        }
        let progress = self.claims.progress();
        let coming = progress.missing - progress.given_up;
        if coming > 0
            && self.bar.length() == Some(0)
            && let Ok(style) = ProgressStyle::with_template(MISSING)
        {
            self.bar.set_style(style);
        }
        self.bar.set_length(coming as u64);
        self.bar.set_position(progress.settled as u64);
    }

    /// Those whose kind this peer has not told yet.
    fn unnamed(&self, peer: PeerIndex, mut ids: Vec<EventId>) -> Vec<EventId> {
        let kinds = lock(&self.kinds);
        ids.retain(|id| !kinds.contains_key(&(*id, peer)));
        ids
    }

    /// These are of this kind, says this peer.
    fn name(&self, peer: PeerIndex, ids: impl IntoIterator<Item = EventId>, kind: u16) {
        let mut kinds = lock(&self.kinds);
        kinds.extend(ids.into_iter().map(|id| ((id, peer), kind)));
    }

    /// How many events peers listed and none of them sent, by kind where a peer told it.
    pub fn undelivered(&self) -> Undelivered {
        let kinds = lock(&self.kinds);
        let mut undelivered = Undelivered::new();
        for id in self.claims.undelivered() {
            let mut told = kinds.range((id, PeerIndex::MIN)..=(id, PeerIndex::MAX));
            let kind = told.next().map(|(_, kind)| *kind);
            *undelivered.entry(kind).or_default() += 1;
        }
        undelivered
    }

    /// How many events this peer listed that neither it nor another peer sent. Forged ones do not
    /// count, nor do kinds that many relays show only to clients who authenticate (NIP-42).
    pub fn withheld_by(&self, peer: PeerIndex) -> usize {
        let undelivered: HashSet<EventId> = self.claims.undelivered().into_iter().collect();
        let kinds = lock(&self.kinds);
        let forged = lock(&self.forged);
        let is_restricted = |id: &EventId| {
            let kind = kinds.get(&(*id, peer));
            kind.is_some_and(|kind| RESTRICTED_KINDS.contains(kind))
        };
        let failed = self.claims.failed(peer).into_iter();
        failed
            .filter(|id| {
                undelivered.contains(id) && !is_restricted(id) && !forged.contains(&(peer, *id))
            })
            .count()
    }

    /// Looks up what is here of what is wanted, once for all peers. Returns whether it is known;
    /// if strfry cannot be asked, that is logged.
    pub async fn look_up(&self, wanted: &Wanted) -> bool {
        let mut tells = self.lookup.lock().await;
        for part in &wanted.parts {
            let mut whole = Window {
                authors: part.authors.to_vec(),
                kinds: wanted.kinds.clone(),
                since: part.since,
                until: part.until,
            };
            if self.local_ids.covers(&part.authors, &whole) {
                continue;
            }
            if !*tells {
                return false;
            }
            if whole.until == LATEST {
                whole.since = whole.since.min(self.times.earliest);
            }
            match self.strfry.local_ids(&whole).await {
                Ok(held) => self
                    .local_ids
                    .push(Lookup::new(&whole, held, &self.refused)),
                Err(error) => {
                    let error = chain(&error);
                    warn!("{error}: what is here is unknown, so everything is asked for");
                    *tells = false;
                    return false;
                }
            }
        }
        true
    }

    /// In what the sets of the peers differ from ours.
    pub(crate) fn sets(&self) -> MutexGuard<'_, PeerSets> {
        lock(&self.sets)
    }

    /// What is known of an event that a peer has brought.
    pub(crate) fn arrived(&self, id: &EventId) -> Option<About> {
        self.local_ids.arrived(id)
    }
}

impl ArrivalListener for Reconciliation {
    fn arrived(&self, event: &Head, is_forged: bool, fetched_by: Option<PeerIndex>) {
        if !is_forged {
            self.local_ids.add(event);
            self.claims.settle(event.id);
            self.show_progress();
        } else if let Some(peer) = fetched_by {
            lock(&self.forged).insert((peer, event.id));
            self.claims.release(peer, [event.id]);
        }
    }
}

/// Why a peer's reconciliation ended before it was done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconciliationError {
    /// Something that paging through would meet as well.
    #[error(transparent)]
    Fetch(FetchError),
    /// The relay does not reconcile after all: everything is to be paged through.
    #[error(transparent)]
    Unfit(CompareError),
}

impl From<FetchError> for ReconciliationError {
    fn from(error: FetchError) -> Self {
        match error {
            // Knowing ids is of no use then.
            FetchError::RefusesIds(words) => Self::Unfit(CompareError::RefusesIds(words)),
            error => Self::Fetch(error),
        }
    }
}

/// Whether this relay is worth the try.
pub(crate) fn is_fit(information: &Information) -> bool {
    information.negentropy
        && information
            .max_message_length
            .is_none_or(|length| length >= SMALLEST_MESSAGE)
}
