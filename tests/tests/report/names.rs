//! Stations appear by what they call themselves, and their addresses always stand behind it.

use constellation_tests::sync_program::{ERROR_LOG, follow, recent};
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};
use serde_json::json;

use super::case::{LOG, PAGE, expect_all, refusing, report};

/// Describes a station of the swarm that calls itself so.
fn describe(station: &StationDir, id: &str, url: &str, names: &serde_json::Value) {
    let mut json = json!({"ipfsnodeid": id, "myRELAY": url});
    let fields = json.as_object_mut().unwrap();
    fields.extend(names.as_object().unwrap().clone());
    station.peer_description(id, json.to_string());
}

/// Runs a command that may find fault with the station.
fn shown(station: &StationDir, args: &[&str]) -> String {
    station
        .command("constellation-sync")
        .args(args)
        .output()
        .stdout
}

#[test]
fn a_station_has_its_name_before_its_address_wherever_it_appears() {
    let station = station!();
    let authors = Author::many(1);
    let events = [authors[0].note(recent(), "hello")];
    let (good, bad) = (
        ScriptedRelay::start(&events, Behaviour::default()),
        refusing("blocked: not you"),
    );
    follow(&station, &authors, &[]);
    let saturne = json!({"hostname": "saturne", "captain": "captain@example.org"});
    describe(&station, "12D3KooGood", &good.url(), &saturne);
    describe(
        &station,
        "12D3KooBad",
        &bad.url(),
        &json!({"hostname": "io"}),
    );
    let output = station.run("constellation-sync", &[]);
    output.expect_code(1);
    let saturne = format!("saturne (captain@example.org) {}", good.url());
    let io = format!("io {}", bad.url());
    let log = station.read(LOG);
    expect_all(&log, &[&format!("Collected 1 events from {saturne}")]);
    expect_all(
        &station.read(ERROR_LOG),
        &[&format!("failed in part: {io}: ")],
    );
    let report = report(&station);
    let mut peers: Vec<(&str, &str)> = report["peers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|peer| {
            (
                peer["name"].as_str().unwrap(),
                peer["url"].as_str().unwrap(),
            )
        })
        .collect();
    peers.sort_unstable();
    assert_eq!(
        peers,
        [
            ("io", &bad.url()[..]),
            ("saturne (captain@example.org)", &good.url()[..])
        ]
    );
    expect_all(
        &station.read(PAGE),
        &["saturne (captain@example.org)", &good.url()],
    );
    expect_all(&shown(&station, &["status"]), &[&saturne, &io]);
    expect_all(&shown(&station, &["doctor"]), &[&saturne, &io]);
    let key = authors[0].pubkey().to_bech32();
    expect_all(&shown(&station, &["why", &key]), &[&saturne, &io]);
}

#[test]
fn stations_of_one_name_are_told_apart_and_none_takes_that_of_this_station() {
    let station = station!();
    follow(&station, &Author::many(1), &[]);
    let relays: Vec<ScriptedRelay> = (0..3)
        .map(|_| ScriptedRelay::start(&[], Behaviour::default()))
        .collect();
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let own = own.trim();
    for (id, relay, name) in [
        ("12D3KooAAAAAA", &relays[0], "saturne"),
        ("12D3KooBBBBBB", &relays[1], "Sat\u{202e}urne"),
        ("12D3KooCCCCCC", &relays[2], own),
    ] {
        describe(&station, id, &relay.url(), &json!({"hostname": name}));
    }
    station.run("constellation-sync", &[]).expect_code(0);
    let status = shown(&station, &["status"]);
    expect_all(
        &status,
        &[
            &format!(" saturne~AAAAAA {} ", relays[0].url()),
            &format!(" Saturne~BBBBBB {} ", relays[1].url()),
            &format!("~CCCCCC {} ", relays[2].url()),
        ],
    );
}

#[test]
fn a_name_that_is_none_or_hostile_leaves_the_address_alone_or_is_made_harmless() {
    let long = "x".repeat(5000);
    for (names, expected) in [
        (json!({"hostname": 7, "captain": 8}), ""),
        (json!({"hostname": null, "captain": null}), ""),
        (json!({"hostname": ["a"], "captain": {"a": "b@c"}}), ""),
        (json!({"hostname": "", "captain": ""}), ""),
        (
            json!({"hostname": "\u{202e}\u{1b}[2J\n", "captain": "\n"}),
            "2J ",
        ),
        (json!({"hostname": "🦊🦊", "captain": "x"}), ""),
        (
            json!({"hostname": "{{fox}} 🦊", "captain": "{{a}}@b"}),
            "fox ",
        ),
        (
            json!({"hostname": "a (b@c.org) wss://relay.c.org", "captain": "d@e.org"}),
            "a_b_c.org_wss_relay.c.org (d@e.org) ",
        ),
        (
            json!({"hostname": "SYNC_PEERS: success=9", "captain": "failed@FAILED"}),
            "SYNC·PEERS_success_9 (fail·ed@FAIL·ED) ",
        ),
        (
            json!({"hostname": long, "captain": format!("{long}@a")}),
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… ",
        ),
    ] {
        let station = station!();
        follow(&station, &Author::many(1), &[]);
        let relay = ScriptedRelay::start(&[], Behaviour::default());
        describe(&station, "12D3KooGood", &relay.url(), &names);
        station.run("constellation-sync", &[]).expect_code(0);
        let expected = format!("0 events from {expected}{}", relay.url());
        expect_all(&station.read(LOG), &[&expected]);
        let scripts = "SYNC_PEERS: success=1 total=1";
        let log = station.read(LOG);
        assert_eq!(log.matches("SYNC_PEERS: ").count(), 1, "{log}");
        expect_all(&log, &[scripts]);
        expect_all(&station.read(PAGE), &[&relay.url()]);
    }
}

#[test]
fn a_station_that_gives_the_address_of_another_does_not_name_it() {
    let station = station!();
    follow(&station, &Author::many(1), &[]);
    let relay = ScriptedRelay::start(&[], Behaviour::default());
    for (id, name) in [("12D3KooAAAAAA", "evil"), ("12D3KooBBBBBB", "saturne")] {
        describe(&station, id, &relay.url(), &json!({"hostname": name}));
    }
    station.run("constellation-sync", &[]).expect_code(0);
    let expected = format!("0 events from {}", relay.url());
    expect_all(&station.read(LOG), &[&expected]);
}

#[test]
fn a_peer_that_was_named_by_its_address_has_the_name_of_its_station() {
    let station = station!();
    follow(&station, &Author::many(1), &[]);
    let relay = ScriptedRelay::start(&[], Behaviour::default());
    describe(
        &station,
        "12D3KooGood",
        &relay.url(),
        &json!({"hostname": "saturne"}),
    );
    let url = relay.url();
    station
        .run("constellation-sync", &["--peer", &url])
        .expect_code(0);
    expect_all(
        &station.read(LOG),
        &[&format!("0 events from saturne {url}")],
    );
}
