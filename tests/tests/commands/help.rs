//! What `--help` shows, and in which colours.

use constellation_tests::command::TestCommand;
use constellation_tests::{StationDir, station};

const PROGRAMS: [&str; 2] = ["constellation-policy", "constellation-sync"];

/// The subcommands that a help lists.
fn subcommands(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = lines.take_while(|line| !line.is_empty());
    let names = names.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let is_name = |name: &&str| !name.is_empty() && *name != "help";
    names.filter(is_name).map(str::to_owned).collect()
}

#[test]
fn every_command_shows_examples() {
    let station = station!();
    for program in PROGRAMS {
        let help = station.run(program, &["--help"]);
        help.expect_code(0).expect_stdout("\nExamples:\n");
        let names = subcommands(&help.stdout);
        assert!(!names.is_empty(), "{program}");
        for name in names {
            let help = station.run(program, &[&name, "--help"]);
            help.expect_code(0).expect_stdout("\nExamples:\n");
            let examples = help.stdout.split("\nExamples:\n").nth(1).unwrap();
            let count = examples.matches(&format!("{program} {name}")).count();
            assert!(count >= 2, "{name} has {count} examples: {examples}");
        }
    }
}

#[test]
fn the_short_help_of_each_command_fits_on_a_screen() {
    let station = station!();
    for program in PROGRAMS {
        let names = subcommands(&station.run(program, &["--help"]).stdout);
        for name in names.iter().map(Some).chain([None]) {
            let words = name.map(String::as_str).into_iter().chain(["-h"]);
            let help = station
                .command(program)
                .env("COLUMNS", "80")
                .args(words)
                .output();
            let lines = help.stdout.lines().count();
            assert!(lines <= 40, "{program} {name:?} has {lines} lines: {help}");
        }
    }
}

#[test]
fn completions_need_no_station_and_know_every_command() {
    let output = TestCommand::new(
        station!().program("constellation-sync").to_str().unwrap(),
        std::path::Path::new("/"),
    )
    .args(["completions", "bash"])
    .output();
    output.expect_code(0);
    for word in ["trigger", "doctor", "config", "--max-peers", "--not-before"] {
        output.expect_stdout(word);
    }
    let station = station!();
    for shell in ["zsh", "fish"] {
        let output = station.run("constellation-sync", &["completions", shell]);
        output.expect_code(0).expect_stdout("max-peers");
    }
    let wrong = station.run("constellation-sync", &["completions", "dos"]);
    wrong.expect_code(2).expect_stderr("possible values: bash");
}

/// A program on a terminal, by util-linux's `script`.
fn on_a_terminal(station: &StationDir, command: &str, no_color: bool) -> String {
    let script = TestCommand::new("script", &station.home())
        .env("HOME", station.home())
        .env("TERM", "xterm-256color")
        .args(["-qec", command, "/dev/null"]);
    let script = match no_color {
        true => script.env("NO_COLOR", "1"),
        false => script,
    };
    script.output().stdout
}

#[test]
fn colours_are_for_terminals_whose_user_wants_them() {
    let station = station!();
    const ESCAPE: char = '\u{1b}';
    for program in PROGRAMS {
        for arguments in [&["--help"][..], &["--nonsense"]] {
            let output = station.run(program, arguments);
            let text = output.stdout + &output.stderr;
            assert!(!text.is_empty() && !text.contains(ESCAPE), "{program}");
        }
        let path = station.program(program).display().to_string();
        for (arguments, has_colours) in [("--help", true), ("--nonsense", true)] {
            let command = format!("{path} {arguments}");
            let plain = on_a_terminal(&station, &command, true);
            assert!(!plain.is_empty() && !plain.contains(ESCAPE), "{plain:?}");
            let coloured = on_a_terminal(&station, &command, false);
            assert_eq!(coloured.contains(ESCAPE), has_colours, "{coloured:?}");
        }
    }
    // A run with a bar and a log.
    station.peer("a", "ws://127.0.0.1:1");
    station.member(
        "alice@example.org",
        constellation_tests::Author::new(1).pubkey(),
    );
    let command = format!("{} -v", station.program("constellation-sync").display());
    let log = on_a_terminal(&station, &command, true);
    assert!(log.contains("SYNC_PEERS"), "{log:?}");
    assert!(
        !log.contains("\u{1b}[3") && !log.contains("\u{1b}[1m"),
        "{log:?}"
    );
}
