//! Peers that can only be reached over IPFS, with a stand-in ipfs that really forwards.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod case;
mod ends;
mod faults;
mod ids;
mod lan;
mod serves;
