//! [`text_fields`]: reads texts of a JSON object that a shell script put together.
//!
//! Such objects hold numbers as `bc` writes them (`.30`, `-.5`), and where a variable was empty
//! nothing at all (`"load": ,`). Their readers use `jq`, which is not strict either. So this takes
//! everything that `jq` takes, and a value that neither takes is passed over alone: all other
//! fields are found. An object that does not end was only half written, and is none.

use std::mem;

/// The texts of these fields of the first object in `json` that has them, whatever else is in it.
/// Of a field that is there twice, the last one counts. `None` if there is no object.
///
/// Nothing here calls itself, so a document may be nested as deeply as it likes.
pub(crate) fn text_fields<const N: usize>(
    json: &[u8],
    names: [&str; N],
) -> Option<[Option<String>; N]> {
    let mut found = None;
    let mut object = Object::default();
    for token in Tokens(json) {
        match token {
            Token::Open(kind) => object.open(kind),
            Token::Close(kind) => {
                if let Some(texts) = object.close(kind, &names) {
                    let found: &mut [Option<String>; N] = found.get_or_insert([const { None }; N]);
                    for (found, text) in found.iter_mut().zip(texts) {
                        *found = found.take().or(text);
                    }
                }
            }
            Token::Colon => object.name(),
            Token::Comma => object.finish(),
            Token::Text(text) => object.text(text),
        }
    }
    found
}

/// What the text consists of, without numbers and other words, which nobody asks for.
#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    /// `{` or `[`.
    Open(u8),
    /// `}` or `]`, given as what it closes.
    Close(u8),
    Colon,
    Comma,
    /// What stands between two quotes.
    Text(&'a [u8]),
}

/// The tokens of a text. A text without its closing quote is none.
struct Tokens<'a>(&'a [u8]);

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let (first, rest) = self.0.split_first()?;
            self.0 = rest;
            return Some(match first {
                b'{' | b'[' => Token::Open(*first),
                b'}' => Token::Close(b'{'),
                b']' => Token::Close(b'['),
                b':' => Token::Colon,
                b',' => Token::Comma,
                b'"' => {
                    let length = length_of_text(rest)?;
                    let (text, rest) = rest.split_at_checked(length)?;
                    self.0 = rest.get(1..)?;
                    Token::Text(text)
                }
                _ => continue,
            });
        }
    }
}

/// How many bytes come before the closing quote.
fn length_of_text(text: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    text.iter().position(|byte| {
        let ends = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    })
}

/// The object that is being read.
#[derive(Debug, Default)]
struct Object<'a> {
    /// The objects and arrays that are open, as the bytes that opened them.
    open: Vec<u8>,
    /// The name of the field that is being read, once its colon has come.
    name: Option<&'a [u8]>,
    /// The text that came last in the field that is being read.
    text: Option<&'a [u8]>,
    /// Whether the field's value is an object or array.
    is_nested: bool,
    fields: Vec<(&'a [u8], Option<&'a [u8]>)>,
}

impl<'a> Object<'a> {
    fn open(&mut self, kind: u8) {
        self.is_nested = !self.open.is_empty();
        self.text = None;
        self.open.push(kind);
    }

    /// The texts that were asked for, if this ends the outermost object.
    fn close<const N: usize>(
        &mut self,
        kind: u8,
        names: &[&str; N],
    ) -> Option<[Option<String>; N]> {
        // One that closes nothing is a fault of the value that it is in.
        if self.open.last() != Some(&kind) {
            return None;
        }
        self.finish();
        self.open.pop();
        if kind != b'{' || !self.open.is_empty() {
            return None;
        }
        let mut texts = [const { None }; N];
        for (field, text) in self.fields.drain(..) {
            let field = decode(field);
            for (name, place) in names.iter().zip(&mut texts) {
                if field.as_deref() == Some(*name) {
                    *place = text.and_then(decode);
                }
            }
        }
        Some(texts)
    }

    /// Whether no object or array is open but the outermost object.
    fn is_outermost(&self) -> bool {
        self.open == [b'{']
    }

    /// The text that came last is the name of a field.
    fn name(&mut self) {
        if self.is_outermost() {
            let name = self.text.take();
            // Without a comma in front of the name, the field before it ends here.
            self.finish();
            self.name = name;
        }
    }

    fn text(&mut self, text: &'a [u8]) {
        if !self.is_outermost() {
            return;
        }
        if let Some(name) = self.name
            && let Some(value) = self.text
        {
            // There is no comma after the value.
            self.fields.push((name, Some(value)));
            self.name = None;
        }
        self.text = Some(text);
    }

    /// The field that is being read is complete.
    fn finish(&mut self) {
        if !self.is_outermost() {
            return;
        }
        let is_nested = mem::take(&mut self.is_nested);
        let text = self.text.take().filter(|_| !is_nested);
        if let Some(name) = self.name.take() {
            self.fields.push((name, text));
        }
    }
}

/// What a text stands for, without its escapes; `None` if one of them means nothing.
fn decode(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let mut rest = text.chars();
    let mut decoded = String::new();
    let mut units = Vec::new();
    while let Some(first) = rest.next() {
        let plain = match first {
            '\\' => match rest.next()? {
                'u' => {
                    let digits = rest.as_str().get(..4)?;
                    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                    units.push(u16::from_str_radix(digits, 16).ok().filter(|_| is_hex)?);
                    rest = rest.as_str().get(4..)?.chars();
                    continue;
                }
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                other @ ('"' | '\\' | '/') => other,
                _ => return None,
            },
            plain => plain,
        };
        flush(&mut units, &mut decoded);
        decoded.push(plain);
    }
    flush(&mut units, &mut decoded);
    Some(decoded)
}

/// Adds what these UTF-16 units stand for; half of a pair stands for nothing known.
fn flush(units: &mut Vec<u16>, decoded: &mut String) {
    if !units.is_empty() {
        decoded.push_str(&String::from_utf16_lossy(units));
        units.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::io::Write;
    use std::process::{Command, Stdio};

    type Fields = Option<[Option<String>; 2]>;

    fn read(json: &[u8]) -> Fields {
        text_fields(json, ["a", "b"])
    }

    fn fields(a: Option<&str>, b: Option<&str>) -> Fields {
        Some([a, b].map(|text| text.map(str::to_owned)))
    }

    fn nested(depth: usize) -> Vec<u8> {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!("{{\"c\":{open}{close},\"a\":\"x\",\"b\":\"y\"}}").into_bytes()
    }

    /// What jq 1.6 reads of `a` and `b`, being told `objects|[.a,.b]`.
    #[rustfmt::skip]
    const READ_BY_JQ: [(&[u8], Option<&str>, Option<&str>); 30] = [
        (br#"{"a":"x","b":"y","load":.30,"t":-.5}"#, Some("x"), Some("y")),
        (br#"{"load":1.,"a":"x","b":"y"}"#, Some("x"), Some("y")),
        (br#"{"load":+1,"a":"x","b":"y"}"#, Some("x"), Some("y")),
        (br#"{"load":007,"a":"x","b":"y"}"#, Some("x"), Some("y")),
        (br#"{"load":NaN,"a":"x","b":"y"}"#, Some("x"), Some("y")),
        (br#"{"load":-Infinity,"a":"x","b":"y"}"#, Some("x"), Some("y")),
        (br#"{"load":1e999,"a":"x","b":"y"}"#, Some("x"), Some("y")),
        (b"\xef\xbb\xbf{\"a\":\"x\",\"b\":\"y\"}", Some("x"), Some("y")),
        (br#"{"a":"x","b":"y"} rest"#, Some("x"), Some("y")),
        (br#"{"a":"x","b":"y"}]"#, Some("x"), Some("y")),
        (br#"{"a":"x","b":"y"}//c"#, Some("x"), Some("y")),
        (br#"{"a":"x","b":"y"}{"a":"z"}"#, Some("x"), Some("y")),
        (br#"{"a":"x"} {"b":"y"}"#, Some("x"), Some("y")),
        (br#"null [1] {"a":"x","b":"y"}"#, Some("x"), Some("y")),
        (br#"{"status":"booting"} {"a":"x","b":"y"}"#, Some("x"), Some("y")),
        (b"{\"a\":\"x\",\"b\":\"y\"}\0", Some("x"), Some("y")),
        (b"\r\n{\"a\":\"x\",\t\"b\":\"y\"}\r\n", Some("x"), Some("y")),
        (br#"{"a":"z","a":"x","b":"y"}"#, Some("x"), Some("y")),
        (br#"{"a":"x","b":"y","b":7}"#, Some("x"), None),
        (br#"{"a":["x"],"b":"y"}"#, None, Some("y")),
        (br#"{"o":{"a":"z"},"a":"x","b":"y"}"#, Some("x"), Some("y")),
        (br#"{"a":null,"b":"y"}"#, None, Some("y")),
        (br#"{"a":"","b":"y"}"#, Some(""), Some("y")),
        (b"{\"c\":\"\xff\xfe\",\"a\":\"x\",\"b\":\"y\"}", Some("x"), Some("y")),
        (br#"{"c":"\udc00","a":"x","b":"y"}"#, Some("x"), Some("y")),
        (br#"{"a":"\ud83d\ude00","b":"\u0079"}"#, Some("\u{1f600}"), Some("y")),
        (br#"{"\u0061":"x","b":"y"}"#, Some("x"), Some("y")),
        (br#"{"a":"\"\\\/\b\f\n\r\t","b":"y"}"#, Some("\"\\/\u{8}\u{c}\n\r\t"), Some("y")),
        (br#"{"status":"booting","timestamp":1}"#, None, None),
        (br#"{"error":"json_build_error"}"#, None, None),
    ];

    /// What jq 1.6 does not read. A broken value costs none of the other fields.
    const BROKEN: [&[u8]; 27] = [
        br#"{"load":nan,"a":"x","b":"y"}"#,
        br#"{"load":.,"a":"x","b":"y"}"#,
        br#"{"load":0x10,"a":"x","b":"y"}"#,
        br#"{"load":1,5,"a":"x","b":"y"}"#,
        br#"{"load":,"a":"x","b":"y"}"#,
        br#"{"load": "a":"x","b":"y"}"#,
        br#"{"a":"x" "b":"y"}"#,
        br#"{"a":"x","b":"y",}"#,
        br#"{,"a":"x","b":"y"}"#,
        br#"{"a":"x"; "b":"y"}"#,
        b" \xef\xbb\xbf{\"a\":\"x\",\"b\":\"y\"}",
        b"\0{\"a\":\"x\",\"b\":\"y\"}",
        br#"{"a":"x","b":"y"/*c*/}"#,
        b"#c\n{\"a\":\"x\",\"b\":\"y\"}",
        b"{\"c\":\"1\n2\",\"a\":\"x\",\"b\":\"y\"}",
        b"{\"c\":\"\x01\",\"a\":\"x\",\"b\":\"y\"}",
        b"{\"c\":\"1\x002\",\"a\":\"x\",\"b\":\"y\"}",
        br#"{"c":"\ud800","a":"x","b":"y"}"#,
        br#"{"c":"\q","a":"x","b":"y"}"#,
        br#"{"c":"\u12","a":"x","b":"y"}"#,
        br#"{"c":"say "hi"","a":"x","b":"y"}"#,
        br#"{"c":tru,"a":"x","b":"y"}"#,
        br#"{"c":[1,2,"a":"z"],"a":"x","b":"y"}"#,
        br#"{"c":[1,,2],"a":"x","b":"y"}"#,
        br#"{"c":[1}],"a":"x","b":"y"}"#,
        b"\x0c{\"a\":\"x\",\"b\":\"y\"}",
        br#"{c:1,"a":"x","b":"y"}"#,
    ];

    /// What is no object, or not a whole one.
    const NOTHING: [&[u8]; 11] = [
        b"",
        b" ",
        b"null",
        b"[]",
        b"7",
        b"\"x\"",
        br#"[{"a":"x","b":"y"}]"#,
        br#"{"a":"x","b":"y""#,
        br#"{"a":"x","b":"y"#,
        br#"{"a":"x","b":"y","c":{}"#,
        br#"{"c":[1,"a":"x","b":"y"}"#,
    ];

    #[test]
    fn what_jq_reads_is_read() {
        for (json, a, b) in READ_BY_JQ {
            assert_eq!(read(json), fields(a, b), "{}", json.escape_ascii());
        }
        assert_eq!(read(&nested(200)), fields(Some("x"), Some("y")));
    }

    #[test]
    fn a_broken_value_costs_none_of_the_other_fields() {
        for json in BROKEN {
            let expected = fields(Some("x"), Some("y"));
            assert_eq!(read(json), expected, "{}", json.escape_ascii());
        }
        // More than the 256 levels of jq 1.6.
        assert_eq!(read(&nested(100_000)), fields(Some("x"), Some("y")));
    }

    #[test]
    fn half_an_object_is_none() {
        for json in NOTHING {
            assert_eq!(read(json), None, "{}", json.escape_ascii());
        }
        assert_eq!(read(b"{}"), fields(None, None));
        assert_eq!(read(&b"{".repeat(100_000)), None);
        assert_eq!(read(&b"\\\"".repeat(100_000)), None);
    }

    /// What the jq of this machine reads, and whether it reads all of the text; `None` if it reads
    /// no object, or is not there.
    fn jq(json: &[u8]) -> Option<([Option<String>; 2], bool)> {
        let child = Command::new("jq")
            .args(["-c", "objects|[.a,.b]"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = child.ok()?;
        let mut stdin = child.stdin.take()?;
        let _ = stdin.write_all(json);
        drop(stdin);
        let output = child.wait_with_output().ok()?;
        let mut found: Fields = None;
        for line in output.stdout.split(|byte| *byte == b'\n') {
            let Ok(Value::Array(values)) = serde_json::from_slice(line) else {
                continue;
            };
            let found = found.get_or_insert([None, None]);
            for (found, value) in found.iter_mut().zip(values) {
                *found = found.take().or(value.as_str().map(str::to_owned));
            }
        }
        Some((found?, output.status.success()))
    }

    fn expect_as_jq(json: &[u8]) {
        let Some((read_by_jq, reads_all)) = jq(json) else {
            return;
        };
        let read = read(json).expect("an object");
        for (read, read_by_jq) in read.iter().zip(&read_by_jq) {
            // Behind a fault jq reads nothing.
            if reads_all || read_by_jq.is_some() {
                assert_eq!(read, read_by_jq, "{}", json.escape_ascii());
            }
        }
    }

    #[test]
    fn what_the_jq_of_this_machine_reads_is_read() {
        let read_by_jq = READ_BY_JQ.iter().map(|(json, ..)| *json);
        for json in read_by_jq.chain(BROKEN).chain(NOTHING) {
            expect_as_jq(json);
        }
        let words: [&[u8]; 18] = [
            b"{",
            b"}",
            b"[",
            b"]",
            b":",
            b",",
            b"\"a\"",
            b"\"b\"",
            b"\"x\"",
            b".5",
            b"-.5",
            b"1.",
            b"null",
            b"\"\\u0061\"",
            b"\"\xff\"",
            b" ",
            b"{\"a\":",
            b",\"b\":",
        ];
        let mut random = fastrand::Rng::with_seed(17);
        for _ in 0..60 {
            let (begin, end) = ([&b"{\"a\":"[..], b"{"], [&b"}"[..], b",\"b\":\"y\"}"]);
            let mut json = begin[random.usize(..2)].to_vec();
            for _ in 0..random.usize(1..5) {
                json.extend(words[random.usize(..words.len())]);
            }
            json.extend(end[random.usize(..2)]);
            expect_as_jq(&json);
        }
    }

    proptest::proptest! {
        #[test]
        fn what_serde_reads_is_read(json in r#"\{("a"|"b"|"c"|[:,\[\]{} "x\\]|\\u00[0-9]f|1\.5){0,20}\}"#) {
            let value: Option<Value> = serde_json::from_str(&json).ok();
            if let Some(value) = value {
                let text = |name: &str| value.get(name).and_then(Value::as_str);
                assert_eq!(read(json.as_bytes()), fields(text("a"), text("b")), "{json}");
            }
        }

        #[test]
        fn no_bytes_stop_the_reading(json in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = read(&json);
        }
    }
}
