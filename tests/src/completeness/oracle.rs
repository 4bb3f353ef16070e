//! [`Oracle`]: whether each run that called itself complete with a peer told the truth. It knows
//! what the peer served, what the station holds, and how long anything has been missing; how the
//! program plans and remembers is unknown to it.

use std::collections::BTreeMap;

use super::event_set::EventSet;
use super::library::{Library, TOLERANCE};
use super::promises::{Kinds, Promises};
use super::run::{Claim, Report};
use super::scenario::{HOUR, Size};
use super::station::Station;
use super::violation::{Promise, Violation};

/// A peer counts as asked each hour if no more than this lies between two complete runs, in
/// seconds.
const HOURLY: u64 = HOUR + 600;

/// How much longer than a sweep something may be missing if a clock was changed meanwhile, in
/// seconds.
const CLOCK_CHANGED: u64 = 2 * HOUR;

/// What was missing after the last complete run with a peer.
#[derive(Debug, Default)]
struct Missing {
    /// When the last complete run began, in Unix seconds.
    at: u64,
    /// Each missing event, and since when it has been missing.
    events: BTreeMap<usize, u64>,
}

/// What is known of one station.
#[derive(Debug)]
struct Record {
    /// For each peer, when the last complete run began, for the usual kinds and for the other one.
    complete: Vec<[Option<u64>; 2]>,
    missing: BTreeMap<usize, Missing>,
    clock_changed: u64,
}

/// Judges the runs of all stations.
#[derive(Debug)]
pub struct Oracle {
    records: Vec<Record>,
}

impl Oracle {
    /// Nothing has been promised yet.
    pub fn new(stations: usize) -> Self {
        let record = || Record {
            complete: vec![[None; 2]; stations],
            missing: BTreeMap::new(),
            clock_changed: 0,
        };
        Self {
            records: (0..stations).map(|_| record()).collect(),
        }
    }

    /// The database of a station is another one: what is missing now has not been missing before.
    pub fn database_changed(&mut self, station: usize) {
        self.records[station].missing.clear();
    }

    /// The clock of a station was changed.
    pub fn clock_changed(&mut self, station: usize, now: u64) {
        self.records[station].clock_changed = now;
    }

    /// What a run of a station promised and did not keep. `held` is what it holds after the run,
    /// and `promises` is what follows from the runs before and from which keys this one follows.
    pub fn judge(
        &mut self,
        library: &Library,
        station: (usize, &Station),
        held: &EventSet,
        promises: &mut Promises,
        report: &Report,
    ) -> Vec<Violation> {
        let (number, station) = station;
        let record = &mut self.records[number];
        let mut wanted = library.of_authors(report.followed);
        wanted.keep_range(&library.created(0, report.clock + TOLERANCE));
        wanted.subtract(held);
        if report.fewer_kinds {
            wanted.keep(library.usual());
        }
        let mut violations = Vec::new();
        for Claim { peer, served } in &report.claims {
            let mut missing = *served;
            missing.keep(&wanted);
            let overdue = record.overdue(*peer, &missing, station.size, report.at);
            let broken = overdue.map(|event| (event, Promise::Sweep));
            let at_once = record.broken_at_once(library, *peer, &missing, promises);
            violations.extend(broken.chain(at_once).map(|(event, promise)| Violation {
                at: report.at,
                station: number,
                peer: *peer,
                event,
                promise,
            }));
            for kinds in [Kinds::Usual, Kinds::Other] {
                if kinds == Kinds::Usual || !report.fewer_kinds {
                    record.complete[*peer][kinds as usize] = Some(report.at);
                    promises.complete(*peer, kinds);
                }
            }
        }
        violations
    }
}

impl Record {
    /// The missing events that were to be here after this run already.
    fn broken_at_once(
        &self,
        library: &Library,
        peer: usize,
        missing: &EventSet,
        promises: &Promises,
    ) -> Vec<(usize, Promise)> {
        let mut broken = Vec::new();
        for number in missing.iter() {
            let event = &library.events[number];
            let kinds = if library.usual().contains(number) {
                Kinds::Usual
            } else {
                Kinds::Other
            };
            let complete = self.complete[peer][kinds as usize];
            if complete.is_none_or(|at| event.created_at > at) {
                broken.push((number, Promise::Recent));
            } else if promises.new_keys(peer, kinds) & (1 << event.author) != 0 {
                broken.push((number, Promise::NewKey));
            }
        }
        broken
    }

    /// The missing events that were missing for too long, although the peer was asked each hour.
    fn overdue(
        &mut self,
        peer: usize,
        missing: &EventSet,
        size: Size,
        now: u64,
    ) -> impl Iterator<Item = usize> + use<> {
        let before = self.missing.remove(&peer).unwrap_or_default();
        let is_hourly = now - before.at <= HOURLY;
        let since = |event| {
            let since = before.events.get(&event).filter(|_| is_hourly);
            since.copied().unwrap_or(now)
        };
        let events: BTreeMap<usize, u64> =
            missing.iter().map(|event| (event, since(event))).collect();
        let clock_changed = self.clock_changed;
        let is_overdue = |since: u64| {
            let slack = if clock_changed >= since {
                CLOCK_CHANGED
            } else {
                0
            };
            now - since >= size.period() + slack
        };
        let overdue: Vec<usize> = events
            .iter()
            .filter(|(_, since)| is_overdue(**since))
            .map(|(event, _)| *event)
            .collect();
        self.missing.insert(peer, Missing { at: now, events });
        overdue.into_iter()
    }
}
