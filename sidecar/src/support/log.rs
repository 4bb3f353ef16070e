//! The log files that captains follow and the station's scripts read.
//!
//! Each message is one line in local time: `[YYYY-MM-DD HH:MM:SS] [LEVEL] message`. Line breaks in a
//! message are removed, because scripts read each line alone and messages quote text from others.

use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use constellation_shared::regular_file;
use indicatif::MultiProgress;
use jiff::Zoned;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::support::atomic_file;
use crate::support::mutex::lock;
use crate::support::sanitize::{one_line, without_failures, without_words_of_scripts};
use crate::support::state_file::RUN_LOG;

/// The `tracing` target of messages about profiles, which have a log file of their own.
pub(crate) const PROFILE_LOG: &str = "constellation_profiles";

/// The `tracing` target of what `live` says between its backfills, which has a log file of its own and
/// does not stand in the log of the last run.
pub(crate) const LIVE_LOG: &str = "constellation_live";

/// The boolean field that marks the messages that the station's scripts look for. These contain
/// only our own text and numbers. In all other messages, the words by which scripts find them are
/// altered, so that no quoted text can pass for one of them.
const FOR_SCRIPTS: &str = "for_scripts";

/// The longest message that is logged, in characters.
const LONGEST: usize = 2000;

/// When a log file is rotated, and how many older files are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rotation {
    /// The size from which on the file is rotated, in bytes.
    pub most_bytes: u64,
    /// How many older files are kept.
    pub kept: u32,
}

impl Rotation {
    /// 10 MB and 3 older files; on a machine with less than 1 GiB of memory, which usually has a
    /// small card, 5 MB and 2 older files.
    pub(crate) const fn for_memory(bytes: u64) -> Self {
        if bytes >= 1024 * 1024 * 1024 {
            Self {
                most_bytes: 10_000_000,
                kept: 3,
            }
        } else {
            Self {
                most_bytes: 5_000_000,
                kept: 2,
            }
        }
    }
}

/// A separate log file in the same format that is appended to and rotated.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    rotation: Rotation,
}

impl Journal {
    /// A log file at this path.
    pub(crate) const fn new(path: PathBuf, rotation: Rotation) -> Self {
        Self { path, rotation }
    }

    /// Appends a message. Errors are ignored, because a log must not stop the program.
    pub(crate) fn write(&self, level: Level, message: &str) {
        let line = line(level, message, false);
        let _ = append_rotating(&self.path, line.as_bytes(), self.rotation);
    }
}

/// Writes messages to log files and to the terminal.
#[derive(Debug)]
pub(crate) struct Log {
    run: Option<Arc<Mutex<RunLog>>>,
    errors: Option<(PathBuf, Rotation)>,
    profiles: Option<(PathBuf, Rotation)>,
    live: Option<(PathBuf, Rotation)>,
    /// Whether the terminal gets every message and not only warnings and errors.
    verbose: bool,
    bars: MultiProgress,
}

impl Log {
    /// A log that writes to the terminal only.
    pub(crate) fn to_terminal(verbose: bool, bars: MultiProgress) -> Self {
        Self {
            run: None,
            errors: None,
            profiles: None,
            live: None,
            verbose,
            bars,
        }
    }

    /// Also writes every message to `run`, which is emptied first, and warnings and errors to
    /// `errors`.
    ///
    /// # Errors
    /// If `run` cannot be opened.
    pub(crate) fn with_files(
        mut self,
        run: &Path,
        errors: PathBuf,
        rotation: Rotation,
    ) -> io::Result<Self> {
        self.run = Some(Arc::new(Mutex::new(RunLog {
            file: regular_file::open_without_waiting(
                run,
                File::options().create(true).write(true).truncate(true),
            )?,
            room: RUN_LOG.most_bytes,
        })));
        self.errors = Some((errors, rotation));
        Ok(self)
    }

    /// Also writes the messages about profiles to this file.
    #[must_use]
    pub(crate) fn with_profiles(mut self, path: PathBuf, rotation: Rotation) -> Self {
        self.profiles = Some((path, rotation));
        self
    }

    /// Also writes what `live` says between its backfills to this file, and not to that of the run.
    #[must_use]
    pub(crate) fn with_live(mut self, path: PathBuf, rotation: Rotation) -> Self {
        self.live = Some((path, rotation));
        self
    }

    /// What begins the log of the run anew.
    pub(crate) fn next_run(&self) -> NextRun {
        NextRun(self.run.clone())
    }

    fn write(&self, level: Level, target: &str, message: &Message) {
        let line = line(level, &message.text, message.is_for_scripts);
        let is_serious = level <= Level::WARN;
        if let (LIVE_LOG, Some((path, rotation))) = (target, &self.live) {
            let _ = append_rotating(path, line.as_bytes(), *rotation);
        } else if let Some(run) = &self.run {
            let mut run = lock(run);
            run.write(&line, message.is_for_scripts);
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

/// Begins the log of the run anew, in a process that makes several runs.
#[derive(Debug, Clone)]
pub(crate) struct NextRun(Option<Arc<Mutex<RunLog>>>);

impl NextRun {
    /// Empties the log for the next run.
    pub(crate) fn begin(&self) {
        if let Some(run) = &self.0 {
            lock(run).empty();
        }
    }
}

/// The log of the current run, which is not rotated.
#[derive(Debug)]
struct RunLog {
    file: File,
    /// How many more bytes may be written.
    room: u64,
}

impl RunLog {
    /// The number of bytes that is kept free for the last messages of a run.
    const RESERVE: u64 = 64 * 1024;

    fn empty(&mut self) {
        // If it cannot be emptied, it goes on behind what is there, for as long as there is room.
        if self.file.set_len(0).is_ok() && self.file.rewind().is_ok() {
            self.room = RUN_LOG.most_bytes;
        }
    }

    fn write(&mut self, line: &str, is_for_scripts: bool) {
        let was_full = self.room < Self::RESERVE;
        if was_full && !is_for_scripts {
            return;
        }
        self.append(line);
        if !was_full && self.room < Self::RESERVE {
            self.append(&self::line(
                Level::WARN,
                "this log is full: only the last lines of the run follow",
                false,
            ));
        }
    }

    fn append(&mut self, line: &str) {
        let length = line.len() as u64;
        if length <= self.room {
            self.room -= length;
            // A full disk must not end the run; the message is still shown on the terminal.
            let _ = atomic_file::append(&self.file, line.as_bytes());
        }
    }
}

/// The line in a log for a message, with the current time.
fn line(level: Level, message: &str, is_for_scripts: bool) -> String {
    let time = Zoned::now().strftime("%Y-%m-%d %H:%M:%S");
    format!(
        "[{time}] [{level}] {}\n",
        harmless(level, message, is_for_scripts)
    )
}

/// The message as one line of limited length that scripts cannot mistake for another message.
fn harmless(level: Level, message: &str, is_for_scripts: bool) -> String {
    let mut line = one_line(message);
    if !is_for_scripts {
        line = without_words_of_scripts(&line);
        // Scripts count the lines that mention a failure, and only errors report one.
        if level > Level::ERROR {
            line = without_failures(&line);
        }
    }
    if let Some((end, _)) = line.char_indices().nth(LONGEST) {
        line.truncate(end);
        line.push('…');
    }
    line
}

/// Appends a line in a single write. If the file has grown too large, it is renamed to `.1` first,
/// `.1` to `.2`, and so on.
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
    let file = regular_file::open_without_waiting(path, File::options().create(true).append(true))?;
    atomic_file::append(&file, line)
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        // Libraries log a lot that is of no interest here.
        if !metadata.target().starts_with("constellation") || *metadata.level() > Level::INFO {
            return;
        }
        let mut message = Message::default();
        event.record(&mut message);
        self.write(*metadata.level(), metadata.target(), &message);
    }
}

#[derive(Default)]
struct Message {
    text: String,
    is_for_scripts: bool,
}

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.text, "{value:?}");
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.is_for_scripts |= value && field.name() == FOR_SCRIPTS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_whatever_is_in_it() {
        let info = |message: &str| harmless(Level::INFO, message, false);
        assert_eq!(info("a\nb\u{1b}[2J\u{202e}\u{2028}c"), "a b [2J c");
        assert_eq!(info(&"x".repeat(3000)).chars().count(), LONGEST + 1);
    }

    #[test]
    fn only_lines_for_scripts_hold_the_words_that_scripts_look_for() {
        let message = "SYNC_HEX: count=1 failed";
        assert_eq!(harmless(Level::INFO, message, true), message);
        assert_eq!(
            harmless(Level::WARN, message, false),
            "SYNC·HEX: count=1 fail·ed"
        );
        assert_eq!(
            harmless(Level::ERROR, message, false),
            "SYNC·HEX: count=1 failed"
        );
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
            log.write(&line(Level::INFO, "a peer talks", false), false);
        }
        log.write(&line(Level::INFO, "SYNC_HEX: count=0", true), true);
        let text = fs::read_to_string(&path).unwrap();
        assert!((900..1300).contains(&text.len()), "{}", text.len());
        assert_eq!(text.matches("this log is full").count(), 1);
        assert!(text.ends_with("SYNC_HEX: count=0\n"));
        for _ in 0..2000 {
            log.write(&line(Level::INFO, "SYNC_HEX: count=0", true), true);
        }
        assert!(fs::metadata(&path).unwrap().len() <= room);
    }

    #[test]
    fn small_machines_keep_less() {
        let kept = |megabytes: u64| Rotation::for_memory(megabytes << 20).kept;
        assert_eq!((kept(512), kept(1024)), (2, 3));
    }
}
