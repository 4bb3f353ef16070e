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
pub mod verdict;
pub mod verify;
pub mod wot;

use std::fmt::Display;

pub use event::Event;
pub use key::{EventId, Pubkey};
pub use station::Station;
pub use tag::TagElement;

/// Lower-case hex of any bytes.
pub fn hex(bytes: &[u8]) -> String {
    const_hex::encode(bytes)
}

/// The bytes that hex of either case spells; `None` for what is no hex.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    const_hex::decode(text).ok()
}

/// A number and what it counts, by the name of one: `1 peer`, `2 peers`.
pub fn counted<N: Copy + Display + From<u8> + PartialEq>(number: N, one: &str) -> String {
    let plural = if number == N::from(1) { "" } else { "s" };
    format!("{number} {one}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_written_in_lower_case_and_read_in_either() {
        assert_eq!(hex(&[0x0a, 0xff]), "0aff");
        assert_eq!(unhex("0aFf"), Some(vec![0x0a, 0xff]));
        assert_eq!(unhex(""), Some(Vec::new()));
        assert_eq!((unhex("0af"), unhex("xy")), (None, None));
    }

    #[test]
    fn one_of_them_is_no_plural() {
        assert_eq!(counted(1_u64, "peer"), "1 peer");
        assert_eq!(counted(0_usize, "local member"), "0 local members");
        assert_eq!(counted(2_u32, "day"), "2 days");
    }
}
