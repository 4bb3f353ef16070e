//! `constellation-sync config`, and the settings file beside the other sources.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use clap::CommandFactory;
use constellation_policy::options::Options;
use constellation_shared::settings::keys::Table;
use constellation_sync::testing::config::OF_POLICY;
use constellation_tests::command::{Output, TestCommand};
use constellation_tests::{StationDir, station};
use serde_json::{Value, json};

const PROGRAM: &str = "constellation-sync";
const FILE: &str = "strfry/constellation.toml";

/// A call with these variables.
fn call(station: &StationDir, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command: TestCommand = station.command(PROGRAM);
    for (name, value) in variables {
        command = command.env(name, value);
    }
    command.args(arguments).output()
}

/// The value and source of a setting, as `config --json` has them.
fn setting(listing: &Output, name: &str) -> (Value, Value) {
    let listing: Value = serde_json::from_str(&listing.stdout).unwrap();
    let rows = listing["settings"].as_array().unwrap();
    let row = rows.iter().find(|row| row["name"] == name).unwrap();
    (row["value"].clone(), row["source"].clone())
}

#[test]
fn each_setting_is_listed_with_the_source_that_wins() {
    let station = station!();
    station.write(
        FILE,
        "[lists]\nswarm = false\n[policy]\nshadow = true\n[sync]\ndays = 3\npatience = 9\n\
         no-dms = true\nkinds = [\"seed\", -4]\n[report]\nmetrics = \"m.prom\"\n\
         [notify]\non-failure = \"tell\"\n[trigger]\ninterval = 5\nnot-before = \"06:00\"\n",
    );
    let variables = [
        ("CONSTELLATION_DAYS", "4"),
        ("CONSTELLATION_PATIENCE", "8"),
        ("CONSTELLATION_INTERVAL", "7"),
        ("CONSTELLATION_ON_RECOVERY", "cheer"),
    ];
    let arguments = ["config", "--json", "--days", "5", "--no-dms=false"];
    let listing = call(&station, &variables, &arguments);
    listing.expect_code(0);
    let metrics = station.strfry_dir().join("m.prom").display().to_string();
    for (name, value, source) in [
        ("days", json!("5"), "command_line"),
        ("no-dms", json!("false"), "command_line"),
        ("patience", json!("8"), "environment"),
        ("interval", json!("7"), "environment"),
        ("on-recovery", json!("cheer"), "environment"),
        ("on-failure", json!("tell"), "file"),
        ("not-before", json!("06:00"), "file"),
        ("metrics", json!(metrics), "file"),
        ("kinds", json!("seed,-4"), "file"),
        ("swarm", json!("false"), "file"),
        ("shadow", json!("true"), "file"),
        ("max-days", json!("30"), "default"),
        ("max-peers", json!(null), "default"),
        ("strangers", json!("accept"), "default"),
    ] {
        assert_eq!(setting(&listing, name), (value, json!(source)), "{name}");
    }
    call(&station, &variables, &["config"])
        .expect_code(0)
        .expect_stdout("environment, CONSTELLATION_DAYS")
        .expect_stdout("constellation.toml, line 8")
        .expect_stdout("\n[trigger]\n");
}

#[test]
fn the_file_describes_the_policy_s_settings_as_its_help_does() {
    let policy = Options::command();
    for key in OF_POLICY.iter().filter(|key| key.name != "swarm") {
        let mut options = policy.get_arguments();
        let option = options.find(|option| option.get_long() == Some(key.name));
        let help = option.unwrap().get_help().unwrap().to_string();
        let about = help.split(" [default").next().unwrap();
        assert_eq!(key.about, about, "{}", key.name);
        let default = help.split("[default: ").nth(1).unwrap_or_default();
        let shown = key.default.trim_matches(['"', '[', ']']);
        assert!(
            ["DIR", "false", "accept"].contains(&shown)
                || default.trim_end_matches(']').ends_with(shown),
            "{}: {shown}, not {default}",
            key.name
        );
    }
    // Every option of the policy is a setting, or is of one call.
    for option in policy.get_arguments().filter_map(clap::Arg::get_long) {
        let is_setting = ["lists", "policy"]
            .iter()
            .any(|table| Table::named(table).unwrap().key(option).is_some());
        let is_of_one_call = ["zen", "config", "help", "version"].contains(&option);
        assert_ne!(is_setting, is_of_one_call, "--{option}");
    }
}

#[test]
fn the_plugin_line_wins_over_the_file_and_may_name_another_one() {
    let station = station!();
    let conf = station.read("strfry/strfry.conf");
    let policy = station
        .program("constellation-policy")
        .display()
        .to_string();
    let with_plugin = |options: &str| {
        let line = format!("{conf}\nrelay.writePolicy.plugin = \"{policy} {options}\"\n");
        station.write("strfry/strfry.conf", line);
    };
    station.write(
        FILE,
        "[policy]\nstrangers = \"filters\"\nfilter-timeout = 3\n",
    );
    station.write("strfry/other.toml", "[sync]\ndays = 9\n");
    with_plugin("--strangers accept --shadow");
    let listing = call(&station, &[], &["config", "--json"]);
    let by_line = |value: &str| (json!(value), json!("plugin_line"));
    assert_eq!(setting(&listing, "strangers"), by_line("accept"));
    assert_eq!(setting(&listing, "shadow"), by_line("true"));
    assert_eq!(setting(&listing, "filter-timeout").1, "file");
    call(&station, &[], &["config"])
        .expect_stdout("strfry.conf, plugin line; line 2 of constellation.toml does not count");
    with_plugin("--config other.toml");
    let listing = call(&station, &[], &["config", "--json"]);
    assert_eq!(setting(&listing, "days"), (json!("9"), json!("file")));
    call(&station, &[], &["config", "--config", "/nowhere.toml"])
        .expect_code(0)
        .expect_stdout("! /nowhere.toml is not there: until it is, no setting in it counts");
    let own = station.root().join(FILE).display().to_string();
    call(&station, &[], &["config", "--config", &own])
        .expect_code(0)
        .expect_stdout("has the policy read other settings than these");
}

#[test]
fn what_is_wrong_in_the_file_is_named_with_its_line_wherever_one_looks() {
    let station = station!();
    station.write(
        FILE,
        "[sync]\nmax-peer = 3\npatience = 0\n[notify]\ndays = 2\n",
    );
    let wrong = [
        "line 2: unknown key max-peer, which is passed over; did you mean max-peers?",
        "line 3: patience is passed over: 0 is not in 1..=86400",
        "line 5: days is no key of [notify], and is passed over: write it below [sync]",
    ];
    let listing = call(&station, &[], &["config"]);
    listing.expect_code(1);
    let doctor = call(&station, &[], &["doctor"]);
    call(&station, &[], &["--peer", "ws://127.0.0.1:1"]);
    let log = station.read("strfry/constellation-backfill.log");
    for line in wrong {
        listing.expect_stdout(line);
        assert!(doctor.stdout.contains(line), "{}", doctor.stdout);
        assert!(log.contains(line), "{log}");
    }
}

#[test]
fn edit_creates_the_commented_file_opens_it_and_checks_it() {
    let station = station!();
    let file = station.root().join(FILE);
    let editor = station.root().join("my editor");
    fs::write(&editor, "#!/bin/sh\nprintf '%s' \"$2\" > \"$2.opened\"\n[ -z \"$ADD\" ] || printf \"$ADD\" >> \"$2\"\n").unwrap();
    fs::set_permissions(&editor, fs::Permissions::from_mode(0o755)).unwrap();
    let editor = format!("'{}' --wait", editor.display());
    let edit = |add: &str| {
        let variables = [("EDITOR", editor.as_str()), ("VISUAL", ""), ("ADD", add)];
        call(&station, &variables, &["config", "--edit"])
    };
    edit("")
        .expect_code(0)
        .expect_stdout("is understood (0 settings)");
    let commented = fs::read_to_string(&file).unwrap();
    assert!(commented.contains("\n#max-peers = "), "{commented}");
    assert!(fs::exists(file.with_extension("toml.opened")).unwrap());
    edit("\\n[sync2]\\n")
        .expect_code(1)
        .expect_stdout("unknown table sync2")
        .expect_stdout("Mend it with: constellation-sync config --edit");
    edit("\\n[")
        .expect_code(1)
        .expect_stdout("is not understood");
    let other = [("EDITOR", "false"), ("VISUAL", "")];
    call(&station, &other, &["config", "--edit"])
        .expect_code(2)
        .expect_stderr("cannot be edited: the editor failed");
}

#[test]
fn a_fifo_in_the_place_of_the_file_holds_nobody_up() {
    let station = station!();
    let path = station.root().join(FILE);
    let fifo = rustix::fs::FileType::Fifo;
    let mode = rustix::fs::Mode::RWXU;
    rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, mode, 0).unwrap();
    call(&station, &[], &["config"])
        .expect_code(1)
        .expect_stdout("is not understood, it cannot be read: not a regular file");
    let editor = [("EDITOR", "true"), ("VISUAL", "")];
    call(&station, &editor, &["config", "--edit"])
        .expect_code(2)
        .expect_stderr("cannot be edited: it is no file");
    call(&station, &[], &["install"])
        .expect_code(2)
        .expect_stderr("is no file but a link or a folder");
}

#[test]
fn a_faulty_hook_or_limit_stops_no_run_and_the_good_settings_count() {
    let station = station!();
    station.write(
        FILE,
        "[sync]\npeer = \"ws://127.0.0.1:1\"\npatience = -1\n[notify]\non-failure = 7.5.3\n",
    );
    let run = call(&station, &[], &["--dry-run"]);
    run.expect_stdout("ws://127.0.0.1:1");
    station.write(
        FILE,
        "[sync]\npeer = \"ws://127.0.0.1:1\"\n[notify]\non-failure = [\"a\"]\n",
    );
    call(&station, &[], &["--dry-run"])
        .expect_code(0)
        .expect_stdout("ws://127.0.0.1:1");
}
