//! Faults around the station: peers, the clock, IPFS, who calls, earlier runs.

use std::fs;

use constellation_tests::Behaviour;
use constellation_tests::author::now;
use constellation_tests::relay::{Nip11, Nip77, dead_url};

use super::faults::Remedy::{Command, ForPeople};
use super::faults::{Fault, fault};
use super::sound::{Sound, set_mode, tunnelled};

fn first_peer(sound: &Sound, behaviour: Behaviour) {
    sound.peers[0].behave(behaviour);
}

pub(crate) const AROUND: &[Fault] = &[
    fault("own_node_unknown", "warn", ForPeople, |sound| {
        fs::remove_file(sound.station.home().join(".ipfs/config")).unwrap();
    }),
    fault("peer_passed_over", "warn", ForPeople, |sound| {
        sound.station.peer_description("12D3KooHalf", "{\"myREL");
    }),
    fault("peer_passed_over", "warn", ForPeople, |sound| {
        sound.station.peer("12D3KooHidden", "ws://127.0.0.1:7777");
    }),
    fault("kinds_left_out", "warn", ForPeople, |sound| {
        let script = "backfill_constellation.sh";
        let ours = sound.station.read(format!("workspace/NIP-101/{script}"));
        let theirs = r#""kinds": [0, 1, 3, 4, 5, 6, 7, 8, 21, 22, 30850], "#;
        let kept = "strfry/constellation-install";
        sound
            .station
            .write(format!("{kept}/scripts/{script}"), ours);
        sound
            .station
            .write(format!("{kept}/before/{script}"), theirs);
        let change = format!(r#"{{"change":"script","name":"{script}","before":"kept"}}"#);
        let record = format!(r#"{{"version":1,"changes":[{change}]}}"#);
        sound
            .station
            .write("strfry/constellation-install.json", record);
    }),
    fault("no_peers", "fail", ForPeople, |sound| {
        fs::remove_dir_all(sound.path("tmp/swarm")).unwrap();
    }),
    fault("no_peer_reached", "fail", ForPeople, |sound| {
        for number in 0..3 {
            sound
                .station
                .peer(&format!("12D3KooPeer{number}"), &dead_url());
        }
    }),
    fault("peer_unreachable", "warn", ForPeople, |sound| {
        sound.station.peer("12D3KooDead", &dead_url());
    }),
    fault("peer_refuses", "warn", ForPeople, |sound| {
        let refuse = Some("blocked: not for you".to_owned());
        first_peer(
            sound,
            Behaviour {
                refuse,
                ..Behaviour::default()
            },
        );
    }),
    fault("peer_without_nip11", "warn", ForPeople, |sound| {
        first_peer(
            sound,
            Behaviour {
                nip11: Nip11::Absent,
                ..Behaviour::default()
            },
        );
    }),
    fault("peer_without_nip77", "warn", ForPeople, |sound| {
        first_peer(
            sound,
            Behaviour {
                nip77: Nip77::Absent,
                ..Behaviour::default()
            },
        );
    }),
    fault("peer_low_limits", "warn", ForPeople, |sound| {
        first_peer(
            sound,
            Behaviour {
                max_limit: 99,
                ..Behaviour::default()
            },
        );
    }),
    fault("peers_keep_dms", "warn", ForPeople, |sound| {
        first_peer(
            sound,
            Behaviour {
                restrict_dms: true,
                ..Behaviour::default()
            },
        );
    }),
    fault("clock_wrong", "fail", ForPeople, |sound| {
        for peer in &sound.peers {
            let date = Some("Sun, 06 Nov 1994 08:49:37 GMT".to_owned());
            peer.behave(Behaviour {
                date,
                ..Behaviour::default()
            });
        }
    }),
    fault("ipfs_missing", "fail", ForPeople, |sound| {
        tunnelled(sound);
        sound.arguments[1] = "/nowhere/ipfs".to_owned();
    }),
    fault("ipfs_daemon", "fail", ForPeople, |sound| {
        tunnelled(sound);
        sound
            .environment
            .push(("STANDIN_IPFS_EXIT", "1".to_owned()));
        sound
            .environment
            .push(("STANDIN_IPFS_ONLY", "ls".to_owned()));
    }),
    fault("nobody_calls", "fail", ForPeople, |sound| {
        fs::remove_dir_all(sound.path("workspace")).unwrap();
    }),
    fault("nobody_seen_calling", "warn", ForPeople, |sound| {
        fs::remove_file(sound.path("strfry/constellation-runs.json")).unwrap();
    }),
    fault("script_not_executable", "fail", Command, |sound| {
        set_mode(
            &sound.path("workspace/NIP-101/backfill_constellation.sh"),
            0o644,
        );
    }),
    fault("program_not_found", "fail", ForPeople, |sound| {
        fs::remove_dir_all(sound.station.home().join(".cargo")).unwrap();
    }),
    fault("never_synced", "warn", ForPeople, |sound| {
        fs::remove_file(sound.path("strfry/last_constellation_sync")).unwrap();
    }),
    fault("last_success_old", "fail", ForPeople, |sound| {
        let then = (now() - 27 * 3600).to_string();
        sound.station.write("strfry/last_constellation_sync", then);
    }),
    fault("last_success_unreadable", "warn", ForPeople, |sound| {
        sound
            .station
            .write("strfry/last_constellation_sync", "yesterday");
    }),
    fault("last_success_ahead", "warn", ForPeople, |sound| {
        let then = (now() + 400 * 86_400).to_string();
        sound.station.write("strfry/last_constellation_sync", then);
    }),
    fault("in_vain", "warn", ForPeople, |sound| {
        let attempts = format!(r#"{{"version":1,"in_vain":3,"last":{}}}"#, now() - 60);
        sound
            .station
            .write("strfry/constellation-trigger.json", attempts);
    }),
    fault("stale_pid_file", "fail", Command, |sound| {
        let pid = std::process::id().to_string();
        sound
            .station
            .write("strfry/constellation-backfill.lock", pid);
    }),
];
