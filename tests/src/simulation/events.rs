//! Who holds which events: a row of bits for each station.

use fastrand::Rng;

use super::absences::Absences;
use super::world::{BEGIN, HOUR, Scenario};

/// An event that is followed on its way.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// Where it was published.
    pub station: u32,
    /// When, Unix seconds.
    pub created_at: u64,
    /// Whether it is one of those whose station is cut off for 30 hours.
    pub is_cut_off: bool,
    /// Whether its station was off then.
    pub was_off: bool,
}

/// All events, by time, and who holds them.
#[derive(Debug)]
pub struct Events {
    events: Vec<Event>,
    published: usize,
    /// How many words of bits a station has.
    words: usize,
    held: Vec<u64>,
    holders: Vec<u32>,
}

impl Events {
    /// Half of them come from the first twentieth of the stations.
    pub fn new(
        scenario: &Scenario,
        living: &[u32],
        cut_off: &[(u32, u64)],
        chance: &mut Rng,
    ) -> Self {
        let hours = scenario.hours.0 + scenario.hours.1;
        let count = scenario.events * usize::try_from(hours).unwrap_or(0);
        // The stations that are cut off later are not the busy ones.
        let (quiet, busy) = living.split_at(living.len() - living.len().div_ceil(20));
        let mut events: Vec<Event> = (0..count)
            .map(|_| {
                let stations = if chance.bool() { busy } else { quiet };
                Event {
                    station: stations[chance.usize(..stations.len())],
                    created_at: BEGIN + chance.u64(..hours * HOUR),
                    is_cut_off: false,
                    was_off: false,
                }
            })
            .collect();
        events.extend(cut_off.iter().map(|&(station, created_at)| Event {
            station,
            created_at,
            is_cut_off: true,
            was_off: true,
        }));
        events.sort_by_key(|event| event.created_at);
        let words = events.len().div_ceil(64);
        Self {
            published: 0,
            words,
            held: vec![0; words * scenario.stations],
            holders: vec![0; events.len()],
            events,
        }
    }

    /// Those that are due by now are at their stations.
    pub fn publish_until(&mut self, now: u64, absences: &Absences) {
        while let Some(event) = self.events.get_mut(self.published)
            && event.created_at <= now
        {
            event.was_off |= absences.is_off(event.station);
            let row = event.station as usize * self.words;
            self.held[row + self.published / 64] |= 1 << (self.published % 64);
            self.holders[self.published] = 1;
            self.published += 1;
        }
    }

    /// One of them.
    pub fn get(&self, event: usize) -> Event {
        self.events[event]
    }

    /// All of them, by time.
    pub fn all(&self) -> &[Event] {
        &self.events
    }

    /// Whether a station holds it.
    pub fn holds(&self, station: u32, event: usize) -> bool {
        let word = self.held[station as usize * self.words + event / 64];
        word >> (event % 64) & 1 == 1
    }

    /// What a peer holds since then and a station lacks comes to it; tells of each which
    /// it is and how many hold it now. How many came.
    pub fn pull(
        &mut self,
        station: u32,
        peer: u32,
        since: u64,
        mut came: impl FnMut(usize, u32, &Self),
    ) -> u64 {
        let first = self
            .events
            .partition_point(|event| event.created_at < since);
        let (to, from) = (station as usize * self.words, peer as usize * self.words);
        let mut count = 0;
        for word in first / 64..self.published.div_ceil(64) {
            let mut new = self.held[from + word] & !self.held[to + word];
            if word == first / 64 {
                new &= u64::MAX << (first % 64);
            }
            self.held[to + word] |= new;
            count += u64::from(new.count_ones());
            while new != 0 {
                let event = word * 64 + new.trailing_zeros() as usize;
                new &= new - 1;
                self.holders[event] += 1;
                came(event, self.holders[event], self);
            }
        }
        count
    }
}
