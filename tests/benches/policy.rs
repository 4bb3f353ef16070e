//! How fast and how small the policy is, beside a minimal echo program measured in the
//! same run: `cargo bench -p constellation-tests --bench policy`. About two minutes; names
//! behind `--` choose among its parts: `ping-pong`, `filters`, `piped`, `start`, `relay` (with a real
//! strfry in the variable STRFRY), `rewriting`.
//!
//! All data is temporary. What is printed are medians; a ratio is the median of the
//! ratios of runs made in turn, so that it holds where the machine's speed drifts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench prints its table, and what goes wrong ends it"
)]

#[path = "policy/programs.rs"]
mod programs;
#[path = "policy/relay.rs"]
mod relay;

use std::fs::{self, File};
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use constellation_tests::author::Random;
use programs::{Program, cpu_of_ended, echo, median, pin, rewrite, row, unpin};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// How often each figure is measured.
const RUNS: usize = 7;

/// How many requests make a run of ping-pong.
const PINGS: usize = 20_000;

/// How many requests are piped through in one go.
const PIPED: usize = 200_000;

/// For how long answers are timed while a list is rewritten, and at which pace.
const REWRITING: (Duration, Duration) = (Duration::from_secs(8), Duration::from_micros(500));

fn main() {
    let args: Vec<String> = std::env::args().collect();
    match args.get(1).map(String::as_str) {
        Some("echo") => echo(),
        Some("rewrite") => rewrite(&args[2..]),
        _ => bench(&args[1..]),
    }
}

/// A station with lists in it, and the programs to measure.
struct Bench {
    dir: tempfile::TempDir,
    policy: PathBuf,
    random: Random,
    requests: Vec<String>,
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A list of so many keys, which were never seen before.
    fn write(&mut self, name: &str, count: usize) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let random = &mut self.random;
        let text: String = (0..count).map(|_| random.hex() + "\n").collect();
        fs::write(path, text).unwrap();
    }

    /// The lists of a station; where they were just written, the first look takes longer.
    fn lists(&mut self, blocked: usize, friends: usize) {
        self.write("strfry/blacklist.txt", blocked);
        self.write("strfry/amisOfAmis.txt", friends);
        thread::sleep(Duration::from_millis(200));
    }

    fn command(&self, echo: bool) -> Command {
        if echo {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.arg("echo");
            return command;
        }
        let mut command = Command::new(&self.policy);
        // Half lines are to be found while a list is rewritten.
        command.args(["--log", "off", "--zen"]).arg(self.dir.path());
        command
    }

    fn start(&self, echo: bool) -> Program {
        Self::spawn(self.command(echo))
    }

    fn spawn(mut command: Command) -> Program {
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.unwrap();
        Program {
            stdin: child.stdin.take(),
            stdout: BufReader::new(child.stdout.take().unwrap()),
            child,
            answer: String::new(),
        }
    }

    /// Microseconds from a request to its answer, on average.
    fn ping_pong(&self, program: &mut Program) -> f64 {
        let started = Instant::now();
        for request in self.requests.iter().cycle().take(PINGS) {
            program.ask(request);
        }
        started.elapsed().as_secs_f64() * 1e6 / PINGS as f64
    }

    fn ping_pong_rows(&mut self) {
        for blocked in [1, 10_000, 1_000_000] {
            self.lists(blocked, 0);
            let before = pin();
            let (mut policy, mut echo) = (self.start(false), self.start(true));
            policy.ask(&self.requests[0]);
            echo.ask(&self.requests[0]);
            let (mut times, mut echoes, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..RUNS {
                times.push(self.ping_pong(&mut policy));
                echoes.push(self.ping_pong(&mut echo));
                ratios.push(times[times.len() - 1] / echoes[echoes.len() - 1]);
            }
            policy.end();
            echo.end();
            unpin(&before);
            let (time, echo) = (median(times), median(echoes));
            row(
                &format!("ping-pong on one core, {blocked} blocked"),
                &format!("{time:.2} µs, echo {echo:.2} µs, {:.2} x", median(ratios)),
                "1.15 x",
            );
        }
    }

    /// Filters of other kinds, and none, and the rule for strangers, beside the same without options.
    /// The author is a friend, so that every event is accepted.
    fn filters_rows(&mut self) {
        self.lists(10_000, 10_000);
        let friends = self.path("strfry/amisOfAmis.txt");
        let mut text = fs::read_to_string(&friends).unwrap();
        text.push_str(&("77".repeat(32) + "\n"));
        fs::write(friends, text).unwrap();
        thread::sleep(Duration::from_millis(200));
        fs::create_dir(self.path("empty")).unwrap();
        fs::create_dir(self.path("others")).unwrap();
        for kind in 40_000..40_017 {
            let filter = self.path(&format!("others/{kind}.sh"));
            fs::write(&filter, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&filter, fs::Permissions::from_mode(0o755)).unwrap();
        }
        for (folder, rule) in [
            ("empty", "accept"),
            ("others", "accept"),
            ("others", "filters"),
        ] {
            let before = pin();
            let mut without = self.start(false);
            let mut command = self.command(false);
            command.arg("--filters").arg(self.path(folder));
            command.args(["--strangers", rule]);
            let mut with = Self::spawn(command);
            let mut ratios = Vec::new();
            let mut times = Vec::new();
            for _ in 0..2 * RUNS {
                let time = self.ping_pong(&mut without);
                times.push(self.ping_pong(&mut with));
                ratios.push(times[times.len() - 1] / time);
            }
            assert!(with.ask(&self.requests[0]).contains("accept"));
            with.end();
            without.end();
            unpin(&before);
            row(
                &format!("the same with --filters, {folder}, --strangers {rule}"),
                &format!("{:.2} µs, {:.2} x without", median(times), median(ratios)),
                "1.02 x",
            );
        }
    }

    /// CPU microseconds a line, of all requests from a file or through a pipe.
    fn piped(&self, echo: bool, file: &Path, pipe: bool) -> f64 {
        let mut command = self.command(echo);
        command.stdout(Stdio::piped());
        let mut source = File::open(file).unwrap();
        match pipe {
            true => command.stdin(Stdio::piped()),
            false => command.stdin(source.try_clone().unwrap()),
        };
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take();
        let writer = thread::spawn(move || {
            let mut piece = vec![0; 128 * 1024];
            if let Some(mut stdin) = stdin {
                while let Ok(length @ 1..) = source.read(&mut piece) {
                    stdin.write_all(&piece[..length]).unwrap();
                }
            }
        });
        let mut answers = Vec::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_end(&mut answers)
            .unwrap();
        writer.join().unwrap();
        assert_eq!(answers.iter().filter(|&&byte| byte == b'\n').count(), PIPED);
        let cpu = cpu_of_ended(&child);
        child.wait().unwrap();
        cpu * 1e6 / PIPED as f64
    }

    fn piped_rows(&mut self) {
        self.lists(100, 100);
        let file = self.path("requests");
        let text: String = self
            .requests
            .iter()
            .map(String::as_str)
            .cycle()
            .take(PIPED)
            .collect();
        let bytes = text.len() / PIPED;
        fs::write(&file, text).unwrap();
        for (name, pipe) in [("a file", false), ("a pipe", true)] {
            let (mut policy, mut echo) = (Vec::new(), Vec::new());
            for _ in 0..RUNS {
                policy.push(self.piped(false, &file, pipe));
                echo.push(self.piped(true, &file, pipe));
            }
            row(
                &format!("{PIPED} lines of {bytes} bytes from {name}, CPU a line"),
                &format!("{:.2} µs, echo {:.2} µs", median(policy), median(echo)),
                "1 µs",
            );
        }
    }

    /// Milliseconds from start to the first answer, and the peak of memory then.
    fn first_answer(&self, command: Command) -> (f64, f64) {
        let started = Instant::now();
        let mut program = Self::spawn(command);
        program.ask(&self.requests[0]);
        let time = started.elapsed().as_secs_f64() * 1e3;
        let peak = program.peak();
        program.end();
        (time, peak)
    }

    fn start_rows(&mut self) {
        for (blocked, friends, limit) in [
            (100, 100, "3 ms"),
            (10_000, 1_000_000, "150 ms, 16 MB"),
            (1_000_000, 0, "300 ms, 64 MB"),
        ] {
            self.lists(blocked, friends);
            let runs = (0..3 * RUNS).map(|_| self.first_answer(self.command(false)));
            let (times, peaks): (Vec<f64>, Vec<f64>) = runs.unzip();
            row(
                &format!("start to first answer, {blocked} blocked, {friends} friends"),
                &format!("{:.1} ms, {:.1} MB", median(times), median(peaks)),
                limit,
            );
        }
        self.lists(10_000, 1_000_000);
        let strict = || {
            let mut command = self.command(false);
            command.args(["--strangers", "filters"]);
            command
        };
        let runs = (0..3 * RUNS).map(|_| self.first_answer(strict()));
        let (times, peaks): (Vec<f64>, Vec<f64>) = runs.unzip();
        row(
            "the same, 10000 blocked, 1000000 friends, --strangers filters",
            &format!("{:.1} ms, {:.1} MB", median(times), median(peaks)),
            "64 MB",
        );
        let mut program = Self::spawn(strict());
        program.ask(&self.requests[0]);
        for _ in 0..5 {
            self.write("strfry/amisOfAmis.txt", 1_000_000);
            thread::sleep(Duration::from_secs(2));
        }
        row(
            "the same, after its friends were replaced five times",
            &format!("{:.1} MB", program.peak()),
            "64 MB",
        );
        program.end();
        let echo = (0..3 * RUNS)
            .map(|_| self.first_answer(self.command(true)).0)
            .collect();
        row(
            "start to first answer, echo",
            &format!("{:.1} ms", median(echo)),
            "",
        );
    }

    /// Answers at a steady pace while a list of a million lines is rewritten each second.
    fn rewriting(&mut self, list: &str, manner: &str, pinned: bool) {
        // Keys 0 and 1 are blocked by one content of the list and not by the other.
        self.lists(10_000, 0);
        let probe = |number: usize| format!("{:064x}\n", 1 + number);
        self.write("a", 1_000_000);
        self.write("b", 1_000_000);
        let append = |name: &str, text: &str| {
            let file = fs::OpenOptions::new().append(true).open(self.path(name));
            file.unwrap().write_all(text.as_bytes()).unwrap();
        };
        append("a", &probe(0));
        append("strfry/blacklist.txt", &probe(0));
        let before = sched_getaffinity(None).unwrap();
        if pinned {
            pin();
        }
        let mut command = self.command(false);
        command
            .arg("--no-remove")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut program = Program {
            stdin: child.stdin.take(),
            stdout: BufReader::new(child.stdout.take().unwrap()),
            child,
            answer: String::new(),
        };
        let request = |pubkey: &str| self.requests[0].replace(&"77".repeat(32), pubkey);
        let asked = request(probe(0).trim());
        program.ask(&asked);
        // The script that rewrites is somebody else's, and not on our core.
        let driver = sched_getaffinity(None).unwrap();
        let mut others = before;
        if pinned && before.count() > 1 {
            (0..CpuSet::MAX_CPU)
                .filter(|&cpu| driver.is_set(cpu))
                .for_each(|cpu| others.unset(cpu));
        }
        sched_setaffinity(None, &others).unwrap();
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .arg("rewrite")
            .args([list, "a", "b"].map(|name| self.path(name)))
            .arg(manner)
            .spawn()
            .unwrap();
        sched_setaffinity(None, &driver).unwrap();
        // Asked in turn, the echo shows how much of it is the machine's.
        let mut echo = self.start(true);
        let (mut times, mut echoes, mut changes, mut last) = (Vec::new(), Vec::new(), 0, false);
        let started = Instant::now();
        while started.elapsed() < REWRITING.0 {
            let at = Instant::now();
            let rejected = program.ask(&asked).contains("reject");
            times.push(at.elapsed().as_secs_f64() * 1e3);
            changes += u32::from(rejected != last);
            last = rejected;
            thread::sleep(REWRITING.1);
            let at = Instant::now();
            echo.ask(&asked);
            echoes.push(at.elapsed().as_secs_f64() * 1e3);
            thread::sleep(REWRITING.1);
        }
        let peak = program.peak();
        program.end();
        writer.kill().unwrap();
        writer.wait().unwrap();
        unpin(&before);
        echo.end();
        let slowest = |mut times: Vec<f64>| {
            times.sort_by(f64::total_cmp);
            (times[times.len() * 999 / 1000], times[times.len() - 1])
        };
        let ((p999, most), (echo, _)) = (slowest(times), slowest(echoes));
        let cores = if pinned { "one core" } else { "all cores" };
        row(
            &format!("99.9 % answered, {list} rewritten, {manner}, {cores}"),
            &format!("{p999:.2} ms, echo {echo:.2} ms"),
            &format!("5 ms   (most {most:.1} ms, {changes} changes seen, {peak:.0} MB)"),
        );
    }
}

fn bench(args: &[String]) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args([
            "build",
            "--release",
            "--quiet",
            "-p",
            "constellation-policy",
        ])
        .status();
    assert!(built.unwrap().success());
    let program = std::env::current_exe().unwrap();
    let release = program.ancestors().nth(2).unwrap();
    let mut random = Random(1);
    let content = "a sentence that somebody wrote, with \\\"quotes\\\" and é; ".repeat(3);
    let requests = (0..1000)
        .map(|_| {
            let [id, mention, a, b] = [(); 4].map(|()| random.hex());
            let pubkey = "77".repeat(32);
            format!(
                "{{\"event\":{{\"content\":\"{content}\",\"created_at\":1795341173,\"id\":\"{id}\",\
                 \"kind\":1,\"pubkey\":\"{pubkey}\",\"sig\":\"{a}{b}\",\"tags\":[[\"p\",\"{mention}\"]]}},\
                 \"receivedAt\":1795341173,\"sourceInfo\":\"127.0.0.1\",\"sourceType\":\"IP4\",\"type\":\"new\"}}\n"
            )
        })
        .collect();
    let mut bench = Bench {
        dir: tempfile::tempdir().unwrap(),
        policy: release.join("constellation-policy"),
        random,
        requests,
    };
    row("", "median", "limit");
    // Cargo adds an option of its own.
    let names = args.iter().filter(|arg| !arg.starts_with('-'));
    let wanted = |name: &str| names.clone().count() == 0 || names.clone().any(|arg| arg == name);
    if wanted("ping-pong") {
        bench.ping_pong_rows();
    }
    if wanted("filters") {
        bench.filters_rows();
    }
    if wanted("piped") {
        bench.piped_rows();
    }
    if wanted("start") {
        bench.start_rows();
    }
    if wanted("relay") {
        relay::relay_rows(&bench.policy, bench.dir.path());
    }
    for pinned in [true, false].into_iter().filter(|_| wanted("rewriting")) {
        for list in ["strfry/amisOfAmis.txt", "strfry/blacklist.txt"] {
            for manner in ["mv", "in place"] {
                bench.rewriting(list, manner, pinned);
            }
        }
    }
}
