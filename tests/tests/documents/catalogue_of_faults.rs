//! `FAULTS.md` cannot rot: its rows are numbered without a gap, promise something, and name
//! tests that are there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const CATALOGUE: &str = include_str!("../../FAULTS.md");

/// The cells of each numbered row.
fn rows() -> Vec<Vec<&'static str>> {
    let cells = |line: &'static str| -> Vec<&'static str> {
        let line = line.trim().trim_start_matches('|').trim_end_matches('|');
        line.split(" | ").map(str::trim).collect()
    };
    let is_numbered = |cells: &Vec<&str>| cells.len() > 1 && cells[0].parse::<u32>().is_ok();
    CATALOGUE
        .lines()
        .filter(|line| line.starts_with("| "))
        .map(cells)
        .filter(is_numbered)
        .collect()
}

/// The names of all functions of the tree.
fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            functions(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let names = text.split("fn ").skip(1).filter_map(|rest| {
                let end = rest.find(|c: char| c != '_' && !c.is_ascii_alphanumeric())?;
                Some(rest[..end].to_owned())
            });
            found.extend(names);
        }
    }
}

#[test]
fn every_row_has_a_number_a_promise_and_a_test_that_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut known = BTreeSet::new();
    for folder in ["shared", "policy", "sidecar", "tests"] {
        functions(&root.join(folder), &mut known);
    }
    let rows = rows();
    assert!(rows.len() >= 60, "{} rows", rows.len());
    for (place, row) in rows.iter().enumerate() {
        assert_eq!(row[0], (place + 1).to_string(), "{row:?}");
        assert_eq!(row.len(), 6, "{row:?}");
        assert!(row.iter().all(|cell| !cell.is_empty()), "{row:?}");
        let tests: Vec<&str> = row[5].split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "no test in {row:?}");
        for test in tests {
            assert!(
                known.contains(test),
                "no `fn {test}`, which row {} names",
                row[0]
            );
        }
    }
}

#[test]
fn the_threat_model_names_rows_that_are_there() {
    let last = rows().len();
    let (_, model) = CATALOGUE.split_once("## Threat model").unwrap();
    let (model, _) = model.split_once("\n## ").unwrap();
    let words = model.split(|c: char| !c.is_ascii_digit());
    let numbers = words.filter_map(|word| word.parse::<usize>().ok());
    assert!(numbers.clone().count() > 20, "{model}");
    assert!(numbers.clone().all(|number| number <= last), "{model}");
}
