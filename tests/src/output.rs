//! [`Output`]: what a program under test did.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;

/// What a program did. The `expect_…` functions panic with all of it, and give it back so
/// that they can be chained.
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
    pub(crate) shown: String,
    pub(crate) folder: PathBuf,
}

impl Output {
    /// It ended with this exit code.
    #[track_caller]
    pub fn expect_code(&self, code: i32) -> &Self {
        let seen = self.status.code();
        assert_eq!(seen, Some(code), "exit code\n{self}");
        self
    }

    /// It was ended by this signal.
    #[track_caller]
    pub fn expect_signal(&self, signal: i32) -> &Self {
        let seen = self.status.signal();
        assert_eq!(seen, Some(signal), "signal\n{self}");
        self
    }

    /// This is on stdout somewhere.
    #[track_caller]
    pub fn expect_stdout(&self, part: &str) -> &Self {
        assert!(self.stdout.contains(part), "no {part:?} on stdout\n{self}");
        self
    }

    /// This is on stderr somewhere.
    #[track_caller]
    pub fn expect_stderr(&self, part: &str) -> &Self {
        assert!(self.stderr.contains(part), "no {part:?} on stderr\n{self}");
        self
    }

    /// This is nowhere on stderr.
    #[track_caller]
    pub fn expect_not_stderr(&self, part: &str) -> &Self {
        assert!(!self.stderr.contains(part), "{part:?} on stderr\n{self}");
        self
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            status,
            stdout,
            stderr,
            shown,
            folder,
        } = self;
        let folder = folder.display();
        let line = "=".repeat(79);
        write!(
            f,
            "{line}\ncommand: {shown}\nfolder: {folder}\nstatus: {status}\n\
             stdout:\n{stdout}\nstderr:\n{stderr}\n{line}"
        )
    }
}
