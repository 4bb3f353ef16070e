//! What is simulated of stations that run `live`.

use fastrand::Rng;

/// A second in milliseconds.
pub const SECOND: u64 = 1000;

/// What is simulated of stations that run `live`.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// How many stations there are.
    pub stations: usize,
    /// How many peers each reads from.
    pub peers: usize,
    /// The share of the stations that do without `live` and sync once an hour.
    pub without_live: f64,
    /// The share of the stations that are cut off for some minutes while it is measured.
    pub failing: f64,
    /// How many authors publish at each station.
    pub authors_of_each: usize,
    /// The share of the events whose authors have never published before.
    pub newcomers: f64,
    /// How many events are published each second in the whole swarm.
    pub rate: f64,
    /// For how many seconds the links settle before it is measured.
    pub warm_up: u64,
    /// For how many seconds it is measured.
    pub measured: u64,
    /// How many events are published at once at one station in the middle of the measured time.
    pub burst: usize,
    /// How many of its peers each station exchanges in the middle of the measured time.
    pub rotated: usize,
    /// Whether all peers push everything, for comparison.
    pub all_push: bool,
    /// Where all chance comes from.
    pub seed: u64,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            stations: 1000,
            peers: 8,
            without_live: 0.0,
            failing: 0.0,
            authors_of_each: 1,
            newcomers: 0.0,
            // 500 events a day of each of 1,000 stations.
            rate: 5.8,
            warm_up: 900,
            measured: 120,
            burst: 0,
            rotated: 0,
            all_push: false,
            seed: 1,
        }
    }
}

/// An event that is followed on its way.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// The station where it is published.
    pub station: u32,
    /// Who published it.
    pub author: u32,
    /// When, in milliseconds.
    pub at: u64,
    /// Whether it is one of a burst.
    pub is_of_burst: bool,
}

/// How long events are followed after the last one was published, in seconds.
pub const TAIL: u64 = 120;

impl Scenario {
    /// How many authors there are, who are all followed by all stations: as many as there are stations
    /// have never published before.
    pub const fn authors(&self) -> usize {
        (1 + self.authors_of_each) * self.stations
    }

    /// When measuring begins, in milliseconds.
    pub const fn begin(&self) -> u64 {
        self.warm_up * SECOND
    }

    /// When measuring ends, in milliseconds.
    pub const fn end(&self) -> u64 {
        (self.warm_up + self.measured) * SECOND
    }

    /// The middle of the measured time, in milliseconds.
    pub const fn middle(&self) -> u64 {
        self.warm_up * SECOND + self.measured * SECOND / 2
    }

    /// All events, by time: published at random times, half of them at a twentieth of the stations,
    /// the others at a quarter of them.
    pub fn events(&self, chance: &mut Rng) -> Vec<Event> {
        let stations = self.stations as u32;
        let count = ((self.end() / SECOND) as f64 * self.rate) as usize;
        let mut events: Vec<Event> = (0..count)
            .map(|number| {
                // Half of them come from one station in twenty, the others from one in four.
                let share = if chance.bool() { 20 } else { 4 };
                let busy = stations.div_ceil(share);
                let station = chance.u32(..busy);
                let author = if chance.f64() < self.newcomers {
                    number % self.stations
                } else {
                    self.stations
                        + chance.usize(..self.authors_of_each) * self.stations
                        + station as usize
                };
                Event {
                    station,
                    author: author as u32,
                    at: chance.u64(..self.end()),
                    is_of_burst: false,
                }
            })
            .collect();
        let station = chance.u32(..stations);
        events.extend((0..self.burst).map(|_| Event {
            station,
            author: stations + station,
            at: self.middle(),
            is_of_burst: true,
        }));
        events.sort_by_key(|event| event.at);
        events
    }

    /// How long a message takes from one station to another, in milliseconds: 20 to 300, always
    /// the same for these two.
    pub const fn latency(&self, one: u32, other: u32) -> u64 {
        let (low, high) = if one < other {
            (one, other)
        } else {
            (other, one)
        };
        let mixed = (low as u64) << 32 | high as u64;
        let mixed = (mixed ^ self.seed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        20 + (mixed ^ (mixed >> 31)) % 281
    }
}
