//! The way of an event from a relay's frame to strfry: what is let in ([`rules`]), each event
//! once and verified on all cores ([`intake`]), and the tasks between them ([`pipeline`]).

pub mod intake;
pub mod pipeline;
pub mod rules;
