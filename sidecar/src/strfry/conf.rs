//! The few settings of `strfry.conf` that matter to us.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// `events.maxEventSize` where the conf does not say (strfry's golpe.yaml).
pub const DEFAULT_MAX_EVENT_SIZE: usize = 65_536;

/// The longest conf that is read, in bytes.
const LONGEST: u64 = 1024 * 1024;

/// Reads `events.maxEventSize`, in bytes; strfry's default where it is not set.
///
/// # Errors
/// Those of reading the file; a missing one has no settings.
pub fn max_event_size(conf: &Path) -> io::Result<usize> {
    let file = match fs::File::open(conf) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(DEFAULT_MAX_EVENT_SIZE),
        file => file?,
    };
    let mut text = Vec::new();
    file.take(LONGEST).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    Ok(setting(&text, &["events", "maxEventSize"])
        .and_then(|value| value.parse().ok())
        .unwrap_or(DEFAULT_MAX_EVENT_SIZE))
}

/// Where the database's file lies, by the conf's `db`, which is relative to `folder`.
pub fn database(conf: &Path, folder: &Path) -> PathBuf {
    let text = fs::read_to_string(conf).unwrap_or_default();
    let db = setting(&text, &["db"]).unwrap_or_else(|| "strfry-db".to_owned());
    folder.join(db).join("data.mdb")
}

/// The value of a setting in strfry's syntax: `name { name = value }`, `#` remarks. Of
/// several the last counts. Quotes are taken off.
pub fn setting(text: &str, path: &[&str]) -> Option<String> {
    let mut inside: Vec<String> = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut found = None;
    for token in tokens(text) {
        match token.as_str() {
            "{" => inside.push(words.pop().unwrap_or_default()),
            "}" => {
                inside.pop();
                words.clear();
            }
            "=" => {}
            _ => {
                words.push(token);
                if let [.., name, value] = words.as_slice() {
                    let (last, outer) = path.split_last()?;
                    if name == last && inside == outer {
                        found = Some(value.clone());
                        words.clear();
                    }
                }
            }
        }
    }
    found
}

/// Braces, equals signs, quoted texts and words.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '#' => while rest.next_if(|&c| c != '\n').is_some() {},
            '{' | '}' | '=' => tokens.push(c.to_string()),
            '"' => {
                let mut word = String::new();
                while let Some(c) = rest.next_if(|&c| c != '"') {
                    word.push(c);
                }
                rest.next();
                tokens.push(word);
            }
            c if c.is_whitespace() || c == ',' || c == ';' => {}
            c => {
                let mut word = String::from(c);
                while let Some(c) = rest.next_if(|&c| !c.is_whitespace() && !"{}=#\",;".contains(c))
                {
                    word.push(c);
                }
                tokens.push(word);
            }
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONF: &str = r#"
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

    proptest::proptest! {
        #[test]
        fn no_text_stops_the_reading(text: String) {
            let _ = setting(&text, &["events", "maxEventSize"]);
        }
    }
}
