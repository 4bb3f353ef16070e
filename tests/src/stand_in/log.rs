//! strfry's log on stderr.

use std::io::{Write, stderr};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Info,
    Warning,
    Error,
}

/// Nothing may depend on the time of a line, so it stands still.
const STAMP: &str = "2026-01-01 00:00:00.000";

pub(super) struct Log {
    started: Instant,
    least: Level,
    quiet: Arc<AtomicBool>,
    noise: Mutex<Option<JoinHandle<()>>>,
}

impl Log {
    pub(super) fn start(least: Level, noise: bool) -> Self {
        let quiet = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&quiet);
        let noise = noise.then(|| {
            thread::spawn(move || {
                let line = format!("{STAMP} (   0.000s) [noise           ]WARN| {:#>200}\n", "");
                while !until.load(Ordering::Relaxed) {
                    let _ = stderr().lock().write_all(line.as_bytes());
                }
            })
        });
        Self {
            started: Instant::now(),
            least,
            quiet,
            noise: Mutex::new(noise),
        }
    }

    /// What every command says first.
    pub(super) fn begin(&self, words: &[String]) {
        if rustix::process::getuid().is_root() {
            self.raw("WARNING: Running as root is not recommended\n");
        }
        if self.least > Level::Info {
            return;
        }
        self.raw("date       time         ( uptime  ) [ thread name/id ]   v| \n");
        let words = words.join(" ").replace('"', "\\\"");
        self.info("main thread", &format!("arguments: strfry {words}"));
        let here = std::env::current_dir().unwrap_or_default();
        self.info("main thread", &format!("Current dir: {}", here.display()));
        self.info("main thread", "stderr verbosity: 0");
        self.info("main thread", "-----------------------------------");
    }

    pub(super) fn info(&self, thread: &str, words: &str) {
        self.line(Level::Info, thread, words);
    }

    pub(super) fn warn(&self, thread: &str, words: &str) {
        self.line(Level::Warning, thread, words);
    }

    pub(super) fn line(&self, level: Level, thread: &str, words: &str) {
        if level < self.least {
            return;
        }
        let name = match level {
            Level::Info => "INFO",
            Level::Warning => "WARN",
            Level::Error => "ERR",
        };
        let uptime = self.started.elapsed().as_secs_f64();
        self.raw(&format!(
            "{STAMP} ({uptime:8.3}s) [{thread:<16}]{name:>4}| {words}\n"
        ));
    }

    pub(super) fn raw(&self, text: &str) {
        // Whoever closed our stderr does not want to read this.
        let _ = stderr().lock().write_all(text.as_bytes());
    }

    /// So that the summary is the last that is read.
    pub(super) fn end_noise(&self) {
        self.quiet.store(true, Ordering::Relaxed);
        if let Some(noise) = self.noise.lock().unwrap().take() {
            noise.join().unwrap();
        }
    }
}
