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
mod filters;
mod kept;
mod killed;
mod lines;
mod lists;
mod load;
mod one_verdict;
mod process;
mod reload;
mod removal;
mod swarm;
