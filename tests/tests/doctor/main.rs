//! The doctor finds each fault that is planted into a sound station, and on a sound one
//! nothing.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what fails here is a failed test"
)]

mod conduct;
mod faults;
mod faults_around;
mod faults_here;
mod sound;
