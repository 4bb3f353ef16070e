//! [`Vocabulary`]: the words of our own messages. No other word gets into a bug report.

use std::collections::{BTreeMap, BTreeSet};

use constellation_shared::kinds::KINDS;

/// The handbook of messages and codes. Tests hold it against the sources: every warning, every
/// error and every code stands in it.
const HANDBOOK: &str = include_str!("../../../TROUBLESHOOTING.md");

/// The messages of the log if nothing is wrong, with `…` for the parts that vary.
const MESSAGES: [&str; 42] = [
    "Starting Astroport constellation backfill process",
    "Backfill process completed",
    "Collected … events from …",
    "… of … missing event came",
    "… of … missing events came",
    "shows kinds … only to clients who say who they are (NIP-42): they stay there",
    "its events are paged through",
    "usual limits are assumed",
    "the tunnel to … on port … was left by an earlier run: it is closed",
    "was called: the run failed",
    "runs in a row failed; the last one",
    "a run succeeded after … in vain",
    "peers are synced",
    "no peer gave all it has",
    "nothing could be stored",
    "it was interrupted",
    "it ended with",
    "SYNC_HEX",
    "SYNC_STATS",
    "SYNC_IMPORT",
    "SYNC_PEERS",
    "SYNC_PROFILES",
    "SYNC_FRIENDS",
    "The one peer is synced",
    "the run ended before it was done",
    "Backfill done, exit code …, in …",
    "No backfill: …; the next is due in …",
    "Waiting for …, the next is due",
    "Extracting profiles from constellation",
    "Collecting profiles",
    "Found … HEX pubkeys with profiles",
    "Found … HEX pubkeys WITHOUT profiles",
    "FULL SYNC for … (all messages, no time limit)",
    "Full sync successful for",
    "Full sync of … was in vain",
    "fallback relay answered, none with a profile",
    "fallback relays answered, none with a profile",
    "Connection refused",
    "Connection reset by peer",
    "No such file or directory",
    "Permission denied",
    "No space left on device",
];

/// Names of numbers, `name=123`, besides those of kinds and codes.
const NAMES: [&str; 16] = [
    "count",
    "events",
    "public",
    "added",
    "rejected",
    "dups",
    "replaced",
    "deleted",
    "success",
    "total",
    "found",
    "missing",
    "friends",
    "unblocked",
    "oracle",
    "ore",
];

/// The words before numbers that may be kept.
const BEFORE_NUMBERS: [&str; 6] = [
    "os error ",
    "HTTP error: ",
    "HTTP ",
    "exit status: ",
    "exit code ",
    "signal: ",
];

/// The words behind numbers that may be kept: what is counted or measured.
const UNITS: [&str; 34] = [
    "%", "B", "kB", "MB", "GB", "bytes", "ms", "s", "min", "h", "second", "seconds", "minute",
    "minutes", "hour", "hours", "day", "days", "attempt", "attempts", "event", "events", "file",
    "files", "key", "keys", "line", "lines", "peer", "peers", "run", "runs", "author", "authors",
];

/// What a text may hold.
#[derive(Debug)]
pub(super) struct Vocabulary {
    /// Parts of messages, by their first byte, the longest first.
    phrases: BTreeMap<u8, Vec<&'static str>>,
    codes: BTreeSet<&'static str>,
    names: BTreeSet<&'static str>,
}

impl Vocabulary {
    pub(super) fn new() -> Self {
        let rows = HANDBOOK.lines().filter(|line| line.starts_with("| `"));
        let cells = rows.filter_map(|row| row.split(" | ").next());
        let entries: Vec<&str> = cells
            .flat_map(|cell| cell.split('`').skip(1).step_by(2))
            .collect();
        let is_code = |entry: &&&str| entry.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let codes: BTreeSet<&str> = entries.iter().filter(is_code).copied().collect();
        let names = NAMES
            .iter()
            .chain(KINDS.iter().map(|kind| &kind.statistics_key));
        let mut phrases: BTreeMap<u8, Vec<&str>> = BTreeMap::new();
        for part in entries
            .iter()
            .chain(&MESSAGES)
            .flat_map(|entry| entry.split('…'))
        {
            let part = part.trim_matches(|c: char| !c.is_alphanumeric() && c != ')');
            // A word alone may be anybody's, unless it begins a message.
            let begins = part.len() >= 8 && part.starts_with(|c: char| c.is_ascii_uppercase());
            if (begins || part.contains(' '))
                && let Some(first) = part.bytes().next()
            {
                phrases.entry(first).or_default().push(part);
            }
        }
        for of_a_byte in phrases.values_mut() {
            of_a_byte.sort_unstable_by_key(|phrase| usize::MAX - phrase.len());
        }
        Self {
            phrases,
            names: names.chain(&codes).copied().collect(),
            codes,
        }
    }

    /// Whether this is a code of the doctor's, of a peer's failure or of a refused event's.
    pub(super) fn has_code(&self, word: &str) -> bool {
        self.codes.contains(word)
    }

    /// What of ours stands at the start of this text, which begins a word.
    pub(super) fn at_start<'a>(&self, text: &'a str) -> Option<&'a str> {
        self.phrase(text)
            .or_else(|| self.code_in_brackets(text))
            .or_else(|| self.named_number(text))
            .or_else(|| measure(text))
    }

    fn phrase<'a>(&self, text: &'a str) -> Option<&'a str> {
        let phrases = self.phrases.get(text.as_bytes().first()?)?;
        let phrase = phrases.iter().find(|phrase| {
            text.strip_prefix(**phrase)
                .is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
        })?;
        text.get(..phrase.len())
    }

    fn code_in_brackets<'a>(&self, text: &'a str) -> Option<&'a str> {
        let (code, _) = text.strip_prefix('[')?.split_once(']')?;
        self.has_code(code).then(|| text.get(..code.len() + 2))?
    }

    /// `name=123` or, behind words that announce it, a number.
    fn named_number<'a>(&self, text: &'a str) -> Option<&'a str> {
        let announced = BEFORE_NUMBERS
            .iter()
            .find(|before| text.starts_with(**before));
        let start = match announced {
            Some(before) => before.len(),
            None => {
                let (name, _) = text.split_once('=')?;
                self.names.contains(name).then_some(name.len() + 1)?
            }
        };
        let number = number(text.get(start..)?)?;
        text.get(..start + number.len())
    }
}

/// A number with its unit, `30 s`.
fn measure(text: &str) -> Option<&str> {
    let number = number(text)?;
    let behind = text.get(number.len()..)?;
    let unit = behind.strip_prefix(' ').unwrap_or(behind);
    let is_end = |c: char| !c.is_alphanumeric() && c != '%';
    let length = unit.find(is_end).unwrap_or(unit.len());
    let word = unit.get(..length)?;
    let end = text.len() - unit.len() + length;
    UNITS.contains(&word).then(|| text.get(..end))?
}

/// A number of at most nine digits, with at most three behind a point.
fn number(text: &str) -> Option<&str> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(text);
    let fraction = text.get(whole..)?.strip_prefix('.').map_or(0, digits);
    let length = whole + if fraction > 0 { fraction + 1 } else { 0 };
    ((1..=9).contains(&whole) && fraction <= 3).then(|| text.get(..length))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_ours_is_known() {
        let vocabulary = Vocabulary::new();
        for (text, known) in [
            (
                "WebSocket backfill failed after 3",
                "WebSocket backfill failed after",
            ),
            ("[connect_refused] x", "[connect_refused]"),
            ("dms=45 x", "dms=45"),
            ("forged=1", "forged=1"),
            ("os error 111)", "os error 111"),
            ("3 attempts: x", "3 attempts"),
            ("1.5 s; x", "1.5 s"),
            ("98 %", "98 %"),
        ] {
            assert_eq!(vocabulary.at_start(text), Some(known), "{text}");
        }
        for text in [
            "token=123",
            "[secret]",
            "1234567890 s",
            "12 monkeys",
            "failed",
            "1.2345 s",
            "passphrase: 1234",
            "3 attemptsx",
        ] {
            assert_eq!(vocabulary.at_start(text), None, "{text}");
        }
    }
}
