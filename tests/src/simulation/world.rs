//! The stations, and what happens to them in the course of time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use constellation_sync::testing::peer_history::{self, PeerHistory, PeerOutcome, Reach};
use constellation_sync::testing::schedule::{self, Decision, MOST_DELAY, Schedule, TimeOfDay};
use constellation_sync::testing::selection::{Candidate, Identity, Selection};
use fastrand::Rng;

use super::absences::Absences;
use super::events::Events;
use super::measure::Measures;

/// When the simulation begins, Unix seconds: the beginning of an hour.
pub const BEGIN: u64 = 1_800_000_000;

/// Seconds.
pub const HOUR: u64 = 3600;

/// How many peers a station asks at a time, and for how long, in seconds.
const AT_ONCE: usize = 2;
const TURN: u64 = 5;

/// For how long a station is off at a time, in seconds: 6 h give or take 4.
const OFF: std::ops::Range<u64> = 2 * HOUR..10 * HOUR;

/// How far back stations ask.
const REACH: Reach = Reach {
    days: 1,
    most_days: 30,
};

/// What is simulated.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name in tables.
    pub name: String,
    /// How many folders of stations there are.
    pub stations: usize,
    /// This share of them is of stations that are gone for good.
    pub dead: f64,
    /// How many peers each asks in a run.
    pub peers: usize,
    /// This share of the others is off at any time.
    pub off: f64,
    /// This share of connections fails.
    pub failing: f64,
    /// So many stations are cut off for 30 hours and have an event published meanwhile.
    pub cut_off: usize,
    /// How many events an hour are followed, of all there are.
    pub events: usize,
    /// How many hours pass before measuring begins, and how many are measured.
    pub hours: (u64, u64),
    /// Where all chance comes from.
    pub seed: u64,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            name: "1,000 stations".to_owned(),
            stations: 1000,
            dead: 0.0,
            peers: 8,
            off: 0.01,
            failing: 0.02,
            cut_off: 0,
            events: 300,
            hours: (12, 24),
            seed: 1,
        }
    }
}

/// One station.
struct Station {
    identity: Identity,
    schedule: Schedule,
    is_dead: bool,
    is_off: bool,
    peers: BTreeMap<u32, PeerHistory>,
    runs: schedule::TriggerHistory,
    run: Option<Run>,
    run_count: usize,
}

/// A run that is under way.
struct Run {
    begin: u64,
    choice: Selection,
    queue: VecDeque<u32>,
    turns: Vec<(u32, PeerOutcome)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Return,
    Leave,
    /// Look whether a run is due.
    Look,
    /// The time for which [`Step::Look`] decided.
    Start,
    Ask,
}

/// All of them.
pub struct World {
    scenario: Scenario,
    stations: Vec<Station>,
    /// All stations as candidates that nothing is known of.
    strangers: Vec<Candidate>,
    events: Events,
    absences: Absences,
    steps: BinaryHeap<Reverse<(u64, u32, Step)>>,
    chance: Rng,
    measures: Measures,
}

impl World {
    /// At the beginning: nobody remembers anything.
    pub fn new(scenario: Scenario) -> Self {
        let mut chance = Rng::with_seed(scenario.seed);
        let count = u32::try_from(scenario.stations).unwrap_or(u32::MAX);
        let identity = |index: u32| Identity::of(&format!("station {} {index}", scenario.seed));
        let stations: Vec<Station> = (0..count)
            .map(|index| Station {
                identity: identity(index),
                schedule: Schedule {
                    interval: HOUR,
                    not_before: None,
                    phase: Some(identity(index).below(HOUR)),
                },
                is_dead: chance.f64() < scenario.dead,
                is_off: false,
                peers: BTreeMap::new(),
                runs: schedule::TriggerHistory::default(),
                run: None,
                run_count: 0,
            })
            .collect();
        let strangers = stations.iter().map(|station| Candidate {
            identity: station.identity,
            history: PeerHistory::default(),
        });
        let living: Vec<u32> = (0..count)
            .filter(|index| !stations[*index as usize].is_dead)
            .collect();
        let end = BEGIN + (scenario.hours.0 + scenario.hours.1) * HOUR;
        let mut steps = BinaryHeap::new();
        let mut cut_off = Vec::new();
        for &index in &living {
            steps.push(Reverse((BEGIN, index, Step::Look)));
            if cut_off.len() < scenario.cut_off {
                // Measuring begins when they return.
                let leaves = BEGIN + (scenario.hours.0 - 30) * HOUR + chance.u64(..HOUR);
                steps.push(Reverse((leaves, index, Step::Leave)));
                steps.push(Reverse((leaves + 30 * HOUR, index, Step::Return)));
                cut_off.push((index, leaves + 60));
                continue;
            }
            let mut time = BEGIN;
            loop {
                let mean_on = 6.0 * 3600.0 * (1.0 - scenario.off) / scenario.off.max(1e-9);
                let on = -chance.f64().max(1e-12).ln() * mean_on;
                time += on as u64;
                if time >= end {
                    break;
                }
                steps.push(Reverse((time, index, Step::Leave)));
                time += chance.u64(OFF);
                steps.push(Reverse((time, index, Step::Return)));
            }
        }
        let events = Events::new(&scenario, &living, &cut_off, &mut chance);
        let measures = Measures::new(&scenario, living.len(), cut_off.len());
        Self {
            strangers: strangers.collect(),
            scenario,
            stations,
            events,
            absences: Absences::default(),
            steps,
            chance,
            measures,
        }
    }

    /// Lets the time pass.
    pub fn run(mut self) -> Measures {
        let end = BEGIN + (self.scenario.hours.0 + self.scenario.hours.1) * HOUR;
        while let Some(Reverse((now, index, step))) = self.steps.pop() {
            if now >= end {
                break;
            }
            self.events.publish_until(now, &self.absences);
            match step {
                Step::Leave => {
                    self.absences.leave(index);
                    self.stations[index as usize].is_off = true;
                }
                Step::Return => {
                    self.absences.come_back(index, now);
                    self.stations[index as usize].is_off = false;
                    self.measures.returned(index, now);
                }
                Step::Look => self.look(index, now),
                Step::Start => self.start(index, now),
                Step::Ask => self.ask(index, now),
            }
        }
        self.measures.finish(self.events.all());
        self.measures
    }

    fn look(&mut self, index: u32, now: u64) {
        let station = &self.stations[index as usize];
        let left = match station.schedule.decide(now, TimeOfDay(0), &station.runs) {
            Decision::Run { .. } => 0,
            Decision::Wait { left, .. } => left,
        };
        let delay = self.chance.u64(..=MOST_DELAY);
        let start = now + left + delay;
        self.steps.push(Reverse((start, index, Step::Start)));
    }

    fn start(&mut self, index: u32, now: u64) {
        let own = index as usize;
        let station = &mut self.stations[own];
        for (&peer, history) in &station.peers {
            self.strangers[peer as usize].history = *history;
        }
        // Nobody is a peer of its own; the last one takes its place meanwhile.
        let last = self.strangers.len() - 1;
        let itself = self.strangers.swap_remove(own);
        let choice = Selection::some(
            station.identity,
            &self.strangers,
            self.scenario.peers,
            now,
            &mut self.chance,
        );
        self.strangers.push(itself);
        self.strangers.swap(own, last);
        for &peer in station.peers.keys() {
            self.strangers[peer as usize].history = PeerHistory::default();
        }
        station.run_count += 1;
        let first = choice.first().iter();
        let queue = first.map(|&place| peer_at(place, own, last)).collect();
        station.run = Some(Run {
            begin: now,
            choice,
            queue,
            turns: Vec::new(),
        });
        self.measures.started(now);
        self.steps.push(Reverse((now, index, Step::Ask)));
    }

    /// The next two peers have their turns.
    fn ask(&mut self, index: u32, now: u64) {
        let own = index as usize;
        let last = self.strangers.len() - 1;
        let Some(mut run) = self.stations[own].run.take() else {
            return;
        };
        let next = run.queue.len().min(AT_ONCE);
        for peer in run.queue.drain(..next).collect::<Vec<_>>() {
            let turn = self.turn(index, peer, run.begin, now);
            run.turns.push((peer, turn));
            match turn {
                PeerOutcome::Complete(_) | PeerOutcome::Partial(_) => run.choice.reached(),
                PeerOutcome::Failed | PeerOutcome::Unreached | PeerOutcome::Unfinished => {
                    if turn == PeerOutcome::Failed {
                        run.choice.reached();
                    }
                    let place = place_of(peer, own, last);
                    let other = run.choice.failed(place);
                    run.queue
                        .extend(other.map(|place| peer_at(place, own, last)));
                    if run.choice.has_no_link() {
                        run.queue.clear();
                    }
                }
            }
        }
        if !run.queue.is_empty() {
            self.stations[own].run = Some(run);
            self.steps.push(Reverse((now + TURN, index, Step::Ask)));
            return;
        }
        self.end(index, &run);
        self.steps.push(Reverse((now + TURN, index, Step::Look)));
    }

    fn end(&mut self, index: u32, run: &Run) {
        let station = &mut self.stations[index as usize];
        let failures = run
            .turns
            .iter()
            .filter(|(_, turn)| matches!(turn, PeerOutcome::Failed | PeerOutcome::Unreached));
        let failures = failures.count();
        if !station.is_off {
            self.measures.ended(run.begin, run.turns.len(), failures);
        }
        let mut known: Vec<(u32, PeerHistory)> = run
            .turns
            .iter()
            .map(|(peer, _)| (*peer, station.peers.get(peer).copied().unwrap_or_default()))
            .collect();
        let turns = known.iter_mut().zip(&run.turns);
        peer_history::settle(
            run.begin,
            turns.map(|((_, history), (_, turn))| (history, *turn)),
        );
        station.peers.extend(known);
        if failures < run.turns.len() {
            station.runs = schedule::TriggerHistory {
                last_success: Some(run.begin),
                ..schedule::TriggerHistory::default()
            };
            let spoken = station.peers.values().filter(|h| h.last_success.is_some());
            self.measures.spoke(station.run_count, spoken.count());
        } else {
            station.runs.failures += 1;
            station.runs.last_failure = run.begin;
        }
    }

    /// A station asks a peer for everything it lacks and that is young enough.
    fn turn(&mut self, index: u32, peer: u32, begin: u64, now: u64) -> PeerOutcome {
        let (own, other) = (
            &self.stations[index as usize],
            &self.stations[peer as usize],
        );
        if own.is_off || other.is_off || other.is_dead {
            return PeerOutcome::Unreached;
        }
        self.measures.served(peer, now);
        if self.chance.f64() < self.scenario.failing {
            return PeerOutcome::Unreached;
        }
        let history = own.peers.get(&peer).copied().unwrap_or_default();
        let since = history.since(begin, BEGIN, REACH);
        let brought = self
            .events
            .pull(index, peer, since, |event, holders, events| {
                self.measures
                    .arrived(event, now, holders, &self.absences, events);
            });
        PeerOutcome::Complete(brought)
    }
}

const fn peer_at(place: usize, own: usize, last: usize) -> u32 {
    let index = if place == own { last } else { place };
    index as u32
}

const fn place_of(peer: u32, own: usize, last: usize) -> usize {
    let peer = peer as usize;
    if peer == last && own != last {
        own
    } else {
        peer
    }
}
