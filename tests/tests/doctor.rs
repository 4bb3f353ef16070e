//! The doctor finds each fault that is planted into a sound station, and on a sound one
//! nothing.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what fails here is a failed test"
)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::thread;
use std::time::{Instant, SystemTime};

use constellation_tests::author::notes;
use constellation_tests::command::{Output, TestCommand};
use constellation_tests::relay::{Nip11, Nip77, dead_url};
use constellation_tests::station::PEER_IDS;
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};
use serde_json::Value;

/// What is said of the machine that runs the tests, not of the station on it.
const OF_THE_MACHINE: [&str; 2] = ["disk_low", "disk_full"];

/// A station on which nothing is wrong, and what it lives among.
struct Sound {
    station: StationDir,
    own_relay: ScriptedRelay,
    peers: Vec<ScriptedRelay>,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_secs()
}

impl Sound {
    fn new() -> Self {
        let station = station!();
        let authors = Author::many(3);
        let own_relay = ScriptedRelay::start(&[], Behaviour::default());
        let peers = [0, 1, 2].map(|number| {
            let relay = ScriptedRelay::start(&[], Behaviour::default());
            station.peer(&format!("12D3KooPeer{number}"), &relay.url());
            relay
        });
        station.own_node("12D3KooSelf");
        station.member("alice@example.com", authors[0].pubkey());
        station.friends(&[authors[1].pubkey()]);
        station.blacklist(&[authors[2].pubkey()]);
        station.import(&notes(&authors, &[1], 3, now() - 100, 100));
        station.write("strfry/last_constellation_sync", now().to_string());
        for script in ["backfill_constellation.sh", "constellation_sync_trigger.sh"] {
            let path = format!("workspace/NIP-101/{script}");
            let here = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../sidecar");
            station.write(&path, fs::read(here.join(script)).unwrap());
            set_mode(&station.root().join(path), 0o755);
        }
        let bin = station.home().join(".cargo/bin");
        fs::create_dir_all(&bin).unwrap();
        let program = station.program("constellation-sync");
        symlink(program, bin.join("constellation-sync")).unwrap();
        let sound = Self {
            station,
            own_relay,
            peers: peers.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
        };
        sound.conf(|conf| conf);
        sound
    }

    /// Writes the conf anew, changed.
    fn conf(&self, change: impl FnOnce(String) -> String) {
        let url = self.own_relay.url();
        let port = url.rsplit(':').next().unwrap();
        let policy = self.station.program("constellation-policy");
        let conf = format!(
            "db = \"./strfry-db/\"\n\ndbParams {{\n    mapsize = 10995116277760\n}}\n\n\
             events {{\n    maxEventSize = 65536\n}}\n\n\
             relay {{\n    bind = \"127.0.0.1\"\n    port = {port}\n    nofiles = 0 # none\n    \
             maxWebsocketPayloadSize = 131072\n\n    writePolicy {{\n        plugin = \"{}\"\n    }}\n}}\n",
            policy.display()
        );
        self.station.write("strfry/strfry.conf", change(conf));
    }

    fn replace(&self, from: &str, to: &str) {
        self.conf(|conf| {
            assert!(conf.contains(from), "{from}");
            conf.replace(from, to)
        });
    }

    fn path(&self, path: &str) -> PathBuf {
        self.station.root().join(path)
    }

    fn doctor(&self, arguments: &[&str]) -> Output {
        let mut command = self.station.command("constellation-sync");
        for (name, value) in &self.environment {
            command = command.env(name, value);
        }
        command
            .args(["doctor", "--tunnels"])
            .args(&self.arguments)
            .args(arguments)
            .output()
    }

    /// All findings but the sound ones: code, level and remedy.
    fn found(&self) -> Vec<(String, String, String)> {
        let output = self.doctor(&["--json"]);
        let json: Value = serde_json::from_str(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}\n{output}"));
        assert_eq!(json["schema"], 1);
        let findings = json["findings"].as_array().unwrap();
        let must_mend = findings.iter().any(|finding| finding["level"] == "fail");
        output.expect_code(i32::from(must_mend));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let bad = findings.iter().filter(|finding| {
            let code = finding["code"].as_str().unwrap();
            finding["level"] != "ok" && !OF_THE_MACHINE.contains(&code)
        });
        bad.map(|finding| {
            assert!(!text(&finding["text"]).is_empty());
            (
                text(&finding["code"]),
                text(&finding["level"]),
                text(&finding["remedy"]),
            )
        })
        .collect()
    }
}

fn set_mode(path: &std::path::Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Whether the remedy is a command that leaves a sound station when it is run.
#[derive(Clone, Copy, PartialEq)]
enum Remedy {
    Command,
    /// The command behind these words.
    Behind(&'static str),
    ForPeople,
}
use Remedy::{Behind, Command, ForPeople};

struct Fault {
    code: &'static str,
    level: &'static str,
    remedy: Remedy,
    plant: fn(&mut Sound),
}

const fn fault(
    code: &'static str,
    level: &'static str,
    remedy: Remedy,
    plant: fn(&mut Sound),
) -> Fault {
    Fault {
        code,
        level,
        remedy,
        plant,
    }
}

fn first_peer(sound: &Sound, behaviour: Behaviour) {
    sound.peers[0].behave(behaviour);
}

fn tunnelled(sound: &mut Sound) {
    let station = &sound.station;
    station.tunnelled_peer(PEER_IDS[0], &sound.own_relay.url());
    let ipfs = station.program("ipfs");
    sound.arguments = vec!["--ipfs".to_owned(), ipfs.display().to_string()];
}

const FAULTS: &[Fault] = &[
    fault("root_missing", "fail", ForPeople, |sound| {
        let nowhere = sound.path("nowhere").display().to_string();
        sound.arguments = vec!["--zen".to_owned(), nowhere];
    }),
    fault("strfry_folder_missing", "fail", ForPeople, |sound| {
        fs::remove_dir_all(sound.path("strfry")).unwrap();
    }),
    fault("strfry_missing", "fail", ForPeople, |sound| {
        fs::remove_file(sound.path("strfry/strfry")).unwrap();
    }),
    fault("strfry_broken", "fail", ForPeople, |sound| {
        fs::remove_file(sound.path("strfry/strfry")).unwrap();
        sound.station.write("strfry/strfry", "#!/bin/sh\nexit 3\n");
        set_mode(&sound.path("strfry/strfry"), 0o755);
    }),
    fault("strfry_refuses", "fail", ForPeople, |sound| {
        match sound.station.stands_in() {
            true => sound.environment.push(("STANDIN_EXIT", "1".to_owned())),
            false => sound
                .station
                .write("strfry/strfry-db/data.mdb", "x".repeat(9000)),
        }
    }),
    fault("conf_missing", "fail", ForPeople, |sound| {
        fs::remove_file(sound.path("strfry/strfry.conf")).unwrap();
    }),
    fault("conf_faulty", "fail", ForPeople, |sound| {
        sound.conf(|conf| conf + "relay {\n");
    }),
    fault("conf_unreadable", "fail", ForPeople, |sound| {
        fs::remove_file(sound.path("strfry/strfry.conf")).unwrap();
        fs::create_dir(sound.path("strfry/strfry.conf")).unwrap();
    }),
    fault("nofiles", "fail", Command, |sound| {
        sound.replace("nofiles = 0", "nofiles = 9000000000000000000");
    }),
    fault("event_size", "warn", Command, |sound| {
        sound.replace("maxEventSize = 65536", "maxEventSize = 65535");
    }),
    fault("payload_size", "warn", Command, |sound| {
        sound.replace("PayloadSize = 131072", "PayloadSize = 65535");
    }),
    fault("map_full", "fail", ForPeople, |sound| {
        sound.replace("mapsize = 10995116277760", "mapsize = 1");
    }),
    fault("db_missing", "fail", Command, |sound| {
        fs::remove_dir_all(sound.path("strfry/strfry-db")).unwrap();
    }),
    fault("db_not_writable", "fail", ForPeople, |sound| {
        let data = sound.path("strfry/strfry-db/data.mdb");
        match rustix::process::geteuid().is_root() {
            true => std::os::unix::fs::chown(data, Some(65_534), None).unwrap(),
            false => set_mode(&data, 0o444),
        }
    }),
    fault("own_file_not_writable", "fail", Command, |sound| {
        fs::create_dir(sound.path("strfry/constellation-backfill.log")).unwrap();
    }),
    fault("list_unreadable", "fail", Command, |sound| {
        fs::remove_file(sound.path("strfry/blacklist.txt")).unwrap();
        fs::create_dir(sound.path("strfry/blacklist.txt")).unwrap();
    }),
    fault("list_faulty", "warn", Behind("is no key: "), |sound| {
        let list = sound.station.read("strfry/amisOfAmis.txt");
        let faulty = format!("# known\n\n[2026-01-01] [INFO] Connected\n{list}0123456789abcdef\n");
        sound.station.write("strfry/amisOfAmis.txt", faulty);
    }),
    fault("list_faulty", "warn", ForPeople, |sound| {
        sound
            .station
            .write("game/nostr/bob@example.com/HEX", "bob\n");
    }),
    fault("nobody_followed", "warn", ForPeople, |sound| {
        sound.station.friends(&[]);
        fs::remove_dir_all(sound.path("game/nostr")).unwrap();
    }),
    fault("plugin_unset", "fail", ForPeople, |sound| {
        sound.conf(|conf| conf.replace("plugin = \"", "plugin = \"\" # \""));
    }),
    fault("plugin_other", "warn", ForPeople, |sound| {
        sound.conf(|conf| conf.replace("plugin = \"", "plugin = \"/bin/cat "));
    }),
    fault("plugin_not_startable", "fail", ForPeople, |sound| {
        sound.conf(|conf| conf.replace("plugin = \"", "plugin = \"/not"));
    }),
    fault("plugin_no_answer", "fail", ForPeople, |sound| {
        let script = sound.path("strfry/plugin.sh");
        sound.station.write(
            "strfry/plugin.sh",
            "#!/bin/sh\n# constellation-policy\nexec cat\n",
        );
        set_mode(&script, 0o755);
        let plugin = format!("plugin = \"{} ", script.display());
        sound.conf(|conf| conf.replace("plugin = \"", &plugin));
    }),
    fault("relay_down", "fail", ForPeople, |sound| {
        let (url, dead) = (sound.own_relay.url(), dead_url());
        let port = |url: &str| format!("port = {}", url.rsplit(':').next().unwrap());
        sound.replace(&port(&url), &port(&dead));
    }),
    fault("relay_not_strfry", "fail", ForPeople, |sound| {
        sound.own_relay.behave(Behaviour {
            nip11: Nip11::Body(r#"{"software":"https://github.com/rnostr/rnostr"}"#.to_owned()),
            ..Behaviour::default()
        });
    }),
    fault("relay_not_strfry", "fail", ForPeople, |sound| {
        sound.own_relay.behave(Behaviour {
            nip11: Nip11::Absent,
            ..Behaviour::default()
        });
    }),
    fault("dms_kept", "warn", ForPeople, |sound| {
        sound.own_relay.behave(Behaviour {
            restrict_dms: true,
            ..Behaviour::default()
        });
    }),
    fault("own_node_unknown", "warn", ForPeople, |sound| {
        fs::remove_file(sound.station.home().join(".ipfs/config")).unwrap();
    }),
    fault("peer_passed_over", "warn", ForPeople, |sound| {
        sound.station.peer_description("12D3KooHalf", "{\"myREL");
    }),
    fault("peer_passed_over", "warn", ForPeople, |sound| {
        sound.station.peer("12D3KooHidden", "ws://127.0.0.1:7777");
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

fn find(fault: &Fault) {
    let mut sound = Sound::new();
    (fault.plant)(&mut sound);
    let found = sound.found();
    let [(code, level, remedy)] = &found[..] else {
        panic!("{} was planted, and this found: {found:?}", fault.code);
    };
    assert_eq!((&code[..], &level[..]), (fault.code, fault.level));
    let command = match fault.remedy {
        ForPeople => return,
        Command => remedy,
        Behind(words) => remedy.split_once(words).unwrap().1,
    };
    // strfry watches the file that it read, not what takes its place.
    let conf = sound.station.strfry_dir().join("strfry.conf");
    let inode = || fs::metadata(&conf).map(|conf| std::os::unix::fs::MetadataExt::ino(&conf));
    let before = inode().ok();
    let shell = TestCommand::new("sh", &sound.station.home()).args(["-c", command]);
    shell.output().expect_code(0);
    assert!(before.is_none() || inode().ok() == before, "{command}");
    assert_eq!(sound.found(), [], "after {command}");
}

#[test]
fn each_planted_fault_is_found_alone_and_its_command_mends_it() {
    assert!(FAULTS.len() >= 20);
    let next = std::sync::atomic::AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    let Some(fault) = FAULTS.get(index) else {
                        return;
                    };
                    find(fault);
                }
            });
        }
    });
}

#[test]
fn a_sound_station_has_none() {
    let mut sound = Sound::new();
    assert_eq!(sound.found(), []);
    let output = sound.doctor(&[]);
    output.expect_code(0).expect_stdout("✔ the station is at ");
    assert!(!output.stdout.contains('✘'), "{output}");
    assert!(!output.stdout.contains('\u{1b}'), "{output}");
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
