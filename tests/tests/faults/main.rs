//! The catalogue of faults, `tests/FAULTS.md`: each run ends in time, with the promised
//! exit code and words, the good peers' events complete, and nothing left behind.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failed expectation is a failed test"
)]

mod kills;
mod load;
mod machine;
mod peers_answers;
mod peers_connect;
mod peers_events;
mod peers_floods;
mod peers_frames;
mod peers_messages;
mod row;
mod state_files;
mod strfry;
mod torture;
