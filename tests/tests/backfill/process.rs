//! The backfill as a process: one at a time, ended by signals, refusing what it cannot do.

use std::fs;

use constellation_tests::author::notes;
use constellation_tests::command::{TestCommand, wait_until};
use constellation_tests::relay::dead_url;
use constellation_tests::sync_program::children::{children, is_alive};
use constellation_tests::sync_program::{
    LOCK, LOG, PID_FILE, PLAIN_KINDS, PROGRAM, command, expect_logged, expect_stored, follow,
    paged, recent, report, stuck_peer, sync, sync_all,
};
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};
use rustix::process::Signal;

#[test]
fn a_second_instance_says_so_and_takes_nothing_away() {
    let station = station!();
    let (relay, _) = stuck_peer(&station, 100);
    let mut first = command(&station, &[]).spawn();
    wait_until("the first at work", || relay.events_sent() == 100);
    let (pid, log) = (first.pid(), station.read(LOG));
    for _ in 0..2 {
        let second = station.run(PROGRAM, &[]);
        second.expect_code(0);
        assert_eq!(
            second.stdout,
            format!("Backfill already running with PID: {pid}\n")
        );
        assert_eq!(station.read(LOCK), format!("{pid}\n"));
        assert_eq!(station.read(PID_FILE), format!("{pid}\n"));
        assert_eq!(station.read(LOG), log, "the first one's log is its own");
    }
    let second = sync(&station, &[]);
    second.expect_code(0);
    let said = report(&second)["failure"].clone();
    assert_eq!(said, format!("Backfill already running with PID: {pid}"));
    first.signal(Signal::TERM);
    first.wait().expect_code(130);
    assert_eq!(station.read(PID_FILE), "");
}

#[test]
fn a_killed_instance_is_no_obstacle() {
    let station = station!();
    let (relay, events) = stuck_peer(&station, 200);
    let mut killed = command(&station, &[]).spawn();
    let pid = killed.pid();
    wait_until("strfry at work", || {
        relay.events_sent() == 200 && !children(pid).is_empty()
    });
    let strfry = children(pid);
    killed.signal(Signal::KILL);
    killed.wait().expect_signal(9);
    assert_eq!(station.read(PID_FILE), format!("{pid}\n"));
    // strfry sees the end of its input and stores what it was given.
    wait_until("strfry's end", || {
        strfry.iter().all(|&child| !is_alive(child))
    });
    relay.behave(paged(500));
    sync_all(&station, &[]);
    expect_stored(&station, &events);
    assert_eq!(station.read(PID_FILE), "");
}

#[test]
fn a_signal_ends_it_and_what_had_come_is_stored() {
    for signal in [Signal::INT, Signal::TERM] {
        let station = station!();
        let (relay, events) = stuck_peer(&station, 200);
        let mut running = command(&station, &[]).spawn();
        let pid = running.pid();
        wait_until("strfry at work", || {
            relay.events_sent() == 200 && !children(pid).is_empty()
        });
        let strfry = children(pid);
        running.signal(signal);
        let output = running.wait();
        output.expect_code(130);
        assert!(strfry.iter().all(|&child| !is_alive(child)), "strfry lives");
        assert_eq!(report(&output)["outcome"], "interrupted");
        expect_logged(&station, "Backfill interrupted; ");
        assert!(!station.read(LOG).contains("Backfill process completed"));
        // Verified in batches of 64.
        let stored = station.stored_ids();
        assert!(
            stored.len() >= 128 && stored.len() <= 200,
            "{}",
            stored.len()
        );
        assert!(events.iter().filter(|e| stored.contains(&e.id)).count() == stored.len());
        relay.behave(paged(500));
        sync_all(&station, &[]);
        expect_stored(&station, &events);
    }
}

#[test]
fn what_a_hanging_strfry_did_not_store_is_not_taken_for_refused() {
    let authors = Author::many(5);
    let events = notes(&authors, &PLAIN_KINDS, 200, recent(), 3000);
    let relay = ScriptedRelay::start(&events, Behaviour::default());
    // A real strfry does not hang when it is told to.
    let station = StationDir::builder(env!("CARGO_BIN_EXE_demo"))
        .stand_in()
        .build();
    follow(&station, &authors, &[&relay.url()]);
    let mut running = command(&station, &[])
        .env("STANDIN_ONLY", "import")
        .env("STANDIN_HANG", "1")
        .spawn();
    wait_until("all of it under way", || relay.events_sent() == 200);
    running.signal(Signal::TERM);
    running.wait().expect_code(130);
    assert_eq!(station.stored_ids().len(), 0);
    sync_all(&station, &[]);
    expect_stored(&station, &events);
}

#[test]
fn a_reader_who_has_seen_enough_changes_nothing() {
    let station = station!();
    let (relay, _) = stuck_peer(&station, 100);
    relay.behave(paged(500));
    sync_all(&station, &[]);
    // A FIFO that is opened for writing, and whose reader is gone before anything is said.
    let unread = "mkfifo unread; exec 3<>unread 4>unread 3<&-; exec \"$0\" \"$@\" >&4";
    let program = station.program(PROGRAM).display().to_string();
    let event = "0".repeat(64);
    for arguments in [
        &["status"][..],
        &["status", "--json"],
        &["doctor"],
        &["why", &event],
        &["notify"],
        &["profiles"],
        &["friends"],
        &["--stats"],
        &["--show-hex"],
        &["--dry-run"],
        &["trigger", "--now"],
        &["bugreport"],
        &["--json"],
        &["install", "--dry-run"],
    ] {
        let _ = fs::remove_file(station.home().join("unread"));
        let read = station.run(PROGRAM, arguments);
        let output = TestCommand::new("sh", &station.home())
            .env("HOME", station.home())
            .args(["-c", unread, &program])
            .args(arguments)
            .output();
        assert_eq!(
            (&output.stdout[..], output.status),
            ("", read.status),
            "{output}"
        );
        for words in ["Broken pipe", "cannot be written", "could not be written"] {
            assert!(!output.stderr.contains(words), "{output}");
        }
    }
}

#[test]
fn without_a_file_or_a_thread_to_begin_with_it_says_so() {
    let station = station!();
    for files in [3, 4, 5, 6] {
        let begin = format!("ulimit -n {files}; exec \"$0\" --show-hex");
        let output = TestCommand::new("sh", &station.home())
            .env("HOME", station.home())
            .args(["-c", &begin])
            .arg(station.program(PROGRAM))
            .output();
        output.expect_not_stderr("panicked");
        // So few that the dynamic linker finds nothing.
        if output.status.code() != Some(127) {
            output
                .expect_code(3)
                .expect_stderr("the system gives it no threads or files to begin with");
        }
    }
}

#[test]
fn wrong_usage_and_configuration() {
    let station = station!();
    let peer = dead_url();
    for wrong in [
        &["--no-such-option"][..],
        &["--days", "-1"],
        &["--days", "x"],
        &["--kinds", "70000"],
        &["--peer", "https://relay.example.org"],
        &["--patience", "0"],
        &["surplus"],
    ] {
        let output = station.run(PROGRAM, wrong);
        output.expect_code(2);
        assert_eq!(output.stdout, "", "{output}");
    }
    let homeless = station.command(PROGRAM).env_remove("HOME").output();
    homeless.expect_code(2).expect_stderr("HOME is not set");
    homeless.expect_stderr("--zen");
    let nowhere = station.run(PROGRAM, &["--zen", "/nonexistent/zen"]);
    nowhere
        .expect_code(2)
        .expect_stderr("/nonexistent/zen/strfry is not there");
    let ca_file = ["--peer", &peer, "--ca-file", "/nonexistent/ca.pem"];
    let output = station.run(PROGRAM, &ca_file);
    output
        .expect_code(2)
        .expect_stderr("/nonexistent/ca.pem holds no usable certificate");
    // The root may be given without any home.
    let zen = station.root().display().to_string();
    let rooted = station
        .command(PROGRAM)
        .env_remove("HOME")
        .args(["--zen", &zen, "--show-hex"]);
    rooted.output().expect_code(0);
    let rooted = station
        .command(PROGRAM)
        .env("HOME", "/nonexistent")
        .env("CONSTELLATION_ZEN", &zen);
    rooted.arg("--show-hex").output().expect_code(0);
}

#[test]
fn who_is_blocked_must_be_known() {
    let station = station!();
    let (relay, _) = stuck_peer(&station, 100);
    relay.behave(paged(500));
    fs::create_dir(station.paths().blacklist()).unwrap();
    let output = sync(&station, &[]);
    output
        .expect_code(3)
        .expect_stderr("blacklist.txt cannot be read");
    assert_eq!((station.stored().len(), relay.events_sent()), (0, 0));
}
