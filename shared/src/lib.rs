//! What `constellation-policy` and `constellation-sync` both know.
//!
//! Read it in this order: [`key`] (pubkeys and event ids), [`wot`] (the lists that hold
//! them), [`list_file`] (where they are found), [`verdict`] (who may write), [`kinds`] and [`event`] (what is written),
//! [`verify`] (what is genuine), [`station`] (where it all lies on disk).
//!
//! Nothing here touches the network, the clock or another process.

pub mod event;
pub mod key;
pub mod kinds;
pub mod list_file;
pub mod station;
pub mod verdict;
pub mod verify;
pub mod wot;

pub use event::Event;
pub use key::{EventId, Pubkey};
pub use station::Station;
