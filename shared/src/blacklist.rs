//! The text of `blacklist.txt`, read so that no key is missed that a human would see in it.
//!
//! Friends' lists are read strictly ([`crate::wot`]): a line is one key or none. Here a key
//! that is missed lets its author in, so every run of 64 hex digits counts, whatever
//! surrounds it:
//!
//! - a run of 128 digits is two keys whose line break is missing, one of 192 three, and so
//!   on; a run of any other length is no key;
//! - `0x` may stand before a key, also where it is glued to the key before it;
//! - `npub1…` counts wherever it stands, if its checksum is right;
//! - text in UTF-16, with a NUL for every second byte, is read too;
//! - what follows `#` does not count, until the line ends. A carriage return with no line
//!   feed behind it ends a remark as well, and so do two NULs in a row, which a file system
//!   leaves where it lost data in a crash.
//!
//! Reading for the verdict and looking for what to take out are the same function
//! ([`read_lines`]), so that a key that counts can also leave. Memory grows with the number
//! of keys on the longest line, not with its length.

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
    /// Its number, from 1.
    pub number: u64,
    /// Where it stands in the file, with its line break and without a byte order mark.
    pub place: Range<u64>,
    /// Its first [`LINE_CUT`] bytes, without its line feed and without a byte order mark.
    pub start: &'a [u8],
    /// The keys in it that count.
    pub mentions: &'a [Mention],
    /// Whether it is known to be one key or none, and a remark or none.
    is_usual: bool,
}

/// Hands each line to `each_line`. Only `\n` ends a line.
///
/// # Errors
/// Those of the reader; what was handed on before stays handed on.
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
    /// Up to where the text was read.
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
    /// Takes a piece that holds no line feed except as its last byte.
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

/// The key of a line that is as most are, one key or none and a remark or none, which need
/// no scanner; the line begins at this offset.
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

/// Reads the list, handing each key with its line number (from 1) to `each_key`.
///
/// # Errors
/// Those of the reader; what was handed on before stays handed on.
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

/// What is to be left out of a list so that some keys are no longer in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Cuts {
    /// In ascending order, apart from each other.
    pub cuts: Vec<Cut>,
    /// From how many lines something is cut.
    pub lines: u64,
}

/// A part of a list that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Where it stands, in bytes from the start of the list.
    pub place: Range<u64>,
    /// Whether a blank takes its place, so that what stands before and behind it is not
    /// joined.
    pub leaves_blank: bool,
}

impl Cuts {
    /// What takes `keys` out of this list. A line whose keys are all among them goes whole,
    /// with its remark; of a line that holds others too only the text of the keys.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn of(reader: impl BufRead, keys: &BTreeSet<Pubkey>) -> io::Result<Self> {
        let mut cuts = Self::default();
        read_lines(reader, |line| {
            let leaves = |mention: &&Mention| keys.contains(&mention.key);
            if !line.mentions.iter().any(|mention| leaves(&mention)) {
                return;
            }
            cuts.lines += 1;
            // In UTF-16 the line break is not all in this line.
            let stays = |mention: &Mention| mention.is_utf16 || !leaves(&mention);
            if !line.mentions.iter().any(stays) {
                return cuts.add(line.place.clone(), false);
            }
            for mention in line.mentions.iter().filter(leaves) {
                cuts.add(mention.place.clone(), mention.joins_neighbours);
            }
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
