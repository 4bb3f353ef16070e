//! The stations, and what happens to them in the course of time.

mod traffic;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use constellation_shared::EventId;
use constellation_sync::testing::links::{LinkId, Links, PollOutcome};
use constellation_sync::testing::selection::Identity;
use fastrand::Rng;

use super::bits::Bits;
use super::measure::Measures;
use super::peers::Peers;
use super::scenario::{Event, SECOND, Scenario, TAIL};

/// `strfry import` commits once in this time, in milliseconds: so long it takes at most from an
/// event's arrival until a station has it.
const COMMIT: u64 = SECOND;

/// For how long a station is cut off, in milliseconds.
const ABSENCE: std::ops::Range<u64> = 30 * SECOND..120 * SECOND;

/// A subscription at a station's relay.
struct Reader {
    station: u32,
    /// The authors whose events are not pushed, as bits.
    left_out: Vec<u64>,
}

/// One station.
struct Station {
    is_live: bool,
    is_off: bool,
    peers: Peers,
    links: Links,
    /// Stations that subscribed at its relay.
    readers: Vec<Reader>,
    /// The next time at which its links want to be asked.
    wakes_at: u64,
    /// From when until when it was off.
    absences: Vec<(u64, u64)>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Publish(u32),
    /// A station has an event in its database.
    Commit(u32, u32),
    Deliver {
        to: u32,
        from: u32,
        event: u32,
        is_pushed: bool,
    },
    /// A request of a reader comes to a peer.
    Ask {
        reader: u32,
        peer: u32,
        request: Request,
    },
    /// What a poll found comes back to the reader.
    Answer {
        reader: u32,
        peer: u32,
        events: Vec<u32>,
    },
    FetchEnd(u32, u32),
    Wake(u32),
    Leave(u32),
    Return(u32),
    /// A station without `live` syncs.
    Sync(u32),
    Rotate(u32),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Request {
    /// With the authors that are left out, as bits.
    Subscribe(Vec<u64>),
    Poll,
    Fetch(Vec<u32>),
}

/// All of them.
pub struct World {
    scenario: Scenario,
    identities: Vec<Identity>,
    stations: Vec<Station>,
    events: Vec<Event>,
    published: usize,
    /// What stations have downloaded, and what is in their databases.
    here: Bits,
    held: Bits,
    held_at: Vec<Vec<(u32, u64)>>,
    steps: BinaryHeap<Reverse<(u64, u64, Step)>>,
    count: u64,
    chance: Rng,
    measures: Measures,
    now: u64,
}

impl World {
    /// At the beginning: nobody is connected.
    pub fn new(scenario: Scenario) -> Self {
        let mut chance = Rng::with_seed(scenario.seed);
        let count = scenario.stations as u32;
        let name = |index: u32| format!("station {} {index}", scenario.seed);
        let identities: Vec<Identity> =
            (0..count).map(|index| Identity::of(&name(index))).collect();
        let stations = (0..count)
            .map(|index| Station {
                is_live: chance.f64() >= scenario.without_live,
                is_off: false,
                peers: Peers::new(index, &identities, scenario.peers, &mut chance),
                links: Links::default(),
                readers: Vec::new(),
                wakes_at: u64::MAX,
                absences: Vec::new(),
            })
            .collect();
        let events = scenario.events(&mut chance);
        let mut world = Self {
            here: Bits::new(scenario.stations, events.len()),
            held: Bits::new(scenario.stations, events.len()),
            held_at: vec![Vec::new(); events.len()],
            published: 0,
            identities,
            stations,
            events,
            steps: BinaryHeap::new(),
            count: 0,
            chance,
            measures: Measures::default(),
            now: 0,
            scenario,
        };
        world.plan();
        world
    }

    /// What happens of itself.
    fn plan(&mut self) {
        for event in 0..self.events.len() {
            self.at(self.events[event].at, Step::Publish(event as u32));
        }
        let (begin, end) = (self.scenario.begin(), self.scenario.end());
        let authors = self.scenario.authors();
        for index in 0..self.stations.len() as u32 {
            self.stations[index as usize].links.follow(authors);
            let start = self.chance.u64(..5 * SECOND);
            if self.stations[index as usize].is_live {
                self.at(start, Step::Return(index));
            } else {
                self.at(self.chance.clone().u64(..3600 * SECOND), Step::Sync(index));
                self.chance.u64(..);
            }
            if self.chance.f64() < self.scenario.failing {
                let leaves = self.chance.u64(begin..end);
                self.at(leaves, Step::Leave(index));
                self.at(
                    leaves + self.chance.clone().u64(ABSENCE),
                    Step::Return(index),
                );
                self.chance.u64(..);
            }
            if self.scenario.rotated > 0 {
                let middle = self.scenario.middle();
                let time = middle + self.chance.u64(..60 * SECOND);
                self.at(time, Step::Rotate(index));
            }
        }
    }

    fn at(&mut self, time: u64, step: Step) {
        self.count += 1;
        self.steps.push(Reverse((time, self.count, step)));
    }

    fn is_measured(&self) -> bool {
        (self.scenario.begin()..self.scenario.end()).contains(&self.now)
    }

    /// Lets the time pass.
    pub fn run(mut self) -> Measures {
        let end = self.scenario.end() + TAIL * SECOND;
        while let Some(Reverse((now, _, step))) = self.steps.pop() {
            if now >= end {
                break;
            }
            self.now = now;
            self.step(step);
        }
        self.finish()
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Publish(event) => {
                self.published += 1;
                let station = self.events[event as usize].station;
                self.here.set(station, event);
                self.commit(station, event);
            }
            Step::Commit(station, event) => self.commit(station, event),
            Step::Deliver {
                to,
                from,
                event,
                is_pushed,
            } => self.deliver(to, from, event, is_pushed),
            Step::Ask {
                reader,
                peer,
                request,
            } => self.ask(reader, peer, request),
            Step::Answer {
                reader,
                peer,
                events,
            } => {
                let lacks = |event: &u32| !self.here.has(reader, *event);
                let ids = events.iter().copied().filter(lacks).map(id_of).collect();
                let station = &mut self.stations[reader as usize];
                let outcome = PollOutcome::Missing(ids);
                station.links.polled(self.now, LinkId(peer), outcome);
                self.act(reader);
            }
            Step::FetchEnd(reader, peer) => {
                let station = &mut self.stations[reader as usize];
                station.links.fetch_ended(self.now, LinkId(peer));
                self.act(reader);
            }
            Step::Wake(station) => {
                if self.stations[station as usize].wakes_at <= self.now {
                    self.act(station);
                }
            }
            Step::Leave(station) => self.leave(station),
            Step::Return(station) => self.come(station),
            Step::Sync(station) => self.sync(station),
            Step::Rotate(station) => self.rotate(station),
        }
    }

    /// A station is cut off: all its connections are lost.
    fn leave(&mut self, index: u32) {
        let station = &mut self.stations[index as usize];
        station.is_off = true;
        station.readers.clear();
        station.absences.push((self.now, u64::MAX));
        let peers: Vec<u32> = station.peers.all().collect();
        for peer in peers {
            self.disconnect(index, peer);
        }
        for reader in 0..self.stations.len() as u32 {
            if self.stations[reader as usize]
                .links
                .is_connected(LinkId(index))
            {
                self.disconnect(reader, index);
                self.act(reader);
            }
        }
    }

    /// A station is on: it connects to its peers, and its readers connect to it.
    fn come(&mut self, index: u32) {
        let now = self.now;
        let station = &mut self.stations[index as usize];
        station.is_off = false;
        if let Some((_, end)) = station.absences.last_mut() {
            *end = now;
        }
        if station.is_live {
            let peers: Vec<u32> = station.peers.all().collect();
            for peer in peers {
                if !self.stations[peer as usize].is_off {
                    self.connect(index, peer);
                }
            }
            self.act(index);
        }
        for reader in 0..self.stations.len() as u32 {
            let other = &self.stations[reader as usize];
            let reads = other.is_live && !other.is_off && other.wakes_at < u64::MAX;
            if reads && reader != index && other.peers.all().any(|peer| peer == index) {
                self.connect(reader, index);
                self.act(reader);
            }
        }
    }

    fn connect(&mut self, reader: u32, peer: u32) {
        let links = &mut self.stations[reader as usize].links;
        if !links.is_connected(LinkId(peer)) {
            let can_be_polled = !self.scenario.all_push;
            links.connected(self.now, LinkId(peer), can_be_polled);
        }
    }

    fn disconnect(&mut self, reader: u32, peer: u32) {
        let links = &mut self.stations[reader as usize].links;
        links.disconnected(self.now, LinkId(peer));
        let readers = &mut self.stations[peer as usize].readers;
        readers.retain(|other| other.station != reader);
    }

    /// A station without `live` gets what its peers have.
    fn sync(&mut self, index: u32) {
        let peers: Vec<u32> = self.stations[index as usize].peers.all().collect();
        for peer in peers {
            let all = (0, self.published);
            for event in self.held.beyond(peer, &self.here, index, all) {
                self.here.set(index, event);
                let commit = self.now + self.chance.u64(..COMMIT);
                self.at(commit, Step::Commit(index, event));
            }
        }
        self.at(self.now + 3600 * SECOND, Step::Sync(index));
    }

    /// Some of a station's peers are exchanged.
    fn rotate(&mut self, index: u32) {
        let station = &mut self.stations[index as usize];
        if !station.is_live || station.is_off {
            return;
        }
        let most = self.scenario.rotated;
        let (leave, come) = station
            .peers
            .rotate(&self.identities, most, &mut self.chance);
        for peer in come {
            if !self.stations[peer as usize].is_off {
                self.connect(index, peer);
            }
        }
        for peer in leave {
            self.disconnect(index, peer);
        }
        self.act(index);
    }

    fn finish(mut self) -> Measures {
        let (begin, end) = (self.scenario.begin(), self.scenario.end());
        let live: Vec<bool> = self
            .stations
            .iter()
            .map(|station| station.is_live)
            .collect();
        for (number, event) in self.events.iter().enumerate() {
            if !(begin..end).contains(&event.at) || self.was_off(event.station, event.at) {
                continue;
            }
            let mut held_at = vec![None; self.stations.len()];
            for (station, at) in &self.held_at[number] {
                held_at[*station as usize] = Some(*at);
            }
            let counts = |index: &usize| live[*index] && !self.was_off(*index as u32, event.at);
            let held_at = (0..self.stations.len())
                .filter(counts)
                .map(|index| held_at[index])
                .collect();
            self.measures.add(event, held_at);
        }
        let live = live.into_iter().filter(|is_live| *is_live).count();
        self.measures.finish(&self.scenario, live);
        self.measures
    }

    /// Whether a station was off at some time between this one and two minutes later.
    fn was_off(&self, station: u32, time: u64) -> bool {
        let until = time + TAIL * SECOND;
        let absences = &self.stations[station as usize].absences;
        absences
            .iter()
            .any(|(from, to)| *from < until && *to > time)
    }
}

fn id_of(event: u32) -> EventId {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&event.to_be_bytes());
    EventId::from_bytes(bytes)
}
