//! Fetching from peers: a whole run ([`run`]), one peer's session ([`session`]), what it has and
//! we lack ([`reconciliation`], [`compare`]), who fetches what ([`claims`], [`shared_claims`]),
//! fetching by id ([`fetch_by_id`]) and page by page ([`paging`]), and what ends a session early
//! ([`stop`], [`stragglers`]).

pub mod claims;
pub mod compare;
pub mod error;
pub mod fetch_by_id;
pub mod paging;
pub mod reconciliation;
pub mod run;
pub mod session;
pub mod shared_claims;
pub mod stop;
pub mod stragglers;
