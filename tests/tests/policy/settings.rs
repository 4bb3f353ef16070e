//! What the policy does follows `constellation.toml`, without a restart.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use constellation_tests::author::now;
use constellation_tests::policy_program::{ACCEPT, BLOCKED, Policy, command, in_force, key, lines};
use constellation_tests::real_relay::RealRelay;
use constellation_tests::{Author, StationDir, station};

use super::strangers::published;

const FILE: &str = "strfry/constellation.toml";
const SHADOW: &str = r#""action":"shadowReject""#;
const REFUSED: &str = r#""action":"reject","msg":"blocked: refused by a filter of this relay""#;
const TIMED_OUT: &str = r#""action":"reject","msg":"error: filter timed out""#;
const UNKNOWN: &str = r#""action":"reject","msg":"error: filters unavailable""#;

/// Puts a filter for notes into a folder of the station.
fn filter(station: &StationDir, folder: &str, script: &str) {
    let path = format!("{folder}/1.sh");
    station.write(&path, format!("#!/bin/sh\n{script}\n"));
    let path = station.root().join(path);
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_change_of_filters_shadow_and_time_limit_counts_within_a_second() {
    let station = station!();
    station.blacklist(&[key(2)]);
    filter(&station, "strfry/one", "exit 1");
    filter(&station, "strfry/two", "sleep 2");
    let mut policy = Policy::start(&station);
    assert_eq!(policy.ask_key(1), ACCEPT);
    assert_eq!(policy.ask_key(2), BLOCKED);
    in_force(&mut policy, "filters", 1, REFUSED, || {
        station.write(FILE, "[policy]\nfilters = \"one\"\n");
    });
    in_force(&mut policy, "shadow", 2, SHADOW, || {
        station.write(FILE, "[policy]\nfilters = \"one\"\nshadow = true\n");
    });
    in_force(
        &mut policy,
        "another folder and limit",
        1,
        TIMED_OUT,
        || {
            station.write(FILE, "[policy]\nfilters = \"two\"\nfilter-timeout = 0.05\n");
        },
    );
    assert_eq!(policy.ask_key(2), BLOCKED);
    // Half an edit changes nothing, however often it is looked at.
    station.write(FILE, "[policy]\nfilters = \"o");
    policy.expect_stderr("what it said before still holds");
    assert_eq!(policy.ask_key(1), TIMED_OUT);
    in_force(&mut policy, "no file", 1, ACCEPT, || {
        fs::remove_file(station.root().join(FILE)).unwrap();
    });
    in_force(&mut policy, "filters again", 1, REFUSED, || {
        station.write(FILE, "[policy]\nfilters = \"one\"\n");
    });
    policy.close();
}

#[test]
fn the_command_line_and_the_environment_win_over_the_file() {
    let station = station!();
    station.blacklist(&[key(2)]);
    filter(&station, "strfry/one", "exit 1");
    filter(&station, "two", "exit 0");
    let text = "[policy]\nfilters = \"one\"\nshadow = true\nno-remove = true\n";
    station.write(FILE, text);
    let mut by_file = Policy::start(&station);
    assert_eq!(by_file.ask_key(1), REFUSED);
    assert_eq!(by_file.ask_key(2), SHADOW);
    by_file.close();
    let two = station.root().join("two").display().to_string();
    let mut told = command(&station);
    told.args(["--filters", &two])
        .env("CONSTELLATION_SHADOW", "0");
    let mut told = Policy::spawn(told);
    assert_eq!(told.ask_key(1), ACCEPT);
    assert_eq!(told.ask_key(2), BLOCKED);
    told.close();
    let elsewhere = station.root().join("other.toml");
    fs::write(&elsewhere, "[policy]\nshadow = true\n").unwrap();
    let mut missing = command(&station);
    missing.args(["--config", "/nowhere.toml"]);
    let mut missing = Policy::spawn(missing);
    assert_eq!(missing.ask_key(2), BLOCKED);
    assert!(
        missing
            .close()
            .contains("/nowhere.toml is not there: until it is")
    );
    for by_option in [true, false] {
        let mut other = command(&station);
        if by_option {
            other.arg("--config").arg(&elsewhere);
        } else {
            other.env("CONSTELLATION_CONFIG", &elsewhere);
        }
        let mut other = Policy::spawn(other);
        assert_eq!(other.ask_key(2), SHADOW);
        assert_eq!(other.ask_key(1), ACCEPT);
        other.close();
    }
}

#[test]
fn lines_stay_in_the_blacklist_and_more_is_logged_as_soon_as_the_file_says_so() {
    let station = station!();
    station.blacklist(&[key(2)]);
    station.friends(&[key(2), key(3)]);
    let mut policy = Policy::start(&station);
    // Once it answers, it has read the file that is not there.
    assert_eq!(policy.ask_key(3), ACCEPT);
    station.write(FILE, "[policy]\nno-remove = true\nlog = \"debug\"\n");
    policy.expect_stderr("stay in the blacklist from now on");
    assert_eq!(policy.ask_key(2), ACCEPT);
    let stderr = policy.close();
    assert!(!stderr.contains(" friend or member"), "{stderr}");
    assert_eq!(station.read("strfry/blacklist.txt"), lines([key(2)]));
}

#[test]
fn a_file_that_is_broken_at_the_start_lets_in_nothing_that_its_filters_may_refuse() {
    let station = station!();
    filter(&station, "strfry/one", "exit 0");
    for broken in [
        &b"[policy]\nfilters = \"one\nshadow = true\n"[..],
        b"\xff[policy]\nfilters = \"one\"\n",
        b"[policy]\nfilters = \"one\"\n[sync\n",
    ] {
        fs::write(station.root().join(FILE), broken).unwrap();
        let mut policy = Policy::start(&station);
        assert_eq!(policy.ask_key(1), UNKNOWN);
        policy.expect_stderr("as it may name filters, every event is rejected");
        in_force(&mut policy, "mended", 1, ACCEPT, || {
            station.write(FILE, "[policy]\nfilters = \"one\"\n");
        });
        policy.close();
    }
    // Comments name nothing.
    station.write(FILE, "[policy]\n#filters = \"one\"\nshadow = 1\n");
    let mut policy = Policy::start(&station);
    assert_eq!(policy.ask_key(1), ACCEPT);
    policy.close();
}

#[test]
fn explain_tells_the_rule_of_the_file_and_that_the_command_line_wins() {
    let station = station!();
    filter(&station, "strfry/one", "exit 0");
    station.write(
        FILE,
        "[policy]\nstrangers = \"filters\"\nfilters = \"one\"\n",
    );
    let stranger = key(1).to_hex();
    let explain = |arguments: &[&str]| {
        let arguments = [&["explain", &stranger, "--kind", "7"], arguments].concat();
        station.run("constellation-policy", &arguments)
    };
    explain(&[])
        .expect_code(1)
        .expect_stdout("as constellation.toml says")
        .expect_stdout("strfry/one: kinds 1");
    explain(&["--strangers", "accept"])
        .expect_code(0)
        .expect_stdout("as this command was told, and constellation.toml");
    station.write(FILE, "[policy]\nfilters = \"one\nx");
    explain(&[])
        .expect_code(1)
        .expect_stdout("is not understood");
}

/// The process ids of the policies of this station.
fn policies(station: &StationDir) -> Vec<String> {
    let root = station.root().display().to_string();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let is_policy = |path: std::path::PathBuf| {
        let line = fs::read(path.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains("constellation-policy\0") && line.contains(&root)
    };
    let found = entries.filter(|entry| is_policy(entry.path()));
    found
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect()
}

/// Needs a real strfry; the stand-in is no relay.
#[test]
fn a_real_relay_follows_the_file_without_a_restart_of_the_policy() {
    if !RealRelay::is_possible() {
        println!("skipped: STRFRY names no strfry");
        return;
    }
    let station = station!();
    let [author, blocked] = [1, 2].map(Author::new);
    station.blacklist(&[blocked.pubkey()]);
    filter(&station, "strfry/one", "exit 1");
    let plugin = format!(
        "{} --zen {}",
        station.program("constellation-policy").display(),
        station.root().display()
    );
    let settings = format!("writePolicy {{\n        plugin = \"{plugin}\"\n    }}");
    let relay = RealRelay::start(env!("CARGO_BIN_EXE_demo"), &settings, &[]);
    let mut number = 0;
    let mut until = |author: &Author, kind: u16, wanted: &str| {
        let started = Instant::now();
        loop {
            number += 1;
            let event = author.sign(kind, now(), &[], &format!("note {number}"));
            if published(&relay, &[event]) == wanted {
                return;
            }
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "{wanted} never"
            );
        }
    };
    until(&author, 1, "A");
    until(&blocked, 1, "R");
    let running = policies(&station);
    assert_eq!(running.len(), 1);
    station.write(FILE, "[policy]\nfilters = \"one\"\n");
    until(&author, 1, "R");
    station.write(FILE, "[policy]\nshadow = true\n");
    until(&author, 1, "A");
    until(&blocked, 1, "A");
    station.write(FILE, "[policy]\nstrangers = \"filters\"\n");
    until(&author, 7, "R");
    until(&blocked, 1, "R");
    station.write(FILE, "[policy]\nstrangers = \"acc");
    until(&author, 7, "R");
    fs::remove_file(station.root().join(FILE)).unwrap();
    until(&author, 7, "A");
    assert_eq!(policies(&station), running);
}
