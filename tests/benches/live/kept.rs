//! A station that a program keeps level with its peers: ours, or `strfry router`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use constellation_shared::{Event, EventId, Pubkey, kinds};
use constellation_tests::author::{Author, now};
use constellation_tests::real_relay::RealRelay;

use super::client::{Client, Reader};

/// What is waited for at most before anything is measured.
const PATIENCE: Duration = Duration::from_secs(180);

/// What keeps a station level.
#[derive(Clone, Copy)]
pub(crate) enum Keeper<'a> {
    /// `constellation-sync live`, at this path.
    Ours(&'a Path),
    /// `strfry router`.
    Router,
}

/// The station, its own relay, and the program.
pub(crate) struct Kept<'a> {
    keeper: Keeper<'a>,
    child: Child,
    pub(crate) relay: RealRelay,
    pub(crate) reader: Reader,
}

impl<'a> Kept<'a> {
    /// A station without events that follows these authors and has these peers.
    pub(crate) fn start(keeper: Keeper<'a>, keys: &[Pubkey], urls: &[String]) -> Self {
        let relay = RealRelay::start(env!("CARGO_BIN_EXE_demo"), "", &[]);
        let station = relay.station();
        station.friends(keys);
        for (number, url) in urls.iter().enumerate() {
            station.peer(&format!("12D3KooPeer{number}"), url);
        }
        if matches!(keeper, Keeper::Router) {
            station.write("strfry/router.conf", router_conf(keys, urls));
        }
        Self {
            child: spawn(keeper, &relay),
            reader: Reader::start(relay.port()),
            keeper,
            relay,
        }
    }

    /// The process that keeps it level.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9` of that process, and a new one, as systemd would start it.
    pub(crate) fn replace_keeper(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(self.keeper, &self.relay);
    }

    /// How many of these its strfry does not hold.
    pub(crate) fn missing(&self, ids: &BTreeSet<EventId>) -> usize {
        let stored = self.relay.station().stored_ids();
        ids.difference(&stored).count()
    }

    /// What ours wrote into its log.
    pub(crate) fn log(&self) -> String {
        self.relay.station().read("strfry/constellation-live.log")
    }
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(keeper: Keeper<'_>, relay: &RealRelay) -> Child {
    let station = relay.station();
    let mut command = match keeper {
        Keeper::Ours(program) => {
            let mut command = Command::new(program);
            command.args(["live", "--no-fallback", "--allow-private-peers"]);
            command
        }
        Keeper::Router => {
            let mut command = Command::new(station.strfry());
            command.args(["router", "router.conf"]);
            command
        }
    };
    command
        .env("CONSTELLATION_NO_PROFILES", "true")
        .env("HOME", station.home())
        .current_dir(station.strfry_dir())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn router_conf(keys: &[Pubkey], urls: &[String]) -> String {
    let authors: Vec<String> = keys.iter().map(ToString::to_string).collect();
    let filter = serde_json::json!({"authors": authors, "kinds": kinds::Set::Seed.numbers()});
    let urls = serde_json::json!(urls);
    format!(
        "streams {{\n    peers {{\n        dir = \"down\"\n        filter = {filter}\n        urls = {urls}\n    }}\n}}\n"
    )
}

/// Relays without events.
pub(crate) fn peers(count: usize) -> Vec<RealRelay> {
    (0..count)
        .map(|_| RealRelay::start(env!("CARGO_BIN_EXE_demo"), "", &[]))
        .collect()
}

/// An event that nobody published before.
pub(crate) fn fresh(author: &Author) -> Event {
    let number = fastrand::u64(..);
    author.note(now(), &format!("what is new is that it is {number:x}"))
}

/// Waits until each of these stations follows each of the peers: until it has an event that was given
/// to that one.
pub(crate) fn wait_until_followed(kept: &[&Kept<'_>], peers: &[RealRelay], author: &Author) {
    let began = Instant::now();
    for peer in peers {
        let mut probes = Vec::new();
        let mut given_at = None;
        let is_here = |kept: &&Kept<'_>, probes: &[EventId]| {
            probes.iter().any(|id| kept.reader.seen_at(*id).is_some())
        };
        while !kept.iter().all(|kept| is_here(kept, &probes)) {
            assert!(began.elapsed() < PATIENCE, "a peer is not followed");
            if given_at.is_none_or(|at: Instant| at.elapsed() > Duration::from_secs(4)) {
                let event = fresh(author);
                let client = Client::connect(peer.port());
                client.unwrap().publish(&event).unwrap();
                probes.push(event.id);
                given_at = Some(Instant::now());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}
