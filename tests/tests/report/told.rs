//! `--on-failure`, `--on-recovery`, `--on-success`, `notify`.

use constellation_tests::command::{Output, TestCommand, wait_until};
use constellation_tests::{ScriptedRelay, StationDir};
use rustix::process::Signal;
use serde_json::Value;

use crate::case::{LOG, PAGE, RUNS, expect_all, refusing, report, with_peer};

const DAY: u64 = 86_400;

/// A command that takes down how it was called, a line each time.
const CALLED: &str = "echo \"$CONSTELLATION_OCCASION $CONSTELLATION_FAILURES $CONSTELLATION_EXIT_CODE $CONSTELLATION_REASON\" >> \"$HOME/called\"; echo \"report: $CONSTELLATION_REPORT\"; test -s \"$CONSTELLATION_REPORT\" && test -s \"$CONSTELLATION_PAGE\"";

fn command(station: &StationDir, args: &[&str]) -> TestCommand {
    let command = station.command("constellation-sync");
    command
        .args(["--on-failure", CALLED, "--on-recovery", CALLED])
        .args(args)
}

fn fails(station: &StationDir) -> Output {
    let relay = refusing("blocked: not you");
    let output = command(station, &["--peer", &relay.url()]).output();
    output.expect_code(1);
    output
}

fn succeeds(station: &StationDir, relay: &ScriptedRelay) {
    command(station, &["--peer", &relay.url()])
        .output()
        .expect_code(0);
}

fn calls(station: &StationDir) -> Vec<String> {
    let text = station.read("../called");
    text.lines().map(ToOwned::to_owned).collect()
}

#[test]
fn three_failures_are_told_once_and_the_recovery_once() {
    let (station, relay) = with_peer("Bob");
    fails(&station);
    fails(&station);
    assert_eq!(calls(&station), [""; 0]);
    fails(&station);
    let told = calls(&station);
    assert_eq!(told.len(), 1);
    let begin = "failure 3 1 3 runs in a row failed; the last one: no peer gave all it has";
    assert!(told[0].starts_with(begin), "{told:?}");
    let path = station.strfry_dir().join("constellation-report.json");
    let printed = format!("--on-failure: report: {}", path.display());
    expect_all(&station.read(LOG), &[&printed, "--on-failure was called"]);
    assert_eq!(report(&station)["told"]["event"], "failure");
    assert_eq!(report(&station)["told"]["failure"], Value::Null);
    fails(&station);
    assert_eq!(calls(&station).len(), 1, "at most once a day");
    succeeds(&station, &relay);
    // The station's scripts count lines with this word as failures.
    let log = station.read(LOG);
    assert!(
        log.contains("--on-recovery was called") && !log.contains("failed"),
        "{log}"
    );
    succeeds(&station, &relay);
    let told = calls(&station);
    assert_eq!(told.len(), 2);
    let end = "recovery 0 0 a run succeeded after 4 in vain: The one peer is synced";
    assert_eq!(told[1], end);
    expect_all(&station.read(PAGE), &["Told last: a recovery"]);
}

#[test]
fn a_failure_that_lasts_is_told_again_a_day_later() {
    let (station, _relay) = with_peer("Bob");
    (0..3).for_each(|_| drop(fails(&station)));
    let mut runs: Value = serde_json::from_str(&station.read(RUNS)).unwrap();
    let told = runs["told"]["failure_at"].as_u64().unwrap();
    runs["told"]["failure_at"] = (told - DAY).into();
    station.write(RUNS, runs.to_string());
    fails(&station);
    fails(&station);
    let told = calls(&station);
    assert_eq!(told.len(), 2);
    assert!(told[1].starts_with("failure 4 1 "), "{told:?}");
}

#[test]
fn who_was_not_told_of_a_failure_is_not_told_of_its_end() {
    let (station, relay) = with_peer("Bob");
    fails(&station);
    succeeds(&station, &relay);
    assert_eq!(calls(&station), [""; 0]);
}

#[test]
fn every_success_is_told_to_who_wants_that_and_no_failure_is() {
    let (station, relay) = with_peer("Bob");
    let run = |peer: &str| {
        let args = ["--on-success", CALLED, "--peer", peer];
        station.command("constellation-sync").args(args).output()
    };
    run(&relay.url()).expect_code(0);
    let told = "success 0 0 the run succeeded: The one peer is synced";
    assert_eq!(calls(&station), [told]);
    let path = station.strfry_dir().join("constellation-report.json");
    let printed = format!("--on-success: report: {}", path.display());
    expect_all(&station.read(LOG), &[&printed, "--on-success was called"]);
    assert_eq!(report(&station)["pinged"]["failure"], Value::Null);
    assert_eq!(report(&station)["told"], Value::Null);
    run(&refusing("blocked: not you").url()).expect_code(1);
    assert_eq!(calls(&station).len(), 1);
    run(&relay.url()).expect_code(0);
    assert_eq!(calls(&station), [told, told]);
}

#[test]
fn a_recovery_is_told_before_the_success_and_each_by_its_own_command() {
    let (station, relay) = with_peer("Bob");
    (0..3).for_each(|_| drop(fails(&station)));
    command(&station, &["--on-success", CALLED, "--peer", &relay.url()])
        .output()
        .expect_code(0);
    let told = calls(&station);
    let occasions = told.iter().map(|call| call.split(' ').next().unwrap());
    assert_eq!(
        occasions.collect::<Vec<_>>(),
        ["failure", "recovery", "success"]
    );
    assert_eq!(report(&station)["told"]["event"], "recovery");
    assert_eq!(report(&station)["pinged"]["event"], "success");
}

#[test]
fn a_ping_that_hangs_or_fails_is_ended_and_the_run_is_a_success_all_the_same() {
    let (station, relay) = with_peer("Bob");
    let run = |ping: &str| {
        let args = ["--hook-patience", "1", "--on-success", ping, "--peer"];
        let command = station.command("constellation-sync").args(args);
        command.arg(relay.url()).output()
    };
    run("sleep 600")
        .expect_code(0)
        .expect_stderr("--on-success failed: it did not end within 1 s and was killed");
    assert!(station.processes().is_empty());
    run("exit 7").expect_code(0);
    assert_eq!(report(&station)["success"], true);
    let failure = &report(&station)["pinged"]["failure"];
    assert_eq!(failure, "it ended with exit status: 7");
    let words = "--on-success failed: <bdi>it ended with";
    expect_all(&station.read(PAGE), &[words]);
    let status = station.run("constellation-sync", &["status"]);
    status.expect_stdout("--on-success failed: it ended with exit status: 7");
}

#[test]
fn a_command_that_fails_is_reported_and_changes_nothing() {
    let (station, _relay) = with_peer("Bob");
    let peer = refusing("blocked: not you");
    let args = ["--on-failure-after", "1", "--on-failure"];
    let run = |command: &str, peer: &str| {
        let args = [&args[..], &[command, "--peer", peer]].concat();
        station.command("constellation-sync").args(args).output()
    };
    let output = run("echo 'no mail today' >&2; exit 7", &peer.url());
    output
        .expect_code(1)
        .expect_stderr("[ERROR] --on-failure failed: it ended with exit status: 7");
    expect_all(&station.read(LOG), &["--on-failure: no mail today"]);
    let failure = report(&station)["told"]["failure"].clone();
    assert_eq!(failure, "it ended with exit status: 7");
    expect_all(
        &station.read(PAGE),
        &["the command failed: <bdi>it ended with"],
    );
    let status = station.run("constellation-sync", &["status"]);
    status.expect_stdout("told          a failure, ");
    status.expect_stdout("the command failed: it ended with exit status: 7");
}

#[test]
fn a_command_that_hangs_is_ended_and_so_is_the_run() {
    let (station, _relay) = with_peer("Bob");
    let peer = refusing("blocked: not you");
    let hanging = ["--on-failure", "sleep 600", "--on-failure-after", "1"];
    let output = station
        .command("constellation-sync")
        .args(hanging)
        .args(["--hook-patience", "1", "--peer", &peer.url()])
        .output();
    output
        .expect_code(1)
        .expect_stderr("--on-failure failed: it did not end within 1 s and was killed");
    // A signal ends it as well, and the run with it.
    let (other, _relay) = with_peer("Bob");
    let trace = other.home().join("begun");
    let command = format!("> '{}'; sleep 600", trace.display());
    let mut run = other
        .command("constellation-sync")
        .args(["--on-failure", &command, "--on-failure-after", "1"])
        .args(["--peer", &peer.url()])
        .spawn();
    wait_until("the command", || trace.exists());
    run.signal(Signal::TERM);
    run.wait()
        .expect_code(1)
        .expect_stderr("it was killed, for the run was interrupted");
    for station in [station, other] {
        let left = station.processes();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn the_commands_can_be_tried() {
    let (station, _relay) = with_peer("Bob");
    let notify = |args: &[&str]| {
        let args = [&["notify"], args].concat();
        station.command("constellation-sync").args(args).output()
    };
    let output = notify(&["--test"]);
    output.expect_code(2).expect_stdout("pass --on-failure CMD");
    let told = "echo \"$CONSTELLATION_OCCASION $CONSTELLATION_TEST $CONSTELLATION_REASON\"";
    let all = [
        "--on-failure",
        told,
        "--on-recovery",
        "exit 3",
        "--on-success",
        told,
    ];
    let output = notify(&[&["--test"][..], &all].concat());
    output.expect_code(1);
    expect_all(
        &output.stdout,
        &[
            "  failure 1 a test of --on-failure: nothing has happened\n",
            "  ended with 0\n",
            "  it ended with exit status: 3\n",
            "  success 1 a test of --on-success: nothing has happened\n",
        ],
    );
    assert_eq!(station.read(RUNS), "", "a trial is not remembered");
    let output = notify(&["--on-failure", told]);
    output.expect_code(0);
    expect_all(
        &output.stdout,
        &[
            "--on-failure: echo",
            "--on-recovery: no command",
            "--on-success: no command",
            "Nothing was told yet",
        ],
    );
}
