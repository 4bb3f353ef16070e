//! What a quiet hour costs: equal sets are compared for next to nothing, whether a peer holds
//! events of authors whom nobody here follows, or lacks some of ours.

use std::fs;

use constellation_shared::{Event, Pubkey};
use constellation_tests::author::notes;
use constellation_tests::relay::Nip77;
use constellation_tests::sync_program::{
    DAY, PLAIN_KINDS, expect_stored, follow, recent, sync_all,
};
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};
use serde_json::Value;

/// So many followed authors that naming them is not cheap.
const FOLLOWED: u64 = 100;

/// What a quiet run and its peer may send each other at most, in bytes.
const QUIET: u64 = 10_000;

/// What a run and its only peer sent each other, in bytes.
fn bytes(report: &Value) -> u64 {
    let peer = &report["peers"][0];
    peer["bytes"].as_u64().unwrap() + peer["bytes_sent"].as_u64().unwrap()
}

fn names_authors(report: &Value) -> bool {
    report["peers"][0]["by_authors"].as_bool().unwrap()
}

/// Authors whom the station does not follow.
fn strangers() -> Vec<Author> {
    (0..5).map(|number| Author::new(70_000 + number)).collect()
}

fn events_of(authors: &[Author], count: usize) -> Vec<Event> {
    notes(authors, &PLAIN_KINDS, count, recent(), 9000)
}

/// A station and a peer that holds events of the authors whom it follows, and others.
fn with_peer(wanted: &[Event], others: &[Event]) -> (StationDir, ScriptedRelay) {
    with_behaviour(wanted, others, Behaviour::default())
}

fn with_behaviour(
    wanted: &[Event],
    others: &[Event],
    behaviour: Behaviour,
) -> (StationDir, ScriptedRelay) {
    let station = station!();
    let relay = ScriptedRelay::start(&[wanted, others].concat(), behaviour);
    follow(&station, &Author::many(FOLLOWED), &[&relay.url()]);
    (station, relay)
}

/// Runs until the authors are not named any more.
fn until_by_kinds(station: &StationDir) {
    for _ in 0..3 {
        if !names_authors(&sync_all(station, &[])) {
            return;
        }
    }
    panic!("the authors are still named");
}

#[test]
fn what_a_peer_holds_of_others_is_learned_once_and_then_costs_nothing() {
    let wanted = events_of(&Author::many(FOLLOWED), 700);
    let others = events_of(&strangers(), 400);
    let (station, relay) = with_peer(&wanted, &others);
    assert!(names_authors(&sync_all(&station, &[])));
    assert_eq!(relay.events_sent(), 700);
    // Everything was had: now it is tried without names.
    assert!(names_authors(&sync_all(&station, &[])));
    assert_eq!(relay.events_sent(), 1100);
    for _ in 0..2 {
        let quiet = sync_all(&station, &[]);
        assert!(!names_authors(&quiet), "{quiet}");
        let bytes = bytes(&quiet);
        assert!(bytes < QUIET, "{bytes} bytes of a quiet hour");
    }
    assert_eq!(relay.events_sent(), 1100);
    expect_stored(&station, &wanted);
}

#[test]
fn what_is_new_comes_without_names_and_what_is_new_of_others_is_no_garbage() {
    let authors = Author::many(FOLLOWED);
    let wanted = events_of(&authors, 300);
    let (station, relay) = with_peer(&wanted, &events_of(&strangers(), 100));
    until_by_kinds(&station);
    let new: Vec<Event> = (0..50)
        .map(|number| authors[3].note(recent(), &format!("new {number}")))
        .collect();
    let others: Vec<Event> = (0..20)
        .map(|number| strangers()[0].note(recent(), &format!("of no interest {number}")))
        .collect();
    relay.add(&[&new[..], &others].concat());
    let sent = relay.events_sent();
    let report = sync_all(&station, &[]);
    assert!(!names_authors(&report));
    assert_eq!(report["refused"], serde_json::json!({}));
    assert_eq!(relay.events_sent(), sent + 70);
    expect_stored(&station, &[&wanted[..], &new].concat());
    sync_all(&station, &[]);
    assert_eq!(relay.events_sent(), sent + 70, "it is known now");
}

#[test]
fn events_of_an_author_who_is_followed_later_come() {
    let wanted = events_of(&Author::many(FOLLOWED), 300);
    let others = events_of(&strangers(), 200);
    let (station, _relay) = with_peer(&wanted, &others);
    until_by_kinds(&station);
    let mut followed: Vec<_> = Author::many(FOLLOWED).iter().map(Author::pubkey).collect();
    followed.push(strangers()[2].pubkey());
    station.friends(&followed);
    sync_all(&station, &[]);
    let of_friend = |event: &&Event| event.pubkey == strangers()[2].pubkey();
    let theirs: Vec<Event> = others.iter().filter(of_friend).cloned().collect();
    assert!(theirs.len() > 10);
    expect_stored(&station, &[&wanted[..], &theirs].concat());
}

#[test]
fn a_flood_of_what_nobody_wants_makes_the_authors_named_again_in_the_same_run() {
    let authors = Author::many(FOLLOWED);
    let wanted = events_of(&authors, 300);
    let (station, relay) = with_peer(&wanted, &[]);
    until_by_kinds(&station);
    let flood = events_of(&strangers(), 3000);
    let new = authors[3].note(recent(), "among the flood");
    relay.add(&flood);
    relay.add(std::slice::from_ref(&new));
    let sent = relay.events_sent();
    let report = sync_all(&station, &[]);
    assert!(names_authors(&report), "{report}");
    expect_stored(&station, &[&wanted[..], &[new]].concat());
    // And for the next week.
    assert!(names_authors(&sync_all(&station, &[])));
    assert_eq!(relay.events_sent(), sent + 1, "nothing of the flood came");
}

#[test]
fn a_peer_that_holds_far_more_of_others_is_asked_by_authors() {
    let wanted = events_of(&Author::many(FOLLOWED), 300);
    let others = notes(&strangers(), &PLAIN_KINDS, 9000, recent(), 9000);
    let (station, relay) = with_peer(&wanted, &others);
    sync_all(&station, &[]);
    let tried = bytes(&sync_all(&station, &[]));
    let named = sync_all(&station, &[]);
    assert!(names_authors(&named));
    assert_eq!(relay.events_sent(), 300);
    // Once a week.
    assert!(tried < 50 * bytes(&named), "{tried} bytes of a try");
    expect_stored(&station, &wanted);
}

#[test]
fn others_events_that_are_listed_and_do_not_come_are_not_missing() {
    let wanted = events_of(&Author::many(FOLLOWED), 300);
    let others = events_of(&strangers(), 20);
    let behaviour = Behaviour {
        withholds: others.iter().map(|event| event.id).collect(),
        ..Behaviour::default()
    };
    let (station, relay) = with_behaviour(&wanted, &[], behaviour);
    until_by_kinds(&station);
    relay.add(&others);
    // What was listed without names and did not come may be wanted: the authors are named.
    let report = sync_all(&station, &[]);
    assert!(names_authors(&report));
    assert_eq!(report["undelivered"], serde_json::json!({}));
    expect_stored(&station, &wanted);
}

#[test]
fn what_a_peer_lacks_for_good_costs_nothing_in_the_runs_after() {
    let authors = Author::many(5);
    let ours = notes(&authors, &PLAIN_KINDS, 600, recent() - DAY / 4, 9000);
    let station = station!();
    let relay = ScriptedRelay::start(&ours[..100], Behaviour::default());
    follow(&station, &authors, &[&relay.url()]);
    station.import(&ours);
    let first = bytes(&sync_all(&station, &[]));
    let second = bytes(&sync_all(&station, &[]));
    assert!(first > 6_000 && second < 2_500, "{first} and {second}");
    // What it has after all is here, and is not fetched.
    relay.add(&ours);
    sync_all(&station, &[]);
    assert_eq!(relay.events_sent(), 0);
    assert!(bytes(&sync_all(&station, &[])) < 2_500);
}

#[test]
fn a_relay_that_compares_only_by_authors_is_not_asked_otherwise_again_for_a_week() {
    let wanted = events_of(&Author::many(FOLLOWED), 300);
    for reason in [
        "blocked: too many query results",
        "error: authors, please",
        "",
    ] {
        let behaviour = Behaviour {
            nip77: Nip77::ByAuthorsOnly(reason),
            ..Behaviour::default()
        };
        let (station, relay) = with_behaviour(&wanted, &[], behaviour);
        sync_all(&station, &["--patience", "2"]);
        let named = relay.reconciliations();
        let tried = sync_all(&station, &["--patience", "2"]);
        assert_eq!(tried["peers"][0]["reconciled"], true, "{reason}: {tried}");
        assert!(relay.reconciliations() > 2 * named, "{reason}");
        let before = relay.reconciliations();
        let report = sync_all(&station, &["--patience", "2"]);
        assert!(names_authors(&report));
        assert_eq!(relay.reconciliations(), before + named, "{reason}");
        expect_stored(&station, &wanted);
    }
}

#[test]
fn nothing_passes_for_unwanted_under_the_id_of_a_wanted_event() {
    let wanted = events_of(&Author::many(FOLLOWED), 300);
    let (station, liar) = with_peer(&wanted[1..], &[]);
    until_by_kinds(&station);
    let mut under_its_id = strangers()[0].note(recent(), "believe me");
    under_its_id.id = wanted[0].id;
    liar.add(&[under_its_id]);
    for _ in 0..3 {
        sync_all(&station, &[]);
        expect_stored(&station, &wanted[1..]);
    }
    let honest = ScriptedRelay::start(&wanted, Behaviour::default());
    station.peer("12D3KooHonest", &honest.url());
    sync_all(&station, &[]);
    expect_stored(&station, &wanted);
}

/// Has the history swept in slices, as that of many events is.
fn slice_history(station: &StationDir) {
    const LEDGER: &str = "strfry/constellation-coverage.json";
    let mut ledger: Value = serde_json::from_str(&station.read(LEDGER)).unwrap();
    let ago = |days: u64| recent() - days * DAY;
    ledger["slices"] = serde_json::json!({"cuts": [ago(30), ago(12), ago(5)], "period": DAY});
    ledger["sliced_at"] = recent().into();
    station.write(LEDGER, ledger.to_string());
}

/// Anybody may publish such a list.
#[test]
fn a_foreign_list_that_comes_and_goes_does_not_have_its_keys_named_each_time() {
    let authors = Author::many(1300);
    let (ours, foreign) = authors.split_at(700);
    let wanted = [
        events_of(&ours[..50], 200),
        notes(&foreign[..5], &PLAIN_KINDS, 20, recent() - 9 * DAY, DAY),
        notes(&ours[..5], &PLAIN_KINDS, 20, recent() - 9 * DAY, DAY),
    ]
    .concat();
    let station = station!();
    let relay = ScriptedRelay::start(&wanted, Behaviour::default());
    follow(&station, ours, &[&relay.url()]);
    let keys: Vec<Pubkey> = foreign.iter().map(Author::pubkey).collect();
    let foreign_list = |keys: &[Pubkey]| {
        station.peer_friends("12D3KooForeign", keys);
        // Who vanishes with a list keeps his standing for two hours, which have passed.
        let _ = fs::remove_file(station.root().join("strfry/constellation-swarm.json"));
    };
    foreign_list(&keys);
    for _ in 0..4 {
        sync_all(&station, &["--sweep"]);
    }
    expect_stored(&station, &wanted);
    slice_history(&station);
    for _ in 0..2 {
        foreign_list(&keys[..1]);
        sync_all(&station, &["--sweep"]);
        foreign_list(&keys);
        let back = sync_all(&station, &["--sweep"]);
        let bytes = bytes(&back);
        assert!(!names_authors(&back) && bytes < QUIET, "{bytes}: {back}");
    }
    // An old event of one of its keys that came there meanwhile comes at once.
    foreign_list(&keys[..1]);
    sync_all(&station, &["--sweep"]);
    let late = foreign[7].note(recent() - 20 * DAY, "late");
    relay.add(std::slice::from_ref(&late));
    foreign_list(&keys);
    sync_all(&station, &["--sweep"]);
    expect_stored(&station, &[&wanted[..], &[late]].concat());
}
