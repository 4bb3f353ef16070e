//! Reading single values of a conf: numbers, quoted texts and binary data.

use super::cursor::Cursor;
use super::fault::Fault;
use super::tree::Scalar;

impl Cursor<'_> {
    /// A value that is no object, array, reference or function.
    pub(crate) fn scalar(&mut self) -> Result<Scalar, Fault> {
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

    /// A number behind its sign.
    fn number(&mut self, is_negative: bool) -> Result<Scalar, Fault> {
        let start = self.at;
        if self.eat(b"NaN") || self.eat(b"Infinity") {
            let word = self.between(start, self.at);
            return Ok(float(&word, is_negative));
        }
        if self.eat(b"0x") || self.eat(b"0X") {
            return self.hex_number(start, is_negative);
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
            return Err(self.no_value(start));
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
            Ok(number) if number.is_finite() => Ok(float(&text, is_negative)),
            _ => Err(self.too_large(start)),
        }
    }

    /// The digits behind `0x`, of a number that begins at `start`.
    fn hex_number(&mut self, start: usize, is_negative: bool) -> Result<Scalar, Fault> {
        let digits = self.eat_all(|byte| byte.is_ascii_hexdigit());
        let digits = std::str::from_utf8(digits).unwrap_or_default();
        if digits.is_empty() {
            return Err(self.fault("digits are missing behind 0x"));
        }
        let digits = digits.trim_start_matches('0');
        let number = if digits.is_empty() {
            Ok(0)
        } else {
            u64::from_str_radix(digits, 16)
        };
        let number = number.map_err(|_| self.too_large(start))?;
        whole(number, is_negative).ok_or_else(|| self.too_large(start))
    }

    fn too_large(&self, start: usize) -> Fault {
        self.fault_at(start, "a number is too large")
    }

    /// The fault of a missing value.
    fn no_value(&self, start: usize) -> Fault {
        let what = if self.is_at_end() || self.peek() == Some(b'}') {
            "a value is missing".to_owned()
        } else {
            format!(
                "{:?} is no value; text belongs in quotes, \"…\"",
                self.word()
            )
        };
        self.fault_at(start, what)
    }

    /// `"…"`, `'…'` and either of them three times.
    pub(crate) fn quoted(&mut self) -> Result<String, Fault> {
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

/// A number that is not whole, or too large for a whole one, as it is written.
fn float(text: &str, is_negative: bool) -> Scalar {
    let sign = if is_negative { "-" } else { "" };
    Scalar::Float(format!("{sign}{text}"))
}

/// A whole number with its sign; `None` if it is too small for a signed number.
fn whole(number: u64, is_negative: bool) -> Option<Scalar> {
    if !is_negative {
        return Some(Scalar::Unsigned(number));
    }
    0_i64.checked_sub_unsigned(number).map(Scalar::Signed)
}
