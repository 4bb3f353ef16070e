//! What the station's scripts do once a day: they empty the folders of the swarm and delete
//! `amisOfAmis.txt`, which is written anew over the next hour.

use std::fs;

use constellation_shared::Event;
use constellation_tests::author::notes;
use constellation_tests::command::TestCommand;
use constellation_tests::sync_program::{
    ERROR_LOG, LOG, PLAIN_KINDS, expect_logged, expect_stored, follow, recent, report, said, sync,
    sync_all,
};
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};

/// The lines of `20h12.process.sh` (papiche/Astroport.ONE 91c58e39), in its order.
const OF_THE_SCRIPT: &str = r#"
rm "${HOME}/.zen/strfry/amisOfAmis.txt" 2>/dev/null ## RESET Friends of Friends List
find "$HOME/.zen/tmp/" -mindepth 1 ! -name "swarm" ! -name "coucou" ! -name "$IPFSNODEID" -delete
true
"#;

fn daily_cycle(station: &StationDir) {
    let script = TestCommand::new("/bin/bash", station.root())
        .env("HOME", station.home())
        .env("IPFSNODEID", "12D3KooSelf")
        .args(["-c", OF_THE_SCRIPT]);
    script.output().expect_code(0);
}

fn with_peer(authors: &[Author], events: &[Event]) -> (StationDir, ScriptedRelay) {
    let station = station!();
    let relay = ScriptedRelay::start(events, Behaviour::default());
    follow(&station, authors, &[&relay.url()]);
    (station, relay)
}

#[test]
fn a_run_right_after_the_swarm_was_emptied_asks_the_peers_of_the_day() {
    let authors = Author::many(5);
    let events = notes(&authors, &PLAIN_KINDS, 60, recent() - 100, 3000);
    let (station, relay) = with_peer(&authors, &events);
    sync_all(&station, &["--sweep"]);
    daily_cycle(&station);
    assert!(!station.paths().friends().exists());
    assert!(!station.paths().swarm_dir().join("12D3KooPeer0").exists());
    let new = authors[3].note(recent(), "written in between");
    relay.add(std::slice::from_ref(&new));
    let report = sync_all(&station, &["--sweep"]);
    expect_stored(&station, &[&events[..], &[new]].concat());
    assert_eq!(report["followed"], 5);
    expect_logged(&station, "1 station of the swarm without a description now");
    expect_logged(&station, "5 friends missing on lists that vanished lately");
    assert_eq!(station.read(ERROR_LOG), "");
    // The list is written again, and nothing is asked for as if it were new.
    station.friends(&authors.iter().map(Author::pubkey).collect::<Vec<_>>());
    let sent = relay.events_sent();
    sync_all(&station, &["--sweep"]);
    assert_eq!(relay.events_sent(), sent);
}

#[test]
fn a_friend_on_the_blacklist_stays_pardoned_while_the_list_is_rebuilt() {
    let authors = Author::many(3);
    let (station, relay) = with_peer(&authors, &[authors[0].note(recent() - 100, "first")]);
    station.blacklist(&[authors[0].pubkey()]);
    sync_all(&station, &[]);
    daily_cycle(&station);
    // One of three is back.
    station.friends(&[authors[2].pubkey()]);
    relay.add(&[authors[0].note(recent(), "second")]);
    sync_all(&station, &[]);
    assert_eq!(station.stored().len(), 2, "{}", station.read(LOG));
}

#[test]
fn a_friend_who_is_removed_from_a_list_that_stays_is_gone_at_once() {
    let authors = Author::many(5);
    let (station, relay) = with_peer(&authors, &[]);
    sync_all(&station, &[]);
    station.friends(&authors[1..].iter().map(Author::pubkey).collect::<Vec<_>>());
    relay.add(&[authors[0].note(recent(), "a friend no more")]);
    let report = sync_all(&station, &[]);
    assert_eq!(report["followed"], 4);
    assert_eq!(station.stored(), []);
}

#[test]
fn a_station_that_has_nobody_to_ask_says_so_and_nothing_is_mailed() {
    let station = station!();
    fs::create_dir_all(station.paths().swarm_dir()).unwrap();
    let output = sync(&station, &["--days", "1"]);
    output
        .expect_code(3)
        .expect_stderr("No constellation peers found");
    assert_eq!(report(&output)["outcome"], "nothing_done");
    expect_logged(&station, "[INFO] No constellation peers found");
    assert!(
        !station.read(LOG).contains("failed"),
        "{}",
        station.read(LOG)
    );
    assert_eq!(station.read(ERROR_LOG), "");
}

#[test]
fn friends_that_are_added_by_hand_are_said_to_go_with_the_list() {
    let (station, _relay) = with_peer(&Author::many(1), &[]);
    sync_all(&station, &[]);
    let write = || station.run("constellation-sync", &["friends", "--write"]);
    let words = "deletes this list each day";
    assert!(!write().expect_code(0).stdout.contains(words));
    station.write("Astroport.ONE/20h12.process.sh", OF_THE_SCRIPT);
    write()
        .expect_code(0)
        .expect_stdout(words)
        .expect_stdout("CONSTELLATION_FRIENDS=1");
    assert!(said(&station, "SYNC_HEX: ")["count"] == 1);
}
