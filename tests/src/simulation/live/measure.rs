//! What is measured of stations that run `live`.

use super::scenario::{Event, SECOND, Scenario};

/// What came over the wires of live stations in the measured time, and when events were everywhere.
#[derive(Debug, Default)]
pub struct Measures {
    /// Seconds until 99 % of the live stations held an event, in ascending order.
    pub seconds: Vec<f64>,
    /// Events that some live station never got.
    pub incomplete: usize,
    /// How many events were downloaded, whether or not they were new.
    pub downloads: u64,
    /// How many of them were new.
    pub new: u64,
    /// How many new ones were fetched because a poll had found them.
    pub fetched: u64,
    /// How many polls there were.
    pub polls: u64,
    /// How many ids polls listed, in either direction.
    pub listed: u64,
    /// How many bytes polls took, in both directions.
    pub poll_bytes: u64,
    /// How many subscriptions were sent, and how many bytes they took.
    pub subscriptions: u64,
    /// How many bytes the subscriptions took.
    pub subscription_bytes: u64,
    /// Hours times live stations.
    pub station_hours: f64,
}

impl Measures {
    /// Downloads for each new event.
    pub fn copies(&self) -> f64 {
        self.downloads as f64 / (self.new as f64).max(1.0)
    }

    /// Seconds until 99 % of the live stations held an event: for this share of the events.
    pub fn seconds_until_everywhere(&self, share: f64) -> f64 {
        let place = (self.seconds.len() as f64 * share).ceil() as usize;
        let last = self.seconds.len().checked_sub(1);
        last.map_or(f64::INFINITY, |last| {
            self.seconds[place.saturating_sub(1).min(last)]
        })
    }

    /// Kilobytes of subscriptions that a station sends in an hour.
    pub fn subscription_kilobytes_an_hour(&self) -> f64 {
        self.subscription_bytes as f64 / self.station_hours / 1000.0
    }

    /// Kilobytes that the polls of a station take in an hour, in both directions.
    pub fn poll_kilobytes_an_hour(&self) -> f64 {
        self.poll_bytes as f64 / self.station_hours / 1000.0
    }

    /// Adds how long an event took to be on 99 % of the live stations that were on all the time
    /// since it was published, by the times at which they held it.
    pub fn add(&mut self, event: &Event, mut held_at: Vec<Option<u64>>) {
        self.incomplete += usize::from(held_at.iter().any(Option::is_none));
        held_at.sort_by_key(|at| at.unwrap_or(u64::MAX));
        let place = (held_at.len() * 99).div_ceil(100).saturating_sub(1);
        let at = held_at.get(place).copied().flatten();
        let age = at.map_or(f64::INFINITY, |at| (at.saturating_sub(event.at)) as f64);
        self.seconds.push(age / SECOND as f64);
    }

    /// To be called when all was added.
    pub fn finish(&mut self, scenario: &Scenario, live: usize) {
        self.seconds.sort_by(f64::total_cmp);
        self.station_hours = live as f64 * scenario.measured as f64 / 3600.0;
    }
}
