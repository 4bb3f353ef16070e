//! The protocol: addresses ([`address`], [`ip`]), to which machines they may lead ([`guard`]), the
//! connection that carries messages ([`connection`]) and how much of them is of use ([`traffic`]), what
//! they say ([`message`]), what a relay
//! tells of itself ([`nip11`]), which pages to ask for until nothing is missing ([`pager`]), which
//! events we lack according to NIP-77 ([`negentropy`]), and tunnels to relays without a public
//! address ([`tunnel`]).

pub(crate) mod address;
pub(crate) mod connection;
pub(crate) mod guard;
pub(crate) mod ip;
pub(crate) mod message;
pub(crate) mod negentropy;
pub(crate) mod nip11;
pub(crate) mod pager;
pub(crate) mod peer_id;
pub(crate) mod traffic;
pub(crate) mod tunnel;
