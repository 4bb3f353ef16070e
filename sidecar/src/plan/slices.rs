//! [`Slices`]: how the history of events is cut, so that each run compares a part of it with a peer and
//! all of it is compared within a day, or within a week if it is very long.

use serde::{Deserialize, Serialize};

/// How the history is swept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slices {
    /// The times at which the history is cut, in ascending order: about the same number of events
    /// lies in each slice. Where there are none, all of history is one slice.
    pub cuts: Vec<u64>,
    /// The time in which all slices are compared, in seconds.
    pub period: u64,
}

/// Up to this many events, all of history is one slice.
pub(crate) const SMALL: usize = 20_000;

/// Above this many events, a sweep takes a week.
pub(crate) const LARGE: usize = 1_000_000;

/// An hour in seconds.
pub(crate) const HOUR: u64 = 3600;

impl Slices {
    /// Slices for a history with events at these times, in Unix seconds and in any order.
    pub fn of(times: Vec<u64>) -> Self {
        let hours = if times.len() > LARGE { 7 * 24 } else { 24 };
        if times.len() > SMALL {
            return Self::cut(times, hours);
        }
        Self {
            cuts: Vec::new(),
            period: hours as u64 * HOUR,
        }
    }

    /// One slice for each of this many hours.
    pub fn cut(mut times: Vec<u64>, hours: usize) -> Self {
        times.sort_unstable();
        let places = (1..hours).map(|hour| times.len() * hour / hours);
        let mut cuts: Vec<u64> = places
            .filter_map(|place| times.get(place))
            .copied()
            .collect();
        cuts.dedup();
        Self {
            cuts,
            period: hours as u64 * HOUR,
        }
    }
}
