//! A swarm of more stations than one run asks.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use constellation_shared::{Event, Station};
use constellation_sync::testing::guard::Guard;
use constellation_sync::testing::peer;
use constellation_tests::author::notes;
use constellation_tests::relay::dead_url;
use constellation_tests::sync_program::{DAY, PLAIN_KINDS, PROGRAM, expect_stored, paged, recent};
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};
use serde_json::Value;

const MEMORY: &str = "strfry/constellation-peers.json";

/// Relays of which each lacks another quarter of the events.
fn swarm(station: &StationDir, count: usize, events: &[Event]) -> Vec<ScriptedRelay> {
    (0..count)
        .map(|number| {
            let is_held = |event: &&Event| {
                let byte = event.id.as_bytes()[number / 4 % 32];
                byte >> (number % 4 * 2) & 3 != 0
            };
            let held: Vec<Event> = events.iter().filter(is_held).cloned().collect();
            let relay = ScriptedRelay::start(&held, Behaviour::default());
            station.peer(&format!("station{number}"), &relay.url());
            relay
        })
        .collect()
}

fn follow_all(station: &StationDir, authors: &[Author]) {
    let keys: Vec<_> = authors.iter().map(Author::pubkey).collect();
    station.friends(&keys);
}

/// A run; its report, and the most memory that it held, in MB.
fn run(station: &StationDir, args: &[&str]) -> (Value, f64) {
    let command = station.command(PROGRAM).arg("--json").args(args);
    let mut running = command.spawn();
    let status = format!("/proc/{}/status", running.pid());
    let mut peak: f64 = 0.0;
    while running.is_running() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next());
        peak = peak.max(kilobytes.map_or(0.0, |text| text.parse().unwrap()) / 1000.0);
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = running.wait();
    (serde_json::from_str(&output.stdout).unwrap(), peak)
}

fn asked(report: &Value) -> BTreeSet<&str> {
    let peers = report["peers"].as_array().unwrap().iter();
    peers.map(|peer| peer["url"].as_str().unwrap()).collect()
}

fn memory(station: &StationDir) -> Value {
    serde_json::from_str(&station.read(MEMORY)).unwrap()
}

/// Three runs in a row; what the third one leaves behind is complete.
fn three_runs(stations: usize, authors: u64, count: usize) -> f64 {
    let (station, authors) = (station!(), Author::many(authors));
    let writers = &authors[..authors.len() / 5];
    let events = notes(writers, &PLAIN_KINDS, count, recent(), DAY - 600);
    follow_all(&station, &authors);
    let relays = swarm(&station, stations, &events);
    let (mut everybody, mut most) = (BTreeSet::new(), 0.0_f64);
    for _ in 0..3 {
        let (report, peak) = run(&station, &[]);
        assert_eq!(asked(&report).len(), 8);
        assert_eq!(report["outcome"], "complete");
        everybody.extend(asked(&report).into_iter().map(ToOwned::to_owned));
        most = most.max(peak);
    }
    expect_stored(&station, &events);
    let sent: u64 = relays.iter().map(ScriptedRelay::events_sent).sum();
    assert_eq!(sent, events.len() as u64, "each event came once");
    // Two by rotation each time; the others may be the same by chance.
    assert!(everybody.len() >= 12, "others each time: {everybody:?}");
    most
}

#[test]
fn three_runs_bring_what_thirty_stations_hold_and_each_event_once() {
    three_runs(30, 50, 600);
}

/// `cargo test --release -p constellation-tests --test backfill -- --ignored --nocapture many_peers::`
#[test]
#[ignore = "takes a minute, and much memory for the relays"]
fn three_runs_bring_what_sixty_stations_hold_of_5000_pubkeys_in_100_mb() {
    let start = Instant::now();
    let most = three_runs(60, 5000, 12_000);
    println!(
        "peak memory {most:.0} MB, {:.1} s in all",
        start.elapsed().as_secs_f64()
    );
    assert!(most <= 100.0, "{most} MB");
}

#[test]
fn of_many_stations_eight_are_asked_and_those_that_fail_are_replaced() {
    let (station, authors) = (station!(), Author::many(3));
    let events = notes(&authors, &PLAIN_KINDS, 30, recent(), 3600);
    follow_all(&station, &authors);
    let relays = swarm(&station, 25, &events);
    for number in 0..5 {
        station.peer(&format!("dead{number}"), &dead_url());
    }
    let mut failed = BTreeSet::new();
    for _ in 0..4 {
        let (report, _) = run(&station, &["--patience", "5"]);
        let peers = report["peers"].as_array().unwrap();
        let complete = peers.iter().filter(|peer| peer["complete"] == true);
        assert_eq!(complete.count(), 8);
        for peer in peers.iter().filter(|peer| peer["complete"] == false) {
            let url = peer["url"].as_str().unwrap().to_owned();
            assert!(failed.insert(url), "it is left alone for an hour");
        }
    }
    let remembered = memory(&station);
    let peers = remembered["peers"].as_object().unwrap();
    for (url, peer) in peers {
        let is_failed = failed.contains(url);
        assert_eq!(peer["failures"], u64::from(is_failed), "{url}");
        assert_eq!(peer["last_success"].is_null(), is_failed, "{url}");
    }
    let reached = relays.iter().filter(|relay| relay.connections() > 0);
    assert_eq!(reached.count() + failed.len(), peers.len());
}

#[test]
fn a_swarm_of_24_is_asked_as_a_whole_and_max_peers_holds_for_any() {
    let (station, authors) = (station!(), Author::many(3));
    let events = notes(&authors, &PLAIN_KINDS, 30, recent(), 3600);
    follow_all(&station, &authors);
    let relays = swarm(&station, 24, &events);
    let (report, _) = run(&station, &["--max-peers", "3"]);
    assert_eq!(asked(&report).len(), 3);
    let (report, _) = run(&station, &[]);
    assert_eq!(asked(&report).len(), 24);
    let urls: Vec<String> = relays.iter().map(ScriptedRelay::url).collect();
    let joined = urls.join(",");
    let (report, _) = run(&station, &["--peer", &joined, "--max-peers", "3"]);
    assert_eq!(asked(&report).len(), 24, "all that are named");
}

#[test]
fn where_all_fail_nobody_is_blamed_and_few_are_tried() {
    let (station, authors) = (station!(), Author::many(1));
    follow_all(&station, &authors);
    for number in 0..20 {
        station.peer(&format!("dead{number}"), &dead_url());
    }
    let (report, _) = run(&station, &["--max-peers", "2"]);
    assert_eq!(report["exit_code"], 1);
    // Two, four more, and one that had begun beside them.
    assert!(asked(&report).len() <= 7, "{report}");
    for (url, peer) in memory(&station)["peers"].as_object().unwrap() {
        assert_eq!(peer["failures"], 0, "{url}");
    }
}

/// What is remembered of a peer that could not be reached a moment ago, or of one that is best.
fn remembered(url: &str, score: f64, is_unreachable: bool) -> (String, Value) {
    let now = recent();
    let record = serde_json::json!({
        "url": url,
        "last_seen": now,
        "last_asked": if is_unreachable { now - DAY } else { now },
        "last_success": now - DAY,
        "failures": 0,
        "last_failure": 0,
        "score": score,
        "limits": is_unreachable.then(|| serde_json::json!({
            "learned_at": now - 60,
            "information": {"negentropy": false},
            "unreachable": true,
        })),
    });
    (url.to_owned(), record)
}

#[test]
fn dead_folders_beside_a_slow_peer_are_not_taken_for_a_broken_link() {
    let (station, authors) = (station!(), Author::many(3));
    let events = notes(&authors, &PLAIN_KINDS, 30, recent(), 3600);
    follow_all(&station, &authors);
    let hangs = Behaviour {
        hang_after_events: Some(0),
        ..paged(500)
    };
    let slow = ScriptedRelay::start(&events, hangs);
    let alive = ScriptedRelay::start(&events, Behaviour::default());
    station.peer("slow", &slow.url());
    station.peer("alive", &alive.url());
    let mut peers = vec![
        remembered(&slow.url(), 100.0, false),
        remembered(&alive.url(), 0.0, false),
    ];
    for number in 0..24 {
        let url = dead_url();
        station.peer(&format!("dead{number}"), &url);
        peers.push(remembered(&url, 10.0, true));
    }
    let peers: serde_json::Map<String, Value> = peers.into_iter().collect();
    let memory = serde_json::json!({"version": 3, "begin": recent() - DAY, "peers": peers});
    station.write(MEMORY, memory.to_string());
    let (report, _) = run(&station, &["--patience", "3"]);
    assert!(asked(&report).contains(alive.url().as_str()), "{report}");
    expect_stored(&station, &events);
}

fn read_a_swarm_of(folders: usize) -> Duration {
    let station = station!();
    for number in 0..folders {
        let url = format!("wss://relay{number}.example.org");
        station.peer(&format!("12D3Koo{number}"), &url);
    }
    let paths = Station::new(station.root());
    let start = Instant::now();
    let descriptions = peer::descriptions(&paths);
    let peers = peer::peers(&descriptions, Some("12D3Koo0"), &Guard::default());
    let elapsed = start.elapsed();
    assert_eq!(peers.len(), folders - 1);
    elapsed
}

#[test]
fn a_swarm_of_a_thousand_folders_is_read_at_once() {
    let elapsed = read_a_swarm_of(1000);
    assert!(elapsed < Duration::from_secs(1), "{elapsed:?}");
}

/// `cargo test --release -p constellation-tests --test backfill -- --ignored --nocapture many_peers::`
#[test]
#[ignore = "makes 10,000 folders"]
fn a_swarm_of_ten_thousand_folders_is_read_within_a_second() {
    let elapsed = read_a_swarm_of(10_000);
    println!("10,000 folders read in {elapsed:?}");
    assert!(elapsed < Duration::from_secs(1), "{elapsed:?}");
}
