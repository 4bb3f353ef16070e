//! What an operator types, a module for each command.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failed expectation is a failed test"
)]

mod bugreport;
mod config;
mod doctor;
mod help;
mod install;
mod trigger;
mod why;
mod why_words;
