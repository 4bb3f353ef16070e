//! The scripted relay's own manners, and that the library's relay answers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a client that fails is a failed test"
)]

mod client;
mod faults;
mod limits;
mod reconcile;
