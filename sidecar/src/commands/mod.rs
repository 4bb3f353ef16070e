//! What an operator types, a module for each command.

pub mod backfill;
pub mod bugreport;
pub mod cli;
pub mod doctor;
pub mod dry_run;
pub mod error;
pub mod install;
pub mod members;
pub mod notify;
pub mod probe;
pub mod status;
pub mod trigger;
pub mod why;
