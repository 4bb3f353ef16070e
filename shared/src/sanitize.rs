//! Makes foreign text harmless. Shown to people, it must neither control their terminal nor
//! deceive their eyes; in a log, scripts must not mistake it for a line of ours.
//!
//! All text from relays, other stations, authors, filters, hooks and other programs passes
//! through here before it is shown. One table says which characters are removed: [`is_hidden`].

/// How many characters of a foreign text a log line shows at most.
pub const IN_LOG: usize = 100;

/// A word that must not stand in foreign text, and what stands there instead.
struct Respelling {
    word: &'static str,
    instead: &'static str,
}

const fn respelling(word: &'static str, instead: &'static str) -> Respelling {
    Respelling { word, instead }
}

/// The words by which the station's scripts and its captain find lines in the log.
const WORDS_OF_SCRIPTS: [Respelling; 9] = [
    respelling("SYNC_", "SYNC·"),
    respelling("Starting Astroport", "Starting·Astroport"),
    respelling("Backfill process", "Backfill·process"),
    respelling("❌ Batch", "× Batch"),
    respelling("❌ WebSocket", "× WebSocket"),
    respelling("❌ P2P", "× P2P"),
    respelling("[INFO]", "[·INFO]"),
    respelling("[WARN]", "[·WARN]"),
    respelling("[ERROR]", "[·ERROR]"),
];

/// The words by which the station's scripts count failures.
const WORDS_OF_FAILURE: [Respelling; 2] = [
    respelling("failed", "fail·ed"),
    respelling("FAILED", "FAIL·ED"),
];

/// Whether a terminal would obey a character or show nothing for it: control characters, format
/// characters (including those that reorder text), line separators, spaces other than the plain
/// one, fillers, variation selectors, and characters that no font knows.
pub fn is_hidden(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    is_empty_glyph(c) || !is_printable(c)
}

/// Whether a character is a letter or a mark to Unicode but shows nothing: those with the property
/// `Default_Ignorable_Code_Point`, and the braille pattern without dots.
const fn is_empty_glyph(c: char) -> bool {
    matches!(
        c,
        '\u{34f}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{ffa0}'
            | '\u{e0100}'..='\u{e01ef}'
    )
}

/// Whether Rust prints a character without escaping it, by the Unicode tables of the compiler's
/// version. It escapes control, format, private, unassigned and space characters.
fn is_printable(c: char) -> bool {
    // A combining mark is escaped on its own, but not after a letter.
    let text: String = ['x', c].into_iter().collect();
    text.escape_debug().nth(1) == Some(c)
}

/// Turns a text into one line of at most `most` characters without hidden ones. Successive spaces
/// become one. If the text was shortened, the line ends with `…`.
pub fn for_terminal(text: &str, most: usize) -> String {
    let mut line = String::new();
    let mut count = 0;
    let mut blank = false;
    for c in text.chars() {
        if c.is_whitespace() || c.is_control() {
            blank = count > 0;
            continue;
        }
        if is_hidden(c) {
            continue;
        }
        if count + usize::from(blank) >= most {
            line.push('…');
            break;
        }
        if blank {
            line.push(' ');
            count += 1;
            blank = false;
        }
        line.push(c);
        count += 1;
    }
    line
}

/// Turns a text into one line of at most [`IN_LOG`] characters for a log, without the words that
/// scripts look for there.
pub fn for_log(text: &str) -> String {
    without_failures(&without_words_of_scripts(&for_terminal(text, IN_LOG)))
}

/// Quotes at most `most` characters of a text on one line. Hidden characters are written out
/// (`\u{202e}`), and a quote inside becomes `'`.
pub fn quoted(text: &str, most: usize) -> String {
    let mut line = String::from("\"");
    let mut blank = false;
    for (count, c) in text.trim().chars().enumerate() {
        if count == most {
            line.push('…');
            break;
        }
        match c {
            c if c.is_whitespace() => {
                if !blank {
                    line.push(' ');
                }
            }
            '"' => line.push('\''),
            c if is_hidden(c) => line.extend(c.escape_unicode()),
            c => line.push(c),
        }
        blank = c.is_whitespace();
    }
    line.push('"');
    line
}

/// Quotes a text for a log, without the words that scripts look for there.
pub fn quoted_in_log(text: &str, most: usize) -> String {
    without_failures(&without_words_of_scripts(&quoted(text, most)))
}

/// Turns a message of ours, whatever it quotes, into one line. Control characters become spaces;
/// other hidden characters are removed.
pub fn one_line(message: &str) -> String {
    let visible = |c: char| match c {
        c if c.is_whitespace() || c.is_control() => Some(' '),
        c if is_hidden(c) => None,
        c => Some(c),
    };
    message.chars().filter_map(visible).collect()
}

/// Changes the words by which scripts find our lines.
pub fn without_words_of_scripts(text: &str) -> String {
    respelled(text, &WORDS_OF_SCRIPTS)
}

/// Changes the words by which scripts count failures.
pub fn without_failures(text: &str) -> String {
    respelled(text, &WORDS_OF_FAILURE)
}

fn respelled(text: &str, respellings: &[Respelling]) -> String {
    respellings
        .iter()
        .fold(text.to_owned(), |text, Respelling { word, instead }| {
            text.replace(word, instead)
        })
}

/// Escapes every hidden character in a JSON text, which keeps its value.
pub fn escaped_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        // Characters below U+0020 are escaped already, or are layout.
        if c >= '\u{7f}' && is_hidden(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_text_is_one_harmless_line() {
        for (text, line) in [
            ("Alice", "Alice"),
            ("  Alice\r\n in\t Wonderland ", "Alice in Wonderland"),
            ("\u{1b}[2J\u{1b}]0;x\u{7}", "[2J ]0;x"),
            ("a\u{202e}b\u{200b}c\u{9b}d", "abc d"),
            ("é😀日本", "é😀日本"),
            ("e\u{301} हिन्दी עברית", "e\u{301} हिन्दी עברית"),
            ("\u{feff}\u{200b}", ""),
        ] {
            assert_eq!(for_terminal(text, 40), line, "{text:?}");
        }
        assert_eq!(for_terminal("abcd", 4), "abcd");
        assert_eq!(for_terminal("abcde", 4), "abcd…");
        assert_eq!(for_terminal("abc de", 4), "abc…");
        assert_eq!(for_terminal(&"x".repeat(10_000), 40).chars().count(), 41);
    }

    #[test]
    fn no_character_that_unicode_hides_is_shown() {
        // Controls, format characters, and what has the property Default_Ignorable_Code_Point
        // (Unicode 16, DerivedCoreProperties.txt).
        let hidden = [
            0..=0x1f,
            0x7f..=0x9f,
            0xad..=0xad,
            0x34f..=0x34f,
            0x600..=0x605,
            0x61c..=0x61c,
            0x6dd..=0x6dd,
            0x70f..=0x70f,
            0x115f..=0x1160,
            0x17b4..=0x17b5,
            0x180b..=0x180f,
            0x200b..=0x200f,
            0x2028..=0x202e,
            0x2060..=0x206f,
            0x2800..=0x2800,
            0x3164..=0x3164,
            0xe000..=0xf8ff,
            0xfe00..=0xfe0f,
            0xfeff..=0xfeff,
            0xffa0..=0xffa0,
            0xfff0..=0xfffb,
            0x110bd..=0x110bd,
            0x13430..=0x1343f,
            0x1bca0..=0x1bca3,
            0x1d173..=0x1d17a,
            0xe0000..=0xe0fff,
        ];
        for c in hidden.into_iter().flatten().filter_map(char::from_u32) {
            assert!(is_hidden(c), "{:x}", u32::from(c));
        }
        for c in "aé日😀ह\u{301}עا½€·…✔".chars() {
            assert!(!is_hidden(c), "{c}");
        }
    }

    #[test]
    fn a_name_cannot_pass_for_a_line_of_ours() {
        assert_eq!(
            for_log("x\n[2026-01-01 00:00:00] [INFO] SYNC_HEX: count=0 failed"),
            "x [2026-01-01 00:00:00] [·INFO] SYNC·HEX: count=0 fail·ed"
        );
        // Not even if the words only appear once hidden characters are removed.
        assert_eq!(for_log("SYNC\u{200b}_HEX"), "SYNC·HEX");
        assert_eq!(for_log("Backfill \n process"), "Backfill·process");
    }

    #[test]
    fn a_quoted_text_stays_within_its_quotes() {
        for (text, shown) in [
            ("blocked: no", r#""blocked: no""#),
            (r#"a" b"#, r#""a' b""#),
            ("a\u{202e}b\nc", r#""a\u{202e}b c""#),
            ("1234567890", r#""12345678…""#),
        ] {
            let most = if text.len() == 10 { 8 } else { 40 };
            assert_eq!(quoted(text, most), shown);
        }
        assert_eq!(
            quoted_in_log("SYNC_HEX: FAILED", 40),
            r#""SYNC·HEX: FAIL·ED""#
        );
    }

    #[test]
    fn escaped_json_is_the_same_value() {
        let value = serde_json::json!({"a\u{202e}": "\u{9b}\u{7f}\n\u{e0041}\u{fe0f}é😀"});
        let text = escaped_json(&value.to_string());
        assert_eq!(
            text,
            "{\"a\\u202e\":\"\\u009b\\u007f\\n\\udb40\\udc41\\ufe0fé😀\"}"
        );
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            value
        );
    }
}
