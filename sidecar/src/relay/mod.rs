//! The nostr protocol: addresses ([`address`], [`ip`]) and the machines to which they may lead
//! ([`guard`]), connections ([`connection`], [`http_answer`], [`oversize`]) and the usefulness of what they bring ([`traffic`]),
//! messages ([`message`]) and what is meant by their refusals ([`objection`], [`rate_limit`]),
//! NIP-11 documents ([`nip11`]), filters ([`filter`]) and paging ([`pager`]), reconciliation by NIP-77 ([`negentropy`]), and tunnels to relays without a public address
//! ([`tunnel`]).

pub(crate) mod about;
pub(crate) mod address;
pub(crate) mod connection;
pub(crate) mod filter;
pub(crate) mod guard;
pub(crate) mod http_answer;
pub(crate) mod identity;
pub(crate) mod ip;
pub(crate) mod message;
pub(crate) mod negentropy;
pub(crate) mod nip11;
pub(crate) mod objection;
pub(crate) mod oversize;
pub(crate) mod pager;
pub(crate) mod peer_id;
pub(crate) mod rate_limit;
pub(crate) mod traffic;
pub(crate) mod tunnel;
