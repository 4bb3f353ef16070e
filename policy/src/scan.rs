//! Walking over a line of JSON (RFC 8259) for the few values that matter.
//!
//! Checks the grammar of all it passes over, without recursion and without looking at
//! what texts and numbers mean. Our own, because it is most of what an event costs: a
//! general parser takes three times as long for the 600 bytes of a usual request.

#[cfg(test)]
mod tests;

use std::mem;

/// A place in a JSON text.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    /// All behind the place.
    rest: &'a [u8],
    /// The containers around the place within [`Scanner::value`]; none before and after.
    around: Containers,
}

const OBJECT: bool = true;
const ARRAY: bool = false;

/// Which containers are open, one within another. Up to 63 need no memory of their
/// own: events rarely go deeper than three.
#[derive(Debug)]
struct Containers {
    /// A bit each, the innermost in the lowest, below a bit that is always set.
    innermost: u64,
    /// Those further out, 63 at a time.
    outer: Vec<u64>,
}

impl Containers {
    /// Before the first.
    const NONE: u64 = 1;

    const fn new() -> Self {
        Self {
            innermost: Self::NONE,
            outer: Vec::new(),
        }
    }

    const fn is_empty(&self) -> bool {
        self.innermost == Self::NONE
    }

    fn push(&mut self, kind: bool) {
        if self.innermost.leading_zeros() == 0 {
            self.outer
                .push(mem::replace(&mut self.innermost, Self::NONE));
        }
        self.innermost = self.innermost * 2 + u64::from(kind);
    }

    const fn innermost(&self) -> bool {
        self.innermost & 1 == 1
    }

    fn pop(&mut self) {
        self.innermost >>= 1;
        if self.innermost == Self::NONE
            && let Some(outer) = self.outer.pop()
        {
            self.innermost = outer;
        }
    }
}

/// Whether a byte of a text means more than itself: `"` ends it, `\` escapes, and a
/// control character is not allowed in it.
const fn is_special(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < 0x20)
}

/// How many of a word's bytes, from the first, are not special. All eight are looked at
/// in one step.
const fn plain_bytes(word: u64) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    // The highest bit of each byte below `limit`. Above the first such byte it may be set
    // wrongly, by the borrow; the first is always right.
    const fn below(word: u64, limit: u8) -> u64 {
        word.wrapping_sub(limit as u64 * ONES) & !word & HIGHS
    }
    let quotes = below(word ^ (b'"' as u64 * ONES), 1);
    let escapes = below(word ^ (b'\\' as u64 * ONES), 1);
    (quotes | escapes | below(word, 0x20)).trailing_zeros() as usize / 8
}

/// Whether one of many bytes is special.
fn any_special(piece: &[u8; 16]) -> bool {
    // Without a way out (`any`, `||`) the compiler looks at all in one step.
    piece
        .iter()
        .fold(false, |found, &byte| found | is_special(byte))
}

/// What lies behind the bytes at the start of `text` that are not special; `None` where
/// nothing does.
#[inline]
fn behind_plain(mut text: &[u8]) -> Option<&[u8]> {
    // Most texts are short names, which end within a word or two.
    if let Some((word, behind)) = text.split_first_chunk() {
        match plain_bytes(u64::from_le_bytes(*word)) {
            8 => text = behind,
            plain => return text.get(plain..),
        }
    }
    while let Some((piece, behind)) = text.split_first_chunk::<16>()
        && !any_special(piece)
    {
        text = behind;
    }
    while let Some((word, behind)) = text.split_first_chunk() {
        match plain_bytes(u64::from_le_bytes(*word)) {
            8 => text = behind,
            plain => return text.get(plain..),
        }
    }
    text.get(text.iter().position(|&byte| is_special(byte))?..)
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self {
            rest: text,
            around: Containers::new(),
        }
    }

    /// The next byte that is no blank, which is not passed over.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        match self.rest {
            [byte @ b'!'..=u8::MAX, ..] => Some(*byte),
            _ => self.peek_behind_blanks(),
        }
    }

    /// strfry sends no blanks.
    #[cold]
    fn peek_behind_blanks(&mut self) -> Option<u8> {
        while let [b' ' | b'\t' | b'\n' | b'\r', behind @ ..] = self.rest {
            self.rest = behind;
        }
        self.rest.first().copied()
    }

    /// Whether nothing but blanks is left.
    pub(crate) fn is_at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    #[inline]
    fn pass(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.skip())
    }

    /// Passes over a byte that was looked at.
    #[inline]
    fn skip(&mut self) {
        if let [_, behind @ ..] = self.rest {
            self.rest = behind;
        }
    }

    /// What was passed over since `start` was the rest.
    #[inline]
    fn since(&self, start: &'a [u8]) -> Option<&'a [u8]> {
        start.get(..start.len().checked_sub(self.rest.len())?)
    }

    /// Passes over an object; `member` is called at each value with its key as it is
    /// spelled, quotes included, and must pass over the value. `None` for what is no
    /// object, and where `member` says so.
    pub(crate) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &'a [u8]) -> Option<()>,
    ) -> Option<()> {
        self.pass(b'{')?;
        if self.peek()? == b'}' {
            return self.pass(b'}');
        }
        loop {
            let key = self.key()?;
            member(self, key)?;
            match self.peek()? {
                b',' => self.skip(),
                _ => return self.pass(b'}'),
            }
        }
    }

    /// Passes over a value of any kind and depth, and returns it as it is spelled.
    pub(crate) fn value(&mut self) -> Option<&'a [u8]> {
        let first = self.peek()?;
        let start = self.rest;
        match first {
            b'"' => self.string()?,
            b'{' | b'[' => self.container()?,
            _ => self.word()?,
        }
        self.since(start)
    }

    /// Passes over an object or array, without recursion: a stack would end somewhere.
    fn container(&mut self) -> Option<()> {
        loop {
            match self.peek()? {
                b'"' => self.string()?,
                b'{' => {
                    self.skip();
                    match self.peek()? {
                        b'}' => self.skip(),
                        _ => {
                            self.around.push(OBJECT);
                            self.key()?;
                            continue;
                        }
                    }
                }
                b'[' => {
                    self.skip();
                    match self.peek()? {
                        b']' => self.skip(),
                        _ => {
                            self.around.push(ARRAY);
                            continue;
                        }
                    }
                }
                _ => self.word()?,
            }
            // Out of each container that ends here.
            loop {
                if self.around.is_empty() {
                    return Some(());
                }
                let in_object = self.around.innermost() == OBJECT;
                match self.peek()? {
                    b',' => {
                        self.skip();
                        if in_object {
                            self.key()?;
                        }
                        break;
                    }
                    b'}' if in_object => {}
                    b']' if !in_object => {}
                    _ => return None,
                }
                self.skip();
                self.around.pop();
            }
        }
    }

    /// Passes over a member's key and its colon.
    #[inline]
    fn key(&mut self) -> Option<&'a [u8]> {
        self.peek()?;
        let start = self.rest;
        self.string()?;
        let key = self.since(start);
        self.pass(b':')?;
        key
    }

    #[inline]
    fn string(&mut self) -> Option<()> {
        let mut text = self.rest.strip_prefix(b"\"")?;
        loop {
            match behind_plain(text)? {
                [b'"', behind @ ..] => {
                    self.rest = behind;
                    return Some(());
                }
                [b'\\', b'u', a, b, c, d, behind @ ..]
                    if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) =>
                {
                    text = behind;
                }
                [
                    b'\\',
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't',
                    behind @ ..,
                ] => text = behind,
                _ => return None,
            }
        }
    }

    /// Passes over a number, `true`, `false` or `null`.
    fn word(&mut self) -> Option<()> {
        self.rest = match self.rest {
            [b't', b'r', b'u', b'e', behind @ ..] => behind,
            [b'f', b'a', b'l', b's', b'e', behind @ ..] => behind,
            [b'n', b'u', b'l', b'l', behind @ ..] => behind,
            number => behind_number(number)?,
        };
        Some(())
    }
}

fn behind_number(text: &[u8]) -> Option<&[u8]> {
    let mut text = text.strip_prefix(b"-").unwrap_or(text);
    text = match text {
        [b'0', behind @ ..] => behind,
        _ => behind_digits(text)?,
    };
    if let [b'.', fraction @ ..] = text {
        text = behind_digits(fraction)?;
    }
    match text {
        [b'e' | b'E', b'+' | b'-', digits @ ..] | [b'e' | b'E', digits @ ..] => {
            behind_digits(digits)
        }
        _ => Some(text),
    }
}

/// What lies behind one digit or more.
fn behind_digits(text: &[u8]) -> Option<&[u8]> {
    let mut behind = text;
    while let [b'0'..=b'9', rest @ ..] = behind {
        behind = rest;
    }
    (behind.len() < text.len()).then_some(behind)
}
