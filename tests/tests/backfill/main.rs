//! One run of the backfill among peers that mean well: what it asks for, what ends in strfry, and what it
//! leaves behind.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failed expectation is a failed test"
)]

mod any_author;
mod asked_for;
mod blacklist;
mod completeness;
mod daily_cycle;
mod deletions;
mod deletions_by_strfry;
mod import_count;
mod limits_of_tags;
mod many_peers;
mod output;
mod process;
mod state_bounds;
mod strfry;
mod sweep;
mod too_long;
