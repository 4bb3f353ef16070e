//! [`Library`]: all events that are ever published.

use std::ops::Range;

use constellation_shared::{EventId, Pubkey};
use fastrand::Rng;

use super::event_set::EventSet;
use super::fault::{Happening, What};
use super::scenario::{BEGIN, DAY, HOUR, Scenario, long};

/// The kinds that every run wants.
pub const USUAL_KINDS: [u16; 2] = [0, 1];

/// The kinds that a run wants unless its station was told to leave out the last.
pub const ALL_KINDS: [u16; 3] = [0, 1, 7];

/// How far ahead of its clock a station accepts events, in seconds.
pub const TOLERANCE: u64 = 900;

/// A set of keys as bits, by their numbers.
pub type KeyBits = u64;

/// An event.
#[derive(Debug, Clone)]
pub struct Event {
    /// When it says that it was created, in Unix seconds.
    pub created_at: u64,
    /// The number of its author's key.
    pub author: usize,
    /// Its kind, one of [`ALL_KINDS`].
    pub kind: u16,
    /// When it is published, in Unix seconds.
    pub published_at: u64,
    /// The stations where it is published.
    pub at: Vec<usize>,
}

/// All events, in the order in which they were created.
#[derive(Debug)]
pub struct Library {
    /// The events.
    pub events: Vec<Event>,
    by_author: Vec<EventSet>,
    usual: EventSet,
}

impl Library {
    /// The events of a scenario. A tenth of them is there from the beginning. Half of all are
    /// published at once, a fifth of these dated by the clock of their station, which may be wrong;
    /// the others are published up to 400 days late.
    pub fn new(scenario: &Scenario, happenings: &[Happening], chance: &mut Rng) -> Self {
        assert!(scenario.events <= EventSet::CAPACITY, "too many events");
        let mut events: Vec<Event> = (0..scenario.events)
            .map(|number| {
                let published_at = if number < scenario.events / 10 {
                    BEGIN
                } else {
                    chance.u64(BEGIN..scenario.quiet_from())
                };
                let places = 1 + usize::from(chance.u8(..4) == 0);
                let at: Vec<usize> = (0..places)
                    .map(|_| chance.usize(..scenario.stations))
                    .collect();
                let created_at = match chance.u8(..10) {
                    0 => {
                        let clock = clock(happenings, at[0], published_at);
                        published_at.saturating_add_signed(clock)
                    }
                    1..5 => published_at - chance.u64(..60),
                    5..7 => published_at - chance.u64(..2 * DAY),
                    _ => published_at - long(HOUR, 400 * DAY, chance),
                };
                Event {
                    created_at,
                    author: chance.usize(..scenario.keys),
                    kind: ALL_KINDS[chance.usize(..ALL_KINDS.len())],
                    published_at,
                    at,
                }
            })
            .collect();
        events.sort_by_key(|event| event.created_at);
        let mut by_author = vec![EventSet::default(); scenario.keys];
        let mut usual = EventSet::default();
        for (number, event) in events.iter().enumerate() {
            by_author[event.author].insert(number);
            if USUAL_KINDS.contains(&event.kind) {
                usual.insert(number);
            }
        }
        Self {
            events,
            by_author,
            usual,
        }
    }

    /// The events of these authors.
    pub fn of_authors(&self, authors: KeyBits) -> EventSet {
        let mut all = EventSet::default();
        for (number, events) in self.by_author.iter().enumerate() {
            if authors & (1 << number) != 0 {
                all.add(events);
            }
        }
        all
    }

    /// The events of [`USUAL_KINDS`].
    pub const fn usual(&self) -> &EventSet {
        &self.usual
    }

    /// The numbers of the events that were created from `since` to `until`, in Unix seconds, both
    /// included.
    pub fn created(&self, since: u64, until: u64) -> Range<usize> {
        let begin = self.events.partition_point(|e| e.created_at < since);
        let end = self.events.partition_point(|e| e.created_at <= until);
        begin..end.max(begin)
    }
}

/// How far the clock of a station is ahead at this time, in seconds.
fn clock(happenings: &[Happening], station: usize, now: u64) -> i64 {
    let before = happenings.iter().take_while(|before| before.at <= now);
    let clocks = before.filter_map(|before| match before.what {
        What::Clock(ahead) if before.station == station => Some(ahead),
        _ => None,
    });
    clocks.last().unwrap_or_default()
}

/// The key with this number.
pub const fn key(number: usize) -> Pubkey {
    Pubkey::from_bytes([number as u8; 32])
}

/// The number of a key.
pub fn number_of_key(key: &Pubkey) -> usize {
    usize::from(key.as_bytes()[0])
}

/// The id of the event with this number.
pub fn id(event: usize) -> EventId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(event as u64).to_be_bytes());
    EventId::from_bytes(bytes)
}

/// The number of the event with this id.
pub fn number_of_event(id: &EventId) -> usize {
    let bytes = id.as_bytes();
    bytes[..8]
        .iter()
        .fold(0, |number, byte| number << 8 | usize::from(*byte))
}
