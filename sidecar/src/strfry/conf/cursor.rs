//! [`Cursor`]: a position in the text of a conf, with the readers of blanks, comments, names and
//! references.

use std::path::Path;

use super::fault::{Fault, line_of};
use super::tree::{Reference, Step};

/// How many characters of an invalid word are shown.
const LONGEST_WORD: usize = 40;

/// How deep references and functions may lie inside each other.
const DEEPEST: usize = 96;

/// The most digits of an index.
const MOST_DIGITS: usize = 15;

/// A place in a text.
pub(super) struct Cursor<'a> {
    text: &'a [u8],
    pub(super) at: usize,
    /// The included file; `None` for the conf itself.
    pub(super) file: Option<&'a Path>,
    depth: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a [u8], file: Option<&'a Path>) -> Self {
        Self {
            text,
            at: 0,
            file,
            depth: 0,
        }
    }

    /// What strfry refuses, too.
    pub(super) fn fault_at(&self, at: usize, what: impl Into<String>) -> Fault {
        Fault {
            file: self.file.map(Path::to_owned),
            line: line_of(self.text, at),
            what: what.into(),
            is_certain: true,
        }
    }

    pub(super) fn fault(&self, what: impl Into<String>) -> Fault {
        self.fault_at(self.at, what)
    }

    /// What strfry may understand.
    pub(super) fn doubt_at(&self, at: usize, what: impl Into<String>) -> Fault {
        Fault {
            is_certain: false,
            ..self.fault_at(at, what)
        }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// What stands between two places.
    pub(super) fn between(&self, start: usize, end: usize) -> String {
        let bytes = self.text.get(start..end).unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// Whether this stood here; it is passed then.
    pub(super) fn eat(&mut self, what: &[u8]) -> bool {
        let is_here = self.rest().starts_with(what);
        if is_here {
            self.at += what.len();
        }
        is_here
    }

    pub(super) fn eat_all(&mut self, is_wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let length = rest.iter().take_while(|byte| is_wanted(**byte)).count();
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    /// The next character of UTF-8.
    pub(super) fn character(&self) -> Option<char> {
        let rest = self.rest();
        let first = |length| std::str::from_utf8(rest.get(..length)?).ok();
        (1..=4).find_map(first)?.chars().next()
    }

    pub(super) fn eat_line_break(&mut self) -> bool {
        self.eat(b"\n") || self.eat(b"\r\n")
    }

    /// Passes blanks and comments; whether there were any.
    pub(super) fn skip_blank(&mut self) -> Result<bool, Fault> {
        let start = self.at;
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                b'#' => {
                    self.eat_all(|byte| byte != b'\n');
                }
                b'/' => self.skip_slashed()?,
                _ => break,
            }
        }
        Ok(self.at > start)
    }

    fn skip_slashed(&mut self) -> Result<(), Fault> {
        let start = self.at;
        let is_block = match () {
            () if self.eat(b"/*") => true,
            () if self.eat(b"//") => false,
            () => return Err(self.fault("a / that begins no comment")),
        };
        loop {
            if is_block && self.eat(b"*/") {
                return Ok(());
            }
            if self.is_at_end() {
                return if is_block {
                    Err(self.fault_at(start, "a comment is not closed"))
                } else {
                    Ok(())
                };
            }
            if self.eat_line_break() {
                if !is_block {
                    return Ok(());
                }
                continue;
            }
            match self.character() {
                Some(c) if c == '\t' || (c >= ' ' && c != '\u{7f}') => self.at += c.len_utf8(),
                _ => return Err(self.fault("a byte that may not stand in a comment")),
            }
        }
    }

    /// `abc-1`, if one stands here.
    pub(super) fn identifier(&mut self) -> Option<String> {
        let first = self.peek()?;
        if !first.is_ascii_alphabetic() && first != b'_' {
            return None;
        }
        let word = self.eat_all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        Some(String::from_utf8_lossy(word).into_owned())
    }

    fn index(&mut self) -> Option<usize> {
        let digits = self.rest().iter().take(MOST_DIGITS);
        let length = digits.take_while(|byte| byte.is_ascii_digit()).count();
        let text = std::str::from_utf8(self.rest().get(..length)?).ok()?;
        let index = text.parse().ok()?;
        self.at += length;
        Some(index)
    }

    fn is_at_quote(&self) -> bool {
        matches!(self.peek(), Some(b'"' | b'\''))
    }

    /// `a.'b c'.0`
    pub(super) fn name(&mut self) -> Result<Vec<Step>, Fault> {
        let mut steps = Vec::new();
        loop {
            let step = if self.is_at_quote() {
                Step::Name(self.quoted()?)
            } else if self.eat(b"*") {
                Step::Star
            } else if let Some(name) = self.identifier() {
                Step::Name(name)
            } else if let Some(index) = self.index() {
                Step::Index(index)
            } else {
                return Err(self.unexpected("a name is missing"));
            };
            steps.push(step);
            if !self.eat(b".") {
                return Ok(steps);
            }
        }
    }

    /// Reads `a.(b).0)` after the opening parenthesis; `None` if this is not a reference.
    pub(super) fn reference(&mut self) -> Result<Option<Vec<Reference>>, Fault> {
        let mut steps = Vec::new();
        loop {
            let start = self.at;
            if self.eat(b"(") {
                match self.deeper(Self::reference)? {
                    Some(nested) => steps.push(Reference::Nested(nested)),
                    None => return Err(self.fault_at(start, "a reference is not closed")),
                }
            } else if self.is_at_quote() {
                steps.push(Reference::Name(self.quoted()?));
            } else if let Some(name) = self.identifier() {
                steps.push(Reference::Name(name));
            } else if let Some(index) = self.index() {
                steps.push(Reference::Index(index));
            } else {
                return Ok(None);
            }
            match () {
                () if self.eat(b")") => return Ok(Some(steps)),
                () if self.eat(b".") => {}
                () => return Ok(None),
            }
        }
    }

    /// Reads what lies inside parentheses.
    pub(super) fn deeper<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if self.depth >= DEEPEST {
            return Err(self.doubt_at(self.at, "parentheses lie too deep inside each other"));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// The fault of a place where something else is expected.
    pub(super) fn unexpected(&self, missing: &str) -> Fault {
        match self.peek() {
            None => self.fault("the text ends too early"),
            Some(b'}') => self.fault("a } closes nothing"),
            Some(b']') => self.fault("a ] closes nothing"),
            Some(_) => {
                let word = self.word();
                self.fault(format!("{missing} before {word:?}"))
            }
        }
    }

    pub(super) fn word(&self) -> String {
        let ends = |byte: u8| byte.is_ascii_whitespace() || b"{}[]=:,;#\"'".contains(&byte);
        let length = self.rest().iter().take_while(|byte| !ends(**byte)).count();
        let word = self.between(self.at, self.at + length.max(1));
        word.chars().take(LONGEST_WORD).collect()
    }
}
