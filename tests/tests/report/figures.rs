//! `--metrics`: figures for node_exporter's textfile collector.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use constellation_tests::author::{forged_signature, now};
use constellation_tests::relay::Nip77;
use constellation_tests::{Author, Behaviour, StationDir};

use crate::case::{LOG, failing, sync, with_peer};

/// The value of a figure.
fn figure(station: &StationDir, name: &str) -> u64 {
    let text = station.read("metrics/sync.prom");
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{name} ")));
    let line = line.unwrap_or_else(|| panic!("no {name} in\n{text}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

const SUCCESS: &str = "constellation_sync_last_success_timestamp_seconds";
const RUN: &str = "constellation_sync_last_run_timestamp_seconds";

#[test]
fn a_run_that_fails_never_reads_as_a_success() {
    let (station, _relay) = with_peer("Bob");
    station.write("metrics/other.prom", "another program's");
    let file = station.root().join("metrics/sync.prom");
    let file = file.to_str().unwrap();
    failing(&station, &["--metrics", file]);
    assert_eq!(figure(&station, SUCCESS), 0);
    sync(&station)
        .env("CONSTELLATION_METRICS", file)
        .output()
        .expect_code(0);
    let success = figure(&station, SUCCESS);
    assert!((now() - 120..=now()).contains(&success));
    failing(&station, &["--metrics", file]);
    assert_eq!(figure(&station, SUCCESS), success);
    assert!(figure(&station, RUN) >= success);
    assert_eq!(figure(&station, "constellation_sync_last_run_success"), 0);
    assert_eq!(figure(&station, "constellation_sync_last_run_exit_code"), 1);
    assert_eq!(
        figure(&station, "constellation_sync_consecutive_failures"),
        1
    );
    assert_eq!(figure(&station, "constellation_sync_events_total"), 22);
    assert_eq!(
        figure(
            &station,
            "constellation_sync_runs_total{result=\"failure\"}"
        ),
        2
    );
    let mode = fs::metadata(file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    let left: Vec<String> = fs::read_dir(station.root().join("metrics"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(left.len(), 2, "nothing is left beside it: {left:?}");
    check_with_promtool(file);
}

/// Prometheus' own linter, where it is installed.
fn check_with_promtool(file: &str) {
    let checked = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(fs::File::open(file).unwrap())
        .stderr(Stdio::piped())
        .output();
    match checked {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success() && said.is_empty(), "{said}");
        }
        Err(_) => println!("promtool is not there: its check was passed over"),
    }
}

/// The alert rules and the dashboard that lie in the package.
const RULES: &str = include_str!("../../../sidecar/package/constellation-alerts.yml");
const DASHBOARD: &str = include_str!("../../../sidecar/package/constellation-dashboard.json");

#[test]
fn rules_and_dashboard_ask_for_figures_that_are_written() {
    let (station, good) = with_peer("Bob");
    let forged = forged_signature(&Author::new(1).note(now() - 60, "forged"));
    good.behave(Behaviour {
        extra: vec![forged.to_json()],
        nip77: Nip77::Absent,
        ..Behaviour::default()
    });
    let file = station.home().join("sync.prom");
    sync(&station).arg("--metrics").arg(&file).output();
    let text = fs::read_to_string(file).unwrap();
    let named: BTreeSet<&str> = [RULES, DASHBOARD]
        .iter()
        .flat_map(|text| text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')))
        .filter(|word| word.starts_with("constellation_sync_"))
        .collect();
    assert!(named.len() > 10, "{named:?}");
    for name in named {
        let family = format!("# TYPE {name} ");
        assert!(text.contains(&family), "{name} is not in\n{text}");
    }
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 5);
}

#[test]
fn the_alerts_come_when_they_should() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("constellation-alerts.yml"), RULES).unwrap();
    let tests = dir.path().join("alerts.test.yml");
    fs::write(&tests, include_str!("alerts.test.yml")).unwrap();
    match Command::new("promtool")
        .args(["test", "rules"])
        .arg(tests)
        .output()
    {
        Ok(output) => assert!(output.status.success(), "{output:?}"),
        Err(_) => println!("promtool is not there: the alerts were not tried"),
    }
}

#[test]
fn it_is_readable_whatever_the_umask_is_and_a_folder_that_is_not_there_is_a_warning() {
    let (station, _relay) = with_peer("Bob");
    let program = station.program("constellation-sync");
    let file = station.home().join("sync.prom");
    let script = format!(
        "umask 077; exec '{}' --metrics '{}'",
        program.display(),
        file.display()
    );
    let output = Command::new("sh")
        .args(["-c", &script])
        .env("HOME", station.home())
        .env("CONSTELLATION_NO_PROFILES", "true")
        .env("CONSTELLATION_ALLOW_PRIVATE_PEERS", "true")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o644
    );
    let nowhere = station.home().join("nowhere/sync.prom");
    let output = sync(&station).arg("--metrics").arg(nowhere).output();
    output
        .expect_code(0)
        .expect_stderr("nowhere/sync.prom could not be written");
    assert!(station.read(LOG).contains("Backfill process completed"));
}
