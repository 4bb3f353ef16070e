//! `constellation-sync trigger`, which the station's scripts may call as often as they like: runs a
//! backfill if one is due, and otherwise writes a line to its log.
//!
//! It keeps three files in strfry's folder: `last_constellation_sync` (when the last successful
//! backfill began, in Unix seconds; a day such as `2025-10-30` is also understood),
//! `constellation-trigger.json` (the failed attempts since then and the last call; it may be
//! deleted), and `constellation-trigger.log`.

pub(crate) mod schedule;

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::BoolishValueParser;
use constellation_shared::regular_file;
use jiff::Zoned;
use serde::{Deserialize, Serialize};
use tracing::Level;

use crate::commands::error::SyncError;
use crate::report::Report;
use crate::support::error_chain::chain;
use crate::support::humanize::duration;
use crate::support::log::{Journal, Rotation};
use crate::support::{atomic_file, state_file};
use schedule::{Decision, MOST_DELAY, Reason, Schedule, TimeOfDay, TriggerHistory, parse_last};

/// The layout of the file of attempts.
const VERSION: u32 = 1;

/// For how long a call waits at most, in seconds: whoever calls less often than once
/// an hour, or for the first time, waits for the next start.
const MOST_WAIT: u64 = Schedule::HOUR;

/// A caller who comes every few minutes comes a little late at times, in seconds.
const LATE: u64 = 60;

/// How much is read of a file, in bytes; each holds a line.
const LONGEST: u64 = 4096;

/// Run a backfill if one is due; for jobs that run every few minutes
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = "\
All options of the backfill can be given here, too. Each station starts at its
own second of the hour: a call waits for it if no later call would come first.

Examples:
  constellation-sync trigger         at most once an hour
  constellation-sync trigger --now   at once, even if no backfill is due
  constellation-sync trigger --interval 1440 --not-before 12:00
                                     once a day, from noon on

Exit code: 0 if no backfill is due, else that of the backfill.")]
pub struct TriggerOptions {
    /// A backfill is due this many minutes after the last success
    #[arg(
        long,
        value_name = "MINUTES",
        default_value_t = 60,
        value_parser = clap::value_parser!(u64).range(0..=525_600),
        env = "CONSTELLATION_INTERVAL"
    )]
    pub interval: u64,
    /// Start no backfill before this local time of day
    #[arg(long, value_name = "HH:MM", env = "CONSTELLATION_NOT_BEFORE")]
    pub not_before: Option<TimeOfDay>,
    /// Run a backfill now, even if none is due; as an environment variable it means only that one
    /// that is due does not wait for this station's second of the hour
    #[arg(long, env = "CONSTELLATION_NOW", value_parser = BoolishValueParser::new())]
    pub now: bool,
    /// Go on following the peers all the time, as `live` does, if nobody does that already
    #[arg(long, env = "CONSTELLATION_LIVE", value_parser = BoolishValueParser::new())]
    pub live: bool,
    /// Whether `--now` stands on the command line: somebody wants a run now, due or not.
    #[arg(skip)]
    pub is_demanded: bool,
}

/// What came of a call of the trigger.
#[derive(Debug)]
pub(crate) enum TriggerOutcome {
    /// A backfill was run.
    Ran(Box<Report>),
    /// None was due.
    Skipped {
        /// In how many seconds the next one is due.
        left: u64,
        /// Why none was due.
        reason: Reason,
    },
}

/// The files of the trigger, and what was asked of it.
#[derive(Debug)]
pub(crate) struct Trigger {
    schedule: Schedule,
    /// Whether a run is wanted now, due or not.
    is_demanded: bool,
    last_success: PathBuf,
    attempts: PathBuf,
    journal: Journal,
}

#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Attempts {
    version: u32,
    in_vain: u32,
    last: u64,
    /// When the trigger was last called, Unix seconds.
    #[serde(default)]
    called: u64,
}

/// What the files of the trigger tell, times in Unix seconds.
#[derive(Debug)]
pub(crate) struct State {
    /// When the last backfill that succeeded began, if any did.
    pub last_success: io::Result<Option<u64>>,
    /// How many attempts have failed since.
    pub in_vain: u32,
    /// When the last failed attempt began.
    pub last_in_vain: u64,
}

/// Reads the files of the trigger in this strfry folder.
pub(crate) fn state(folder: &Path) -> State {
    let options = TriggerOptions {
        interval: 60,
        not_before: None,
        now: true,
        live: false,
        is_demanded: false,
    };
    let usual = Rotation::for_memory(u64::MAX);
    let trigger = Trigger::new(&options, 0, folder, usual);
    let Attempts { in_vain, last, .. } = trigger.load_attempts();
    State {
        last_success: trigger.last_success(&Zoned::now()),
        in_vain,
        last_in_vain: last,
    }
}

impl Trigger {
    /// The trigger of the station with this strfry folder, which starts at this second of
    /// the hour.
    pub(crate) fn new(
        options: &TriggerOptions,
        phase: u64,
        folder: &Path,
        rotation: Rotation,
    ) -> Self {
        Self {
            schedule: Schedule {
                interval: options.interval * 60,
                not_before: options.not_before,
                phase: (!options.now).then_some(phase),
            },
            is_demanded: options.is_demanded,
            last_success: folder.join(state_file::LAST_SUCCESS.name),
            attempts: folder.join(state_file::TRIGGER.name),
            journal: Journal::new(folder.join(state_file::TRIGGER_LOG.name), rotation),
        }
    }

    /// What to do now. Nothing is written.
    pub(crate) fn decide(&self) -> Decision {
        self.decide_by(&self.schedule)
    }

    fn decide_by(&self, schedule: &Schedule) -> Decision {
        let now = Zoned::now();
        let minutes = u16::from(now.hour().unsigned_abs()) * 60;
        let time = TimeOfDay(minutes + u16::from(now.minute().unsigned_abs()));
        let attempts = self.load_attempts();
        let history = TriggerHistory {
            last_success: self.last_success(&now).unwrap_or_default(),
            failures: attempts.in_vain,
            last_failure: attempts.last,
        };
        if self.is_demanded {
            return schedule.at_once(seconds(&now), &history);
        }
        schedule.decide(seconds(&now), time, &history)
    }

    /// Whether a start so many seconds from now comes before the next call, by the time
    /// since the last one: then this call is to wait for it. That it was called is noted.
    pub(crate) fn comes_first(&self, left: u64) -> bool {
        let now = seconds(&Zoned::now());
        let attempts = self.load_attempts();
        let apart = now.saturating_sub(attempts.called).min(MOST_WAIT);
        if self.schedule.phase.is_none() {
            return false;
        }
        self.save_attempts(Attempts {
            called: now,
            ..attempts
        });
        left <= apart + LATE
    }

    /// Waits for this many seconds, and a little more at random. `tell` is told until when, in
    /// words.
    pub(crate) fn wait(&self, left: u64, tell: impl FnOnce(&str)) {
        let delay = fastrand::u64(..=MOST_DELAY);
        let words = "Waiting for this station's time of the hour";
        self.note(&format!("{words}, in {}", duration(left)));
        tell(&format!(
            "{words}, until {} (in {})",
            local_time_in(left + delay),
            duration(left)
        ));
        thread::sleep(Duration::from_secs(left + delay));
    }

    /// When the last backfill succeeded, if any did.
    fn last_success(&self, now: &Zoned) -> io::Result<Option<u64>> {
        match read(&self.last_success) {
            Ok(text) => match parse_last(&text, now.time_zone()) {
                None => Err(io::Error::other("it holds neither seconds nor a day")),
                last => Ok(last),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Runs a backfill where one is due at any time of the hour: that was waited for. To be
    /// called by one process at a time: with the lock of the backfill.
    ///
    /// # Errors
    /// The errors of the backfill, which are also recorded.
    pub(crate) fn take_turn(
        &self,
        backfill: impl FnOnce() -> Result<Report, SyncError>,
    ) -> Result<TriggerOutcome, SyncError> {
        let age = match self.decide_by(&self.schedule.at_any_time()) {
            Decision::Run { age } => age,
            Decision::Wait { left, reason } => return Ok(TriggerOutcome::Skipped { left, reason }),
        };
        let now = Zoned::now();
        if let Err(error) = self.last_success(&now) {
            let path = self.last_success.display();
            self.journal
                .write(Level::WARN, &format!("{path} is passed over: {error}"));
        }
        let last = age.map_or_else(
            || "there is no last success".to_owned(),
            |age| format!("the last success was {} ago", duration(age)),
        );
        self.note(&format!("Backfill starts: {last}"));
        let (begin, clock) = (seconds(&now), Instant::now());
        // Noted down beforehand: one that is killed was in vain, too.
        let Attempts {
            in_vain, called, ..
        } = self.load_attempts();
        let in_vain = in_vain.saturating_add(1);
        let attempts = |in_vain, last| Attempts {
            version: VERSION,
            in_vain,
            last,
            called,
        };
        self.save_attempts(attempts(in_vain, begin));
        let result = backfill();
        let took = duration(clock.elapsed().as_secs());
        let (code, cause) = match &result {
            Ok(report) => {
                let vain = report.why_in_vain().map(ToOwned::to_owned);
                (report.outcome.exit_code(), vain)
            }
            Err(error) => (error.exit_code(), Some(chain(error))),
        };
        match cause {
            None => {
                self.save(&self.last_success, format!("{begin}\n").as_bytes());
                self.save_attempts(attempts(0, 0));
                self.note(&format!("Backfill done in {took}, exit code {code}"));
            }
            Some(cause) => {
                let retry = duration(self.schedule.pause_after(in_vain).as_secs());
                let words = format!(
                    "Backfill failed after {took}, exit code {code}: {cause}; the next may follow in {retry}"
                );
                self.journal.write(Level::ERROR, &words);
            }
        }
        result.map(|report| TriggerOutcome::Ran(Box::new(report)))
    }

    /// Writes to the log of the trigger.
    pub(crate) fn note(&self, words: &str) {
        self.journal.write(Level::INFO, words);
    }

    fn load_attempts(&self) -> Attempts {
        let text = read(&self.attempts).ok();
        let attempts = text.and_then(|text| serde_json::from_str::<Attempts>(&text).ok());
        attempts
            .filter(|attempts| attempts.version == VERSION)
            .unwrap_or_default()
    }

    fn save_attempts(&self, attempts: Attempts) {
        let attempts = Attempts {
            version: VERSION,
            ..attempts
        };
        if let Ok(json) = serde_json::to_vec(&attempts) {
            self.save(&self.attempts, &json);
        }
    }

    fn save(&self, path: &Path, content: &[u8]) {
        if let Err(error) = atomic_file::write(path, content) {
            let words = format!("{} cannot be written: {error}", path.display());
            self.journal.write(Level::ERROR, &words);
        }
    }
}

/// What the clock of this machine will show in so many seconds, with the day if that is another one.
pub(crate) fn local_time_in(seconds: u64) -> String {
    let now = Zoned::now();
    let time = now.saturating_add(Duration::from_secs(seconds));
    let form = if time.date() == now.date() {
        "%H:%M"
    } else {
        "%a %-d %b %H:%M"
    };
    time.strftime(form).to_string()
}

fn seconds(time: &Zoned) -> u64 {
    u64::try_from(time.timestamp().as_second()).unwrap_or(0)
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    let file = regular_file::open(path)?;
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
