//! What a run costs when little or nothing is missing, and when many peers hold the same:
//! wall time, bytes from the relays and peak memory, each the median of several runs.
//!
//! `cargo bench -p constellation-tests --bench level`; with `STRFRY=/path/to/strfry`, on a
//! real strfry, relay included, with `strfry sync` and `strfry import` beside it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a bench prints"
)]

use std::env;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use constellation_shared::{Event, Pubkey};
use constellation_tests::author::{Author, notes};
use constellation_tests::{Behaviour, ScriptedRelay, StationDir};
use serde_json::Value;

const EVENTS: usize = 20_000;
const AUTHORS: u64 = 100;
const RUNS: usize = 3;
const KINDS: [u16; 12] = [
    1, 6, 7, 21, 22, 1063, 1111, 30023, 30024, 30500, 30312, 30800,
];

fn main() {
    let program = release_program();
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let authors = Author::many(AUTHORS);
    let keys: Vec<Pubkey> = authors.iter().map(Author::pubkey).collect();
    let mut events = notes(&authors, &KINDS, EVENTS, now - 60, 80_000);
    events.sort_by_key(|event| event.created_at);
    let (most, _) = events.split_at(EVENTS - 100);
    let source = Source::start(&events);
    let bench = Bench { program, keys };
    let ours = |name: &str, held: &[Event], urls: &[String], options: &[&str]| {
        bench.row(name, held, urls, options)
    };
    println!(
        "| {EVENTS} events, {AUTHORS} pubkeys | seconds | bytes received | peak memory of ours |"
    );
    println!("|---|---|---|---|");
    let one = [source.url()];
    let import = source.real_import(&events);
    let sync = source.strfry_sync(&bench.keys);
    let cold = ours("cold, one peer", &[], &one, &[]);
    let walked = ours(
        "cold, one peer, paging only",
        &[],
        &one,
        &["--no-negentropy"],
    );
    let warm = ours("nothing new", &events, &one, &[]);
    let few = ours("100 new ones", most, &one, &[]);
    let relays: Vec<ScriptedRelay> = (0..10)
        .map(|_| ScriptedRelay::start(&events, Behaviour::default()))
        .collect();
    let urls: Vec<String> = relays.iter().map(ScriptedRelay::url).collect();
    let single = ours("cold, one scripted peer", &[], &urls[..1], &[]);
    let ten = ours(
        "cold, ten scripted peers that hold the same",
        &[],
        &urls,
        &[],
    );
    println!();
    println!("| ratio | measured | at most |");
    println!("|---|---|---|");
    let ratio = |name: &str, a: f64, b: Option<f64>, most: f64| {
        if let Some(b) = b {
            println!("| {name} | {:.2} | {most} |", a / b);
        }
    };
    ratio("cold : `strfry sync`", cold.0, sync, 0.35);
    ratio("cold : `strfry import --no-verify`", cold.0, import, 1.5);
    ratio("paging : reconciliation", walked.0, Some(cold.0), 1.5);
    ratio("ten peers : one, bytes", ten.1, Some(single.1), 1.1);
    ratio("ten peers : one, time", ten.0, Some(single.0), 1.2);
    println!("| nothing new, seconds | {:.2} | 0.3 |", warm.0);
    println!("| nothing new, kB | {:.1} | 50 |", warm.1 / 1000.0);
    println!("| 100 new, seconds | {:.2} | 0.5 |", few.0);
    println!("| 100 new, kB | {:.1} | 200 |", few.1 / 1000.0);
}

fn release_program() -> PathBuf {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "-p", "constellation-sync"])
        .status();
    assert!(built.is_ok_and(|status| status.success()));
    // <target>/release/deps/level-… -> <target>/release
    let folder = env::current_exe().unwrap();
    folder
        .ancestors()
        .nth(2)
        .unwrap()
        .join("constellation-sync")
}

struct Bench {
    program: PathBuf,
    keys: Vec<Pubkey>,
}

impl Bench {
    /// Medians of seconds and bytes.
    fn row(&self, name: &str, held: &[Event], urls: &[String], options: &[&str]) -> (f64, f64) {
        let mut seconds = Vec::new();
        let mut bytes = Vec::new();
        let mut memory = Vec::new();
        for _ in 0..RUNS {
            let station = StationDir::new(env!("CARGO_BIN_EXE_demo"));
            station.friends(&self.keys);
            if !held.is_empty() {
                station.import(held);
            }
            // What a run learns of its peers is known to an hourly run.
            self.run(&station, urls, &["--days", "1", "--kinds", "9"]);
            let (report, wall, peak) = self.run(&station, urls, options);
            assert_eq!(report["exit_code"], 0, "{report}");
            assert_eq!(station.stored_ids().len(), EVENTS, "{name} is not complete");
            let peers = report["peers"].as_array().cloned().unwrap_or_default();
            bytes.push(
                peers
                    .iter()
                    .filter_map(|peer| peer["bytes"].as_f64())
                    .sum::<f64>(),
            );
            seconds.push(wall);
            memory.push(peak);
        }
        let (wall, bytes, memory) = (median(seconds), median(bytes), median(memory));
        println!(
            "| {name} | {wall:.2} | {:.0} kB | {memory:.0} MB |",
            bytes / 1000.0
        );
        (wall, bytes)
    }

    /// The report, wall time in seconds, peak memory in MB.
    fn run(&self, station: &StationDir, urls: &[String], options: &[&str]) -> (Value, f64, f64) {
        let start = Instant::now();
        let mut child = Command::new(&self.program)
            .arg("--zen")
            .arg(station.root())
            .args(["--json", "--no-profiles", "--peer", &urls.join(",")])
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut peak: f64 = 0.0;
        while child.try_wait().unwrap().is_none() {
            peak = peak.max(high_water(&child).unwrap_or_default());
            std::thread::sleep(Duration::from_millis(2));
        }
        let wall = start.elapsed().as_secs_f64();
        let mut output = String::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut output)
            .unwrap();
        (
            serde_json::from_str(&output).unwrap_or_default(),
            wall,
            peak,
        )
    }
}

/// The most memory that the process has had resident, in MB.
fn high_water(child: &Child) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1024.0)
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// The relay that is asked: a real strfry where there is one.
enum Source {
    Scripted(ScriptedRelay),
    /// The station is kept for as long as its relay runs.
    Real(Box<StationDir>, Child, u16),
}

impl Source {
    fn start(events: &[Event]) -> Self {
        if env::var_os("STRFRY").is_none() {
            return Self::Scripted(ScriptedRelay::start(events, Behaviour::default()));
        }
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let conf = format!(
            "db = \"./strfry-db/\"\nrelay {{ nofiles = 0\n bind = \"127.0.0.1\"\n port = {port}\n }}\n"
        );
        let station = StationDir::builder(env!("CARGO_BIN_EXE_demo"))
            .conf(&conf)
            .build();
        station.import(events);
        let relay = Command::new(station.strfry())
            .arg("relay")
            .current_dir(station.strfry_dir())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Self::Real(Box::new(station), relay, port)
    }

    fn url(&self) -> String {
        match self {
            Self::Scripted(relay) => relay.url(),
            Self::Real(_, _, port) => format!("ws://127.0.0.1:{port}"),
        }
    }

    /// Median seconds of `strfry import --no-verify` alone.
    fn real_import(&self, events: &[Event]) -> Option<f64> {
        let lines: String = events.iter().map(|event| event.to_json() + "\n").collect();
        self.time_strfry(
            "`strfry import --no-verify` alone",
            &["import", "--no-verify"],
            &lines,
        )
    }

    /// Median seconds of `strfry sync` with the same authors.
    fn strfry_sync(&self, keys: &[Pubkey]) -> Option<f64> {
        let authors: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let filter = serde_json::json!({"authors": authors}).to_string();
        let url = self.url();
        self.time_strfry(
            "`strfry sync`",
            &["sync", &url, "--dir=down", &format!("--filter={filter}")],
            "",
        )
    }

    fn time_strfry(&self, name: &str, arguments: &[&str], input: &str) -> Option<f64> {
        if matches!(self, Self::Scripted(_)) {
            return None;
        }
        let mut seconds = Vec::new();
        for _ in 0..RUNS {
            let station = StationDir::new(env!("CARGO_BIN_EXE_demo"));
            let start = Instant::now();
            let mut child = Command::new(station.strfry())
                .args(arguments)
                .current_dir(station.strfry_dir())
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            child
                .stdin
                .take()
                .unwrap()
                .write_all(input.as_bytes())
                .unwrap();
            child.wait().unwrap();
            seconds.push(start.elapsed().as_secs_f64());
            assert_eq!(station.stored_ids().len(), EVENTS);
        }
        let wall = median(seconds);
        println!("| {name} | {wall:.2} | | |");
        Some(wall)
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Self::Real(station, relay, _) = self {
            debug_assert!(station.root().exists());
            let _ = relay.kill();
            let _ = relay.wait();
        }
    }
}
