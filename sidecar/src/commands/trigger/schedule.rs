//! [`Schedule`]: when the next backfill is due. No clock and no file: callers pass both.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::support::humanize::duration;

/// A caller who comes once an hour comes a little early every other time.
const MOST_GRACE: u64 = 60;

/// How long after a failed attempt the next may follow, in seconds; it doubles with each
/// further one.
const FIRST_RETRY: u64 = 300;

const HOUR: u64 = 3600;

/// Each start is put off at random by at most this many seconds.
pub const MOST_DELAY: u64 = 30;

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
    /// This station's own second of the hour; `None` for any second.
    pub phase: Option<u64>,
}

/// What is known of earlier backfills; times in Unix seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TriggerHistory {
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
    /// A backfill.
    Run {
        /// When the last one succeeded, in seconds before now.
        age: Option<u64>,
    },
    /// No backfill before this many seconds have passed.
    Wait {
        /// How many seconds are left.
        left: u64,
        /// Why.
        reason: Reason,
    },
}

/// Why there is no backfill now; durations in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It is too early in the day.
    TooEarly(TimeOfDay),
    /// The last one that succeeded is so long ago.
    Recent(u64),
    /// This many runs failed in a row, and the last of them is not long ago.
    Failed(u32),
    /// Each station starts at a second of the hour of its own.
    Phase,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooEarly(time) => write!(f, "not before {time}"),
            Self::Recent(age) => write!(f, "the last one succeeded {} ago", duration(age)),
            Self::Failed(1) => f.write_str("the last attempt was in vain"),
            Self::Failed(failures) => write!(f, "{failures} attempts in a row were in vain"),
            Self::Phase => f.write_str("it is not this station's time of the hour"),
        }
    }
}

impl Schedule {
    /// The phases of all stations are spread over this many seconds.
    pub const HOUR: u64 = HOUR;

    /// What to do if the second of the hour does not matter.
    pub const fn at_any_time(self) -> Self {
        let phase = None;
        Self { phase, ..self }
    }

    /// To run a backfill at `now` (Unix seconds), because somebody wants one, due or not.
    pub fn at_once(&self, now: u64, history: &TriggerHistory) -> Decision {
        Decision::Run {
            age: history.last_success.and_then(|last| self.age(now, last)),
        }
    }

    /// What to do at `now` (Unix seconds), which is `time` of the local day.
    pub fn decide(&self, now: u64, time: TimeOfDay, history: &TriggerHistory) -> Decision {
        if let Some(not_before) = self.not_before
            && time < not_before
        {
            let minutes = u64::from(not_before.0 - time.0);
            let left = self.next_phase(now + minutes * 60) - now;
            let reason = Reason::TooEarly(not_before);
            return Decision::Wait { left, reason };
        }
        let failures = history.failures;
        if let Some(since) = now.checked_sub(history.last_failure)
            && failures > 0
        {
            // The time of the hour of what failed is as good as another, and it is due.
            return match self.pause(failures).saturating_sub(since) {
                0 => self.after_success(now, history, now),
                left => Decision::Wait {
                    left,
                    reason: Reason::Failed(failures),
                },
            };
        }
        self.after_success(now, history, self.next_phase(now))
    }

    /// What the last success says to a backfill at `start`.
    fn after_success(&self, now: u64, history: &TriggerHistory, start: u64) -> Decision {
        let age = history.last_success.and_then(|last| self.age(now, last));
        let due = self.interval - (self.interval / 10).min(MOST_GRACE);
        match age {
            Some(age) if age < due => Decision::Wait {
                left: self.next_phase(now + (due - age)) - now,
                reason: Reason::Recent(age),
            },
            age if start <= now => Decision::Run { age },
            _ => Decision::Wait {
                left: start - now,
                reason: Reason::Phase,
            },
        }
    }

    /// The first start not before this time, Unix seconds.
    fn next_phase(&self, time: u64) -> u64 {
        let Some(phase) = self.phase else {
            return time;
        };
        let period = match self.interval {
            0 => return time,
            interval => interval.min(HOUR),
        };
        let into = time % period;
        let phase = phase % period;
        match phase.checked_sub(into) {
            Some(left) => time + left,
            None => time + period + phase - into,
        }
    }

    /// How long ago something was. A time that is a little ahead is now: a clock is set
    /// back by seconds every day. One that is far ahead says nothing.
    fn age(&self, now: u64, then: u64) -> Option<u64> {
        match now.checked_sub(then) {
            Some(age) => Some(age),
            None => (then - now <= self.interval).then_some(0),
        }
    }

    /// How long to wait after this many failed attempts.
    fn pause(&self, failures: u32) -> u64 {
        match failures.checked_sub(1) {
            None => 0,
            Some(doublings) => FIRST_RETRY
                .saturating_mul(2_u64.saturating_pow(doublings))
                .min(self.interval),
        }
    }

    /// How long to wait after one more failed attempt.
    pub fn pause_after(&self, failures: u32) -> Duration {
        Duration::from_secs(self.pause(failures))
    }
}

/// Reads when the last backfill succeeded: Unix seconds, or a day (`2025-10-30`), which
/// counts from its beginning in this time zone.
pub(crate) fn parse_last(text: &str, zone: &TimeZone) -> Option<u64> {
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

    const DAY: u64 = 86_400;

    const NOW: u64 = 1_760_000_000;
    const NOON: TimeOfDay = TimeOfDay(720);
    const HOURLY: Schedule = Schedule {
        interval: 3600,
        not_before: None,
        phase: None,
    };

    fn after_success(schedule: Schedule, last: u64) -> Decision {
        let history = TriggerHistory {
            last_success: Some(last),
            ..TriggerHistory::default()
        };
        schedule.decide(NOW, NOON, &history)
    }

    fn recent(age: u64, left: u64) -> Decision {
        let reason = Reason::Recent(age);
        Decision::Wait { left, reason }
    }

    #[test]
    fn one_run_an_hour() {
        for (age, left) in [(0, 3540), (1800, 1740), (3539, 1)] {
            assert_eq!(after_success(HOURLY, NOW - age), recent(age, left));
        }
        for age in [3540, 3600, DAY, 400 * DAY] {
            let run = Decision::Run { age: Some(age) };
            assert_eq!(after_success(HOURLY, NOW - age), run);
        }
        let never = HOURLY.decide(NOW, NOON, &TriggerHistory::default());
        assert_eq!(never, Decision::Run { age: None });
    }

    #[test]
    fn each_station_starts_at_its_own_second_of_the_hour() {
        let phase = NOW % HOUR;
        let at = |phase: u64, last: Option<u64>| {
            let schedule = Schedule {
                phase: Some(phase),
                ..HOURLY
            };
            let history = TriggerHistory {
                last_success: last,
                ..TriggerHistory::default()
            };
            schedule.decide(NOW, NOON, &history)
        };
        let wait = |left| Decision::Wait {
            left,
            reason: Reason::Phase,
        };
        assert_eq!(at(phase, None), Decision::Run { age: None });
        assert_eq!(at(phase + 17, None), wait(17));
        assert_eq!(at(phase - 1, None), wait(3599));
        // Put off by as much as may be at the last start, and by nothing now.
        let last = NOW - HOUR + MOST_DELAY;
        let run = Decision::Run {
            age: Some(HOUR - MOST_DELAY),
        };
        assert_eq!(at(phase, Some(last)), run);
        // A run at another time, by hand, does not move the next one to before it is due.
        assert_eq!(at(phase + 60, Some(NOW - 1200)), recent(1200, 3660));
        assert_eq!(at(phase + 60, Some(NOW - 3600)), wait(60));
    }

    #[test]
    fn starts_keep_their_places_within_shorter_intervals() {
        let schedule = Schedule {
            interval: 900,
            phase: Some(2000),
            ..HOURLY
        };
        let starts = [0, 199, 200, 201, 1100].map(|time| schedule.next_phase(time));
        assert_eq!(starts, [200, 200, 200, 1100, 1100]);
        let always = Schedule {
            interval: 0,
            ..schedule
        };
        assert_eq!(always.next_phase(5), 5);
        assert_eq!(after_success(always, NOW), Decision::Run { age: Some(0) });
    }

    #[test]
    fn a_clock_that_was_set_back_holds_nothing_up() {
        assert_eq!(after_success(HOURLY, NOW + 5), recent(0, 3540));
        let far = after_success(HOURLY, NOW + 400 * DAY);
        assert_eq!(far, Decision::Run { age: None });
        let history = TriggerHistory {
            failures: 9,
            last_failure: NOW + 100,
            ..TriggerHistory::default()
        };
        let failed = HOURLY.decide(NOW, NOON, &history);
        assert_eq!(failed, Decision::Run { age: None });
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
                let history = TriggerHistory {
                    last_success: Some(NOW - 3 * DAY),
                    failures,
                    last_failure: NOW - since,
                };
                let schedule = Schedule {
                    phase: Some(NOW % HOUR + 1),
                    ..HOURLY
                };
                schedule.decide(NOW, NOON, &history)
            };
            let reason = Reason::Failed(failures);
            assert_eq!(decide(pause - 1), Decision::Wait { left: 1, reason });
            let age = Some(3 * DAY);
            assert_eq!(decide(pause), Decision::Run { age });
        }
    }

    #[test]
    fn a_daily_job_waits_for_noon() {
        let daily = Schedule {
            interval: DAY,
            not_before: Some(NOON),
            phase: None,
        };
        let history = TriggerHistory::default();
        let early = daily.decide(NOW, TimeOfDay(719), &history);
        let reason = Reason::TooEarly(NOON);
        assert_eq!(early, Decision::Wait { left: 60, reason });
        let run = Decision::Run { age: None };
        assert_eq!(daily.decide(NOW, NOON, &history), run);
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
