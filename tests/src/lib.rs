//! What the tests of the programs stand on, and the demo.
//!
//! Read it in this order: [`author`] (who signs events), [`mod@station`] (a temporary
//! `~/.zen`), [`command`] (a program under test), [`policy_program`] and [`sync_program`]
//! (our two programs, and what they leave behind), [`members`] (profiles and full syncs),
//! [`stand_in`] (a strfry where there is none), [`ipfs`] (the same for IPFS), [`relay`] (a
//! peer that behaves as a test asks it to), [`library_relay`] (a relay that other people
//! wrote), [`real_relay`] (a real strfry as a relay), [`properties`] (what must hold of each
//! reader of foreign text). [`record`] and [`filter`] are what both doubles of strfry share.
//! [`document`] is what the tests of the documents read. [`simulation`] is many stations in
//! simulated time, and [`completeness`] is many to which everything happens that can go wrong.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support: a broken test station is a failed test"
)]

pub mod author;
pub mod command;
pub mod completeness;
pub mod demo;
pub mod document;
pub mod filter;
pub mod ipfs;
pub mod library_relay;
pub mod manuals;
pub mod members;
mod output;
pub mod policy_program;
pub mod properties;
pub mod real_relay;
pub mod record;
pub mod relay;
pub mod simulation;
pub mod stand_in;
pub mod station;
pub mod station_plugin;
pub mod sync_program;
pub mod terminal;

pub use author::Author;
pub use relay::{Behaviour, RawRelay, ScriptedRelay};
pub use station::StationDir;

/// A [`StationDir`] with this package's `demo` behind its programs. Only in tests and
/// benches of this package, where cargo says where that lies.
#[macro_export]
macro_rules! station {
    () => {
        $crate::StationDir::new(env!("CARGO_BIN_EXE_demo"))
    };
}
