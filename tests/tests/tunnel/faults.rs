//! An ipfs that is missing, fails, hangs or lies: that peer failed, the rest go on.

use std::time::Duration;

use constellation_shared::Event;
use constellation_tests::command::wait_until;
use constellation_tests::station::{PEER_IDS, ids};
use constellation_tests::{Behaviour, ScriptedRelay, StationDir};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::case::{
    STATE, backfill, calls, expect_nothing_left, notes_of, peer, port_9999, station_of_one,
    with_tunnelled_peer,
};

struct Case {
    station: StationDir,
    _relays: Vec<ScriptedRelay>,
    /// What each of the relays holds: two behind tunnels, one in the open.
    events: Vec<Vec<Event>>,
}

fn three_peers() -> Case {
    let (station, author) = station_of_one();
    let events: Vec<_> = (0..3).map(|peer| notes_of(&author, peer, 20)).collect();
    let relays: Vec<_> = events
        .iter()
        .map(|events| ScriptedRelay::start(events, Behaviour::default()))
        .collect();
    station.tunnelled_peer(PEER_IDS[0], &relays[0].url());
    station.tunnelled_peer(PEER_IDS[1], &relays[1].url());
    station.peer("open", &relays[2].url());
    Case {
        station,
        _relays: relays,
        events,
    }
}

#[test]
fn without_ipfs_peers_in_the_open_are_synced() {
    let Case {
        station,
        events,
        _relays,
    } = three_peers();
    let output = station
        .command("constellation-sync")
        .args(["--days", "0", "--verbose"])
        .env("CONSTELLATION_IPFS", "/nonexistent/ipfs")
        .output();
    output
        .expect_code(1)
        .expect_stderr(&format!(
            "WebSocket backfill failed after 1 attempt: /x/strfry-{}",
            PEER_IDS[0]
        ))
        .expect_stderr("/nonexistent/ipfs could not be started; install IPFS")
        .expect_stderr("SYNC_PEERS: success=1 total=3");
    assert_eq!(station.stored_ids(), ids(&events[2]));
    expect_nothing_left(&station);
}

#[test]
fn an_ipfs_that_fails_is_tried_three_times_and_the_rest_go_on() {
    let Case {
        station,
        events,
        _relays,
    } = three_peers();
    let output = backfill(&station)
        .env("STANDIN_IPFS_EXIT", "1")
        .env("STANDIN_IPFS_PEER", PEER_IDS[0])
        .output();
    output
        .expect_code(1)
        .expect_stderr("ipfs p2p forward ended with exit status: 1")
        .expect_stderr("Try running 'ipfs daemon' first");
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    for (id, complete) in [(PEER_IDS[0], false), (PEER_IDS[1], true)] {
        let name = format!("/x/strfry-{id}");
        assert_eq!(peer(&report, &name)["complete"], complete, "{output}");
    }
    assert_eq!(station.stored_ids(), ids(events[1..].iter().flatten()));
    let tries: Vec<Duration> = station
        .ipfs()
        .calls()
        .iter()
        .filter(|call| {
            call.arguments.starts_with("p2p forward") && call.arguments.ends_with(PEER_IDS[0])
        })
        .map(|call| call.at)
        .collect();
    let waits: Vec<u64> = tries
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).as_secs())
        .collect();
    assert_eq!(waits, [5, 10]);
    expect_nothing_left(&station);
}

#[test]
fn an_ipfs_that_hangs_is_killed_and_tried_again() {
    let (station, _relay, events) = with_tunnelled_peer(Behaviour::default());
    let output = backfill(&station)
        .args(["--patience", "1"])
        .env("STANDIN_IPFS_HANG", "1")
        .env("STANDIN_IPFS_TIMES", "1")
        .output();
    output
        .expect_code(0)
        .expect_stderr("ipfs p2p forward did not end within 1s");
    assert_eq!(station.stored_ids(), ids(&events));
    assert_eq!(calls(&station, "forward").len(), 2);
    expect_nothing_left(&station);
}

#[test]
fn a_tunnel_that_does_not_answer_is_closed_and_tried_again() {
    let _busy = port_9999();
    let (station, _relay, events) = with_tunnelled_peer(Behaviour::default());
    let output = backfill(&station)
        .args(["--patience", "1"])
        .env("STANDIN_IPFS_DEAF", "1")
        .env("STANDIN_IPFS_TIMES", "1")
        .output();
    output
        .expect_code(0)
        .expect_stderr("did not answer within 1s");
    assert_eq!(station.stored_ids(), ids(&events));
    assert_eq!(calls(&station, "forward").len(), 2);
    assert_eq!(calls(&station, "close").len(), 2);
    expect_nothing_left(&station);
}

#[test]
fn a_tunnel_with_nobody_at_its_other_end_is_a_failed_peer() {
    let (station, author) = station_of_one();
    let events = notes_of(&author, 0, 20);
    let relay = ScriptedRelay::start(&events, Behaviour::default());
    station.peer("open", &relay.url());
    // Known, but no service of it.
    station.peer_behind_tunnel(PEER_IDS[0], PEER_IDS[0]);
    let output = backfill(&station).output();
    let failed = format!(
        "failed after 3 attempts: /x/strfry-{}: no WebSocket",
        PEER_IDS[0]
    );
    output.expect_code(1).expect_stderr(&failed);
    assert_eq!(station.stored_ids(), ids(&events));
    expect_nothing_left(&station);
}

#[test]
fn a_tunnel_that_breaks_is_opened_anew() {
    let (station, relay, events) = with_tunnelled_peer(Behaviour {
        hang_after_events: Some(10),
        ..Behaviour::default()
    });
    let running = backfill(&station).args(["--patience", "2"]).spawn();
    wait_until("some events", || relay.events_sent() >= 10);
    relay.behave(Behaviour::default());
    // As if the daemon had lost it.
    let pid = Pid::from_raw(station.tunnels()[0].pid).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    let output = running.wait();
    output.expect_code(0).expect_stderr("no longer answers");
    assert_eq!(station.stored_ids(), ids(&events));
    assert_eq!(calls(&station, "forward").len(), 2);
    expect_nothing_left(&station);
}

#[test]
fn a_tunnel_that_cannot_be_closed_is_left_to_the_next_run() {
    let (station, _relay, events) = with_tunnelled_peer(Behaviour::default());
    let output = backfill(&station)
        .env("STANDIN_IPFS_EXIT", "1")
        .env("STANDIN_IPFS_ONLY", "close")
        .output();
    output.expect_code(0).expect_stderr("may still be open");
    assert_eq!(station.stored_ids(), ids(&events));
    assert_eq!(station.tunnels().len(), 1);
    assert!(station.read(STATE).contains(PEER_IDS[0]));
    backfill(&station).output().expect_code(0);
    expect_nothing_left(&station);
}
