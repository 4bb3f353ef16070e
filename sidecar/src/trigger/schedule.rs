//! Whether a backfill is due, and how far back it goes. No clock and no file: both are
//! told.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;

/// How far back a backfill goes at the most that catches up, in days.
const MOST_DAYS: u64 = 30;

/// A caller who comes once an hour comes a little early every other time.
const MOST_GRACE: u64 = 60;

/// How long after a failed attempt the next may follow, in seconds; it doubles with each
/// further one.
const FIRST_RETRY: u64 = 300;

const DAY: u64 = 86_400;

/// A time of day, in minutes after midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay(pub u16);

/// A text is not a time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time of day like 12:00")]
pub struct NoTimeOfDay;

impl FromStr for TimeOfDay {
    type Err = NoTimeOfDay;

    fn from_str(text: &str) -> Result<Self, NoTimeOfDay> {
        let number = |text: &str, end: u16| {
            let digits = matches!(text.len(), 1 | 2) && text.bytes().all(|b| b.is_ascii_digit());
            let number = text.parse::<u16>().ok().filter(|number| *number < end);
            number.filter(|_| digits).ok_or(NoTimeOfDay)
        };
        let (hours, minutes) = text.trim().split_once(':').ok_or(NoTimeOfDay)?;
        Ok(Self(number(hours, 24)? * 60 + number(minutes, 60)?))
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// When backfills may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// How long after one that succeeded the next may follow, in seconds.
    pub interval: u64,
    /// Not before this local time of day.
    pub not_before: Option<TimeOfDay>,
    /// How many days back it was asked for; 0 = everything.
    pub days: u64,
}

/// What is known of earlier backfills; times in Unix seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct History {
    /// When the last one that succeeded began.
    pub last_success: Option<u64>,
    /// How many failed since.
    pub failures: u32,
    /// When the last of these began.
    pub last_failure: u64,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// A backfill of so many days; 0 = everything.
    Run {
        /// How many.
        days: u64,
        /// When the last one succeeded, in seconds before now.
        age: Option<u64>,
    },
    /// None.
    Wait(Reason),
}

/// Why there is no backfill now; durations in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It is too early in the day.
    TooEarly(TimeOfDay),
    /// The last one that succeeded is not long ago.
    Recent {
        /// How long.
        age: u64,
        /// When the next one is due.
        left: u64,
    },
    /// So many failed in a row, and the last of these is not long ago.
    Failed {
        /// How many.
        failures: u32,
        /// When the next one is due.
        left: u64,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooEarly(time) => write!(f, "not before {time}"),
            Self::Recent { age, left } => write!(
                f,
                "the last one succeeded {} ago; the next is due in {}",
                words(age),
                words(left)
            ),
            Self::Failed { failures: 1, left } => write!(
                f,
                "the last attempt was in vain; the next is due in {}",
                words(left)
            ),
            Self::Failed { failures, left } => write!(
                f,
                "{failures} attempts in a row were in vain; the next is due in {}",
                words(left)
            ),
        }
    }
}

/// A duration for people, in its largest unit.
pub fn words(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / DAY),
    }
}

impl Schedule {
    /// What to do at `now` (Unix seconds), which is `time` of the local day.
    pub fn decide(&self, now: u64, time: TimeOfDay, history: &History) -> Decision {
        if let Some(not_before) = self.not_before
            && time < not_before
        {
            return Decision::Wait(Reason::TooEarly(not_before));
        }
        let age = history.last_success.and_then(|last| self.age(now, last));
        let due = self.interval - (self.interval / 10).min(MOST_GRACE);
        if let Some(age) = age
            && age < due
        {
            let left = self.interval - age;
            return Decision::Wait(Reason::Recent { age, left });
        }
        let failures = history.failures;
        if let Some(since) = now.checked_sub(history.last_failure)
            && let Some(left) = self.pause(failures).checked_sub(since)
            && left > 0
        {
            return Decision::Wait(Reason::Failed { failures, left });
        }
        let behind = age.unwrap_or(0).div_ceil(DAY).min(MOST_DAYS);
        let days = match self.days {
            0 => 0,
            days => days.max(behind),
        };
        Decision::Run { days, age }
    }

    /// How long ago something was. A time that is a little ahead is now: a clock is set
    /// back by seconds every day. One that is far ahead says nothing.
    fn age(&self, now: u64, then: u64) -> Option<u64> {
        match now.checked_sub(then) {
            Some(age) => Some(age),
            None => (then - now <= self.interval).then_some(0),
        }
    }

    /// How long to wait after so many attempts in vain.
    fn pause(&self, failures: u32) -> u64 {
        match failures.checked_sub(1) {
            None => 0,
            Some(doublings) => FIRST_RETRY
                .saturating_mul(2_u64.saturating_pow(doublings))
                .min(self.interval),
        }
    }

    /// How long to wait after one more attempt in vain.
    pub fn pause_after(&self, failures: u32) -> Duration {
        Duration::from_secs(self.pause(failures))
    }
}

/// Reads when the last backfill succeeded: Unix seconds, or a day (`2025-10-30`), which
/// counts from its beginning in this time zone.
pub fn parse_last(text: &str, zone: &TimeZone) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    // A day may be written in eight digits; nine seconds ago it was 1973.
    if digits && text.len() > 8 {
        return text.parse().ok();
    }
    let day: Date = text.parse().ok()?;
    let begin = day.to_zoned(zone.clone()).ok()?;
    u64::try_from(begin.timestamp().as_second()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_760_000_000;
    const NOON: TimeOfDay = TimeOfDay(720);
    const HOURLY: Schedule = Schedule {
        interval: 3600,
        not_before: None,
        days: 1,
    };

    fn after_success(schedule: Schedule, last: u64) -> Decision {
        let history = History {
            last_success: Some(last),
            ..History::default()
        };
        schedule.decide(NOW, NOON, &history)
    }

    #[test]
    fn one_run_an_hour_and_as_many_days_as_lie_behind() {
        let days = |last| match after_success(HOURLY, last) {
            Decision::Run { days, .. } => Some(days),
            Decision::Wait(_) => None,
        };
        for (age, expected) in [
            (0, None),
            (1800, None),
            (3539, None),
            (3540, Some(1)),
            (3600, Some(1)),
            (DAY, Some(1)),
            (DAY + 1, Some(2)),
            (7 * DAY, Some(7)),
            (7 * DAY + 3600, Some(8)),
            (400 * DAY, Some(30)),
        ] {
            assert_eq!(days(NOW - age), expected, "{age}");
        }
        let never = HOURLY.decide(NOW, NOON, &History::default());
        assert_eq!(never, Decision::Run { days: 1, age: None });
    }

    #[test]
    fn a_clock_that_was_set_back_holds_nothing_up() {
        let soon = after_success(HOURLY, NOW + 5);
        let (age, left) = (0, 3600);
        assert_eq!(soon, Decision::Wait(Reason::Recent { age, left }));
        let far = after_success(HOURLY, NOW + 400 * DAY);
        assert_eq!(far, Decision::Run { days: 1, age: None });
        let history = History {
            failures: 9,
            last_failure: NOW + 100,
            ..History::default()
        };
        let failed = HOURLY.decide(NOW, NOON, &history);
        assert_eq!(failed, Decision::Run { days: 1, age: None });
    }

    #[test]
    fn failures_wait_less_than_an_hour_and_ever_longer() {
        for (failures, pause) in [
            (1, 300),
            (2, 600),
            (3, 1200),
            (4, 2400),
            (5, 3600),
            (99, 3600),
        ] {
            let decide = |since| {
                let history = History {
                    last_success: Some(NOW - 3 * DAY),
                    failures,
                    last_failure: NOW - since,
                };
                HOURLY.decide(NOW, NOON, &history)
            };
            let left = 1;
            let waiting = Decision::Wait(Reason::Failed { failures, left });
            assert_eq!(decide(pause - 1), waiting);
            let age = Some(3 * DAY);
            assert_eq!(decide(pause), Decision::Run { days: 3, age });
        }
    }

    #[test]
    fn a_daily_job_waits_for_noon() {
        let daily = Schedule {
            interval: DAY,
            not_before: Some(NOON),
            days: 1,
        };
        let history = History::default();
        let early = daily.decide(NOW, TimeOfDay(719), &history);
        assert_eq!(early, Decision::Wait(Reason::TooEarly(NOON)));
        let run = Decision::Run { days: 1, age: None };
        assert_eq!(daily.decide(NOW, NOON, &history), run);
    }

    #[test]
    fn days_that_were_asked_for_are_the_least() {
        let days = |days| match after_success(Schedule { days, ..HOURLY }, NOW - 5 * DAY) {
            Decision::Run { days, .. } => days,
            Decision::Wait(reason) => panic!("{reason}"),
        };
        assert_eq!([days(0), days(2), days(7), days(90)], [0, 5, 7, 90]);
        let always = Schedule {
            interval: 0,
            ..HOURLY
        };
        assert!(matches!(
            after_success(always, NOW),
            Decision::Run { days: 1, .. }
        ));
    }

    #[test]
    fn both_formats_of_the_last_success_are_read() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        for (text, expected) in [
            ("1761823996\n", Some(1_761_823_996)),
            (" 999999999", Some(999_999_999)),
            ("2025-10-30\n", Some(1_761_775_200)),
            ("20251030", Some(1_761_775_200)),
            ("", None),
            ("yesterday", None),
            ("-5", None),
            ("12", None),
            ("2025-13-30", None),
            ("99999999999999999999999", None),
        ] {
            assert_eq!(parse_last(text, &zone), expected, "{text:?}");
        }
    }

    #[test]
    fn times_of_day() {
        for (text, expected) in [
            ("12:00", Ok(NOON)),
            ("0:05", Ok(TimeOfDay(5))),
            ("23:59", Ok(TimeOfDay(1439))),
            ("24:00", Err(NoTimeOfDay)),
            ("12:60", Err(NoTimeOfDay)),
            ("12", Err(NoTimeOfDay)),
            ("+1:00", Err(NoTimeOfDay)),
            ("", Err(NoTimeOfDay)),
        ] {
            assert_eq!(text.parse(), expected, "{text:?}");
        }
        assert_eq!(TimeOfDay(65).to_string(), "01:05");
    }
}
