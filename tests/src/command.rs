//! [`TestCommand`]: a program under test, whose failed expectations show everything.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::Resource;

pub use crate::output::Output;
use crate::terminal::Terminal;

/// A program that runs longer than this hangs. Far above what any needs on a slow machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often a condition is looked at while it is waited for.
const INTERVAL: Duration = Duration::from_millis(2);

/// A program about to be run, with an environment of its own.
pub struct TestCommand {
    command: Command,
    input: Vec<u8>,
    has_terminal: bool,
}

impl TestCommand {
    /// The program at this path, run in this folder. Of our environment it gets PATH alone;
    /// and the settings that tests need.
    pub fn new(program: impl AsRef<OsStr>, folder: &Path) -> Self {
        let mut command = Command::new(program);
        command.current_dir(folder).env_clear();
        // No test asks anybody on the internet, nor brings what it did not ask for: who has
        // no profile would be synced fully.
        command.env("CONSTELLATION_NO_FALLBACK", "true");
        command.env("CONSTELLATION_NO_PROFILES", "true");
        // The peers of tests are on this machine.
        command.env("CONSTELLATION_ALLOW_PRIVATE_PEERS", "true");
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        Self {
            command,
            input: Vec::new(),
            has_terminal: false,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Unsets a variable of its environment.
    #[must_use]
    pub fn env_remove(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Runs it in another folder.
    #[must_use]
    pub fn folder(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Gives it this on stdin; without, stdin is empty.
    #[must_use]
    pub fn stdin(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// Lets it write its stderr on a terminal.
    #[must_use]
    pub fn on_a_terminal(mut self) -> Self {
        self.has_terminal = true;
        self.env("TERM", "xterm")
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// Where it cannot be started, or does not end.
    pub fn output(self) -> Output {
        self.spawn().wait()
    }

    /// Starts it; stdin is written to at once and closed.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn spawn(mut self) -> Running {
        let shown = format!("{:?}", self.command);
        let folder = self.command.get_current_dir().map(Path::to_owned);
        self.command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let screen = self.has_terminal.then(|| {
            let terminal = Terminal::open();
            self.command.stderr(terminal.program);
            drain(terminal.screen)
        });
        let started = self.command.spawn();
        let mut child = started.unwrap_or_else(|error| panic!("{shown}: {error}"));
        let mut stdin = child.stdin.take().unwrap();
        let input = self.input;
        thread::spawn(move || {
            // A program may end without reading all of it.
            let _ = stdin.write_all(&input);
        });
        Running {
            stdout: Some(drain(child.stdout.take().unwrap())),
            stderr: screen.or_else(|| child.stderr.take().map(drain)),
            child,
            shown,
            folder: folder.unwrap_or_default(),
        }
    }
}

fn drain(mut stream: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        bytes
    })
}

/// A program that runs. Dropped before its end, it is killed.
pub struct Running {
    child: Child,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
    shown: String,
    folder: PathBuf,
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Holds the memory of its own that it and its later children may have to so many
    /// bytes: heap, stacks and private mappings (`RLIMIT_DATA`), not the pages of files.
    pub fn limit_memory(&self, bytes: u64) {
        self.limit(Resource::Data, bytes);
    }

    /// Holds the files that it and its later children may have open to so many.
    pub fn limit_files(&self, count: u64) {
        self.limit(Resource::Nofile, count);
    }

    fn limit(&self, resource: Resource, most: u64) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let limit = rustix::process::Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        // It may have ended already.
        let _ = rustix::process::prlimit(Some(pid), resource, limit);
    }

    /// The most memory that it has had at once so far, in bytes; 0 once it has ended.
    pub fn peak_memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kilobytes.unwrap_or_default() * 1024
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends it a signal, unless it has ended.
    pub fn signal(&mut self, signal: rustix::process::Signal) {
        if !self.is_running() {
            return;
        }
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// Where it does not end within two minutes; it is killed then.
    pub fn wait(mut self) -> Output {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if started.elapsed() > PATIENCE {
                self.child.kill().unwrap();
                let status = self.child.wait().unwrap();
                let output = self.collect(status);
                panic!("it did not end within {PATIENCE:?}\n{output}");
            }
            thread::sleep(INTERVAL);
        };
        self.collect(status)
    }

    fn collect(&mut self, status: ExitStatus) -> Output {
        let take = |drained: &mut Option<JoinHandle<Vec<u8>>>| {
            let bytes = drained.take().map(|thread| thread.join().unwrap());
            String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
        };
        Output {
            status,
            stdout: take(&mut self.stdout),
            stderr: take(&mut self.stderr),
            shown: std::mem::take(&mut self.shown),
            folder: std::mem::take(&mut self.folder),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until the condition holds, looking every other millisecond.
///
/// # Panics
/// Where it does not within two minutes, with `what` was waited for.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::sleep(INTERVAL);
    }
}
