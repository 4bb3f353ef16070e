//! Talking to a relay: what its messages say ([`message`]), the connection that carries
//! them ([`connection`]), what the relay tells about itself ([`information`]), which
//! questions to ask until nothing is missing ([`pager`]), and the loop over all of it
//! ([`fetch`]).

pub mod address;
pub mod connection;
pub mod fetch;
pub mod information;
pub mod message;
pub mod pager;
