//! The protocol: addresses ([`address`], [`ip`]), to which machines they may lead ([`guard`]), the
//! connection that carries messages ([`connection`]) and how much of them is of use ([`traffic`]), what
//! they say ([`message`]), what a relay
//! tells of itself ([`nip11`]), which pages to ask for until nothing is missing ([`pager`]), which
//! events we lack according to NIP-77 ([`negentropy`]), and tunnels to relays without a public
//! address ([`tunnel`]).

pub mod address;
pub mod connection;
pub mod guard;
pub mod ip;
pub mod message;
pub mod negentropy;
pub mod nip11;
pub mod pager;
pub mod peer_id;
pub mod traffic;
pub mod tunnel;
