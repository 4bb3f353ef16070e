//! The system clock, and the station's time zone.

use std::time::SystemTime;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// The current time in Unix seconds, or 0 if the clock is set before 1970.
pub(crate) fn unix_time() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}

/// A time in Unix seconds as the clocks of a time zone show it; nothing if no clock does.
pub(crate) fn local(seconds: u64, zone: &TimeZone) -> Option<Zoned> {
    let time = Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
    Some(time.to_zoned(zone.clone()))
}
