//! The ground floor: helpers that know nothing of relays, strfry or the constellation.

pub(crate) mod atomic_file;
pub(crate) mod backoff;
pub(crate) mod clock;
pub(crate) mod error_chain;
pub(crate) mod humanize;
pub(crate) mod lock;
pub(crate) mod log;
pub(crate) mod machine;
pub(crate) mod mutex;
pub(crate) mod program;
pub(crate) mod runtime;
pub(crate) mod sanitize;
pub(crate) mod shell_json;
pub(crate) mod shell_words;
pub(crate) mod signals;
pub(crate) mod state_file;
pub(crate) mod stdout;
pub(crate) mod unix_user;
