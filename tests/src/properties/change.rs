//! Small changes to a text, to make of an example what no example shows.

use crate::author::Random;

/// What no random change of a byte would hit on.
const WORDS: [&[u8]; 24] = [
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"1e400",
    b"18446744073709551616",
    b"-0.0",
    b"\n",
    b"\r\n",
    b" ",
    b"#",
    b"=",
    b"0x",
    b"npub1",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\xe2\x80\xae",
];

/// A change.
#[derive(Debug, Clone)]
pub enum Change {
    /// Another byte.
    Put(u8),
    /// Upper case for lower case, and the other way round.
    SwapCase,
    /// A word that means something, by its number.
    Insert(u8),
    /// So many bytes less.
    Remove(u8),
    /// So many bytes, so often once more.
    Repeat(u8, u8),
}

impl Change {
    /// Any one.
    pub fn random(random: &mut Random) -> Self {
        let [_, kind, first, second, ..] = random.next_u64().to_be_bytes();
        match kind % 8 {
            0 | 1 => Self::Put(first),
            2 => Self::SwapCase,
            3 | 4 => Self::Insert(first),
            5 | 6 => Self::Remove(1 + first % 40),
            _ => Self::Repeat(first % 80, second),
        }
    }

    /// Changes the text at this place, counted in 65536ths of it.
    pub fn apply(&self, text: &mut Vec<u8>, place: u16) {
        let at = (usize::from(place) * (text.len() + 1)) >> 16;
        let reach = |length: u8| at..(at + usize::from(length)).min(text.len());
        let (range, instead) = match *self {
            Self::Put(byte) => (reach(1), vec![byte]),
            Self::SwapCase => {
                let swapped = text[reach(1)].iter().map(|byte| byte ^ 0x20);
                (reach(1), swapped.collect())
            }
            Self::Insert(word) => (at..at, WORDS[usize::from(word) % WORDS.len()].to_vec()),
            Self::Remove(length) => (reach(length), Vec::new()),
            Self::Repeat(length, times) => (at..at, text[reach(length)].repeat(usize::from(times))),
        };
        text.splice(range, instead);
    }
}
