//! Asked without end, while the lists change, the policy does not grow.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use constellation_tests::command::wait_until;
use constellation_tests::policy_program::{
    ACCEPT, Policy, key, lines, request, run_script, wait_until_tidy,
};
use constellation_tests::{StationDir, station};

/// How many requests are written before their answers are read.
const BATCH: u64 = 1000;

/// What it may hold more than at the first look: what is under way at that moment.
const GROWTH: Held = Held {
    kilobytes: 4096,
    descriptors: 12,
    threads: 0,
};

/// What a process holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    kilobytes: u64,
    descriptors: u64,
    threads: u64,
}

impl Held {
    fn by(process: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let word = line.and_then(|line| line.split_whitespace().next());
            word.and_then(|word| word.parse().ok()).unwrap()
        };
        Self {
            kilobytes: number("VmRSS:"),
            descriptors: fs::read_dir(format!("/proc/{process}/fd")).unwrap().count() as u64,
            threads: number("Threads:"),
        }
    }

    #[track_caller]
    fn check(self, first: Self) {
        let grown = self.kilobytes > first.kilobytes + GROWTH.kilobytes
            || self.descriptors > first.descriptors + GROWTH.descriptors
            || self.threads > first.threads + GROWTH.threads;
        assert!(!grown, "{first:?}, and later {self:?}");
    }
}

/// The changes of a station in an hour, one after the other.
fn change(station: &StationDir, number: u32) {
    let folder = station.strfry_dir();
    match number % 5 {
        // A thousand blocked keys, the first hundred of them friends, who leave.
        0 => {
            fs::write(folder.join("new"), lines((0..1000).map(key))).unwrap();
            fs::rename(folder.join("new"), station.paths().blacklist()).unwrap();
        }
        1 => run_script(&folder, "echo \"# remark\" >> blacklist.txt"),
        2 => run_script(&folder, "sort -u -o blacklist.txt blacklist.txt"),
        3 => station.friends(&Vec::from_iter((0..100 + number % 7).map(key))),
        _ => station.peer_friends("12D3KooA", &[key(number)]),
    }
}

/// Told when it is over, also by a panic.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn ask(count: u64, looks: u64, print: bool) {
    let station = station!();
    change(&station, 0);
    let mut policy = Policy::start(&station);
    let batch: String = (0..BATCH as u32)
        .map(|number| request(&number.to_string(), &key(number * 2).to_hex()) + "\n")
        .collect();
    let done = AtomicBool::new(false);
    let started = Instant::now();
    let changes = thread::scope(|scope| {
        let changing = scope.spawn(|| {
            let mut number = 0;
            while !done.load(Ordering::Relaxed) {
                number += 1;
                change(&station, number);
                thread::sleep(Duration::from_millis(50));
            }
            number
        });
        let over = Over(&done);
        let mut first = None;
        for asked in 1..=count / BATCH {
            policy.write(&batch);
            for number in 0..BATCH {
                let answer = policy.answer();
                let id = format!("{{\"id\":\"{number}\",\"action\":");
                assert!(answer.starts_with(&id), "{number}: {answer}");
            }
            if asked % (count / BATCH / looks) == 0 {
                let held = Held::by(policy.id());
                if print {
                    let seconds = started.elapsed().as_secs();
                    println!("{} requests, {seconds} s: {held:?}", asked * BATCH);
                }
                match first {
                    // What it never gives back it has taken by now.
                    None => first = Some(held),
                    Some(first) => held.check(first),
                }
            }
        }
        drop(over);
        changing.join().unwrap()
    });
    if print {
        println!("{changes} changes of lists");
    }
    // Before its end: on a busy machine it may end before it knows that nobody has the last list
    // that it replaced open, and leaves that to the next start.
    wait_until_tidy(&station);
    policy.close();
}

#[test]
fn two_hundred_thousand_requests_while_lists_change_leak_nothing() {
    ask(200_000, 4, false);
}

#[test]
#[ignore = "the long form of the one above, minutes; with --release --nocapture"]
fn ten_million_requests_while_lists_change_leak_nothing() {
    ask(10_000_000, 20, true);
}

fn zombies_of(process: u32) -> usize {
    let is_zombie = |folder: &Path| {
        let stat = fs::read_to_string(folder.join("stat")).unwrap_or_default();
        let rest = stat.rsplit(") ").next().unwrap_or_default().to_owned();
        rest.starts_with(&format!("Z {process} "))
    };
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes.filter(|entry| is_zombie(&entry.path())).count()
}

#[test]
fn hundreds_of_filter_runs_leak_nothing() {
    let station = station!();
    let folder = station.root().join("filter");
    station.write("filter/1.sh", "#!/bin/sh\necho said; (sleep 0.05) &\n");
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder.join("1.sh"), mode).unwrap();
    let mut policy = Policy::start_with(&station, &["--filters", folder.to_str().unwrap()]);
    for number in 0..20 {
        assert_eq!(policy.ask_key(number), ACCEPT);
    }
    let first = Held::by(policy.id());
    for number in 0..300 {
        assert_eq!(policy.ask_key(number), ACCEPT);
    }
    Held::by(policy.id()).check(first);
    wait_until("no zombie", || zombies_of(policy.id()) == 0);
    policy.close();
}
