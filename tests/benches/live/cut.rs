//! All connections are cut for a while, each from a random moment on, while 500 events are published at
//! the peers: is anything missing 10 s after they are back? Beside it `strfry router`, whose
//! connections are cut at the same moments.
//!
//! Nobody can wait 50 times for 10 minutes here: most cuts last 5 to 30 s, and one in ten lasts 90 s.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use constellation_shared::EventId;

use constellation_tests::real_relay::RealRelay;

use super::Bench;
use super::flow::{Flow, quantile};
use super::gate::{Gate, Manner};
use super::kept::{Keeper, Kept, peers, wait_until_followed};
use super::latency::PEERS;

/// When it is looked what is missing, after the connections are back.
const BACK: Duration = Duration::from_secs(10);

/// How long to wait for what is missing then.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn measure(bench: &Bench) {
    let rounds: u32 = bench.either(3, 50);
    let count = bench.either(100, 500);
    let peers = peers(PEERS);
    let gates = |_| -> Vec<Gate> { peers.iter().map(|peer| Gate::start(peer.port())).collect() };
    let gates = [(), ()].map(gates);
    let urls = |gates: &Vec<Gate>| -> Vec<String> { gates.iter().map(Gate::url).collect() };
    let keys = bench.keys();
    let ours = Kept::start(Keeper::Ours(&bench.program), &keys, &urls(&gates[0]));
    let router = Kept::start(Keeper::Router, &keys, &urls(&gates[1]));
    wait_until_followed(&[&ours, &router], &peers, &bench.authors[0]);
    let ports: Vec<u16> = peers.iter().map(RealRelay::port).collect();
    let mut all = BTreeSet::new();
    let (mut late, mut lost, mut router_lacks) = (0, 0, Vec::new());
    let mut until_level = Vec::new();
    println!(
        "\n| round | cut | manner | missing after 10 s | level after | `strfry router` lacks |"
    );
    println!("|---|---|---|---|---|---|");
    for round in 1..=rounds {
        let seconds = if bench.is_long && round % 10 == 0 {
            90
        } else {
            fastrand::u64(5..=30)
        };
        let time = Duration::from_secs(if bench.is_long { seconds } else { 5 });
        let manner = if fastrand::bool() {
            Manner::Broken
        } else {
            Manner::Silent
        };
        let flow = Flow::start(&ports, &bench.authors, count, time / count as u32);
        let began = Instant::now();
        for place in 0..PEERS {
            thread::sleep(Duration::from_millis(fastrand::u64(..300)));
            gates.iter().for_each(|gates| gates[place].shut(manner));
        }
        thread::sleep(time.saturating_sub(began.elapsed()));
        let published: BTreeSet<EventId> = flow.wait().iter().map(|one| one.id).collect();
        gates.iter().flatten().for_each(Gate::open);
        let back = Instant::now();
        let mut level_after = f64::NAN;
        while back.elapsed() < BACK {
            let is_here = |id: &EventId| ours.reader.seen_at(*id).is_some();
            if level_after.is_nan() && published.iter().all(is_here) {
                level_after = back.elapsed().as_secs_f64();
            }
            thread::sleep(Duration::from_millis(50));
        }
        let missing = ours.missing(&published);
        late += missing;
        let lacks = router.missing(&published);
        router_lacks.push(lacks as f64);
        while ours.missing(&published) > 0 && back.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(500));
            level_after = back.elapsed().as_secs_f64();
        }
        until_level.push(level_after);
        lost += ours.missing(&published);
        all.extend(published);
        let manner = if manner == Manner::Broken {
            "broken"
        } else {
            "silent"
        };
        println!(
            "| {round} | {} s | {manner} | {missing} | {level_after:.1} s | {lacks} of {count} |",
            time.as_secs()
        );
        if missing > 0 {
            eprintln!("{}", ours.log());
        }
    }
    until_level.sort_by(f64::total_cmp);
    router_lacks.sort_by(f64::total_cmp);
    println!("\n| {rounds} cuts, {count} events each, {PEERS} peers | ours | `strfry router` |");
    println!("|---|---|---|");
    println!(
        "| missing 10 s after the connections are back | {late} (at most 0) | {:.0} in the median |",
        quantile(&router_lacks, 0.5)
    );
    println!("| missing 2 minutes after | {lost} | |");
    println!(
        "| level again after, median / longest | {:.1} / {:.1} s | |",
        quantile(&until_level, 0.5),
        quantile(&until_level, 1.0)
    );
    println!(
        "| missing at the end | {} of {} | {} |",
        ours.missing(&all),
        all.len(),
        router.missing(&all)
    );
}
