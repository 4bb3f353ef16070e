//! [`StationDir`]: a temporary home with a `~/.zen` in it.

mod builder;
mod tunnels;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use constellation_shared::{Event, EventId, Pubkey, Station};
use tempfile::TempDir;

pub use builder::StationBuilder;
pub use tunnels::PEER_IDS;

use crate::command::{Output, TestCommand};

/// A station in a temporary folder, which is gone when this is dropped.
pub struct StationDir {
    station: Station,
    demo: PathBuf,
    programs: PathBuf,
    stands_in: bool,
    temporary: TempDir,
}

impl StationDir {
    /// An empty station with a strfry: the one that the variable `STRFRY` names, else the
    /// stand-in. `demo` is the path of the program `demo`; [`macro@crate::station`] knows it.
    pub fn new(demo: impl AsRef<Path>) -> Self {
        Self::builder(demo).build()
    }

    /// The same, for changes.
    pub fn builder(demo: impl AsRef<Path>) -> StationBuilder {
        StationBuilder::new(demo.as_ref())
    }

    /// The paths as the programs know them.
    pub fn paths(&self) -> &Station {
        &self.station
    }

    /// The root, `<home>/.zen`.
    pub fn root(&self) -> &Path {
        self.station.root()
    }

    /// The captain's home.
    pub fn home(&self) -> PathBuf {
        self.temporary.path().join("home")
    }

    /// strfry's folder.
    pub fn strfry_dir(&self) -> PathBuf {
        self.station.strfry_dir()
    }

    /// strfry's path in it, whether it is there or not.
    pub fn strfry(&self) -> PathBuf {
        self.strfry_dir().join("strfry")
    }

    /// Whether its strfry is the stand-in, which obeys the variables of [`crate::stand_in`].
    pub fn stands_in(&self) -> bool {
        self.stands_in
    }

    /// Writes a file below the root, folders included.
    pub fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Reads a text below the root; empty where there is no such file.
    pub fn read(&self, path: impl AsRef<Path>) -> String {
        match fs::read(self.root().join(path.as_ref())) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => panic!("{}: {error}", path.as_ref().display()),
        }
    }

    /// Another station of the swarm, with its relay and without a name.
    pub fn peer(&self, id: &str, url: &str) {
        let json = serde_json::json!({"ipfsnodeid": id, "myRELAY": url});
        self.peer_description(id, json.to_string());
    }

    /// Another station's `12345.json`, whatever it holds.
    pub fn peer_description(&self, id: &str, content: impl AsRef<[u8]>) {
        self.write(
            format!("tmp/swarm/{id}/{}", Station::SWARM_DESCRIPTION),
            content,
        );
    }

    /// Another station's friends of friends.
    pub fn peer_friends(&self, id: &str, keys: &[Pubkey]) {
        self.write(
            format!("tmp/swarm/{id}/{}", Station::SWARM_FRIENDS),
            lines(keys),
        );
    }

    /// This station's friends of friends.
    pub fn friends(&self, keys: &[Pubkey]) {
        self.write("strfry/amisOfAmis.txt", lines(keys));
    }

    /// The keys that may not write.
    pub fn blacklist(&self, keys: &[Pubkey]) {
        self.write("strfry/blacklist.txt", lines(keys));
    }

    /// A local member.
    pub fn member(&self, email: &str, key: Pubkey) {
        self.write(
            format!("game/nostr/{email}/{}", Station::HEX),
            lines(&[key]),
        );
    }

    /// A geographic key in a folder below `flashmem/`.
    pub fn geographic_key(&self, folder: &str, key: Pubkey) {
        self.write(format!("flashmem/{folder}/{}", Station::HEX), lines(&[key]));
    }

    /// This station's own IPFS node, as kubo's configuration has it.
    pub fn own_node(&self, id: &str) {
        let json = serde_json::json!({"Identity": {"PeerID": id}});
        self.write("../.ipfs/config", json.to_string());
    }

    /// A program of this name: a link to `demo`.
    pub fn program(&self, name: &str) -> PathBuf {
        let path = self.programs.join(name);
        match symlink(&self.demo, &path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                panic!("{}: {error}", path.display())
            }
            _ => path,
        }
    }

    /// One of our programs, with this station's home as HOME, run there.
    pub fn command(&self, name: &str) -> TestCommand {
        TestCommand::new(self.program(name), &self.home()).env("HOME", self.home())
    }

    /// Runs one of our programs to its end.
    pub fn run(&self, name: &str, args: &[&str]) -> Output {
        self.command(name).args(args).output()
    }

    /// The station's strfry, run in its folder.
    pub fn strfry_command(&self) -> TestCommand {
        TestCommand::new(self.strfry(), &self.strfry_dir())
    }

    /// Runs the station's strfry to its end.
    pub fn run_strfry(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
        self.strfry_command().args(args).output()
    }

    /// Imports events as they are, forged ones too.
    ///
    /// # Panics
    /// Where strfry fails.
    pub fn import(&self, events: &[Event]) {
        let command = self.strfry_command().args(["import", "--no-verify"]);
        let lines: String = events.iter().map(|event| event.to_json() + "\n").collect();
        command.stdin(lines).output().expect_code(0);
    }

    /// What `strfry scan` finds, in its order.
    ///
    /// # Panics
    /// Where strfry fails, or finds what is no event by NIP-01.
    pub fn scan(&self, filter: &str) -> Vec<Event> {
        let output = self.run_strfry(["scan", filter]);
        output.expect_code(0);
        let parse = |line: &str| {
            Event::parse(line.as_bytes()).unwrap_or_else(|error| panic!("{error}: {line}"))
        };
        output.stdout.lines().map(parse).collect()
    }

    /// Everything in its strfry, newest first.
    ///
    /// # Panics
    /// As [`StationDir::scan`].
    pub fn stored(&self) -> Vec<Event> {
        self.scan("{}")
    }

    /// The ids of everything in its strfry.
    pub fn stored_ids(&self) -> BTreeSet<EventId> {
        self.stored().iter().map(|event| event.id).collect()
    }
}

/// The ids of these events, for comparison with [`StationDir::stored_ids`].
pub fn ids<'a>(events: impl IntoIterator<Item = &'a Event>) -> BTreeSet<EventId> {
    events.into_iter().map(|event| event.id).collect()
}

fn lines(keys: &[Pubkey]) -> String {
    keys.iter().map(|key| format!("{key}\n")).collect()
}
