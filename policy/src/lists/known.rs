//! [`KnownKeys`]: the keys that are in any list, so that strangers can be told from them.
//!
//! Of each key, only a mark of 8 bytes is kept, so that a million friends take 8 MB. The mark is a
//! hash with a secret that is chosen anew whenever the program starts: nobody can make a key with
//! the mark of another, and that a stranger has one by chance is as likely as guessing one of some
//! million numbers among 2^64.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use constellation_shared::Pubkey;

/// The secret of this run.
static SECRET: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// The mark by which a key is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark(u64);

impl From<&Pubkey> for Mark {
    fn from(key: &Pubkey) -> Self {
        Self(SECRET.hash_one(key.as_bytes()))
    }
}

/// A set of keys that are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownKeys {
    /// Sorted, without duplicates.
    marks: Vec<Mark>,
    /// Where the marks begin whose first [`KnownKeys::bits`] bits are this number.
    starts: Vec<u32>,
    bits: u32,
}

impl KnownKeys {
    /// Whether the key is known.
    pub fn contains(&self, key: &Pubkey) -> bool {
        let mark = Mark::from(key);
        let number = Self::number(mark, self.bits);
        let start = self.starts.get(number).copied().unwrap_or(0) as usize;
        let end = self
            .starts
            .get(number + 1)
            .map_or(self.marks.len(), |&end| end as usize);
        self.marks
            .get(start..end)
            .is_some_and(|few| few.binary_search(&mark).is_ok())
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// Whether no key is known.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    fn number(mark: Mark, bits: u32) -> usize {
        let number = mark.0.checked_shr(u64::BITS - bits).unwrap_or(0);
        usize::try_from(number).unwrap_or(0)
    }
}

impl From<Vec<Mark>> for KnownKeys {
    fn from(mut marks: Vec<Mark>) -> Self {
        marks.sort_unstable();
        marks.dedup();
        // About one mark for each number.
        let bits = marks.len().checked_ilog2().unwrap_or(0).min(16);
        let mut starts = Vec::with_capacity(1 << bits);
        for (index, &mark) in marks.iter().enumerate() {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            let number = Self::number(mark, bits);
            while starts.len() <= number {
                starts.push(index);
            }
        }
        let end = u32::try_from(marks.len()).unwrap_or(u32::MAX);
        starts.resize(1 << bits, end);
        Self {
            marks,
            starts,
            bits,
        }
    }
}

/// Sorts the marks of one list, drops duplicates and spare memory.
pub(super) fn compact(mut marks: Vec<Mark>) -> Vec<Mark> {
    marks.sort_unstable();
    marks.dedup();
    marks.shrink_to_fit();
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> Pubkey {
        let mut bytes = [0; 32];
        bytes[28..].copy_from_slice(&number.to_be_bytes());
        Pubkey::from_bytes(bytes)
    }

    #[test]
    fn exactly_the_keys_that_were_put_in_are_known() {
        for count in [0, 1, 2, 3, 1000, 70_000, 140_000] {
            let marks: Vec<Mark> = (0..count).map(|number| Mark::from(&key(number))).collect();
            let known = KnownKeys::from([marks.clone(), marks].concat());
            assert_eq!(known.len(), count as usize);
            assert_eq!(known.is_empty(), count == 0);
            for number in 0..count + 1000 {
                assert_eq!(known.contains(&key(number)), number < count, "{number}");
            }
        }
        assert!(!KnownKeys::default().contains(&key(0)));
    }
}
