//! 20,000 events that one peer is given at once: how long does it take until all of them are at the
//! station, beside a backfill of the same events into an empty database? Each is done several times,
//! in turn.

use std::collections::BTreeSet;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use constellation_shared::{Event, EventId, kinds};
use constellation_tests::StationDir;
use constellation_tests::author::{notes, now};
use constellation_tests::real_relay::RealRelay;
use constellation_tests::station::ids;

use super::Bench;
use super::flow::quantile;
use super::kept::{Keeper, Kept, peers, wait_until_followed};

/// How long to wait for what does not come.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn measure(bench: &Bench) {
    let count = bench.either(5_000, 20_000);
    let runs = bench.either(1, 5);
    let plain: Vec<u16> = kinds::Set::Seed
        .numbers()
        .into_iter()
        .filter(is_plain)
        .collect();
    let [mut mine, mut theirs, mut cold, mut given] = [const { Vec::new() }; 4];
    let (mut mine_lacks, mut theirs_lack) = (0, 0);
    for _ in 0..runs {
        let events = notes(&bench.authors, &plain, count, now() - 5, 600);
        let wanted = ids(&events);
        let burst = burst(bench, Keeper::Ours(&bench.program), &events, &wanted);
        mine.push(burst.seconds);
        given.push(burst.given);
        mine_lacks += burst.missing;
        let router = self::burst(bench, Keeper::Router, &events, &wanted);
        theirs.push(router.seconds);
        theirs_lack += router.missing;
        cold.push(backfill(bench, &events));
    }
    let median = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        quantile(values, 0.5)
    };
    let [mine, theirs, cold, given] =
        [mine, theirs, cold, given].map(|mut values| median(&mut values));
    println!("\n| {count} events at one peer, medians of {runs} | seconds | missing |");
    println!("|---|---|---|");
    println!("| `live`, since the peer was given them | {mine:.2} | {mine_lacks} |");
    println!("| `strfry router`, the same | {theirs:.2} | {theirs_lack} |");
    println!(
        "| giving them to the peer (`strfry import --no-verify`) takes of that | {given:.2} | |"
    );
    println!("| a backfill of the same into an empty database | {cold:.2} | |");
    println!("| `live` : backfill | {:.2} (at most 1.3) | |", mine / cold);
}

/// Whether none replaces another, and a relay tells everybody of it.
fn is_plain(kind: &u16) -> bool {
    !kinds::is_replaceable(*kind) && *kind != 4 && *kind != 1059 && *kind != kinds::DELETION
}

struct Burst {
    /// Until all were here.
    seconds: f64,
    /// Until the peer had been given all.
    given: f64,
    missing: usize,
}

fn burst(bench: &Bench, keeper: Keeper<'_>, events: &[Event], wanted: &BTreeSet<EventId>) -> Burst {
    let peers = peers(1);
    let urls: Vec<String> = peers.iter().map(RealRelay::url).collect();
    let kept = Kept::start(keeper, &bench.keys(), &urls);
    wait_until_followed(&[&kept], &peers, &bench.authors[0]);
    let began = Instant::now();
    peers[0].add(events);
    let given = began.elapsed().as_secs_f64();
    let is_here = |id: &EventId| kept.reader.seen_at(*id).is_some();
    while !wanted.iter().all(is_here) && began.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(5));
    }
    let last = wanted
        .iter()
        .filter_map(|id| kept.reader.seen_at(*id))
        .max();
    let last = last.unwrap_or(began);
    Burst {
        seconds: last.saturating_duration_since(began).as_secs_f64(),
        given,
        missing: kept.missing(wanted),
    }
}

/// How many seconds a backfill takes.
fn backfill(bench: &Bench, events: &[Event]) -> f64 {
    let peer = RealRelay::start(env!("CARGO_BIN_EXE_demo"), "", events);
    let station = StationDir::new(env!("CARGO_BIN_EXE_demo"));
    station.friends(&bench.keys());
    let began = Instant::now();
    let status = Command::new(&bench.program)
        .arg("--zen")
        .arg(station.root())
        .args(["--quiet", "--no-profiles", "--no-fallback"])
        .args(["--peer", &peer.url()])
        .status();
    let seconds = began.elapsed().as_secs_f64();
    assert!(status.unwrap().success());
    assert_eq!(
        station.stored_ids().len(),
        events.len(),
        "it is not complete"
    );
    seconds
}
