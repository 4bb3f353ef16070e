//! Scheduled runs (`--sweep`, `trigger`): whatever a peer serves is here in the end, whatever its
//! age, however late it came there, and whatever happened to this station meanwhile. With `STRFRY`
//! set, the station's strfry is the real one.
//!
//! Most tests also see that a run by hand does not bring it: what they put in its way is real.

use std::fs;
use std::path::Path;

use constellation_shared::{Event, kinds};
use constellation_tests::author::notes;
use constellation_tests::sync_program::{
    DAY, PLAIN_KINDS, PROGRAM, expect_logged, expect_stored, follow, paged, recent, report, sync,
    sync_all,
};
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};
use serde_json::Value;

const LISTS: &str = "strfry/amisOfAmis.txt";
const COVERAGE: &str = "strfry/constellation-coverage.json";
const REFUSED: &str = "strfry/constellation-refused.txt";

fn sweep(station: &StationDir) -> Value {
    sync_all(station, &["--sweep"])
}

fn by_hand(station: &StationDir) -> Value {
    sync_all(station, &[])
}

/// Events of these authors that are 40 days old.
fn old(authors: &[Author]) -> Vec<Event> {
    notes(authors, &PLAIN_KINDS, 60, recent() - 40 * DAY, 3000)
}

fn two() -> (Vec<Author>, Vec<Event>) {
    let authors = Author::many(2);
    let events = notes(&authors, &PLAIN_KINDS, 100, recent(), 3000);
    (authors, events)
}

fn with_peer(events: &[Event], authors: &[Author]) -> (StationDir, ScriptedRelay) {
    let station = station!();
    let relay = ScriptedRelay::start(events, Behaviour::default());
    follow(&station, authors, &[&relay.url()]);
    (station, relay)
}

#[test]
fn what_reaches_a_peer_late_is_here_with_the_next_run_and_so_is_a_deletion() {
    let (authors, mut events) = two();
    events.extend(old(&authors));
    let (station, relay) = with_peer(&events, &authors);
    sweep(&station);
    expect_stored(&station, &events);
    let deleted = events.pop().unwrap();
    let author = authors
        .iter()
        .find(|author| author.pubkey() == deleted.pubkey)
        .unwrap();
    let late = [
        author.note(recent() - 3 * DAY, "written offline"),
        author.delete(recent() - 3 * DAY, &[deleted.id]),
    ];
    relay.add(&late);
    by_hand(&station);
    assert!(station.stored_ids().contains(&deleted.id), "a run by hand");
    sweep(&station);
    events.extend(late);
    expect_stored(&station, &events);
}

#[test]
fn the_history_of_a_newly_followed_key_comes_though_its_profile_is_new() {
    let (authors, events) = two();
    let newcomer = Author::new(9);
    let mut all = [events, old(std::slice::from_ref(&newcomer))].concat();
    all.push(newcomer.sign(kinds::PROFILE, recent(), &[], "{\"name\":\"new\"}"));
    let (station, _relay) = with_peer(&all, &authors);
    sweep(&station);
    let keys: Vec<_> = authors
        .iter()
        .chain([&newcomer])
        .map(Author::pubkey)
        .collect();
    station.friends(&keys);
    by_hand(&station);
    assert!(station.stored_ids().len() < all.len(), "a run by hand");
    sweep(&station);
    expect_stored(&station, &all);
}

#[test]
fn the_history_of_an_unblocked_key_comes() {
    let (authors, events) = two();
    let all = [events, old(&authors)].concat();
    let (station, _relay) = with_peer(&all, &authors[..1]);
    station.member("blocked@example.org", authors[1].pubkey());
    // A member is pardoned; who is only followed by his own key is not.
    fs::remove_dir_all(station.root().join("game/nostr/blocked@example.org")).unwrap();
    station.geographic_key("blocked", authors[1].pubkey());
    station.blacklist(&[authors[1].pubkey()]);
    sweep(&station);
    let of = |event: &&Event| event.pubkey == authors[0].pubkey();
    let first: Vec<Event> = all.iter().filter(of).cloned().collect();
    expect_stored(&station, &first);
    station.blacklist(&[]);
    by_hand(&station);
    assert!(station.stored_ids().len() < all.len(), "a run by hand");
    sweep(&station);
    expect_stored(&station, &all);
}

/// Stations delete and rebuild their list of friends daily.
#[test]
fn lists_that_are_empty_for_one_run_leave_no_gap() {
    let (authors, mut events) = two();
    let (station, relay) = with_peer(&events, &authors);
    sweep(&station);
    let friends = station.read(LISTS);
    station.write(LISTS, "");
    // As if more than two hours had passed: that long friends keep their standing.
    fs::remove_file(station.strfry_dir().join("constellation-swarm.json")).unwrap();
    let late = old(&authors);
    relay.add(&late);
    sweep(&station);
    expect_stored(&station, &events);
    station.write(LISTS, friends);
    by_hand(&station);
    expect_stored(&station, &events);
    sweep(&station);
    events.extend(late);
    expect_stored(&station, &events);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_database_that_was_lost_or_restored_from_a_backup_is_filled_again() {
    let (authors, events) = two();
    let events = [events, old(&authors)].concat();
    let (station, relay) = with_peer(&events[..120], &authors);
    sweep(&station);
    let (database, backup) = (
        station.strfry_dir().join("strfry-db"),
        station.root().join("backup"),
    );
    copy(&database, &backup);
    relay.add(&events[120..]);
    let newest = authors[0].note(recent() + 1, "after the backup");
    let newest: Vec<Event> = (0..5)
        .map(|number| authors[0].note(recent() + number, &newest.content))
        .collect();
    relay.add(&newest);
    let all = [events, newest].concat();
    sweep(&station);
    expect_stored(&station, &all);
    for is_restored in [true, false] {
        fs::remove_dir_all(&database).unwrap();
        fs::create_dir(&database).unwrap();
        if is_restored {
            copy(&backup, &database);
        }
        by_hand(&station);
        assert!(station.stored_ids().len() < all.len(), "a run by hand");
        // A peer of which the history is cut into slices shows that the loss is noticed.
        let coverage = station.read(COVERAGE);
        station.write(COVERAGE, coverage.replace("\"cuts\":[]", "\"cuts\":[1000]"));
        sweep(&station);
        expect_stored(&station, &all);
    }
}

#[test]
fn a_lost_database_is_noticed_and_said() {
    let (authors, events) = two();
    let (station, _relay) = with_peer(&events, &authors);
    sweep(&station);
    let database = station.strfry_dir().join("strfry-db");
    fs::remove_dir_all(&database).unwrap();
    fs::create_dir(&database).unwrap();
    sweep(&station);
    expect_stored(&station, &events);
    expect_logged(
        &station,
        "The database lacks 8 of 8 events that it held after the last run",
    );
}

#[test]
fn a_peer_that_is_closed_for_maintenance_gave_nothing() {
    let (authors, events) = two();
    let number = |number| authors[0].note(recent() - 30, &format!("meanwhile {number}"));
    let new: Vec<Event> = (0..40).map(number).collect();
    for is_paged in [true, false] {
        let (station, relay) = with_peer(&events, &authors);
        if is_paged {
            relay.behave(paged(500));
        }
        sweep(&station);
        relay.behave(Behaviour {
            refuse: Some("blocked: maintenance".to_owned()),
            ..paged(500)
        });
        relay.add(&new);
        for args in [&["--sweep"][..], &[]] {
            let output = sync(&station, args);
            output.expect_code(1);
            assert_eq!(report(&output)["peers"][0]["complete"], false, "{output}");
        }
        expect_stored(&station, &events);
        relay.behave(Behaviour::default());
        fs::remove_file(station.strfry_dir().join("constellation-peers.json")).unwrap();
        sweep(&station);
        expect_stored(&station, &[&events[..], &new].concat());
    }
}

#[test]
fn what_was_listed_and_withheld_comes_once_the_peer_sends_it() {
    let (authors, events) = two();
    let old = old(&authors);
    let all = [&events[..], &old].concat();
    let (station, relay) = with_peer(&all, &authors);
    relay.behave(Behaviour {
        withholds: old.iter().map(|event| event.id).collect(),
        ..Behaviour::default()
    });
    for _ in 0..2 {
        let output = sync(&station, &["--sweep"]);
        output.expect_code(1);
        assert_eq!(report(&output)["peers"][0]["code"], "withheld", "{output}");
        assert!(report(&output)["peers"][0]["complete_until"].is_null());
    }
    relay.behave(Behaviour::default());
    let report = sweep(&station);
    expect_stored(&station, &all);
    assert!(report["peers"][0]["complete_until"].is_u64(), "{report}");
}

/// strfry does not keep a version that is older than its own, which may be deleted later.
#[test]
fn an_older_version_comes_once_the_newer_one_is_deleted() {
    let (authors, mut events) = two();
    let version = |time, text| authors[0].sign(30_023, time, &[&["d", "x"]], text);
    let (older, newer) = (
        version(recent() - 200, "older"),
        version(recent() - 100, "newer"),
    );
    let all = [&events[..], std::slice::from_ref(&older)].concat();
    let (station, relay) = with_peer(&all, &authors);
    station.import(std::slice::from_ref(&newer));
    sweep(&station);
    assert!(!station.stored_ids().contains(&older.id));
    let deletion = authors[0].delete(recent(), &[newer.id]);
    relay.add(std::slice::from_ref(&deletion));
    sweep(&station);
    assert!(!station.stored_ids().contains(&newer.id));
    let refused = station.read(REFUSED);
    let line = refused.lines().find(|line| line.contains("not_kept"));
    let (when, _) = line.unwrap().split_once(' ').unwrap();
    let half_a_day_ago = when.parse::<u64>().unwrap() - DAY / 2;
    station.write(REFUSED, refused.replace(when, &half_a_day_ago.to_string()));
    sweep(&station);
    events.extend([older, deletion]);
    expect_stored(&station, &events);
}

#[test]
fn a_station_that_moves_over_from_the_scripts_gets_what_they_missed() {
    let (authors, events) = two();
    let five_days = notes(&authors, &PLAIN_KINDS, 40, recent() - 5 * DAY, 3000);
    let all = [events, five_days].concat();
    let (station, _relay) = with_peer(&all, &authors);
    let last = recent() - 5 * DAY;
    station.write("strfry/last_constellation_sync", last.to_string());
    let output = station.command(PROGRAM).args(["trigger", "--now"]).output();
    output.expect_code(0);
    expect_stored(&station, &all);
}

#[test]
fn behind_another_address_there_may_be_another_database() {
    let (authors, events) = two();
    let old = old(&authors);
    let (station, _relay) = with_peer(&events, &authors);
    sweep(&station);
    let all = [&events[..], &old].concat();
    let moved = ScriptedRelay::start(&all, Behaviour::default());
    station.peer("12D3KooPeer0", &moved.url());
    sweep(&station);
    expect_stored(&station, &all);
}

#[test]
fn a_run_by_hand_takes_nothing_away_from_what_scheduled_runs_know() {
    let (authors, events) = two();
    let (station, relay) = with_peer(&events, &authors);
    sweep(&station);
    let old = old(&authors);
    relay.add(&old);
    for args in [&["--days", "2"][..], &["--kinds", "1"], &["--no-dms"]] {
        sync_all(&station, args);
    }
    sweep(&station);
    expect_stored(&station, &[&events[..], &old].concat());
}

/// The slices of a long history are compared in turn, and each finds what came late.
#[test]
fn a_long_history_is_swept_in_slices() {
    let (authors, events) = two();
    let old = old(&authors);
    let (station, relay) = with_peer(&events, &authors);
    sweep(&station);
    let cut = recent() - 30 * DAY;
    let coverage = station.read(COVERAGE);
    let cuts = format!("\"cuts\":[1000,{cut}]");
    assert!(coverage.contains("\"cuts\":[]"), "{coverage}");
    let mut coverage: Value =
        serde_json::from_str(&coverage.replace("\"cuts\":[]", &cuts)).unwrap();
    // As if the first run had been some hours ago.
    for peer in coverage["peers"].as_object_mut().unwrap().values_mut() {
        peer["compared"][0]["at"] = (recent() - 36_000).into();
    }
    station.write(COVERAGE, coverage.to_string());
    relay.add(&old);
    let mut runs = 0;
    while station.stored_ids().len() == events.len() {
        runs += 1;
        assert!(runs <= 3, "three slices take three runs");
        sweep(&station);
    }
    expect_stored(&station, &[&events[..], &old].concat());
    assert_eq!(runs, 2, "the first slice is empty");
}
