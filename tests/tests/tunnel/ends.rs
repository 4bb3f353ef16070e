//! However a run ends, its tunnels do too; at the latest when the next one starts.

use constellation_tests::Behaviour;
use constellation_tests::command::{Running, wait_until};
use constellation_tests::station::{PEER_IDS, ids};
use rustix::process::Signal;

use crate::case::{STATE, backfill, calls, expect_nothing_left, port_9999, with_tunnelled_peer};

fn hanging() -> Behaviour {
    Behaviour {
        hang_after_events: Some(10),
        ..Behaviour::default()
    }
}

#[test]
fn a_signal_in_the_middle_leaves_nothing() {
    for signal in [Signal::TERM, Signal::INT] {
        let (station, relay, events) = with_tunnelled_peer(hanging());
        let mut running = backfill(&station).spawn();
        wait_until("some events", || relay.events_sent() >= 10);
        assert_eq!(station.tunnels().len(), 1);
        assert!(station.read(STATE).contains(PEER_IDS[0]));
        running.signal(signal);
        running.wait().expect_code(130);
        assert!(station.stored_ids().is_subset(&ids(&events)));
        expect_nothing_left(&station);
    }
}

#[test]
fn a_signal_while_ipfs_is_at_work_leaves_nothing() {
    for (hook, value) in [("STANDIN_IPFS_HANG", "1"), ("STANDIN_IPFS_DEAF", "1")] {
        let _busy = port_9999();
        let (station, _relay, _) = with_tunnelled_peer(Behaviour::default());
        let mut running: Running = backfill(&station)
            .env(hook, value)
            .env("STANDIN_IPFS_ONLY", "forward")
            .spawn();
        wait_until("ipfs to be called", || !station.ipfs().calls().is_empty());
        running.signal(Signal::TERM);
        running.wait().expect_code(130);
        expect_nothing_left(&station);
    }
}

#[test]
fn a_killed_run_s_tunnels_are_swept_by_the_next_and_nobody_else_s() {
    let (station, relay, events) = with_tunnelled_peer(hanging());
    let foreign = {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        format!("/ip4/127.0.0.1/tcp/{port}")
    };
    let target = format!("/p2p/{}", PEER_IDS[1]);
    station
        .run("ipfs", &["p2p", "forward", "/x/ssh", &foreign, &target])
        .expect_code(0);

    let mut running = backfill(&station).spawn();
    wait_until("some events", || relay.events_sent() >= 10);
    running.signal(Signal::KILL);
    running.wait().expect_signal(9);
    assert_eq!(station.tunnels().len(), 2);
    let state = station.read(STATE);
    assert!(state.contains(PEER_IDS[0]), "{state}");
    let ours = station.tunnels().into_iter();
    let ours = ours
        .map(|tunnel| tunnel.listen)
        .find(|listen| *listen != foreign);
    let ours = ours.unwrap();

    relay.behave(Behaviour::default());
    let before = station.ipfs().calls().len();
    let output = backfill(&station).arg("--verbose").output();
    output
        .expect_code(0)
        .expect_stderr("was left by an earlier run: it is closed");
    assert_eq!(station.stored_ids(), ids(&events));
    let after: Vec<String> = station.ipfs().calls()[before..]
        .iter()
        .map(|call| call.arguments.clone())
        .collect();
    let close = format!("p2p close --listen-address {ours}");
    assert_eq!(after[..2], ["p2p ls".to_owned(), close]);
    let left = station.tunnels();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].listen, foreign);
    station.ipfs().end(&left[0]);
    expect_nothing_left(&station);
}

#[test]
fn a_port_that_is_another_s_by_now_is_left_alone() {
    let (station, _relay, _) = with_tunnelled_peer(Behaviour::default());
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let listen = format!("/ip4/127.0.0.1/tcp/{port}");
    let id = PEER_IDS[1];
    let target = format!("/p2p/{id}");
    station
        .run("ipfs", &["p2p", "forward", "/x/ssh", &listen, &target])
        .expect_code(0);
    let state = format!(
        r#"{{"version":1,"tunnels":[{{"listen_port":{port},"peer":"{id}"}},{{"listen_port":1,"peer":"{id}"}}]}}"#
    );
    station.write(STATE, state);
    backfill(&station).output().expect_code(0);
    assert_eq!(station.tunnels().len(), 1);
    assert_eq!(calls(&station, "close").len(), 1);
    station.ipfs().end(&station.tunnels()[0]);
    expect_nothing_left(&station);
}

#[test]
fn a_broken_state_file_stops_nothing() {
    for text in ["", "{", "\u{0}\u{1}", r#"{"version":9}"#] {
        let (station, _relay, events) = with_tunnelled_peer(Behaviour::default());
        station.write(STATE, text);
        backfill(&station).output().expect_code(0);
        assert_eq!(station.stored_ids(), ids(&events));
        expect_nothing_left(&station);
    }
}
