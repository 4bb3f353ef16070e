//! Foreign text made harmless. The policy does that, too, so it is done in one place for both.

pub use constellation_shared::sanitize::{
    IN_LOG, escaped_json, is_hidden, logged, one_line, quoted, quoted_in_log, shown,
    without_failures, without_words_of_scripts,
};
