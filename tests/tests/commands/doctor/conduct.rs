//! How the doctor conducts itself: it finds nothing where nothing is, and changes nothing.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use constellation_tests::Behaviour;

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
