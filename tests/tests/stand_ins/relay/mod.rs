//! The scripted relay's own manners, and that the library's relay answers.

mod client;
mod faults;
mod limits;
mod reconcile;
