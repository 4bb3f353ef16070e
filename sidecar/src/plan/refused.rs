//! [`Refused`]: events that were refused before and need not be downloaded again
//! (`strfry/constellation-refused.txt`). The file may be deleted at any time.
//!
//! A genuine event is remembered by its id, for all peers. A forged one is remembered only for the
//! peer that sent it, because the genuine event of the same id is welcome from any other peer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::sync::Arc;

use constellation_shared::EventId;

use crate::admission::rules::Refusal;
use crate::support::state_file::REFUSED;

/// The first line of the file.
const HEADING: &str = "constellation-refused 1";

/// How long a refusal is remembered, in seconds: 30 days.
const REMEMBERED: u64 = 30 * 86_400;

/// How many refusals the file holds at most; the oldest are forgotten first.
const MOST: usize = 100_000;

/// How many refusals are held in memory during a run at most.
const MOST_HELD: usize = 2 * MOST;

/// The longest address of a sender that is remembered, in bytes.
const LONGEST_SENDER: usize = 1000;

/// What the file names in the place of a sender when an event is refused from every peer.
const ANYBODY: &str = "*";

/// The refusals that are remembered.
#[derive(Debug, Clone, Default)]
pub struct Refused {
    /// The time of the refusal in Unix seconds, by id and sender; `None` stands for all senders.
    times: BTreeMap<(EventId, Option<Arc<str>>), u64>,
    /// Each sender's address once: a sender of forged events appears with thousands of ids.
    senders: BTreeSet<Arc<str>>,
}

impl PartialEq for Refused {
    fn eq(&self, other: &Self) -> bool {
        self.times == other.times
    }
}

impl Refused {
    /// Reads the refusals that are still remembered at `now`, in Unix seconds; none if the file is
    /// missing or of another version. Lines of another form are skipped. Of a file that is too
    /// large only the beginning is read, which holds the newest refusals.
    pub fn load(path: &Path, now: u64) -> Self {
        let bytes = REFUSED.read_beginning(path).unwrap_or_default();
        let mut refused = Self::default();
        let mut lines = bytes.split(|&byte| byte == b'\n');
        if lines.next() != Some(HEADING.as_bytes()) {
            return refused;
        }
        for line in lines {
            let Some(Line { when, id, sender }) = parse(line) else {
                continue;
            };
            let age = now.checked_sub(when);
            if age.is_some_and(|age| age < REMEMBERED) {
                refused.insert(id, sender, when);
            }
        }
        refused
    }

    /// Whether this peer need not be asked for the event.
    pub fn contains(&self, id: EventId, peer: &str) -> bool {
        self.of(id)
            .any(|(sender, _)| sender.is_none_or(|sender| sender == peer))
    }

    /// Every refusal of this event: its sender, `None` for all senders, and its time in Unix
    /// seconds.
    pub fn of(&self, id: EventId) -> impl Iterator<Item = (Option<&str>, u64)> {
        self.times
            .range((id, None)..)
            .take_while(move |((of, _), _)| *of == id)
            .map(|((_, sender), when)| (sender.as_deref(), *when))
    }

    /// Remembers that an event from this peer was refused at `now`, in Unix seconds, unless it may
    /// be welcome another time.
    pub fn remember(&mut self, id: EventId, refusal: Refusal, peer: &str, now: u64) {
        let sender = match refusal {
            // Its id was not verified, and may be that of another event.
            Refusal::Unasked => return,
            // These may be welcome later.
            Refusal::Future | Refusal::Blocked => return,
            Refusal::Forged => Some(peer),
            _ => None,
        };
        self.insert(id, sender, now);
    }

    /// Remembers that strfry did not keep an event, no matter which peer sends it.
    pub fn remember_not_kept(&mut self, id: EventId, now: u64) {
        self.insert(id, None, now);
    }

    /// Writes the newest refusals, as many as there is room for, atomically.
    ///
    /// # Errors
    /// If the file cannot be written; it is then unchanged.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let mut entries: Vec<_> = self.times.iter().collect();
        entries.sort_by_key(|(_, when)| std::cmp::Reverse(**when));
        let mut text = HEADING.to_owned() + "\n";
        let mut written = 0;
        for ((id, sender), when) in entries.iter().take(MOST) {
            let before = text.len();
            let sender = sender.as_deref().unwrap_or(ANYBODY);
            // Writing to a string never fails.
            let _ = writeln!(text, "{when} {id} {sender}");
            if text.len() as u64 > REFUSED.most_bytes {
                text.truncate(before);
                break;
            }
            written += 1;
        }
        if written < entries.len() {
            REFUSED.warn_forgotten(path, entries.len() - written);
        }
        REFUSED.write(path, text.as_bytes())
    }

    fn insert(&mut self, id: EventId, sender: Option<&str>, when: u64) {
        let is_too_long = sender.is_some_and(|sender| sender.len() > LONGEST_SENDER);
        // An event that is not remembered is merely downloaded again.
        if is_too_long || self.times.len() >= MOST_HELD {
            return;
        }
        let sender = sender.map(|sender| self.name(sender));
        self.times.insert((id, sender), when);
    }

    fn name(&mut self, sender: &str) -> Arc<str> {
        match self.senders.get(sender) {
            Some(name) => Arc::clone(name),
            None => {
                let name: Arc<str> = sender.into();
                self.senders.insert(Arc::clone(&name));
                name
            }
        }
    }
}

/// A line of the file.
struct Line<'a> {
    /// When the event was refused, in Unix seconds.
    when: u64,
    id: EventId,
    /// `None` if the event is refused from every peer.
    sender: Option<&'a str>,
}

/// Reads a line: time, id and sender, separated by blanks.
fn parse(line: &[u8]) -> Option<Line<'_>> {
    let line = std::str::from_utf8(line).ok()?;
    let mut fields = line.split(' ');
    let when = fields.next()?.parse().ok()?;
    let id = fields.next()?.parse().ok()?;
    let sender = fields.next()?;
    let sender = (sender != ANYBODY).then_some(sender);
    Some(Line { when, id, sender })
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
        for refusal in [Refusal::Unasked, Refusal::Future, Refusal::Blocked] {
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
        assert_eq!(Refused::load(&path, MOST as u64 + 5).times.len(), MOST);
        for text in ["", "constellation-refused 2\n", "x\n"] {
            fs::write(&path, text).unwrap();
            assert_eq!(Refused::load(&path, 1), Refused::default());
        }
        fs::write(&path, format!("{HEADING}\nx\n1 y *\n1 {} *\n", id(3))).unwrap();
        assert_eq!(Refused::load(&path, 1).times.len(), 1);
    }

    #[test]
    fn long_names_of_senders_cost_neither_memory_nor_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("refused.txt");
        let numbered = |number: u64| {
            let mut bytes = [7; 32];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            EventId::from_bytes(bytes)
        };
        let mut refused = Refused::default();
        refused.remember(numbered(0), Refusal::Forged, &"x".repeat(65_000), 1000);
        assert_eq!(refused, Refused::default());
        for number in 0..MOST_HELD as u64 + 9 {
            let sender = format!("ws://{}{}", "x".repeat(900), number % 6);
            refused.remember(numbered(number), Refusal::Forged, &sender, 1000 + number);
        }
        assert_eq!((refused.times.len(), refused.senders.len()), (MOST_HELD, 6));
        refused.save(&path).unwrap();
        let length = fs::metadata(&path).unwrap().len();
        assert!((REFUSED.most_bytes - 1100..=REFUSED.most_bytes).contains(&length));
        let newest = MOST_HELD as u64 - 1;
        let loaded = Refused::load(&path, 1000 + newest);
        assert!(loaded.of(numbered(newest)).next().is_some());
        assert!(
            loaded.of(numbered(0)).next().is_none(),
            "the oldest is forgotten"
        );
    }

    #[test]
    fn of_a_file_that_is_too_large_the_newest_still_count() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("refused.txt");
        let line = |byte: u8| format!("1000 {} ws://{}\n", id(byte), "x".repeat(65_000));
        let mut text = format!("{HEADING}\n1001 {} *\n", id(0));
        for _ in 0..40 {
            (1..=10).for_each(|byte| text.push_str(&line(byte)));
        }
        assert!(text.len() as u64 > REFUSED.most_bytes);
        fs::write(&path, text).unwrap();
        let refused = Refused::load(&path, 1001);
        assert!(refused.contains(id(0), "ws://a"));
        assert_eq!(refused.times.len(), 1, "no relay's address is that long");
    }
}
