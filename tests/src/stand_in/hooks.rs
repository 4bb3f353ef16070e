//! The ways to fail that tests ask for; see the table of [`super`].

use std::fs::OpenOptions;
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, getpid, getppid, kill_process};

use super::Stop;

#[derive(Default)]
pub(super) struct Hooks {
    pub(super) exit: Option<u8>,
    hang: bool,
    pub(super) noise: bool,
    die_after: Option<u64>,
    pub(super) commit_every: Option<usize>,
    pub(super) disk_full_after: Option<usize>,
}

impl Hooks {
    pub(super) fn from_env(command: &str) -> Self {
        let text = |name: &str| std::env::var(format!("STANDIN_{name}")).ok();
        fn number<T: std::str::FromStr>(name: &str, text: Option<String>) -> Option<T> {
            let bad = || panic!("STANDIN_{name} is not a number");
            text.map(|text| text.parse().unwrap_or_else(|_| bad()))
        }
        if text("ONLY").is_some_and(|only| only != command) {
            return Self::default();
        }
        let hooks = Self {
            exit: number("EXIT", text("EXIT")),
            hang: text("HANG").is_some(),
            noise: text("NOISE").is_some(),
            die_after: number("DIE_AFTER", text("DIE_AFTER")),
            commit_every: number("COMMIT_EVERY", text("COMMIT_EVERY")),
            disk_full_after: number("DISK_FULL_AFTER", text("DISK_FULL_AFTER")),
        };
        let claimed = text("ONCE").is_none_or(|path| {
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).open(path).is_ok()
        });
        match claimed {
            true => hooks,
            false => Self::default(),
        }
    }

    pub(super) fn at_start(&self) -> Result<(), Stop> {
        if self.hang {
            // A test that ends leaves no process behind.
            let parent = getppid();
            while getppid() == parent {
                thread::sleep(Duration::from_millis(50));
            }
        }
        match self.exit {
            Some(code) => Err(Stop::Error(format!("stand-in told to exit with {code}"))),
            None => Ok(()),
        }
    }

    pub(super) fn after_line(&self, number: u64) {
        if self.die_after.is_some_and(|last| number >= last) {
            kill_process(getpid(), Signal::KILL).unwrap();
            // The signal may take a moment to arrive.
            loop {
                thread::park();
            }
        }
    }
}
