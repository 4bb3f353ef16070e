//! The settings file beside the command line.

use std::path::Path;
use std::time::Duration;

use constellation_shared::settings::keys::{TABLES, table_of};

use super::*;
use crate::commands::cli::Command;

/// The options that are no settings, because each is asked for by one call: a settings file that held
/// them would change what a command is for.
const OF_ONE_CALL: [&str; 6] = [
    // Where the settings are found.
    "zen",
    "config", // What is done instead of a backfill.
    "dry-run",
    "stats",
    "show-hex",
    "show-peers",
];

/// The options of all commands of which that is true, too.
const OF_ONE_CALL_OF_ALL: [&str; 3] = ["json", "help", "version"];

/// The options of commands that are settings. The others are for one call of that command.
const SETTINGS_OF_COMMANDS: [&str; 4] = ["interval", "not-before", "live", "max-age"];

fn call(arguments: &[&str]) -> Call {
    Call::parse([&["constellation-sync"], arguments].concat()).unwrap()
}

fn file(text: &str) -> Settings {
    Settings::parse(text, Path::new("/zen/strfry"))
}

fn layered(arguments: &[&str], text: &str) -> Layered {
    call(arguments).with_file(&file(text))
}

#[test]
fn every_option_is_a_setting_or_is_of_one_call() {
    let definition = Cli::exact_definition();
    let longs = |command: &clap::Command| -> Vec<String> {
        let options = command.get_arguments().filter_map(Arg::get_long);
        options.map(str::to_owned).collect()
    };
    let of_one_call = [&OF_ONE_CALL[..], &OF_ONE_CALL_OF_ALL].concat();
    let general = longs(&definition);
    for name in &general {
        let is_setting = table_of(name).is_some();
        assert_ne!(
            is_setting,
            of_one_call.contains(&name.as_str()),
            "--{name}: a new option is a setting, and listed in a table of shared/src/settings/keys.rs, \
             or is of one call, and listed here"
        );
    }
    for command in definition.get_subcommands() {
        for name in longs(command) {
            if general.contains(&name) {
                continue;
            }
            // `install --strangers` says once what the policy is told for good, and `install --live`
            // which unit is set up.
            if ["install", "uninstall"].contains(&command.get_name()) {
                continue;
            }
            let is_setting = table_of(&name).is_some();
            let expected = SETTINGS_OF_COMMANDS.contains(&name.as_str());
            assert_eq!(is_setting, expected, "{} --{name}", command.get_name());
        }
    }
    for table in TABLES.iter().filter(|table| !table.is_strict) {
        for key in table.keys {
            assert!(owner_of(key.name).is_some(), "{} is no option", key.name);
        }
    }
}

#[test]
fn the_command_line_wins_over_the_file_and_the_file_over_the_default() {
    let text = "[sync]\ndays = 3\nmax-peers = 4\nno-dms = true\nsweep = true\npatience = 9\n\
                peer = [\"wss://a.example\", \"wss://b.example\"]\nmax-minutes = 0.5\n\
                [report]\nmetrics = \"m.prom\"\nsync-report = \"\"\nverbose = true\n\
                [notify]\non-failure = \"tell --me\"\non-failure-after = 1\n\
                [trigger]\ninterval = 20\nnot-before = 06:30\n";
    let Layered { cli, complaints } = layered(&[], text);
    assert_eq!(complaints, []);
    let options = cli.options;
    assert_eq!((options.days, options.max_peers), (3, Some(4)));
    assert_eq!((options.no_dms, options.sweep), (true, Some(true)));
    assert_eq!((options.patience, options.peer.len()), (9, 2));
    assert_eq!(options.max_minutes.0, Some(Duration::from_secs(30)));
    assert_eq!(options.report.metrics, Some("/zen/strfry/m.prom".into()));
    assert_eq!(options.report.sync_report, Some("".into()));
    assert_eq!(options.hooks.on_failure.as_deref(), Some("tell --me"));
    assert!(options.verbose && options.hooks.on_failure_after == 1);
    assert_eq!(options.max_days, 30);
    let given = [
        "--days=1",
        "--no-dms=false",
        "--peer",
        "wss://c.example",
        "--on-failure",
        "other",
        "--verbose=false",
        "--patience",
        "30",
    ];
    let options = layered(&given, text).cli.options;
    assert_eq!((options.days, options.no_dms), (1, false));
    assert_eq!((options.patience, options.peer.len()), (30, 1));
    assert_eq!(options.hooks.on_failure.as_deref(), Some("other"));
    assert!(!options.verbose && options.max_peers == Some(4));
    for (arguments, interval) in [
        (&["trigger"][..], 20),
        (&["--days", "2", "trigger", "--interval", "30"], 30),
        (&["trigger", "--interval", "30", "--days", "2"], 30),
    ] {
        let cli = layered(arguments, text).cli;
        assert_eq!(cli.trigger().unwrap().interval, interval, "{arguments:?}");
        assert!(cli.trigger().unwrap().not_before.is_some());
        let days = if arguments.len() == 1 { 3 } else { 2 };
        assert_eq!(cli.options.days, days, "{arguments:?}");
        assert_eq!(cli.options.max_peers, Some(4));
    }
    let cli = layered(&["status"], "[report]\nmax-age = 7").cli;
    let Some(Command::Status(status)) = cli.command else {
        panic!("{:?}", cli.command);
    };
    assert_eq!(status.max_age, Some(7));
}

#[test]
fn a_faulty_value_is_passed_over_with_its_line_and_the_others_count() {
    let text = "[sync]\nmax-peers = 0\ndays = \"soon\"\npeer = [\"wss://a\", \"http://b\"]\n\
                patience = 7\nfriends = true\n[notify]\nhook-patience = 9999\n[trigger]\n\
                not-before = \"25:00\"\n[report]\nmax-age = -1\n";
    let Layered { cli, complaints } = layered(&["trigger"], text);
    assert_eq!((cli.options.patience, cli.options.days), (7, 1));
    assert!(cli.options.members.friends && cli.options.peer.is_empty());
    let said: Vec<String> = complaints.iter().map(ToString::to_string).collect();
    assert_eq!(
        said[0],
        "line 2: max-peers is passed over: 0 is not in 1..=65535"
    );
    assert_eq!(
        said[1],
        "line 3: days is passed over: invalid digit found in string"
    );
    assert!(
        said[2].starts_with("line 4: peer is passed over: "),
        "{said:?}"
    );
    assert!(
        said[3].starts_with("line 8: hook-patience is passed over: "),
        "{said:?}"
    );
    assert!(
        said[4].starts_with("line 10: not-before is passed over: "),
        "{said:?}"
    );
    assert!(
        said[5].starts_with("line 12: max-age is passed over: "),
        "{said:?}"
    );
    assert_eq!(said.len(), 6);
}

#[test]
fn a_setting_holds_for_every_command_whether_it_takes_the_option_or_not() {
    let text = "[sync]\ndays = 3\nno-dms = true\n[trigger]\ninterval = 5\n";
    for arguments in [
        &["doctor"][..],
        &["status"],
        &["uninstall"],
        &["notify", "--test"],
    ] {
        let Layered { cli, complaints } = layered(arguments, text);
        assert_eq!(complaints, [], "{arguments:?}");
        assert_eq!((cli.options.days, cli.options.no_dms), (3, true));
    }
}

#[test]
fn what_stands_in_the_tables_of_the_policy_adds_nothing_to_the_command_line() {
    let text = "[lists]\nblacklist = \"b\"\nswarm = false\n[policy]\nstrangers = \"filters\"\n";
    let layered = layered(&["install"], text);
    assert_eq!(layered.complaints, []);
    assert_eq!(layered.cli.options.lists(), call(&[]).cli.options.lists());
    let Some(Command::Install(install)) = layered.cli.command else {
        panic!();
    };
    assert_eq!(install.strangers, None);
}
