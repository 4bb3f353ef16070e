//! Whole programs, timed.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use constellation_shared::{Event, Pubkey};
use constellation_tests::StationDir;
use serde_json::Value;

/// What one run took.
#[derive(Clone, Copy, Default)]
pub(crate) struct Measured {
    pub(crate) seconds: f64,
    /// Its own peak, its children's not counted.
    pub(crate) megabytes: f64,
    /// What the peers sent, and what they were sent.
    pub(crate) bytes: f64,
    /// Whether the authors were named to a peer.
    pub(crate) by_authors: bool,
}

/// What several runs of one thing took.
#[derive(Default)]
pub(crate) struct Row(Vec<Measured>);

impl Row {
    pub(crate) fn add(&mut self, measured: Measured) {
        self.0.push(measured);
    }

    /// The median of one of the figures.
    pub(crate) fn median(&self, figure: impl Fn(&Measured) -> f64) -> Option<f64> {
        let mut sorted: Vec<f64> = self.0.iter().map(figure).collect();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied()
    }

    pub(crate) fn seconds(&self) -> Option<f64> {
        self.median(|run| run.seconds)
    }

    pub(crate) fn print(&self, name: &str) {
        let Some(seconds) = self.seconds() else {
            return;
        };
        let megabytes = self.median(|run| run.megabytes).unwrap_or_default();
        let kilobytes = self.median(|run| run.bytes).unwrap_or_default() / 1000.0;
        println!("| {name} | {seconds:.2} | {kilobytes:.1} kB | {megabytes:.0} MB |");
    }
}

/// Ours, as it is shipped.
pub(crate) struct Ours {
    pub(crate) program: PathBuf,
    pub(crate) keys: Vec<Pubkey>,
}

impl Ours {
    /// A station that follows the keys and holds these events.
    pub(crate) fn station(&self, held: &[Event]) -> StationDir {
        let station = StationDir::new(env!("CARGO_BIN_EXE_demo"));
        station.friends(&self.keys);
        if !held.is_empty() {
            station.import(held);
        }
        station
    }

    /// A run that ends well.
    pub(crate) fn run(&self, station: &StationDir, urls: &str, options: &[&str]) -> Measured {
        let mut command = Command::new(&self.program);
        command
            .arg("--zen")
            .arg(station.root())
            .args(["--json", "--no-profiles", "--no-fallback", "--peer", urls])
            .args(options);
        let (measured, output) = measure(&mut command, "");
        let report: Value = serde_json::from_str(&output).unwrap();
        assert_eq!(report["exit_code"], 0, "{report}");
        let peers = report["peers"].as_array().unwrap();
        Measured {
            bytes: ["bytes", "bytes_sent"]
                .iter()
                .flat_map(|field| peers.iter().filter_map(|peer| peer[*field].as_f64()))
                .sum(),
            by_authors: peers.iter().any(|peer| peer["by_authors"] == true),
            ..measured
        }
    }
}

/// Runs a command; what it took, and its stdout.
pub(crate) fn measure(command: &mut Command, input: &str) -> (Measured, String) {
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
    let measured = Measured {
        seconds: start.elapsed().as_secs_f64(),
        megabytes: peak,
        bytes: 0.0,
        by_authors: false,
    };
    (measured, output)
}

fn high_water(child: &Child) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1024.0)
}
