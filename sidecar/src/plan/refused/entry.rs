//! [`Entry`]: one refused event as it is remembered, and its line in the file.

use std::fmt;
use std::str::FromStr;

use constellation_shared::{EventId, Pubkey, hex, kinds, unhex};

use crate::admission::rules::{FUTURE_TOLERANCE, Refusal};
use crate::relay::about::{About, AuthorPrefix, has_author};
use crate::strfry::conf::EventLimits;

/// How long a refusal is remembered, in seconds: 30 days.
pub(super) const REMEMBERED: u64 = 30 * 86_400;

/// How long a forgery is held against its sender, in seconds. A go-between that damages events
/// for a while would otherwise keep the genuine ones out for a long time.
pub(super) const FORGERY_REMEMBERED: u64 = 3600;

/// How long it is remembered that a peer sent an event too long to be taken, in seconds. As with a
/// forgery, another peer may send the genuine event of this id.
pub(super) const OVERLONG_REMEMBERED: u64 = 24 * 3600;

/// How long it is remembered that strfry did not keep one of several versions of an event, in
/// seconds. It may have kept a newer version that its author deleted since: then this one is wanted.
pub(super) const VERSION_REMEMBERED: u64 = 12 * 3600;

/// The word in the file for [`Reason::NotKept`].
const NOT_KEPT: &str = "not_kept";

/// The word in the file for [`AnswerKind::Overlong`].
const OVERLONG: &str = "overlong";

/// The word in the file for [`Reason::Unknown`].
const UNKNOWN: &str = "unknown";

/// Why an event is not held here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// A rule refused it, other than those below.
    Rule(Refusal),
    /// It is beyond a limit of strfry, which was this at the time.
    Limit(Refusal, u64),
    /// strfry did not keep it: it was deleted or replaced.
    NotKept,
    /// An earlier version of this program did not say.
    Unknown,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(refusal) => f.write_str(refusal.code()),
            Self::Limit(refusal, limit) => write!(f, "{}:{limit}", refusal.code()),
            Self::NotKept => f.write_str(NOT_KEPT),
            Self::Unknown => f.write_str(UNKNOWN),
        }
    }
}

impl FromStr for Reason {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        if let Some((code, limit)) = word.split_once(':') {
            let mut all = Refusal::ALL.into_iter();
            let refusal = all.find(|refusal| refusal.code() == code && has_limit(*refusal));
            let limit = limit.parse().map_err(|_| ())?;
            return refusal.map(|refusal| Self::Limit(refusal, limit)).ok_or(());
        }
        let is_rule = |refusal: &&Refusal| refusal.code() == word;
        match (word, Refusal::ALL.iter().find(is_rule)) {
            (NOT_KEPT, _) => Ok(Self::NotKept),
            (UNKNOWN, _) => Ok(Self::Unknown),
            // Without its limit it would never end.
            (_, Some(refusal)) if has_limit(*refusal) => Err(()),
            (_, None) => Err(()),
            (_, Some(refusal)) => Ok(Self::Rule(*refusal)),
        }
    }
}

/// The limit of strfry by which an event is refused for this reason; `None` if it is none.
pub(super) const fn limit_of(refusal: Refusal, limits: EventLimits) -> Option<u64> {
    match refusal {
        Refusal::TooLong => Some(limits.bytes as u64),
        Refusal::TooManyTags => Some(limits.tags as u64),
        Refusal::TagTooLong => Some(limits.tag_value as u64),
        _ => None,
    }
}

fn has_limit(refusal: Refusal) -> bool {
    limit_of(refusal, EventLimits::default()).is_some()
}

/// What a refusal is compared with to see whether its reason has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Present<'a> {
    /// Unix time in seconds.
    pub now: u64,
    /// The keys that are followed and not blocked, in ascending order.
    pub followed: &'a [Pubkey],
    /// The limits of strfry.
    pub limits: EventLimits,
}

impl Present<'_> {
    /// Whether somebody is followed whose pubkey begins so.
    pub(crate) fn follows(&self, author: &AuthorPrefix) -> bool {
        has_author(self.followed, author)
    }
}

/// A refused event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) reason: Reason,
    /// When it was refused, in Unix seconds.
    pub(super) when: u64,
    /// `None` if only its id is known.
    pub(super) about: Option<About>,
}

impl Entry {
    /// Whether the reason of the refusal has ended, so that the event may come in now.
    pub(super) fn has_ended(&self, present: &Present<'_>) -> bool {
        let about = self.about.as_ref();
        match self.reason {
            Reason::Rule(Refusal::Blocked) => {
                about.is_none_or(|about| present.follows(&about.author))
            }
            Reason::Rule(Refusal::Future) => about.is_none_or(|about| {
                about.created_at <= present.now.saturating_add(FUTURE_TOLERANCE)
            }),
            Reason::Limit(refusal, limit) => {
                limit_of(refusal, present.limits).is_none_or(|present| present > limit)
            }
            Reason::NotKept => {
                let age = present.now.saturating_sub(self.when);
                age >= VERSION_REMEMBERED && about.is_none_or(|about| has_versions(about.kind))
            }
            Reason::Rule(_) | Reason::Unknown => false,
        }
    }
}

/// Whether events of this kind replace each other.
const fn has_versions(kind: u16) -> bool {
    kinds::is_replaceable(kind) || kinds::is_addressable(kind)
}

/// What one peer sent when it was asked for an event, which is held against that peer alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    /// What it was.
    pub(super) kind: AnswerKind,
    /// When it came, in Unix seconds.
    pub(super) when: u64,
}

/// What one peer sent in the place of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerKind {
    /// A forgery.
    Forged,
    /// A message that was too long to be taken.
    Overlong,
}

impl AnswerKind {
    /// Its word in the file.
    fn word(self) -> &'static str {
        match self {
            Self::Forged => Refusal::Forged.code(),
            Self::Overlong => OVERLONG,
        }
    }

    fn of_word(word: &str) -> Option<Self> {
        let mut all = [Self::Forged, Self::Overlong].into_iter();
        all.find(|kind| kind.word() == word)
    }

    /// For how long it is remembered, in seconds.
    const fn remembered(self) -> u64 {
        match self {
            Self::Forged => FORGERY_REMEMBERED,
            Self::Overlong => OVERLONG_REMEMBERED,
        }
    }
}

/// One line of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// A genuine event that is refused from every peer.
    Event(EventId, Entry),
    /// What one peer sent in the place of this event.
    Answer {
        id: EventId,
        sender: &'a str,
        answer: Answer,
    },
}

impl<'a> Line<'a> {
    /// Reads a line of version 2: time, id and reason, then what is known of the event; or
    /// time, id, `forged` or `overlong`, and the sender.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(line).ok()?.split(' ');
        let when = words.next()?.parse().ok()?;
        let id = words.next()?.parse().ok()?;
        let reason = words.next()?;
        if let Some(kind) = AnswerKind::of_word(reason) {
            let sender = words.next()?;
            let answer = Answer { kind, when };
            return Some(Self::Answer { id, sender, answer });
        }
        let reason = reason.parse().ok()?;
        let about = match words.next() {
            None => None,
            Some(created_at) => Some(About {
                created_at: created_at.parse().ok()?,
                kind: words.next()?.parse().ok()?,
                author: unhex(words.next()?)?.try_into().ok()?,
            }),
        };
        Some(Self::Event(
            id,
            Entry {
                reason,
                when,
                about,
            },
        ))
    }

    /// Reads a line of version 1: time, id and sender, or `*` for all senders.
    pub(super) fn parse_version_1(line: &'a [u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(line).ok()?.split(' ');
        let when = words.next()?.parse().ok()?;
        let id = words.next()?.parse().ok()?;
        let line = match words.next()? {
            "*" => Self::Event(
                id,
                Entry {
                    reason: Reason::Unknown,
                    when,
                    about: None,
                },
            ),
            sender => Self::Answer {
                id,
                sender,
                answer: Answer {
                    kind: AnswerKind::Forged,
                    when,
                },
            },
        };
        Some(line)
    }

    /// When the event was refused, in Unix seconds.
    pub(super) const fn when(&self) -> u64 {
        match self {
            Self::Event(_, entry) => entry.when,
            Self::Answer { answer, .. } => answer.when,
        }
    }

    /// Whether a refusal of this age is still remembered at `now`, in Unix seconds. One from the
    /// future says nothing: the clock was set back.
    pub(super) fn is_fresh(&self, now: u64) -> bool {
        let remembered = match self {
            Self::Event(..) => REMEMBERED,
            Self::Answer { answer, .. } => answer.kind.remembered(),
        };
        let age = now.checked_sub(self.when());
        age.is_some_and(|age| age < remembered)
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer { id, sender, answer } => {
                write!(f, "{} {id} {} {sender}", answer.when, answer.kind.word())
            }
            Self::Event(id, entry) => {
                write!(f, "{} {id} {}", entry.when, entry.reason)?;
                if let Some(about) = &entry.about {
                    let author = hex(&about.author);
                    write!(f, " {} {} {author}", about.created_at, about.kind)?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: AuthorPrefix = [7; 8];

    fn entry(reason: Reason) -> Entry {
        Entry {
            reason,
            when: 1000,
            about: Some(About {
                created_at: 5000,
                kind: 1,
                author: PREFIX,
            }),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let id = EventId::from_bytes([3; 32]);
        let mut reasons: Vec<Reason> = Refusal::ALL.map(Reason::Rule).to_vec();
        let is_written_otherwise = |refusal: &Refusal| {
            *refusal == Refusal::Forged || limit_of(*refusal, EventLimits::default()).is_some()
        };
        reasons.retain(|reason| match reason {
            Reason::Rule(refusal) => !is_written_otherwise(refusal),
            _ => true,
        });
        reasons.extend([
            Reason::Limit(Refusal::TooLong, 65_536),
            Reason::Limit(Refusal::TooManyTags, 500),
            Reason::Limit(Refusal::TagTooLong, 512),
            Reason::NotKept,
            Reason::Unknown,
        ]);
        for reason in reasons {
            for about in [None, entry(reason).about] {
                let line = Line::Event(
                    id,
                    Entry {
                        about,
                        ..entry(reason)
                    },
                );
                let text = line.to_string();
                assert_eq!(Line::parse(text.as_bytes()), Some(line), "{text}");
            }
        }
        for kind in [AnswerKind::Forged, AnswerKind::Overlong] {
            let answer = Line::Answer {
                id,
                sender: "ws://a",
                answer: Answer { kind, when: 7 },
            };
            assert_eq!(Line::parse(answer.to_string().as_bytes()), Some(answer));
        }
        for text in ["", "1", "1 x visitor", "x 00 visitor", "1 00 nonsense"] {
            let text = text.replace("00", &id.to_string());
            assert_eq!(Line::parse(text.as_bytes()), None, "{text}");
        }
        let broken = format!("1 {id} visitor 5 1 07");
        assert_eq!(Line::parse(broken.as_bytes()), None);
        for word in [
            "too_long",
            "tag_too_long",
            "visitor:5",
            "nonsense:5",
            "too_long:x",
        ] {
            let line = format!("1 {id} {word}");
            assert_eq!(Line::parse(line.as_bytes()), None, "{word}");
        }
    }

    #[test]
    fn a_refusal_ends_with_its_reason() {
        let key = |byte| Pubkey::from_bytes([byte; 32]);
        let others = [key(1), key(9)];
        let with_author = [key(1), key(7), key(9)];
        let present = |now, followed, limit| Present {
            now,
            followed,
            limits: EventLimits {
                bytes: limit,
                tags: limit,
                tag_value: limit,
            },
        };
        let ends = |reason, present: Present<'_>| entry(reason).has_ended(&present);
        let blocked = Reason::Rule(Refusal::Blocked);
        assert!(!ends(blocked, present(0, &others, 10)));
        assert!(ends(blocked, present(0, &with_author, 10)));
        let future = Reason::Rule(Refusal::Future);
        assert!(!ends(future, present(4099, &others, 10)));
        assert!(ends(future, present(4100, &others, 10)));
        for refusal in [Refusal::TooLong, Refusal::TooManyTags, Refusal::TagTooLong] {
            let reason = Reason::Limit(refusal, 10);
            assert!(!ends(reason, present(0, &others, 9)));
            assert!(!ends(reason, present(0, &others, 10)));
            assert!(ends(reason, present(0, &others, 11)));
        }
        for reason in [
            Reason::Rule(Refusal::Visitor),
            Reason::NotKept,
            Reason::Unknown,
        ] {
            assert!(!ends(reason, present(9_000_000, &with_author, 1_000_000)));
        }
        for kind in [0, 10_002, 30_023] {
            let mut version = entry(Reason::NotKept);
            version.about = version.about.map(|about| About { kind, ..about });
            let ended = |now| version.has_ended(&present(now, &others, 10));
            let end = version.when + VERSION_REMEMBERED;
            assert!(!ended(end - 1) && ended(end), "{kind}");
        }
    }
}
