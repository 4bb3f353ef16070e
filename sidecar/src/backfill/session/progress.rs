//! [`Progress`]: how far a session has come. The next attempt goes on from there.

use std::time::Duration;

use crate::backfill::reconciliation;
use crate::relay::nip11::Information;
use crate::relay::pager::Pager;

/// How far a session has come.
#[derive(Default)]
pub(super) struct Progress {
    /// How far paging has come, once it has begun.
    pub pager: Option<Pager>,
    /// How far reconciliation has come, once it has begun.
    pub reconciliation: Option<reconciliation::Progress>,
    /// When the run began, in Unix seconds.
    pub now: u64,
    /// How long the relay wants to be left alone, if that does not fit into the run.
    pub wants_rest: Option<Duration>,
    /// Whether the relay turned out not to reconcile.
    pub is_unfit: bool,
    /// Whether it said that it never will.
    pub never_reconciles: bool,
    /// What the relay says of itself, once it was asked.
    pub information: Option<Information>,
}

impl Progress {
    /// Nothing has come yet in the run that began at `now`, in Unix seconds.
    pub(super) fn new(now: u64) -> Self {
        Self {
            now,
            ..Self::default()
        }
    }

    /// Whether the authors were named when the peer was asked.
    pub(super) fn named_authors(&self) -> bool {
        let reconciled = self.reconciliation.as_ref();
        self.pager.is_some() || reconciled.is_some_and(|progress| progress.by_authors)
    }

    /// The kinds that the relay shows only to clients who say who they are, in ascending order.
    pub(super) fn unreadable_kinds(&self) -> Vec<u16> {
        let reconciled = self.reconciliation.iter();
        let mut kinds: Vec<u16> = reconciled
            .flat_map(|progress| &progress.unreadable_kinds)
            .chain(self.pager.iter().flat_map(Pager::unreadable_kinds))
            .copied()
            .collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }
}
