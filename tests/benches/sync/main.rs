//! A backfill beside what strfry needs for the same events: wall time, bytes from the peers
//! and peak memory, medians of several runs that are measured in turn, so that a busy
//! machine is busy for all of them.
//!
//! `cargo bench -p constellation-tests --bench sync`; with `STRFRY=/path/to/strfry` the peers
//! and the station are real strfrys, and `strfry import` and `strfry sync` run beside ours.
//! `--bench sync -- many` measures half a million events instead, `--bench sync -- quiet` a run in
//! which nothing is new, `--bench sync -- sweep` a day of such runs.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a bench prints"
)]

mod many;
mod measure;
mod peer;
mod quiet;
mod sweep;

use std::env;
use std::process::Command;
use std::time::SystemTime;

use constellation_shared::{Event, kinds};
use constellation_tests::author::{Author, notes};
use constellation_tests::sync_program::release_program;
use constellation_tests::{Behaviour, ScriptedRelay, StationDir};

use measure::{Measured, Ours, Row, measure};
use peer::Peer;

const EVENTS: usize = 20_000;
const AUTHORS: u64 = 100;
const RUNS: usize = 5;

fn main() {
    let is_given = |word: &str| env::args().any(|argument| argument == word);
    if is_given("many") {
        many::measure_many();
    } else if is_given("quiet") {
        quiet::measure_quiet();
    } else if is_given("sweep") {
        sweep::measure_sweep();
    } else {
        measure_few();
    }
}

/// Unix time in seconds.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_secs()
}

/// Events of all kinds of the last day.
fn recent(authors: &[Author], count: usize) -> Vec<Event> {
    let all_kinds = kinds::Set::Seed.numbers();
    let newest = now() - 60;
    let mut events = notes(authors, &all_kinds, count, newest, 80_000);
    events.sort_by_key(|event| event.created_at);
    events
}

fn measure_few() {
    let authors = Author::many(AUTHORS);
    let events = recent(&authors, EVENTS);
    let (most, _) = events.split_at(EVENTS - 100);
    let lines: String = events.iter().map(|event| event.to_json() + "\n").collect();
    let peers = [(); 3].map(|()| Peer::start(&events));
    let urls = peers.each_ref().map(Peer::url);
    let (one, three) = (urls[0].clone(), urls.join(","));
    let scripted: Vec<ScriptedRelay> = (0..10)
        .map(|_| ScriptedRelay::start(&events, Behaviour::default()))
        .collect();
    let scripted: Vec<String> = scripted.iter().map(ScriptedRelay::url).collect();
    let ours = Ours {
        program: release_program(),
        keys: authors.iter().map(Author::pubkey).collect(),
    };
    let spelled: Vec<String> = ours.keys.iter().map(ToString::to_string).collect();
    let all_kinds = kinds::Set::Seed.numbers();
    let filter = serde_json::json!({"authors": spelled, "kinds": all_kinds});
    let filter = format!("--filter={filter}");
    let sync = ["sync", &one, "--dir=down", &filter];
    let cold = |urls: &str, options: &[&str]| {
        let station = ours.station(&[]);
        let measured = ours.run(&station, urls, options);
        assert_complete(&station);
        measured
    };
    // An hourly run knows its peers from the one before.
    let warm = |held: &[Event]| {
        let station = ours.station(held);
        ours.run(&station, &one, &["--kinds", "9"]);
        let measured = ours.run(&station, &one, &[]);
        assert_complete(&station);
        measured
    };
    let mut rows: [Row; 10] = Default::default();
    for _ in 0..RUNS {
        let [
            import,
            verified,
            synced,
            single,
            walked,
            triple,
            same,
            few,
            script,
            ten,
        ] = &mut rows;
        import.add(strfry(&["import", "--no-verify"], &lines));
        verified.add(strfry(&["import"], &lines));
        if peers[0].is_real() {
            synced.add(strfry(&sync, ""));
        }
        single.add(cold(&one, &[]));
        walked.add(cold(&one, &["--no-negentropy"]));
        triple.add(cold(&three, &[]));
        same.add(warm(&events));
        few.add(warm(most));
        script.add(cold(&scripted[0], &[]));
        ten.add(cold(&scripted.join(","), &[]));
    }
    println!("| {EVENTS} events of {AUTHORS} pubkeys | seconds | bytes both ways | peak memory |");
    println!("|---|---|---|---|");
    let [
        import,
        verified,
        synced,
        single,
        walked,
        triple,
        same,
        few,
        script,
        ten,
    ] = &rows;
    import.print("`strfry import --no-verify` of the same events, alone");
    verified.print("`strfry import`, which verifies as ours does, alone");
    synced.print("`strfry sync`");
    single.print("empty database, one peer");
    walked.print("the same by paging only");
    triple.print("empty database, three peers that hold the same");
    same.print("nothing new");
    few.print("100 new events");
    script.print("empty database, one scripted peer");
    ten.print("empty database, ten scripted peers that hold the same");
    println!("\n| | measured | at most |\n|---|---|---|");
    let limit = |name: &str, figure: Option<f64>, most: f64| {
        if let Some(figure) = figure {
            println!("| {name} | {figure:.2} | {most} |");
        }
    };
    let times = |name: &str, of: &Row, to: &Row, most: f64| {
        let ratio = of.seconds().zip(to.seconds()).map(|(of, to)| of / to);
        limit(name, ratio, most);
    };
    times("one peer : `strfry sync`", single, synced, 0.35);
    // The stand-in's import is quicker than any database; what ours is measured against
    // there is one that verifies too.
    times(
        "one peer : `strfry import --no-verify`",
        single,
        import,
        1.5,
    );
    times("one peer : `strfry import`", single, verified, 1.5);
    times("paging : reconciliation", walked, single, 1.5);
    times("three peers : one", triple, single, 1.5);
    times("ten peers : one, time", ten, script, 1.2);
    let bytes = |row: &Row| row.median(|run| run.bytes);
    let ratio = bytes(ten).zip(bytes(script)).map(|(ten, one)| ten / one);
    limit("ten peers : one, bytes", ratio, 1.1);
    limit("nothing new, seconds", same.seconds(), 0.3);
    limit(
        "nothing new, kB",
        bytes(same).map(|bytes| bytes / 1000.0),
        50.0,
    );
    limit("100 new, seconds", few.seconds(), 0.5);
    limit("100 new, kB", bytes(few).map(|bytes| bytes / 1000.0), 200.0);
    let memory = |row: &Row| row.median(|run| run.megabytes);
    limit("peak memory, one peer, MB", memory(single), 40.0);
    limit("peak memory, three peers, MB", memory(triple), 40.0);
}

/// Runs a command of strfry's on an empty database.
fn strfry(arguments: &[&str], input: &str) -> Measured {
    let station = StationDir::new(env!("CARGO_BIN_EXE_demo"));
    let mut command = Command::new(station.strfry());
    command.args(arguments).current_dir(station.strfry_dir());
    let (measured, _) = measure(&mut command, input);
    assert_complete(&station);
    measured
}

fn assert_complete(station: &StationDir) {
    assert_eq!(station.stored_ids().len(), EVENTS, "it is not complete");
}
