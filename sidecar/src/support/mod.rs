//! The ground floor: helpers that know nothing of relays, strfry or the constellation.

pub mod atomic_file;
pub mod backoff;
pub mod clock;
pub mod error_chain;
pub mod humanize;
pub mod lock;
pub mod log;
pub mod machine;
pub mod runtime;
pub mod sanitize;
pub mod shell_words;
pub mod signals;
pub mod state_file;
pub mod stdout;
pub mod unix_user;
