//! One peer's turn by reconciliation: learn what it has and we lack, fetch the share of it
//! that falls to this peer, and leave the rest to paging.

mod local_ids;
mod peer_reconciler;

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;

use constellation_shared::{EventId, counted};
use indicatif::ProgressBar;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::admission::intake::{ArrivalListener, Intake, PeerIndex};
use crate::backfill::compare::{CompareError, Compared, compare, filter};
use crate::backfill::paging::FetchError;
use crate::backfill::shared_claims::SharedClaims;
use crate::plan::refused::Refused;
use crate::plan::selection::AT_ONCE;
use crate::plan::wanted::{RESTRICTED_KINDS, Wanted};
use crate::relay::about::About;
use crate::relay::connection::Connection;
use crate::relay::filter::{LATEST, Window};
use crate::relay::message::Head;
use crate::relay::nip11::Information;
use crate::report::Undelivered;
use crate::strfry::Strfry;
use crate::support::error_chain::chain;
use crate::support::mutex::lock;

pub(crate) use peer_reconciler::PeerReconciler;

use local_ids::{LocalIds, Lookup};

/// How many authors one reconciliation names: with them the first message is below
/// 64 KiB, the smallest that relays are known to take.
///
/// Without authors strfry compares by a tree that it keeps ready. Measured on a real one
/// with 1,000 authors, 20,000 events of theirs and as many of others: nothing new 5.5 ms and
/// 0.7 kB instead of 104 ms and 69 kB; but each event of others is then listed, downloaded
/// once to learn that it is not wanted (20,000 of them 14 MB), and to be remembered, and
/// anybody may write to a relay as much as they like. What we ask for is bounded by whom we
/// follow, so the authors are named.
const AUTHORS: usize = 850;

/// The smallest message length with which reconciliation is tried, in bytes.
const SMALLEST_MESSAGE: u64 = 65_536;

/// What a message takes besides the frame in it, in bytes.
const MESSAGE_FRAME: u64 = 1000;

/// The largest frame, in bytes: the most that strfry itself sends.
const LARGEST_FRAME: u64 = 500_000;

/// How often in a row a relay may refuse for the number of events: from all of time to a
/// second it is halved 32 times.
const MOST_REFUSALS: u32 = 40;

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
    pub refused: Refused,
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
    /// Of which kinds those are that a peer listed and did not send.
    kinds: Mutex<HashMap<EventId, u16>>,
    /// Which events a peer sent in a forged form.
    forged: Mutex<HashSet<(PeerIndex, EventId)>>,
}

impl Reconciliation {
    /// For one run.
    pub fn new(
        strfry: Strfry,
        refused: Refused,
        claims: SharedClaims,
        times: Times,
        bar: ProgressBar,
    ) -> Self {
        Self {
            strfry,
            refused,
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

    fn show_progress(&self) {
        let progress = self.claims.progress();
        self.bar.set_length(progress.missing as u64);
        self.bar.set_position(progress.settled as u64);
    }

    /// Those whose kind is not known yet.
    fn unnamed(&self, mut ids: Vec<EventId>) -> Vec<EventId> {
        let kinds = lock(&self.kinds);
        ids.retain(|id| !kinds.contains_key(id));
        ids
    }

    /// These are of this kind.
    fn name(&self, ids: impl IntoIterator<Item = EventId>, kind: u16) {
        let mut kinds = lock(&self.kinds);
        kinds.extend(ids.into_iter().map(|id| (id, kind)));
    }

    /// How many events peers listed and none of them sent, by kind where that is known.
    pub fn undelivered(&self) -> Undelivered {
        let kinds = lock(&self.kinds);
        let mut undelivered = Undelivered::new();
        for id in self.claims.undelivered() {
            *undelivered.entry(kinds.get(&id).copied()).or_default() += 1;
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
            let kind = kinds.get(id);
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
            if self.local_ids.covers(&whole) {
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
        } else if let Some(peer) = fetched_by {
            lock(&self.forged).insert((peer, event.id));
            self.claims.release(peer, [event.id]);
        }
    }
}

/// How far one peer's reconciliation has come; another connection goes on from there.
#[derive(Debug)]
pub(crate) struct Progress {
    todo: Vec<Window>,
    /// How often in a row the number of events was refused.
    refusals: u32,
    /// What must be paged through after all.
    pub to_walk: Vec<Window>,
    /// Kinds that the relay shows only to clients who say who they are.
    pub unreadable_kinds: Vec<u16>,
}

/// Why a peer's reconciliation ended before it was done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconciliationError {
    /// Something that paging through would meet as well.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The relay does not reconcile after all: everything is to be paged through.
    #[error(transparent)]
    Unfit(CompareError),
}

/// Whether this relay is worth the try.
pub(crate) fn is_fit(information: &Information) -> bool {
    information.negentropy
        && information
            .max_message_length
            .is_none_or(|length| length >= SMALLEST_MESSAGE)
}

impl Progress {
    /// Nothing has been compared yet of what is wanted.
    pub(crate) fn new(wanted: &Wanted) -> Self {
        Self {
            todo: wanted.windows_of(AUTHORS),
            refusals: 0,
            to_walk: Vec::new(),
            unreadable_kinds: Vec::new(),
        }
    }

    /// Learns what the relay has and we lack, and fetches this peer's share of it, window by
    /// window: so the ids of one window are in hand at a time, not those of all.
    ///
    /// # Errors
    /// [`ReconciliationError`].
    pub(crate) async fn reconcile<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        connection: &mut Connection<S>,
        turn: &PeerReconciler<'_>,
        intake: &mut Intake,
        mut progress: impl FnMut(),
    ) -> Result<(), ReconciliationError> {
        let PeerReconciler {
            reconciliation,
            peer,
            ..
        } = *turn;
        let length = turn.message_length();
        let frame_limit = (length.saturating_sub(MESSAGE_FRAME) / 2).min(LARGEST_FRAME);
        while let Some(window) = self.todo.last() {
            let held = reconciliation.local_ids.held(window);
            let filter = filter(window);
            let is_refused = |id: &EventId| reconciliation.refused.contains(*id, &turn.url);
            let compared = compare(
                connection,
                &filter,
                &held,
                frame_limit,
                turn.patience,
                is_refused,
            )
            .await;
            drop(held);
            let Compared { needed, is_part } = match compared {
                Ok(compared) => compared,
                Err(error) => {
                    self.cope(error, reconciliation.times.now)?;
                    continue;
                }
            };
            // Others bring events while this relay tells what it has.
            let mut missing = Vec::from_iter(needed);
            reconciliation
                .local_ids
                .retain_missing(window, &mut missing);
            if !is_part {
                self.todo.pop();
            }
            self.refusals = 0;
            let listed = missing.len();
            reconciliation.claims.offer(peer, missing);
            reconciliation.show_progress();
            let listed = counted(listed, "missing event");
            debug!("{} lists {listed}", turn.url);
            turn.collect(connection, intake, is_part, &mut progress)
                .await?;
        }
        turn.collect(connection, intake, true, &mut progress).await
    }

    /// What to do with a window that could not be reconciled.
    fn cope(&mut self, error: CompareError, now: u64) -> Result<(), ReconciliationError> {
        match error {
            CompareError::Connection(error) => Err(FetchError::Connection(error).into()),
            CompareError::TooMany if self.refusals >= MOST_REFUSALS => {
                Err(ReconciliationError::Unfit(CompareError::TooMany))
            }
            CompareError::TooMany => {
                self.refusals += 1;
                if let Some(window) = self.todo.pop() {
                    match halves(&window, now) {
                        Some(halves) => self.todo.extend(halves),
                        None => self.to_walk.push(window),
                    }
                }
                Ok(())
            }
            CompareError::AuthRequired => {
                if let Some(window) = self.todo.pop() {
                    match window.kinds.as_slice() {
                        [kind] => self.unreadable_kinds.push(*kind),
                        _ => self.to_walk.push(window),
                    }
                }
                Ok(())
            }
            error => Err(ReconciliationError::Unfit(error)),
        }
    }
}

/// The two halves of a window in time, the newer one last; `None` for a single second.
fn halves(window: &Window, now: u64) -> Option<[Window; 2]> {
    // Hardly anything lies ahead of now.
    let until = match window.until {
        LATEST => now.max(window.since),
        until => until,
    };
    let middle = window.since + until.checked_sub(window.since)? / 2;
    if window.until <= window.since || middle >= window.until {
        return None;
    }
    Some([
        Window {
            until: middle,
            ..window.clone()
        },
        Window {
            since: middle + 1,
            ..window.clone()
        },
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use constellation_shared::Pubkey;

    fn window(since: u64, until: u64) -> Window {
        Window {
            authors: vec![Pubkey::from_bytes([1; 32])],
            kinds: vec![1],
            since,
            until,
        }
    }

    #[test]
    fn halves_cover_the_window_and_end_at_a_second() {
        let mut todo = vec![window(10, LATEST)];
        let mut seconds = Vec::new();
        let mut steps = 0;
        while let Some(part) = todo.pop() {
            steps += 1;
            assert!(steps < 1000, "it does not end");
            // Everything up to 40 is refused for its number, down to single seconds.
            match halves(&part, 40) {
                Some(parts) if part.since <= 40 => todo.extend(parts),
                _ => seconds.push((part.since, part.until)),
            }
        }
        seconds.sort_unstable();
        let mut expected: Vec<(u64, u64)> = (10..=40).map(|second| (second, second)).collect();
        expected.push((41, LATEST));
        assert_eq!(seconds, expected);
    }
}
