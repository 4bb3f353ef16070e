//! [`World`]: all stations in the course of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use constellation_sync::testing::coverage::Ledger;
use constellation_sync::testing::peer_history::PeerHistory;
use constellation_sync::testing::selection::Identity;
use fastrand::Rng;

use super::event_set::EventSet;
use super::fault::{Happening, What, plan};
use super::library::{Library, TOLERANCE};
use super::manners::Manners;
use super::oracle::Oracle;
use super::promises::Promises;
use super::run::{Report, Run, Surroundings};
use super::scenario::{BEGIN, HOUR, Scenario, Size};
use super::station::{Memory, Mishap, Station};
use super::violation::{Promise, Violation};

/// A run begins up to this many seconds late.
const MOST_DELAY: u64 = 120;

/// After this many broken promises there is no need to go on.
const ENOUGH: usize = 20;

/// What is counted, which shows that the simulation is not idle.
#[derive(Debug, Default, Clone, Copy)]
pub struct Figures {
    /// How many runs there were.
    pub runs: u64,
    /// How often a peer counted as complete.
    pub complete: u64,
    /// How often a peer did not.
    pub failed: u64,
    /// How often a run took the database for another one.
    pub other_databases: u64,
    /// How many events stations held in the end, all counted.
    pub held: u64,
}

impl Figures {
    /// Adds those of another simulation.
    pub const fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.complete += other.complete;
        self.failed += other.failed;
        self.other_databases += other.other_databases;
        self.held += other.held;
    }
}

/// All stations, and what is known of them.
#[derive(Debug)]
pub struct World {
    scenario: Scenario,
    /// All events.
    pub library: Library,
    stations: Vec<Station>,
    happenings: Vec<Happening>,
    runs: BinaryHeap<Reverse<(u64, usize)>>,
    oracle: Oracle,
    chance: Rng,
    /// Which promises were broken.
    pub violations: Vec<Violation>,
    /// What was counted.
    pub figures: Figures,
}

impl World {
    /// The world at the beginning.
    pub fn new(scenario: Scenario) -> Self {
        let mut chance = Rng::with_seed(scenario.seed);
        let mut happenings = plan(&scenario, &mut chance);
        let library = Library::new(&scenario, &happenings, &mut chance);
        happenings.reverse();
        let stations: Vec<Station> = (0..scenario.stations)
            .map(|number| station(&scenario, number, &mut chance))
            .collect();
        let first = stations
            .iter()
            .enumerate()
            .map(|(number, station)| Reverse((BEGIN + station.minute, number)));
        Self {
            runs: first.collect(),
            oracle: Oracle::new(scenario.stations),
            scenario,
            library,
            stations,
            happenings,
            chance,
            violations: Vec::new(),
            figures: Figures::default(),
        }
    }

    /// Lets the time pass.
    pub fn run(mut self) -> Self {
        let mut to_publish: Vec<usize> = (0..self.library.events.len()).collect();
        let published_at = |event: &usize| Reverse(self.library.events[*event].published_at);
        to_publish.sort_by_key(published_at);
        let mut is_quiet = false;
        while let Some(Reverse((now, number))) = self.runs.pop() {
            if now >= self.scenario.end() || self.violations.len() >= ENOUGH {
                break;
            }
            let happens = |happening: &mut Happening| happening.at <= now;
            while let Some(happening) = self.happenings.pop_if(happens) {
                self.happen(&happening);
            }
            while let Some(&event) = to_publish.last()
                && self.library.events[event].published_at <= now
            {
                to_publish.pop();
                self.publish(event);
            }
            if now >= self.scenario.quiet_from() && !is_quiet {
                is_quiet = true;
                self.calm(now);
            }
            self.run_station(number, now);
            let delay = self.chance.u64(..=MOST_DELAY);
            let hour = now - now % HOUR;
            let next = hour + HOUR + self.stations[number].minute + delay;
            // A run that began late does not put off the next one.
            let next = if next > now + HOUR + MOST_DELAY {
                next - HOUR
            } else {
                next
            };
            self.runs.push(Reverse((next, number)));
        }
        if self.violations.len() < ENOUGH {
            self.look_around();
        }
        self
    }

    /// An event is published at those of its stations that take it.
    fn publish(&mut self, event: usize) {
        let published = &self.library.events[event];
        for place in &published.at {
            let station = &mut self.stations[*place];
            let accepts_until = station.time(published.published_at) + TOLERANCE;
            if !station.is_off
                && station.blocked & (1 << published.author) == 0
                && published.created_at <= accepts_until
            {
                station.held.insert(event);
            }
        }
    }

    fn happen(&mut self, happening: &Happening) {
        let Happening { at, station, what } = *happening;
        match what {
            What::Replace(other) if other != station => {
                self.stations[station].held = self.stations[other].held;
            }
            What::Restore => {
                let station = &mut self.stations[station];
                station.held = station.backup;
            }
            What::Lose => {
                self.stations[station].held = EventSet::default();
            }
            _ => {}
        }
        match what {
            What::Replace(_) | What::Restore | What::Lose => self.oracle.database_changed(station),
            What::Clock(_) => self.oracle.clock_changed(station, at),
            _ => {}
        }
        strike(&mut self.stations[station], what);
    }

    /// It becomes quiet: from now on nothing goes wrong, and every second station that is off
    /// comes back.
    fn calm(&mut self, now: u64) {
        for (number, station) in self.stations.iter_mut().enumerate() {
            station.is_off &= self.chance.bool();
            if station.clock != 0 {
                self.oracle.clock_changed(number, now);
            }
            station.clock = 0;
            station.has_no_link = false;
            station.manners = Manners::Honest;
            station.moves = false;
            station.wants_fewer_kinds = false;
            station.mishap = None;
        }
    }

    fn run_station(&mut self, number: usize, now: u64) {
        let station = &mut self.stations[number];
        if station.is_off {
            return;
        }
        let is_forgotten = matches!(station.mishap, Some(Mishap::Killed | Mishap::Unwritten));
        let before = is_forgotten.then(|| station.memory.clone());
        let memory = std::mem::replace(&mut station.memory, Memory::new(&self.scenario));
        let held = std::mem::take(&mut station.held);
        let around = Surroundings {
            library: &self.library,
            stations: &self.stations,
            planning: self.scenario.planning,
        };
        let mut run = Run::new(around, number, now, held, memory);
        let report = run.run(&mut self.chance);
        let Run {
            held,
            mut memory,
            forgeries,
            ..
        } = run;
        self.figures.runs += 1;
        if let Some(report) = &report {
            self.count(report);
            let station = (number, &self.stations[number]);
            let promises = &mut memory.promises;
            let broken = self
                .oracle
                .judge(&self.library, station, &held, promises, report);
            self.violations.extend(broken);
        }
        let station = &mut self.stations[number];
        station.held = held;
        station.memory = before.unwrap_or(memory);
        station.forgeries = forgeries;
        station.mishap = None;
    }

    const fn count(&mut self, report: &Report) {
        let figures = &mut self.figures;
        figures.complete += report.claims.len() as u64;
        figures.failed += report.failures as u64;
        figures.other_databases += report.noticed_another_database as u64;
    }

    /// After the quiet hours: whether everything is where it belongs.
    fn look_around(&mut self) {
        let end = self.scenario.end();
        for (number, station) in self.stations.iter().enumerate() {
            self.figures.held += station.held.len() as u64;
            if station.is_off {
                continue;
            }
            let mut wanted = self.library.of_authors(station.followed());
            wanted.keep_range(&self.library.created(0, end - 2 * HOUR + TOLERANCE));
            wanted.subtract(&station.held);
            for &peer in &station.sees {
                let other = &self.stations[peer];
                let mut missing = wanted;
                missing.keep(&other.held);
                if other.is_off {
                    continue;
                }
                self.violations
                    .extend(missing.iter().map(|event| Violation {
                        at: end,
                        station: number,
                        peer,
                        event,
                        promise: Promise::InTheEnd,
                    }));
            }
        }
    }
}

impl Memory {
    /// Nothing is remembered.
    fn new(scenario: &Scenario) -> Self {
        Self {
            ledger: Ledger::default(),
            histories: vec![PeerHistory::default(); scenario.stations],
            promises: Promises::new(scenario.keys, scenario.stations),
        }
    }
}

/// A station at the beginning. Every second one sees all others and selects some of them in each
/// run; the others see few and ask all of them.
fn station(scenario: &Scenario, number: usize, chance: &mut Rng) -> Station {
    let name = format!("station-{number}");
    let mut sees: Vec<usize> = (0..scenario.stations)
        .filter(|other| *other != number)
        .collect();
    chance.shuffle(&mut sees);
    if chance.bool() {
        sees.truncate(chance.usize(6..=24));
    }
    let size = match chance.u8(..6) {
        0 | 1 if scenario.has_large => Size::Large,
        0..3 => Size::Medium,
        _ => Size::Small,
    };
    let listed = (0..scenario.keys).filter(|_| chance.u8(..20) < 17);
    let listed = listed.map(|key| 1 << key).sum();
    Station {
        identity: Identity::of(&name),
        name,
        minute: chance.u64(..HOUR - MOST_DELAY),
        size,
        tells_what_it_has: chance.u8(..4) > 0,
        sees,
        held: EventSet::default(),
        backup: EventSet::default(),
        listed,
        blocked: 0,
        wants_fewer_kinds: false,
        clock: 0,
        is_off: false,
        has_no_link: false,
        manners: Manners::Honest,
        moves: false,
        memory: Memory::new(scenario),
        copy: None,
        forgeries: Vec::new(),
        mishap: None,
    }
}

/// Something happens to a station, apart from what changes its database.
fn strike(station: &mut Station, what: What) {
    let set = |bits: &mut u64, key: usize, is_set: bool| {
        *bits = (*bits & !(1 << key)) | (u64::from(is_set) << key);
    };
    match what {
        What::Off(is_off) => station.is_off = is_off,
        What::BackUp => station.backup = station.held,
        What::Restore | What::Lose | What::Replace(_) => {}
        What::Clock(ahead) => station.clock = ahead,
        What::Manners(manners) => station.manners = manners,
        What::Moves(moves) => station.moves = moves,
        What::NoLink(has_no_link) => station.has_no_link = has_no_link,
        What::FewerKinds(fewer) => station.wants_fewer_kinds = fewer,
        What::Listed(key, is_listed) => set(&mut station.listed, key, is_listed),
        What::Blocked(key, is_blocked) => set(&mut station.blocked, key, is_blocked),
        What::Forget => {
            station.memory.ledger = Ledger::default();
            let histories = station.memory.histories.iter_mut();
            histories.for_each(|history| *history = PeerHistory::default());
        }
        What::CopyMemory => station.copy = Some(station.memory.clone()),
        What::RestoreMemory => {
            if let Some(copy) = &station.copy {
                station.memory = copy.clone();
            }
        }
        What::Mishap(mishap) => station.mishap = Some(mishap),
    }
}
