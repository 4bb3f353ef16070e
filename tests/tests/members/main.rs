//! What a run does for the members of a station once it has ended: profiles, full syncs, friends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failed expectation is a failed test"
)]

mod case;
mod fallback_relays;
mod friends;
mod full_sync_bounds;
mod full_syncs;
mod profiles;
