//! A bug report holds what a maintainer needs, and nothing that is nobody else's business.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use constellation_tests::relay::Nip77;
use constellation_tests::{Author, Behaviour, ScriptedRelay, station};

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
        "Fail strfry_broken: ",
        "Warn list_faulty: ",
        "left out: it is not what this version writes",
        "1 line left out: not ours",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// Secrets as hooks, filters and other programs print them.
const PRINTED: [&str; 16] = [
    "https://api.telegram.org/bot110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/sendMessage",
    "curl -H 'Authorization: Bearer ya29.c0AfH6SMBx'",
    "SALT=correcthorse",
    "passphrase: battery staple",
    "private_key=5Kb8kLf9zgWQnogidDA76MzPL6TsZZY36hWXMssSzNydYXYB9KF",
    "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5",
    "X-Api-Key 7f3ahunter",
    "pin 493817",
    "abandon ability able about above absent absorb abstract absurd abuse access accident",
    "wss://captain:swordfish@relay.example.org/?auth=opensesame",
    "failed after 3 attempts: token sesame1234",
    "Basic Y2FwdGFpbjpzd29yZGZpc2g=",
    "zoe.secretive@example.com wrote",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGx",
    "cookie: sid=deadbeefcafe",
    "Collected rhubarb from custard",
];

/// The words of these that would give something away.
const SECRETS: [&str; 22] = [
    "110201543",
    "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw",
    "telegram",
    "ya29",
    "correcthorse",
    "battery",
    "5Kb8kLf9",
    "nsec1",
    "7f3ahunter",
    "493817",
    "abandon",
    "absurd",
    "accident",
    "swordfish",
    "opensesame",
    "sesame1234",
    "Y2FwdGFpbjpzd29yZGZpc2g",
    "secretive",
    "AAAAC3NzaC1lZDI1NTE5",
    "deadbeef",
    "rhubarb",
    "captain",
];

#[test]
fn nothing_that_a_hook_a_relay_or_strfry_prints_is_in_it() {
    let station = station!();
    station.friends(&[Author::new(1).pubkey()]);
    let all = PRINTED.join("\n");
    let refusing = |words: &str| {
        let behaviour = Behaviour {
            refuse: Some(words.to_owned()),
            nip77: Nip77::Absent,
            ..Behaviour::default()
        };
        ScriptedRelay::start(&[], behaviour)
    };
    for (place, words) in PRINTED.iter().enumerate() {
        let relay = refusing(words);
        station.peer(&format!("12D3Koo{place}"), &relay.url());
        if place % 8 == 0 {
            station
                .command("constellation-sync")
                .args(["--patience", "1", "--on-failure-after", "1"])
                .args([
                    "--on-failure",
                    "printf '%s\\n' \"$PRINTED\"; exit 7 # swordfish",
                ])
                .env("PRINTED", &all)
                .env(
                    "CONSTELLATION_PEER",
                    format!("{}/opensesame?swordfish", relay.url()),
                )
                .output()
                .expect_code(1);
            fs::remove_file(station.root().join("strfry/constellation-runs.json")).unwrap();
        }
    }
    let logged = station.read("strfry/constellation-backfill.log");
    assert!(
        logged.contains("--on-failure: SALT=correcthorse"),
        "{logged}"
    );
    station
        .command("constellation-sync")
        .arg("bugreport")
        .env("CONSTELLATION_ON_FAILURE", "mail captain -t swordfish")
        .output()
        .expect_code(0);
    let text = station.read("strfry/constellation-bugreport.txt");
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} is in\n{text}");
    }
    // It is of use all the same.
    for part in [
        "[INFO] Starting Astroport constellation backfill process",
        "[ERROR] WebSocket backfill failed in part peer ",
        "SYNC_HEX count=1",
        "success=0 total=1",
        "\"code\": \"gap\"",
        "it ended with exit status: 7",
        "left out: not ours",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
}

#[test]
fn only_the_end_of_a_long_log_is_taken_and_only_whole_lines() {
    let station = station!();
    // What stands before the cut of a line is unknown: it may be half an address.
    let line = |number: usize| {
        format!(
            "[2026-11-01 00:00:00] [INFO] Collected {number} events from {}\n",
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
    assert!(text.contains("Collected 999 events") && text.contains("Collected 801 events"));
    assert!(!text.contains("Collected 799 events"));
    let nowhere = station.run(
        "constellation-sync",
        &["bugreport", "--output", "/nowhere/x"],
    );
    nowhere.expect_code(2).expect_stderr("--output FILE");
}
