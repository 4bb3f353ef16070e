//! Makes text from outside this station safe to show and to log; shared with the policy.

pub use constellation_shared::sanitize::{
    IN_LOG, escaped_json, for_log, for_terminal, is_hidden, one_line, quoted, quoted_in_log,
    without_failures, without_words_of_scripts,
};
