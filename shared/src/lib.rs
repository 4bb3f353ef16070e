//! What `constellation-policy` and `constellation-sync` share.
//!
//! Read it in this order: [`key`] (pubkeys and event ids), [`wot`] (lists of keys),
//! [`blacklist`] (the list that is read so that no key is missed), [`list_file`] (lists on
//! disk), [`swarm_lists`] (which of other stations' lists are read), [`verdict`] (who may
//! write), [`explain`] (why), [`kinds`], [`event`] and [`tag`] (events), [`verify`] (whether
//! an event is genuine), [`station`] (the files of a station), [`kubo`] (its IPFS node), [`settings`] (the file with
//! settings of both programs), [`regular_file`] (opening files of which nothing is known),
//! [`attributes`] (permissions of a file that replaces another), [`sanitize`] (makes foreign text harmless).
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
pub mod kubo;
pub mod list_file;
pub mod regular_file;
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
