//! The time of day.

use std::time::SystemTime;

/// The current time in Unix seconds; 0 if the clock stands before 1970.
pub(crate) fn unix_time() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}
