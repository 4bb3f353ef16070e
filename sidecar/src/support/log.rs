//! The log files that captains follow and the station's scripts read.
//!
//! `[YYYY-MM-DD HH:MM:SS] [LEVEL] message`, local time, one line a message whatever is in
//! it: each is read alone, and much of what it quotes is foreign.

use std::fmt::{self, Write as _};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use indicatif::MultiProgress;
use jiff::Zoned;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::support::state_file::RUN_LOG;

/// The `tracing` target of the lines about profiles, which have a log file of their own.
pub const PROFILE_LOG: &str = "constellation_profiles";

/// The longest message, in characters.
const LONGEST: usize = 2000;

/// How large a log may become, in bytes, and how many older ones are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// Bytes.
    pub most_bytes: u64,
    /// Files besides the one written to.
    pub kept: u32,
}

impl Rotation {
    /// 10 MB and 3 older files; on machines with less than 1 GB of memory, whose cards are
    /// small too, 5 MB and 2.
    pub const fn for_memory(bytes: u64) -> Self {
        match bytes >= 1024 * 1024 * 1024 {
            true => Self {
                most_bytes: 10_000_000,
                kept: 3,
            },
            false => Self {
                most_bytes: 5_000_000,
                kept: 2,
            },
        }
    }
}

/// A log file of its own kind, in the same form: appended to, rotated.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    rotation: Rotation,
}

impl Journal {
    /// The log at this path.
    pub const fn new(path: PathBuf, rotation: Rotation) -> Self {
        Self { path, rotation }
    }

    /// Appends a message. Where that cannot be done, nothing is: a log holds nobody up.
    pub fn write(&self, level: Level, message: &str) {
        let _ = append_rotating(&self.path, line(level, message).as_bytes(), self.rotation);
    }
}

/// Writes messages to files and to the terminal.
#[derive(Debug)]
pub struct Log {
    run: Option<Mutex<RunLog>>,
    errors: Option<(PathBuf, Rotation)>,
    profiles: Option<(PathBuf, Rotation)>,
    /// Whether the terminal gets everything, not warnings and errors alone.
    verbose: bool,
    bars: MultiProgress,
}

impl Log {
    /// A log to the terminal only.
    pub fn to_terminal(verbose: bool, bars: MultiProgress) -> Self {
        Self {
            run: None,
            errors: None,
            profiles: None,
            verbose,
            bars,
        }
    }

    /// Writes to `run` too, which is emptied, and warnings and errors to `errors`.
    ///
    /// # Errors
    /// Those of opening `run`.
    pub fn with_files(
        mut self,
        run: &Path,
        errors: PathBuf,
        rotation: Rotation,
    ) -> io::Result<Self> {
        self.run = Some(Mutex::new(RunLog {
            file: File::create(run)?,
            room: RUN_LOG.most_bytes,
        }));
        self.errors = Some((errors, rotation));
        Ok(self)
    }

    /// Writes the lines about profiles to this file too, in the same form.
    #[must_use]
    pub fn with_profiles(mut self, path: PathBuf, rotation: Rotation) -> Self {
        self.profiles = Some((path, rotation));
        self
    }

    fn write(&self, level: Level, target: &str, message: &str) {
        let line = line(level, message);
        let is_serious = level <= Level::WARN;
        if let Some(run) = &self.run {
            let mut run = run.lock().unwrap_or_else(PoisonError::into_inner);
            run.write(&line, message);
        }
        if let (true, Some((path, rotation))) = (is_serious, &self.errors) {
            let _ = append_rotating(path, line.as_bytes(), *rotation);
        }
        if let (PROFILE_LOG, Some((path, rotation))) = (target, &self.profiles) {
            let _ = append_rotating(path, line.as_bytes(), *rotation);
        }
        if is_serious || self.verbose {
            self.bars.suspend(|| {
                let _ = io::stderr().write_all(line.as_bytes());
            });
        }
    }
}

/// The log of this run, which is not rotated.
#[derive(Debug)]
struct RunLog {
    file: File,
    /// How many bytes may still be written.
    room: u64,
}

impl RunLog {
    /// What is kept free for the lines that end a run.
    const RESERVE: u64 = 64 * 1024;

    /// Lines that the station's scripts look for.
    const FOR_SCRIPTS: [&str; 2] = ["SYNC_", "Backfill process completed"];

    fn write(&mut self, line: &str, message: &str) {
        let was_full = self.room < Self::RESERVE;
        let is_for_scripts = Self::FOR_SCRIPTS
            .iter()
            .any(|begin| message.starts_with(begin));
        if was_full && !is_for_scripts {
            return;
        }
        self.append(line);
        if !was_full && self.room < Self::RESERVE {
            self.append(&self::line(
                Level::WARN,
                "this log is full: only the last lines of the run follow",
            ));
        }
    }

    fn append(&mut self, line: &str) {
        let length = line.len() as u64;
        if length <= self.room {
            self.room -= length;
            // A full disk must not end the run; the terminal still has the message.
            let _ = self.file.write_all(line.as_bytes());
        }
    }
}

/// A message as it stands in a log, now.
fn line(level: Level, message: &str) -> String {
    let time = Zoned::now().strftime("%Y-%m-%d %H:%M:%S");
    format!("[{time}] [{level}] {}\n", one_line(message))
}

/// Appends a line in one write; a file that has grown too large becomes `.1` before, `.1`
/// becomes `.2`, and so on.
fn append_rotating(path: &Path, line: &[u8], rotation: Rotation) -> io::Result<()> {
    let numbered = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() >= rotation.most_bytes) {
        for number in (1..rotation.kept).rev() {
            let _ = fs::rename(numbered(number), numbered(number + 1));
        }
        fs::rename(path, numbered(1))?;
    }
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(line)
}

/// Control characters become visible ones, and what is endless is cut.
fn one_line(message: &str) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    let mut line: String = message.chars().take(LONGEST).map(shown).collect();
    if message.chars().nth(LONGEST).is_some() {
        line.push('…');
    }
    line
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        // Libraries speak of their own affairs at length.
        if !metadata.target().starts_with("constellation") || *metadata.level() > Level::INFO {
            return;
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        self.write(*metadata.level(), metadata.target(), &message.0);
    }
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.0, "{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_whatever_is_in_it() {
        assert_eq!(one_line("a\nb\u{1b}[2J"), "a b [2J");
        assert_eq!(one_line(&"x".repeat(3000)).chars().count(), LONGEST + 1);
    }

    #[test]
    fn the_oldest_log_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("error.log");
        let rotation = Rotation {
            most_bytes: 4,
            kept: 2,
        };
        for line in ["one\n", "two\n", "three\n", "four\n"] {
            append_rotating(&path, line.as_bytes(), rotation).unwrap();
        }
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).ok();
        assert_eq!(read("error.log").as_deref(), Some("four\n"));
        assert_eq!(read("error.log.1").as_deref(), Some("three\n"));
        assert_eq!(read("error.log.2").as_deref(), Some("two\n"));
        assert_eq!(read("error.log.3"), None);
    }

    #[test]
    fn the_log_of_a_run_is_bounded_and_ends_with_what_scripts_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.log");
        let room = RunLog::RESERVE + 1000;
        let file = File::create(&path).unwrap();
        let mut log = RunLog { file, room };
        for _ in 0..2000 {
            log.write(&line(Level::INFO, "a peer talks"), "a peer talks");
        }
        log.write(&line(Level::INFO, "SYNC_HEX: count=0"), "SYNC_HEX: count=0");
        let text = fs::read_to_string(&path).unwrap();
        assert!((900..1300).contains(&text.len()), "{}", text.len());
        assert_eq!(text.matches("this log is full").count(), 1);
        assert!(text.ends_with("SYNC_HEX: count=0\n"));
        for _ in 0..2000 {
            log.write(&line(Level::INFO, "SYNC_HEX: count=0"), "SYNC_HEX: count=0");
        }
        assert!(fs::metadata(&path).unwrap().len() <= room);
    }

    #[test]
    fn small_machines_keep_less() {
        let kept = |megabytes: u64| Rotation::for_memory(megabytes << 20).kept;
        assert_eq!((kept(512), kept(1024)), (2, 3));
    }
}
