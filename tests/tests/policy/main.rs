//! The policy as strfry has it: what it answers, what becomes of its lists, and what it survives.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failed expectation is a failed test"
)]

mod answers;
mod blacklist_file;
mod filters;
mod killed;
mod lines;
mod lists;
mod lists_of_other_stations;
mod load;
mod one_verdict;
mod process;
mod reload;
mod removal;
mod settings;
mod strangers;
