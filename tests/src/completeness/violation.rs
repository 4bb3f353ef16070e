//! [`Violation`]: what was promised and is not here.

use std::fmt;

use super::library::Library;
use super::scenario::{BEGIN, DAY, HOUR};

/// What was promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// What was created since the last complete run with a peer is here after the next one.
    Recent,
    /// What a key wrote that is newly followed is here after a complete run with a peer.
    NewKey,
    /// Whatever a peer serves is here after it has been asked each hour for a day (for a week
    /// where there are a million events).
    Sweep,
    /// After the quiet hours everything is here that is followed and that anybody serves.
    InTheEnd,
}

impl Promise {
    const fn words(self) -> &'static str {
        match self {
            Self::Recent => "was created since their last complete run and is not here",
            Self::NewKey => "is of a key that is newly followed, and is not here",
            Self::Sweep => "has been missing for a day or more",
            Self::InTheEnd => "is missing after the quiet hours",
        }
    }
}

/// What was promised and is not here.
#[derive(Debug, Clone, Copy)]
pub struct Violation {
    /// When, in Unix seconds.
    pub at: u64,
    /// The station that lacks an event.
    pub station: usize,
    /// The peer that serves the event.
    pub peer: usize,
    /// The event.
    pub event: usize,
    /// What was promised.
    pub promise: Promise,
}

impl Violation {
    /// What is broken, in words.
    pub fn describe(&self, library: &Library) -> String {
        let event = &library.events[self.event];
        format!(
            "{}: station {} was complete with {}, whose event {} {} (key {}, kind {}, created {}, published {})",
            Moment(self.at),
            self.station,
            self.peer,
            self.event,
            self.promise.words(),
            event.author,
            event.kind,
            Moment(event.created_at),
            Moment(event.published_at),
        )
    }
}

/// A time as the day since the simulation began, and the time of that day.
#[derive(Debug, Clone, Copy)]
pub struct Moment(pub u64);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.0.cast_signed() - BEGIN.cast_signed();
        let day = since.div_euclid(DAY.cast_signed());
        let second = since.rem_euclid(DAY.cast_signed()).cast_unsigned();
        let (hour, minute) = (second / HOUR, second % HOUR / 60);
        write!(f, "day {day} {hour:02}:{minute:02}")
    }
}
