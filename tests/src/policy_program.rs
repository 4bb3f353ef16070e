//! The policy as strfry has it: a process that is asked one line at a time.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use constellation_shared::Pubkey;
use rustix::process::{Pid, Signal, kill_process};

use crate::StationDir;
use crate::command::wait_until;

/// The name of the program.
pub const PROGRAM: &str = "constellation-policy";
/// What follows the id in an answer that lets the event in.
pub const ACCEPT: &str = r#""action":"accept""#;
/// What follows the id if the author is on the blacklist.
pub const BLOCKED: &str = r#""action":"reject","msg":"blocked: pubkey is blacklisted""#;
/// What follows the id if the lists cannot be read.
pub const UNAVAILABLE: &str = r#""action":"reject","msg":"error: policy lists unavailable""#;
/// What follows the id of a blocked author while the other stations' lists are being read.
pub const UNREAD: &str =
    r#""action":"reject","msg":"error: the lists of friends are still being read, try again""#;
/// What follows the id if the request is not JSON, or no request.
pub const BROKEN: &str = r#""action":"reject","msg":"error: request not understood""#;
/// What follows the id if the author is no pubkey.
pub const NO_KEY: &str = r#""action":"reject","msg":"invalid: pubkey is not 32 bytes of hex""#;

/// A program that says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often an answer that is waited for is asked for.
const INTERVAL: Duration = Duration::from_millis(2);

/// A change counts within this time.
const IN_FORCE_AFTER: Duration = Duration::from_secs(1);

/// If the writers of `blacklist.txt` cannot be seen, a key that was removed from it is let in within
/// this additional time.
const RESTED_AFTER: Duration = Duration::from_secs(10);

/// What a busy machine may add to it: the program and this test take turns with others.
const TURNS: Duration = Duration::from_millis(500);

/// The key of this number.
pub fn key(number: u32) -> Pubkey {
    let mut bytes = [0x5a; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    // Keys of one leading byte alone would share a place in an index.
    bytes[0] ^= number.wrapping_mul(167) as u8;
    Pubkey::from_bytes(bytes)
}

/// Keys as lines of a list.
pub fn lines(keys: impl IntoIterator<Item = Pubkey>) -> String {
    keys.into_iter().map(|key| format!("{key}\n")).collect()
}

/// A request as strfry writes it, about an author in this spelling.
pub fn request(id: &str, pubkey: &str) -> String {
    format!(
        r#"{{"event":{{"content":"say \"id\":\"no\"","created_at":1795341173,"id":"{id}","kind":1,"pubkey":"{pubkey}","sig":"00","tags":[["t","x"]]}},"receivedAt":1795341173,"sourceInfo":"127.0.0.1","sourceType":"IP4","type":"new"}}"#
    )
}

/// A running policy. Dropped, it is killed.
pub struct Policy {
    child: Child,
    stdin: Option<ChildStdin>,
    answers: Receiver<String>,
    stderr: Arc<Mutex<String>>,
    reading: Option<thread::JoinHandle<()>>,
    asked: u64,
}

impl Policy {
    /// Starts the policy of this station.
    pub fn start(station: &StationDir) -> Self {
        Self::start_with(station, &[])
    }

    /// Starts the policy of this station with these arguments.
    pub fn start_with(station: &StationDir, args: &[&str]) -> Self {
        let mut command = command(station);
        command.args(args);
        Self::spawn(command)
    }

    /// Starts a policy by this command.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, answers) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let stderr = Arc::new(Mutex::new(String::new()));
        let said = Arc::clone(&stderr);
        let mut stream = child.stderr.take().unwrap();
        let reading = thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut piece) {
                said.lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&piece[..length]));
            }
        });
        Self {
            stdin: child.stdin.take(),
            child,
            answers,
            stderr,
            reading: Some(reading),
            asked: 0,
        }
    }

    /// Writes these bytes as they are.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(bytes.as_ref()).unwrap();
    }

    /// The next answer.
    pub fn answer(&mut self) -> String {
        match self.answers.recv_timeout(PATIENCE) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => panic!("no answer\n{}", self.stderr()),
            Err(RecvTimeoutError::Disconnected) => panic!("it ended\n{}", self.stderr()),
        }
    }

    /// Asks about an author, and returns what follows the id in the answer: what it is once
    /// the other stations' lists are read, which takes longer on a busy machine.
    pub fn ask(&mut self, pubkey: impl AsRef<str>) -> String {
        let started = Instant::now();
        loop {
            let answer = self.ask_once(pubkey.as_ref());
            if answer != UNREAD || started.elapsed() > PATIENCE {
                return answer;
            }
            thread::sleep(INTERVAL);
        }
    }

    /// Asks about an author once, and returns what follows the id in the answer.
    pub fn ask_once(&mut self, pubkey: impl AsRef<str>) -> String {
        self.asked += 1;
        let id = format!("{:064x}", self.asked);
        self.write(request(&id, pubkey.as_ref()) + "\n");
        let answer = self.answer();
        let rest = answer
            .strip_prefix(&format!(r#"{{"id":"{id}","#))
            .and_then(|rest| rest.strip_suffix('}'));
        rest.unwrap_or_else(|| panic!("{answer}\n{}", self.stderr()))
            .to_owned()
    }

    /// Asks about the key of this number, as [`Policy::ask`] does.
    pub fn ask_key(&mut self, number: u32) -> String {
        self.ask(key(number).to_hex())
    }

    /// Asks until this is the answer, and returns how long that took.
    #[track_caller]
    pub fn ask_until(&mut self, number: u32, wanted: &str) -> Duration {
        let started = Instant::now();
        loop {
            let answer = self.ask_key(number);
            if answer == wanted {
                return started.elapsed();
            }
            let waited = started.elapsed();
            assert!(
                waited < PATIENCE,
                "{answer} for ever, not {wanted}\n{}",
                self.stderr()
            );
            thread::sleep(INTERVAL);
        }
    }

    /// What it has said on stderr.
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Waits until this was said on stderr.
    #[track_caller]
    pub fn expect_stderr(&self, part: &str) {
        wait_until(&format!("{part:?} on stderr"), || {
            self.stderr().contains(part)
        });
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Whether an answer comes within this time.
    pub fn answers_within(&self, time: Duration) -> bool {
        self.answers.recv_timeout(time).is_ok()
    }

    /// Waits until it has nothing more to answer, which no answer may come before.
    #[track_caller]
    pub fn expect_end_of_answers(&self) {
        let ended = self.answers.recv_timeout(PATIENCE);
        assert_eq!(ended, Err(RecvTimeoutError::Disconnected));
    }

    /// Ends its input.
    pub fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Waits for its end, without ending its input.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the end of the program", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Ends its input and waits for its end, which must be a good one.
    #[track_caller]
    pub fn close(mut self) -> String {
        self.end_input();
        let status = self.wait();
        // What it said last may still be in the pipe.
        if let Some(reading) = self.reading.take() {
            reading.join().unwrap();
        }
        assert_eq!(status.code(), Some(0), "{}", self.stderr());
        self.stderr()
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Nobody has written the blacklist for an hour.
pub fn rested(station: &StationDir) {
    let list = fs::File::options()
        .append(true)
        .open(station.paths().blacklist());
    let then = std::time::SystemTime::now() - Duration::from_secs(3600);
    list.unwrap().set_modified(then).unwrap();
}

/// The policy of this station, about to be started.
pub fn command(station: &StationDir) -> Command {
    let mut command = Command::new(station.program(PROGRAM));
    clean(&mut command, &station.home());
    command
}

/// An environment with nothing of ours in it.
pub fn clean(command: &mut Command, home: &Path) {
    command.env_clear().env("HOME", home).current_dir(home);
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
}

/// A shell script in a folder, started.
pub fn script(folder: &Path, text: &str) -> Child {
    Command::new("sh")
        .args(["-c", text])
        .current_dir(folder)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

/// Runs a shell script to its end, and expects it to succeed.
#[track_caller]
pub fn run_script(folder: &Path, text: &str) {
    assert!(script(folder, text).wait().unwrap().success(), "{text}");
}

/// The names in strfry's folder that begin with a dot: ours, beside the list.
pub fn left_beside(station: &StationDir) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(station.strfry_dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.'))
        .collect();
    names.sort();
    names
}

/// Waits until nothing of ours lies beside the list.
#[track_caller]
pub fn wait_until_tidy(station: &StationDir) {
    wait_until("nothing left beside the list", || {
        left_beside(station).is_empty()
    });
}

/// The policy of this station, about to be started as a user who sees of other users'
/// processes only that they are there; `None` where this user cannot become another.
pub fn as_somebody(station: &StationDir) -> Option<Command> {
    if !is_root() {
        return Some(command(station));
    }
    let setpriv = "/usr/bin/setpriv";
    if !fs::exists(setpriv).unwrap() {
        return None;
    }
    // The station is root's, in folders that only root may enter, and so may the build be.
    for folder in station.home().ancestors().take(2) {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let program = station.root().join(PROGRAM);
    fs::copy(station.program(PROGRAM), &program).unwrap();
    let mut command = Command::new(setpriv);
    clean(&mut command, &station.home());
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(program);
    Some(command)
}

/// Whether we may do everything, so that a test about permissions must do less.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Makes a change and asks, all the while, until its effect is seen.
#[track_caller]
pub fn in_force(policy: &mut Policy, what: &str, number: u32, wanted: &str, change: impl FnOnce()) {
    assert_ne!(policy.ask_key(number), wanted, "before {what}");
    change();
    let delay = policy.ask_until(number, wanted);
    let rest = if is_root() || wanted != ACCEPT {
        Duration::ZERO
    } else {
        RESTED_AFTER
    };
    assert!(
        delay <= IN_FORCE_AFTER + TURNS + rest,
        "{what}: in force after {delay:?}\n{}",
        policy.stderr()
    );
}
