//! A listener of `p2p forward`, and the process that it is.

use std::io::{self, BufRead, BufReader, Write, stdout};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

use super::hooks::Hooks;
use super::{Forward, LISTEN, Repository};

/// How often a listener looks whether it is still wanted.
const INTERVAL: Duration = Duration::from_millis(20);

/// Starts a listener and waits until it has its port.
pub(super) fn open(
    repository: &Repository,
    service: &str,
    listen: &str,
    target: &str,
    hooks: &Hooks,
) -> Result<(), String> {
    if !service.starts_with("/x/") || !target.starts_with("/p2p/") {
        return Err("protocol name must be within '/x/' namespace".to_owned());
    }
    let port = listen.strip_prefix("/ip4/127.0.0.1/tcp/");
    let port = port.and_then(|port| port.parse().ok());
    let port: u16 = port.ok_or_else(|| format!("invalid listen address {listen}"))?;
    if repository.forward(port).is_some() {
        return Err("listener already registered".to_owned());
    }
    let late = match hooks.deaf {
        true => u64::MAX,
        false => hooks.late_ms,
    };
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .arg0("ipfs")
        .arg(LISTEN)
        .arg(repository.folder())
        .args([port.to_string(), late.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0);
    // It is no longer waited for once it listens, as it lives longer than this command.
    let mut child = command.spawn().unwrap();
    repository.begin(&Forward {
        service: service.to_owned(),
        listen: listen.to_owned(),
        target: target.to_owned(),
        port,
        pid: child.id().cast_signed(),
    });
    let mut answer = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut answer).unwrap();
    match answer.trim_end() {
        "ready" => Ok(()),
        error => {
            let forward = repository.forward(port);
            forward.iter().for_each(|forward| repository.end(forward));
            let _ = child.wait();
            Err(error.to_owned())
        }
    }
}

/// The process of a listener.
pub(super) fn listen(repository: &Repository, port: &str, late: &str) -> ExitCode {
    let port: u16 = port.parse().unwrap();
    let late: u64 = late.parse().unwrap();
    let watched = repository.clone();
    thread::spawn(move || {
        // The command may still be about to note us down.
        thread::sleep(Duration::from_secs(2));
        while watched.forward(port).is_some() {
            thread::sleep(INTERVAL);
        }
        kill_process(getpid(), Signal::KILL).unwrap();
    });
    if late > 0 {
        say("ready");
        thread::sleep(Duration::from_millis(late));
    }
    let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(listener) => listener,
        Err(error) => {
            say(&format!("listen tcp4 127.0.0.1:{port}: bind: {error}"));
            return ExitCode::FAILURE;
        }
    };
    if late == 0 {
        say("ready");
    }
    for connection in listener.incoming() {
        let repository = repository.clone();
        thread::spawn(move || {
            let forward = repository.forward(port)?;
            let there = repository.dial(&forward.service)?;
            let here = connection.ok()?;
            let (back, forth) = (there.try_clone().ok()?, here.try_clone().ok()?);
            thread::spawn(move || copy(back, here));
            copy(forth, there);
            Some(())
        });
    }
    ExitCode::SUCCESS
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "each direction ends with its streams"
)]
fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = (from.set_nodelay(true), to.set_nodelay(true));
    // However a direction ends, the other side is told.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

fn say(line: &str) {
    let _ = writeln!(stdout().lock(), "{line}").and_then(|()| stdout().flush());
}
