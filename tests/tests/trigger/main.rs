//! `constellation-sync trigger`, and the two scripts through which a station calls it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod case;
mod due;
mod scripts;
