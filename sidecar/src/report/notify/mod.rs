//! When the captain is told: `--on-failure` and `--on-recovery` are commands that are called once
//! several runs in a row have failed, and once one succeeds again. How such a command tells the
//! captain (by mail or a message) is up to the captain. `--on-success` is called after every success.

pub(crate) mod hook;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::options::hooks::HookOptions;

/// The shortest time between two messages about failures, in seconds.
const DAY: u64 = 86_400;

/// What a command is called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// This many runs in a row failed.
    Failure,
    /// A run succeeded after the captain had been told of failures.
    Recovery,
    /// A run succeeded.
    Success,
}

impl Occasion {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Failure, Self::Recovery, Self::Success];

    /// The option that names its command.
    pub(crate) const fn option(self) -> &'static str {
        match self {
            Self::Failure => "--on-failure",
            Self::Recovery => "--on-recovery",
            Self::Success => "--on-success",
        }
    }
}

impl fmt::Display for Occasion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failure => "failure",
            Self::Recovery => "recovery",
            Self::Success => "success",
        })
    }
}

impl Occasion {
    /// The command for this occasion; an option or variable that is set to nothing counts as unset.
    pub(crate) fn command(self, options: &HookOptions) -> Option<&str> {
        let command = match self {
            Self::Failure => &options.on_failure,
            Self::Recovery => &options.on_recovery,
            Self::Success => &options.on_success,
        };
        command
            .as_deref()
            .filter(|command| !command.trim().is_empty())
    }
}

/// A call of one of the commands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Call {
    /// `failure`, `recovery` or `success`.
    pub event: String,
    /// When.
    pub at: u64,
    /// Why the command failed; `None` if it succeeded.
    pub failure: Option<String>,
}

/// Which messages the captain was sent, and which is still to follow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Notified {
    /// When the captain was last told of a failure, in Unix seconds.
    failure_at: Option<u64>,
    /// Whether the captain is still to be told that it is over.
    is_open: bool,
    /// The last call of `--on-failure` or `--on-recovery`.
    pub last: Option<Call>,
    /// The last call of `--on-success`.
    #[serde(default)]
    pub pinged: Option<Call>,
}

impl Notified {
    /// Which command is to be called after a run, when this many runs have failed in a row (0 if
    /// the run succeeded) and `after` failures are worth a message. A command that was called and
    /// failed counts as called, so that it is not called again every hour.
    pub(crate) fn due(&self, failures: u32, after: u32, now: u64) -> Option<Occasion> {
        if failures == 0 {
            return self.is_open.then_some(Occasion::Recovery);
        }
        // A time in the future is from before the clock was set back.
        let age = self.failure_at.and_then(|at| now.checked_sub(at));
        let is_due = failures >= after && age.is_none_or(|age| age >= DAY);
        is_due.then_some(Occasion::Failure)
    }

    /// Remembers how a call of a command ended.
    pub(crate) fn remember(&mut self, occasion: Occasion, call: Call) {
        match occasion {
            Occasion::Failure | Occasion::Recovery => self.last = Some(call),
            Occasion::Success => self.pinged = Some(call),
        }
    }

    /// Records that the command is called. This comes before the call, so that a command that
    /// never ends is not called again by the next run.
    pub(crate) const fn note(&mut self, occasion: Occasion, now: u64) {
        match occasion {
            Occasion::Failure => {
                self.failure_at = Some(now);
                self.is_open = true;
            }
            Occasion::Recovery => self.is_open = false,
            Occasion::Success => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    /// The occasions at each of these hours, with this many failures in a row.
    fn notifications(runs: &[(u64, u32)]) -> Vec<(u64, Occasion)> {
        let mut notified = Notified::default();
        let mut calls = Vec::new();
        for &(hour, failures) in runs {
            let now = 1000 * DAY + hour * HOUR;
            if let Some(occasion) = notified.due(failures, 3, now) {
                notified.note(occasion, now);
                calls.push((hour, occasion));
            }
        }
        calls
    }

    #[test]
    fn a_failure_is_told_after_three_and_then_once_a_day() {
        let runs: Vec<(u64, u32)> = (0..60).map(|hour| (hour, hour as u32 + 1)).collect();
        assert_eq!(
            notifications(&runs),
            [2, 26, 50].map(|hour| (hour, Occasion::Failure))
        );
    }

    #[test]
    fn a_recovery_is_told_once_and_only_after_a_failure_was() {
        assert_eq!(notifications(&[(0, 1), (1, 2), (2, 0), (3, 0)]), []);
        assert_eq!(
            notifications(&[(0, 3), (1, 0), (2, 0), (3, 0)]),
            [(0, Occasion::Failure), (1, Occasion::Recovery)]
        );
        // The next failure of the same day is not told, and so its end is not either.
        assert_eq!(
            notifications(&[(0, 3), (1, 0), (2, 3), (3, 0), (24, 3), (25, 0)]),
            [
                (0, Occasion::Failure),
                (1, Occasion::Recovery),
                (24, Occasion::Failure),
                (25, Occasion::Recovery)
            ]
        );
    }

    #[test]
    fn a_clock_that_was_set_back_silences_nobody() {
        let mut notified = Notified::default();
        notified.note(Occasion::Failure, 1000 * DAY);
        assert_eq!(notified.due(4, 3, 900 * DAY), Some(Occasion::Failure));
        assert_eq!(notified.due(4, 3, 1000 * DAY + HOUR), None);
    }

    #[test]
    fn a_variable_that_is_set_to_nothing_is_no_command() {
        let options = HookOptions {
            on_failure: Some(" ".to_owned()),
            on_recovery: Some("true".to_owned()),
            on_success: None,
            on_failure_after: 3,
            hook_patience: 60,
        };
        assert_eq!(Occasion::Failure.command(&options), None);
        assert_eq!(Occasion::Recovery.command(&options), Some("true"));
    }
}
