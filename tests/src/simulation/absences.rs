//! Which stations are off, and which came back when.

use std::collections::{BTreeMap, BTreeSet};

/// Which stations are off, and which came back when.
#[derive(Debug, Default)]
pub struct Absences {
    off: BTreeSet<u32>,
    last: BTreeMap<u32, u64>,
    returns: BTreeSet<(u64, u32)>,
}

impl Absences {
    /// A station goes off.
    pub fn leave(&mut self, station: u32) {
        self.off.insert(station);
    }

    /// It is back at this time, Unix seconds.
    pub fn come_back(&mut self, station: u32, now: u64) {
        self.off.remove(&station);
        if let Some(before) = self.last.insert(station, now) {
            self.returns.remove(&(before, station));
        }
        self.returns.insert((now, station));
    }

    /// Whether it is off.
    pub fn is_off(&self, station: u32) -> bool {
        self.off.contains(&station)
    }

    /// Those that are off or were at some time since then.
    pub fn since(&self, time: u64) -> impl Iterator<Item = u32> {
        let back = self
            .returns
            .range((time + 1, 0)..)
            .map(|(_, station)| *station);
        let back = back.filter(|station| !self.is_off(*station));
        self.off.iter().copied().chain(back)
    }
}
