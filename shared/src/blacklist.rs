//! Reads `blacklist.txt` so that no key is missed that a human would see in it.
//!
//! Friends lists are read strictly ([`crate::wot`]): a line is one key or none. Here, a key that
//! is missed lets its author in. So every run of 64 hex digits counts, whatever surrounds it:
//!
//! - a run of 128 digits is two keys without a line break between them, one of 192 is three, and
//!   so on; a run of any other length is not a key;
//! - `0x` may stand before a key, even directly after another key;
//! - `npub1…` and `nprofile1…` count anywhere, if their checksum is right;
//! - characters that no editor shows, such as a zero width space, may stand inside a key. Those and
//!   `nprofile1…` are only looked for in the first [`LINE_CUT`] bytes of a line;
//! - text in UTF-16, in which every second byte is NUL, is read too;
//! - text after `#` does not count until the line ends. A comment also ends at a carriage return
//!   without a line feed, and at two NULs in a row, which a file system leaves where it lost data
//!   in a crash.
//!
//! One function, [`read_lines`], serves both the verdict and the removal of keys, so that every
//! key that counts can also be removed. Its memory grows with the number of keys on the longest
//! line, not with the line's length.

mod hidden;
mod mention;
mod scanner;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io::{self, BufRead};
use std::ops::Range;

pub use crate::blacklist::mention::Mention;
use crate::blacklist::scanner::Scanner;
use crate::key::Pubkey;
use crate::wot::{self, Faults, LINE_CUT, LINE_LIMIT, parse_line};

/// The byte order mark of UTF-8, which may begin a file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A line of the text.
#[derive(Debug)]
pub struct Line<'a> {
    /// The number of the line, from 1.
    pub number: u64,
    /// Where the line is in the file, in bytes from the start, including its line break but not a
    /// byte order mark.
    pub place: Range<u64>,
    /// The first [`LINE_CUT`] bytes of the line, without its line feed or a byte order mark.
    pub start: &'a [u8],
    /// The keys in the line that count.
    pub mentions: &'a [Mention],
    /// Whether the line is known to be at most one key and at most one comment.
    is_usual: bool,
}

/// Passes each line to `each_line`. Only `\n` ends a line.
///
/// # Errors
/// Fails if reading fails, perhaps after lines were passed on.
pub fn read_lines(
    mut reader: impl BufRead,
    mut each_line: impl FnMut(&Line<'_>),
) -> io::Result<()> {
    let mut lines = Lines::default();
    loop {
        let piece = match reader.fill_buf() {
            Ok(piece) => piece,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if piece.is_empty() {
            lines.finish(&mut each_line);
            return Ok(());
        }
        let length = piece.len();
        let mut rest = piece;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, behind) = rest.split_at(end + 1);
            lines.add(line, &mut each_line);
            rest = behind;
        }
        lines.add(rest, &mut each_line);
        reader.consume(length);
    }
}

/// Splits pieces of a text into lines.
#[derive(Debug)]
struct Lines {
    number: u64,
    /// Where the current line begins.
    begins: u64,
    /// How many bytes were read.
    offset: u64,
    start: Vec<u8>,
    mentions: Vec<Mention>,
    scanner: Scanner,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            number: 1,
            begins: 0,
            offset: 0,
            start: Vec::new(),
            mentions: Vec::new(),
            scanner: Scanner::default(),
        }
    }
}

impl Lines {
    /// Adds a piece of text in which only the last byte may be a line feed.
    fn add(&mut self, piece: &[u8], each_line: &mut impl FnMut(&Line<'_>)) {
        let before = self.offset;
        self.offset += piece.len() as u64;
        if before == self.begins
            && let Some(text) = piece.strip_suffix(b"\n")
            && let Some(mentions) = usual(before, text)
        {
            each_line(&Line {
                number: self.number,
                place: before..self.offset,
                start: text,
                mentions: mentions.as_slice(),
                is_usual: true,
            });
            return self.next();
        }
        let room = LINE_CUT.saturating_sub(self.start.len());
        let text = piece.strip_suffix(b"\n").unwrap_or(piece);
        self.start
            .extend_from_slice(text.get(..room).unwrap_or(text));
        self.scanner.scan(before, piece, &mut self.mentions);
        if piece.ends_with(b"\n") {
            self.end(each_line);
        }
    }

    fn end(&mut self, each_line: &mut impl FnMut(&Line<'_>)) {
        let mark = match self.number {
            1 if self.start.starts_with(BYTE_ORDER_MARK) => BYTE_ORDER_MARK.len(),
            _ => 0,
        };
        for key in hidden::keys(&self.start) {
            if self.mentions.iter().all(|mention| mention.key != key) {
                self.mentions.push(Mention {
                    key,
                    place: self.offset..self.offset,
                    joins_neighbours: false,
                    is_utf16: false,
                });
            }
        }
        each_line(&Line {
            number: self.number,
            place: self.begins + mark as u64..self.offset,
            start: self.start.get(mark..).unwrap_or_default(),
            mentions: &self.mentions,
            is_usual: false,
        });
        self.next();
    }

    fn next(&mut self) {
        self.number += 1;
        self.begins = self.offset;
        self.start.clear();
        self.mentions.clear();
    }

    fn finish(mut self, each_line: &mut impl FnMut(&Line<'_>)) {
        self.scanner.finish(&mut self.mentions);
        if self.offset > self.begins {
            self.end(each_line);
        }
    }
}

/// Reads a line without the scanner if it is like most lines: at most one key and at most one
/// comment. The line begins at `offset` in the file. `None` if it is any other line; otherwise
/// its key, if it has one.
fn usual(offset: u64, line: &[u8]) -> Option<Option<Mention>> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() > LINE_LIMIT || memchr::memchr2(b'\r', 0, line).is_some() {
        return None;
    }
    let text = memchr::memchr(b'#', line).map_or(line, |remark| line.split_at(remark).0);
    let from = text.len() - text.trim_ascii_start().len();
    let text = text.trim_ascii();
    if text.is_empty() {
        return Some(None);
    }
    let start = offset + from as u64;
    Some(Some(Mention {
        key: Pubkey::parse(text).ok()?,
        place: start..start + text.len() as u64,
        joins_neighbours: false,
        is_utf16: false,
    }))
}

/// Reads the list and passes each key with its line number (from 1) to `each_key`.
///
/// # Errors
/// Fails if reading fails, perhaps after keys were passed on.
pub fn read(reader: impl BufRead, mut each_key: impl FnMut(u64, Pubkey)) -> io::Result<Faults> {
    let mut faults = Faults::default();
    read_lines(reader, |line| {
        let keys = line.mentions.iter().map(|mention| mention.key);
        for key in keys.clone() {
            each_key(line.number, key);
        }
        if line.is_usual {
            return;
        }
        match (parse_line(line.start), line.mentions) {
            (wot::Line::Key(key), [only]) if only.key == key => {}
            (wot::Line::Faulty, []) => faults.add(line.number, line.start),
            (_, []) => {}
            _ => faults.add_unusual(line.number, keys),
        }
    })?;
    Ok(faults)
}

/// The parts of a list to leave out so that some keys are no longer in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Cuts {
    /// The parts, in ascending order and without touching each other.
    pub cuts: Vec<Cut>,
    /// How many lines have a part that is left out.
    pub lines: u64,
}

/// A part of a list that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Where the part is, in bytes from the start of the list.
    pub place: Range<u64>,
    /// Whether a space must take its place, so that the text before it and the text after it are
    /// not joined.
    pub leaves_blank: bool,
}

impl Cuts {
    /// Finds the parts to leave out of a list to remove `keys`. A line that holds no other key is
    /// left out whole, with its comment. Of any other line only the text of these keys is left
    /// out; if that text is not known, as of an `nprofile1…`, it stays.
    ///
    /// # Errors
    /// Fails if reading fails.
    pub fn of(reader: impl BufRead, keys: &BTreeSet<Pubkey>) -> io::Result<Self> {
        let mut cuts = Self::default();
        read_lines(reader, |line| {
            let is_removed = |mention: &&Mention| keys.contains(&mention.key);
            if !line.mentions.iter().any(|mention| is_removed(&mention)) {
                return;
            }
            // In UTF-16 a part of the line break belongs to the next line.
            let stays = |mention: &Mention| mention.is_utf16 || !is_removed(&mention);
            if !line.mentions.iter().any(stays) {
                cuts.lines += 1;
                return cuts.add(line.place.clone(), false);
            }
            let removed = line.mentions.iter().filter(is_removed);
            let known = removed.filter(|mention| !mention.place.is_empty());
            let mut is_cut = false;
            for mention in known {
                cuts.add(mention.place.clone(), mention.joins_neighbours);
                is_cut = true;
            }
            cuts.lines += u64::from(is_cut);
        })?;
        Ok(cuts)
    }

    fn add(&mut self, place: Range<u64>, leaves_blank: bool) {
        match self.cuts.last_mut() {
            Some(last) if last.place.end >= place.start => {
                last.place.end = place.end;
                last.leaves_blank |= leaves_blank;
            }
            _ => self.cuts.push(Cut {
                place,
                leaves_blank,
            }),
        }
    }
}
