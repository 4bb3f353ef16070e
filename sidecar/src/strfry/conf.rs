//! The few settings of `strfry.conf` that matter to us, and the one that we [`edit`].

pub mod edit;

use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::support::atomic_file;

/// `events.maxEventSize` where the conf does not say (strfry's golpe.yaml).
pub const DEFAULT_MAX_EVENT_SIZE: usize = 65_536;

/// `relay.port` where the conf does not say (strfry's golpe.yaml).
pub const DEFAULT_RELAY_PORT: u16 = 7777;

/// The longest conf that is read, in bytes.
const LONGEST: u64 = 1024 * 1024;

/// Reads a conf; none where there is none.
///
/// # Errors
/// Those of reading the file.
pub fn read(conf: &Path) -> io::Result<Option<String>> {
    let file = match atomic_file::open(conf) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut text = Vec::new();
    file.take(LONGEST).read_to_end(&mut text)?;
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

/// Reads `events.maxEventSize`, in bytes; strfry's default where it is not set.
///
/// # Errors
/// Those of reading the file; a missing one has no settings.
pub fn max_event_size(conf: &Path) -> io::Result<usize> {
    let text = read(conf)?.unwrap_or_default();
    Ok(setting(&text, &["events", "maxEventSize"])
        .and_then(|value| value.parse().ok())
        .unwrap_or(DEFAULT_MAX_EVENT_SIZE))
}

/// The port on which this conf has the relay listen; strfry's default where it does not say.
pub fn relay_port(text: &str) -> u16 {
    let port = setting(text, &["relay", "port"]);
    port.and_then(|port| port.parse().ok())
        .unwrap_or(DEFAULT_RELAY_PORT)
}

/// Where the database's file lies, by the conf's `db`, which is relative to `folder`.
pub fn database(conf: &Path, folder: &Path) -> PathBuf {
    let text = read(conf).ok().flatten().unwrap_or_default();
    let db = setting(&text, &["db"]).unwrap_or_else(|| "strfry-db".to_owned());
    // Without what changes nothing: `./strfry-db/`.
    folder.join(db).join("data.mdb").components().collect()
}

/// The value of a setting in strfry's syntax: `name { name = value }`, `#` remarks. Of
/// several the last counts. Quotes are taken off.
pub fn setting(text: &str, path: &[&str]) -> Option<String> {
    look(text, path).value.map(|token| token.word)
}

/// Where a setting stands.
#[derive(Default)]
struct Look {
    /// The last value of that name.
    value: Option<Token>,
    /// Behind the last `{` of a block of that name.
    inside: Option<usize>,
}

fn look(text: &str, path: &[&str]) -> Look {
    let mut inside: Vec<String> = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut found = Look::default();
    for token in tokens(text) {
        match (token.word.as_str(), token.is_quoted) {
            ("{", false) => {
                inside.push(words.pop().unwrap_or_default());
                // A word further back names no value inside the block.
                words.clear();
                if inside == path {
                    found.inside = Some(token.place.end);
                }
            }
            ("}", false) => {
                inside.pop();
                words.clear();
            }
            ("=", false) => {}
            _ => {
                words.push(token.word.clone());
                if let [.., name, _] = words.as_slice()
                    && let Some((last, outer)) = path.split_last()
                    && name == last
                    && inside == outer
                {
                    found.value = Some(token);
                    words.clear();
                }
            }
        }
    }
    found
}

/// Whether a conf has this block.
pub fn has_block(text: &str, path: &[&str]) -> bool {
    look(text, path).inside.is_some()
}

/// What strfry would not read in a conf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// The first thing in a conf that no reader could make sense of: braces, quotes and
/// values. What else strfry wants, only strfry knows.
pub fn fault(text: &str) -> Option<Fault> {
    let mut open = Vec::new();
    // The line of an equals sign whose value has not come yet.
    let mut valueless = None;
    for (index, line) in text.lines().enumerate() {
        let fault = |what| {
            Some(Fault {
                line: index + 1,
                what,
            })
        };
        let mut rest = line.chars();
        while let Some(c) = rest.next() {
            match c {
                '#' => break,
                '{' => open.push(index + 1),
                '}' if open.pop().is_none() => return fault("a } closes nothing"),
                '}' | '=' if valueless.is_some() => return fault("a value is missing"),
                '}' => {}
                '=' => valueless = Some(index + 1),
                '"' => {
                    if !rest.any(|c| c == '"') {
                        return fault("a quote is not closed");
                    }
                    valueless = None;
                }
                c if c.is_whitespace() => {}
                _ => valueless = None,
            }
        }
    }
    let unfinished = |line, what| Fault { line, what };
    let valueless = valueless.map(|line| unfinished(line, "a value is missing"));
    valueless.or_else(|| Some(unfinished(open.pop()?, "this { is not closed")))
}

/// A brace, an equals sign, a quoted text or a word.
struct Token {
    word: String,
    is_quoted: bool,
    /// In bytes, quotes included.
    place: Range<usize>,
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text.char_indices().peekable();
    while let Some((start, c)) = rest.next() {
        let mut word = String::new();
        match c {
            '#' => {
                while rest.next_if(|&(_, c)| c != '\n').is_some() {}
                continue;
            }
            c if c.is_whitespace() || c == ',' || c == ';' => continue,
            '{' | '}' | '=' => word.push(c),
            '"' => {
                while let Some((_, c)) = rest.next_if(|&(_, c)| c != '"') {
                    word.push(c);
                }
                rest.next();
            }
            c => {
                word.push(c);
                let is_inside = |c: char| !c.is_whitespace() && !"{}=#\",;".contains(c);
                while let Some((_, c)) = rest.next_if(|&(_, c)| is_inside(c)) {
                    word.push(c);
                }
            }
        }
        let end = rest.peek().map_or(text.len(), |&(at, _)| at);
        tokens.push(Token {
            word,
            is_quoted: c == '"',
            place: start..end,
        });
    }
    tokens
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::fs;

    pub(super) const CONF: &str = r#"
        ## maxEventSize = 1
        db = "./strfry-db/" # { events
        events { # what
            maxEventSize = 131072   # bytes
            maxNumTags=2000
        }
        relay {
            info { description = "a { maxEventSize = 2 } b" }
            maxEventSize = 3
            writePolicy { plugin = "" timeoutSeconds = 10 }
        }
    "#;

    #[test]
    fn settings_are_found_in_their_block_only() {
        let of = |path: &[&str]| setting(CONF, path);
        assert_eq!(of(&["events", "maxEventSize"]).as_deref(), Some("131072"));
        assert_eq!(of(&["events", "maxNumTags"]).as_deref(), Some("2000"));
        assert_eq!(of(&["db"]).as_deref(), Some("./strfry-db/"));
        assert_eq!(of(&["relay", "writePolicy", "plugin"]).as_deref(), Some(""));
        assert_eq!(
            of(&["relay", "writePolicy", "timeoutSeconds"]).as_deref(),
            Some("10")
        );
        assert_eq!(of(&["events", "nothing"]), None);
        let odd = "size = events { size = 1 }";
        assert_eq!(setting(odd, &["events", "size"]).as_deref(), Some("1"));
        assert!(has_block(CONF, &["relay", "writePolicy"]));
        assert!(!has_block(CONF, &["writePolicy"]));
        assert!(!has_block(CONF, &["relay", "b"]));
    }

    #[test]
    fn a_missing_conf_has_the_default() {
        let dir = tempfile::tempdir().unwrap();
        let conf = dir.path().join("strfry.conf");
        assert_eq!(max_event_size(&conf).unwrap(), 65_536);
        fs::write(&conf, CONF).unwrap();
        assert_eq!(max_event_size(&conf).unwrap(), 131_072);
        fs::write(&conf, "events { maxEventSize = many }").unwrap();
        assert_eq!(max_event_size(&conf).unwrap(), 65_536);
    }

    #[test]
    fn what_nobody_could_read_is_found_with_its_line() {
        assert_eq!(fault(CONF), None);
        assert_eq!(fault(""), None);
        for (text, line, what) in [
            ("a {\n b = 1\n", 1, "this { is not closed"),
            ("a {\n}\n}\n", 3, "a } closes nothing"),
            ("a = \"x\nb = 1", 1, "a quote is not closed"),
            ("a {\n b =\n}\n", 3, "a value is missing"),
            ("a =\n", 1, "a value is missing"),
        ] {
            assert_eq!(fault(text), Some(Fault { line, what }), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_stops_the_reading(text: String) {
            let _ = fault(&text);
            let _ = setting(&text, &["events", "maxEventSize"]);
        }
    }
}
