//! A strfry that hangs, talks without end or dies.

use std::time::Instant;

use constellation_tests::sync_program::left_behind::ended_well;
use constellation_tests::sync_program::{
    command, expect_logged, expect_stored, follow, report, sync_all,
};
use constellation_tests::{Behaviour, ScriptedRelay, StationDir};
use serde_json::json;

use crate::row::{AUTHORS, BOUND, Fault, GOOD, all_hold};
use crate::rows;

#[test]
fn a_strfry_that_fails_now_and_then_loses_nothing() {
    all_hold(rows![
        scan_hangs,
        scan_hangs_and_writes_endless_stderr,
        scan_fails,
        import_hangs_once,
        import_writes_endless_stderr,
        import_exits_at_once_the_first_time,
        import_dies_in_the_middle,
    ]);
}

fn strfry(hooks: &[(&'static str, &str)]) -> Fault {
    let fault = Fault::elsewhere(|_| {}).args(&["--strfry-patience", "2"]);
    hooks
        .iter()
        .fold(fault, |fault, (hook, value)| fault.strfry(hook, *value))
}

fn scan_hangs() -> Fault {
    strfry(&[("STANDIN_HANG", "1"), ("STANDIN_ONLY", "scan")]).says(
        "strfry scan says nothing for 2 s: what is here is unknown, so everything is asked for",
    )
}

fn scan_hangs_and_writes_endless_stderr() -> Fault {
    scan_hangs().strfry("STANDIN_NOISE", "1")
}

fn scan_fails() -> Fault {
    strfry(&[("STANDIN_EXIT", "1"), ("STANDIN_ONLY", "scan")])
        .says("strfry scan ended with exit status: 1")
}

fn import_hangs_once() -> Fault {
    strfry(&[
        ("STANDIN_HANG", "1"),
        ("STANDIN_ONLY", "import"),
        ("STANDIN_ONCE", "once"),
    ])
    .says("strfry import ended early, hung and was killed")
}

fn import_writes_endless_stderr() -> Fault {
    strfry(&[("STANDIN_NOISE", "1")])
}

fn import_exits_at_once_the_first_time() -> Fault {
    strfry(&[
        ("STANDIN_EXIT", "1"),
        ("STANDIN_ONLY", "import"),
        ("STANDIN_ONCE", "once"),
    ])
    .says("strfry import ended early, exit status: 1")
}

fn import_dies_in_the_middle() -> Fault {
    strfry(&[
        ("STANDIN_DIE_AFTER", "70"),
        ("STANDIN_COMMIT_EVERY", "30"),
        ("STANDIN_ONLY", "import"),
    ])
    .says("strfry import ended early, signal: 9 (SIGKILL)")
}

#[test]
fn a_strfry_that_always_hangs_ends_the_run_and_the_next_brings_all() {
    let relay = ScriptedRelay::start(&GOOD, Behaviour::default());
    let station = StationDir::builder(env!("CARGO_BIN_EXE_demo"))
        .stand_in()
        .build();
    follow(&station, &AUTHORS, &[&relay.url()]);
    let began = Instant::now();
    let output = command(&station, &["--strfry-patience", "1"])
        .env("STANDIN_HANG", "1")
        .output();
    output.expect_code(3);
    assert!(began.elapsed() < BOUND, "{output}");
    assert_eq!(report(&output)["outcome"], json!("nothing_done"));
    expect_logged(
        &station,
        "strfry import ended 3 times without storing anything, hung and was killed",
    );
    ended_well(&station, &output);
    sync_all(&station, &[]);
    expect_stored(&station, &GOOD);
}

#[test]
fn a_hanging_strfry_holds_up_no_statistics() {
    let station = StationDir::builder(env!("CARGO_BIN_EXE_demo"))
        .stand_in()
        .build();
    let output = station
        .command("constellation-sync")
        .args(["--stats", "--strfry-patience", "1"])
        .env("STANDIN_HANG", "1")
        .env("STANDIN_NOISE", "1")
        .output();
    output
        .expect_code(3)
        .expect_stderr("strfry scan says nothing for 1 s");
    ended_well(&station, &output);
}
