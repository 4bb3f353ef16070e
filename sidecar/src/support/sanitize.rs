//! Makes text from outside this station safe to show and to log; shared with the policy.

pub(crate) use constellation_shared::sanitize::{
    escaped_json, for_log, for_terminal, one_line, quoted_in_log, without_failures,
    without_words_of_scripts,
};
