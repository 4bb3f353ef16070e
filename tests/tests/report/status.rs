//! `constellation-sync status`.

use constellation_tests::author::now;
use constellation_tests::station;
use serde_json::Value;

use crate::case::{JSON, expect_all, sync, with_peer};

const HOUR: u64 = 3600;

#[test]
fn a_station_without_a_success_is_not_well() {
    let station = station!();
    let output = station.run("constellation-sync", &["status"]);
    output
        .expect_code(1)
        .expect_stdout("✘ no run has succeeded yet");
    let output = station.run("constellation-sync", &["status", "--json"]);
    output.expect_code(1);
    let status: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(
        (&status["fresh"], &status["report"]),
        (&false.into(), &Value::Null)
    );
    station.write(JSON, "{\"schema\":1,");
    let output = station.run("constellation-sync", &["status"]);
    output
        .expect_code(1)
        .expect_stdout("constellation-report.json cannot be read");
}

#[test]
fn a_success_that_is_too_old_is_exit_code_1() {
    let (station, _relay) = with_peer("Bob");
    sync(&station).output().expect_code(0);
    let fresh = station.run("constellation-sync", &["status"]);
    fresh.expect_code(0);
    expect_all(
        &fresh.stdout,
        &["✔ ", "The one peer is synced", "at most 3 h is sound"],
    );
    let aged = |hours: u64, args: &[&str]| {
        let mut report: Value = serde_json::from_str(&station.read(JSON)).unwrap();
        report["last_success_at"] = (now() - hours * HOUR - 60).into();
        station.write(JSON, report.to_string());
        station.run("constellation-sync", &[&["status"], args].concat())
    };
    aged(2, &[]).expect_code(0);
    let output = aged(3, &[]);
    output
        .expect_code(1)
        .expect_stdout("the last success was 3 h ago, more than 3 h");
    aged(3, &["--max-age", "4"]).expect_code(0);
    aged(3, &["--max-age", "2"]).expect_code(1);
    let output = aged(9, &["--json"]);
    output.expect_code(1);
    let status: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(status["fresh"], false);
    assert_eq!(status["max_age_seconds"], 3 * HOUR);
    assert!(status["age_seconds"].as_u64().unwrap() >= 9 * HOUR);
    assert_eq!(status["report"]["events"], 22);
}

#[test]
fn a_trigger_that_comes_once_a_day_may_be_silent_for_longer() {
    let (station, _relay) = with_peer("Bob");
    let output = sync(&station)
        .args(["trigger", "--now", "--interval", "1440"])
        .output();
    output.expect_code(0);
    let status = station.run("constellation-sync", &["status"]);
    status.expect_code(0).expect_stdout("at most 26 h is sound");
}
