//! Profiles: what is logged, what is written, what is printed, whatever the profiles hold.

use constellation_shared::Pubkey;
use constellation_tests::author::now;
use constellation_tests::command::Output;
use constellation_tests::members;
use constellation_tests::members::{follows, log, messages, profile, sync};
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};
use serde_json::Value;

fn json_file(station: &StationDir) -> Value {
    serde_json::from_str(&station.read("tmp/coucou/_NIP101.profiles.json")).unwrap()
}

fn csv_file(station: &StationDir) -> String {
    station.read("tmp/coucou/_NIP101.profiles.csv")
}

fn keys(authors: &[Author]) -> Vec<Pubkey> {
    authors.iter().map(Author::pubkey).collect()
}

/// A backfill from an empty relay, so that only what is there already counts.
fn backfill(station: &StationDir, args: &[&str]) -> Output {
    let relay = ScriptedRelay::start(&[], Behaviour::default());
    let url = relay.url();
    sync(station, &[&["--peer", &url], args].concat())
}

#[test]
fn the_log_says_who_has_a_profile_in_the_words_that_captains_know() {
    let station = station!();
    let authors = Author::many(3);
    station.friends(&keys(&authors));
    let alice =
        r#"{"name":"Alice","display_name":"Alice in Wonderland","nip05":"alice@example.com"}"#;
    station.import(&[
        profile(&authors[0], alice),
        profile(&authors[1], r#"{"name":"Bob"}"#),
    ]);
    backfill(&station, &[]).expect_code(0);
    let short = |number: usize| authors[number].pubkey().to_hex()[..8].to_owned();
    let text = log(&station);
    let words = messages(&text);
    for part in [
        vec!["🔍 Extracting profiles from constellation...".to_owned()],
        vec![
            format!("  ✅ {}... Profile: Alice", short(0)),
            "      Display: Alice in Wonderland".to_owned(),
            "      NIP-05: alice@example.com".to_owned(),
        ],
        vec![format!("  ✅ {}... Profile: Bob", short(1))],
        vec![
            "Found 2 HEX pubkeys with profiles".to_owned(),
            "Found 1 HEX pubkeys WITHOUT profiles".to_owned(),
        ],
        vec!["SYNC_PROFILES: found=2 missing=1".to_owned()],
    ] {
        let found = words
            .windows(part.len())
            .filter(|window| *window == part)
            .count();
        assert_eq!(found, 1, "{part:?} in\n{text}");
    }
    let place = |words_wanted: &str| words.iter().position(|words| *words == words_wanted);
    assert!(place("SYNC_PROFILES: found=2 missing=1") < place("Backfill process completed"));

    // The same lines in the log of profiles, which goes on from run to run.
    let profile_log = station.read("strfry/hex-to-profile.log");
    for line in profile_log.lines() {
        assert!(text.contains(line), "{line} not in\n{text}");
    }
    assert!(profile_log.contains("] [INFO]   ✅ "));
    assert!(!profile_log.contains("Backfill process"));
    backfill(&station, &[]).expect_code(0);
    let longer = station.read("strfry/hex-to-profile.log");
    assert!(longer.starts_with(&profile_log) && longer.len() > profile_log.len());
}

#[test]
fn both_files_hold_every_profile_found() {
    let station = station!();
    let authors = Author::many(4);
    station.friends(&keys(&authors));
    station.import(&[
        profile(
            &authors[0],
            r#"{"name":"Al, \"the\" one","about":"two\nlines","lud16":"a@b"}"#,
        ),
        profile(
            &authors[1],
            r#"{"name":"Bob","picture":"https://p","website":"https://w"}"#,
        ),
        follows(&authors[2], now() - 50, &keys(&authors)),
    ]);
    backfill(&station, &[]).expect_code(0);
    let json = json_file(&station);
    let entries = json.as_array().unwrap();
    assert_eq!(entries.len(), 2);
    let entry = |author: &Author| {
        let hex = author.pubkey().to_hex();
        entries
            .iter()
            .find(|entry| entry["hex"] == hex.as_str())
            .unwrap()
    };
    assert_eq!(entry(&authors[0])["profile"]["about"], "two\nlines");
    assert_eq!(entry(&authors[0])["profile"]["lud16"], "a@b");
    assert_eq!(entry(&authors[1])["relays"], serde_json::json!([]));
    let at = entry(&authors[1])["fetched_at"].as_str().unwrap();
    assert!(
        at.len() == 20 && at.ends_with('Z') && at.as_bytes()[10] == b'T',
        "{at}"
    );

    let csv = csv_file(&station);
    let mut lines = csv.lines();
    assert_eq!(
        lines.next().unwrap(),
        "hex,name,display_name,about,picture,website,nip05,relays_count,relays_list,fetched_at"
    );
    let lines: Vec<&str> = lines.collect();
    assert_eq!(lines.len(), 2);
    let line = |author: &Author| {
        let hex = author.pubkey().to_hex();
        *lines.iter().find(|line| line.starts_with(&hex)).unwrap()
    };
    assert!(line(&authors[0]).contains(r#","Al, ""the"" one",,two lines,,,,0,,20"#));
    assert!(line(&authors[1]).contains(",Bob,,,https://p,https://w,,0,,20"));
    let beside = members::files_below(&station.root().join("tmp/coucou"));
    assert_eq!(beside.len(), 2, "{beside:?}");
}

#[test]
fn hostile_profiles_are_shown_harmlessly() {
    let station = station!();
    let authors = Author::many(7);
    station.friends(&keys(&authors));
    let name = |text: &str| serde_json::json!({"name": text, "nip05": text}).to_string();
    let contents = [
        "this is not JSON".to_owned(),
        r#"{"about":"no name","name":null}"#.to_owned(),
        name(
            "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\r\n[2026-01-01 00:00:00] [INFO] SYNC_HEX: count=0",
        ),
        name("evil\u{202e}txt.exe\u{200b}\u{2066}"),
        name(&"x".repeat(10_000)),
        name("=cmd|'/c calc'!A1"),
        name("failed FAILED Starting Astroport constellation backfill"),
    ];
    let events: Vec<_> = authors
        .iter()
        .zip(&contents)
        .map(|(author, content)| profile(author, content))
        .collect();
    station.import(&events);
    backfill(&station, &[])
        .expect_code(0)
        .expect_not_stderr("\u{1b}");

    let harmless = |text: &str| {
        !text.contains([
            '\u{1b}', '\u{7}', '\u{9b}', '\r', '\u{202e}', '\u{200b}', '\u{2066}',
        ])
    };
    let text = log(&station);
    assert!(harmless(&text), "{text:?}");
    let lines = || text.lines().filter(|line| line.contains("Profile:"));
    assert_eq!(lines().count(), 7, "{text}");
    assert!(lines().all(|line| line.chars().count() < 200), "{text}");
    assert!(text.contains("Profile: (no name)"));
    assert!(
        !text.contains("failed") && !text.contains("FAILED"),
        "{text}"
    );
    for word in ["SYNC_HEX: ", "Starting Astroport constellation backfill"] {
        assert_eq!(text.matches(word).count(), 1, "{word} in\n{text}");
    }
    assert!(text.contains("SYNC_PROFILES: found=7 missing=0"));

    let json = station.read("tmp/coucou/_NIP101.profiles.json");
    assert!(harmless(&json));
    let entries = json_file(&station);
    let of = |number: usize| {
        let hex = authors[number].pubkey().to_hex();
        let mut entries = entries.as_array().unwrap().iter();
        entries.find(|entry| entry["hex"] == hex.as_str()).unwrap()["profile"].clone()
    };
    assert_eq!(of(0), serde_json::json!({}));
    assert_eq!(of(3), serde_json::from_str::<Value>(&contents[3]).unwrap());
    assert_eq!(of(4)["name"].as_str().unwrap().len(), 10_000);

    let csv = csv_file(&station);
    assert!(harmless(&csv));
    assert_eq!(csv.lines().count(), 8);
    assert!(csv.contains(",'=cmd|'/c calc'!A1,"));

    let table = sync(&station, &["profiles"]);
    assert!(harmless(&table.expect_code(0).stdout));
    assert!(table.stdout.lines().all(|line| line.chars().count() < 130));
}

#[test]
fn without_profiles_nothing_is_looked_up() {
    let station = station!();
    station.friends(&keys(&Author::many(2)));
    backfill(&station, &["--no-profiles"]).expect_code(0);
    assert!(!log(&station).contains("PROFILE"));
    assert!(!station.root().join("tmp/coucou").exists());
    assert_eq!(station.read("strfry/hex-to-profile.log"), "");
}

#[test]
fn files_that_cannot_be_written_are_said_and_stay_as_they_were() {
    let station = station!();
    station.friends(&keys(&Author::many(1)));
    // A folder in the file's place.
    station.write("tmp/coucou/_NIP101.profiles.json/x", "");
    backfill(&station, &[])
        .expect_code(0)
        .expect_stderr("tmp/coucou could not be written");
    let left = members::files_below(&station.root().join("tmp/coucou"));
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(log(&station).contains("Backfill process completed"));
}

#[test]
fn a_strfry_that_cannot_be_asked_is_said_and_changes_no_file() {
    let station = StationDir::builder(env!("CARGO_BIN_EXE_demo"))
        .stand_in()
        .build();
    station.friends(&keys(&Author::many(1)));
    station.write("tmp/coucou/_NIP101.profiles.json", "before");
    let relay = ScriptedRelay::start(&[], Behaviour::default());
    members::command(&station, &["--peer", &relay.url()])
        .env("STANDIN_EXIT", "1")
        .env("STANDIN_ONLY", "scan")
        .output()
        .expect_stderr("profiles could not be read: strfry scan ended with");
    assert_eq!(station.read("tmp/coucou/_NIP101.profiles.json"), "before");
}

#[test]
fn the_subcommand_prints_profiles_of_anybody_and_writes_nothing() {
    let station = station!();
    let authors = Author::many(3);
    station.friends(&keys(&authors[..1]));
    station.import(&[
        profile(
            &authors[0],
            r#"{"name":"Alice","nip05":"alice@example.com"}"#,
        ),
        profile(&authors[1], r#"{"name":"Bob"}"#),
    ]);
    let before = members::files_below(&station.root().join("strfry"));
    let hex: Vec<String> = authors
        .iter()
        .map(|author| author.pubkey().to_hex())
        .collect();

    let followed = sync(&station, &["profiles"]);
    followed
        .expect_code(0)
        .expect_stdout("Alice")
        .expect_stdout("alice@example.com");
    assert_eq!(followed.stdout.lines().count(), 2);

    let npub = authors[1].pubkey().to_bech32();
    let named = sync(
        &station,
        &["profiles", &npub, &hex[2], &hex[1], "--format", "table"],
    );
    let lines: Vec<&str> = named.expect_code(0).stdout.lines().collect();
    assert!(lines[1].starts_with(&format!("{}...  Bob", &hex[1][..8])));
    assert_eq!(lines[2], format!("{}...  NO PROFILE FOUND", &hex[2][..8]));
    assert_eq!(lines.len(), 3);

    let csv = sync(&station, &["profiles", &hex[1], "--format", "csv"]);
    let lines: Vec<&str> = csv.expect_code(0).stdout.lines().collect();
    assert!(lines.len() == 2 && lines[1].starts_with(&format!("{},Bob,,", hex[1])));

    let zen = station.root().to_str().unwrap().to_owned();
    let json = station
        .command(members::SYNC)
        .args([
            "profiles", "--format", "json", "--zen", &zen, &hex[0], &hex[1],
        ])
        .env("HOME", "/nonexistent")
        .output();
    let json: Value = serde_json::from_str(&json.expect_code(0).stdout).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 2);

    sync(&station, &["profiles", "nobody"]).expect_code(2);
    let after = members::files_below(&station.root().join("strfry"));
    assert_eq!(before, after);
}

#[test]
fn thousands_of_pubkeys_take_as_few_scans_as_arguments_allow() {
    let station = station!();
    let authors = Author::many(4000);
    station.friends(&keys(&authors));
    let events: Vec<_> = authors
        .iter()
        .step_by(100)
        .map(|author| profile(author, r#"{"name":"somebody"}"#))
        .collect();
    station.import(&events);
    // Counts how often it is called.
    let real = station.strfry();
    let counting = format!(
        "#!/bin/sh\nfor word; do case $word in scan) echo x >> scans;; esac; done\nexec {} \"$@\"\n",
        real.display()
    );
    station.write("counting", counting);
    let path = station.root().join("counting");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&path, mode).unwrap();
    let output = sync(
        &station,
        &[
            "profiles",
            "--format",
            "csv",
            "--strfry",
            path.to_str().unwrap(),
        ],
    );
    assert_eq!(output.expect_code(0).stdout.lines().count(), 41);
    assert_eq!(station.read("strfry/scans"), "x\nx\nx\n");
}
