//! Killed at any moment, the policy leaves the old or the new blacklist, and finishes later.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use constellation_tests::author::Random;
use constellation_tests::command::wait_until;
use constellation_tests::policy_program::{
    ACCEPT, Policy, key, left_beside, lines, script, wait_until_tidy,
};
use constellation_tests::{StationDir, station};

const LIST: &str = "strfry/blacklist.txt";

/// A list in the hands of a program that is killed again and again.
struct Killed {
    station: StationDir,
    random: Random,
    /// How many lines were appended so far.
    appended: u32,
}

impl Killed {
    const FRIENDS: u32 = 400;

    fn new(seed: u64) -> Self {
        let station = station!();
        // Long enough that a removal takes a moment.
        station.write(
            LIST,
            lines((0..Self::FRIENDS).chain(50_000..52_000).map(key)),
        );
        station.friends(&Vec::from_iter((0..Self::FRIENDS).map(key)));
        Self {
            station,
            random: Random(seed),
            appended: 0,
        }
    }

    fn round(&mut self, round: u32) {
        let mut policy = Policy::start(&self.station);
        // One who holds the list open all the while, and one who opens it for each line.
        let (first, last) = (self.appended, self.appended + 40);
        self.appended = last;
        let folder = self.station.strfry_dir();
        let half = first + 20;
        let mut writers =
            [(first, half, ""), (half, last, "exec >> blacklist.txt;")].map(|(from, to, hold)| {
                let line = if hold.is_empty() {
                    "echo a$i >> blacklist.txt"
                } else {
                    "echo a$i"
                };
                let text =
                    format!("{hold} i={from}; while [ $i -lt {to} ]; do {line}; i=$((i+1)); done");
                script(&folder, &text)
            });
        for number in round * 5..round * 5 + 5 {
            assert_eq!(policy.ask_key(number % Self::FRIENDS), ACCEPT);
        }
        // Somewhere in a removal, or somewhere at all.
        let started = Instant::now();
        if self.random.below(3) > 0 {
            let seen = left_beside(&self.station);
            while left_beside(&self.station) == seen && started.elapsed() < Duration::from_secs(1) {
            }
        }
        let moment = Duration::from_micros(self.random.below(6000));
        let waited = Instant::now();
        while waited.elapsed() < moment {}
        policy.kill();
        self.check_whole();
        for writer in &mut writers {
            assert!(writer.wait().unwrap().success());
        }
    }

    /// Each line is one that was there, and those that stay are there in order.
    fn check_whole(&self) -> String {
        let text = self.station.read(LIST);
        let expected = lines((50_000..52_000).map(key));
        let removed: BTreeSet<String> = (0..Self::FRIENDS)
            .map(|number| key(number).to_hex())
            .collect();
        let rest: String = text
            .split_inclusive('\n')
            .filter(|line| {
                !line.starts_with('a') && !removed.contains(line.trim_end())
                    || line.len() == 65 && !removed.contains(line.trim_end())
            })
            .collect();
        assert!(
            rest == expected,
            "neither the old nor the new list, but one of {} bytes",
            text.len()
        );
        text
    }

    fn finish(self) {
        let mut policy = Policy::start(&self.station);
        wait_until_tidy(&self.station);
        for number in 0..Self::FRIENDS {
            assert_eq!(policy.ask_key(number), ACCEPT);
        }
        wait_until("all friends to leave", || {
            !self
                .station
                .read(LIST)
                .contains(&key(Self::FRIENDS - 1).to_hex())
        });
        wait_until_tidy(&self.station);
        let text = self.check_whole();
        let seen: BTreeSet<&str> = text.lines().collect();
        for number in 0..self.appended {
            assert!(
                seen.contains(format!("a{number}").as_str()),
                "a{number} is lost"
            );
        }
        for number in 0..Self::FRIENDS {
            assert!(
                !seen.contains(key(number).to_hex().as_str()),
                "{number} is still there"
            );
        }
        policy.close();
    }
}

/// So many lists, four at a time, each in the hands of a program that is killed so often.
fn kill(lists: u64, rounds: u32) {
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= lists {
                        return;
                    }
                    let mut killed = Killed::new(seed);
                    for round in 0..rounds {
                        killed.round(round);
                    }
                    killed.finish();
                }
            });
        }
    });
}

#[test]
fn a_kill_at_any_moment_leaves_a_complete_list_and_loses_nothing() {
    kill(4, 15);
}

#[test]
#[ignore = "the long form of the one above, ten minutes"]
fn two_thousand_kills_leave_a_complete_list_and_lose_nothing() {
    kill(40, 50);
}
