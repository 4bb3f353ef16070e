//! Starting, ending, and saying why: the program among other programs.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use constellation_tests::command::wait_until;
use constellation_tests::policy_program::{
    ACCEPT, BLOCKED, BROKEN, PROGRAM, Policy, UNAVAILABLE, clean, is_root, key, request,
};
use constellation_tests::station;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::Signal;

#[test]
fn the_end_of_the_input_is_a_success() {
    let station = station!();
    Policy::start(&station).close();
    let output = station.command(PROGRAM).stdin("").output();
    output.expect_code(0);
    assert_eq!(output.stdout, "");
}

/// Whether this process ignores the signal, and so what it starts: in the background of a
/// script, or behind nohup.
fn is_ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = u64::from_str_radix(mask.unwrap().trim(), 16).unwrap();
    mask >> (signal.as_raw() - 1) & 1 == 1
}

#[test]
fn signals_end_the_policy_at_once() {
    let station = station!();
    for signal in [Signal::TERM, Signal::INT] {
        let mut policy = Policy::start(&station);
        assert_eq!(policy.ask_key(1), ACCEPT);
        policy.signal(signal);
        if is_ignored(signal) {
            assert_eq!(policy.ask_key(1), ACCEPT);
            continue;
        }
        let status = policy.wait();
        assert_eq!(status.signal(), Some(signal.as_raw()), "{status}");
    }
}

#[test]
fn a_closed_stdout_ends_it_quietly_with_or_without_sigpipe() {
    let station = station!();
    for script in ["trap '' PIPE; exec \"$0\"", "exec \"$0\""] {
        let mut command = Command::new("sh");
        clean(&mut command, &station.home());
        let mut child = command
            .args(["-c", script])
            .arg(station.program(PROGRAM))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut stdin = child.stdin.take().unwrap();
        let request = request("1", &key(1).to_hex()) + "\n";
        // Its input stays open: nothing but a lost answer ends it. Not always the first: a
        // program that another test starts this instant has a copy of our end of stdout.
        wait_until("the end of the program", || {
            // Fails when it has ended.
            let _ = stdin.write_all(request.as_bytes());
            child.try_wait().unwrap().is_some()
        });
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{script}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{script}");
    }
}

#[test]
fn without_a_home_the_error_says_what_to_do() {
    let station = station!();
    let output = station.command(PROGRAM).env_remove("HOME").output();
    output.expect_code(2).expect_stderr("HOME is not set");
    output.expect_stderr("--zen DIR");
    assert_eq!(output.stdout, "");
    let zen = station.root().to_str().unwrap().to_owned();
    for command in [
        station.command(PROGRAM).args(["--zen", &zen]),
        station.command(PROGRAM).env("CONSTELLATION_ZEN", &zen),
    ] {
        command.env_remove("HOME").output().expect_code(0);
    }
}

#[test]
fn a_missing_station_is_reported_and_blocks_nobody() {
    let station = station!();
    let mut policy = Policy::start_with(&station, &["--zen", "/nowhere"]);
    assert_eq!(policy.ask_key(1), ACCEPT);
    let stderr = policy.close();
    assert!(stderr.contains("/nowhere does not exist"), "{stderr}");
}

/// Root can enter every folder, so the test uses files in place of folders for root.
#[test]
fn a_station_that_cannot_be_entered_is_reported_and_lets_nobody_in() {
    let station = station!();
    station.blacklist(&[key(1)]);
    station.write("file", "");
    let zens = match is_root() {
        true => vec![station.root().join("file"), station.root().join("file/zen")],
        false => {
            fs::set_permissions(station.root(), Permissions::from_mode(0o000)).unwrap();
            vec![station.root().to_owned()]
        }
    };
    for zen in zens {
        let mut policy = Policy::start_with(&station, &["--zen", zen.to_str().unwrap()]);
        // A list below a file does not exist, and so counts as empty.
        let answer = if is_root() { ACCEPT } else { UNAVAILABLE };
        assert_eq!(policy.ask_key(1), answer);
        let stderr = policy.close();
        let said = format!("{} cannot be entered (", zen.display());
        assert_eq!(stderr.matches(&said).count(), 1, "{stderr}");
        assert!(stderr.contains("check --zen or CONSTELLATION_ZEN, and who may enter the folder"));
    }
    fs::set_permissions(station.root(), Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_stdout_that_cannot_be_written_is_an_error() {
    let station = station!();
    let mut command = Command::new(station.program(PROGRAM));
    clean(&mut command, &station.home());
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(full)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{}", request("1", &key(1).to_hex())).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("No space left on device"), "{said}");
}

#[test]
fn wrong_options_are_named() {
    let station = station!();
    let output = station.run(PROGRAM, &["--no-such-thing"]);
    output.expect_code(2).expect_stderr("--no-such-thing");
    assert_eq!(output.stdout, "");
}

/// strfry starts a plugin so, with SIGPIPE ignored, and ends it with SIGTERM, which
/// Debian's shell does not hand on: then the end of input must do.
#[test]
fn it_starts_and_ends_the_way_strfry_does_it() {
    let station = station!();
    station.blacklist(&[key(1)]);
    for program in ["\"$0\"", "exec \"$0\""] {
        let mut command = Command::new("sh");
        clean(&mut command, &station.strfry_dir());
        command
            .env("HOME", station.home())
            .args(["-c", &format!("trap '' PIPE; {program}")])
            .arg(station.program(PROGRAM));
        let mut policy = Policy::spawn(command);
        assert_eq!(policy.ask_key(1), BLOCKED);
        policy.signal(Signal::TERM);
        policy.end_input();
        policy.wait();
        // The process behind the shell has closed stdout.
        policy.expect_end_of_answers();
    }
}

#[test]
fn stdout_carries_only_answers() {
    let station = station!();
    station.write("strfry/blacklist.txt", "no key\n");
    let mut policy = Policy::start_with(&station, &["--log", "debug"]);
    assert_eq!(policy.ask_key(1), ACCEPT);
    policy.write("broken\n");
    assert!(policy.answer().contains("error: request not understood"));
    policy.end_input();
    policy.expect_end_of_answers();
    policy.expect_stderr("a line of 7 bytes was rejected");
    policy.expect_stderr("blacklist.txt: 1 line skipped: line 1");
}

/// What `explain` says of the rule if nothing says otherwise.
const RULE: &str = "rule: strangers may write like everyone else (--strangers accept, as nothing says otherwise, and no running policy was seen)\n";

#[test]
fn explain_names_lists_lines_and_verdicts() {
    let station = station!();
    let keys = [1, 2, 3, 4, 5].map(key);
    station.write(
        "strfry/blacklist.txt",
        format!(
            "# remark\n{}\n{}\n{}\n",
            keys[0],
            keys[1],
            keys[1].to_bech32()
        ),
    );
    station.friends(&[keys[3], keys[1]]);
    station.peer_friends("12D3KooA", &[keys[1]]);
    station.member("a@example.org", keys[2]);
    let [blocked, pardoned, member, friend, unknown] = keys.map(|key| key.to_hex());
    let explain = |keys: &[&str]| station.run(PROGRAM, &[&["explain"], keys].concat());
    let at = |path: &str| station.root().join(path).display().to_string();

    let output = explain(&[&blocked]);
    let list = at("strfry/blacklist.txt");
    output.expect_code(1);
    assert_eq!(
        output.stdout,
        format!("{blocked} block\n  blocked: {list} line 2\n  class: stranger\n{RULE}")
    );

    let output = explain(&[&keys[1].to_bech32()]);
    output.expect_code(0);
    let (friends, swarm) = (
        at("strfry/amisOfAmis.txt"),
        at("tmp/swarm/12D3KooA/amisOfAmis.txt"),
    );
    let stdout = format!(
        "{pardoned} allow (in the blacklist, but a friend or member: its lines there are \
         removed with its next event)\n  blocked: {list} line 3\n  blocked: {list} line 4\n  \
         friend: {friends} line 2\n  friend: {swarm} line 1\n  class: friend\n{RULE}"
    );
    assert_eq!(output.stdout, stdout);

    let output = explain(&[&member, &friend.to_uppercase(), &unknown]);
    output.expect_code(0);
    let hex = at("game/nostr/a@example.org/HEX");
    assert_eq!(
        output.stdout,
        format!(
            "{member} allow\n  member: {hex} line 1\n  class: member\n{friend} allow\n  friend: \
             {friends} line 1\n  class: friend\n{unknown} allow\n  in no list\n  class: stranger\n{RULE}"
        )
    );
    explain(&[&unknown, &blocked, &friend]).expect_code(1);
    explain(&[]).expect_code(2);
    let output = explain(&[&unknown, "npub1nobody"]);
    output
        .expect_code(2)
        .expect_stderr("'npub1nobody' is not a pubkey");
    assert_eq!(output.stdout, "");
    assert_eq!(
        fs::read_to_string(list).unwrap().lines().count(),
        4,
        "nothing was removed"
    );
}

#[test]
fn explain_names_a_list_that_cannot_be_read() {
    let station = station!();
    fs::create_dir(station.strfry_dir().join("blacklist.txt")).unwrap();
    let output = station.run(PROGRAM, &["explain", &key(1).to_hex()]);
    output.expect_code(1);
    output.expect_stdout("every event is rejected");
    output.expect_stdout("blacklist.txt cannot be read");
}

/// strfry gives the plugin a stderr of its own, and its reader may be gone.
#[test]
fn a_closed_stderr_stops_neither_answers_nor_lists() {
    let station = station!();
    station.write("strfry/blacklist.txt", format!("no key\n{}\n", key(1)));
    let mut command = Command::new("sh");
    clean(&mut command, &station.home());
    command
        .args([
            "-c",
            // The reading end of the pipe is closed before it starts.
            "trap '' PIPE; mkfifo pipe; exec 3<>pipe 2>pipe 3<&-; exec \"$0\" --log debug",
        ])
        .arg(station.program(PROGRAM));
    let mut policy = Policy::spawn(command);
    assert_eq!(policy.ask_key(1), BLOCKED, "a junk line in the blacklist");
    policy.write("junk\n");
    assert!(policy.answer().contains(BROKEN), "a junk request");
    assert_eq!(policy.ask_key(2), ACCEPT);
    station.write("strfry/blacklist.txt", format!("no key\n{}\n", key(2)));
    policy.ask_until(2, BLOCKED);
    policy.ask_until(1, ACCEPT);
    policy.close();
}

/// strfry hangs, and reads no answer: what it asks meanwhile waits in its own pipe.
#[test]
fn a_stdout_that_nobody_reads_neither_stops_the_lists_nor_fills_the_memory() {
    let station = station!();
    station.blacklist(&[key(1), key(2)]);
    station.friends(&[key(2)]);
    let mut child = constellation_tests::policy_program::command(&station)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let flags = fcntl_getfl(&stdin).unwrap();
    fcntl_setfl(&stdin, flags | OFlags::NONBLOCK).unwrap();
    let line = request("1", &key(1).to_hex()) + "\n";
    let pardoned = request("1", &key(2).to_hex()) + "\n";
    let mut asked = (pardoned.clone() + &line.repeat(10_000)).into_bytes();
    // Until nothing is taken for a while: both pipes are full.
    let (mut written, mut full_since) = (0, Instant::now());
    while full_since.elapsed() < Duration::from_millis(300) {
        match stdin.write(&asked[written..]) {
            Ok(more) => {
                written += more;
                full_since = Instant::now();
                if written == asked.len() {
                    asked.extend(line.repeat(10_000).into_bytes());
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                std::thread::yield_now();
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(
        written < 2_000_000,
        "{written} bytes were taken and not answered"
    );
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let memory = memory.unwrap().trim().trim_end_matches(" kB");
    assert!(memory.parse::<u64>().unwrap() < 32_000, "{memory} kB");
    // The thread of the lists goes on.
    let only =
        |keys: &[u32]| constellation_tests::policy_program::lines(keys.iter().copied().map(key));
    wait_until("the friend to leave the list", || {
        station.read("strfry/blacklist.txt") == only(&[1])
    });
    constellation_tests::policy_program::wait_until_tidy(&station);
    // Read at last, each request has its answer.
    fcntl_setfl(&stdin, flags).unwrap();
    let end = asked[written..]
        .iter()
        .position(|&byte| byte == b'\n')
        .unwrap();
    let rest = asked[written..=written + end].to_owned();
    let lines = asked[..=written + end].split(|&byte| byte == b'\n').count() - 1;
    let writing = std::thread::spawn(move || stdin.write_all(&rest).unwrap());
    let mut answers = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut answers)
        .unwrap();
    writing.join().unwrap();
    assert_eq!(answers.lines().count(), lines);
    assert_eq!(
        answers
            .lines()
            .filter(|line| line.contains("accept"))
            .count(),
        1
    );
    assert!(child.wait().unwrap().success());
}
