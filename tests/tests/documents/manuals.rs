//! The documents tell the truth: the answers they print are the programs', the commands and
//! options in them exist, and each link leads somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use clap::error::ErrorKind;
use clap::{Arg, Command, CommandFactory, Parser};
use constellation_policy::options::Options;
use constellation_shared::settings::Settings;
use constellation_sync::testing::cli::Cli;
use constellation_sync::testing::rules::Refusal;
use constellation_tests::document::{
    Call, Document, documents, files, read, shell_words, top, variables,
};
use constellation_tests::station;

const README: &str = "README.md";
const FRENCH: &str = "README.fr.md";
const POLICY_MANUAL: &str = "policy/README.md";
const SYNC_MANUAL: &str = "sidecar/README.md";
const TROUBLESHOOTING: &str = "sidecar/TROUBLESHOOTING.md";

/// The definitions of both programs' command lines, by their manuals.
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

fn is_usual(option: &str) -> bool {
    matches!(option, "--help" | "--version")
}

/// An argument with something real in the place of what a reader is to fill in.
fn filled_in(argument: &str) -> String {
    match argument {
        "KEY" | "PUBKEY" | "EVENT_ID" => "3".repeat(64),
        "N" | "HOURS" | "MINUTES" | "KIND" => "1".to_owned(),
        "URL" => "wss://relay.example.org".to_owned(),
        argument if argument.contains('…') => "3".repeat(64),
        argument => argument.to_owned(),
    }
}

#[test]
fn the_answers_in_the_manual_are_the_program_s() {
    let station = station!();
    station.write("strfry/blacklist.txt", "2".repeat(64) + "\n");
    let manual = Document::parse(read(POLICY_MANUAL));
    let requests = manual.shown_behind("cat requests").join("\n");
    let policy = station.command("constellation-policy").stdin(requests);
    let printed = policy.output();
    let shown = manual.shown_behind("constellation-policy < requests 2>/dev/null");
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
    let manual = Document::parse(read(POLICY_MANUAL));
    let shown = manual.shown_behind(&format!("constellation-policy explain {key}"));
    let home = station.home().display().to_string();
    let printed = printed.stdout.replace(&home, "/home/captain");
    assert_eq!(printed, shown.join("\n") + "\n");
}

#[test]
fn every_option_is_in_its_program_s_manual_with_its_default() {
    for (path, definition) in definitions() {
        let manual = Document::parse(read(path));
        let options = options(&definition);
        assert!(options.len() > 8, "{path}");
        for option in options {
            let name = format!("--{}", option.get_long().unwrap());
            if is_usual(&name) {
                continue;
            }
            let mut ends = ["`", " "].iter();
            let is_named = ends.any(|end| manual.text.contains(&format!("`{name}{end}")));
            assert!(is_named, "{name} is not in {path}");
            for default in option.get_default_values() {
                let default = default.to_str().unwrap();
                if default.parse::<u64>().is_ok() {
                    let row = manual.row(&name);
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
    let mut known = BTreeSet::new();
    for (_, definition) in definitions() {
        for option in options(&definition) {
            let aliases = option.get_all_aliases().unwrap_or_default();
            let names = aliases.into_iter().chain(option.get_long());
            known.extend(names.map(|name| format!("--{name}")));
        }
    }
    let mut checked = 0;
    for (path, document) in documents() {
        for span in document.spans() {
            let name = span.split([' ', '=']).next().unwrap();
            if name.starts_with("--") && !is_usual(name) {
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
            document = document.without_first_cells();
        }
        for line in document.code() {
            let Some(Call { program, arguments }) = Call::parse(&line) else {
                continue;
            };
            if arguments.iter().any(|argument| argument == "COMMAND") {
                continue;
            }
            let arguments = arguments
                .iter()
                .filter(|argument| !argument.starts_with('['));
            let arguments = arguments.map(|argument| filled_in(argument));
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
    for path in [README, FRENCH, SYNC_MANUAL, TROUBLESHOOTING] {
        assert!(
            checked.get(path).is_some_and(|count| *count > 5),
            "{checked:?}"
        );
    }
}

#[test]
fn every_variable_that_a_document_names_is_read_or_set_somewhere() {
    let sources = ["policy/src", "sidecar/src"].map(|folder| files(folder, ".rs"));
    let scripts = files("sidecar", ".sh");
    let sources = sources.into_iter().flatten().chain(scripts);
    let known: BTreeSet<String> = sources.flat_map(|path| variables(&read(&path))).collect();
    for (path, document) in documents() {
        for name in variables(&document.text) {
            assert!(known.contains(&name), "{path} names {name}");
        }
    }
}

#[test]
fn every_settings_file_that_a_document_shows_is_understood() {
    let mut checked = 0;
    for (path, document) in documents() {
        for text in document.settings() {
            let settings = Settings::parse(&text, Path::new("/"));
            assert!(settings.fault.is_none(), "{path}: {:?}", settings.fault);
            assert_eq!(settings.complaints, [], "{path}");
            checked += 1;
        }
    }
    assert!(checked >= 8, "{checked}");
}

#[test]
fn every_link_leads_somewhere() {
    let mut checked = 0;
    for (path, document) in documents() {
        let folder = top().join(&path).parent().unwrap().to_owned();
        for target in document.links() {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = match file {
                "" => top().join(&path),
                file => folder.join(file),
            };
            let linked = fs::read_to_string(&file);
            let linked = linked.unwrap_or_else(|error| panic!("{path} links to {target}: {error}"));
            let is_there = anchor.is_empty() || Document::parse(linked).anchors().contains(anchor);
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
        for line in document.code() {
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
fn every_module_has_its_row_in_the_developers_documents() {
    for (source, document) in [
        ("shared/src/lib.rs", "shared/README.md"),
        ("sidecar/src/lib.rs", "CONTRIBUTING.md"),
    ] {
        let spans = Document::parse(read(document)).spans();
        let source = read(source);
        let lines = source.lines().map(|line| line.trim_start_matches("pub "));
        let modules = lines.filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
        let modules: Vec<&str> = modules.collect();
        assert!(modules.len() > 8, "{modules:?}");
        for module in modules {
            assert!(
                spans.iter().any(|span| span == module),
                "{module} is not in {document}"
            );
        }
    }
}

#[test]
fn every_reason_to_leave_an_event_out_is_in_the_manual() {
    let manual = Document::parse(read(SYNC_MANUAL));
    for refusal in Refusal::ALL {
        assert!(manual.row(refusal.code()).is_some(), "{}", refusal.code());
    }
}

#[test]
fn every_state_file_is_in_the_manual() {
    let manual = read(SYNC_MANUAL);
    let source = read("sidecar/src/support/state_file.rs");
    let source = source.split("#[cfg(test)]").next().unwrap();
    let names = source.split("= file(\"").skip(1);
    let names: Vec<&str> = names.filter_map(|rest| rest.split('"').next()).collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(manual.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn every_test_bench_and_binary_that_a_document_runs_exists() {
    let mut checked = 0;
    for (path, document) in documents() {
        for line in document.code() {
            for pair in shell_words(&line).windows(2) {
                let [option, name] = pair else { continue };
                let folder = match &option[..] {
                    "--test" => "tests/tests",
                    "--bench" => "tests/benches",
                    "--bin" => "tests/src/bin",
                    _ => continue,
                };
                let file = top().join(format!("{folder}/{name}.rs"));
                let is_there = file.exists() || file.with_extension("").join("main.rs").exists();
                assert!(is_there, "{path} runs `{line}`");
                checked += 1;
            }
        }
    }
    assert!(checked > 10, "{checked}");
}

#[test]
fn every_test_that_a_document_runs_by_its_name_exists() {
    let mut checked = 0;
    for (path, document) in documents() {
        for line in document.code() {
            let mut words = shell_words(&line).into_iter();
            let is_cargo = words.any(|word| word == "cargo");
            if !is_cargo || !words.any(|word| word == "--test") {
                continue;
            }
            let group = words.next().unwrap();
            let folder = format!("tests/tests/{group}");
            for word in words.filter(|word| !word.starts_with('-')) {
                // A module of the group, or words of a test's name.
                let is_there = match word.strip_suffix("::") {
                    Some(module) => top().join(&folder).join(format!("{module}.rs")).exists(),
                    None => files(&folder, ".rs").iter().any(|file| {
                        let text = read(file);
                        let mut names = text.split("fn ").skip(1);
                        names.any(|name| name.split('(').next().unwrap().contains(&word))
                    }),
                };
                assert!(is_there, "{path} runs `{line}`: no {word}");
                checked += 1;
            }
        }
    }
    assert!(checked >= 8, "{checked}");
}

/// The longest man page of a command, in lines of 80 columns: three screens of 50 lines.
const LONGEST_PAGE: usize = 150;

#[test]
fn the_man_pages_of_commands_fit_on_three_screens() {
    let folder = tempfile::tempdir().unwrap();
    constellation_tests::manuals::write(folder.path()).unwrap();
    let mut checked = 0;
    for entry in fs::read_dir(folder.path().join("man")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.matches('-').count() < 2 {
            continue;
        }
        let groff = std::process::Command::new("groff")
            .args(["-man", "-Tutf8", "-Kutf8", "-rLL=80n"])
            .arg(&path)
            .output();
        // Without groff, the source, which has about as many lines.
        let text = match groff {
            Ok(output) if output.status.success() => output.stdout,
            _ => fs::read(&path).unwrap(),
        };
        let lines = text.split(|byte| *byte == b'\n').count();
        assert!(lines <= LONGEST_PAGE, "{name} has {lines} lines");
        checked += 1;
    }
    assert!(checked >= 12, "{checked}");
}

#[test]
fn the_first_documents_stay_short() {
    // The French one is a captain's whole guide.
    for (path, most) in [(README, 150), (FRENCH, 150)] {
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
