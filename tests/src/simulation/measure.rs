//! What is measured in a simulation.

use std::collections::BTreeMap;

use super::absences::Absences;
use super::events::{Event, Events};
use super::world::{BEGIN, HOUR, Scenario};

/// How finely the coverage is drawn, in seconds, and for how long it is followed.
const BIN: u64 = 180;
const BINS: usize = 100;

/// Events that were published too late to be followed to their end are left out: so many
/// hours.
const TAIL: u64 = 6;

/// The measures of one scenario. Times are in hours.
#[derive(Debug)]
pub struct Measures {
    scenario: Scenario,
    living: usize,
    /// From when on it is measured, and until when events count that are published.
    from: u64,
    last: u64,
    /// Until 99 % and 100 % of the live stations held an event, by event.
    pub until_99: BTreeMap<usize, f64>,
    /// See there.
    pub until_100: BTreeMap<usize, f64>,
    /// Events that count.
    events: usize,
    coverage: Vec<u64>,
    returns: BTreeMap<u32, u64>,
    /// Until an event that was cut off was everywhere after its station's return.
    pub after_return: Vec<f64>,
    cut_off: usize,
    runs: usize,
    connections: usize,
    failures: usize,
    served: BTreeMap<(u64, u32), u32>,
    starts: BTreeMap<u64, u32>,
    /// The fewest peers that a station had spoken to, by how many runs it had.
    spoken: BTreeMap<usize, usize>,
}

impl Measures {
    /// Nothing was measured yet.
    pub fn new(scenario: &Scenario, living: usize, cut_off: usize) -> Self {
        let from = BEGIN + scenario.hours.0 * HOUR;
        Self {
            scenario: scenario.clone(),
            living,
            from,
            last: from + scenario.hours.1.saturating_sub(TAIL) * HOUR,
            until_99: BTreeMap::new(),
            until_100: BTreeMap::new(),
            events: 0,
            coverage: vec![0; BINS],
            returns: BTreeMap::new(),
            after_return: Vec::new(),
            cut_off,
            runs: 0,
            connections: 0,
            failures: 0,
            served: BTreeMap::new(),
            starts: BTreeMap::new(),
            spoken: BTreeMap::new(),
        }
    }

    /// A station is back.
    pub fn returned(&mut self, station: u32, now: u64) {
        self.returns.insert(station, now);
    }

    /// A run starts.
    pub fn started(&mut self, now: u64) {
        if now >= self.from {
            *self.starts.entry(now / 60).or_default() += 1;
        }
    }

    /// A run ended that began at `begin`.
    pub const fn ended(&mut self, begin: u64, connections: usize, failures: usize) {
        if begin >= self.from {
            self.runs += 1;
            self.connections += connections;
            self.failures += failures;
        }
    }

    /// A connection was made to this station.
    pub fn served(&mut self, station: u32, now: u64) {
        if now >= self.from {
            *self.served.entry((now / HOUR, station)).or_default() += 1;
        }
    }

    /// A station that had so many runs had spoken to so many peers.
    pub fn spoke(&mut self, runs: usize, peers: usize) {
        let fewest = self.spoken.entry(runs).or_insert(peers);
        *fewest = (*fewest).min(peers);
    }

    fn counts(&self, event: &Event) -> bool {
        !event.was_off && (self.from..self.last).contains(&event.created_at)
    }

    /// An event arrived at one more station; `holders` have it now.
    pub fn arrived(
        &mut self,
        event: usize,
        now: u64,
        holders: u32,
        absences: &Absences,
        events: &Events,
    ) {
        let is = events.get(event);
        if !is.is_cut_off && !self.counts(&is) {
            return;
        }
        let age = now - is.created_at;
        if !is.is_cut_off
            && let Some(bin) = self.coverage.get_mut((age / BIN) as usize)
        {
            *bin += 1;
        }
        let holders = holders as usize;
        if holders * 100 < self.living * 97 || self.until_100.contains_key(&event) {
            return;
        }
        // Live is who was on all the time since then.
        let back = self.returns.get(&is.station).copied();
        let begin = match is.is_cut_off {
            true => back.unwrap_or(now),
            false => is.created_at,
        };
        let (mut live, mut live_holders) = (self.living, holders);
        for station in absences.since(begin) {
            live -= 1;
            live_holders -= usize::from(events.holds(station, event));
        }
        let holders = live_holders;
        let hours = |seconds: u64| seconds as f64 / HOUR as f64;
        if is.is_cut_off {
            if holders >= live
                && let Some(back) = self.returns.remove(&is.station)
            {
                self.after_return.push(hours(now - back));
            }
            return;
        }
        if holders * 100 >= live * 99 {
            self.until_99.entry(event).or_insert(hours(age));
        }
        if holders >= live {
            self.until_100.entry(event).or_insert(hours(age));
        }
    }

    /// The time is over.
    pub fn finish(&mut self, events: &[Event]) {
        self.events = events.iter().filter(|event| self.counts(event)).count();
    }

    /// How long until this share of the live stations (99 or 100 %) held an event: the
    /// time that this share of the events took at the most. Infinite where they never did.
    pub fn hours_until(&self, percent: u8, of_events: f64) -> f64 {
        let until = if percent == 99 {
            &self.until_99
        } else {
            &self.until_100
        };
        let mut hours: Vec<f64> = until.values().copied().collect();
        hours.resize(self.events, f64::INFINITY);
        quantile(hours, of_events)
    }

    /// The same for events whose station was cut off, from its return.
    pub fn hours_after_return(&self, of_events: f64) -> f64 {
        let mut hours = self.after_return.clone();
        hours.resize(self.cut_off, f64::INFINITY);
        quantile(hours, of_events)
    }

    /// Connections a station makes in a run, and how many of them fail.
    pub fn connections(&self) -> (f64, f64) {
        let per_run = |count: usize| count as f64 / self.runs.max(1) as f64;
        (per_run(self.connections), per_run(self.failures))
    }

    /// Connections that the busiest station serves in an hour.
    pub fn busiest(&self) -> u32 {
        self.served.values().copied().max().unwrap_or(0)
    }

    /// Starts in the busiest minute, over the mean.
    pub fn busiest_minute(&self) -> f64 {
        let most = self.starts.values().copied().max().unwrap_or(0);
        let all: u32 = self.starts.values().sum();
        f64::from(most) * (self.scenario.hours.1 * 60) as f64 / f64::from(all.max(1))
    }

    /// Live peers that some station had not spoken to after half as many runs as it has
    /// peers; nothing where no station had so many runs.
    pub fn unspoken(&self) -> Option<usize> {
        let fewest = self.spoken.get(&((self.scenario.stations - 1) / 2))?;
        Some((self.living - 1).saturating_sub(*fewest))
    }

    /// The share of stations that hold an event so many hours after it was published.
    pub fn coverage(&self) -> Vec<(f64, f64)> {
        let all = (self.living * self.events).max(1) as f64;
        // The station where it was published.
        let mut held = self.events as u64;
        let hours = |bin: usize| (bin as u64 * BIN) as f64 / HOUR as f64;
        let mut curve = vec![(0.0, held as f64 / all)];
        for (bin, arrived) in self.coverage.iter().enumerate() {
            held += arrived;
            curve.push((hours(bin + 1), held as f64 / all));
        }
        curve
    }

    /// What was simulated.
    pub const fn scenario(&self) -> &Scenario {
        &self.scenario
    }
}

fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = ((values.len() as f64 * share).ceil() as usize).max(1) - 1;
    values.get(place).copied().unwrap_or(f64::NAN)
}
