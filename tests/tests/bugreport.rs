//! A bug report holds what a maintainer needs, and nothing that is nobody else's business.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what fails here is a failed test"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use constellation_tests::{Author, station};

const NSEC: &str = "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5";
const EMAIL: &str = "zoe.secretive@example.com";
const PASSWORD: &str = "hunter2hunter2";

#[test]
fn no_secret_key_or_address_is_in_it_wherever_it_was_planted() {
    let station = station!();
    let author = Author::new(1);
    let (hex, npub) = (author.pubkey().to_hex(), author.pubkey().to_bech32());
    let planted =
        format!("{NSEC} {hex} {npub} {EMAIL} password={PASSWORD} wss://me:{PASSWORD}@a.org");
    station.member(EMAIL, author.pubkey());
    // In the logs, in lists, in a member's folder, in a peer's description, in the conf, in
    // the report of the last run, and in what strfry says of itself.
    for log in ["backfill.log", "backfill.error.log", "trigger.log"] {
        let line = format!("[2026-11-01 00:00:00] [WARN] the marker of {log}: {planted}\n");
        station.write(format!("strfry/constellation-{log}"), line);
    }
    for list in ["strfry/blacklist.txt", "strfry/amisOfAmis.txt"] {
        station.write(list, format!("{planted}\n{NSEC}\n{EMAIL}\n"));
    }
    station.write(format!("game/nostr/{EMAIL}/HEX"), format!("{NSEC}\n"));
    station.peer(EMAIL, &format!("wss://me:{PASSWORD}@127.0.0.1:1"));
    station.peer("12D3KooB", &format!("ftp://{planted}"));
    station.peer_description(&hex, format!("{{ {planted}"));
    let conf = station.read("strfry/strfry.conf");
    let plugin =
        format!("relay {{\n    writePolicy {{\n        plugin = \"/bin/{planted}\"\n    }}\n}}\n");
    station.write("strfry/strfry.conf", conf + &plugin);
    let escaped = EMAIL.replace('@', "\\u0040");
    let report = serde_json::json!({"schema": 1, "peers": [{"failure": planted}], "marker": "of the report"});
    let report = report.to_string().replace(EMAIL, &escaped);
    station.write("strfry/constellation-report.json", report);
    fs::remove_file(station.strfry()).unwrap();
    station.write(
        "strfry/strfry",
        format!("#!/bin/sh\necho 'strfry 1.2.3 {planted}'\necho '{planted}' >&2\nexit 1\n"),
    );
    fs::set_permissions(station.strfry(), fs::Permissions::from_mode(0o755)).unwrap();

    station.program("constellation-policy");
    let output = station.run("constellation-sync", &["bugreport"]);
    let path = station.root().join("strfry/constellation-bugreport.txt");
    output
        .expect_code(0)
        .expect_stdout(&path.display().to_string())
        .expect_stdout("nothing was sent")
        .expect_stdout("Look it through");
    let text = fs::read_to_string(&path).unwrap();
    let home = station.home().display().to_string();
    for secret in [
        &NSEC[..12],
        &hex,
        &npub,
        EMAIL,
        "secretive",
        &escaped,
        PASSWORD,
        &home,
    ] {
        let at = text.find(secret);
        assert!(
            at.is_none(),
            "{secret} is in it:\n{}",
            &text[at.unwrap().saturating_sub(300)..]
        );
    }
    for part in [
        "constellation-sync 0.",
        "constellation-policy 0.",
        "strfry 1.2.3",
        "\"code\": \"strfry_broken\"",
        "\"code\": \"list_faulty\"",
        "of the report",
        "the marker of backfill.log",
        "the marker of backfill.error.log",
        "the marker of trigger.log",
        &hex[..8],
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn only_the_end_of_a_long_log_is_taken_and_only_whole_lines() {
    let station = station!();
    // What stands before the cut of a line is unknown: it may be half an address.
    let line = |number: usize| {
        format!(
            "[2026-11-01 00:00:00] [INFO] line {number} of {}\n",
            "x ".repeat(600)
        )
    };
    let log: String = (0..1000).map(line).collect();
    station.write("strfry/constellation-backfill.log", log);
    let file = station.home().join("report.txt");
    let output = station
        .command("constellation-sync")
        .args(["bugreport", "--output", &file.display().to_string()])
        .output();
    output.expect_code(0);
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains("line 999 of") && text.contains("line 801 of"));
    assert!(!text.contains("line 799 of"));
    let nowhere = station.run(
        "constellation-sync",
        &["bugreport", "--output", "/nowhere/x"],
    );
    nowhere.expect_code(2).expect_stderr("--output FILE");
}
