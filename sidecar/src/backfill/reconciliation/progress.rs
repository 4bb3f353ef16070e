//! [`Progress`]: one peer's reconciliation, question by question. What is missing here is fetched
//! before the next question, so that the ids of one are in hand at a time, not those of all.

use std::collections::{BTreeSet, HashSet};

use constellation_shared::{EventId, counted};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use crate::admission::intake::Intake;
use crate::backfill::compare::{CompareError, Compared};
use crate::backfill::paging::FetchError;
use crate::backfill::reconciliation::task::{Asking, MOST_UNKNOWN, Task, Ways, naming, plan};
use crate::backfill::reconciliation::tries::Tries;
use crate::backfill::reconciliation::{PeerReconciler, ReconciliationError};
use crate::plan::peer_sets::Span;
use crate::relay::connection::{Connection, ConnectionError};
use crate::relay::filter::{LATEST, Window};

/// How often in a row a relay may refuse for the number of events: from all of time to a second it
/// is halved 32 times.
const MOST_REFUSALS: u32 = 40;

/// A relay may list only events that are here, and say that there is more, this often in a row.
const MOST_EMPTY_PARTS: u32 = 20;

/// How far one peer's reconciliation has come; another connection goes on from there.
#[derive(Debug)]
pub(crate) struct Progress {
    /// The questions that are left, the next one last.
    todo: Vec<Task>,
    /// How often in a row the number of events was refused.
    refusals: u32,
    /// What must be paged through after all.
    pub to_walk: Vec<Window>,
    /// Kinds that the relay shows only to clients who say who they are.
    pub unreadable_kinds: Vec<u16>,
    /// Whether authors were named, all that are followed.
    pub by_authors: bool,
    /// How many events were listed that were missing here.
    listed: usize,
    /// How many answers in a row listed only events that are here, and said that there is more.
    empty_parts: u32,
    /// The events that were listed when no authors were named.
    listed_by_kinds: Vec<EventId>,
    doubts: Doubts,
    tries: Tries,
}

/// Events that were listed when no authors were named, and did not come. Whether they are wanted at
/// all is unknown until the authors are named.
#[derive(Debug, Default)]
struct Doubts {
    /// The questions that named no authors.
    asked: Vec<Task>,
    /// What was listed then.
    listed: HashSet<EventId>,
    /// What did not come, and was not listed again when the authors were named.
    in_doubt: Option<BTreeSet<EventId>>,
}

impl Progress {
    /// Nothing has been compared yet of what is wanted.
    pub(crate) fn new(reconciler: &PeerReconciler<'_>) -> Self {
        let PeerReconciler {
            reconciliation,
            wanted,
            url,
            ..
        } = reconciler;
        let now = reconciliation.times.now;
        let mut sets = reconciliation.sets();
        let is_known = sets.begin(url, now);
        let ways = Ways {
            recent: sets.way(url, Span::Recent),
            older: sets.way(url, Span::Older),
            may_try: is_known && sets.room(url) > MOST_UNKNOWN,
        };
        drop(sets);
        Self {
            todo: plan(wanted, ways, now),
            refusals: 0,
            to_walk: Vec::new(),
            unreadable_kinds: Vec::new(),
            by_authors: false,
            listed: 0,
            empty_parts: 0,
            listed_by_kinds: Vec::new(),
            doubts: Doubts::default(),
            tries: Tries::new(naming(wanted)),
        }
    }

    /// Finds out what the relay has and we lack, and fetches this peer's share of it.
    ///
    /// # Errors
    /// [`ReconciliationError`].
    pub(crate) async fn reconcile<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        connection: &mut Connection<S>,
        reconciler: &PeerReconciler<'_>,
        intake: &mut Intake,
        mut progress: impl FnMut(),
    ) -> Result<(), ReconciliationError> {
        loop {
            while let Some(task) = self.todo.last().cloned() {
                if self.is_needless(&task) {
                    self.todo.pop();
                    continue;
                }
                let most = self.tries.most_unknown(reconciler, task.asking);
                match reconciler.compare(connection, &task, most).await {
                    Ok(compared) => {
                        self.refusals = 0;
                        let is_more = compared.is_part || compared.needed.len() > most;
                        // Paging takes the newest of them.
                        let most = reconciler.wanted.most_events;
                        if self.listed + compared.needed.len() > most {
                            let error = CompareError::MoreThanTaken(most);
                            return Err(ReconciliationError::Unfit(error));
                        }
                        let waits = self.take(&task, compared, is_more, reconciler);
                        if self.empty_parts > MOST_EMPTY_PARTS {
                            return Err(ReconciliationError::Unfit(CompareError::Invents));
                        }
                        let by_kinds = !self.listed_by_kinds.is_empty();
                        reconciler
                            .collect(connection, intake, waits, by_kinds, &mut progress)
                            .await?;
                    }
                    Err(error) => self.cope(task, error, reconciler)?,
                }
            }
            let by_kinds = !self.listed_by_kinds.is_empty();
            reconciler
                .collect(connection, intake, true, by_kinds, &mut progress)
                .await?;
            if !self.ask_again(reconciler) {
                break;
            }
        }
        self.drop_doubts(reconciler);
        // That it holds what another peer brought is remembered.
        reconciler.retain_unknown(&mut self.listed_by_kinds);
        self.tries.end(connection, reconciler, intake).await;
        Ok(())
    }

    /// Whether a question need not be asked any more.
    fn is_needless(&self, task: &Task) -> bool {
        let is_unreadable = |kind: &u16| self.unreadable_kinds.contains(kind);
        if task.window.kinds.iter().all(is_unreadable) {
            return true;
        }
        match task.asking {
            // After a run that had much to catch up with, little can be said of the peer.
            Asking::Try(span) | Asking::TryNewest(span) => {
                self.listed > MOST_UNKNOWN || self.tries.has_failed(span)
            }
            Asking::ByAuthors | Asking::ByKinds(_) => false,
        }
    }

    /// Takes what was found out; `is_more` if that is more than the question allows. Returns
    /// whether to wait for what others fetch before the next question.
    fn take(
        &mut self,
        task: &Task,
        compared: Compared,
        is_more: bool,
        reconciler: &PeerReconciler<'_>,
    ) -> bool {
        let missing = reconciler.missing(task, compared);
        let (url, listed) = (&reconciler.url, missing.len());
        debug!("{url} lists {}", counted(listed, "missing event"));
        // Whatever does not come of these is no failure, however much it is.
        if let [kind] = task.window.kinds[..]
            && task.is_restricted()
        {
            reconciler.name(&missing, kind);
        }
        match task.asking {
            Asking::ByAuthors => {
                self.by_authors |= reconciler.is_about_everybody(task);
                if let Some(in_doubt) = &mut self.doubts.in_doubt {
                    missing.iter().for_each(|id| {
                        in_doubt.remove(id);
                    });
                }
                if !is_more {
                    self.todo.pop();
                }
                self.listed += listed;
                self.empty_parts = match listed {
                    0 if is_more => self.empty_parts + 1,
                    _ => 0,
                };
                reconciler.offer(missing);
                return is_more;
            }
            Asking::ByKinds(span) if is_more => {
                self.todo.pop();
                self.todo.extend(task.by_authors());
                self.tries.fell_back(span, missing);
            }
            Asking::ByKinds(span) => {
                self.todo.pop();
                self.tries.went_by_kinds(span);
                self.listed_by_kinds.extend(&missing);
                if !task.is_restricted() {
                    self.doubts.asked.push(task.clone());
                    self.doubts.listed.extend(&missing);
                }
                reconciler.offer(missing);
            }
            Asking::Try(span) | Asking::TryNewest(span) => {
                self.todo.pop();
                self.tries.tried(span, missing, is_more);
            }
        }
        false
    }

    /// Asks again, with the authors named, if something did not come that was listed without.
    fn ask_again(&mut self, reconciler: &PeerReconciler<'_>) -> bool {
        let failed = reconciler.failed();
        let in_doubt = failed
            .into_iter()
            .filter(|id| self.doubts.listed.contains(id));
        let in_doubt: BTreeSet<EventId> = in_doubt.collect();
        if in_doubt.is_empty() || self.doubts.in_doubt.is_some() {
            return false;
        }
        for task in self.doubts.asked.drain(..) {
            self.todo.extend(task.by_authors());
        }
        self.tries.had_doubts();
        self.doubts.in_doubt = Some(in_doubt);
        true
    }

    /// What was not listed again when the authors were named is not wanted.
    fn drop_doubts(&mut self, reconciler: &PeerReconciler<'_>) {
        if let Some(in_doubt) = &self.doubts.in_doubt {
            let ids: Vec<EventId> = in_doubt.iter().copied().collect();
            reconciler.withdraw(&ids);
        }
    }

    /// What to do with a question that was not answered.
    fn cope(
        &mut self,
        task: Task,
        error: CompareError,
        reconciler: &PeerReconciler<'_>,
    ) -> Result<(), ReconciliationError> {
        match error {
            CompareError::Connection(error) => Err(FetchError::Connection(error).into()),
            CompareError::RateLimited(words, wait) => {
                Err(FetchError::RateLimited(words, wait).into())
            }
            CompareError::AuthRequired if task.window.kinds.len() == 1 => {
                self.todo.pop();
                self.unreadable_kinds.extend(task.window.kinds);
                Ok(())
            }
            error => match task.asking {
                Asking::ByAuthors => self.cope_with_named(task, error, reconciler),
                Asking::ByKinds(span) | Asking::Try(span) | Asking::TryNewest(span) => {
                    self.todo.pop();
                    // A try is no more than that.
                    if task.asking == Asking::ByKinds(span) {
                        self.todo.extend(task.by_authors());
                    }
                    self.tries.fail(reconciler, span);
                    Self::cope_with_silence(&error, reconciler)
                }
            },
        }
    }

    /// A relay that was silent may answer yet, and that must not be taken for its next answer: it
    /// is asked on another connection.
    fn cope_with_silence(
        error: &CompareError,
        reconciler: &PeerReconciler<'_>,
    ) -> Result<(), ReconciliationError> {
        match error {
            CompareError::Silent | CompareError::Reconcile(_) => {
                let silent = ConnectionError::Silent(reconciler.patience);
                Err(FetchError::Connection(silent).into())
            }
            _ => Ok(()),
        }
    }

    fn cope_with_named(
        &mut self,
        task: Task,
        error: CompareError,
        reconciler: &PeerReconciler<'_>,
    ) -> Result<(), ReconciliationError> {
        match error {
            CompareError::TooMany if self.refusals >= MOST_REFUSALS => {
                Err(ReconciliationError::Unfit(CompareError::TooMany))
            }
            CompareError::TooMany => {
                self.refusals += 1;
                self.todo.pop();
                match halves(&task.window, reconciler.now()) {
                    Some(halves) => {
                        let halves = halves.into_iter().map(|window| task.within(window));
                        self.todo.extend(halves);
                    }
                    None => self.to_walk.push(task.window),
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
