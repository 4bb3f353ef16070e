//! What the tests of the install share: a station with the scripts that `_12345.sh` calls.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use constellation_tests::command::{Output, TestCommand};
use constellation_tests::{StationDir, station, station_plugin};

pub(crate) const BACKFILL: &str = "backfill_constellation.sh";
pub(crate) const TRIGGER: &str = "constellation_sync_trigger.sh";
pub(crate) const PLUGIN: &str = "relay.writePolicy.plugin/all_but_blacklist.sh";

/// What our own scripts hold.
pub(crate) fn ours(name: &str) -> String {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sidecar");
    fs::read_to_string(sources.join(name)).unwrap()
}

/// A station, and the repository that it pulls from.
pub(crate) struct Case {
    pub(crate) station: StationDir,
    pub(crate) upstream: PathBuf,
    pub(crate) workspace: PathBuf,
}

impl Case {
    /// A station with a clone of the scripts' repository, and strfry's plugin in it.
    pub(crate) fn new() -> Self {
        let case = Self::plain();
        case.publish(&[
            (BACKFILL, Some(&case.large("backfill"))),
            (PLUGIN, Some(station_plugin::OLD)),
            ("other.sh", Some("other\n")),
        ]);
        fs::remove_dir_all(&case.workspace).unwrap();
        let upstream = case.upstream.to_str().unwrap();
        let workspace = case.workspace.to_str().unwrap();
        case.git(case.station.root(), &["clone", "-q", upstream, workspace]);
        case
    }

    /// A station with the scripts in a folder that git knows nothing of.
    pub(crate) fn plain() -> Self {
        let station = station!();
        station.program("constellation-policy");
        let case = Self {
            upstream: station.home().join("upstream"),
            workspace: station.root().join("workspace/NIP-101"),
            station,
        };
        fs::create_dir_all(&case.upstream).unwrap();
        case.git(&case.upstream, &["init", "-q", "-b", "main"]);
        case.write_script(BACKFILL, "theirs\n");
        case.write_script(PLUGIN, station_plugin::OLD);
        case.plugin_line(&format!("\"{}\"", case.workspace.join(PLUGIN).display()));
        case
    }

    /// More than a pipe holds: a filter that does not read must not stop git.
    pub(crate) fn large(&self, what: &str) -> String {
        format!("#!/bin/bash\n# {what}\n{}", "# and so on\n".repeat(20_000))
    }

    pub(crate) fn write_script(&self, name: &str, content: &str) {
        let path = self.workspace.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// strfry.conf with this value behind `plugin =`.
    pub(crate) fn plugin_line(&self, value: &str) {
        let conf = format!(
            "db = \"./strfry-db/\"\n# plugin = \"no\"\nrelay {{\n    nofiles = 0\n    writePolicy \
             {{\n\t# the plugin\n\tplugin = {value} # here\n        timeoutSeconds = 10\n    }}\n}}\n"
        );
        self.station.write("strfry/strfry.conf", conf);
    }

    /// git as a captain has it, whatever this machine's settings are.
    pub(crate) fn git(&self, folder: &Path, arguments: &[&str]) -> String {
        let output = self.git_command(folder).args(arguments).output();
        output.expect_code(0);
        output.stdout
    }

    pub(crate) fn git_command(&self, folder: &Path) -> TestCommand {
        let who = ["-c", "user.name=test", "-c", "user.email=test@example.com"];
        TestCommand::new("git", folder)
            .env("HOME", self.station.home())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .args(who)
    }

    /// A commit of the scripts' makers; no content is no file.
    pub(crate) fn publish(&self, files: &[(&str, Option<&str>)]) {
        for (name, content) in files {
            let path = self.upstream.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match content {
                Some(content) => {
                    fs::write(&path, content).unwrap();
                    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
                }
                None => fs::remove_file(&path).unwrap(),
            }
        }
        self.git(&self.upstream, &["add", "-A"]);
        self.git(&self.upstream, &["commit", "-q", "-m", "a change"]);
    }

    /// What the station does every day.
    pub(crate) fn pull(&self) {
        self.git(&self.workspace, &["pull", "-q"]);
        self.expect_clean();
        let head = |folder: &Path| self.git(folder, &["rev-parse", "HEAD"]);
        assert_eq!(head(&self.workspace), head(&self.upstream));
    }

    pub(crate) fn expect_clean(&self) {
        assert_eq!(self.git(&self.workspace, &["status", "--porcelain"]), "");
    }

    pub(crate) fn script(&self, name: &str) -> String {
        fs::read_to_string(self.workspace.join(name)).unwrap_or_default()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> TestCommand {
        self.station.command("constellation-sync").args(arguments)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output()
    }

    /// Our programs are in force: the scripts are ours, and so is strfry's plugin.
    pub(crate) fn expect_in_force(&self) {
        assert_eq!(self.script(BACKFILL), ours(BACKFILL));
        assert_eq!(self.script(TRIGGER), ours(TRIGGER));
        for name in [BACKFILL, TRIGGER, PLUGIN] {
            let mode = fs::metadata(self.workspace.join(name)).unwrap().mode();
            assert_eq!(mode & 0o111, 0o111, "{name}");
        }
        self.expect_policy(&self.workspace.join(PLUGIN).display().to_string());
    }

    /// strfry starts this, and the policy answers.
    pub(crate) fn expect_policy(&self, command: &str) {
        let blocked = "2".repeat(64);
        self.station
            .write("strfry/blacklist.txt", blocked.clone() + "\n");
        let request = format!(r#"{{"type":"new","event":{{"id":"x","pubkey":"{blocked}"}}}}"#);
        // As strfry starts it, with a HOME that is not the station's.
        let output = TestCommand::new("/bin/sh", &self.station.strfry_dir())
            .env("HOME", "/nonexistent")
            .args(["-c", command])
            .stdin(request + "\n")
            .output();
        output
            .expect_code(0)
            .expect_stdout("blocked: pubkey is blacklisted");
        fs::remove_file(self.station.paths().blacklist()).unwrap();
    }

    /// Every file, folder and link of the station with content and mode, but git's own
    /// records of when it last looked.
    pub(crate) fn snapshot(&self) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
        let mut all = BTreeMap::new();
        walk(self.station.root(), &mut all);
        all
    }
}

fn walk(folder: &Path, all: &mut BTreeMap<PathBuf, (u32, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        let content = match () {
            () if metadata.is_dir() => Vec::new(),
            () if metadata.is_symlink() => fs::read_link(&path)
                .unwrap()
                .into_os_string()
                .into_encoded_bytes(),
            () if path.ends_with(".git/index") => Vec::new(),
            () => fs::read(&path).unwrap(),
        };
        if metadata.is_dir() {
            walk(&path, all);
        }
        all.insert(path, (metadata.mode(), content));
    }
}

/// The numbered lines, which say what is done.
pub(crate) fn steps(output: &Output) -> Vec<String> {
    let lines = output.stdout.lines();
    let is_step = |line: &&str| {
        line.split_once(". ")
            .is_some_and(|(n, _)| n.parse::<u32>().is_ok())
    };
    lines.filter(is_step).map(str::to_owned).collect()
}

/// Whether these programs are there, for tests that need more than git.
pub(crate) fn has(program: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .output();
    found.is_ok_and(|output| output.status.success())
}
