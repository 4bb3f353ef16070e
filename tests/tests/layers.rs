//! The layers of each crate: a module imports only from the floors below its own, and no two
//! files import each other, not even in a roundabout way.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is a failed test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The floors of each crate, from the top down. Modules on the same floor may not import each
/// other.
const FLOORS: [(&str, &[&[&str]]); 3] = [
    (
        "shared",
        &[
            &["lib"],
            &["explain", "kubo", "swarm_lists"],
            &["list_file"],
            &["blacklist", "verify"],
            &["event", "station", "wot"],
            &["settings"],
            &["kinds"],
            &[
                "attributes",
                "key",
                "regular_file",
                "sanitize",
                "sparse",
                "tag",
                "text",
                "verdict",
            ],
        ],
    ),
    (
        "policy",
        &[
            &["main", "lib"],
            &["answers", "explain", "keeper", "options"],
            &["in_force"],
            &["settings"],
            &["filters", "lists"],
            &["blacklist", "log_level", "message"],
            &["logged", "running", "scan", "stderr"],
        ],
    ),
    (
        "sidecar",
        &[
            &["main", "lib"],
            &["commands"],
            &["members"],
            &["live"],
            &["backfill"],
            &["report"],
            &["context"],
            &["options"],
            &["plan"],
            &["admission"],
            &["strfry", "swarm"],
            &["relay"],
            &["support"],
        ],
    ),
];

/// The source of a module without its tests and comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let mut code = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        // A module of tests is the last thing in a file.
        let opens_tests = |next: &&str| next.trim_end().ends_with("mod tests {");
        if line == "#[cfg(test)]" && lines.peek().is_some_and(opens_tests) {
            break;
        }
        code.push_str(line.split("//").next().unwrap_or_default());
        code.push('\n');
    }
    code
}

/// The modules below a folder of sources, each with its file.
fn modules(root: &Path, prefix: &[String], found: &mut BTreeMap<Vec<String>, PathBuf>) {
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut module = prefix.to_vec();
        if path.is_dir() {
            module.push(name);
            modules(&path, &module, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && name != "tests" {
            if name != "mod" {
                module.push(name);
            }
            found.insert(module, path);
        }
    }
}

/// Each path that the code of a module names behind `crate::` or `super::`, absolute.
fn paths(code: &str, module: &[String]) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for (keyword, base) in [
        ("crate::", &[][..]),
        ("super::", &module[..module.len().saturating_sub(1)]),
    ] {
        for (at, _) in code.match_indices(keyword) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let mut rest = &code[at + keyword.len()..];
            let mut path = base.to_vec();
            loop {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
                let (word, more) = rest.split_at(end.unwrap_or(rest.len()));
                if word.is_empty() {
                    let group = more
                        .strip_prefix('{')
                        .and_then(|group| group.split_once('}'));
                    for name in group.iter().flat_map(|(names, _)| names.split(',')) {
                        let first = name.trim().split([':', ' ']).next().unwrap_or_default();
                        found.insert([&path[..], &[first.to_owned()]].concat());
                    }
                    break;
                }
                path.push(word.to_owned());
                let Some(more) = more.strip_prefix("::") else {
                    found.insert(path);
                    break;
                };
                rest = more;
            }
        }
    }
    found
}

/// Which module of the crate each module imports.
fn imports(root: &Path) -> BTreeMap<Vec<String>, BTreeSet<Vec<String>>> {
    let mut files = BTreeMap::new();
    modules(root, &[], &mut files);
    let target = |path: &[String]| {
        let known = (1..=path.len()).rev().map(|length| &path[..length]);
        known
            .into_iter()
            .find(|path| files.contains_key(*path))
            .map(<[String]>::to_vec)
    };
    let edges = files.iter().map(|(module, path)| {
        let paths = paths(&code(path), module);
        let mut targets: BTreeSet<Vec<String>> =
            paths.iter().filter_map(|path| target(path)).collect();
        targets.remove(module);
        (module.clone(), targets)
    });
    edges.collect()
}

fn root(krate: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(krate)
        .join("src")
}

/// A circle of imports, if there is one.
fn circle(edges: &BTreeMap<Vec<String>, BTreeSet<Vec<String>>>) -> Option<Vec<String>> {
    let mut left = edges.clone();
    loop {
        // Whoever imports nothing that is left is in no circle.
        let free: Vec<Vec<String>> = left
            .iter()
            .filter(|(_, targets)| !targets.iter().any(|target| left.contains_key(target)))
            .map(|(module, _)| module.clone())
            .collect();
        if free.is_empty() {
            break;
        }
        for module in free {
            left.remove(&module);
        }
    }
    let mut module = left.keys().next()?.clone();
    let mut way = Vec::new();
    while !way.contains(&module.join("::")) {
        way.push(module.join("::"));
        module = left[&module]
            .iter()
            .find(|target| left.contains_key(*target))?
            .clone();
    }
    way.push(module.join("::"));
    Some(way)
}

#[test]
fn no_module_imports_from_its_own_floor_or_above() {
    let mut upwards = Vec::new();
    for (krate, floors) in FLOORS {
        let floor = |module: &[String]| {
            let name = module.first().unwrap();
            let floor = floors
                .iter()
                .position(|names| names.contains(&name.as_str()));
            floor.unwrap_or_else(|| panic!("{krate}: {name} is on no floor: add it to the list"))
        };
        for (module, targets) in imports(&root(krate)) {
            for target in targets {
                let is_inside = module.first() == target.first();
                if !is_inside && floor(&module) >= floor(&target) {
                    let (from, to) = (module.join("::"), target.join("::"));
                    upwards.push(format!("{krate}: {from} -> {to}"));
                }
            }
        }
    }
    assert!(upwards.is_empty(), "imports that run upwards: {upwards:#?}");
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    for (krate, _) in FLOORS {
        let circle = circle(&imports(&root(krate)));
        assert!(circle.is_none(), "{krate}: {circle:#?}");
    }
}

#[test]
fn a_circle_is_found_where_there_is_one() {
    let edges = |pairs: &[(&str, &str)]| {
        let mut edges: BTreeMap<Vec<String>, BTreeSet<Vec<String>>> = BTreeMap::new();
        for (from, to) in pairs {
            edges.entry(vec![(*to).to_owned()]).or_default();
            let targets = edges.entry(vec![(*from).to_owned()]).or_default();
            targets.insert(vec![(*to).to_owned()]);
        }
        edges
    };
    assert!(circle(&edges(&[("a", "b"), ("b", "c"), ("c", "a")])).is_some());
    assert!(circle(&edges(&[("a", "b"), ("b", "c"), ("a", "c")])).is_none());
    let named = paths(
        "use crate::a::{b, c::D};\nfn f() { super::e::g() }",
        &["x".to_owned()],
    );
    for path in [&["a", "b"][..], &["a", "c"], &["e", "g"]] {
        let path: Vec<String> = path.iter().map(|name| (*name).to_owned()).collect();
        assert!(named.contains(&path), "{path:?} in {named:?}");
    }
}
