//! What is asked for: how far back, which kinds, whose events; and a run that finds
//! nothing new.

use constellation_shared::Event;
use constellation_tests::author::notes;
use constellation_tests::sync_program::{
    DAY, PLAIN_KINDS, all_kinds, command, expect_logged, expect_stored, follow, paged, recent,
    refused, said, sync_all,
};
use constellation_tests::{Author, ScriptedRelay, StationDir, station};
use serde_json::{Value, json};

fn with_peer(authors: &[Author], events: &[Event]) -> (StationDir, ScriptedRelay) {
    let station = station!();
    let relay = ScriptedRelay::start(events, paged(500));
    follow(&station, authors, &[&relay.url()]);
    (station, relay)
}

#[test]
fn a_second_run_adds_nothing_and_says_so() {
    let authors = Author::many(10);
    let events = notes(&authors, &all_kinds(), 900, recent(), DAY / 2);
    let (station, relay) = with_peer(&authors, &events);
    sync_all(&station, &[]);
    assert_eq!(said(&station, "SYNC_IMPORT: ")["added"], 900);
    expect_stored(&station, &events);
    sync_all(&station, &[]);
    assert_eq!(said(&station, "SYNC_IMPORT: ")["added"], 0);
    expect_stored(&station, &events);

    let new = authors[3].note(recent() + 5, "something new");
    relay.add(std::slice::from_ref(&new));
    sync_all(&station, &[]);
    assert_eq!(said(&station, "SYNC_IMPORT: ")["added"], 1);
    expect_stored(&station, &[&events[..], &[new]].concat());
}

#[test]
fn days_reach_back_as_far_as_they_say() {
    let authors = Author::many(4);
    let within = |days: u64| notes(&authors, &PLAIN_KINDS, 60, recent() - days * DAY, 600);
    let (today, week, ancient) = (within(0), within(5), within(4000));
    let epoch = [
        authors[0].note(0, "the first second"),
        authors[1].note(1, "x"),
    ];
    let all = [&today[..], &week, &ancient, &epoch].concat();
    let (station, _relay) = with_peer(&authors, &all);
    sync_all(&station, &[]);
    expect_stored(&station, &today);
    sync_all(&station, &["--days", "7"]);
    expect_stored(&station, &[&today[..], &week].concat());
    sync_all(&station, &["--days", "0"]);
    expect_stored(&station, &all);
}

#[test]
fn every_default_can_be_set_by_the_environment() {
    let authors = Author::many(4);
    let events = notes(&authors, &[1, 4, 7], 90, recent() - 3 * DAY, 600);
    let (station, _relay) = with_peer(&authors, &events);
    let run = |days: &str| {
        command(&station, &[])
            .env("CONSTELLATION_DAYS", days)
            .env("CONSTELLATION_KINDS", "1,4")
            .env("CONSTELLATION_NO_DMS", "yes")
            .output()
    };
    run("2").expect_code(0);
    assert_eq!(station.stored(), []);
    run("4").expect_code(0);
    let ones: Vec<Event> = events.into_iter().filter(|e| e.kind == 1).collect();
    expect_stored(&station, &ones);
    run("soon").expect_code(2).expect_stderr("soon");
}

#[test]
fn the_twenty_kinds_and_no_other_unless_told() {
    let authors = Author::many(12);
    let known = notes(&authors, &all_kinds(), 400, recent(), 3000);
    let others = notes(
        &authors,
        &[2, 9, 8, 1984, 9735, 10002, 30078],
        100,
        recent(),
        3000,
    );
    let (station, _relay) = with_peer(&authors, &[&known[..], &others].concat());
    let report = sync_all(&station, &[]);
    expect_stored(&station, &known);
    assert_eq!(report["refused"], json!({}), "nothing else was even sent");
    let stats = said(&station, "SYNC_STATS: ");
    assert_eq!(stats["events"], 400);
    assert_eq!(stats["dms"] + stats["public"], 400);
    let of = |kind: u16| known.iter().filter(|event| event.kind == kind).count() as u64;
    for (key, kinds) in [
        ("dms", &[4][..]),
        ("deletions", &[5]),
        ("videos", &[21, 22]),
        ("files", &[1063]),
        ("comments", &[1111]),
        ("did", &[30800]),
        ("oracle", &[30500, 30501, 30502, 30503]),
        ("ore", &[30312, 30313]),
        ("profiles", &[0]),
        ("text", &[1]),
        ("contacts", &[3]),
        ("reposts", &[6]),
        ("reactions", &[7]),
        ("blog", &[30023]),
        ("calendar", &[30024]),
        ("ore_spaces", &[30312]),
        ("ore_meetings", &[30313]),
    ] {
        let count: u64 = kinds.iter().map(|&kind| of(kind)).sum();
        assert!(count > 0, "{key}");
        assert_eq!(stats[key], count, "{key}");
    }
    sync_all(&station, &["--kinds", "9735, 1984,9735"]);
    let told = others
        .iter()
        .filter(|event| [9735, 1984].contains(&event.kind));
    expect_stored(
        &station,
        &known.iter().chain(told).cloned().collect::<Vec<_>>(),
    );
}

#[test]
fn a_run_of_some_kinds_is_a_success_for_these_alone() {
    let authors = Author::many(1);
    let (station, relay) = with_peer(&authors, &[authors[0].note(recent(), "here")]);
    let now = recent();
    // Nothing gives a window of its own: peers are asked from the last success on.
    let long_ago = |memory: String| {
        let mut memory: Value = serde_json::from_str(&memory).unwrap();
        memory["begin"] = (now - 9 * DAY).into();
        memory.to_string()
    };
    let learned = "strfry/constellation-peers.json";
    let asked_back = |options: &[&str]| {
        let before = relay.received().len();
        station.write(learned, long_ago(station.read(learned)));
        sync_all(&station, options);
        let asked = relay.received().split_off(before).concat();
        let since = asked.split("\"since\":").nth(1).unwrap();
        let since: u64 = since.split([',', '}']).next().unwrap().parse().unwrap();
        (now + DAY / 2 - since) / DAY
    };
    sync_all(&station, &["--kinds", "1"]);
    assert_eq!(asked_back(&["--kinds", "1"]), 1);
    assert_eq!(asked_back(&[]), 10, "its other kinds nobody asked for yet");
    assert_eq!(asked_back(&[]), 1);
    assert_eq!(asked_back(&["--kinds", "1"]), 1);
    assert_eq!(asked_back(&["--no-dms"]), 1);
    assert_eq!(asked_back(&[]), 1, "a smaller question takes nothing back");
}

#[test]
fn no_dms_leaves_out_kind_4() {
    let authors = Author::many(10);
    let events = notes(&authors, &[1, 4, 7], 300, recent(), 3000);
    let (station, relay) = with_peer(&authors, &events);
    sync_all(&station, &["--no-dms"]);
    let public: Vec<Event> = events.iter().filter(|e| e.kind != 4).cloned().collect();
    assert!(public.len() < 300);
    expect_stored(&station, &public);
    let asked = relay.received().concat();
    assert!(
        asked.contains("[0,1,3,5,") && !asked.contains(",4,"),
        "{asked}"
    );
    sync_all(&station, &[]);
    expect_stored(&station, &events);
}

#[test]
fn whose_events_come() {
    let authors = Author::many(10);
    let [
        member,
        friend,
        foreign,
        captain,
        node,
        geographic,
        blocked,
        pardoned,
        removed,
        nobody,
    ] = authors.iter().collect::<Vec<_>>().try_into().ok().unwrap();
    let events = notes(&authors, &[1], 100, recent(), 3000);
    let relay = ScriptedRelay::start(&events, paged(500));
    let station = station!();
    station.member("a@example.org", member.pubkey());
    station.friends(&[friend.pubkey(), pardoned.pubkey()]);
    station.peer_friends("12D3KooA", &[foreign.pubkey()]);
    station.geographic_key("48.85/2.35", geographic.pubkey());
    station.geographic_key("48.86/2.35", removed.pubkey());
    let json = json!({
        "ipfsnodeid": "12D3KooA", "myRELAY": relay.url(), "captainHEX": captain.pubkey().to_hex(),
        "NODEHEX": node.pubkey().to_hex(),
    });
    station.peer_description("12D3KooA", json.to_string());
    let json = json!({"captainHEX": blocked.pubkey().to_hex()});
    station.peer_description("12D3KooB", json.to_string());
    station.blacklist(&[blocked, pardoned, removed].map(Author::pubkey));
    sync_all(&station, &[]);
    assert_eq!(said(&station, "SYNC_HEX: ")["count"], 7);
    let absent = [blocked, removed, nobody].map(Author::pubkey);
    let wanted = events
        .iter()
        .filter(|event| !absent.contains(&event.pubkey));
    expect_stored(&station, &wanted.cloned().collect::<Vec<_>>());
}

#[test]
fn which_peers_are_asked() {
    let authors = Author::many(3);
    let events = notes(&authors, &[1], 40, recent(), 3000);
    let relays = [(); 3].map(|()| ScriptedRelay::start(&events, paged(500)));
    let [one, own, told] = relays.each_ref().map(ScriptedRelay::url);
    let station = station!();
    follow(&station, &authors, &[&one]);
    station.peer("12D3KooTwin", &format!("{}/", one.to_uppercase()));
    station.own_node("12D3KooOwn");
    station.peer("12D3KooOwn", &own);
    station.peer("12D3KooTunnel", "ws://127.0.0.1:7777");
    station.peer("12D3KooOdd", "https://relay.example.org");
    station.peer_description("12D3KooHalf", r#"{"ipfsnodeid":"12D3KooHalf","myREL"#);
    station.peer_description("12D3KooEmpty", "");
    let report = sync_all(&station, &[]);
    assert_eq!(report["peers"].as_array().unwrap().len(), 1);
    assert_eq!(report["peers"][0]["url"], one);
    for id in ["12D3KooTunnel", "12D3KooOdd", "12D3KooHalf", "12D3KooEmpty"] {
        expect_logged(&station, id);
    }
    let report = sync_all(&station, &["--peer", &told, "--peer", &told]);
    assert_eq!(report["peers"].as_array().unwrap().len(), 1);
    assert_eq!(report["peers"][0]["url"], told);
    let connections = relays.each_ref().map(ScriptedRelay::connections);
    assert_eq!(connections, [1, 0, 1]);
    // A new station is seen at once.
    station.peer("12D3KooNew", &own);
    station.own_node("12D3KooAnother");
    sync_all(&station, &[]);
    assert_eq!(relays[1].connections(), 1);
}

#[test]
fn strfry_verifies_once_more_where_it_is_told() {
    let authors = Author::many(10);
    let events = notes(&authors, &all_kinds(), 300, recent(), 3000);
    let (station, _relay) = with_peer(&authors, &events);
    let report = sync_all(&station, &["--verify"]);
    assert_eq!(report["import"]["mode"], "verify");
    expect_logged(&station, " mode=verify added=300 rejected=0 ");
    expect_stored(&station, &events);
}

#[test]
fn nobody_to_follow_is_said_and_no_failure() {
    let (station, relay) = with_peer(&[], &notes(&Author::many(2), &[1], 20, recent(), 3000));
    let report = sync_all(&station, &[]);
    assert_eq!(
        (&report["followed"], &report["events"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(refused(&report, "unasked"), 0);
    assert_eq!((station.stored().len(), relay.events_sent()), (0, 0));
    expect_logged(&station, "no pubkeys to follow");
}
