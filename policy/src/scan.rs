//! Walking over a line of JSON (RFC 8259) for the few values that matter.
//!
//! Checks the grammar of all it passes over, without recursion and without looking at
//! what texts and numbers mean. Our own, because it is most of what an event costs: a
//! general parser takes three times as long for the 600 bytes of a usual request.

/// A place in a JSON text.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    /// Whether there may be control characters in texts, where they are not allowed.
    /// Looked at once for the whole, and almost never so.
    has_controls: bool,
    /// The containers around the place within [`Scanner::value`].
    around: Containers,
}

const OBJECT: bool = true;
const ARRAY: bool = false;

/// Which containers are open, one within another. The innermost 64 need no memory of
/// their own: events rarely go deeper than three.
#[derive(Debug, Default)]
struct Containers {
    depth: usize,
    /// A bit each, the innermost in the lowest.
    innermost: u64,
    /// Those further out, 64 at a time.
    outer: Vec<u64>,
}

impl Containers {
    fn push(&mut self, kind: bool) {
        if self.depth % 64 == 0 && self.depth > 0 {
            self.outer.push(self.innermost);
        }
        self.innermost = self.innermost << 1 | u64::from(kind);
        self.depth += 1;
    }

    fn innermost(&self) -> bool {
        self.innermost & 1 == 1
    }

    fn pop(&mut self) {
        self.depth -= 1;
        self.innermost >>= 1;
        if self.depth % 64 == 0 && self.depth > 0 {
            self.innermost = self.outer.pop().unwrap_or_default();
        }
    }
}

/// How many of a word's bytes, from the first, are neither `"` nor `\`. All eight are
/// looked at in one step.
const fn plain_bytes(word: u64) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    // The highest bit of each byte that is zero. Above the first such byte it may be set
    // wrongly, by the borrow; the first is always right.
    const fn zeros(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word & HIGHS
    }
    let special = zeros(word ^ (b'"' as u64 * ONES)) | zeros(word ^ (b'\\' as u64 * ONES));
    special.trailing_zeros() as usize / 8
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        Self {
            text,
            at: 0,
            // Not `any`: without a way out the compiler looks at many bytes in one step.
            has_controls: text
                .iter()
                .fold(false, |found, &byte| found | (byte < 0x20)),
            around: Containers::default(),
        }
    }

    /// The next byte that is no blank, which is not passed over.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            match *self.text.get(self.at)? {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    /// Whether nothing but blanks is left.
    pub(crate) fn is_at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    fn pass(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn since(&self, start: usize) -> Option<&'a [u8]> {
        self.text.get(start..self.at)
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
            self.at += 1;
            return Some(());
        }
        loop {
            let key = self.key()?;
            member(self, key)?;
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    /// Passes over a value of any kind and depth, and returns it as it is spelled.
    pub(crate) fn value(&mut self) -> Option<&'a [u8]> {
        self.peek()?;
        let start = self.at;
        self.around = Containers::default();
        loop {
            let complete = match self.peek()? {
                b'"' => self.string(),
                b'{' => {
                    self.at += 1;
                    match self.peek()? {
                        b'}' => self.pass(b'}'),
                        _ => {
                            self.around.push(OBJECT);
                            self.key()?;
                            continue;
                        }
                    }
                }
                b'[' => {
                    self.at += 1;
                    match self.peek()? {
                        b']' => self.pass(b']'),
                        _ => {
                            self.around.push(ARRAY);
                            continue;
                        }
                    }
                }
                b't' => self.literal(b"true"),
                b'f' => self.literal(b"false"),
                b'n' => self.literal(b"null"),
                _ => self.number(),
            };
            complete?;
            // Out of each container that ends here.
            loop {
                if self.around.depth == 0 {
                    return self.since(start);
                }
                let in_object = self.around.innermost() == OBJECT;
                match self.peek()? {
                    b',' => {
                        self.at += 1;
                        if in_object {
                            self.key()?;
                        }
                        break;
                    }
                    b'}' if in_object => {}
                    b']' if !in_object => {}
                    _ => return None,
                }
                self.at += 1;
                self.around.pop();
            }
        }
    }

    /// Passes over a member's key and its colon.
    fn key(&mut self) -> Option<&'a [u8]> {
        self.peek()?;
        let start = self.at;
        self.string()?;
        let key = self.since(start);
        self.pass(b':')?;
        key
    }

    fn string(&mut self) -> Option<()> {
        self.pass(b'"')?;
        loop {
            let rest = self.text.get(self.at..)?;
            // Most texts are short names, which end within a word.
            let within_word = rest
                .first_chunk::<8>()
                .map_or(8, |word| plain_bytes(u64::from_le_bytes(*word)));
            let plain = match within_word {
                8 => memchr::memchr2(b'"', b'\\', rest)?,
                plain => plain,
            };
            if self.has_controls && rest.get(..plain)?.iter().any(|&byte| byte < 0x20) {
                return None;
            }
            self.at += plain + 1;
            match rest.get(plain)? {
                b'"' => return Some(()),
                _ => self.escape()?,
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        let byte = *self.text.get(self.at)?;
        self.at += 1;
        match byte {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let digits = self.text.get(self.at..self.at + 4)?;
                self.at += 4;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(())
            }
            _ => None,
        }
    }

    fn literal(&mut self, word: &[u8]) -> Option<()> {
        self.text
            .get(self.at..)?
            .starts_with(word)
            .then(|| self.at += word.len())
    }

    fn number(&mut self) -> Option<()> {
        if self.text.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        match self.text.get(self.at)? {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.text.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.text.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Option<()> {
        let rest = self.text.get(self.at..)?;
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        (count > 0).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_json(text: &[u8]) -> bool {
        let mut scanner = Scanner::new(text);
        scanner.value().is_some() && scanner.is_at_end()
    }

    /// A general parser's word on it, of what is passed over without being understood.
    fn is_json_for_serde(text: &[u8]) -> bool {
        serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()
    }

    #[test]
    fn values_of_every_kind() {
        for text in [
            "0",
            "-0",
            "-12.5e+7",
            "1E400",
            "true",
            "false",
            "null",
            "\"\"",
            "[]",
            "{}",
            " [ ] ",
            "{ }",
            "[1,[2,{\"a\":[]}],\"x\"]",
            "{\"a\":{\"b\":[{}]},\"c\":1}",
            "\"\\ud800\\n\\/\"",
        ] {
            assert!(is_json(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            " ",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "tru",
            "nul",
            "\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\t\"",
            "[",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{1:1}",
            "[}",
            "{]",
            "[]]",
            "1 2",
            "{\"a\":1]",
        ] {
            assert!(!is_json(text.as_bytes()), "{text}");
        }
        for depth in [63, 64, 65, 128, 129, 1_000_000] {
            let open = "[{\"a\":".repeat(depth);
            let close = "}]".repeat(depth);
            assert!(is_json(format!("{open}1{close}").as_bytes()), "{depth}");
            assert!(!is_json(format!("{open}1]{close}").as_bytes()), "{depth}");
            assert!(!is_json(format!("{open}1{close}]").as_bytes()), "{depth}");
        }
    }

    #[test]
    fn members_come_one_by_one() {
        let mut seen = Vec::new();
        let mut scanner = Scanner::new(b" { \"a\" : [1, 2] , \"b\\n\":\"}\"} ");
        let whole = scanner.object(|scanner, key| {
            seen.push((key, scanner.value()?));
            Some(())
        });
        assert_eq!(whole, Some(()));
        assert!(scanner.is_at_end());
        assert_eq!(
            seen,
            [(&b"\"a\""[..], &b"[1, 2]"[..]), (b"\"b\\n\"", b"\"}\"")]
        );
    }

    /// JSON, mostly, with a byte changed here and there.
    fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
        let alphabet = "[{\"\\u0e1+-.,: \n]}tfnrueals/b\u{1}é".to_owned();
        let letters: Vec<char> = alphabet.chars().collect();
        let soup = proptest::collection::vec(proptest::sample::select(letters), 0..24)
            .prop_map(|letters| String::from_iter(letters).into_bytes());
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("-1.5e3".to_owned()),
            "[ -~é\u{1}]{0,20}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        ];
        let tree = leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5)
                    .prop_map(|all| format!("[{}]", all.join(","))),
                proptest::collection::vec(inner, 0..5).prop_map(|all| {
                    let members: Vec<String> = all.iter().map(|v| format!("\"k\" : {v}")).collect();
                    format!("{{{}}}", members.join(","))
                }),
            ]
        });
        let bent = (
            tree,
            any::<u8>(),
            any::<prop::sample::Index>(),
            any::<bool>(),
        )
            .prop_map(|(text, byte, place, bend)| {
                let mut text = text.into_bytes();
                if bend {
                    let place = place.index(text.len());
                    text[place] = byte;
                }
                text
            });
        prop_oneof![soup, bent]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn it_agrees_with_a_general_parser(text in nearly_json()) {
            prop_assert_eq!(
                is_json(&text),
                is_json_for_serde(&text),
                "{}", String::from_utf8_lossy(&text)
            );
        }
    }
}
