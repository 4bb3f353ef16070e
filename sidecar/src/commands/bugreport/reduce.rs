//! [`Reducer`]: removes everything from a text that is not ours.
//!
//! Other programs print whatever they like into our logs: a hook its bot's token, a filter a
//! passphrase, git an address with a password. Nobody can list what a secret looks like, so the only
//! words that stay are those of our own messages, our codes, and the numbers that our messages
//! contain. Everything else becomes `…`.

use std::collections::BTreeMap;

use super::vocabulary::Vocabulary;

/// What stands for what was left out.
const GAP: &str = "…";

/// What a relay's address begins with, as we write it.
const ADDRESSES: [&str; 3] = ["wss://", "ws://", "/x/strfry-"];

/// The length of `[2025-10-30 12:34:56]`.
const TIME: usize = 21;

/// The levels of our log.
const LEVELS: [&str; 3] = ["[INFO]", "[WARN]", "[ERROR]"];

/// Reduces texts; the same peer is the same number in all of them.
#[derive(Debug)]
pub(super) struct Reducer {
    vocabulary: Vocabulary,
    peers: BTreeMap<String, usize>,
}

/// What is left of a log.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ReducedLog {
    pub(super) lines: Vec<String>,
    /// How many lines hold nothing of ours, or are none of ours.
    pub(super) left_out: usize,
}

impl Reducer {
    pub(super) fn new() -> Self {
        Self {
            vocabulary: Vocabulary::new(),
            peers: BTreeMap::new(),
        }
    }

    /// The number by which a peer is called.
    pub(super) fn peer(&mut self, url: &str) -> usize {
        let next = self.peers.len() + 1;
        *self.peers.entry(url.to_owned()).or_insert(next)
    }

    /// The word, if it is one of our codes.
    pub(super) fn code<'a>(&self, word: &'a str) -> Option<&'a str> {
        self.vocabulary.has_code(word).then_some(word)
    }

    /// What is ours of a text, with `…` for the rest.
    pub(super) fn text(&mut self, text: &str) -> String {
        let mut reduced = String::new();
        let mut rest = text;
        let mut begins_word = true;
        while let Some(c) = rest.chars().next() {
            let peer = ADDRESSES.iter().any(|start| rest.starts_with(start));
            let known = if begins_word {
                self.vocabulary.at_start(rest)
            } else {
                None
            };
            let length = if let Some(known) = known {
                push(&mut reduced, known);
                known.len()
            } else if peer && begins_word {
                let is_end = |c: char| c.is_whitespace() || "\"',;()".contains(c);
                let url = rest.split(is_end).next().unwrap_or_default();
                let number = self.peer(url.trim_end_matches(':'));
                push(&mut reduced, &format!("peer {number}"));
                url.len()
            } else {
                if c.is_alphanumeric() && !reduced.ends_with(GAP) {
                    push(&mut reduced, GAP);
                }
                c.len_utf8()
            };
            begins_word = known.is_some() || !c.is_alphanumeric();
            rest = rest.get(length..).unwrap_or_default();
        }
        reduced
    }

    /// What is ours of a log: the time and level of each line, and of its message what
    /// [`Self::text`] leaves. What a hook printed is left out.
    pub(super) fn log<'a>(&mut self, lines: impl Iterator<Item = &'a str>) -> ReducedLog {
        let mut log = ReducedLog::default();
        for line in lines {
            match self.log_line(line) {
                Some(line) => log.lines.push(line),
                None => log.left_out += 1,
            }
        }
        log
    }

    fn log_line(&mut self, line: &str) -> Option<String> {
        let (time, rest) = line.split_at_checked(TIME)?;
        let is_time = time.bytes().zip(b"[0000-00-00 00:00:00]").all(|(c, form)| {
            if *form == b'0' {
                c.is_ascii_digit()
            } else {
                c == *form
            }
        });
        let (level, message) = rest.strip_prefix(' ')?.split_once(' ')?;
        if !is_time || !LEVELS.contains(&level) || is_a_hook_s(message) {
            return None;
        }
        let message = self.text(message);
        // A peer alone says nothing.
        let is_ours = |word: &str| word != GAP && word != "peer" && word.parse::<usize>().is_err();
        message
            .split(' ')
            .any(is_ours)
            .then(|| format!("{time} {level} {message}"))
    }
}

/// Whether a message hands on what a hook printed.
fn is_a_hook_s(message: &str) -> bool {
    ["--on-failure: ", "--on-recovery: "]
        .iter()
        .any(|option| message.starts_with(option))
}

fn push(text: &mut String, piece: &str) {
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(piece);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_is_left() {
        let mut reducer = Reducer::new();
        for (text, reduced) in [
            (
                "WebSocket backfill failed after 3 attempts: wss://a.org: cannot connect to a.org: Connection refused (os error 111) [connect_refused]",
                "WebSocket backfill failed after 3 attempts peer 1 cannot connect to … Connection refused os error 111 [connect_refused]",
            ),
            (
                "Collected 5 events from wss://a.org",
                "Collected 5 events … peer 1",
            ),
            (
                "Collected 5 events from ws://b.org/x?token=1",
                "Collected 5 events … peer 2",
            ),
            ("SYNC_HEX: count=127", "SYNC_HEX count=127"),
            ("hunter2 SALT=abc 12345678", "…"),
            ("", ""),
        ] {
            assert_eq!(reducer.text(text), reduced, "{text}");
        }
    }

    #[test]
    fn a_line_of_the_log_is_ours_by_its_form_alone() {
        let mut reducer = Reducer::new();
        let lines = [
            "[2026-11-01 00:00:00] [INFO] Backfill process completed",
            "[2026-11-01 00:00:00] [INFO] --on-failure: Backfill process completed",
            "[2026-11-01 00:00:00] [INFO] a secret",
            "[2026-11-01 00:00:00] [FATAL] Backfill process completed",
            "[a secret, 20 digits] [INFO] Backfill process completed",
            "Backfill process completed",
            "",
        ];
        let log = reducer.log(lines.into_iter());
        assert_eq!(log.lines, [lines[0]]);
        assert_eq!(log.left_out, 6);
    }
}
