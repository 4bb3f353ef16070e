//! When the lists are looked at.

use std::time::{Duration, SystemTime};

/// How often the files are looked at. A change counts after this, the time that a changing file is
/// left alone (at most 0.4 s) and the time to read it: within 1 s.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The time since 1970.
pub(super) fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}
