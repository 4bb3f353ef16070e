//! Tunnels that work.

use std::time::{Duration, Instant};

use constellation_tests::command::wait_until;
use constellation_tests::station::{PEER_IDS, ids};
use constellation_tests::{Behaviour, ScriptedRelay};
use serde_json::Value;

use crate::case::{
    backfill, calls, expect_nothing_left, notes_of, peer, port_9999, station_of_one,
    with_tunnelled_peer,
};

/// Between a quick thing and a slow one, on a machine that has much else to do.
const SLACK: Duration = Duration::from_secs(2);

#[test]
fn two_peers_behind_tunnels_and_one_in_the_open_serve_at_once() {
    let (station, author) = station_of_one();
    let slow = || Behaviour {
        deliver_delay: Duration::from_millis(5),
        ..Behaviour::default()
    };
    let mut events = Vec::new();
    let relays: Vec<ScriptedRelay> = (0..3)
        .map(|number| {
            let notes = notes_of(&author, number, 100);
            let relay = ScriptedRelay::start(&notes, slow());
            events.extend(notes);
            relay
        })
        .collect();
    station.tunnelled_peer(PEER_IDS[0], &relays[0].url());
    station.tunnelled_peer(PEER_IDS[1], &relays[1].url());
    station.peer("open", &relays[2].url());

    let output = backfill(&station).arg("--verbose").output();
    output.expect_code(0);
    output.expect_stderr("SYNC_PEERS: success=3 total=3");
    assert_eq!(station.stored_ids(), ids(&events));
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    for id in &PEER_IDS[..2] {
        let name = format!("/x/strfry-{id}");
        assert_eq!(peer(&report, &name)["collected"], 100, "{output}");
        output.expect_stderr(&format!("Collected 100 events from {name}"));
    }
    let commands: Vec<String> = station
        .ipfs()
        .calls()
        .iter()
        .map(|call| call.arguments.split(' ').nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(commands, ["forward", "forward", "close", "close"]);
    expect_nothing_left(&station);
}

#[test]
fn a_daemon_in_a_container_is_addressed_as_the_option_says() {
    let (station, _relay, events) = with_tunnelled_peer(Behaviour::default());
    backfill(&station)
        .env("CONSTELLATION_IPFS_API", "/ip4/127.0.0.1/tcp/5001")
        .output()
        .expect_code(0);
    assert_eq!(station.stored_ids(), ids(&events));
    assert_eq!(station.ipfs().api(), "--api=/ip4/127.0.0.1/tcp/5001");
    expect_nothing_left(&station);
    let wrong = backfill(&station)
        .args(["--ipfs-api", "localhost:5001"])
        .output();
    wrong
        .expect_code(2)
        .expect_stderr("not an address as IPFS writes it");
}

#[test]
fn the_own_node_is_that_of_the_repository_that_ipfs_path_names() {
    let (station, _relay, _) = with_tunnelled_peer(Behaviour::default());
    let elsewhere = station.home().join("nextcloud-data/ipfs");
    std::fs::create_dir_all(&elsewhere).unwrap();
    let config = format!("{{\"Identity\":{{\"PeerID\":\"{}\"}}}}", PEER_IDS[0]);
    std::fs::write(elsewhere.join("config"), config).unwrap();
    let run = backfill(&station).env("IPFS_PATH", &elsewhere).output();
    run.expect_code(3)
        .expect_stderr("No constellation peers found");
    assert!(station.ipfs().calls().is_empty());
}

#[test]
fn the_commands_are_those_of_the_constellation() {
    let (station, _relay, events) = with_tunnelled_peer(Behaviour::default());
    // By its name on PATH, as on a station.
    let folder = station.program("ipfs").parent().unwrap().to_owned();
    let output = station
        .command("constellation-sync")
        .args(["--days", "0"])
        .env("PATH", folder)
        .output();
    output.expect_code(0);
    assert_eq!(station.stored_ids(), ids(&events));
    let (forward, close) = (calls(&station, "forward"), calls(&station, "close"));
    let port: u16 = close[0].rsplit('/').next().unwrap().parse().unwrap();
    let address = format!("/ip4/127.0.0.1/tcp/{port}");
    let id = PEER_IDS[0];
    assert_eq!(
        forward,
        [format!("p2p forward /x/strfry-{id} {address} /p2p/{id}")]
    );
    assert_eq!(close, [format!("p2p close --listen-address {address}")]);
    expect_nothing_left(&station);
}

#[test]
fn port_9999_comes_first_and_another_where_it_is_busy() {
    let busy = port_9999();
    let (station, _relay, events) = with_tunnelled_peer(Behaviour::default());
    backfill(&station).output().expect_code(0);
    assert_eq!(station.stored_ids(), ids(&events));
    let forward = calls(&station, "forward").remove(0);
    assert!(!forward.contains("/tcp/9999 "), "{forward}");
    drop(busy);
    // Other tests want it too: one of ours gets it sooner or later.
    wait_until("a tunnel on port 9999", || {
        backfill(&station).output().expect_code(0);
        let forward = calls(&station, "forward").pop().unwrap();
        forward.contains("/tcp/9999 ")
    });
    expect_nothing_left(&station);
}

#[test]
fn a_tunnel_adds_no_fixed_wait() {
    let (station, relay, events) = with_tunnelled_peer(Behaviour::default());
    let started = Instant::now();
    let direct = station
        .command("constellation-sync")
        .args(["--days", "0", "--peer", &relay.url()])
        .output();
    direct.expect_code(0);
    let direct = started.elapsed();
    assert_eq!(station.stored_ids(), ids(&events));
    let started = Instant::now();
    backfill(&station).output().expect_code(0);
    let tunnelled = started.elapsed();
    println!("direct {direct:?}, through a tunnel {tunnelled:?}");
    assert!(
        tunnelled < direct + SLACK,
        "direct {direct:?}, through a tunnel {tunnelled:?}"
    );
    expect_nothing_left(&station);
}

#[test]
fn a_port_that_answers_late_is_waited_for_and_no_longer() {
    let _busy = port_9999();
    let (station, _relay, events) = with_tunnelled_peer(Behaviour::default());
    let started = Instant::now();
    let late = Duration::from_millis(700);
    let output = backfill(&station)
        .env("STANDIN_IPFS_LATE", late.as_millis().to_string())
        .output();
    let elapsed = started.elapsed();
    output.expect_code(0);
    assert_eq!(station.stored_ids(), ids(&events));
    assert_eq!(calls(&station, "forward").len(), 1);
    assert!(elapsed >= late && elapsed < late + SLACK, "{elapsed:?}");
    expect_nothing_left(&station);
}

#[test]
fn folders_with_one_node_are_one_peer() {
    let (station, _relay, events) = with_tunnelled_peer(Behaviour::default());
    for folder in ["copy", "another"] {
        station.peer_behind_tunnel(folder, PEER_IDS[0]);
    }
    let output = backfill(&station).arg("--verbose").output();
    output
        .expect_code(0)
        .expect_stderr("SYNC_PEERS: success=1 total=1");
    assert_eq!(station.stored_ids(), ids(&events));
    assert_eq!(calls(&station, "forward").len(), 1);
    expect_nothing_left(&station);
}

#[test]
fn the_own_node_is_no_peer() {
    let (station, _relay, _) = with_tunnelled_peer(Behaviour::default());
    station.own_node(PEER_IDS[0]);
    let output = backfill(&station).output();
    output
        .expect_code(3)
        .expect_stderr("No constellation peers found");
    assert!(station.ipfs().calls().is_empty());
}

#[test]
fn a_dry_run_shows_tunnels_and_opens_none() {
    let (station, relay, _) = with_tunnelled_peer(Behaviour::default());
    let output = backfill(&station).arg("--dry-run").output();
    let id = PEER_IDS[0];
    output
        .expect_code(0)
        .expect_stdout("DRY RUN MODE")
        .expect_stdout(&format!("Would ask /x/strfry-{id}\n"))
        .expect_stdout(&format!(
            "ipfs p2p forward /x/strfry-{id} /ip4/127.0.0.1/tcp/PORT /p2p/{id}\n"
        ));
    assert!(station.ipfs().calls().is_empty());
    assert_eq!(relay.connections(), 0);
}
