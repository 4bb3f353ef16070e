//! The ways to fail that tests ask for; see the table of [`super`].

use std::fmt::Debug;
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use rustix::process::getppid;

use super::Repository;

#[derive(Default)]
pub(super) struct Hooks {
    exit: Option<u8>,
    hang: bool,
    pub(super) deaf: bool,
    pub(super) late_ms: u64,
}

impl Hooks {
    /// What holds for this command; `target` is `/p2p/ID`.
    pub(super) fn from_env(repository: &Repository, command: &str, target: &str) -> Self {
        let text = |name: &str| std::env::var(format!("STANDIN_IPFS_{name}")).ok();
        fn number<T: FromStr<Err: Debug>>(text: Option<String>) -> Option<T> {
            text.map(|text| text.parse().expect("a number"))
        }
        let hooks = Self {
            exit: number(text("EXIT")),
            hang: text("HANG").is_some(),
            deaf: text("DEAF").is_some(),
            late_ms: number(text("LATE")).unwrap_or(0),
        };
        let other_command = text("ONLY").is_some_and(|only| only != command);
        let other_peer = text("PEER").is_some_and(|id| target != format!("/p2p/{id}"));
        if other_command || other_peer {
            return Self::default();
        }
        match number(text("TIMES")) {
            Some(times) if !repository.claim(times) => Self::default(),
            _ => hooks,
        }
    }

    pub(super) fn at_start(&self) -> Result<(), (u8, String)> {
        if self.hang {
            // A test that ends leaves no process behind.
            let parent = getppid();
            while getppid() == parent {
                thread::sleep(Duration::from_millis(20));
            }
        }
        let words = "this command must be run in online mode. Try running 'ipfs daemon' first.";
        match self.exit {
            Some(code) => Err((code, words.to_owned())),
            None => Ok(()),
        }
    }
}
