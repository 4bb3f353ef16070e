//! Scans a line of JSON (RFC 8259) for the few values that matter.
//!
//! It checks the grammar of everything that it skips, without recursion and without decoding
//! strings and numbers. We do not use a general parser because parsing is most of the cost of an
//! event, and such a parser takes three times as long for the 600 bytes of a usual request.

#[cfg(test)]
mod tests;

use std::mem;

/// A position in a JSON text.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    /// The text after the position.
    rest: &'a [u8],
    /// The containers around the position. There are none before and after
    /// [`Scanner::value`].
    around: Containers,
}

const OBJECT: bool = true;
const ARRAY: bool = false;

/// The open containers, one inside another. Up to 63 need no memory on the heap; events rarely
/// nest deeper than three.
#[derive(Debug)]
struct Containers {
    /// One bit per container, the lowest for the innermost, below a bit that is always set.
    innermost: u64,
    /// The containers further out, 63 per number.
    outer: Vec<u64>,
}

impl Containers {
    /// The value without any container.
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

/// Whether a byte is special in a string: `"` ends it, `\` escapes, and a control character is
/// not allowed.
const fn is_special(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < 0x20)
}

/// How many bytes at the start of a word are not special. All eight are checked in one step.
const fn plain_bytes(word: u64) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    // Sets the highest bit of each byte below `limit`. The borrow may also set it in bytes
    // after the first such byte, but the first is always right.
    const fn below(word: u64, limit: u8) -> u64 {
        word.wrapping_sub(limit as u64 * ONES) & !word & HIGHS
    }
    let quotes = below(word ^ (b'"' as u64 * ONES), 1);
    let escapes = below(word ^ (b'\\' as u64 * ONES), 1);
    (quotes | escapes | below(word, 0x20)).trailing_zeros() as usize / 8
}

/// Whether any of the bytes is special.
fn any_special(piece: &[u8; 16]) -> bool {
    // Without an early exit (`any`, `||`) the compiler checks all bytes in one step.
    piece
        .iter()
        .fold(false, |found, &byte| found | is_special(byte))
}

/// The rest of the text, from its first special byte on. `None` if no byte is special.
#[inline]
fn behind_plain(mut text: &[u8]) -> Option<&[u8]> {
    // Most strings are short names, which end within a word or two.
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

    /// The next byte that is not whitespace. The position stays before it.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        match self.rest {
            [byte @ b'!'..=u8::MAX, ..] => Some(*byte),
            _ => self.peek_after_whitespace(),
        }
    }

    /// Like [`Self::peek`], but skips whitespace first, which strfry never sends.
    #[cold]
    fn peek_after_whitespace(&mut self) -> Option<u8> {
        while let [b' ' | b'\t' | b'\n' | b'\r', behind @ ..] = self.rest {
            self.rest = behind;
        }
        self.rest.first().copied()
    }

    /// Whether only whitespace is left.
    pub(crate) fn is_at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    /// Skips this byte; `None` if the next one is another.
    #[inline]
    fn pass(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.skip())
    }

    /// Skips the byte that [`Self::peek`] returned.
    #[inline]
    fn skip(&mut self) {
        if let [_, behind @ ..] = self.rest {
            self.rest = behind;
        }
    }

    /// The text that was skipped since `start` was the rest.
    #[inline]
    fn since(&self, start: &'a [u8]) -> Option<&'a [u8]> {
        start.get(..start.len().checked_sub(self.rest.len())?)
    }

    /// Skips an object. `member` is called at each value with the key as it is written, including
    /// its quotes, and must skip the value. `None` if there is no object here, or if `member`
    /// returns `None`.
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

    /// Skips a value of any type and depth, and returns it as it is written.
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

    /// Skips an object or array, without recursion, as the stack is limited.
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
            // Leave each container that ends here.
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

    /// Skips a member's key and its colon, and returns the key.
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

    /// Skips a number, `true`, `false` or `null`.
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

/// The text after at least one digit.
fn behind_digits(text: &[u8]) -> Option<&[u8]> {
    let mut behind = text;
    while let [b'0'..=b'9', rest @ ..] = behind {
        behind = rest;
    }
    (behind.len() < text.len()).then_some(behind)
}
