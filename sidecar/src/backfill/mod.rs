//! Fetching from peers: who is wanted and of whom ([`situation`]), a whole run ([`run`]), one peer's session ([`session`]), what it has and
//! we lack ([`reconciliation`], [`compare`]), who fetches what ([`claims`], [`shared_claims`]),
//! fetching by id ([`fetch_by_id`]) and page by page ([`paging`]), questions that a NOTICE may refuse
//! ([`doubts`]), and what ends a session early ([`stop`], [`stragglers`]).

pub(crate) mod claims;
pub(crate) mod compare;
pub(crate) mod doubts;
pub(crate) mod error;
pub(crate) mod fetch_by_id;
pub(crate) mod paging;
pub(crate) mod reconciliation;
pub(crate) mod run;
pub(crate) mod session;
pub(crate) mod shared_claims;
pub(crate) mod situation;
pub(crate) mod stop;
pub(crate) mod stragglers;
