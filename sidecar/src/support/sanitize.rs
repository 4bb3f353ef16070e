//! Foreign text made harmless for people: names and the like are written by anybody.

/// The most characters of a text that a log line shows.
pub const IN_LOG: usize = 100;

/// Words by which the station's scripts find lines of the log, and how foreign text spells
/// them there: a name must not pass for a line of ours, nor count as a failure.
const WORDS_OF_SCRIPTS: [(&str, &str); 5] = [
    ("SYNC_", "SYNC·"),
    ("failed", "fail·ed"),
    ("FAILED", "FAIL·ED"),
    ("Starting Astroport", "Starting·Astroport"),
    ("Backfill process", "Backfill·process"),
];

/// One line of at most `most` characters, without anything that a terminal would obey or
/// that hides or reorders text; blanks are gathered. What was cut ends with `…`.
pub fn shown(text: &str, most: usize) -> String {
    let mut line = String::new();
    let mut count = 0;
    let mut blank = false;
    for c in text.chars() {
        if c.is_whitespace() || c.is_control() {
            blank = count > 0;
            continue;
        }
        if is_invisible(c) {
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

/// The same for a line of the log, where some words mean something to scripts.
pub fn logged(text: &str) -> String {
    WORDS_OF_SCRIPTS
        .iter()
        .fold(shown(text, IN_LOG), |text, (word, instead)| {
            text.replace(word, instead)
        })
}

/// A JSON text in which every character that a terminal might obey, or that hides or
/// reorders text, is escaped: the same value, harmless to look at.
pub fn escaped_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        // Those below U+0020 are escaped already, or are the layout.
        if c == '\u{7f}' || (c > '\u{7f}' && (c.is_control() || is_invisible(c))) {
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

/// Characters that reorder, hide or join text (Unicode's format characters, fillers and
/// line separators).
const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_one_harmless_line() {
        for (text, line) in [
            ("Alice", "Alice"),
            ("  Alice\r\n in\t Wonderland ", "Alice in Wonderland"),
            ("\u{1b}[2J\u{1b}]0;x\u{7}", "[2J ]0;x"),
            ("a\u{202e}b\u{200b}c\u{9b}d", "abc d"),
            ("é😀日本", "é😀日本"),
            ("\u{feff}\u{200b}", ""),
        ] {
            assert_eq!(shown(text, 40), line, "{text:?}");
        }
        assert_eq!(shown("abcd", 4), "abcd");
        assert_eq!(shown("abcde", 4), "abcd…");
        assert_eq!(shown("abc de", 4), "abc…");
        assert_eq!(shown(&"x".repeat(10_000), 40).chars().count(), 41);
    }

    #[test]
    fn a_name_cannot_pass_for_a_line_of_ours() {
        assert_eq!(
            logged("x\n[2026-01-01 00:00:00] [INFO] SYNC_HEX: count=0 failed"),
            "x [2026-01-01 00:00:00] [INFO] SYNC·HEX: count=0 fail·ed"
        );
        // Not even where the words only appear once what is invisible is taken out.
        assert_eq!(logged("SYNC\u{200b}_HEX"), "SYNC·HEX");
    }

    #[test]
    fn escaped_json_is_the_same_value() {
        let value = serde_json::json!({"a\u{202e}": "\u{9b}\u{7f}\n\u{e0041}é😀"});
        let text = escaped_json(&value.to_string());
        assert_eq!(
            text,
            "{\"a\\u202e\":\"\\u009b\\u007f\\n\\udb40\\udc41é😀\"}"
        );
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            value
        );
    }
}
