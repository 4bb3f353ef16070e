//! What the backfill says: its log, its report, its statistics, its dry run.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use constellation_tests::author::notes;
use constellation_tests::relay::dead_url;
use constellation_tests::sync_program::{
    ERROR_LOG, LOG, PLAIN_KINDS, PROGRAM, all_kinds, command, expect_logged, expect_stored, follow,
    paged, recent, report, said, stuck_peer, sync,
};
use constellation_tests::{Author, ScriptedRelay, StationDir, station};
use serde_json::json;

/// The value of `field` as `sync_report.sh` finds it, with its own tools.
fn grepped(station: &StationDir, prefix: &str, field: &str) -> String {
    let script = format!(
        "grep '{prefix}' {LOG} | tail -1 | grep -o '{field}=[0-9]*' | head -1 | cut -d= -f2"
    );
    let output = Command::new("sh")
        .args(["-c", &script])
        .current_dir(station.root())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn the_log_reads_as_the_station_s_report_reads_it() {
    let authors = Author::many(12);
    let events = notes(&authors, &all_kinds(), 500, recent(), 3000);
    let relays = [(); 2].map(|()| ScriptedRelay::start(&events, paged(500)));
    let urls = relays.each_ref().map(ScriptedRelay::url);
    let station = station!();
    follow(&station, &authors, &urls.each_ref().map(String::as_str));
    // An earlier run's lines are gone.
    station.write(
        LOG,
        "[2020-01-01 00:00:00] [INFO] SYNC_IMPORT: events=7 mode=x\n",
    );
    let with_profiles = command(&station, &[]).env_remove("CONSTELLATION_NO_PROFILES");
    let output = with_profiles.output();
    output.expect_code(0);
    assert_eq!(output.stderr, "", "a good run says nothing on the terminal");
    let log = station.read(LOG);
    for once in [
        "Starting Astroport constellation backfill",
        "SYNC_HEX: ",
        "SYNC_STATS: ",
        "SYNC_IMPORT: ",
        "SYNC_PEERS: ",
        "SYNC_PROFILES: ",
        "Backfill process completed",
    ] {
        assert_eq!(log.matches(once).count(), 1, "{once}\n{log}");
    }
    let collected = |url: &str| format!(" events from {url}");
    assert!(
        urls.iter().all(|url| log.contains(&collected(url))),
        "{log}"
    );
    for (prefix, field, value) in [
        ("SYNC_HEX: ", "count", "12"),
        ("SYNC_STATS: ", "events", "500"),
        ("SYNC_IMPORT: ", "events", "500"),
        ("SYNC_IMPORT: ", "added", "500"),
        ("SYNC_PEERS: ", "success", "2"),
        ("SYNC_PEERS: ", "total", "2"),
    ] {
        assert_eq!(
            grepped(&station, prefix, field),
            value,
            "{prefix}{field}\n{log}"
        );
    }
    let sums = said(&station, "SYNC_STATS: ");
    assert_eq!(sums["dms"] + sums["public"], 500);
    for word in ["failed", "FAILED", "ERROR"] {
        assert!(!log.contains(word), "{word}\n{log}");
    }
    for line in log.lines() {
        let (time, rest) = line.strip_prefix('[').unwrap().split_once("] [").unwrap();
        let shape: String = time
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        assert_eq!(shape, "0000-00-00 00:00:00", "{line}");
        let level = rest.split_once("] ").unwrap().0;
        assert!(["INFO", "WARN", "ERROR"].contains(&level), "{line}");
    }
    assert!(
        log.lines()
            .last()
            .unwrap()
            .ends_with("Backfill process completed")
    );
    assert_eq!(station.read(ERROR_LOG), "");
}

#[test]
fn errors_go_to_a_log_of_their_own_that_outlives_the_run() {
    let station = station!();
    let (relay, _) = stuck_peer(&station, 100);
    relay.behave(paged(500));
    let dead = dead_url();
    station.peer("12D3KooDead", &dead);
    for runs in [1, 2] {
        let output = sync(&station, &[]);
        output
            .expect_code(1)
            .expect_stderr("[ERROR] WebSocket backfill failed after");
        output.expect_not_stderr("[INFO]");
        let errors = station.read(ERROR_LOG);
        assert_eq!(
            errors.matches("WebSocket backfill failed after").count(),
            runs,
            "{errors}"
        );
        assert!(
            errors
                .lines()
                .all(|line| line.contains("] [ERROR] ") || line.contains("] [WARN] "))
        );
        assert_eq!(
            station
                .read(LOG)
                .matches("WebSocket backfill failed after")
                .count(),
            1
        );
    }
    assert!(!station.read(ERROR_LOG).contains("SYNC_"));
    let peers = said(&station, "SYNC_PEERS: ");
    assert_eq!((peers["success"], peers["total"]), (1, 2));
    expect_logged(&station, "Backfill process completed");
}

#[test]
fn verbose_says_everything_on_the_terminal_too() {
    let station = station!();
    let (relay, events) = stuck_peer(&station, 100);
    relay.behave(paged(500));
    let output = station.run(PROGRAM, &["--days", "1", "--verbose"]);
    output.expect_code(0);
    assert_eq!(output.stderr, station.read(LOG));
    assert_eq!(output.stdout, "");
    expect_stored(&station, &events);
}

#[test]
fn the_report_says_what_was_done() {
    let station = station!();
    let (relay, events) = stuck_peer(&station, 100);
    relay.behave(paged(500));
    let output = sync(&station, &[]);
    assert_eq!(output.stdout.lines().count(), 1, "{output}");
    let report = report(&output);
    for (pointer, value) in [
        ("/schema", json!(1)),
        ("/outcome", json!("complete")),
        ("/exit_code", json!(0)),
        ("/followed", json!(5)),
        ("/events", json!(events.len())),
        ("/events_by_kind/1", json!(80)),
        ("/refused", json!({})),
        ("/import/mode", json!("no-verify")),
        ("/import/added", json!(400)),
        ("/import/rejected", json!({})),
        ("/import/replaced_children", json!(0)),
        ("/peers/0/url", json!(relay.url())),
        ("/peers/0/complete", json!(true)),
        ("/peers/0/failure", json!(null)),
        ("/peers/0/collected", json!(400)),
    ] {
        assert_eq!(report.pointer(pointer), Some(&value), "{pointer}\n{report}");
    }
    assert!(report["peers"][0]["bytes"].as_u64().unwrap() > 400 * 300);
}

#[test]
fn statistics_and_keys_as_captains_know_them() {
    let station = station!();
    let authors = Author::many(4);
    let events = notes(&authors, &PLAIN_KINDS, 77, recent(), 3000);
    station.import(&events);
    station.member("a@example.org", authors[0].pubkey());
    station.geographic_key("48.8/2.3", authors[1].pubkey());
    station.friends(&[0, 1, 2].map(|number| authors[number].pubkey()));
    station.blacklist(&[authors[3].pubkey()]);
    let du = Command::new("du")
        .arg("-h")
        .arg(station.strfry_dir().join("strfry-db/data.mdb"))
        .output()
        .unwrap();
    let size = String::from_utf8(du.stdout).unwrap();
    let size = size.split_whitespace().next().unwrap();
    let output = station.run(PROGRAM, &["--stats"]);
    output.expect_code(0);
    assert_eq!(
        output.stdout,
        format!(
            "📊 Constellation Database Statistics:\n\
             ====================================\n\
             Current events in database: 77\n\
             Database size: {size}\n\
             HEX files found: 2\n\
             Total HEX pubkeys monitored: 3\n"
        )
    );
    let output = station.run(PROGRAM, &["--show-hex"]);
    output.expect_code(0);
    let mut keys = [0, 1, 2].map(|number| authors[number].pubkey().to_hex());
    keys.sort();
    let keys = keys.map(|key| format!("  - {}...{}\n", &key[..8], &key[56..]));
    assert_eq!(
        output.stdout,
        format!(
            "🔍 Constellation HEX Pubkeys:\n==============================\nFound 3 HEX pubkeys:\n{}",
            keys.concat()
        )
    );
}

/// Every path below a folder, with its content and the time of its last change.
fn tree(folder: &Path, found: &mut Vec<(String, Vec<u8>, SystemTime)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        let content = match metadata.is_file() {
            true => fs::read(&path).unwrap(),
            false => Vec::new(),
        };
        let changed = metadata.modified().unwrap();
        found.push((path.display().to_string(), content, changed));
        if metadata.is_dir() {
            tree(&path, found);
        }
    }
    found.sort();
}

#[test]
fn a_dry_run_writes_and_asks_nothing() {
    let station = station!();
    let (relay, _) = stuck_peer(&station, 100);
    station.member("a@example.org", Author::new(1).pubkey());
    let snapshot = || {
        let mut found = Vec::new();
        tree(&station.home(), &mut found);
        found
    };
    let before = snapshot();
    for option in ["--DRYRUN", "--dry-run"] {
        let output = station.run(PROGRAM, &[option, "--days", "7", "--no-dms"]);
        output.expect_code(0).expect_stdout("DRY RUN MODE");
        output.expect_stdout(&format!("Would ask {}\n", relay.url()));
        output.expect_stdout("the events of the last 7 days of 5 pubkeys");
        output.expect_stdout("1 text note");
        assert!(!output.stdout.contains("4 direct message"), "{output}");
    }
    assert!(before == snapshot(), "something was written");
    assert_eq!((relay.connections(), relay.documents()), (0, 0));
}
