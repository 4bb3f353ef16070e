//! Stations in a LAN: they announce the address of an IPFS gateway, which is the same for all of them
//! and no relay, and are reached by their own tunnels.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use constellation_shared::Event;
use constellation_tests::station::{PEER_IDS, ids};
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir};
use serde_json::Value;

use crate::case::{backfill, expect_nothing_left, notes_of, peer, station_of_one};

const ERROR_LOG: &str = "strfry/constellation-backfill.error.log";

/// A web server that is no relay, its URL, and how many requests it got.
fn gateway() -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&requests);
    // It ends with the test's process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            counter.fetch_add(1, Ordering::SeqCst);
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\nConnection: close\r\n\r\nIPFS",
            );
        }
    });
    (url, requests)
}

/// Other stations behind tunnels that announce this address, each with a relay of its own.
fn stations(
    station: &StationDir,
    author: &Author,
    count: u64,
    announced: &str,
) -> (Vec<ScriptedRelay>, Vec<Event>) {
    let mut events = Vec::new();
    let relays = (0..count).zip(PEER_IDS).map(|(number, id)| {
        let notes = notes_of(author, number, 30);
        let relay = ScriptedRelay::start(&notes, Behaviour::default());
        station.tunnelled_peer(id, &relay.url());
        station.peer(id, announced);
        events.extend(notes);
        relay
    });
    (relays.collect(), events)
}

#[test]
fn stations_that_announce_one_gateway_are_each_asked_through_their_own_tunnel() {
    let (station, author) = station_of_one();
    let (url, requests) = gateway();
    let (_relays, events) = stations(&station, &author, 3, &url);
    let output = backfill(&station).output();
    output.expect_code(0);
    assert_eq!(station.stored_ids(), ids(&events));
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(report["peers"].as_array().unwrap().len(), 3, "{report}");
    for id in &PEER_IDS[..3] {
        assert_eq!(peer(&report, &format!("/x/strfry-{id}"))["complete"], true);
    }
    assert_eq!(station.read(ERROR_LOG), "", "the gateway is no failure");
    assert!(
        requests.load(Ordering::SeqCst) <= 3,
        "it is not tried again"
    );
    expect_nothing_left(&station);
}

#[test]
fn a_single_station_whose_address_is_no_relay_is_asked_through_its_tunnel() {
    let (station, author) = station_of_one();
    let (url, _) = gateway();
    let (_relays, events) = stations(&station, &author, 1, &url);
    let output = backfill(&station).arg("--verbose").output();
    output
        .expect_code(0)
        .expect_stderr("is no relay: its station is asked through its own tunnel, /x/strfry-");
    assert_eq!(station.stored_ids(), ids(&events));
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(report["peers"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!(station.read(ERROR_LOG), "");
    // It is remembered by the name of its node, as ever.
    assert!(
        station
            .read("strfry/constellation-peers.json")
            .contains(PEER_IDS[0])
    );
    expect_nothing_left(&station);
}

#[test]
fn a_relay_whose_address_another_station_copies_is_still_asked_there() {
    let (station, author) = station_of_one();
    let genuine = notes_of(&author, 0, 30);
    let relay = ScriptedRelay::start(&genuine, Behaviour::default());
    // Its tunnel leads nowhere, and neither does that of the station that copies its address.
    for id in &PEER_IDS[..2] {
        station.peer_behind_tunnel(id, id);
        station.peer(id, &relay.url());
    }
    let output = backfill(&station).output();
    output.expect_code(1);
    assert_eq!(station.stored_ids(), ids(&genuine), "{output}");
}

#[test]
fn a_gateway_without_any_tunnel_is_a_peer_that_failed() {
    let (station, _) = station_of_one();
    let (url, _) = gateway();
    station.peer(PEER_IDS[0], &url);
    station.peer(PEER_IDS[1], &url);
    let output = backfill(&station).output();
    output.expect_code(1);
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(peer(&report, &url)["code"], "no_websocket");
}
