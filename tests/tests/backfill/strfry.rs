//! A strfry that is missing, fails, dies, is full or refuses: nothing that was taken is lost,
//! and the log says what to do.

use std::time::Duration;

use constellation_shared::Event;
use constellation_tests::author::notes;
use constellation_tests::command::wait_until;
use constellation_tests::relay::dead_url;
use constellation_tests::sync_program::children::{children, kill};
use constellation_tests::sync_program::{
    LOG, PLAIN_KINDS, command, expect_logged, expect_stored, follow, paged, recent, refused,
    report, said, sync, sync_all,
};
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};

fn some_events() -> Vec<Event> {
    notes(&Author::many(5), &PLAIN_KINDS, 700, recent(), 3000)
}

#[test]
fn a_station_without_peers_or_without_strfry() {
    let station = station!();
    station.friends(&[Author::new(1).pubkey()]);
    let output = sync(&station, &[]);
    output
        .expect_code(3)
        .expect_stderr("No constellation peers found: ");
    output.expect_stderr("--peer");
    let report = report(&output);
    assert_eq!(report["outcome"], "nothing_done");
    assert_eq!(report["exit_code"], 3);
    expect_logged(&station, "No constellation peers found");

    let station = StationDir::builder(env!("CARGO_BIN_EXE_demo"))
        .without_strfry()
        .build();
    let output = sync(&station, &["--peer", &dead_url()]);
    output
        .expect_code(3)
        .expect_stderr("is not a program; install strfry there or pass --strfry PATH");
    station.write("strfry/strfry", "not for execution");
    sync(&station, &["--peer", &dead_url()]).expect_code(3);
}

#[test]
fn a_strfry_that_will_not_run() {
    let authors = Author::many(5);
    let events = some_events();
    let relay = ScriptedRelay::start(&events, paged(500));
    // More files than any system allows.
    let conf = "db = \"./strfry-db/\"\nrelay {\n    nofiles = 4000000000\n}\n";
    let station = StationDir::builder(env!("CARGO_BIN_EXE_demo"))
        .conf(conf)
        .build();
    follow(&station, &authors, &[&relay.url()]);
    let output = sync(&station, &[]);
    output.expect_code(3);
    assert_eq!(report(&output)["outcome"], "nothing_done");
    expect_logged(
        &station,
        "strfry import ended 3 times without storing anything, exit status: 1: ",
    );
    expect_logged(&station, "Unable to set NOFILES limit to 4000000000");
    expect_logged(&station, "then run again");
    assert!(!station.read(LOG).contains("Backfill process completed"));
    // What is mended brings all.
    station.write("strfry/strfry.conf", conf.replace("4000000000", "0"));
    sync_all(&station, &[]);
    expect_stored(&station, &events);
}

#[test]
fn a_strfry_that_is_killed_in_the_middle_is_fed_again() {
    let authors = Author::many(5);
    let events = notes(&authors, &PLAIN_KINDS, 1500, recent(), 30_000);
    let slow = Behaviour {
        deliver_delay: Duration::from_micros(500),
        ..paged(500)
    };
    let relay = ScriptedRelay::start(&events, slow);
    let station = station!();
    follow(&station, &authors, &[&relay.url()]);
    let running = command(&station, &[]).spawn();
    let pid = running.pid();
    // Once before it can have stored anything, and once after it may have.
    for sent in [300, 900] {
        let is_there = || relay.events_sent() > sent && !children(pid).is_empty();
        wait_until("strfry at work", is_there);
        children(pid).into_iter().for_each(kill);
        wait_until("another strfry", || {
            children(pid).is_empty() || relay.events_sent() > sent + 300
        });
    }
    let output = running.wait();
    output.expect_code(0);
    expect_stored(&station, &events);
    let replaced = report(&output)["import"]["replaced_children"]
        .as_u64()
        .unwrap();
    assert!((1..=2).contains(&replaced), "{output}");
    expect_logged(&station, "strfry import ended early, signal: 9 (SIGKILL)");
}

#[test]
fn a_strfry_that_dies_between_its_commits_is_fed_again() {
    let authors = Author::many(5);
    let events = notes(&authors, &PLAIN_KINDS, 1500, recent(), 30_000);
    let relay = ScriptedRelay::start(&events, paged(500));
    let station = StationDir::builder(env!("CARGO_BIN_EXE_demo"))
        .stand_in()
        .build();
    follow(&station, &authors, &[&relay.url()]);
    // Each child lives for 450 lines, of which it commits 400.
    let dying = command(&station, &[])
        .env("STANDIN_DIE_AFTER", "450")
        .env("STANDIN_COMMIT_EVERY", "100");
    let output = dying.output();
    output.expect_code(0);
    expect_stored(&station, &events);
    assert_eq!(report(&output)["import"]["replaced_children"], 3);
}

#[test]
fn a_full_disk_keeps_what_was_stored_and_says_what_to_do() {
    let authors = Author::many(5);
    let before = notes(&authors, &PLAIN_KINDS, 100, recent() - 40_000, 3000);
    let events = notes(&authors, &PLAIN_KINDS, 6000, recent(), 30_000);
    let relay = ScriptedRelay::start(&events, paged(500));
    // The real one has a map that is soon full; the stand-in is told to be.
    let conf = "db = \"./strfry-db/\"\ndbParams {\n    mapsize = 6291456\n}\nrelay {\n    nofiles = 0\n}\n";
    let station = StationDir::builder(env!("CARGO_BIN_EXE_demo"))
        .conf(conf)
        .build();
    follow(&station, &authors, &[&relay.url()]);
    station.import(&before);
    let run = || {
        command(&station, &[])
            .env("STANDIN_DISK_FULL_AFTER", "900")
            .env("STANDIN_COMMIT_EVERY", "100")
            .env("STANDIN_ONLY", "import")
            .output()
    };
    let output = run();
    output.expect_code(3).expect_stderr("MDB_MAP_FULL");
    output.expect_stderr("check the free disk space, dbParams.mapsize");
    assert_eq!(report(&output)["outcome"], "nothing_done");
    let stored = station.stored_ids();
    assert!(before.iter().all(|event| stored.contains(&event.id)));
    if station.stands_in() {
        assert_eq!(stored.len(), 900);
    }
    // Room is made: the rest comes.
    station.write("strfry/strfry.conf", conf.replace("6291456", "1073741824"));
    sync_all(&station, &[]);
    expect_stored(&station, &[before, events].concat());
}

#[test]
fn what_strfry_refuses_is_counted_and_said() {
    let author = Author::new(1);
    let events = [author.note(recent(), "x"), author.note(recent() - 9, "y")];
    let odd = author.sign(
        1,
        recent() - 5,
        &[&["e", "abc"]],
        "a tag that strfry does not take",
    );
    let told = odd.to_json();
    let station = station!();
    let behaviour = Behaviour {
        extra: vec![told],
        ..paged(500)
    };
    let relay = ScriptedRelay::start(&events, behaviour);
    follow(&station, &[author], &[&relay.url()]);
    let report = sync_all(&station, &[]);
    expect_stored(&station, &events);
    assert_eq!(
        report["import"]["rejected"]["unexpected size for fixed-size tag: e"], 1,
        "{report}"
    );
    assert_eq!(said(&station, "SYNC_IMPORT: ")["rejected"], 1);
    assert_eq!(refused(&report, "forged"), 0);
    expect_logged(
        &station,
        "strfry rejected 1 event: unexpected size for fixed-size tag: e",
    );
}

/// strfry spells the character DEL otherwise than NIP-01 when it computes an id.
#[test]
fn an_event_that_strfry_hashes_otherwise_is_named_and_not_fetched_again() {
    let author = Author::new(1);
    let odd = author.note(recent(), "a\u{7f}b");
    let plain = author.note(recent(), "ab");
    let relay = ScriptedRelay::start(&[odd.clone(), plain.clone()], Behaviour::default());
    let station = station!();
    follow(&station, std::slice::from_ref(&author), &[&relay.url()]);
    let report = sync_all(&station, &["--verify"]);
    let rejected = report["import"]["rejected"].to_string();
    assert!(rejected.contains("it holds the character DEL"), "{report}");
    expect_stored(&station, std::slice::from_ref(&plain));
    sync_all(&station, &["--verify"]);
    assert_eq!(relay.events_sent(), 2, "it is not fetched again");
    let why = station
        .command("constellation-sync")
        .args(["why", &odd.id.to_hex()])
        .env("CONSTELLATION_VERIFY", "true")
        .output();
    assert!(why.stdout.contains("holds_del"), "{why}");
    // Without, it comes in.
    sync_all(&station, &["--days", "0"]);
    expect_stored(&station, &[odd, plain]);
}
