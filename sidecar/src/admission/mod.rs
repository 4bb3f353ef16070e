//! The way of an event from a relay's frame to strfry: read ([`arrival`]), let in or not
//! ([`rules`]), verified on all cores ([`intake`]), passed on once ([`gate`]), counted
//! ([`counts`]), and the tasks between them ([`pipeline`]).

pub mod arrival;
pub mod counts;
pub mod gate;
pub mod intake;
pub mod pipeline;
pub mod rules;
