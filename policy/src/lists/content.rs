//! What is remembered of the keys in a file, and for how long once the file has vanished.
//!
//! Once a day the station's scripts empty the folders of other stations in `tmp/swarm`, which are
//! downloaded again over the next hour. Those who were in the files keep their standing meanwhile.

use std::time::Duration;

use constellation_shared::Pubkey;

use crate::lists::known::{Mark, compact};

/// How long keys keep their standing that vanished together with the file of another station.
pub(super) const KEPT: Duration = Duration::from_secs(2 * 3600);

/// How many keys are remembered at most before keys of vanished files are forgotten early: as many
/// as all lists of other stations that are read can hold.
const MOST_KEYS: usize = 2_000_000;

/// What is remembered of a file's keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Content {
    /// The blocked keys in it that it pardons, in ascending order.
    pub(super) found: Vec<Pubkey>,
    /// All keys in it, if strangers must be told from others, in ascending order.
    pub(super) marks: Vec<Mark>,
}

impl Content {
    pub(super) const fn is_empty(&self) -> bool {
        self.found.is_empty() && self.marks.is_empty()
    }

    const fn len(&self) -> usize {
        self.found.len() + self.marks.len()
    }

    /// Adds the keys that are in `other`.
    pub(super) fn merge(&mut self, other: &Self) {
        self.found.extend(&other.found);
        self.found.sort_unstable();
        self.found.dedup();
        let mut marks = std::mem::take(&mut self.marks);
        marks.extend(&other.marks);
        self.marks = compact(marks);
    }

    /// Drops the keys that are in `other`, and spare memory.
    fn subtract(&mut self, other: &Self) {
        self.found
            .retain(|key| other.found.binary_search(key).is_err());
        self.marks
            .retain(|mark| other.marks.binary_search(mark).is_err());
        self.found.shrink_to_fit();
        self.marks.shrink_to_fit();
    }
}

/// The keys of a file that vanished, as far as they are not back.
#[derive(Debug)]
struct Vanished {
    content: Content,
    /// Until when they count, in time since 1970.
    until: Duration,
}

/// All that counts of one file: the keys that are in it, and those that vanished with it.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// The keys in the file.
    pub(super) content: Content,
    /// No key is in two of these, nor in the content.
    vanished: Vec<Vanished>,
}

impl Keys {
    /// Whether no key counts.
    pub(super) const fn is_empty(&self) -> bool {
        self.content.is_empty() && self.vanished.is_empty()
    }

    /// The keys in the file, and those that vanished with it.
    pub(super) fn all(&self) -> impl Iterator<Item = &Content> {
        let vanished = self.vanished.iter().map(|vanished| &vanished.content);
        std::iter::once(&self.content).chain(vanished)
    }

    /// Keeps these keys, which were in the file until `now`, the time since 1970. It has vanished.
    pub(super) fn keep(&mut self, content: Content, now: Duration) {
        if !content.is_empty() {
            let until = now + KEPT;
            self.vanished.push(Vanished { content, until });
        }
    }

    /// Takes note that the content is new: keys that are back count like all others in the file.
    pub(super) fn have_read(&mut self) {
        for vanished in &mut self.vanished {
            vanished.content.subtract(&self.content);
        }
        self.vanished
            .retain(|vanished| !vanished.content.is_empty());
    }

    /// Forgets the keys whose time is over at `now`, the time since 1970. Returns whether there were
    /// any. A clock that is set back lengthens no time beyond [`KEPT`].
    pub(super) fn expire(&mut self, now: Duration) -> bool {
        let before = self.vanished.len();
        for vanished in &mut self.vanished {
            vanished.until = vanished.until.min(now + KEPT);
        }
        self.vanished.retain(|vanished| now < vanished.until);
        self.vanished.len() < before
    }
}

/// Forgets keys of vanished files if all keys together are too many: the most numerous first, so
/// that a long list displaces no other.
pub(super) fn bound<'a>(files: impl Iterator<Item = &'a mut Keys>) {
    bound_to(files, MOST_KEYS);
}

fn bound_to<'a>(files: impl Iterator<Item = &'a mut Keys>, most: usize) {
    let mut files: Vec<&mut Keys> = files.collect();
    let all = files.iter().flat_map(|file| file.all());
    let mut total: usize = all.map(Content::len).sum();
    if total <= most {
        return;
    }
    let vanished_keys = |file: &Keys| -> usize {
        let vanished = file.vanished.iter();
        vanished.map(|vanished| vanished.content.len()).sum()
    };
    files.sort_unstable_by_key(|file| vanished_keys(file));
    for file in files.into_iter().rev() {
        if total <= most {
            break;
        }
        total -= vanished_keys(file);
        file.vanished = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(bytes: std::ops::Range<u8>) -> Content {
        let keys: Vec<Pubkey> = bytes.map(|byte| Pubkey::from_bytes([byte; 32])).collect();
        let mut marks: Vec<Mark> = keys.iter().map(Mark::from).collect();
        marks.sort_unstable();
        Content { found: keys, marks }
    }

    fn count(keys: &Keys) -> usize {
        keys.all().map(|content| content.found.len()).sum()
    }

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    #[test]
    fn keys_that_are_back_are_kept_once_and_may_vanish_again() {
        let mut keys = Keys::default();
        keys.keep(content(0..10), NOW);
        keys.content = content(2..12);
        keys.have_read();
        assert_eq!(count(&keys), 12);
        let again = std::mem::take(&mut keys.content);
        keys.keep(again, NOW + KEPT / 2);
        assert_eq!(count(&keys), 12);
        assert!(!keys.expire(NOW + KEPT - Duration::from_secs(1)));
        assert!(keys.expire(NOW + KEPT));
        assert_eq!(count(&keys), 10);
        assert!(keys.expire(NOW + KEPT / 2 + KEPT));
        assert!(keys.is_empty());
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_nobody_for_longer() {
        let mut keys = Keys::default();
        keys.keep(content(0..1), NOW);
        let earlier = NOW - 5 * KEPT;
        assert!(!keys.expire(earlier));
        assert!(keys.expire(earlier + KEPT));
    }

    #[test]
    fn of_too_many_vanished_keys_the_longest_lists_are_forgotten() {
        let mut files = [Keys::default(), Keys::default(), Keys::default()];
        for (file, bytes) in files.iter_mut().zip([0..3, 10..40, 50..54]) {
            file.keep(content(bytes), NOW);
        }
        files[0].content = content(100..105);
        bound_to(files.iter_mut(), 74);
        let counts = |files: &[Keys]| files.iter().map(count).collect::<Vec<_>>();
        assert_eq!(counts(&files), [8, 0, 4]);
        bound_to(files.iter_mut(), 0);
        assert_eq!(counts(&files), [5, 0, 0], "what is in a file stays");
    }
}
