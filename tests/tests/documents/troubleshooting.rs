//! Whatever the programs say of a trouble is explained in `sidecar/TROUBLESHOOTING.md`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const EXPLAINED: &str = include_str!("../../../sidecar/TROUBLESHOOTING.md");

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The Rust sources below these folders, without the tests in them.
fn sources(folders: &[&str]) -> Vec<(PathBuf, String)> {
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| top().join(folder)).collect();
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs")
            {
                let text = fs::read_to_string(&path).unwrap();
                let text = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
                sources.push((path, text.to_owned()));
            }
        }
    }
    sources
}

/// The words in backquotes in the first column of the tables.
fn explained_words() -> BTreeSet<&'static str> {
    let rows = EXPLAINED.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.split(" | ").next());
    cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect()
}

#[test]
fn every_code_of_the_doctor_is_explained() {
    let explained = explained_words();
    let mut codes = BTreeSet::from(["plugin_no_answer".to_owned()]);
    for (_, text) in sources(&["sidecar/src/commands/doctor"]) {
        for call in ["Finding::unknown(", "Finding::warn(", "Finding::fail("] {
            for (at, _) in text.match_indices(call) {
                let rest = text[at + call.len()..].trim_start();
                // The one code that has a name is written where that is.
                if let Some(rest) = rest.strip_prefix('"') {
                    codes.insert(rest.split('"').next().unwrap().to_owned());
                }
            }
        }
    }
    assert!(codes.len() > 40, "{codes:?}");
    for code in codes {
        assert!(explained.contains(&code[..]), "{code} is not explained");
    }
}

#[test]
fn every_reason_code_is_explained() {
    let explained = explained_words();
    let mut codes = BTreeSet::new();
    for (path, text) in sources(&["sidecar/src"]) {
        for (at, _) in text.match_indices("fn code(") {
            let body = text[at..].split("\n    }\n").next().unwrap();
            let words = body.split('"').skip(1).step_by(2);
            let words: Vec<String> = words.map(ToOwned::to_owned).collect();
            let delegates = body.contains(".code()");
            assert!(delegates || !words.is_empty(), "{}", path.display());
            codes.extend(words);
        }
    }
    assert!(codes.len() > 35, "{codes:?}");
    for code in codes {
        assert!(explained.contains(&code[..]), "{code} is not explained");
    }
}

/// What the programs say when something is wrong, of `#[error("…")]`, `warn!("…")` and
/// `error!("…")`: where it stands, and how [`entry`] spells it.
fn messages() -> Vec<(PathBuf, String)> {
    let mut messages = Vec::new();
    for (path, text) in sources(&["policy/src", "sidecar/src", "shared/src"]) {
        for call in ["#[error(", "error!(", "warn!("] {
            for (at, _) in text.match_indices(call) {
                let rest = text[at + call.len()..].trim_start();
                let rest = rest.strip_prefix("target: LIVE_LOG,").unwrap_or(rest);
                let rest = rest.trim_start();
                if rest.starts_with("transparent") {
                    continue;
                }
                let literal = literal(rest)
                    .unwrap_or_else(|| panic!("{}: {call} without a text", path.display()));
                let entry = entry(&literal);
                // Of nothing but placeholders, the text stands where it is made.
                if entry.chars().any(char::is_alphabetic) {
                    messages.push((path.clone(), entry));
                }
            }
        }
    }
    messages
}

/// The text literal that this begins with, as the compiler reads it.
fn literal(source: &str) -> Option<String> {
    let mut characters = source.strip_prefix('"')?.chars().peekable();
    let mut literal = String::new();
    loop {
        match characters.next()? {
            '"' => return Some(literal),
            '\\' => match characters.next()? {
                '\n' => while characters.next_if(|c| c.is_whitespace()).is_some() {},
                'n' => literal.push('\n'),
                c => literal.push(c),
            },
            c => literal.push(c),
        }
    }
}

/// A message as its entry spells it: `…` for what changes, and without what follows a
/// semicolon, which is what to do.
fn entry(format: &str) -> String {
    let mut entry = String::new();
    let mut depth = 0;
    for c in format.chars() {
        match c {
            '{' => {
                depth += 1;
                entry.push('…');
            }
            '}' => depth -= 1,
            ';' if depth == 0 => break,
            c if depth == 0 => entry.push(c),
            _ => {}
        }
    }
    trimmed(&entry).to_owned()
}

/// What stands at either end of a message without saying anything.
fn trimmed(entry: &str) -> &str {
    entry.trim_matches([' ', '…', ':', ',', '(', ')', '[', ']', '"', '.'])
}

#[test]
fn every_message_has_its_entry() {
    let explained: BTreeSet<&str> = explained_words().into_iter().map(trimmed).collect();
    let messages = messages();
    assert!(messages.len() > 100, "{}", messages.len());
    let missing: BTreeSet<String> = messages
        .iter()
        .filter(|(_, entry)| !explained.contains(&entry[..]))
        .map(|(path, entry)| format!("{}: `{entry}`", path.file_name().unwrap().display()))
        .collect();
    let missing: Vec<String> = missing.into_iter().collect();
    assert!(
        missing.is_empty(),
        "these messages have no entry in sidecar/TROUBLESHOOTING.md:\n{}",
        missing.join("\n")
    );
}

#[test]
fn a_message_is_spelled_as_its_entry() {
    for (format, spelled) in [
        ("{0} cannot be read; check it", "cannot be read"),
        ("{}: {words} [{code}]", ""),
        (
            "no progress for {seconds} s, and it says: {1}",
            "no progress for … s, and it says",
        ),
        ("{{}} is {x:?} here", "is … here"),
    ] {
        assert_eq!(entry(format), spelled, "{format}");
    }
    assert_eq!(literal("\"a \\\n   b\\\"\" more").as_deref(), Some("a b\""));
}
