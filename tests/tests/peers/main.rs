//! What peers do to a run: they are dead, they hang, they lie, they name odd addresses and odd words.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failed expectation is a failed test"
)]

mod dead_or_silent;
mod fronts;
mod hostile_words;
mod private_addresses;
mod proxies;
mod quiet;
mod reconciliation;
mod refusals;
mod tls;
mod trust;
mod wordings;
