//! A station on which nothing is wrong, and what the doctor finds there.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use constellation_tests::author::{notes, now};
use constellation_tests::command::{Output, wait_until};
use constellation_tests::station::PEER_IDS;
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};
use serde_json::{Value, json};

/// What is said of the machine that runs the tests, not of the station on it.
const OF_THE_MACHINE: [&str; 4] = ["disk_low", "disk_full", "disk_read_only", "inodes_low"];

/// A station on which nothing is wrong, and what it lives among.
pub(crate) struct Sound {
    pub(crate) station: StationDir,
    pub(crate) own_relay: ScriptedRelay,
    pub(crate) peers: Vec<ScriptedRelay>,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(&'static str, String)>,
    /// A strfry that runs there, as far as `/proc` shows it.
    serving: Option<Serving>,
}

struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        // The plugin sees the end of its input, and the shell its plugin's.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// What runs that somebody starts every hour leave.
fn hourly_runs() -> Value {
    let run = |ago: u64| {
        json!({
            "started_at": now() - ago - 3, "finished_at": now() - ago, "outcome": "complete",
            "exit_code": 0, "success": true, "failure": null, "synced": 3, "peers": 3,
            "events": 0, "added": 0, "bytes": 0, "seconds": 3.0,
        })
    };
    json!({
        "version": 1, "last_success_at": now() - 60, "failures_in_a_row": 0,
        "told": {"failure_at": null, "is_open": false, "last": null},
        "totals": {"succeeded": 2, "failed": 0, "interrupted": 0, "events": 0, "added": 0,
                   "bytes": 0, "refused": {}},
        "runs": [run(60), run(3660)], "hours": [],
    })
}

impl Sound {
    pub(crate) fn new() -> Self {
        let station = station!();
        let authors = Author::many(3);
        let own_relay = ScriptedRelay::start(&[], like_strfry(&station));
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
        station.write("strfry/constellation-runs.json", hourly_runs().to_string());
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
        let mut sound = Self {
            station,
            own_relay,
            peers: peers.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            serving: None,
        };
        sound.clock_says("NTPSynchronized=yes");
        sound.conf(|conf| conf);
        sound
    }

    /// How the relay of this station's strfry behaves.
    pub(crate) fn own_behaviour(&self) -> Behaviour {
        like_strfry(&self.station)
    }

    /// Makes `timedatectl` print this.
    pub(crate) fn clock_says(&mut self, words: &str) {
        let bin = self.path("../tools");
        let script = format!("#!/bin/sh\necho '{words}'\n");
        self.station.write("../tools/timedatectl", script);
        set_mode(&bin.join("timedatectl"), 0o755);
        let path = std::env::var("PATH").unwrap_or_default();
        self.environment = vec![("PATH", format!("{}:{path}", bin.display()))];
    }

    /// Writes the conf anew, changed.
    pub(crate) fn conf(&self, change: impl FnOnce(String) -> String) {
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

    pub(crate) fn replace(&self, from: &str, to: &str) {
        self.conf(|conf| {
            assert!(conf.contains(from), "{from}");
            conf.replace(from, to)
        });
    }

    /// A process like strfry's relay in its folder, with this program at work as its plugin.
    pub(crate) fn serve(&mut self, plugin: &Path) {
        let mut child = Command::new("sh")
            .arg0("strfry")
            .args(["-c", "$PLUGIN; :", "relay"])
            .env("PLUGIN", plugin)
            .current_dir(self.station.strfry_dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id();
        let children = format!("/proc/{pid}/task/{pid}/children");
        let plugin = plugin.display().to_string();
        wait_until("the plugin at work", || {
            assert!(child.try_wait().unwrap().is_none(), "it ended");
            let child = fs::read_to_string(&children).unwrap_or_default();
            let arguments = fs::read(format!("/proc/{}/cmdline", child.trim()));
            arguments.is_ok_and(|arguments| arguments.starts_with(plugin.as_bytes()))
        });
        self.serving = Some(Serving(child));
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.station.root().join(path)
    }

    pub(crate) fn doctor(&self, arguments: &[&str]) -> Output {
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

    /// All findings of the levels `warn` and `fail`: code, level, and the commands, line by line.
    pub(crate) fn found(&self) -> Vec<(String, String, String)> {
        let mut findings = self.findings();
        findings.retain(|(_, level, _)| level != "unknown");
        findings
    }

    /// All findings but the sound ones: code, level, and the commands, line by line.
    pub(crate) fn findings(&self) -> Vec<(String, String, String)> {
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
            let commands = finding["commands"].as_array().unwrap().iter();
            let commands: Vec<String> = commands.map(text).collect();
            for command in &commands {
                expect_command(command);
            }
            assert!(
                !commands.is_empty() || !text(&finding["explanation"]).is_empty(),
                "{finding}"
            );
            (
                text(&finding["code"]),
                text(&finding["level"]),
                commands.join("\n"),
            )
        })
        .collect()
    }
}

/// How a relay behaves that is of the same version as the station's strfry.
fn like_strfry(station: &StationDir) -> Behaviour {
    let version = station.run_strfry(["--version"]).stdout;
    Behaviour {
        version: version.trim().replace("strfry ", ""),
        ..Behaviour::default()
    }
}

/// The programs that remedies start.
const PROGRAMS: [&str; 25] = [
    "bash",
    "cd",
    "chmod",
    "constellation-sync",
    "df",
    "export",
    "getent",
    "grep",
    "ipfs",
    "journalctl",
    "kill",
    "mkdir",
    "mv",
    "nano",
    "ping",
    "rm",
    "sed",
    "sudo",
    "timedatectl",
    "top",
    "touch",
    "systemctl",
    "lsblk",
    "ls",
    "mount",
];

/// What is offered as a command can be pasted: a shell understands it, it starts a program that there
/// is, and nothing in it is to be filled in.
#[track_caller]
pub(crate) fn expect_command(command: &str) {
    let shell = Command::new("sh")
        .args(["-n", "-c", command])
        .output()
        .unwrap();
    assert!(shell.status.success(), "{command}: {shell:?}");
    let first = command.split(' ').next().unwrap();
    let is_path = first.starts_with('/') || first.starts_with('\'');
    assert!(is_path || PROGRAMS.contains(&first), "{command}");
    let is_blank = |word: &str| {
        let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        [
            "DIR", "FILE", "FOLDER", "OWNER", "PATH", "URL", "USER", "AUTHOR", "KEY",
        ]
        .contains(&word)
    };
    assert!(!command.split([' ', '=']).any(is_blank), "{command}");
    assert!(
        !command.contains('…') && !command.contains("..."),
        "{command}"
    );
    assert!(
        !command.contains(": ") && !command.contains("; or"),
        "prose: {command}"
    );
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn tunnelled(sound: &mut Sound) {
    let station = &sound.station;
    station.tunnelled_peer(PEER_IDS[0], &sound.own_relay.url());
    let ipfs = station.program("ipfs");
    sound.arguments = vec!["--ipfs".to_owned(), ipfs.display().to_string()];
}
