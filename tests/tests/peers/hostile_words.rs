//! What others say is shown in the log, on the terminal, in the report and to the captain's
//! commands; it must neither pass for a line of ours nor hide or reorder anything there.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use constellation_shared::sanitize::is_hidden;
use constellation_tests::author::notes;
use constellation_tests::relay::{Nip11, Nip77};
use constellation_tests::sync_program::{
    ERROR_LOG, LOG, PLAIN_KINDS, command, expect_logged, follow, recent,
};
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};
use serde_json::json;

/// Everything that the station's scripts look for, behind what would begin a line of its own,
/// and characters that a terminal obeys or does not show.
const HOSTILE: &str = "SYNC_HEX: count=0 \n[2026-01-01 00:00:00] [INFO] \
    Starting Astroport constellation backfill process\r[2026-01-01 00:00:00] [ERROR] failed FAILED \
    \u{202e}\u{2066}\u{200b}\u{85}\u{2028}\u{1b}[31m\u{9b}2J\u{7}\u{ad}\u{e0041}\u{3164}\u{fe0f} \
    SYNC_STATS: events=7 SYNC_IMPORT: events=7 SYNC_PEERS: success=77 total=77 \
    SYNC_PROFILES: found=7 ❌ WebSocket ❌ Batch Backfill process completed SY\u{200b}NC_HEX: count=0";

/// As [`HOSTILE`], where a path allows it; a name of a file has at most 255 bytes.
const HOSTILE_NAME: &str =
    "a\n[2026-01-01 00:00:00] [INFO] SYNC_HEX: count=0 failed\u{202e}\u{1b}[31m";

/// The patterns of upstream's `sync_report.sh`.
const PATTERNS: [&str; 8] = [
    "Starting Astroport constellation backfill",
    "Backfill process completed",
    "SYNC_STATS:",
    "SYNC_HEX:",
    "SYNC_PROFILES:",
    "SYNC_PEERS:",
    "SYNC_IMPORT:",
    "(failed|FAILED|❌ (Batch|WebSocket|P2P))",
];

/// The lines of the log that a pattern finds, by grep itself.
fn grepped(station: &StationDir, pattern: &str) -> Vec<String> {
    let output = Command::new("grep")
        .args(["-aE", pattern])
        .arg(station.root().join(LOG))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(ToOwned::to_owned).collect()
}

/// Nothing hidden is in a text but its line breaks, and the blank that groups our digits.
#[track_caller]
fn expect_harmless(what: &str, text: &str) {
    let hidden = text
        .chars()
        .find(|&c| !['\n', '\u{202f}'].contains(&c) && is_hidden(c));
    assert_eq!(hidden, None, "in {what}: {text:?}");
}

/// The lines of the log, each of which begins as ours do; what scripts look for is on the
/// lines that say it, and once.
#[track_caller]
fn expect_sound_log(station: &StationDir) {
    let log = station.read(LOG);
    expect_harmless("the log", &log);
    for line in log.lines() {
        let (time, rest) = line.split_at_checked(21).unwrap();
        assert!(time.starts_with("[20") && time.ends_with(']'), "{line}");
        assert!(
            rest.starts_with(" [") && rest.matches("[INFO]").count() <= 1,
            "{line}"
        );
    }
    for pattern in &PATTERNS[..7] {
        let found = grepped(station, pattern);
        assert!(found.len() <= 1, "{pattern}: {found:?}");
        for line in found {
            assert!(
                line[21..].starts_with(&format!(" [INFO] {pattern}")),
                "{line}"
            );
        }
    }
    for line in grepped(station, PATTERNS[7]) {
        assert!(line[21..].starts_with(" [ERROR] "), "{line}");
        // Each such line is one failure, of the one peer.
        assert!(
            line[21..].starts_with(" [ERROR] WebSocket backfill failed"),
            "{line}"
        );
    }
}

/// A relay that says hostile words wherever a relay can.
fn hostile_relay(behaviour: Behaviour) -> ScriptedRelay {
    let document =
        json!({"software": HOSTILE, "version": HOSTILE, "name": HOSTILE, "negentropy": 1});
    ScriptedRelay::start(
        &[],
        Behaviour {
            nip11: Nip11::Body(document.to_string()),
            greeting: vec![json!(["NOTICE", HOSTILE]).to_string()],
            ..behaviour
        },
    )
}

#[test]
fn a_relay_s_words_are_not_ours() {
    let authors = Author::many(2);
    let closing = Behaviour {
        refuse: Some(HOSTILE.to_owned()),
        ..Behaviour::default()
    };
    let relays = [
        hostile_relay(Behaviour {
            nip77: Nip77::Absent,
            ..closing.clone()
        }),
        hostile_relay(Behaviour {
            nip77: Nip77::Refuses(HOSTILE),
            ..closing
        }),
        hostile_relay(Behaviour {
            never_eose: true,
            nip77: Nip77::Absent,
            ..Behaviour::default()
        }),
    ];
    let last = relays.len() - 1;
    for (place, relay) in relays.into_iter().enumerate() {
        let station = station!();
        let url = format!("{}/failed/SYNC_PEERS:", relay.url());
        follow(&station, &authors, &[&url]);
        let seen = station.home().join("seen");
        let hook = format!("env > {0}.env; printf '%s\\n' \"$HOSTILE\"", seen.display());
        let output = command(
            &station,
            &["--verbose", "--patience", "1", "--on-failure-after", "1"],
        )
        .args(["--metrics", "metrics.prom", "--on-failure", &hook])
        .env("HOSTILE", HOSTILE)
        .env("HOME", station.home())
        .output();
        output.expect_code(1);
        expect_sound_log(&station);
        expect_harmless("stdout", &output.stdout);
        expect_harmless("stderr", &output.stderr);
        for file in [
            ERROR_LOG,
            "strfry/constellation-report.json",
            "strfry/constellation-runs.json",
        ] {
            expect_harmless(file, &station.read(file));
        }
        expect_harmless(
            "the page",
            &station.read("strfry/constellation-report.html"),
        );
        let told = station.read("../seen.env");
        let told = told
            .lines()
            .filter(|line| line.starts_with("CONSTELLATION_"));
        expect_harmless("the hook's variables", &told.collect::<String>());
        // One that never comes to an end costs these commands seconds, and says nothing new.
        if place == last {
            continue;
        }
        for look in [
            &["doctor"][..],
            &["status"],
            &["--dry-run"],
            &["why", &authors[0].pubkey().to_hex()],
        ] {
            let output = station.command("constellation-sync").args(look).output();
            expect_harmless(look[0], &output.stdout);
            expect_harmless(look[0], &output.stderr);
        }
    }
}

#[test]
fn a_station_s_description_is_not_ours() {
    let authors = Author::many(1);
    let station = station!();
    follow(&station, &authors, &[]);
    let events = notes(&authors, &PLAIN_KINDS, 5, recent(), 100);
    let relay = ScriptedRelay::start(&events, Behaviour::default());
    station.peer("12D3KooGood", &relay.url());
    let tunnel = json!({"myRELAY": "ws://127.0.0.1:7777", "ipfsnodeid": HOSTILE});
    for (name, content) in [
        (
            format!("{HOSTILE_NAME}1"),
            json!({"myRELAY": HOSTILE, "ipfsnodeid": HOSTILE}).to_string(),
        ),
        (format!("{HOSTILE_NAME}2"), tunnel.to_string()),
        (format!("{HOSTILE_NAME}3"), "no JSON".to_owned()),
    ] {
        station.peer_description(&name, content);
        let folder = format!("tmp/swarm/{name}");
        station.write(format!("{folder}/x_strfry.sh"), "");
        station.write(format!("{folder}/amisOfAmis.txt"), HOSTILE);
    }
    // A list that cannot be read.
    let unreadable = station
        .root()
        .join(format!("tmp/swarm/{HOSTILE_NAME}1/amisOfAmis.txt"));
    fs::remove_file(&unreadable).unwrap();
    fs::create_dir(&unreadable).unwrap();
    let output = command(&station, &["--verbose"]).output();
    output.expect_code(0);
    expect_sound_log(&station);
    expect_harmless("stderr", &output.stderr);
    expect_logged(&station, "is passed over");
    let key = authors[0].pubkey().to_hex();
    for look in [&["doctor"][..], &["--dry-run"], &["why", &key]] {
        let output = station.command("constellation-sync").args(look).output();
        expect_harmless(look[0], &output.stdout);
        expect_harmless(look[0], &output.stderr);
    }
    let policy = station
        .command("constellation-policy")
        .args(["explain", &key])
        .output();
    expect_harmless("explain", &policy.stdout);
    let policy = station.command("constellation-policy").stdin("").output();
    expect_harmless("the policy's log", &policy.stderr);
    for line in policy.stderr.lines() {
        assert!(line.trim_start().starts_with(['I', 'W', 'E']), "{line:?}");
    }
}

#[test]
fn what_strfry_prints_is_not_ours() {
    let authors = Author::many(1);
    let events = notes(&authors, &PLAIN_KINDS, 20, recent(), 100);
    let relay = ScriptedRelay::start(&events, Behaviour::default());
    let station = StationDir::builder(env!("CARGO_BIN_EXE_demo"))
        .without_strfry()
        .build();
    follow(&station, &authors, &[&relay.url()]);
    let real = station.strfry_dir().join("real");
    fs::create_dir(&real).unwrap();
    symlink(env!("CARGO_BIN_EXE_demo"), real.join("strfry")).unwrap();
    for script in [
        // It rejects what it was given, for reasons of its own.
        format!("printf '2026-01-01 00:00:00.000 (   0.030s) [Writer]INFO| Rejected event {}: %s\\n' \"$HOSTILE\" >&2", events[0].id),
        "case $1 in import) printf 'strfry error: %s\\n' \"$HOSTILE\" >&2; cat >/dev/null; exit 1;; esac".to_owned(),
        "case $1 in scan) printf 'strfry error: %s\\n' \"$HOSTILE\" >&2; exit 1;; esac".to_owned(),
    ] {
        let program = format!("#!/bin/sh\n{script}\nexec '{}' \"$@\"\n", real.join("strfry").display());
        station.write("strfry/strfry", program);
        fs::set_permissions(station.strfry(), fs::Permissions::from_mode(0o755)).unwrap();
        let output = command(&station, &["--verbose"]).env("HOSTILE", HOSTILE).output();
        expect_sound_log(&station);
        expect_harmless("stderr", &output.stderr);
        expect_harmless("stdout", &output.stdout);
        let doctor = station.command("constellation-sync").arg("doctor");
        let doctor = doctor.env("HOSTILE", HOSTILE).output();
        expect_harmless("doctor", &doctor.stdout);
    }
}

#[test]
fn a_profile_s_words_are_not_ours() {
    let [alice, bob] = [1, 2].map(Author::new);
    let profile =
        json!({"name": HOSTILE, "display_name": HOSTILE, "about": HOSTILE, "website": HOSTILE});
    let events = [alice.sign(0, recent(), &[], &profile.to_string())];
    let relay = ScriptedRelay::start(&events, Behaviour::default());
    let station = station!();
    follow(&station, &[alice, bob], &[&relay.url()]);
    let output = command(&station, &["--verbose"])
        .env("CONSTELLATION_NO_PROFILES", "false")
        .output();
    output.expect_code(0);
    expect_sound_log(&station);
    expect_harmless(
        "the profile log",
        &station.read("strfry/hex-to-profile.log"),
    );
    expect_harmless(
        "the page",
        &station.read("strfry/constellation-report.html"),
    );
    for file in [
        "tmp/coucou/_NIP101.profiles.json",
        "tmp/coucou/_NIP101.profiles.csv",
    ] {
        expect_harmless(file, &station.read(file));
    }
    for look in [
        &["profiles"][..],
        &["profiles", "--format", "csv"],
        &["friends"],
    ] {
        let output = station.command("constellation-sync").args(look).output();
        expect_harmless(look[0], &output.stdout);
        expect_harmless(look[0], &output.stderr);
    }
}

#[test]
fn what_a_filter_prints_is_not_the_policy_s() {
    let station = station!();
    station.write("filter/1.sh", "#!/bin/sh\nprintf '%s\\n' \"$HOSTILE\"\n");
    let filter = station.root().join("filter/1.sh");
    fs::set_permissions(&filter, fs::Permissions::from_mode(0o755)).unwrap();
    let author = Author::new(1);
    let event = author.note(recent(), "hello").to_json();
    let request = format!(
        r#"{{"type":"new","event":{event},"receivedAt":1,"sourceType":"IP4","sourceInfo":"x"}}"#
    );
    let output = station
        .command("constellation-policy")
        .arg("--filters")
        .arg(filter.parent().unwrap())
        .env("HOSTILE", HOSTILE)
        .stdin(request + "\n")
        .output();
    output.expect_code(0);
    assert_eq!(output.stderr, "");
    assert_eq!(station.read("tmp/strfry.log"), format!("{HOSTILE}\n"));
}
