//! [`Refused`]: events that were refused before and need not be downloaded again
//! (`strfry/constellation-refused.txt`). The file may be deleted at any time.
//!
//! A genuine event is remembered by its id, for all peers, until the reason of its refusal ends.
//! With its author, kind and time it takes part in reconciliation as if it were here, so that a
//! peer that holds it does not list it each time. A forged event is remembered only for the peer
//! that sent it and for an hour, because the genuine event of the same id is welcome; a message that
//! was too long to be taken, for the peer and a day. Of genuine events beyond the most that are remembered so, only the ids are, for a day: whoever signs
//! hundreds of thousands of events that nobody takes has them downloaded once a day, not each hour.

mod beyond;
mod entry;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::sync::Arc;

use constellation_shared::EventId;

use crate::admission::rules::Refusal;
use crate::relay::about::About;
use crate::relay::message::Head;
use crate::strfry::conf::EventLimits;
use crate::support::state_file::REFUSED;

use beyond::Beyond;
pub(crate) use entry::Present;
use entry::{Answer, AnswerKind, Entry, Line, Reason, limit_of};

/// The first line of the file.
const HEADING: &str = "constellation-refused 2";

/// The first line of a file of version 1, which knew nothing of an event but its id.
const HEADING_1: &str = "constellation-refused 1";

/// How many refusals the file holds at most; the oldest are forgotten first.
const MOST: usize = 100_000;

/// How many refusals are held in memory during a run at most.
const MOST_HELD: usize = 2 * MOST;

/// The longest address of a sender that is remembered, in bytes.
const LONGEST_SENDER: usize = 1000;

/// The refusals that are remembered.
#[derive(Debug, Clone, Default)]
pub struct Refused {
    /// Genuine events, which are refused from every peer.
    events: BTreeMap<EventId, Entry>,
    /// What a peer sent in the place of an event.
    answers: BTreeMap<(EventId, Arc<str>), Answer>,
    /// Genuine events for which there was no room.
    beyond: Beyond,
    /// Each sender's address once: a sender of forged events may appear with thousands of ids.
    senders: BTreeSet<Arc<str>>,
}

impl PartialEq for Refused {
    fn eq(&self, other: &Self) -> bool {
        self.events == other.events && self.answers == other.answers && self.beyond == other.beyond
    }
}

impl Refused {
    /// Reads the refusals that are still remembered at `now`, in Unix seconds; none if the file is
    /// missing or of an unknown version. Lines of another form are skipped. Of a file that is too
    /// large only the beginning is read, which holds the newest refusals.
    pub fn load(path: &Path, now: u64) -> Self {
        let bytes = REFUSED.read_beginning(path).unwrap_or_default();
        let mut refused = Self::default();
        let mut lines = bytes.split(|&byte| byte == b'\n');
        let parse = match lines.next() {
            Some(heading) if heading == HEADING.as_bytes() => Line::parse,
            Some(heading) if heading == HEADING_1.as_bytes() => Line::parse_version_1,
            _ => return refused,
        };
        for line in lines {
            if let Some(beyond) = Beyond::parse(line) {
                refused.beyond = beyond.fresh(now);
                continue;
            }
            let Some(line) = parse(line) else { continue };
            if !line.is_fresh(now) {
                continue;
            }
            match line {
                Line::Event(id, entry) => refused.insert(id, entry),
                Line::Answer { id, sender, answer } => refused.insert_answer(id, sender, answer),
            }
        }
        refused
    }

    /// Forgets the refusals whose reason has ended.
    pub(crate) fn forget_ended(&mut self, present: &Present<'_>) {
        self.events.retain(|_, entry| !entry.has_ended(present));
    }

    /// Forgets what strfry did not keep: another database may keep it.
    #[allow(
        dead_code,
        reason = "called once the identity of the database is known"
    )]
    pub(crate) fn forget_not_kept(&mut self) {
        let may_be_not_kept =
            |entry: &Entry| matches!(entry.reason, Reason::NotKept | Reason::Unknown);
        self.events.retain(|_, entry| !may_be_not_kept(entry));
        self.beyond = Beyond::default();
    }

    /// Whether this peer need not be asked for the event.
    pub fn contains(&self, id: EventId, peer: &str) -> bool {
        self.events.contains_key(&id)
            || self.beyond.contains(&id)
            || self.answers_for(id).any(|(sender, _)| sender == peer)
    }

    /// Every refusal of this event: its sender, `None` for all senders, and its time in Unix
    /// seconds.
    pub fn of(&self, id: EventId) -> impl Iterator<Item = (Option<&str>, u64)> {
        let genuine = self.events.get(&id).map(|entry| (None, entry.when));
        let forged = self
            .answers_for(id)
            .map(|(sender, when)| (Some(sender), when));
        genuine.into_iter().chain(forged)
    }

    /// The refused events of which more than the id is known.
    pub(crate) fn known(&self) -> impl Iterator<Item = (EventId, &About)> {
        let known = self.events.iter();
        known.filter_map(|(id, entry)| Some((*id, entry.about.as_ref()?)))
    }

    /// Who sent something else in the place of this event, and when, in Unix seconds.
    fn answers_for(&self, id: EventId) -> impl Iterator<Item = (&str, u64)> {
        let first: Arc<str> = "".into();
        self.answers
            .range((id, first)..)
            .take_while(move |((of, _), _)| *of == id)
            .map(|((_, sender), answer)| (&**sender, answer.when))
    }

    /// Remembers that an event from this peer was refused at `now`, in Unix seconds, while strfry
    /// had these limits.
    pub fn remember(
        &mut self,
        event: &Head,
        refusal: Refusal,
        peer: &str,
        now: u64,
        limits: EventLimits,
    ) {
        let reason = match refusal {
            // Its id was not verified, and may be that of another event.
            Refusal::Unasked => return,
            Refusal::Forged => {
                let kind = AnswerKind::Forged;
                return self.insert_answer(event.id, peer, Answer { kind, when: now });
            }
            refusal => match limit_of(refusal, limits) {
                Some(limit) => Reason::Limit(refusal, limit),
                None => Reason::Rule(refusal),
            },
        };
        let entry = Entry {
            reason,
            when: now,
            about: Some(event.into()),
        };
        self.insert(event.id, entry);
    }

    /// Remembers that this peer sent a message at `now`, in Unix seconds, that was too long to be taken
    /// when it was asked for an event. Other peers may still send it.
    pub(crate) fn remember_overlong(&mut self, id: EventId, peer: &str, now: u64) {
        let kind = AnswerKind::Overlong;
        self.insert_answer(id, peer, Answer { kind, when: now });
    }

    /// Remembers that strfry did not keep an event, no matter which peer sends it; `about` is what
    /// else is known of the event.
    pub(crate) fn remember_not_kept(&mut self, id: EventId, about: Option<About>, now: u64) {
        let entry = Entry {
            reason: Reason::NotKept,
            when: now,
            about,
        };
        self.insert(id, entry);
    }

    /// Writes the newest refusals, as many as there is room for, atomically.
    ///
    /// # Errors
    /// If the file cannot be written; it is then unchanged.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let events = self.events.iter();
        let events = events.map(|(id, entry)| Line::Event(*id, *entry));
        let answers = self.answers.iter();
        let answers = answers.map(|((id, sender), answer)| Line::Answer {
            id: *id,
            sender,
            answer: *answer,
        });
        let mut lines: Vec<Line<'_>> = events.chain(answers).collect();
        lines.sort_by_key(|line| std::cmp::Reverse(line.when()));
        let mut beyond = self.beyond.clone();
        for line in lines.iter().skip(MOST) {
            if let Line::Event(id, entry) = line {
                beyond.insert(id, entry.when);
            }
        }
        let mut text = format!("{HEADING}\n{beyond}");
        let mut written = 0;
        for line in lines.iter().take(MOST) {
            let before = text.len();
            // Writing to a string never fails.
            let _ = writeln!(text, "{line}");
            if text.len() as u64 > REFUSED.most_bytes {
                text.truncate(before);
                break;
            }
            written += 1;
        }
        let forgotten = lines.len() - written;
        let known_by_id = beyond.len() - self.beyond.len();
        if forgotten > known_by_id {
            REFUSED.warn_forgotten(path, forgotten - known_by_id);
        }
        REFUSED.write(path, text.as_bytes())
    }

    /// Whether there is room for one more refusal. What is not remembered is merely downloaded
    /// again.
    fn has_room(&self) -> bool {
        self.events.len() + self.answers.len() < MOST_HELD
    }

    fn insert(&mut self, id: EventId, entry: Entry) {
        if self.has_room() {
            self.events.insert(id, entry);
        } else {
            self.beyond.insert(&id, entry.when);
        }
    }

    fn insert_answer(&mut self, id: EventId, sender: &str, answer: Answer) {
        if sender.len() <= LONGEST_SENDER && self.has_room() {
            let sender = self.name(sender);
            self.answers.insert((id, sender), answer);
        }
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

#[cfg(test)]
mod tests {
    use super::entry::{FORGERY_REMEMBERED, OVERLONG_REMEMBERED, REMEMBERED};
    use super::*;
    use constellation_shared::Pubkey;
    use std::fs;

    fn id(byte: u8) -> EventId {
        EventId::from_bytes([byte; 32])
    }

    fn numbered(number: u64) -> EventId {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        EventId::from_bytes(bytes)
    }

    fn head(id: EventId) -> Head {
        Head {
            id,
            author: Pubkey::from_bytes([9; 32]),
            kind: 1,
            created_at: 500,
        }
    }

    fn refuse(refused: &mut Refused, id: EventId, refusal: Refusal, peer: &str, now: u64) {
        refused.remember(&head(id), refusal, peer, now, EventLimits::default());
    }

    #[test]
    fn a_refusal_is_remembered_for_thirty_days() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("refused.txt");
        let mut refused = Refused::load(&path, 0);
        refuse(&mut refused, id(1), Refusal::Visitor, "ws://a", 1000);
        refused.remember_not_kept(id(2), None, 1000);
        refused.save(&path).unwrap();
        let later = |now| Refused::load(&path, now);
        assert_eq!(later(1000 + REMEMBERED - 1), refused);
        assert_eq!(later(1000 + REMEMBERED), Refused::default());
        assert_eq!(later(999), Refused::default(), "the clock was set back");
        assert!(refused.contains(id(1), "ws://b") && refused.contains(id(2), "ws://b"));
        let known: Vec<_> = later(1000)
            .known()
            .map(|(id, about)| (id, *about))
            .collect();
        assert_eq!(known, [(id(1), About::from(&head(id(1))))]);
    }

    #[test]
    fn a_forgery_is_held_against_its_sender_alone_and_for_an_hour() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("refused.txt");
        let mut refused = Refused::default();
        refuse(&mut refused, id(1), Refusal::Forged, "ws://liar", 1000);
        assert!(refused.contains(id(1), "ws://liar"));
        assert!(!refused.contains(id(1), "ws://honest"));
        assert_eq!(refused.known().count(), 0, "it stands in no set");
        refused.save(&path).unwrap();
        let later = |now| Refused::load(&path, now).contains(id(1), "ws://liar");
        assert!(later(1000 + FORGERY_REMEMBERED - 1));
        assert!(!later(1000 + FORGERY_REMEMBERED));
    }

    #[test]
    fn a_message_that_was_too_long_is_not_asked_of_its_sender_again_for_a_day() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("refused.txt");
        let mut refused = Refused::default();
        refused.remember_overlong(id(1), "ws://long", 1000);
        assert!(refused.contains(id(1), "ws://long"));
        assert!(!refused.contains(id(1), "ws://other"));
        assert_eq!(refused.known().count(), 0, "it stands in no set");
        refused.save(&path).unwrap();
        let later = |now| Refused::load(&path, now).contains(id(1), "ws://long");
        assert!(later(1000 + OVERLONG_REMEMBERED - 1));
        assert!(!later(1000 + OVERLONG_REMEMBERED));
    }

    #[test]
    fn what_was_not_verified_is_not_remembered() {
        let mut refused = Refused::default();
        refuse(&mut refused, id(1), Refusal::Unasked, "ws://a", 1000);
        assert_eq!(refused, Refused::default());
    }

    #[test]
    fn what_another_database_may_keep_is_forgotten_with_the_old_one() {
        let mut refused = Refused::default();
        refuse(&mut refused, id(1), Refusal::Visitor, "ws://a", 1000);
        refused.remember_not_kept(id(2), None, 1000);
        refused.forget_not_kept();
        assert!(refused.contains(id(1), "ws://a") && !refused.contains(id(2), "ws://a"));
    }

    #[test]
    fn what_version_1_remembers_is_known_by_its_id() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("refused.txt");
        let text = format!("{HEADING_1}\n1000 {} *\n1000 {} ws://a\n", id(1), id(2));
        fs::write(&path, text).unwrap();
        let refused = Refused::load(&path, 1001);
        assert!(refused.contains(id(1), "ws://b"));
        assert!(refused.contains(id(2), "ws://a") && !refused.contains(id(2), "ws://b"));
        assert_eq!(refused.known().count(), 0, "nothing is known but the ids");
    }

    #[test]
    fn the_file_is_bounded_and_a_broken_one_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("refused.txt");
        let mut refused = Refused::default();
        for number in 0..MOST as u64 + 5 {
            refused.remember_not_kept(numbered(number), None, number);
        }
        refused.save(&path).unwrap();
        assert_eq!(Refused::load(&path, MOST as u64 + 5).events.len(), MOST);
        for text in ["", "constellation-refused 3\n", "x\n"] {
            fs::write(&path, text).unwrap();
            assert_eq!(Refused::load(&path, 1), Refused::default());
        }
        fs::write(&path, format!("{HEADING}\nx\n1 y *\n1 {} visitor\n", id(3))).unwrap();
        assert_eq!(Refused::load(&path, 1).events.len(), 1);
    }

    #[test]
    fn of_more_refused_events_than_are_remembered_the_ids_are_for_a_day() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("refused.txt");
        let mut refused = Refused::default();
        let many = MOST_HELD as u64 + 50_000;
        for number in 0..many {
            refuse(
                &mut refused,
                numbered(number),
                Refusal::Visitor,
                "ws://a",
                1000,
            );
        }
        let known = |refused: &Refused| {
            let known = (0..many).filter(|number| refused.contains(numbered(*number), "ws://b"));
            known.count() as u64
        };
        assert_eq!(known(&refused), many);
        refused.save(&path).unwrap();
        let length = fs::metadata(&path).unwrap().len();
        assert!(length <= REFUSED.most_bytes, "{length}");
        let later = Refused::load(&path, 1001);
        assert_eq!(known(&later), many, "none is downloaded in the next run");
        // Nor in the one after that.
        later.save(&path).unwrap();
        assert_eq!(known(&Refused::load(&path, 2000)), many);
        let tomorrow = Refused::load(&path, 1000 + 86_400);
        assert_eq!(known(&tomorrow), MOST as u64);
        assert!(!tomorrow.contains(EventId::from_bytes([9; 32]), "ws://a"));
    }

    #[test]
    fn long_names_of_senders_cost_neither_memory_nor_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("refused.txt");
        let mut refused = Refused::default();
        let long = "x".repeat(65_000);
        refuse(&mut refused, numbered(0), Refusal::Forged, &long, 1000);
        assert_eq!(refused, Refused::default());
        for number in 0..MOST_HELD as u64 + 9 {
            let sender = format!("ws://{}{}", "x".repeat(900), number % 6);
            let forged = numbered(number);
            refuse(
                &mut refused,
                forged,
                Refusal::Forged,
                &sender,
                1_000_000 + number / 100,
            );
        }
        assert_eq!(
            (refused.answers.len(), refused.senders.len()),
            (MOST_HELD, 6)
        );
        refused.save(&path).unwrap();
        let length = fs::metadata(&path).unwrap().len();
        assert!((REFUSED.most_bytes - 1100..=REFUSED.most_bytes).contains(&length));
        let newest = MOST_HELD as u64 - 1;
        let loaded = Refused::load(&path, 1_000_000 + newest / 100);
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
        let line = |byte: u8| format!("1000 {} forged ws://{}\n", id(byte), "x".repeat(65_000));
        let mut text = format!("{HEADING}\n1001 {} visitor\n", id(0));
        for _ in 0..40 {
            (1..=10).for_each(|byte| text.push_str(&line(byte)));
        }
        assert!(text.len() as u64 > REFUSED.most_bytes);
        fs::write(&path, text).unwrap();
        let refused = Refused::load(&path, 1001);
        assert!(refused.contains(id(0), "ws://a"));
        assert!(
            refused.answers.is_empty(),
            "no relay's address is that long"
        );
    }
}
