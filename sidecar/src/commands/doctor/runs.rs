//! `doctor` about the last runs, and whether one is running now.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::commands::doctor::finding::{Finding, Remedy, quoted};
use crate::commands::trigger::{State, state};
use crate::support::humanize::duration;
use crate::support::{atomic_file, state_file};

/// Without a success for so long, in seconds, something is wrong: the station's scripts
/// call at least once a day.
const LATE: u64 = 26 * 3600;

/// A run that lasts longer hangs, in seconds: a peer gets at most three hours.
const LONG: u64 = 4 * 3600;

/// How far ahead the time of a success may be, in seconds: a clock is set back now and
/// then.
const AHEAD: u64 = 3600;

/// How many bytes of a log, or of a file with a process id, are read at most.
const LARGEST_LOG: u64 = 64 * 1024 * 1024;
const LARGEST_PID: u64 = 1024;

/// What is known of the runs, times in Unix seconds.
#[derive(Debug)]
pub(crate) struct Facts {
    state: State,
    /// When the last run ended that came to its end.
    completed: Option<u64>,
    /// Who is at work by the file for it.
    running: Option<Running>,
    /// strfry's.
    folder: PathBuf,
    now: u64,
}

/// A process whose id stands in `constellation-backfill.lock`, and that lives.
#[derive(Debug, Clone, Copy)]
struct Running {
    pid: u32,
    is_backfill: bool,
    since: u64,
}

impl Facts {
    /// Looks at what runs left in strfry's folder.
    pub(crate) fn gather(folder: &Path, now: u64) -> Self {
        Self {
            state: state(folder),
            completed: completed(&folder.join(state_file::RUN_LOG.name)),
            running: running(&folder.join(state_file::PID.name)),
            folder: folder.to_owned(),
            now,
        }
    }

    /// What is wrong with them.
    pub(crate) fn judge(&self) -> Vec<Finding> {
        let mut findings = vec![self.judge_last()];
        findings.extend(self.judge_attempts());
        findings.extend(self.judge_running());
        findings
    }

    fn judge_last(&self) -> Finding {
        let path = quoted(&self.folder.join(state_file::LAST_SUCCESS.name));
        let noted = match &self.state.last_success {
            Ok(noted) => *noted,
            Err(error) => {
                return Finding::warn(
                    "last_success_unreadable",
                    format!("{path} is passed over: {error}"),
                    format!("rm {path}"),
                );
            }
        };
        if noted.is_some_and(|noted| noted > self.now + AHEAD) {
            return Finding::warn(
                "last_success_ahead",
                format!(
                    "{path} holds a time in the future: the clock was wrong when it was written, or is wrong now"
                ),
                format!("rm {path}"),
            );
        }
        let Some(last) = noted.max(self.completed) else {
            return Finding::warn(
                "never_synced",
                "no backfill has succeeded yet",
                "constellation-sync trigger --now -v",
            );
        };
        let age = self.now.saturating_sub(last);
        if age > LATE {
            Finding::fail(
                "last_success_old",
                format!("the last backfill succeeded {} ago", duration(age)),
                "constellation-sync trigger --now -v",
            )
        } else {
            let text = format!("the last backfill succeeded {} ago", duration(age));
            Finding::ok("last_success", text)
        }
    }

    fn judge_attempts(&self) -> Option<Finding> {
        let log = self.folder.join(state_file::TRIGGER_LOG.name);
        let last = duration(self.now.saturating_sub(self.state.last_in_vain));
        (self.state.in_vain > 0).then(|| {
            Finding::warn(
                "in_vain",
                match self.state.in_vain {
                    1 => format!("the last attempt, {last} ago, failed"),
                    more => format!("the last {more} attempts failed, the last of them {last} ago"),
                },
                Remedy::from(format!("grep WARN {} | tail -n 3", quoted(&log))).because("see why"),
            )
        })
    }

    fn judge_running(&self) -> Option<Finding> {
        let Running {
            pid,
            is_backfill,
            since,
        } = self.running?;
        let age = self.now.saturating_sub(since);
        let file = quoted(&self.folder.join(state_file::PID.name));
        Some(if !is_backfill {
            Finding::fail(
                "stale_pid_file",
                format!(
                    "{file} names process {pid}, which is not a backfill, but the station's scripts wait for its end"
                ),
                format!("rm {file}"),
            )
        } else if age > LONG {
            Finding::warn(
                "backfill_long",
                format!(
                    "a backfill (process {pid}) has been running for {}",
                    duration(age)
                ),
                format!("kill {pid}"),
            )
        } else {
            Finding::ok("running", format!("a backfill is running (process {pid})"))
        })
    }
}

/// When the run of this log ended; `None` if the log has no end.
fn completed(log: &Path) -> Option<u64> {
    let text = atomic_file::read(log, LARGEST_LOG)?;
    let done = b"Backfill process completed";
    let is_done = text.windows(done.len()).any(|window| window == done);
    let modified = fs::metadata(log).and_then(|metadata| metadata.modified());
    modified.ok().filter(|_| is_done).map(unix)
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}

fn running(pid_file: &Path) -> Option<Running> {
    let text = String::from_utf8(atomic_file::read(pid_file, LARGEST_PID)?).ok()?;
    let modified = fs::metadata(pid_file)
        .and_then(|file| file.modified())
        .ok()?;
    let pid = text.trim().parse().ok()?;
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut names = arguments.split(|&byte| byte == 0).take(2).map(|argument| {
        let argument = String::from_utf8_lossy(argument);
        argument.rsplit('/').next().unwrap_or_default().to_owned()
    });
    let known = |name: String| name == "constellation-sync" || name == "backfill_constellation.sh";
    Some(Running {
        pid,
        is_backfill: names.any(known),
        since: unix(modified),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;
    use std::io;

    const NOW: u64 = 1_800_000_000;

    fn bad(change: impl Fn(&mut Facts)) -> Vec<&'static str> {
        let mut facts = Facts {
            state: State {
                last_success: Ok(Some(NOW - 3600)),
                in_vain: 0,
                last_in_vain: 0,
            },
            completed: None,
            running: None,
            folder: "/zen/strfry".into(),
            now: NOW,
        };
        change(&mut facts);
        let findings = facts.judge();
        let bad = findings.iter().filter(|found| found.level != Level::Ok);
        bad.map(|finding| finding.code).collect()
    }

    #[test]
    fn a_success_grows_old() {
        let last = |last, completed| {
            bad(move |facts| {
                facts.state.last_success = Ok(last);
                facts.completed = completed;
            })
        };
        let none: [&str; 0] = [];
        assert_eq!(last(None, None), ["never_synced"]);
        assert_eq!(last(Some(NOW - LATE), None), none);
        assert_eq!(last(Some(NOW - LATE - 1), None), ["last_success_old"]);
        assert_eq!(last(Some(NOW - LATE - 1), Some(NOW - 5)), none);
        assert_eq!(last(Some(NOW + AHEAD), None), none);
        assert_eq!(last(Some(NOW + AHEAD + 1), None), ["last_success_ahead"]);
        let unreadable =
            |facts: &mut Facts| facts.state.last_success = Err(io::Error::other("no time"));
        assert_eq!(bad(unreadable), ["last_success_unreadable"]);
        assert_eq!(bad(|facts| facts.state.in_vain = 1), ["in_vain"]);
    }

    #[test]
    fn a_process_that_is_no_backfill_keeps_the_scripts_waiting() {
        let running = |is_backfill, since| {
            bad(move |facts| {
                facts.running = Some(Running {
                    pid: 7,
                    is_backfill,
                    since,
                });
            })
        };
        assert_eq!(running(false, NOW), ["stale_pid_file"]);
        assert_eq!(running(true, NOW - LONG - 1), ["backfill_long"]);
        assert_eq!(running(true, NOW - LONG), [""; 0]);
    }
}
