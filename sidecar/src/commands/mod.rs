//! What an operator types, a module for each command.

pub(crate) mod backfill;
pub(crate) mod bugreport;
pub(crate) mod cli;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod dry_run;
pub(crate) mod error;
pub(crate) mod install;
pub(crate) mod layers;
pub(crate) mod live;
pub(crate) mod members;
pub(crate) mod notify;
pub(crate) mod probe;
pub(crate) mod report;
pub(crate) mod status;
pub(crate) mod trigger;
pub(crate) mod why;
