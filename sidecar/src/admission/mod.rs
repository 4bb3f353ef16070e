//! The path of an event from a relay's message to strfry: it is parsed ([`arrival`]), verified on
//! all cores ([`intake`]), checked against the rules ([`rules`]), passed on once however many peers
//! send it ([`gate`]), unless its author is blocked by now ([`verdicts`]), and counted ([`counts`]). [`pipeline`] runs the tasks.

pub(crate) mod arrival;
pub(crate) mod counts;
pub(crate) mod gate;
pub(crate) mod intake;
pub(crate) mod pipeline;
pub(crate) mod rules;
pub(crate) mod verdicts;
