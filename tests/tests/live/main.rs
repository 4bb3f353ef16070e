//! `live`: the station is kept level all the time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failed expectation is a failed test"
)]

mod following;
mod hostile;
mod kills;
mod refusals;
mod service;
