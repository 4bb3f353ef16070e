//! A whole backfill of 20,000 events of 100 pubkeys, from one peer and from three that hold
//! the same, beside what strfry needs for them: wall time and peak memory.
//!
//! `cargo bench -p constellation-tests --bench sync`; with `STRFRY=/path/to/strfry` the
//! peers and the station are real strfrys, and `strfry import` and `strfry sync` run beside
//! ours. The rows are measured in turn, several times over, so that a busy machine is busy
//! for all of them.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints"
)]

use std::env;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use constellation_shared::{Event, kinds};
use constellation_tests::author::{Author, notes};
use constellation_tests::{Behaviour, ScriptedRelay, StationDir};
use serde_json::Value;

const EVENTS: usize = 20_000;
const AUTHORS: u64 = 100;
const RUNS: usize = 5;

/// Seconds and megabytes of each run.
#[derive(Default)]
struct Row {
    seconds: Vec<f64>,
    megabytes: Vec<f64>,
}

fn main() {
    let program = release_program();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let authors = Author::many(AUTHORS);
    let all_kinds = kinds::KINDS.map(|kind| kind.number);
    let events = notes(
        &authors,
        &all_kinds,
        EVENTS,
        now.unwrap().as_secs() - 60,
        80_000,
    );
    let peers = [(); 3].map(|()| Peer::start(&events));
    let urls = peers.each_ref().map(Peer::url);
    let bench = Bench {
        program,
        authors,
        lines: events.iter().map(|event| event.to_json() + "\n").collect(),
    };
    let (one, three) = (urls[0].clone(), urls.join(","));
    let filter = bench.filter(&all_kinds);
    let sync = ["sync", &one, "--dir=down", &filter];
    let is_real = matches!(peers[0], Peer::Real(..));
    let mut rows: [Row; 5] = Default::default();
    for _ in 0..RUNS {
        let [import, synced, single, walked, triple] = &mut rows;
        import.add(bench.strfry(&["import", "--no-verify"], &bench.lines));
        if is_real {
            synced.add(bench.strfry(&sync, ""));
        }
        single.add(bench.ours(&one, &[]));
        walked.add(bench.ours(&one, &["--no-negentropy"]));
        triple.add(bench.ours(&three, &[]));
    }
    let [import, synced, single, walked, triple] = &rows;
    println!("| {EVENTS} events of {AUTHORS} pubkeys | seconds | peak memory |");
    println!("|---|---|---|");
    import.print("`strfry import --no-verify` alone");
    synced.print("`strfry sync`, one peer");
    single.print("`constellation-sync`, one peer");
    walked.print("`constellation-sync`, one peer without NIP-77");
    triple.print("`constellation-sync`, three peers");
    println!("\n| ratio | measured | at most |\n|---|---|---|");
    let ratio = |name: &str, of: &Row, to: &Row, most: f64| {
        if let (Some(of), Some(to)) = (median(&of.seconds), median(&to.seconds)) {
            println!("| {name} | {:.2} | {most} |", of / to);
        }
    };
    ratio("one peer : `strfry import`", single, import, 2.0);
    ratio("one peer : `strfry sync`", single, synced, 0.6);
    ratio(
        "one peer without NIP-77 : `strfry import`",
        walked,
        import,
        2.0,
    );
    ratio(
        "one peer without NIP-77 : `strfry sync`",
        walked,
        synced,
        0.6,
    );
    ratio("three peers : one", triple, single, 1.5);
    for (name, row) in [
        ("one peer", single),
        ("without NIP-77", walked),
        ("three peers", triple),
    ] {
        let memory = median(&row.megabytes).unwrap_or_default();
        println!("| peak memory, {name}, MB | {memory:.0} | 40 |");
    }
}

impl Row {
    fn add(&mut self, (seconds, megabytes): (f64, f64)) {
        self.seconds.push(seconds);
        self.megabytes.push(megabytes);
    }

    fn print(&self, name: &str) {
        if let (Some(seconds), Some(memory)) = (median(&self.seconds), median(&self.megabytes)) {
            println!("| {name} | {seconds:.2} | {memory:.0} MB |");
        }
    }
}

fn median(numbers: &[f64]) -> Option<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// The program as it is shipped, not the one that the tests link.
fn release_program() -> PathBuf {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "-p", "constellation-sync"])
        .status();
    assert!(built.is_ok_and(|status| status.success()));
    // <target>/release/deps/sync-… -> <target>/release
    let folder = env::current_exe().unwrap();
    let folder = folder.ancestors().nth(2).unwrap();
    folder.join("constellation-sync")
}

struct Bench {
    program: PathBuf,
    authors: Vec<Author>,
    lines: String,
}

impl Bench {
    fn filter(&self, kinds: &[u16]) -> String {
        let authors: Vec<String> = self.authors.iter().map(|a| a.pubkey().to_hex()).collect();
        let filter = serde_json::json!({"authors": authors, "kinds": kinds});
        format!("--filter={filter}")
    }

    /// Runs a command of strfry's on an empty database.
    fn strfry(&self, arguments: &[&str], input: &str) -> (f64, f64) {
        let station = StationDir::new(env!("CARGO_BIN_EXE_demo"));
        let mut command = Command::new(station.strfry());
        command.args(arguments).current_dir(station.strfry_dir());
        let (measured, _) = measure(&mut command, input);
        assert_eq!(station.stored_ids().len(), EVENTS, "strfry is not complete");
        measured
    }

    /// Runs ours on an empty station that knows nothing of its peers.
    fn ours(&self, urls: &str, options: &[&str]) -> (f64, f64) {
        let station = StationDir::new(env!("CARGO_BIN_EXE_demo"));
        let keys: Vec<_> = self.authors.iter().map(Author::pubkey).collect();
        station.friends(&keys);
        let mut command = Command::new(&self.program);
        command
            .arg("--zen")
            .arg(station.root())
            .args(["--json", "--no-profiles", "--no-fallback", "--peer", urls])
            .args(options);
        let (measured, output) = measure(&mut command, "");
        let report: Value = serde_json::from_str(&output).unwrap();
        assert_eq!(report["exit_code"], 0, "{report}");
        assert_eq!(
            report["import"]["events"], EVENTS,
            "each is fed once: {report}"
        );
        assert_eq!(station.stored_ids().len(), EVENTS, "ours is not complete");
        measured
    }
}

/// Runs a command; its wall time in seconds and its own peak memory in MB, its children's
/// not counted; and its stdout.
fn measure(command: &mut Command, input: &str) -> ((f64, f64), String) {
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut peak: f64 = 0.0;
    let mut output = String::new();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input.as_bytes()).unwrap());
        scope.spawn(|| stdout.read_to_string(&mut output).unwrap());
        while child.try_wait().unwrap().is_none() {
            peak = peak.max(high_water(&child).unwrap_or_default());
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    ((start.elapsed().as_secs_f64(), peak), output)
}

fn high_water(child: &Child) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1024.0)
}

/// A relay that holds the events: a real strfry where there is one.
enum Peer {
    Scripted(ScriptedRelay),
    /// The station is kept for as long as its relay runs.
    Real(
        #[expect(dead_code, reason = "its folder lasts as long as its relay runs")] Box<StationDir>,
        Child,
        u16,
    ),
}

impl Peer {
    fn start(events: &[Event]) -> Self {
        if env::var_os("STRFRY").is_none_or(|path| path.is_empty()) {
            return Self::Scripted(ScriptedRelay::start(events, Behaviour::default()));
        }
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        // Kind 4 is served, for the bench is about all events.
        let conf = format!(
            "db = \"./strfry-db/\"\nrelay {{\n    nofiles = 0\n    bind = \"127.0.0.1\"\n    \
             port = {port}\n    auth {{\n        restrictedReadKinds = \"\"\n    }}\n}}\n"
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
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Self::Real(_, relay, _) = self {
            let _ = relay.kill();
            let _ = relay.wait();
        }
    }
}
