//! `constellation-sync live`: keeps the station level with its peers all the time.
//!
//! A few peers are connected to at any time ([`link`]). Each is asked, once and for good, for what is
//! new from now on ([`requests`]); when a connection comes up, what was missed since it was lost is
//! reconciled beside it ([`catch_up`]). What comes goes through the same checks as in a backfill into
//! one `strfry import` that goes on ([`inlet`]). So that each event is downloaded about once, however many
//! peers have it, only some of them push theirs ([`conductor`]), and the others are polled ([`poll`]). All connections share some things ([`shared`]). [`supervisor`] follows the lists and the swarm and
//! decides who the peers are, and [`watch`] notices changes. [`crate::report::live_state`] tells other
//! programs how it goes.

mod catch_up;
mod conductor;
mod inlet;
mod known;
mod link;
mod poll;
mod requests;
mod seen;
mod shared;
mod supervisor;
mod watch;

pub(crate) use supervisor::Live;

/// The `tracing` target of what `live` says, which has a log file of its own.
pub(crate) use crate::support::log::LIVE_LOG;
