//! The programs that are compared, and what is measured of one.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, ChildStdout};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// In which unit Linux tells CPU times, on every machine.
const TICKS_PER_SECOND: f64 = 100.0;

/// What there is to be compared with: finds the id and accepts.
pub(crate) fn echo() {
    let mut input = std::io::stdin().lock();
    let output = std::io::stdout().as_fd().try_clone_to_owned();
    let mut output = File::from(output.unwrap());
    let (mut line, mut answer) = (String::new(), String::new());
    while input.read_line(&mut line).is_ok_and(|length| length > 0) {
        let behind = line.find("\"id\":\"").map_or("", |at| &line[at + 6..]);
        let id = behind.split('"').next().unwrap_or_default();
        answer.clear();
        answer.extend(["{\"id\":\"", id, "\",\"action\":\"accept\"}\n"]);
        output.write_all(answer.as_bytes()).unwrap();
        line.clear();
    }
}

/// Rewrites a list once a second with the content of two others by turns, for ever.
pub(crate) fn rewrite(args: &[String]) {
    let [list, a, b, manner] = args else {
        panic!("rewrite LIST A B mv|in-place")
    };
    for content in [a, b].into_iter().cycle() {
        let started = Instant::now();
        if manner == "mv" {
            let beside = format!("{list}.tmp");
            fs::copy(content, &beside).unwrap();
            fs::rename(beside, list).unwrap();
        } else {
            fs::write(list, fs::read(content).unwrap()).unwrap();
        }
        thread::sleep(Duration::from_secs(1).saturating_sub(started.elapsed()));
    }
}

/// A program that is asked.
pub(crate) struct Program {
    pub(crate) child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) stdout: BufReader<ChildStdout>,
    pub(crate) answer: String,
}

impl Program {
    pub(crate) fn ask(&mut self, request: &str) -> &str {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(request.as_bytes()).unwrap();
        self.answer.clear();
        self.stdout.read_line(&mut self.answer).unwrap();
        &self.answer
    }

    /// The most memory it ever had, in MB.
    pub(crate) fn peak(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        kib.unwrap().parse::<f64>().unwrap() * 1024.0 / 1e6
    }

    pub(crate) fn end(mut self) {
        self.stdin = None;
        self.child.wait().unwrap();
    }
}

/// The CPU time of a program that has ended and was not yet waited for, in seconds.
pub(crate) fn cpu_of_ended(child: &Child) -> f64 {
    loop {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        if fields[0] == "Z" {
            let ticks = |field: usize| fields[field].parse::<u64>().unwrap() as f64;
            return (ticks(11) + ticks(12)) / TICKS_PER_SECOND;
        }
        thread::yield_now();
    }
}

pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

pub(crate) fn row(what: &str, figure: &str, limit: &str) {
    println!("{what:<66} {figure:>28}   {limit}");
}

/// Keeps what follows, and the programs it starts, on one core; returns what was before.
pub(crate) fn pin() -> CpuSet {
    let before = sched_getaffinity(None).unwrap();
    let mut one = CpuSet::new();
    let last = (0..CpuSet::MAX_CPU).rev().find(|&cpu| before.is_set(cpu));
    one.set(last.unwrap());
    sched_setaffinity(None, &one).unwrap();
    before
}

pub(crate) fn unpin(before: &CpuSet) {
    sched_setaffinity(None, before).unwrap();
}
