//! [`EventSet`]: a set of events as a row of bits. Events are numbered in the order in which they
//! were created, so a span of time is a range of numbers.

use std::ops::Range;

const BITS: usize = 64;

const WORDS: usize = 24;

/// A set of events, by their numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventSet {
    words: [u64; WORDS],
}

impl EventSet {
    /// How many events there can be.
    pub const CAPACITY: usize = WORDS * BITS;

    /// Adds one event.
    pub fn insert(&mut self, event: usize) {
        self.words[event / BITS] |= 1 << (event % BITS);
    }

    /// Removes one event.
    pub fn remove(&mut self, event: usize) {
        self.words[event / BITS] &= !(1 << (event % BITS));
    }

    /// Whether an event belongs to the set.
    pub fn contains(&self, event: usize) -> bool {
        self.words[event / BITS] & (1 << (event % BITS)) != 0
    }

    /// Adds all events of another set.
    pub fn add(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }

    /// Leaves what belongs to another set, too.
    pub fn keep(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
    }

    /// Removes all events of another set.
    pub fn subtract(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= !other;
        }
    }

    /// Leaves only the events of a range.
    pub fn keep_range(&mut self, range: &Range<usize>) {
        for (place, word) in self.words.iter_mut().enumerate() {
            let first = place * BITS;
            let from = range.start.saturating_sub(first).min(BITS);
            let to = range.end.saturating_sub(first).min(BITS);
            *word &= ones(to) & !ones(from);
        }
    }

    /// Whether it holds no event.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// How many events it holds.
    pub fn len(&self) -> usize {
        let counts = self.words.iter().map(|word| word.count_ones() as usize);
        counts.sum()
    }

    /// The newest event below this number.
    pub fn newest_below(&self, end: usize) -> Option<usize> {
        let words = self.words.iter().enumerate().take(end.div_ceil(BITS));
        words.rev().find_map(|(place, word)| {
            let word = word & ones(end.saturating_sub(place * BITS).min(BITS));
            let last = word.checked_ilog2()? as usize;
            Some(place * BITS + last)
        })
    }

    /// Its events, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = usize> {
        let words = self.words.iter().enumerate();
        words.flat_map(|(place, word)| {
            let word = *word;
            let bits = if word == 0 { 0..0 } else { 0..BITS };
            bits.filter(move |bit| word & (1 << bit) != 0)
                .map(move |bit| place * BITS + bit)
        })
    }
}

/// A word with this many of its lowest bits set.
const fn ones(count: usize) -> u64 {
    if count >= BITS {
        u64::MAX
    } else {
        (1 << count) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(events: &[usize]) -> EventSet {
        let mut set = EventSet::default();
        events.iter().for_each(|event| set.insert(*event));
        set
    }

    #[test]
    fn sets_are_added_kept_subtracted_and_cut() {
        let mut all = set(&[0, 63, 64, 130]);
        all.add(&set(&[5, 199]));
        assert!(all.iter().eq([0, 5, 63, 64, 130, 199]));
        assert_eq!((all.len(), all.newest_below(130)), (6, Some(64)));
        assert_eq!(all.newest_below(131), Some(130));
        assert_eq!(all.newest_below(0), None);
        all.subtract(&set(&[5, 6]));
        all.keep_range(&(63..199));
        assert!(all.iter().rev().eq([130, 64, 63]));
        all.keep(&set(&[64, 1]));
        assert!(all.contains(64) && !all.contains(63) && !all.is_empty());
        all.remove(64);
        assert!(all.is_empty());
    }
}
