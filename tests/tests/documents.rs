//! The documents tell the truth: the answers they print are the programs', the commands and
//! options in them exist, and each link leads somewhere.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what fails here is a failed test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Arg, Command, CommandFactory, Parser};
use constellation_policy::options::Options;
use constellation_sync::commands::cli::Cli;
use constellation_tests::station;

const README: &str = "README.md";
const POLICY_MANUAL: &str = "policy/README.md";
const SYNC_MANUAL: &str = "sidecar/README.md";
const TROUBLESHOOTING: &str = "sidecar/TROUBLESHOOTING.md";

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(top().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files below a folder whose names end like this, as paths from the top.
fn files(folder: &str, end: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(top().join(folder)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = match folder {
            "." => name.clone(),
            _ => format!("{folder}/{name}"),
        };
        if entry.file_type().unwrap().is_dir() {
            if !name.starts_with('.') && name != "target" {
                found.extend(files(&path, end));
            }
        } else if name.ends_with(end) {
            found.push(path);
        }
    }
    found
}

/// Every document, by its path from the top.
fn documents() -> BTreeMap<String, String> {
    let paths = files(".", ".md");
    let documents: BTreeMap<String, String> = paths
        .into_iter()
        .map(|path| (path.clone(), read(&path)))
        .collect();
    assert!(documents.len() >= 9, "{:?}", documents.keys());
    documents
}

/// A document's text without its blocks of code, and the lines of those blocks.
fn prose_and_blocks(document: &str) -> (String, Vec<String>) {
    let (mut prose, mut blocks) = (String::new(), String::new());
    let mut is_fenced = false;
    for line in document.lines() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if is_fenced || line.starts_with("    ") {
            blocks.push_str(line.trim().trim_start_matches("$ "));
            blocks.push('\n');
        } else {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    let blocks = blocks.replace("\\\n", " ");
    (prose, blocks.lines().map(str::to_owned).collect())
}

/// What stands between backquotes, wherever the line breaks.
fn spans(prose: &str) -> Vec<String> {
    let paragraphs = prose.split("\n\n").flat_map(|paragraph| {
        // A backquote that is forgotten in one row of a table spoils no other row.
        if paragraph.starts_with('|') {
            paragraph.lines().map(str::to_owned).collect()
        } else {
            vec![paragraph.replace('\n', " ")]
        }
    });
    let spans = paragraphs.flat_map(|paragraph| {
        let spans: Vec<String> = paragraph
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        spans
    });
    spans.collect()
}

/// A document whose tables begin with messages of the programs, without these.
fn without_first_cells(document: &str) -> String {
    let rest = document.lines().map(|line| match line.split_once(" | ") {
        Some((first, rest)) if first.starts_with('|') => rest,
        _ => line,
    });
    rest.collect::<Vec<_>>().join("\n")
}

/// Everything in a document that is code: spans, and lines of blocks.
fn code(document: &str) -> Vec<String> {
    let (prose, blocks) = prose_and_blocks(document);
    let mut code = spans(&prose);
    code.extend(blocks);
    code
}

/// The words of the first command of a line, as a shell would split it.
fn shell_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, '#') if word.is_none() => break,
            (None, '|' | '<' | '>' | ';' | '&') => break,
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// The program of ours that a line calls, and its arguments; with `sudo`, variables, or the
/// columns of a crontab before it, or as the value of a setting.
fn call(line: &str) -> Option<(String, Vec<String>)> {
    let words = shell_words(line);
    if let [_, sign, value] = &words[..]
        && sign == "="
    {
        return call(value);
    }
    let is_before = |word: &str| {
        let is_variable = word.starts_with("CONSTELLATION_") && word.contains('=');
        let is_column = word.starts_with('*');
        is_variable || is_column || ["sudo", "-u", "-H", "strfry", "exec"].contains(&word)
    };
    let mut words = words.into_iter().skip_while(|word| is_before(word));
    let program = words.next()?;
    let name = Path::new(&program).file_name()?.to_str()?.to_owned();
    let is_ours = ["constellation-policy", "constellation-sync"].contains(&name.as_str());
    is_ours.then(|| (name, words.collect()))
}

/// An argument with something real in the place of what a reader is to fill in.
fn filled_in(argument: &str) -> String {
    let key = "3".repeat(64);
    match argument {
        "KEY" | "PUBKEY" | "EVENT_ID" => key,
        "N" | "HOURS" | "MINUTES" => "1".to_owned(),
        "URL" => "wss://relay.example.org".to_owned(),
        argument if argument.contains('…') => key,
        argument => argument.to_owned(),
    }
}

/// The definitions of both programs' command lines.
fn definitions() -> [(&'static str, Command); 2] {
    [
        (POLICY_MANUAL, Options::command()),
        (SYNC_MANUAL, Cli::definition()),
    ]
}

/// The options of a program and of its commands, each as often as it is defined.
fn options(definition: &Command) -> Vec<Arg> {
    let commands = definition.get_subcommands().flat_map(options);
    let own = definition.get_arguments().cloned();
    let is_shown = |option: &Arg| !option.is_hide_set() && option.get_long().is_some();
    own.chain(commands).filter(is_shown).collect()
}

/// The row of a table that begins with this option.
fn row<'a>(manual: &'a str, option: &str) -> Option<&'a str> {
    let first = |line: &'a str| line.strip_prefix("| `")?.split(['`', ' ']).next();
    manual.lines().find(|line| first(line) == Some(option))
}

/// The lines that a document shows behind a prompt with this command.
fn shown_behind(document: &str, command: &str) -> Vec<String> {
    let prompt = format!("$ {command}");
    let mut lines = document.lines().skip_while(|line| *line != prompt);
    assert!(lines.next().is_some(), "nowhere stands `{prompt}`");
    lines
        .take_while(|line| !line.starts_with("$ ") && *line != "```")
        .map(str::to_owned)
        .collect()
}

/// The names of variables of ours in a text.
fn variables(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| c != '_' && !c.is_ascii_alphanumeric());
    let is_ours = |word: &&str| word.starts_with("CONSTELLATION_");
    words.filter(is_ours).map(str::to_owned).collect()
}

/// The anchors of a document's headings, as GitHub makes them.
fn anchors(document: &str) -> BTreeSet<String> {
    let (prose, _) = prose_and_blocks(document);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter_map(|c| match c {
                ' ' => Some('-'),
                c if c.is_alphanumeric() || matches!(c, '-' | '_') => Some(c),
                _ => None,
            });
            kept.collect()
        })
        .collect()
}

#[test]
fn the_answers_in_the_manual_are_the_program_s() {
    let station = station!();
    station.write("strfry/blacklist.txt", "2".repeat(64) + "\n");
    let manual = read(POLICY_MANUAL);
    let requests = shown_behind(&manual, "cat requests").join("\n");
    let policy = station.command("constellation-policy").stdin(requests);
    let printed = policy.output();
    let shown = shown_behind(&manual, "constellation-policy < requests 2>/dev/null");
    assert_eq!(printed.stdout.lines().collect::<Vec<_>>(), shown);
    printed.expect_code(0);
}

#[test]
fn the_explanation_in_the_manual_is_the_program_s() {
    let station = station!();
    let key = "2".repeat(64);
    station.write("strfry/blacklist.txt", key.clone() + "\n");
    let printed = station.run("constellation-policy", &["explain", &key]);
    printed.expect_code(1);
    let command = format!("constellation-policy explain {key}");
    let shown = shown_behind(&read(POLICY_MANUAL), &command).join("\n") + "\n";
    let home = station.home().display().to_string();
    assert_eq!(printed.stdout.replace(&home, "/home/captain"), shown);
}

#[test]
fn every_option_is_in_its_program_s_manual_with_its_default() {
    for (path, definition) in definitions() {
        let manual = read(path);
        let options = options(&definition);
        assert!(options.len() > 8, "{path}");
        for option in options {
            let name = format!("--{}", option.get_long().unwrap());
            if matches!(&name[..], "--help" | "--version") {
                continue;
            }
            let is_named = ["`", " ", "`, "].iter().any(|end| {
                let span = format!("`{name}{end}");
                manual.contains(&span)
            });
            assert!(is_named, "{name} is not in {path}");
            for default in option.get_default_values() {
                let default = default.to_str().unwrap();
                if default.parse::<u64>().is_ok() {
                    let row = row(&manual, &name);
                    let row = row.unwrap_or_else(|| panic!("{name} has no row in {path}"));
                    let end = format!(" {default} |");
                    assert!(
                        row.ends_with(&end),
                        "{name} is {default} unless told: {row}"
                    );
                }
            }
        }
    }
}

#[test]
fn every_option_that_a_document_names_exists() {
    let known: BTreeSet<String> = definitions()
        .iter()
        .flat_map(|(_, definition)| options(definition))
        .flat_map(|option| {
            let aliases = option.get_all_aliases().unwrap_or_default();
            let names = aliases.into_iter().chain(option.get_long());
            names.map(|name| format!("--{name}")).collect::<Vec<_>>()
        })
        .collect();
    let mut checked = 0;
    for (path, document) in documents() {
        for span in spans(&prose_and_blocks(&document).0) {
            let name = span.split([' ', '=']).next().unwrap();
            if name.starts_with("--") && !matches!(name, "--help" | "--version") {
                assert!(
                    known.contains(name),
                    "{path} names `{span}`, which no program has"
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 100, "{checked}");
}

#[test]
fn every_command_that_a_document_shows_is_understood() {
    let mut checked = BTreeMap::new();
    for (path, mut document) in documents() {
        if path == TROUBLESHOOTING {
            document = without_first_cells(&document);
        }
        for line in code(&document) {
            let Some((program, arguments)) = call(&line) else {
                continue;
            };
            if arguments.iter().any(|argument| argument == "COMMAND") {
                continue;
            }
            let arguments = arguments
                .iter()
                .filter(|argument| !argument.starts_with('['))
                .map(|argument| filled_in(argument));
            let words: Vec<String> = [program.clone()].into_iter().chain(arguments).collect();
            let error = match &program[..] {
                "constellation-policy" => Options::try_parse_from(&words).err(),
                _ => Cli::parse_arguments(&words).err(),
            };
            // A command may be called by its name alone, and to ask for help is no mistake.
            let is_name = |error: &clap::Error| {
                words.len() == 2 && error.kind() == ErrorKind::MissingRequiredArgument
            };
            if let Some(error) = error.filter(|error| error.use_stderr() && !is_name(error)) {
                panic!("{path} shows `{line}`: {error}");
            }
            *checked.entry(path.clone()).or_insert(0) += 1;
        }
    }
    let enough = |path: &str| checked.get(path).is_some_and(|count| *count > 5);
    for path in [README, "README.fr.md", SYNC_MANUAL] {
        assert!(enough(path), "{checked:?}");
    }
}

#[test]
fn every_variable_that_a_document_names_is_read_or_set_somewhere() {
    let sources = ["policy/src", "sidecar/src"].map(|folder| files(folder, ".rs"));
    let scripts = files("sidecar", ".sh");
    let sources = sources.into_iter().flatten().chain(scripts);
    let read_or_set: BTreeSet<String> = sources.flat_map(|path| variables(&read(&path))).collect();
    for (path, document) in documents() {
        // The name of another program's document.
        for name in variables(&document.replace("CONSTELLATION_SYNC.md", "")) {
            assert!(read_or_set.contains(&name), "{path} names {name}");
        }
    }
}

#[test]
fn every_link_leads_somewhere() {
    let documents = documents();
    let mut checked = 0;
    for (path, document) in &documents {
        let folder = Path::new(path).parent().unwrap();
        for link in document.split("](").skip(1) {
            let target = link.split(')').next().unwrap();
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = match file {
                "" => top().join(path),
                file => top().join(folder).join(file),
            };
            let linked = fs::read_to_string(&file);
            let linked = linked.unwrap_or_else(|error| panic!("{path} links to {target}: {error}"));
            let is_there = anchor.is_empty() || anchors(&linked).contains(anchor);
            assert!(is_there, "{path} links to {target}: no such heading");
            checked += 1;
        }
    }
    assert!(checked > 60, "{checked}");
}

#[test]
fn every_path_in_a_document_exists() {
    let mut checked = 0;
    for (path, document) in documents() {
        for line in code(&document) {
            let named = line.split_whitespace().next().unwrap_or_default();
            let is_ours = ["sidecar/", "policy/", "shared/", "tests/", ".ci/"]
                .iter()
                .any(|folder| named.starts_with(folder));
            let is_pattern = named.contains(['*', '…', '<']) || named.ends_with("TARGET");
            if is_ours && !is_pattern {
                assert!(top().join(named).exists(), "{path} names {named}");
                checked += 1;
            }
        }
    }
    assert!(checked > 30, "{checked}");
}

#[test]
fn every_test_bench_and_binary_that_a_document_runs_exists() {
    let mut checked = 0;
    for (path, document) in documents() {
        for line in code(&document) {
            let words = shell_words(&line);
            for pair in words.windows(2) {
                let [option, name] = pair else { continue };
                let folder = match &option[..] {
                    "--test" => "tests/tests",
                    "--bench" => "tests/benches",
                    "--bin" => "tests/src/bin",
                    _ => continue,
                };
                let file = top().join(format!("{folder}/{name}.rs"));
                let is_there = file.exists() || file.with_extension("").join("main.rs").exists();
                let is_there = is_there || name == "X";
                assert!(is_there, "{path} runs `{line}`");
                checked += 1;
            }
        }
    }
    assert!(checked > 10, "{checked}");
}

#[test]
fn the_first_documents_stay_short() {
    for (path, most) in [(README, 150), ("README.fr.md", 100)] {
        let lines = read(path).lines().count();
        assert!(lines <= most, "{path} has {lines} lines");
    }
}

#[test]
fn the_one_test_command_is_what_ci_runs() {
    let command = "cargo test --workspace --locked";
    assert!(read(README).contains(&format!("\n    {command}\n")));
    assert!(read(".ci/run").lines().any(|line| line == command));
}

#[test]
fn the_package_holds_the_operators_documents_with_their_links_intact() {
    let manifest = read("sidecar/Cargo.toml");
    let folder = "usr/share/doc/constellation-relay";
    for (source, into) in [
        ("../README.md", ""),
        ("../README.fr.md", ""),
        ("../policy/README.md", "policy/"),
        ("README.md", "sidecar/"),
        ("TROUBLESHOOTING.md", "sidecar/"),
    ] {
        let asset = format!("[\"{source}\", \"{folder}/{into}\", \"644\"],");
        assert!(manifest.contains(&asset), "{asset}");
    }
}
