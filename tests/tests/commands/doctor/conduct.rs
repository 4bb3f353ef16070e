//! How the doctor conducts itself: it finds nothing where nothing is, and changes nothing.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use constellation_tests::Behaviour;
use constellation_tests::command::TestCommand;
use constellation_tests::relay::Nip11;

use super::sound::{Sound, tunnelled};

#[test]
fn a_sound_station_has_none() {
    let mut sound = Sound::new();
    assert_eq!(sound.found(), []);
    let output = sound.doctor(&[]);
    output.expect_code(0).expect_stdout("✔ the station is at ");
    assert!(!output.stdout.contains('✘'), "{output}");
    assert!(!output.stdout.contains('\u{1b}'), "{output}");
    output
        .expect_stdout("no strfry of this station is running")
        .expect_stdout("2 runs in the last two days");
    let policy = sound.station.program("constellation-policy");
    sound.serve(&policy);
    assert_eq!(sound.found(), []);
    let output = sound.doctor(&[]);
    output.expect_stdout(") uses the policy (process ");
    tunnelled(&mut sound);
    assert_eq!(sound.found(), []);
    assert_eq!(sound.station.tunnels().len(), 0);
}

#[test]
fn nothing_is_changed() {
    let sound = Sound::new();
    let everything = || {
        let mut files: Vec<(PathBuf, Vec<u8>)> = Vec::new();
        let mut folders = vec![sound.station.home()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                // strfry's own lock is touched by every scan.
                if path.ends_with("lock.mdb") {
                    continue;
                }
                match fs::symlink_metadata(&path).unwrap().is_dir() {
                    true => folders.push(path),
                    false => files.push((path.clone(), fs::read(path).unwrap_or_default())),
                }
            }
        }
        files.sort();
        files
    };
    let before = everything();
    sound.doctor(&[]).expect_code(0);
    assert_eq!(everything(), before);
}

#[test]
fn peers_that_hang_do_not_keep_it() {
    let sound = Sound::new();
    for peer in &sound.peers {
        peer.behave(Behaviour {
            hang_handshake: true,
            ..Behaviour::default()
        });
    }
    let begin = Instant::now();
    let found = sound.found();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, "no_peer_reached");
    // Ten seconds for the peers; the rest is for a machine at work on other things.
    assert!(begin.elapsed().as_secs() < 30, "{:?}", begin.elapsed());
}

#[test]
fn what_could_not_be_checked_is_said_and_is_no_fault() {
    let mut sound = Sound::new();
    let output = sound.doctor(&[]);
    output
        .expect_code(0)
        .expect_stdout("? no strfry of this station is running")
        .expect_stdout(" [serving_unknown]\n    sudo systemctl restart strfry\n")
        .expect_stdout("All that was checked is well. ");
    assert!(!output.stdout.contains("All is well"), "{output}");
    tunnelled(&mut sound);
    let output = sound
        .station
        .command("constellation-sync")
        .args(["doctor", "--ipfs", &sound.arguments[1]])
        .output();
    output.expect_code(0).expect_stdout(
        " is behind a tunnel, and was not asked [peer_not_asked]\n    constellation-sync doctor --tunnels\n",
    );
    for peer in &sound.peers {
        peer.behave(Behaviour {
            date: Some("once upon a time".to_owned()),
            ..Behaviour::default()
        });
    }
    let codes: Vec<String> = sound.findings().into_iter().map(|found| found.0).collect();
    assert!(codes.contains(&"clock_unknown".to_owned()), "{codes:?}");
    sound.own_relay.behave(Behaviour {
        refuse: Some("blocked: not now".to_owned()),
        ..sound.own_behaviour()
    });
    let codes: Vec<String> = sound.findings().into_iter().map(|found| found.0).collect();
    assert!(codes.contains(&"dms_unknown".to_owned()), "{codes:?}");
}

#[test]
fn a_new_station_that_has_met_nobody_is_told_so_and_has_no_fault() {
    let sound = Sound::new();
    for file in ["constellation-runs.json", "last_constellation_sync"] {
        fs::remove_file(sound.path("strfry").join(file)).unwrap();
    }
    fs::remove_dir_all(sound.path("tmp/swarm")).unwrap();
    let found = sound.found();
    let codes: Vec<&str> = found.iter().map(|found| &found.0[..]).collect();
    assert!(codes.contains(&"no_peers_yet"), "{codes:?}");
    assert!(found.iter().all(|found| found.1 == "warn"), "{found:?}");
}

#[test]
fn the_code_stands_beside_each_finding_and_commands_stand_alone() {
    let sound = Sound::new();
    sound.conf(|conf| conf + "relay {\n");
    let output = sound.doctor(&[]);
    let conf = sound.path("strfry/strfry.conf");
    let lines: Vec<&str> = output.stdout.lines().collect();
    let fault = lines
        .iter()
        .position(|line| line.starts_with("✘ "))
        .unwrap();
    assert!(lines[fault].ends_with(" [conf_faulty]"), "{output}");
    let command = lines[fault + 1].strip_prefix("    ").unwrap();
    assert!(command.starts_with("nano +"), "{output}");
    assert!(command.ends_with(&conf.display().to_string()), "{output}");
    output.expect_stdout("TROUBLESHOOTING.md");
}

#[test]
fn a_copy_of_the_database_is_seen_and_the_recipe_makes_one() {
    let sound = Sound::new();
    let codes = |sound: &Sound| -> Vec<String> {
        let findings = sound.findings().into_iter();
        findings.map(|(code, ..)| code).collect()
    };
    let found = sound.findings();
    let backup = found.iter().find(|found| found.0 == "backup_unknown");
    let (_, level, command) = backup.unwrap();
    assert_eq!(level, "unknown");
    if !sound.station.stands_in() {
        let shell = TestCommand::new("sh", &sound.station.home()).env("HOME", sound.station.home());
        shell.args(["-c", command]).output().expect_code(0);
        assert!(!codes(&sound).contains(&"backup_unknown".to_owned()));
    }
    sound
        .station
        .write("backups/strfry-2026-11-01.jsonl.gz", "x");
    assert!(!codes(&sound).contains(&"backup_unknown".to_owned()));
    let output = sound.doctor(&[]);
    output.expect_stdout(".jsonl.gz is a copy of the database, made ");
}

#[test]
fn a_clock_that_nothing_keeps_in_time_and_a_strfry_that_was_replaced_are_named() {
    let mut sound = Sound::new();
    sound.clock_says("NTPSynchronized=no");
    let found = sound.found();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, "clock_not_synchronised");
    assert_eq!(found[0].2, "sudo timedatectl set-ntp true");
    sound.clock_says("what?");
    let codes: Vec<String> = sound.findings().into_iter().map(|found| found.0).collect();
    assert!(
        codes.contains(&"clock_sync_unknown".to_owned()),
        "{codes:?}"
    );
    sound.own_relay.behave(Behaviour {
        nip11: Nip11::Body(r#"{"software":"strfry","version":"1.0.4","negentropy":1}"#.to_owned()),
        ..sound.own_behaviour()
    });
    let codes: Vec<String> = sound.found().into_iter().map(|found| found.0).collect();
    assert_eq!(codes, ["strfry_outdated", "strfry_old"]);
    sound.own_relay.behave(Behaviour {
        nip11: Nip11::Body(r#"{"software":"strfry","negentropy":1}"#.to_owned()),
        ..sound.own_behaviour()
    });
    let codes: Vec<String> = sound.findings().into_iter().map(|found| found.0).collect();
    assert!(
        codes.contains(&"strfry_version_unknown".to_owned()),
        "{codes:?}"
    );
}
