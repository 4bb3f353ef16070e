//! [`Beyond`]: refused events of which only the first bytes of the ids are remembered, because there
//! are so many. The reasons are not, so all of them are forgotten after a day.

use std::collections::BTreeSet;
use std::fmt;

use constellation_shared::EventId;

/// How many are remembered at most.
const MOST: usize = 200_000;

/// How long they are remembered, in seconds, from when there was the first one.
const REMEMBERED: u64 = 86_400;

/// The word for them in the file.
const WORD: &str = "beyond";

/// How many hex digits of an id are in the file.
const DIGITS: usize = 16;

/// Ids of refused events, by their first bytes.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Beyond {
    /// When there was the first one, in Unix seconds.
    since: u64,
    ids: BTreeSet<u64>,
}

fn prefix(id: &EventId) -> u64 {
    let first = id.as_bytes().first_chunk().copied();
    u64::from_be_bytes(first.unwrap_or_default())
}

impl Beyond {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether this event is among them.
    pub(super) fn contains(&self, id: &EventId) -> bool {
        self.ids.contains(&prefix(id))
    }

    /// Adds an event that was refused at this time, in Unix seconds, if there is room.
    pub(super) fn insert(&mut self, id: &EventId, when: u64) {
        if self.ids.is_empty() {
            self.since = when;
        }
        if self.ids.len() < MOST {
            self.ids.insert(prefix(id));
        }
    }

    /// The same, or nothing if they are too old at `now`, in Unix seconds, or from the future.
    pub(super) fn fresh(self, now: u64) -> Self {
        let age = now.checked_sub(self.since);
        if age.is_some_and(|age| age < REMEMBERED) {
            self
        } else {
            Self::default()
        }
    }

    /// Reads their line of the file; `None` if it is another line.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(line).ok()?.split(' ');
        let since = words.next()?.parse().ok()?;
        let digits = words.next().filter(|word| *word == WORD)?;
        let digits = words
            .next()
            .unwrap_or(digits)
            .as_bytes()
            .chunks_exact(DIGITS);
        let ids = digits.filter_map(|digits| std::str::from_utf8(digits).ok());
        let ids = ids.filter_map(|digits| u64::from_str_radix(digits, 16).ok());
        Some(Self {
            since,
            ids: ids.take(MOST).collect(),
        })
    }
}

impl fmt::Display for Beyond {
    /// Their line, with its end; nothing if there are none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ids.is_empty() {
            return Ok(());
        }
        write!(f, "{} {WORD} ", self.since)?;
        for id in &self.ids {
            write!(f, "{id:016x}")?;
        }
        f.write_str("\n")
    }
}
