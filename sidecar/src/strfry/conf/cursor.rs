//! The smallest things in a conf: blanks and comments, names, numbers, texts.

use std::path::Path;

use super::fault::{Fault, line_of};
use super::tree::{Reference, Scalar, Step};

/// How much of a word that is no value is shown, in characters.
const LONGEST_WORD: usize = 40;

/// How deep references and functions may lie inside each other.
const DEEPEST: usize = 96;

/// The most digits of an index.
const MOST_DIGITS: usize = 15;

/// A place in a text.
pub(super) struct Cursor<'a> {
    text: &'a [u8],
    pub(super) at: usize,
    /// The included file that it is; none for the conf itself.
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

    fn fault(&self, what: impl Into<String>) -> Fault {
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

    fn rest(&self) -> &'a [u8] {
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

    fn eat_all(&mut self, is_wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let length = rest.iter().take_while(|byte| is_wanted(**byte)).count();
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    /// The next character of UTF-8.
    fn character(&self) -> Option<char> {
        let rest = self.rest();
        let first = |length| std::str::from_utf8(rest.get(..length)?).ok();
        (1..=4).find_map(first)?.chars().next()
    }

    fn eat_line_break(&mut self) -> bool {
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
                return match is_block {
                    true => Err(self.fault_at(start, "a comment is not closed")),
                    false => Ok(()),
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

    /// `a.(b).0)` behind the parenthesis that opens it; none where this is no reference.
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

    /// What is wrong where something else has to stand.
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

    fn word(&self) -> String {
        let ends = |byte: u8| byte.is_ascii_whitespace() || b"{}[]=:,;#\"'".contains(&byte);
        let length = self.rest().iter().take_while(|byte| !ends(**byte)).count();
        let word = self.between(self.at, self.at + length.max(1));
        word.chars().take(LONGEST_WORD).collect()
    }

    /// A value that is no object, array, reference or function.
    pub(super) fn scalar(&mut self) -> Result<Scalar, Fault> {
        for (word, value) in [
            (&b"null"[..], Scalar::Null),
            (b"true", Scalar::Bool(true)),
            (b"false", Scalar::Bool(false)),
        ] {
            if self.eat(word) {
                return Ok(value);
            }
        }
        match self.peek() {
            Some(b'"' | b'\'') => self.quoted().map(Scalar::Text),
            Some(b'$') => self.binary().map(Scalar::Binary),
            _ => {
                let is_negative = self.eat(b"-");
                if !is_negative {
                    self.eat(b"+");
                }
                self.number(is_negative)
            }
        }
    }

    fn number(&mut self, is_negative: bool) -> Result<Scalar, Fault> {
        let start = self.at;
        if self.eat(b"NaN") || self.eat(b"Infinity") {
            let word = self.between(start, self.at);
            let sign = if is_negative { "-" } else { "" };
            return Ok(Scalar::Float(format!("{sign}{word}")));
        }
        let too_large = |cursor: &Self| cursor.fault_at(start, "a number is too large");
        if self.eat(b"0x") || self.eat(b"0X") {
            let digits = self.eat_all(|byte| byte.is_ascii_hexdigit());
            let digits = std::str::from_utf8(digits).unwrap_or_default();
            if digits.is_empty() {
                return Err(self.fault("digits are missing behind 0x"));
            }
            let digits = digits.trim_start_matches('0');
            let number = match digits.is_empty() {
                true => Ok(0),
                false => u64::from_str_radix(digits, 16),
            };
            let number = number.map_err(|_| too_large(self))?;
            let number = whole(number, is_negative).ok_or_else(|| too_large(self))?;
            return Ok(number);
        }
        let digits = self.eat_all(|byte| byte.is_ascii_digit());
        if digits.len() > 1 && digits.first() == Some(&b'0') {
            return Err(self.fault_at(start, "a number begins with 0"));
        }
        let mut is_whole = true;
        if self.eat(b".") {
            let fraction = self.eat_all(|byte| byte.is_ascii_digit());
            // `5.` is a whole number to strfry.
            is_whole = fraction.is_empty();
            if digits.is_empty() && fraction.is_empty() {
                return Err(self.fault_at(start, "a number is missing"));
            }
        } else if digits.is_empty() {
            let what = match self.is_at_end() || self.peek() == Some(b'}') {
                true => "a value is missing".to_owned(),
                false => format!(
                    "{:?} is no value; text belongs in quotes, \"…\"",
                    self.word()
                ),
            };
            return Err(self.fault_at(start, what));
        }
        if self.eat(b"e") || self.eat(b"E") {
            is_whole = false;
            if !self.eat(b"-") {
                self.eat(b"+");
            }
            if self.eat_all(|byte| byte.is_ascii_digit()).is_empty() {
                return Err(self.fault_at(start, "a number ends too early"));
            }
        }
        let text = self.between(start, self.at);
        let number = std::str::from_utf8(digits).ok();
        let number = number.and_then(|digits| digits.parse().ok());
        if is_whole && let Some(number) = number.and_then(|number| whole(number, is_negative)) {
            return Ok(number);
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => {
                let sign = if is_negative { "-" } else { "" };
                Ok(Scalar::Float(format!("{sign}{text}")))
            }
            _ => Err(too_large(self)),
        }
    }

    /// `"…"`, `'…'` and either of them three times.
    pub(super) fn quoted(&mut self) -> Result<String, Fault> {
        let start = self.at;
        let open = || "a quote is not closed";
        let Some(quote @ (b'"' | b'\'')) = self.peek() else {
            return Err(self.fault("a quote is missing"));
        };
        let mut text = String::new();
        if self.eat(&[quote; 3]) {
            self.eat_line_break();
            while !self.eat(&[quote; 3]) {
                let before = self.at;
                if self.eat_line_break() {
                    text.push_str(&self.between(before, self.at));
                    continue;
                }
                match self.character() {
                    Some(c) if c == '\t' || (c >= ' ' && c != '\u{7f}') => self.push(c, &mut text),
                    None if self.is_at_end() => return Err(self.fault_at(start, open())),
                    _ => return Err(self.fault("a byte that may not stand in quotes")),
                }
            }
            return Ok(text);
        }
        self.at += 1;
        loop {
            if self.eat(&[quote]) {
                return Ok(text);
            }
            if self.eat(b"\\") {
                text.push(self.escaped()?);
                continue;
            }
            match self.character() {
                Some(c) if c >= ' ' && c != '\u{7f}' => self.push(c, &mut text),
                None if self.is_at_end() => return Err(self.fault_at(start, open())),
                Some('\n' | '\r') => return Err(self.fault_at(start, open())),
                _ => return Err(self.fault("a byte that may not stand in quotes")),
            }
        }
    }

    fn push(&mut self, c: char, text: &mut String) {
        text.push(c);
        self.at += c.len_utf8();
    }

    /// What stands behind a backslash in quotes.
    fn escaped(&mut self) -> Result<char, Fault> {
        let wrong = |cursor: &Self| cursor.fault("a \\ that strfry does not know");
        if self.eat(b"u{") {
            let digits = self.eat_all(|byte| byte.is_ascii_hexdigit());
            let digits = std::str::from_utf8(digits).unwrap_or_default();
            let code = u32::from_str_radix(digits, 16).ok();
            let code = code.filter(|_| self.eat(b"}"));
            return code.and_then(char::from_u32).ok_or_else(|| wrong(self));
        }
        if self.eat(b"u") {
            let mut units = vec![self.unit().ok_or_else(|| wrong(self))?];
            if (0xd800..0xdc00).contains(units.first().unwrap_or(&0)) && self.eat(b"\\u") {
                units.push(self.unit().ok_or_else(|| wrong(self))?);
            }
            let decoded = String::from_utf16(&units).map_err(|_| wrong(self))?;
            return decoded.chars().next().ok_or_else(|| wrong(self));
        }
        let c = match self.peek() {
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'v') => '\u{b}',
            Some(b'0') => '\0',
            Some(byte @ (b'"' | b'\'' | b'\\' | b'/')) => char::from(byte),
            _ => return Err(wrong(self)),
        };
        self.at += 1;
        Ok(c)
    }

    /// The four hexadecimal digits of a UTF-16 unit.
    fn unit(&mut self) -> Option<u16> {
        let digits = self.rest().get(..4)?;
        let digits = std::str::from_utf8(digits).ok()?;
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let unit = u16::from_str_radix(digits, 16).ok().filter(|_| is_hex)?;
        self.at += 4;
        Some(unit)
    }

    /// `$"…"`, `$12.ab`
    fn binary(&mut self) -> Result<Vec<u8>, Fault> {
        let start = self.at;
        self.eat(b"$");
        let Some(quote @ (b'"' | b'\'')) = self.peek() else {
            return self.hexadecimal_bytes();
        };
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            if self.eat(&[quote]) {
                return Ok(bytes);
            }
            if self.eat(b"\\x") {
                let byte = self.byte();
                bytes.push(byte.ok_or_else(|| self.fault("two digits are missing behind \\x"))?);
                continue;
            }
            if self.eat(b"\\") {
                if self.peek() == Some(b'u') {
                    return Err(self.fault("a \\u in binary data"));
                }
                let c = self.escaped()?;
                bytes.extend(u8::try_from(u32::from(c)));
                continue;
            }
            match self.peek() {
                Some(byte @ b' '..=b'~') => bytes.push(byte),
                _ => return Err(self.fault_at(start, "a quote is not closed")),
            }
            self.at += 1;
        }
    }

    fn hexadecimal_bytes(&mut self) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        bytes.extend(self.byte());
        while !bytes.is_empty() {
            if let Some(byte) = self.byte() {
                bytes.push(byte);
            } else if self.eat(b".") {
                let byte = self.byte();
                bytes.push(byte.ok_or_else(|| self.fault("two digits are missing behind ."))?);
            } else {
                break;
            }
        }
        Ok(bytes)
    }

    fn byte(&mut self) -> Option<u8> {
        let digits = std::str::from_utf8(self.rest().get(..2)?).ok()?;
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let byte = u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)?;
        self.at += 2;
        Some(byte)
    }
}

/// A whole number; none where it is too large to be negative.
fn whole(number: u64, is_negative: bool) -> Option<Scalar> {
    if !is_negative {
        return Some(Scalar::Unsigned(number));
    }
    0_i64.checked_sub_unsigned(number).map(Scalar::Signed)
}
