//! A day of scheduled runs, one each hour, where nothing is new: the whole history is compared once
//! in slices. What does that cost in bytes in both directions, in the peer's processor time, and in
//! our memory? The peer is a real strfry, and the station holds the same events.

use std::sync::atomic::Ordering;

use constellation_tests::StationDir;
use constellation_tests::author::Author;
use constellation_tests::real_relay::RealRelay;
use constellation_tests::sync_program::release_program;
use serde_json::Value;

use super::measure::Ours;
use super::now;
use super::quiet::{Proxy, of_the_table};

const EVENTS: usize = 500_000;
const AUTHORS: u64 = 1_000;
const HOURS: u64 = 24;
const DAY: u64 = 86_400;
const COVERAGE: &str = "strfry/constellation-coverage.json";

/// What all runs of the day may take together: kilobytes, milliseconds of the peer's processor, and
/// megabytes of memory.
const MOST: (f64, f64, f64) = (200.0, 5_000.0, 60.0);

pub(crate) fn measure_sweep() {
    assert!(RealRelay::is_possible(), "STRFRY names no strfry");
    let authors = Author::many(AUTHORS);
    let ours = Ours {
        program: release_program(),
        keys: authors.iter().map(Author::pubkey).collect(),
    };
    let events = of_the_table(&authors, EVENTS, now() - 60, 400 * DAY);
    let relay = RealRelay::start(env!("CARGO_BIN_EXE_demo"), "", &events);
    drop(events);
    let station = ours.station(&[]);
    relay.copy_database(&station);
    let proxy = Proxy::start(relay.port());
    let url = proxy.url();
    // All of history is compared; then the peer is tried without names.
    for _ in 0..3 {
        ours.run(&station, &url, &["--sweep"]);
    }
    proxy.bytes.store(0, Ordering::SeqCst);
    let begin = relay.processor_ms();
    let (mut seconds, mut megabytes) = (0.0_f64, 0.0_f64);
    for _ in 0..HOURS {
        an_hour_passes(&station);
        let run = ours.run(&station, &url, &["--sweep"]);
        seconds += run.seconds;
        megabytes = megabytes.max(run.megabytes);
    }
    let oldest = peer_of(&coverage(&station))["compared"].clone();
    let kilobytes = proxy.bytes.load(Ordering::SeqCst) as f64 / 1000.0;
    let processor = relay.processor_ms() - begin;
    println!("| {EVENTS} equal events, {AUTHORS} keys | a day's {HOURS} runs | at most |");
    println!("|---|---|---|");
    println!("| bytes both ways | {kilobytes:.1} kB | {} kB |", MOST.0);
    println!(
        "| the peer's processor | {processor:.0} ms | {} ms |",
        MOST.1
    );
    println!("| our memory at most | {megabytes:.0} MB | {} MB |", MOST.2);
    println!("| a run | {:.2} s | |", seconds / HOURS as f64);
    // Nothing of the history may be older than a day then.
    for compared in oldest.as_array().unwrap() {
        assert!(compared["at"].as_u64().unwrap() + DAY > now(), "{oldest}");
    }
}

fn coverage(station: &StationDir) -> Value {
    serde_json::from_str(&station.read(COVERAGE)).unwrap()
}

fn peer_of(coverage: &Value) -> &Value {
    coverage["peers"]
        .as_object()
        .unwrap()
        .values()
        .next()
        .unwrap()
}

/// Makes all that is remembered of the comparisons an hour older.
fn an_hour_passes(station: &StationDir) {
    let mut coverage = coverage(station);
    for peer in coverage["peers"].as_object_mut().unwrap().values_mut() {
        for compared in peer["compared"].as_array_mut().unwrap() {
            compared["at"] = (compared["at"].as_u64().unwrap() - 3600).into();
        }
    }
    station.write(COVERAGE, coverage.to_string());
}
