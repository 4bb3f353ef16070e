//! Eight peers at which nothing happens: how much of a processor, and how much memory, does it take to
//! follow them, for 5,000 and for 100,000 keys?

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use constellation_shared::Pubkey;
use constellation_tests::author::Random;
use constellation_tests::real_relay::RealRelay;
use constellation_tests::sync_program::children::children;

use super::Bench;
use super::kept::{Keeper, Kept, peers, wait_until_followed};
use super::latency::PEERS;

/// How many keys, and what is allowed for them: percent of a core, and megabytes.
const BOUNDS: [(usize, f64, f64); 2] = [(5_000, 0.5, 32.0), (100_000, 1.0, 64.0)];

/// How long to wait before it is quiet: the first backfill is over, and what it moved is forgotten.
const BEFORE: Duration = Duration::from_secs(20);

pub(crate) fn measure(bench: &Bench) {
    let time = Duration::from_secs(bench.either(60, 600));
    let peers = peers(PEERS);
    let urls: Vec<String> = peers.iter().map(RealRelay::url).collect();
    println!(
        "\n| {PEERS} quiet peers, {} s | measured | at most |",
        time.as_secs()
    );
    println!("|---|---|---|");
    for (count, most_percent, most_memory) in BOUNDS {
        let keys = with_strangers(bench.keys(), count);
        let ours = Kept::start(Keeper::Ours(&bench.program), &keys, &urls);
        wait_until_followed(&[&ours], &peers, &bench.authors[0]);
        thread::sleep(BEFORE);
        let pid = ours.pid();
        let child = children(pid).first().copied();
        let took = |pid: Option<u32>| pid.map_or(0.0, processor);
        let (began, own, import) = (Instant::now(), took(Some(pid)), took(child));
        thread::sleep(time);
        let seconds = began.elapsed().as_secs_f64();
        let percent = |before: f64, pid| (took(pid) - before) / seconds * 100.0;
        let (own, import) = (percent(own, Some(pid)), percent(import, child));
        let megabytes = |field| memory(pid, field);
        println!("| {count} keys: ours | {own:.2} % | {most_percent} % |");
        println!("| {count} keys: its `strfry import` | {import:.2} % | |");
        println!(
            "| {count} keys: memory of ours, peak | {:.1} MB | {most_memory} MB |",
            megabytes("VmHWM:")
        );
        println!(
            "| {count} keys: memory of ours, at the end | {:.1} MB | |",
            megabytes("VmRSS:")
        );
        println!(
            "| {count} keys: of it, of its own | {:.1} MB | |",
            megabytes("RssAnon:")
        );
    }
}

/// So many keys, these among them.
fn with_strangers(mut keys: Vec<Pubkey>, count: usize) -> Vec<Pubkey> {
    let mut random = Random(count as u64);
    while keys.len() < count {
        let mut bytes = [0; 32];
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&random.next_u64().to_be_bytes());
        }
        keys.push(Pubkey::from_bytes(bytes));
    }
    keys
}

/// How much processor time a process has taken, in seconds.
fn processor(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name of the program, which may hold blanks.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let fields = fields.split_whitespace().skip(11).take(2);
    let ticks: f64 = fields.filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / 100.0
}

/// How much memory a process has, or had at most, in megabytes.
fn memory(pid: u32, field: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let value = status.lines().find_map(|line| line.strip_prefix(field));
    let kilobytes = value.and_then(|value| value.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or(f64::NAN) / 1024.0
}
