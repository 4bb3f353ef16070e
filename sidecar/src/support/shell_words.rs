//! The words of a shell command: quoting one, and splitting a simple command as `sh -c` does.

use std::path::Path;

/// A path as one word of a shell command, quoted if it has to be.
pub(crate) fn quoted(path: &Path) -> String {
    quoted_text(&path.display().to_string())
}

/// A text as one word of a shell command, quoted if it has to be.
pub(crate) fn quoted_text(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+@:=,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Characters that a shell gives a meaning of its own.
const SPECIAL: &str = "|&;<>()$`*?[{~!";

/// Splits a command into words, with quotes, backslashes and comments as in `sh`. Anything that
/// a shell would expand, such as `$HOME`, is an error and never a guess.
///
/// # Errors
/// A sentence that says which part of the command is not a plain word.
pub(crate) fn split(command: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = command.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '#' if word.is_none() => while rest.next_if(|c| *c != '\n').is_some() {},
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match rest.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err("a ' is not closed".to_owned()),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match rest.next() {
                        Some('"') => break,
                        Some(c @ ('$' | '`')) => return Err(only_a_shell(c)),
                        Some('\\') => match rest.next() {
                            Some('\n') => {}
                            Some(c @ ('$' | '`' | '"' | '\\')) => word.push(c),
                            Some(c) => word.extend(['\\', c]),
                            None => return Err("a \" is not closed".to_owned()),
                        },
                        Some(c) => word.push(c),
                        None => return Err("a \" is not closed".to_owned()),
                    }
                }
            }
            '\\' => match rest.next() {
                Some('\n') => {}
                Some(c) => word.get_or_insert_default().push(c),
                None => return Err("a \\ at the end".to_owned()),
            },
            c if SPECIAL.contains(c) => return Err(only_a_shell(c)),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn only_a_shell(c: char) -> String {
    format!("only a shell can tell what becomes of {c}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_every_path_as_one_word() {
        for (path, word) in [
            ("/a/b.c", "/a/b.c"),
            ("/home/aimée", "/home/aimée"),
            ("/a b", "'/a b'"),
            ("/it's", r"'/it'\''s'"),
            ("/$(reboot)", "'/$(reboot)'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(Path::new(path)), word);
            if !word.is_empty() {
                assert_eq!(split(word), Ok(vec![path.to_owned()]));
            }
        }
    }
    use std::process::Command;

    #[test]
    fn words_are_those_of_a_shell() {
        for command in [
            "a b  c",
            "  'a b'\"c d\"e\\ f '' \"\"",
            "a#b #c",
            "'a\"b' \"c'd\" \\'\\\"",
            "\"a\\$b\\`c\\\\d\\e\\\"\"",
            "x=1 --y='z w' é",
            "a\\\nb \"c\\\nd\"",
        ] {
            let script = format!("for word in {command}\ndo printf '%s\\0' \"$word\"; done");
            let output = Command::new("sh").args(["-c", &script]).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let mut expected: Vec<&str> = text.split('\0').collect();
            expected.pop();
            assert_eq!(split(command).unwrap(), expected, "{command}");
        }
    }

    #[test]
    fn what_only_a_shell_knows_is_refused() {
        for command in [
            "$a", "\"$a\"", "`a`", "\"`a`\"", "a|b", "a&", "a;b", "a>b", "(a)", "*", "a?", "[a]",
            "{a,b}", "~", "'a", "\"a", "a\\",
        ] {
            assert!(split(command).is_err(), "{command}");
        }
    }
}
