//! Much of everything: events, peers, runs.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use constellation_tests::author::notes;
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};

use constellation_tests::sync_program::left_behind::ended_well;
use constellation_tests::sync_program::{
    PLAIN_KINDS, command, expect_logged, expect_stored, follow, recent, report,
};

/// Brings so many events into an empty station; the most memory that took, in bytes.
fn bring(count: usize, span: u64) -> u64 {
    let authors = Author::many(100);
    let events = notes(&authors, &PLAIN_KINDS, count, recent(), span);
    let relay = ScriptedRelay::start(&events, Behaviour::default());
    drop(events);
    let conf = "db = \"./strfry-db/\"\nevents {\n    maxEventSize = 65536\n}\nrelay {\n    nofiles = 0\n}\n";
    let station = StationDir::builder(env!("CARGO_BIN_EXE_demo"))
        .conf(conf)
        .build();
    follow(&station, &authors, &[&relay.url()]);
    let began = Instant::now();
    let mut running = command(&station, &[])
        .args(["--days", "0", "--patience", "300"])
        .spawn();
    let mut peak = 0;
    while running.is_running() {
        peak = peak.max(running.peak_memory());
        thread::sleep(Duration::from_millis(5));
    }
    let output = running.wait();
    output.expect_code(0);
    let report = report(&output);
    assert_eq!(report["import"]["added"], count, "{report}");
    let stored = station.run_strfry(["scan", "--count", "{}"]).stdout;
    assert_eq!(stored.trim(), count.to_string());
    ended_well(&station, &output);
    println!(
        "{count} events in {:.1} s, at most {} MB",
        began.elapsed().as_secs_f64(),
        peak / 1_000_000
    );
    peak
}

/// A twentieth of the million, and what that may take.
#[test]
fn many_events_within_their_memory() {
    let peak = bring(20_000, 80_000);
    assert!(peak < 60_000_000, "{peak} bytes");
}

#[test]
#[ignore = "minutes, and some GB for the test itself"]
fn a_million_events_within_250_mb() {
    let peak = bring(1_000_000, 30_000_000);
    assert!(peak < 250_000_000, "{peak} bytes");
}

#[test]
fn two_hundred_peers_at_once() {
    let authors = Author::many(5);
    let events = notes(&authors, &PLAIN_KINDS, 1000, recent(), 3000);
    // Each has five of its own, and twenty that others have too.
    let relays: Vec<ScriptedRelay> = (0..200)
        .map(|number| {
            let held = events.iter().cycle().skip(number * 5).take(25).cloned();
            ScriptedRelay::start(&held.collect::<Vec<_>>(), Behaviour::default())
        })
        .collect();
    let station = station!();
    let urls: Vec<String> = relays.iter().map(ScriptedRelay::url).collect();
    follow(
        &station,
        &authors,
        &urls.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    let output = command(&station, &["--max-peers", "200"]).output();
    output.expect_code(0);
    expect_logged(&station, "SYNC_PEERS: success=200 total=200");
    expect_stored(&station, &events);
    let sent: u64 = relays.iter().map(ScriptedRelay::events_sent).sum();
    assert!(sent < 2500, "{sent} events were sent for 1000");
    ended_well(&station, &output);
}

/// The files of a station, and how long each is.
fn files(station: &StationDir) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    let mut folders = vec![station.home()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let metadata = entry.metadata().unwrap();
            match metadata.is_dir() {
                true => folders.push(entry.path()),
                false => {
                    let name = entry.path().display().to_string();
                    found.insert(name, metadata.len());
                }
            }
        }
    }
    found
}

/// Runs so often; after the first runs no file comes, and none grows but the error log,
/// which is rotated.
fn run_often(runs: usize) {
    let authors = Author::many(3);
    let events = notes(&authors, &PLAIN_KINDS, 60, recent(), 3000);
    let relay = ScriptedRelay::start(&events, Behaviour::default());
    let station = station!();
    follow(&station, &authors, &[&relay.url(), "ws://127.1.0.1:1"]);
    let mut settled = BTreeMap::new();
    let began = Instant::now();
    for run in 0..runs {
        let output = command(&station, &["--patience", "1"])
            .env_remove("CONSTELLATION_NO_PROFILES")
            .env("CONSTELLATION_FULL_SYNC_LIMIT", "1")
            .output();
        output.expect_code(1);
        ended_well(&station, &output);
        match run {
            5 => settled = files(&station),
            6.. => {
                for (name, length) in files(&station) {
                    let before = settled.get(&name);
                    let before = before.unwrap_or_else(|| panic!("run {run} left {name}"));
                    let grows = ["error.log", "profile.log", "data.mdb", "lock.mdb"];
                    let may_grow = grows.iter().any(|end| name.ends_with(end));
                    // They tell of 30 runs, and have their bounds.
                    let remembers = ["constellation-report", "constellation-runs"];
                    let most = match remembers.iter().any(|part| name.contains(part)) {
                        true => 100_000,
                        false => before + before / 4 + 300,
                    };
                    assert!(
                        may_grow || length <= most,
                        "run {run}: {name} has {length} bytes"
                    );
                }
            }
            _ => {}
        }
    }
    expect_stored(&station, &events);
    println!("{runs} runs in {:.1} s", began.elapsed().as_secs_f64());
}

#[test]
fn twelve_runs_leave_nothing_behind() {
    run_often(12);
}

#[test]
#[ignore = "half an hour"]
fn a_thousand_runs_leave_nothing_behind() {
    run_often(1000);
}
