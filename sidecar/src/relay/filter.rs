//! Filters of subscriptions (NIP-01): [`Window`], the part of the wanted events that one
//! subscription asks for, and [`Filter`], its form in a REQ message.

use constellation_shared::Pubkey;
use serde::Serialize;

/// The latest time that a filter can name, in Unix seconds: the largest whole number that every
/// JSON parser reads exactly. A filter that reaches that far has no `until`.
pub(crate) const LATEST: u64 = (1 << 53) - 1;

/// A part of the wanted events: authors, kinds and a span of time, both ends included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The authors; if there are none, those of everybody.
    pub authors: Vec<Pubkey>,
    /// The kinds.
    pub kinds: Vec<u16>,
    /// The earliest time, in Unix seconds.
    pub since: u64,
    /// The latest time, in Unix seconds.
    pub until: u64,
}

/// A filter as a REQ message carries it (NIP-01).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Filter {
    /// No author means any author.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authors: Vec<String>,
    pub kinds: Vec<u16>,
    #[serde(skip_serializing_if = "is_zero")]
    pub since: u64,
    #[serde(skip_serializing_if = "is_unbounded")]
    pub until: u64,
    pub limit: usize,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_zero(since: &u64) -> bool {
    *since == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_unbounded(until: &u64) -> bool {
    *until >= LATEST
}
