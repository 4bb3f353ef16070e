//! The documents tell the truth about the programs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failed expectation is a failed test"
)]

mod catalogue_of_faults;
mod manuals;
mod troubleshooting;
