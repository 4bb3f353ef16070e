//! The report of a run: the page, the JSON, the figures, `status`, and who is told.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failed expectation is a failed test"
)]

mod browser;
mod case;
mod figures;
mod names;
mod printed;
mod schema;
mod shown;
mod status;
mod summary;
mod told;
