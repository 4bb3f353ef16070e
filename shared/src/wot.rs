//! Reads the web-of-trust lists: `amisOfAmis.txt`, `HEX`, and the lines of `blacklist.txt`.
//!
//! Shell scripts write them at any moment, and some are downloaded from other stations, so
//! reading is tolerant: a line is a key, empty, or a fault that is counted and reported. Memory
//! does not grow with the file: a list is read in pieces, and a line of any length takes at most
//! [`LINE_CUT`] bytes.

use std::fmt;
use std::io::{self, BufRead};

use crate::key::Pubkey;
use crate::sanitize::quoted;
use crate::text::counted;

/// The longest line that is understood, in bytes, which is many times a key, spaces and a
/// comment. A longer line is a fault.
pub const LINE_LIMIT: usize = 4096;

/// How many bytes of a longer line are kept. This is more than [`LINE_LIMIT`] even without a byte
/// order mark (3 bytes), so that the start of a line is never taken for the whole line.
pub const LINE_CUT: usize = LINE_LIMIT + 4;

/// How many faulty lines of a list are reported one by one.
const NAMED_FAULTS: usize = 5;

/// How many keys of an unusual line are shown.
const SHOWN_KEYS: usize = 3;

/// How many characters of a faulty line are shown.
const SHOWN_CHARS: usize = 40;

/// The meaning of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// A pubkey: 64 hex digits in upper or lower case, with or without `0x` in front, or `npub1…`.
    /// There may be spaces around it, and a comment after `#`.
    Key(Pubkey),
    /// Nothing, or only a comment.
    Blank,
    /// Anything else.
    Faulty,
}

/// Reads one line, with or without its line end.
pub fn parse_line(line: &[u8]) -> Line {
    let text = line.trim_ascii();
    // The end of a longer line was cut off, so only a comment can begin before it.
    let whole = line.len() <= LINE_LIMIT;
    if whole && let Ok(key) = Pubkey::parse(text) {
        return Line::Key(key);
    }
    let text = match memchr::memchr(b'#', text) {
        Some(remark) => text.get(..remark).unwrap_or_default().trim_ascii_end(),
        None if whole => text,
        None => return Line::Faulty,
    };
    if text.is_empty() {
        return Line::Blank;
    }
    Pubkey::parse(text).map_or(Line::Faulty, Line::Key)
}

/// How many bytes of a list are read at most, depending on the number of keys found so far. A list
/// that somebody filled with line breaks, comments and junk is not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// The bytes that are read without any key.
    pub base: u64,
    /// The bytes that are read in addition for each key, with the spaces, comments and log lines
    /// around it.
    pub per_key: u64,
}

impl Allowance {
    /// No limit, for the station's own lists.
    pub const UNLIMITED: Self = Self {
        base: u64::MAX,
        per_key: 0,
    };

    const fn is_spent(self, bytes: u64, keys: u64) -> bool {
        bytes > self.base.saturating_add(self.per_key.saturating_mul(keys))
    }
}

/// What is wrong with the lines of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// How many lines are not understood.
    pub count: u64,
    /// The first of them, each with its number (from 1) and the quoted start of the line.
    pub first: Vec<(u64, String)>,
    /// The lines of the blacklist that count although they are not just one key.
    pub unusual: Unusual,
    /// The last line that was read, if the list has too few keys for its length.
    pub cut_after: Option<u64>,
}

/// The lines of the blacklist whose keys other programs may not understand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unusual {
    /// How many such lines there are.
    pub count: u64,
    /// The first of them, each with its number (from 1) and the keys that were understood.
    pub first: Vec<(u64, String)>,
}

impl Faults {
    /// Whether every line was read and nothing is wrong with any.
    pub const fn is_empty(&self) -> bool {
        self.count == 0 && self.unusual.count == 0 && self.cut_after.is_none()
    }

    pub(crate) fn add(&mut self, number: u64, line: &[u8]) {
        self.count += 1;
        if self.first.len() < NAMED_FAULTS {
            self.first.push((number, quoted_bytes(line, SHOWN_CHARS)));
        }
    }

    pub(crate) fn add_unusual(&mut self, number: u64, keys: impl ExactSizeIterator<Item = Pubkey>) {
        self.unusual.count += 1;
        if self.unusual.first.len() == NAMED_FAULTS {
            return;
        }
        let count = keys.len();
        let mut understood: Vec<String> =
            keys.take(SHOWN_KEYS).map(|key| key.abbreviated()).collect();
        if count > SHOWN_KEYS {
            understood.push("…".to_owned());
        }
        let text = format!("{} {}", counted(count, "key"), understood.join(" "));
        self.unusual.first.push((number, text));
    }
}

impl fmt::Display for Unusual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.count == 1 { "is" } else { "are" };
        let lines = counted(self.count, "line");
        write!(f, "{lines} {verb} unusual, but the keys count")?;
        for (i, (number, understood)) in self.first.iter().enumerate() {
            let separator = if i == 0 { ":" } else { "," };
            write!(f, "{separator} line {number} ({understood})")?;
        }
        if self.count > self.first.len() as u64 {
            f.write_str(", …")?;
        }
        Ok(())
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.cut_after {
            write!(
                f,
                "too few keys for its length: nothing after line {line} counts"
            )?;
            if self.count == 0 {
                return Ok(());
            }
            f.write_str("; ")?;
        }
        if self.unusual.count > 0 {
            self.unusual.fmt(f)?;
            if self.count == 0 {
                return Ok(());
            }
            f.write_str("; ")?;
        }
        write!(f, "{} skipped", counted(self.count, "line"))?;
        for (i, (number, text)) in self.first.iter().enumerate() {
            let separator = if i == 0 { ":" } else { "," };
            write!(f, "{separator} line {number} {text}")?;
        }
        if self.count > self.first.len() as u64 {
            f.write_str(", …")?;
        }
        Ok(())
    }
}

/// Quotes at most `most` characters of a foreign text, harmlessly.
pub fn quoted_bytes(text: &[u8], most: usize) -> String {
    let text = text.trim_ascii();
    let start = text.get(..most.saturating_mul(4)).unwrap_or(text);
    let mut start = String::from_utf8_lossy(start).into_owned();
    if start.len() < text.len() {
        // To show that something was cut.
        start.push('…');
    }
    quoted(&start, most)
}

/// Reads a list and passes each key with its line number (from 1) to `each_key`. A byte order mark
/// at the start is skipped; `\n` and `\r\n` end a line.
///
/// # Errors
/// Fails if reading fails, perhaps after keys were passed on.
pub fn read_list(reader: impl BufRead, each_key: impl FnMut(u64, Pubkey)) -> io::Result<Faults> {
    read_list_within(Allowance::UNLIMITED, reader, each_key)
}

/// Reads a list like [`read_list`], but only until the allowance is spent, which is checked after
/// each piece of the reader.
///
/// # Errors
/// Fails if reading fails, perhaps after keys were passed on.
pub fn read_list_within(
    allowance: Allowance,
    mut reader: impl BufRead,
    each_key: impl FnMut(u64, Pubkey),
) -> io::Result<Faults> {
    let mut lines = Lines {
        number: 0,
        keys: 0,
        faults: Faults::default(),
        each_key,
    };
    let mut bytes = 0_u64;
    // The beginning of a line whose end has not been read yet.
    let mut begun: Vec<u8> = Vec::new();
    loop {
        let piece = match reader.fill_buf() {
            Ok(piece) => piece,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if piece.is_empty() {
            break;
        }
        let length = piece.len();
        let mut rest = piece;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, behind) = rest.split_at(end);
            if begun.is_empty() {
                lines.take(bounded(line));
            } else {
                extend_bounded(&mut begun, line);
                lines.take(&begun);
                begun.clear();
            }
            rest = behind.get(1..).unwrap_or_default();
        }
        extend_bounded(&mut begun, rest);
        reader.consume(length);
        bytes += length as u64;
        if allowance.is_spent(bytes, lines.keys) {
            lines.faults.cut_after = Some(lines.number);
            return Ok(lines.faults);
        }
    }
    if !begun.is_empty() {
        lines.take(&begun);
    }
    Ok(lines.faults)
}

/// What the lines of a list were found to hold so far.
struct Lines<F> {
    /// How many lines there were.
    number: u64,
    /// How many of them held a key.
    keys: u64,
    faults: Faults,
    each_key: F,
}

impl<F: FnMut(u64, Pubkey)> Lines<F> {
    /// Takes the next line, without its end.
    fn take(&mut self, line: &[u8]) {
        self.number += 1;
        let line = match self.number {
            1 => line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line),
            _ => line,
        };
        match parse_line(line) {
            Line::Key(key) => {
                self.keys += 1;
                (self.each_key)(self.number, key);
            }
            Line::Blank => {}
            Line::Faulty => self.faults.add(self.number, line),
        }
    }
}

/// The first [`LINE_CUT`] bytes of a line: enough to see that it is too long for a key, and
/// whether it is a comment.
fn bounded(line: &[u8]) -> &[u8] {
    line.get(..LINE_CUT).unwrap_or(line)
}

/// Appends to the beginning of a line, up to [`LINE_CUT`] bytes.
fn extend_bounded(begun: &mut Vec<u8>, more: &[u8]) {
    let room = LINE_CUT.saturating_sub(begun.len());
    begun.extend_from_slice(more.get(..room).unwrap_or(more));
}

/// A set of pubkeys that is fast to search and takes little memory: 32 bytes per key, and at most
/// a quarter of a megabyte in addition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySet {
    /// Sorted, without duplicates.
    keys: Vec<Pubkey>,
    /// Where the keys begin whose first [`KeySet::bits`] bits are this number, so that a search
    /// compares with only a key or two.
    starts: Vec<u32>,
    bits: u32,
}

impl KeySet {
    fn number(key: Pubkey, bits: u32) -> usize {
        let [first, second, ..] = *key.as_bytes();
        usize::from(u16::from_be_bytes([first, second])) >> (16 - bits)
    }

    /// Whether the key is in the set.
    pub fn contains(&self, key: &Pubkey) -> bool {
        let number = Self::number(*key, self.bits);
        let start = self.starts.get(number).copied().unwrap_or(0) as usize;
        let end = self
            .starts
            .get(number + 1)
            .map_or(self.keys.len(), |&end| end as usize);
        self.keys
            .get(start..end)
            .is_some_and(|few| few.binary_search(key).is_ok())
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys in ascending order.
    pub fn as_slice(&self) -> &[Pubkey] {
        &self.keys
    }
}

impl From<Vec<Pubkey>> for KeySet {
    fn from(mut keys: Vec<Pubkey>) -> Self {
        keys.sort_unstable();
        keys.dedup();
        // About one key for each number.
        let bits = keys.len().checked_ilog2().unwrap_or(0).min(16);
        let mut starts = vec![0_u32; 1 << bits];
        let mut next = 0;
        for (index, key) in keys.iter().enumerate() {
            let number = Self::number(*key, bits);
            while next <= number {
                if let Some(start) = starts.get_mut(next) {
                    *start = u32::try_from(index).unwrap_or(u32::MAX);
                }
                next += 1;
            }
        }
        let end = u32::try_from(keys.len()).unwrap_or(u32::MAX);
        for start in starts.iter_mut().skip(next) {
            *start = end;
        }
        Self { keys, starts, bits }
    }
}

impl FromIterator<Pubkey> for KeySet {
    fn from_iter<I: IntoIterator<Item = Pubkey>>(keys: I) -> Self {
        Self::from(Vec::from_iter(keys))
    }
}

#[cfg(test)]
mod tests;
