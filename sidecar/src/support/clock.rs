//! The system clock.

use std::time::SystemTime;

/// The current time in Unix seconds, or 0 if the clock is set before 1970.
pub(crate) fn unix_time() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}
