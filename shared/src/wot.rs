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
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::io::BufReader;

    fn key(byte: u8) -> Pubkey {
        Pubkey::from_bytes([byte; 32])
    }

    fn read(text: &[u8]) -> (Vec<(u64, Pubkey)>, Faults) {
        let mut keys = Vec::new();
        // Pieces of 7 bytes, so that every line is broken somewhere.
        let reader = BufReader::with_capacity(7, text);
        let faults = read_list(reader, |number, key| keys.push((number, key))).unwrap();
        (keys, faults)
    }

    #[test]
    fn blacklists_as_found_on_stations_are_understood() {
        let upper = key(0xab).to_hex().to_uppercase();
        let text = format!(
            "\u{feff}{}\r\n\r\n  {upper}\t\n# a remark\n{}  # spammer\n\
             [2025-10-30 12:00:00] [INFO] Connected to relay\n{}\n0x{}\n{}",
            key(1),
            key(2),
            key(3).to_bech32(),
            key(4),
            &key(5).to_hex()[..30],
        );
        let (keys, faults) = read(text.as_bytes());
        assert_eq!(
            keys,
            [
                (1, key(1)),
                (3, key(0xab)),
                (5, key(2)),
                (7, key(3)),
                (8, key(4))
            ]
        );
        assert_eq!(faults.count, 2);
        assert_eq!(
            faults.to_string(),
            "2 lines skipped: line 6 \"[2025-10-30 12:00:00] [INFO] Connected t…\", \
             line 9 \"050505050505050505050505050505\""
        );
    }

    #[test]
    fn a_last_line_without_newline_counts() {
        assert_eq!(read(key(9).to_hex().as_bytes()).0, [(1, key(9))]);
    }

    #[test]
    fn a_line_without_end_costs_no_memory_and_hides_no_other() {
        let mut text = vec![b'a'; 1_000_000];
        text.extend_from_slice(format!("\n{}\n#", key(1)).as_bytes());
        text.extend_from_slice(&vec![b'x'; 1_000_000]);
        text.extend_from_slice(format!("\n{}", key(2)).as_bytes());
        let (keys, faults) = read(&text);
        assert_eq!(keys, [(2, key(1)), (4, key(2))]);
        assert_eq!(faults.count, 1);
    }

    #[test]
    fn a_key_at_the_front_of_a_line_that_is_cut_is_no_key() {
        let text = format!(
            "{}{}",
            " ".repeat(LINE_LIMIT + 1 - 64),
            key(1).to_hex() + "ff"
        );
        assert_eq!(read(text.as_bytes()).0, []);
    }

    #[test]
    fn a_line_as_long_as_the_limit_is_whole_and_a_longer_one_is_cut() {
        let line = |length: usize| " ".repeat(length - 64) + &key(1).to_hex();
        assert_eq!(read(line(LINE_LIMIT).as_bytes()).0, [(1, key(1))]);
        for behind in 1..8 {
            // However the cut falls, what lies behind the key is not forgotten.
            let text = line(LINE_LIMIT) + &"f".repeat(behind);
            assert_eq!(read(text.as_bytes()).0, [], "{behind}");
            let text = format!("\u{feff}{text}\n{}", key(2));
            assert_eq!(read(text.as_bytes()).0, [(2, key(2))], "{behind}");
            assert_eq!(read_list(text.as_bytes(), |_, _| ()).unwrap().count, 1);
            let text = line(LINE_LIMIT + behind);
            assert_eq!(read(text.as_bytes()).0, [], "{behind}");
        }
    }

    /// Says something else before it gives its text.
    struct Unsteady(Vec<io::Error>, &'static [u8]);

    impl io::Read for Unsteady {
        fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
            self.0.pop().map_or_else(|| self.1.read(piece), Err)
        }
    }

    #[test]
    fn an_interruption_is_no_end_and_an_error_is() {
        let read = |error: io::ErrorKind| {
            let errors = vec![error.into(), error.into()];
            let reader = BufReader::new(Unsteady(errors, b"x\n"));
            read_list(reader, |_, _| ()).map(|faults| faults.count)
        };
        assert_eq!(read(io::ErrorKind::Interrupted).unwrap(), 1);
        let error = read(io::ErrorKind::StaleNetworkFileHandle).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StaleNetworkFileHandle);
    }

    #[test]
    fn keys_are_found_by_their_leading_bits() {
        assert!(KeySet::default().is_empty());
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&[0xab, 0xcd]);
        let number = |bits| KeySet::number(Pubkey::from_bytes(bytes), bits);
        assert_eq!(
            [number(0), number(4), number(9), number(16)],
            [0, 0xa, 0x157, 0xabcd]
        );
    }

    #[test]
    fn a_faulty_line_is_shown_by_characters_not_by_bytes() {
        let (_, faults) = read("🦀".repeat(50).as_bytes());
        let shown = "🦀".repeat(SHOWN_CHARS);
        assert_eq!(
            faults.to_string(),
            format!("1 line skipped: line 1 \"{shown}…\"")
        );
    }

    #[test]
    fn only_the_first_faults_are_named_and_none_can_write_to_a_terminal() {
        let (_, faults) = read("\x1b[2J\u{202e}\"x\nb\nc\nd\ne\nf\ng\n".as_bytes());
        assert_eq!(
            faults.to_string(),
            "7 lines skipped: line 1 \"\\u{1b}[2J\\u{202e}'x\", line 2 \"b\", line 3 \"c\", \
             line 4 \"d\", line 5 \"e\", …"
        );
        let (_, faults) = read(b"x");
        assert_eq!(faults.to_string(), "1 line skipped: line 1 \"x\"");
    }

    #[test]
    fn junk_is_read_up_to_the_allowance_and_keys_are_read_to_the_end() {
        let allowance = Allowance {
            base: 1000,
            per_key: 256,
        };
        let read = |text: &str| {
            let mut keys = 0;
            let reader = BufReader::with_capacity(100, text.as_bytes());
            let faults = read_list_within(allowance, reader, |_, _| keys += 1).unwrap();
            (keys, faults)
        };
        let (line, junk) = (format!("{}\n", key(1)), "\n".repeat(5000));
        let (keys, faults) = read(&line.repeat(1000));
        assert_eq!((keys, faults.is_empty()), (1000, true));
        let (keys, faults) = read(&format!("{}{junk}{line}", line.repeat(3)));
        assert_eq!(keys, 3);
        let last = faults.cut_after.unwrap();
        assert!((1500..1800).contains(&last), "{last}");
        let text = format!("too few keys for its length: nothing after line {last} counts");
        assert_eq!(faults.to_string(), text);
        // Remarks and one line without an end cost no more than line breaks.
        for junk in ["# remark\n".repeat(1000), "x".repeat(5000)] {
            let (keys, faults) = read(&format!("{junk}\n{line}"));
            assert_eq!(keys, 0);
            assert!(faults.cut_after.is_some(), "{faults}");
        }
        // What a station's list holds besides keys in the wild: a log line for each.
        let wild = format!("[2025-10-30 12:00:00] [INFO] Connected to a relay\r\n\r\n{line}");
        assert_eq!(read(&wild.repeat(1000)).0, 1000);
    }

    proptest::proptest! {
        #[test]
        fn a_set_holds_what_was_put_in(
            raw in proptest::collection::vec((0_u8..4, 0_u8..4, proptest::prelude::any::<u8>()), 0..300)
        ) {
            let make = |(a, b, c): (u8, u8, u8)| {
                let mut bytes = [c; 32];
                bytes[0] = a * 85;
                bytes[1] = b;
                Pubkey::from_bytes(bytes)
            };
            let naive: BTreeSet<Pubkey> = raw.iter().copied().map(make).collect();
            let set: KeySet = raw.into_iter().map(make).collect();
            proptest::prop_assert!(naive.iter().eq(set.as_slice()));
            proptest::prop_assert_eq!(set.len(), naive.len());
            proptest::prop_assert_eq!(set.is_empty(), naive.is_empty());
            for a in 0..4 { for b in 0..4 { for c in 0..=255 {
                let key = make((a, b, c));
                proptest::prop_assert_eq!(set.contains(&key), naive.contains(&key));
            }}}
        }

        #[test]
        fn no_text_stops_the_reading(text: Vec<u8>) {
            let lines = text.split(|&b| b == b'\n').count() as u64;
            let (keys, faults) = read(&text);
            proptest::prop_assert!(keys.len() as u64 + faults.count <= lines);
        }
    }
}
