//! What the tests of tunnels share.

use std::net::{Ipv4Addr, TcpListener};

use constellation_shared::Event;
use constellation_tests::author::notes;
use constellation_tests::command::{TestCommand, wait_until};
use constellation_tests::station::PEER_IDS;
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};
use serde_json::Value;

pub(crate) const NOW: u64 = 1_760_000_000;

pub(crate) const STATE: &str = "strfry/constellation-tunnels.json";

/// A station that follows one author, and that author.
pub(crate) fn station_of_one() -> (StationDir, Author) {
    let (station, author) = (station!(), Author::new(1));
    station.member("alice@example.com", author.pubkey());
    (station, author)
}

/// Text notes of this author that no other peer has.
pub(crate) fn notes_of(author: &Author, peer: u64, count: usize) -> Vec<Event> {
    notes(
        std::slice::from_ref(author),
        &[1],
        count,
        NOW - peer * 100_000,
        50_000,
    )
}

/// A station with a peer behind a tunnel, that peer's relay, and what it holds.
pub(crate) fn with_tunnelled_peer(behaviour: Behaviour) -> (StationDir, ScriptedRelay, Vec<Event>) {
    let (station, author) = station_of_one();
    let events = notes_of(&author, 0, 50);
    let relay = ScriptedRelay::start(&events, behaviour);
    station.tunnelled_peer(PEER_IDS[0], &relay.url());
    (station, relay, events)
}

/// Port 9999, held so that no tunnel gets it. Other tests want it too.
pub(crate) fn port_9999() -> TcpListener {
    let mut held = None;
    wait_until("port 9999 to be free", || {
        held = TcpListener::bind((Ipv4Addr::LOCALHOST, 9999)).ok();
        held.is_some()
    });
    held.unwrap()
}

/// A backfill of all time with the stand-in ipfs.
pub(crate) fn backfill(station: &StationDir) -> TestCommand {
    station
        .command("constellation-sync")
        .args(["--days", "0", "--json", "--ipfs"])
        .arg(station.program("ipfs"))
}

/// What the report says of the peer with this name.
pub(crate) fn peer<'a>(report: &'a Value, name: &str) -> &'a Value {
    let peers = report["peers"].as_array().unwrap();
    let found = peers.iter().find(|peer| peer["url"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {report}"))
}

/// The arguments of the calls of `ipfs p2p` with this subcommand.
pub(crate) fn calls(station: &StationDir, command: &str) -> Vec<String> {
    let begin = format!("p2p {command}");
    let calls = station.ipfs().calls().into_iter();
    let arguments = calls.map(|call| call.arguments);
    arguments.filter(|call| call.starts_with(&begin)).collect()
}

/// Nothing of a run is left: no tunnel, no record of one, no process, no lock.
#[track_caller]
pub(crate) fn expect_nothing_left(station: &StationDir) {
    assert_eq!(station.tunnels(), []);
    assert_eq!(station.read(STATE), "");
    let is_listener = |process: &String| process.contains("stand-in-listen");
    let mut left = station.processes();
    left.retain(|process| !is_listener(process));
    assert_eq!(left, Vec::<String>::new());
    // One whose command was killed while it started it ends when it sees that nobody knows
    // of it.
    wait_until("the listeners to end", || station.processes().is_empty());
    assert_eq!(station.read("strfry/constellation-backfill.lock"), "");
    assert!(!station.foreign_script_ran());
}
