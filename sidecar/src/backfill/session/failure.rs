//! Why a session did not bring everything: one attempt failed, or the peer holds events that it
//! does not give.

use std::time::Duration;

use crate::backfill::compare::CompareError;
use crate::backfill::paging::FetchError;
use crate::backfill::reconciliation::ReconciliationError;
use crate::plan::wanted::RESTRICTED_KINDS;
use crate::relay::connection::{ConnectError, ConnectionError};

/// The stable word for a peer that is not asked because it wants to be left alone.
pub(crate) const LEFT_ALONE: &str = "left_alone";

/// The stable word for a peer that answers nothing to clients who do not say who they are. That is
/// no failure of a run: only the peer's captain can change it.
pub(crate) const WANTS_AUTH: &str = "wants_auth";

/// Why a session failed, as the log and the report show it.
pub(super) struct SessionFailure {
    /// The cause in words.
    pub cause: String,
    /// The stable word for it.
    pub code: &'static str,
}

/// Why one attempt did not bring everything.
#[derive(Debug, thiserror::Error)]
pub(super) enum AttemptError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

impl AttemptError {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Connect(error) => error.code(),
            Self::Fetch(error) => error.code(),
        }
    }

    pub(super) const fn is_worth_another_try(&self) -> bool {
        match self {
            Self::Connect(error) => error.is_worth_another_try(),
            Self::Fetch(error) => error.is_worth_another_try(),
        }
    }

    /// If the relay asks for patience: how long it wants us to wait, as far as it says so.
    pub(super) const fn plea(&self) -> Option<Option<Duration>> {
        match self {
            Self::Fetch(FetchError::RateLimited(_, wait))
            | Self::Connect(ConnectError::Busy { wait, .. }) => Some(*wait),
            _ => None,
        }
    }

    pub(super) const fn is_silence(&self) -> bool {
        matches!(
            self,
            Self::Fetch(FetchError::Connection(ConnectionError::Silent(_)))
        )
    }
}

/// Why an attempt by reconciliation did not bring everything.
pub(super) enum ReconcileAttemptError {
    /// The relay does not reconcile; paging may still bring everything.
    Unfit(CompareError),
    /// Paging would fail in the same way.
    Attempt(AttemptError),
}

impl From<AttemptError> for ReconcileAttemptError {
    fn from(error: AttemptError) -> Self {
        Self::Attempt(error)
    }
}

impl From<ReconciliationError> for ReconcileAttemptError {
    fn from(error: ReconciliationError) -> Self {
        match error {
            ReconciliationError::Unfit(error) => Self::Unfit(error),
            ReconciliationError::Fetch(error) => Self::Attempt(error.into()),
        }
    }
}

/// Which events a peer holds and does not give, although no attempt failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Shortfall {
    #[error("it shows kinds {0:?} only to clients who say who they are (NIP-42)")]
    Kept(Vec<u16>),
    #[error(
        "it answers only clients who say who they are (NIP-42), whatever they ask for; it is asked again in a day; its captain can let others read (strfry: relay.auth), or its folder be taken out of the swarm"
    )]
    KeptAll,
    #[error("it holds what could not be had: {0}")]
    Gap(String),
    #[error("it holds what could not be had: {0}; and {1} more of the kind")]
    Gaps(String, usize),
}

impl Shortfall {
    /// The shortfall of a peer with these gaps that keeps these kinds to itself. Keeping only
    /// direct messages to itself is usual, and none.
    pub(super) fn of(gaps: &[String], unreadable_kinds: &[u16]) -> Option<Self> {
        match gaps {
            [] if are_usually_restricted(unreadable_kinds) => None,
            [] => Some(Self::Kept(unreadable_kinds.to_vec())),
            [gap] => Some(Self::Gap(gap.clone())),
            [gap, more @ ..] => Some(Self::Gaps(gap.clone(), more.len())),
        }
    }

    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::Kept(_) => "auth_required",
            Self::KeptAll => WANTS_AUTH,
            Self::Gap(_) | Self::Gaps(..) => "gap",
        }
    }
}

/// Whether strfry restricts the reading of all these kinds by default.
pub(super) fn are_usually_restricted(kinds: &[u16]) -> bool {
    kinds.iter().all(|kind| RESTRICTED_KINDS.contains(kind))
}
