//! [`Repository`]: what kubo's daemon would know.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, kill_process};

/// The folder with what a stand-in ipfs knows.
#[derive(Debug, Clone)]
pub struct Repository(PathBuf);

/// A listener of `p2p forward`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// `/x/…`.
    pub service: String,
    /// `/ip4/127.0.0.1/tcp/…`.
    pub listen: String,
    /// `/p2p/…`.
    pub target: String,
    /// The TCP port of `listen`.
    pub port: u16,
    /// The process that listens.
    pub pid: i32,
}

/// A command that was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// When, since 1970.
    pub at: Duration,
    /// Its arguments, blank-separated.
    pub arguments: String,
}

impl Repository {
    pub(super) fn at(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// That of the node of this home.
    pub fn of_home(home: &Path) -> Self {
        Self(home.join(".ipfs/stand-in"))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let beside = path.with_extension("new");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, path).unwrap();
    }

    /// Remembers how the daemon was addressed.
    pub(super) fn note_api(&self, argument: &str) {
        self.write("api", argument);
    }

    /// The last argument `--api=…`; empty if there was none.
    pub fn api(&self) -> String {
        fs::read_to_string(self.0.join("api")).unwrap_or_default()
    }

    /// Another node offers what listens at `port` of this machine as this service.
    pub fn offer(&self, service: &str, port: u16) {
        let name = service.trim_start_matches("/x/");
        self.write(&format!("services/{name}"), &port.to_string());
    }

    /// A connection to a service; none where it cannot be reached.
    pub(super) fn dial(&self, service: &str) -> Option<TcpStream> {
        let name = service.trim_start_matches("/x/");
        let port = fs::read_to_string(self.0.join("services").join(name)).ok()?;
        TcpStream::connect((Ipv4Addr::LOCALHOST, port.parse().unwrap())).ok()
    }

    /// What is forwarded.
    pub fn forwards(&self) -> Vec<Forward> {
        let Ok(folder) = fs::read_dir(self.0.join("forwards")) else {
            return Vec::new();
        };
        let names = folder.map(|entry| entry.unwrap().file_name());
        let ports = names.filter_map(|name| name.to_str()?.parse().ok());
        ports.filter_map(|port| self.forward(port)).collect()
    }

    /// What is forwarded from this port.
    pub(super) fn forward(&self, port: u16) -> Option<Forward> {
        let text = fs::read_to_string(self.0.join(format!("forwards/{port}"))).ok()?;
        let mut lines = text.lines().map(ToOwned::to_owned);
        Some(Forward {
            service: lines.next()?,
            listen: lines.next()?,
            target: lines.next()?,
            port,
            pid: lines.next()?.parse().ok()?,
        })
    }

    pub(super) fn begin(&self, forward: &Forward) {
        let Forward {
            service,
            listen,
            target,
            port,
            pid,
        } = forward;
        let text = format!("{service}\n{listen}\n{target}\n{pid}\n");
        self.write(&format!("forwards/{port}"), &text);
    }

    /// Ends a listener and its connections.
    pub fn end(&self, forward: &Forward) {
        let _ = fs::remove_file(self.0.join(format!("forwards/{}", forward.port)));
        // It may have ended by itself.
        let _ = kill_process(Pid::from_raw(forward.pid).unwrap(), Signal::KILL);
    }

    pub(super) fn note_call(&self, words: &[&str]) {
        fs::create_dir_all(&self.0).unwrap();
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let line = format!("{} {}\n", since_1970.unwrap().as_millis(), words.join(" "));
        let mut options = OpenOptions::new();
        let calls = options.append(true).create(true).open(self.0.join("calls"));
        calls.unwrap().write_all(line.as_bytes()).unwrap();
    }

    /// The commands that were run, in order.
    pub fn calls(&self) -> Vec<Call> {
        let text = fs::read_to_string(self.0.join("calls")).unwrap_or_default();
        let call = |line: &str| {
            let (at, arguments) = line.split_once(' ').unwrap();
            Call {
                at: Duration::from_millis(at.parse().unwrap()),
                arguments: arguments.to_owned(),
            }
        };
        text.lines().map(call).collect()
    }

    /// Whether this is one of the first `times` who ask.
    pub(super) fn claim(&self, times: u32) -> bool {
        (0..times).any(|number| {
            let mut options = OpenOptions::new();
            options.write(true).create_new(true);
            options.open(self.0.join(format!("claim-{number}"))).is_ok()
        })
    }
}
