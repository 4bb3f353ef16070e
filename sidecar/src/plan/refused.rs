//! What was refused before and need not be downloaded again
//! (`strfry/constellation-refused.txt`). Safe to delete.
//!
//! An event that is genuine and was refused is remembered by its id, whoever has it. A
//! forged one is remembered for the peer that sent it alone: the genuine event of the same
//! id is welcome from any other.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use constellation_shared::EventId;

use crate::admission::rules::Refusal;
use crate::support::atomic_file;

/// The first line of the file.
const HEADING: &str = "constellation-refused 1";

/// For how long a refusal is remembered, in seconds: 30 days.
const REMEMBERED: u64 = 30 * 86_400;

/// How many refusals are remembered; the oldest are forgotten first.
const MOST: usize = 100_000;

/// The largest file that is read, in bytes: as many lines, with the longest URLs.
const LARGEST: u64 = 64 * 1024 * 1024;

/// The sender of what is refused whoever sends it.
const ANYBODY: &str = "*";

/// The refusals that are remembered: when, by id and sender.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refused(BTreeMap<(EventId, String), u64>);

impl Refused {
    /// Reads what earlier runs left and is not yet forgotten at `now`, Unix seconds;
    /// nothing where the file is missing or of another version. A line that is none of
    /// ours is passed over.
    pub fn load(path: &Path, now: u64) -> Self {
        let text = atomic_file::read(path, LARGEST).and_then(|text| String::from_utf8(text).ok());
        let text = text.unwrap_or_default();
        let Some(lines) = text.strip_prefix(HEADING) else {
            return Self::default();
        };
        let entries = lines.lines().filter_map(|line| {
            let mut words = line.split(' ');
            let when: u64 = words.next()?.parse().ok()?;
            let id: EventId = words.next()?.parse().ok()?;
            let sender = words.next()?.to_owned();
            let age = now.checked_sub(when)?;
            (age < REMEMBERED).then_some(((id, sender), when))
        });
        Self(entries.collect())
    }

    /// Whether it need not be asked of this peer.
    pub fn contains(&self, id: EventId, peer: &str) -> bool {
        self.0.contains_key(&(id, ANYBODY.to_owned()))
            || self.0.contains_key(&(id, peer.to_owned()))
    }

    /// Who sent this event when it was refused, none for anybody, and when, in Unix seconds.
    pub fn of(&self, id: EventId) -> impl Iterator<Item = (Option<&str>, u64)> {
        let from = (id, String::new());
        self.0
            .range(from..)
            .take_while(move |((of, _), _)| *of == id)
            .map(|((_, sender), when)| ((sender != ANYBODY).then_some(sender.as_str()), *when))
    }

    /// Remembers that an event of this peer was refused at `now`, Unix seconds.
    pub fn remember(&mut self, id: EventId, refusal: Refusal, peer: &str, now: u64) {
        let sender = match refusal {
            // Of these the id is not known to be the event's own.
            Refusal::Malformed | Refusal::Unasked => return,
            // These may be welcome another time.
            Refusal::Future | Refusal::Blocked => return,
            Refusal::Forged => peer,
            _ => ANYBODY,
        };
        self.0.insert((id, sender.to_owned()), now);
    }

    /// Remembers that strfry did not keep an event, whoever sends it.
    pub fn remember_not_kept(&mut self, id: EventId, now: u64) {
        self.0.insert((id, ANYBODY.to_owned()), now);
    }

    /// Writes everything, whole or not at all.
    ///
    /// # Errors
    /// Those of writing.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let mut entries: Vec<_> = self.0.iter().collect();
        entries.sort_by_key(|(_, when)| std::cmp::Reverse(**when));
        let mut text = HEADING.to_owned() + "\n";
        for ((id, sender), when) in entries.into_iter().take(MOST) {
            text.push_str(&format!("{when} {id} {sender}\n"));
        }
        atomic_file::write(path, text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn id(byte: u8) -> EventId {
        EventId::from_bytes([byte; 32])
    }

    #[test]
    fn a_refusal_is_remembered_for_thirty_days() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("refused.txt");
        let mut refused = Refused::load(&path, 0);
        refused.remember(id(1), Refusal::Visitor, "ws://a", 1000);
        refused.remember_not_kept(id(2), 1000);
        refused.save(&path).unwrap();
        let later = |now| Refused::load(&path, now);
        assert_eq!(later(1000 + REMEMBERED - 1), refused);
        assert_eq!(later(1000 + REMEMBERED), Refused::default());
        assert_eq!(later(999), Refused::default(), "the clock was set back");
        assert!(refused.contains(id(1), "ws://b") && refused.contains(id(2), "ws://b"));
    }

    #[test]
    fn a_forgery_is_held_against_its_sender_alone() {
        let mut refused = Refused::default();
        refused.remember(id(1), Refusal::Forged, "ws://liar", 1000);
        assert!(refused.contains(id(1), "ws://liar"));
        assert!(!refused.contains(id(1), "ws://honest"));
    }

    #[test]
    fn what_may_be_welcome_later_is_not_remembered() {
        let mut refused = Refused::default();
        for refusal in [
            Refusal::Malformed,
            Refusal::Unasked,
            Refusal::Future,
            Refusal::Blocked,
        ] {
            refused.remember(id(1), refusal, "ws://a", 1000);
        }
        assert_eq!(refused, Refused::default());
    }

    #[test]
    fn the_file_is_bounded_and_a_broken_one_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("refused.txt");
        let mut refused = Refused::default();
        for number in 0..MOST as u64 + 5 {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            refused.remember_not_kept(EventId::from_bytes(bytes), number);
        }
        refused.save(&path).unwrap();
        assert_eq!(Refused::load(&path, MOST as u64 + 5).0.len(), MOST);
        for text in ["", "constellation-refused 2\n", "x\n"] {
            fs::write(&path, text).unwrap();
            assert_eq!(Refused::load(&path, 1), Refused::default());
        }
        fs::write(&path, format!("{HEADING}\nx\n1 y *\n1 {} *\n", id(3))).unwrap();
        assert_eq!(Refused::load(&path, 1).0.len(), 1);
    }
}
