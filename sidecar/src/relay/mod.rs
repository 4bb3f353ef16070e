//! Talking to a relay: what its messages say ([`message`]), the connection that carries
//! them ([`connection`]), what the relay tells about itself ([`information`]), which
//! questions to ask until nothing is missing ([`pager`]) and the loop over them
//! ([`fetch`]); or, where the relay speaks NIP-77, which of its events we lack
//! ([`reconcile`], [`compare`]), and fetching those ([`collect`]).

pub mod address;
pub mod collect;
pub mod compare;
pub mod connection;
pub mod fetch;
pub mod information;
pub mod message;
pub mod pager;
pub mod reconcile;
