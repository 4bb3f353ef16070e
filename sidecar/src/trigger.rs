//! `constellation-sync trigger`, what the station's scripts call as often as they like: a
//! backfill where one is due, else a line in its log.
//!
//! Three files in strfry's folder: `last_constellation_sync` (when the last backfill that
//! succeeded began: Unix seconds; a day, `2025-10-30`, is read too),
//! `constellation-trigger.json` (attempts in vain since; safe to delete) and
//! `constellation-trigger.log`.

pub mod schedule;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use jiff::Zoned;
use serde::{Deserialize, Serialize};
use tracing::Level;

use crate::error::SyncError;
use crate::error::chain;
use crate::log::{Journal, Rotation};
use crate::report::{Outcome, Report};
use crate::whole_file;
use schedule::{Decision, History, Reason, Schedule, TimeOfDay, parse_last, words};

/// The layout of the file of attempts.
const VERSION: u32 = 1;

/// How much is read of a file, in bytes; each holds a line.
const LONGEST: u64 = 4096;

/// A backfill where one is due, else nothing: for jobs that run every few minutes
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = "\
Every option of the backfill holds here too, before or behind `trigger`. It goes back as many
days as lie behind the last success, 30 at the most, or --days where that is more.

Examples:
  constellation-sync trigger                                          at most once an hour
  constellation-sync trigger --interval 1440 --not-before 12:00       once a day, from noon on

Exit code: 0 where nothing is due, else that of the backfill.")]
pub struct TriggerOptions {
    /// How many minutes after a success the next backfill is due
    #[arg(
        long,
        value_name = "MINUTES",
        default_value_t = 60,
        value_parser = clap::value_parser!(u64).range(0..=525_600),
        env = "CONSTELLATION_INTERVAL"
    )]
    pub interval: u64,
    /// Not before this local time of day
    #[arg(long, value_name = "HH:MM", env = "CONSTELLATION_NOT_BEFORE")]
    pub not_before: Option<TimeOfDay>,
}

/// What came of a turn.
#[derive(Debug)]
pub enum Turn {
    /// A backfill.
    Ran(Report),
    /// None, and why.
    Skipped(Reason),
}

/// The files of the trigger, and what was asked of it.
#[derive(Debug)]
pub struct Trigger {
    schedule: Schedule,
    last_success: PathBuf,
    attempts: PathBuf,
    journal: Journal,
}

#[derive(Default, Serialize, Deserialize)]
struct Attempts {
    version: u32,
    in_vain: u32,
    last: u64,
}

/// What the files of the trigger tell, times in Unix seconds.
#[derive(Debug)]
pub struct State {
    /// When the last backfill that succeeded began; none where there was none.
    pub last_success: io::Result<Option<u64>>,
    /// How many attempts were in vain since.
    pub in_vain: u32,
    /// When the last of these began.
    pub last_in_vain: u64,
}

/// Reads the files of the trigger in this strfry folder.
pub fn state(folder: &Path) -> State {
    let options = TriggerOptions {
        interval: 60,
        not_before: None,
    };
    let usual = Rotation::for_memory(u64::MAX);
    let trigger = Trigger::new(&options, 1, folder, usual);
    let Attempts { in_vain, last, .. } = trigger.load_attempts();
    State {
        last_success: trigger.last_success(&Zoned::now()),
        in_vain,
        last_in_vain: last,
    }
}

impl Trigger {
    /// The trigger of the station with this strfry folder; `days` is what `--days` says.
    pub fn new(options: &TriggerOptions, days: u64, folder: &Path, rotation: Rotation) -> Self {
        Self {
            schedule: Schedule {
                interval: options.interval * 60,
                not_before: options.not_before,
                days,
            },
            last_success: folder.join("last_constellation_sync"),
            attempts: folder.join("constellation-trigger.json"),
            journal: Journal::new(folder.join("constellation-trigger.log"), rotation),
        }
    }

    /// What to do now. Nothing is written.
    pub fn decide(&self) -> Decision {
        let now = Zoned::now();
        let minutes = u16::from(now.hour().unsigned_abs()) * 60;
        let time = TimeOfDay(minutes + u16::from(now.minute().unsigned_abs()));
        let attempts = self.load_attempts();
        let history = History {
            last_success: self.last_success(&now).unwrap_or_default(),
            failures: attempts.in_vain,
            last_failure: attempts.last,
        };
        self.schedule.decide(seconds(&now), time, &history)
    }

    /// When the last backfill succeeded; none where there was none.
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

    /// Runs a backfill of the given number of days where one is due. To be called by one
    /// process at a time: with the lock of the backfill.
    ///
    /// # Errors
    /// Those of the backfill, which are noted down.
    pub fn take_turn(
        &self,
        backfill: impl FnOnce(u64) -> Result<Report, SyncError>,
    ) -> Result<Turn, SyncError> {
        let (days, age) = match self.decide() {
            Decision::Run { days, age } => (days, age),
            Decision::Wait(reason) => return Ok(Turn::Skipped(reason)),
        };
        let now = Zoned::now();
        if let Err(error) = self.last_success(&now) {
            let path = self.last_success.display();
            self.journal
                .write(Level::WARN, &format!("{path} is passed over: {error}"));
        }
        let last = age.map_or_else(
            || "there is no last success".to_owned(),
            |age| format!("the last success was {} ago", words(age)),
        );
        self.note(&format!("Backfill starts: --days {days}; {last}"));
        let (begin, clock) = (seconds(&now), Instant::now());
        // Noted down beforehand: one that is killed was in vain, too.
        let in_vain = self.load_attempts().in_vain.saturating_add(1);
        self.save_attempts(in_vain, begin);
        let result = backfill(days);
        let took = words(clock.elapsed().as_secs());
        let (code, cause) = match &result {
            Ok(report) => (report.outcome.exit_code(), why_in_vain(report)),
            Err(error) => (error.exit_code(), Some(chain(error))),
        };
        match cause {
            None => {
                self.save(&self.last_success, format!("{begin}\n").as_bytes());
                let _ = fs::remove_file(&self.attempts);
                self.note(&format!("Backfill done in {took}, exit code {code}"));
            }
            Some(cause) => {
                let retry = words(self.schedule.pause_after(in_vain).as_secs());
                let words = format!(
                    "Backfill failed after {took}, exit code {code}: {cause}; the next may follow in {retry}"
                );
                self.journal.write(Level::WARN, &words);
            }
        }
        result.map(Turn::Ran)
    }

    /// Writes to the log of the trigger.
    pub fn note(&self, words: &str) {
        self.journal.write(Level::INFO, words);
    }

    fn load_attempts(&self) -> Attempts {
        let text = read(&self.attempts).ok();
        let attempts = text.and_then(|text| serde_json::from_str::<Attempts>(&text).ok());
        attempts
            .filter(|attempts| attempts.version == VERSION)
            .unwrap_or_default()
    }

    fn save_attempts(&self, in_vain: u32, last: u64) {
        let attempts = Attempts {
            version: VERSION,
            in_vain,
            last,
        };
        if let Ok(json) = serde_json::to_vec(&attempts) {
            self.save(&self.attempts, &json);
        }
    }

    fn save(&self, path: &Path, content: &[u8]) {
        if let Err(error) = whole_file::write(path, content) {
            let words = format!("{} cannot be written: {error}", path.display());
            self.journal.write(Level::ERROR, &words);
        }
    }
}

/// Why the next one cannot go on from here. In a constellation some station is always
/// down: one peer that gave all it has is enough, as each holds what all have.
fn why_in_vain(report: &Report) -> Option<String> {
    let cause = match report.outcome {
        Outcome::Complete => return None,
        Outcome::SomePeersFailed if report.succeeded() > 0 => return None,
        Outcome::SomePeersFailed => "no peer gave all it has",
        Outcome::NothingDone => "nothing could be stored",
        Outcome::Interrupted => "it was interrupted",
    };
    Some(cause.to_owned())
}

fn seconds(time: &Zoned) -> u64 {
    u64::try_from(time.timestamp().as_second()).unwrap_or(0)
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
