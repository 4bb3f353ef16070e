//! Half a million events, from three peers that hold the same into an empty database: is it
//! complete, how much memory does it take, does the time grow faster than the events?
//!
//! `strfry import` of the same events runs beside it, as most of the time is strfry's.

use std::process::Command;

use constellation_shared::Event;
use constellation_tests::StationDir;
use constellation_tests::author::Author;
use constellation_tests::sync_program::release_program;

use super::measure::{Measured, Ours, Row, measure};
use super::peer::Peer;
use super::recent;

const AUTHORS: u64 = 5000;
const COUNTS: [usize; 3] = [125_000, 250_000, 500_000];
const RUNS: usize = 3;

pub(crate) fn measure_many() {
    let authors = Author::many(AUTHORS);
    let ours = Ours {
        program: release_program(),
        keys: authors.iter().map(Author::pubkey).collect(),
    };
    println!(
        "| events of {AUTHORS} pubkeys, three peers | seconds | a million events | `strfry import` alone | peak memory |"
    );
    println!("|---|---|---|---|---|");
    for count in COUNTS {
        let events = recent(&authors, count);
        let peers = [(); 3].map(|()| Peer::start(&events));
        let urls = peers.each_ref().map(Peer::url).join(",");
        let lines: String = events.iter().map(|event| event.to_json() + "\n").collect();
        drop::<Vec<Event>>(events);
        let (mut synced, mut imported) = (Row::default(), Row::default());
        for _ in 0..RUNS {
            let station = ours.station(&[]);
            synced.add(ours.run(&station, &urls, &[]));
            assert_complete(&station, count);
            imported.add(import(&lines, count));
        }
        let (Some(seconds), Some(alone)) = (synced.seconds(), imported.seconds()) else {
            continue;
        };
        println!(
            "| {count} | {seconds:.1} | {:.0} s | {alone:.1} ({:.2} ×) | {:.0} MB |",
            seconds / count as f64 * 1e6,
            seconds / alone,
            synced.median(|run| run.megabytes).unwrap_or_default()
        );
    }
}

fn import(lines: &str, count: usize) -> Measured {
    let station = StationDir::new(env!("CARGO_BIN_EXE_demo"));
    let mut command = Command::new(station.strfry());
    command
        .args(["import", "--no-verify"])
        .current_dir(station.strfry_dir());
    let (measured, _) = measure(&mut command, lines);
    assert_complete(&station, count);
    measured
}

fn assert_complete(station: &StationDir, count: usize) {
    let stored = station.run_strfry(["scan", "--count", "{}"]);
    let stored = stored.stdout.trim();
    assert_eq!(stored, count.to_string(), "it is not complete");
}
