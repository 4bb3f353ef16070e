//! What `constellation-policy` and `constellation-sync` both know.
//!
//! Read it in this order: [`key`] (pubkeys and event ids), [`wot`] (the lists that hold
//! them), [`blacklist`] (the one that is read so that no key is missed), [`list_file`] (where they
//! are found), [`swarm_lists`] (which of other stations' lists count), [`verdict`] (who may
//! write), [`explain`] (why), [`kinds`], [`event`] and [`tag`] (what is written), [`verify`]
//! (what is genuine), [`station`] (where it all lies on disk), [`attributes`] (of a file that
//! takes another's place), [`sanitize`] (foreign text made harmless).
//!
//! Nothing here touches the network, the clock or another process.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::unchecked_time_subtraction
    )
)]

pub mod attributes;
pub mod blacklist;
pub mod event;
pub mod explain;
pub mod key;
pub mod kinds;
pub mod list_file;
pub mod sanitize;
pub mod settings;
mod sparse;
pub mod station;
pub mod swarm_lists;
pub mod tag;
mod text;
pub mod verdict;
pub mod verify;
pub mod wot;

pub use event::Event;
pub use key::{EventId, Pubkey};
pub use station::Station;
pub use tag::TagElement;
pub use text::{counted, hex, unhex};
