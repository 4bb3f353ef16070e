//! `kill -9` and signals at random moments: nothing is lost, and nothing is left behind.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use constellation_shared::{Event, EventId};
use constellation_tests::author::{Random, notes};
use constellation_tests::station::ids;
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};
use rustix::process::Signal;

use constellation_tests::sync_program::left_behind::{ended_well, wait_for_orphans};
use constellation_tests::sync_program::{
    PLAIN_KINDS, command, expect_stored, follow, paged, recent, sync_all,
};

/// What two peers have, some of it both, and a run that nothing disturbs.
struct Case {
    relays: [ScriptedRelay; 2],
    authors: Vec<Author>,
    wanted: BTreeSet<EventId>,
    /// How long the undisturbed run took.
    took: Duration,
}

impl Case {
    fn new(count: usize) -> Self {
        let authors = Author::many(10);
        let events = notes(&authors, &PLAIN_KINDS, count, recent(), 40_000);
        let slow = |behaviour| Behaviour {
            deliver_delay: Duration::from_micros(50),
            ..behaviour
        };
        // One tells what is missing, one is paged through.
        let relays = [
            ScriptedRelay::start(&events[..count * 2 / 3], slow(Behaviour::default())),
            ScriptedRelay::start(&events[count / 3..], slow(paged(500))),
        ];
        let mut case = Self {
            relays,
            authors,
            wanted: ids(&events),
            took: Duration::ZERO,
        };
        let station = case.station();
        let began = Instant::now();
        sync_all(&station, &[]);
        case.took = began.elapsed();
        assert_eq!(station.stored_ids(), case.wanted);
        case
    }

    fn station(&self) -> StationDir {
        let station = station!();
        let [one, other] = &self.relays;
        follow(&station, &self.authors, &[&one.url(), &other.url()]);
        station
    }

    /// A moment of a run, from its first instruction to a little after its end.
    fn moment(&self, random: &mut Random) -> Duration {
        let most = self.took.as_micros() as u64 * 11 / 10;
        Duration::from_micros(random.below(most))
    }

    /// The database after this many kills, some of them of one and the same run's
    /// successors, and a run to the end.
    fn kill(&self, seed: u64) {
        let mut random = Random(seed);
        let station = self.station();
        for _ in 0..1 + random.below(3) {
            let mut running = command(&station, &[]).spawn();
            thread::sleep(self.moment(&mut random));
            running.signal(Signal::KILL);
            running.wait();
            // Sometimes the next begins while strfry still stores what it was given.
            if random.below(2) == 0 {
                wait_for_orphans(&station);
            }
        }
        let output = command(&station, &[]).output();
        output.expect_code(0);
        wait_for_orphans(&station);
        let stored = station.stored_ids();
        let (lost, surplus) = (
            self.wanted.difference(&stored).count(),
            stored.difference(&self.wanted).count(),
        );
        assert_eq!((lost, surplus), (0, 0), "lost, surplus with seed {seed}");
        ended_well(&station, &output);
    }
}

/// Kills until so many were killed, several stations at a time.
fn kill_often(kills: usize, events: usize) {
    let case = Case::new(events);
    let begin = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = begin.as_nanos() as u64;
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let turn = next.fetch_add(1, Ordering::SeqCst);
                    if turn >= kills {
                        return;
                    }
                    case.kill(seed.wrapping_add(turn as u64));
                }
            });
        }
    });
    println!(
        "{kills} stations, each killed one to three times at random moments of {:?}, {events} events: nothing lost",
        case.took
    );
}

#[test]
fn killed_at_random_moments_nothing_is_lost() {
    kill_often(8, 1500);
}

#[test]
#[ignore = "a minute or two"]
fn killed_200_times() {
    kill_often(200, 6000);
}

#[test]
fn signals_at_random_moments_end_it() {
    let case = Case::new(1500);
    let begin = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut random = Random(begin.as_nanos() as u64);
    thread::scope(|scope| {
        for turn in 0..10 {
            let moment = case.moment(&mut random);
            let case = &case;
            scope.spawn(move || {
                let station = case.station();
                let signal = [Signal::TERM, Signal::INT][turn % 2];
                let mut running = command(&station, &[]).spawn();
                thread::sleep(moment);
                running.signal(signal);
                let began = Instant::now();
                let output = running.wait();
                assert!(began.elapsed() < Duration::from_secs(20), "{output}");
                match output.status.code() {
                    // By the signal, before it had taken anything into its hands; or done.
                    None | Some(0) => {}
                    code => assert_eq!(code, Some(130), "after {moment:?}\n{output}"),
                }
                ended_well(&station, &output);
                sync_all(&station, &[]);
                assert_eq!(station.stored_ids(), case.wanted);
            });
        }
    });
}

/// What a run leaves is there to the next one: here all that came in before.
#[test]
fn what_had_come_before_a_kill_is_not_asked_for_again() {
    let authors = Author::many(5);
    let events: Vec<Event> = notes(&authors, &PLAIN_KINDS, 600, recent(), 3000);
    let relay = ScriptedRelay::start(&events, Behaviour::default());
    let station = station!();
    follow(&station, &authors, &[&relay.url()]);
    station.import(&events[..500]);
    sync_all(&station, &[]);
    expect_stored(&station, &events);
    assert_eq!(relay.events_sent(), 100);
}
