//! [`Happening`]: what happens to a station, and [`plan`]: what happens to all of them in the
//! course of time.

use fastrand::Rng;

use super::manners::Manners;
use super::scenario::{BEGIN, DAY, HOUR, Scenario, long};
use super::station::Mishap;

/// What happens to a station.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It goes off, or comes back.
    Off(bool),
    /// Its database is copied.
    BackUp,
    /// Its database is restored from the copy, in place.
    Restore,
    /// Its database is lost.
    Lose,
    /// Its database is replaced by a copy of another station's.
    Replace(usize),
    /// Its clock is this many seconds ahead from now on.
    Clock(i64),
    /// It answers others in this manner from now on.
    Manners(Manners),
    /// Its relay has another address in each hour from now on, or the usual one again.
    Moves(bool),
    /// It cannot reach anybody from now on, or can again.
    NoLink(bool),
    /// It is told to leave out a kind, or not to any more.
    FewerKinds(bool),
    /// A key comes onto its lists, or leaves them.
    Listed(usize, bool),
    /// A key is blocked, or is not any more.
    Blocked(usize, bool),
    /// What it remembers is lost.
    Forget,
    /// What it remembers is copied.
    CopyMemory,
    /// What it remembers is restored from the copy.
    RestoreMemory,
    /// Something goes wrong with its next run.
    Mishap(Mishap),
}

/// What happens to which station, and when.
#[derive(Debug, Clone, Copy)]
pub struct Happening {
    /// When, in Unix seconds.
    pub at: u64,
    /// The station's number.
    pub station: usize,
    /// What.
    pub what: What,
}

/// All that happens before it becomes quiet, in the order of time.
pub fn plan(scenario: &Scenario, chance: &mut Rng) -> Vec<Happening> {
    let mut planner = Planner {
        quiet_from: scenario.quiet_from(),
        station: 0,
        happenings: Vec::new(),
        chance,
    };
    for station in 0..scenario.stations {
        planner.station = station;
        planner.absences();
        planner.databases(scenario);
        planner.clocks();
        planner.answers();
        planner.lists(scenario);
        planner.memories();
    }
    let mut happenings = planner.happenings;
    happenings.sort_by_key(|happening| happening.at);
    happenings
}

struct Planner<'a> {
    quiet_from: u64,
    station: usize,
    happenings: Vec<Happening>,
    chance: &'a mut Rng,
}

impl Planner<'_> {
    /// Times at which something happens, on average this many a day.
    fn times(&mut self, per_day: f64) -> Vec<u64> {
        let mut times = Vec::new();
        let mut time = BEGIN as f64;
        loop {
            time += -self.chance.f64().max(1e-12).ln() / per_day * DAY as f64;
            if time as u64 >= self.quiet_from {
                return times;
            }
            times.push(time as u64);
        }
    }

    fn push(&mut self, at: u64, what: What) {
        if at < self.quiet_from {
            let station = self.station;
            self.happenings.push(Happening { at, station, what });
        }
    }

    /// Something lasts for a while.
    fn lasts(&mut self, at: u64, (shortest, longest): (u64, u64), begin: What, end: What) {
        let length = long(shortest, longest, self.chance);
        self.push(at, begin);
        self.push(at + length, end);
    }

    fn absences(&mut self) {
        for at in self.times(0.15) {
            self.lasts(at, (HOUR, 40 * DAY), What::Off(true), What::Off(false));
        }
        for at in self.times(0.1) {
            let (begin, end) = (What::NoLink(true), What::NoLink(false));
            self.lasts(at, (HOUR, 12 * HOUR), begin, end);
        }
    }

    fn databases(&mut self, scenario: &Scenario) {
        for at in self.times(0.4) {
            self.push(at, What::BackUp);
        }
        for at in self.times(0.06) {
            self.push(at, What::Restore);
        }
        for at in self.times(0.03) {
            self.push(at, What::Lose);
        }
        for at in self.times(0.02) {
            let other = self.chance.usize(..scenario.stations);
            self.push(at, What::Replace(other));
        }
    }

    fn clocks(&mut self) {
        for at in self.times(0.1) {
            let off = long(600, 400 * DAY, self.chance).cast_signed();
            let off = if self.chance.bool() { off } else { -off };
            let (begin, end) = (What::Clock(off), What::Clock(0));
            self.lasts(at, (HOUR, 3 * DAY), begin, end);
        }
    }

    fn answers(&mut self) {
        for at in self.times(0.25) {
            let manners = match self.chance.u8(..8) {
                0 => Manners::Refuses,
                1 => Manners::Withholds,
                2 => Manners::Cuts,
                3 => Manners::Limits(self.chance.usize(1..60)),
                4 => Manners::HidesAll,
                5 => Manners::HidesHalf(self.chance.u64(..)),
                6 => Manners::Forges,
                _ => Manners::ForgesSome,
            };
            let (begin, end) = (What::Manners(manners), What::Manners(Manners::Honest));
            self.lasts(at, (HOUR, 2 * DAY), begin, end);
        }
        for at in self.times(0.03) {
            let (begin, end) = (What::Moves(true), What::Moves(false));
            self.lasts(at, (HOUR, 3 * DAY), begin, end);
        }
    }

    fn lists(&mut self, scenario: &Scenario) {
        for at in self.times(0.5) {
            let key = self.chance.usize(..scenario.keys);
            let (begin, end) = (What::Blocked(key, true), What::Blocked(key, false));
            self.lasts(at, (HOUR / 2, 5 * DAY), begin, end);
        }
        for at in self.times(0.5) {
            let key = self.chance.usize(..scenario.keys);
            let (begin, end) = (What::Listed(key, false), What::Listed(key, true));
            self.lasts(at, (HOUR / 2, 5 * DAY), begin, end);
        }
        for at in self.times(0.3) {
            let key = self.chance.usize(..scenario.keys);
            self.push(at, What::Listed(key, true));
        }
        for at in self.times(0.3) {
            self.push(at, What::Mishap(Mishap::EmptyLists));
        }
        for at in self.times(0.3) {
            let key = self.chance.usize(..scenario.keys);
            self.push(at, What::Mishap(Mishap::Blocks(key)));
        }
        for at in self.times(0.06) {
            let (begin, end) = (What::FewerKinds(true), What::FewerKinds(false));
            self.lasts(at, (HOUR, DAY), begin, end);
        }
    }

    fn memories(&mut self) {
        for at in self.times(0.05) {
            self.push(at, What::Forget);
        }
        for at in self.times(0.3) {
            self.push(at, What::CopyMemory);
        }
        for at in self.times(0.1) {
            self.push(at, What::RestoreMemory);
        }
        for at in self.times(0.4) {
            let mishaps = [Mishap::Killed, Mishap::OutOfTime, Mishap::Unwritten];
            let mishap = mishaps[self.chance.usize(..mishaps.len())];
            self.push(at, What::Mishap(mishap));
        }
    }
}
