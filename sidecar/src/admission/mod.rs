//! The way of an event from a relay's frame to strfry: read ([`arrival`]), let in or not
//! ([`rules`]), verified on all cores ([`intake`]), passed on once ([`gate`]), counted
//! ([`counts`]), and the tasks between them ([`pipeline`]).

pub(crate) mod arrival;
pub(crate) mod counts;
pub(crate) mod gate;
pub(crate) mod intake;
pub(crate) mod pipeline;
pub(crate) mod rules;
