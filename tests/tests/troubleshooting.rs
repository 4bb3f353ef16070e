//! Whatever the programs say of a trouble is explained in `sidecar/TROUBLESHOOTING.md`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what fails here is a failed test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const EXPLAINED: &str = include_str!("../../sidecar/TROUBLESHOOTING.md");

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
    for (_, text) in sources(&["sidecar/src/doctor"]) {
        for call in ["Finding::warn(", "Finding::fail("] {
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
