//! What must hold whatever comes: random input, random networks and simulated time, with no program
//! started.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failed expectation is a failed test"
)]

mod completeness;
mod differential;
mod many_live_stations;
mod many_stations;
mod readers;
mod reconciliation;
mod strfry_conf;
