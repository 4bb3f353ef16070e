//! Who is on the blacklist stays out: from the moment that a key is on it, and also while the settings
//! do not say for certain which list counts.

use std::collections::BTreeSet;
use std::time::Duration;

use constellation_shared::EventId;
use constellation_tests::author::notes;
use constellation_tests::command::wait_until;
use constellation_tests::station::ids;
use constellation_tests::sync_program::{
    PLAIN_KINDS, command, follow, paged, recent, refused, report, sync_all,
};
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};

#[test]
fn a_key_that_is_blacklisted_in_the_middle_of_a_run_is_kept_out_from_then_on() {
    let authors = Author::many(2);
    let events = notes(&authors, &PLAIN_KINDS, 2000, recent(), 30_000);
    let slow = Behaviour {
        deliver_delay: Duration::from_millis(1),
        ..paged(500)
    };
    let relay = ScriptedRelay::start(&events, slow);
    let station = station!();
    follow(&station, &authors, &[&relay.url()]);
    let running = command(&station, &[]).spawn();
    wait_until("some events", || relay.events_sent() > 300);
    station.blacklist(&[authors[0].pubkey()]);
    // The friends' list pardons nobody any more.
    station.friends(&[authors[1].pubkey()]);
    let output = running.wait();
    let stored = station.stored();
    let count = |author: &Author| {
        let of = |author: &Author| {
            events
                .iter()
                .filter(|e| e.pubkey == author.pubkey())
                .count()
        };
        let stored = stored.iter().filter(|e| e.pubkey == author.pubkey());
        (stored.count(), of(author))
    };
    let (blocked, of_blocked) = count(&authors[0]);
    let (followed, of_followed) = count(&authors[1]);
    assert_eq!(followed, of_followed, "{output}");
    assert!(
        blocked < of_blocked - 200,
        "{blocked} of {of_blocked} came in\n{output}"
    );
    let refused = refused(&report(&output), "blocked");
    assert_eq!(refused, (of_blocked - blocked) as u64, "{output}");
    // None of them is held against anybody: once its author is pardoned, they come.
    let memory = station.root().join("strfry/constellation-refused.txt");
    let memory = std::fs::read_to_string(memory).unwrap_or_default();
    assert!(
        events
            .iter()
            .all(|event| !memory.contains(&event.id.to_hex()))
    );
}

#[test]
fn a_faulty_line_of_the_blacklist_is_reported_once_a_run() {
    let authors = Author::many(2);
    let events = notes(&authors, &PLAIN_KINDS, 20, recent(), 3000);
    let relay = ScriptedRelay::start(&events, Behaviour::default());
    let station = station!();
    follow(&station, &authors, &[&relay.url()]);
    station.write("strfry/blacklist.txt", "nonsense\n");
    sync_all(&station, &[]);
    assert_eq!(station.stored_ids(), ids(&events));
    let log = station.read("strfry/constellation-backfill.log");
    assert_eq!(log.matches("1 line skipped").count(), 1, "{log}");
}

/// What a strfry that hangs was given is fed to another one. Until then the lists may have changed.
#[test]
fn events_that_are_fed_again_stay_out_if_their_author_was_blacklisted_meanwhile() {
    let authors = Author::many(2);
    let events = notes(&authors, &PLAIN_KINDS, 100, recent(), 3000);
    let relay = ScriptedRelay::start(&events, Behaviour::default());
    let station = StationDir::builder(env!("CARGO_BIN_EXE_demo"))
        .stand_in()
        .build();
    follow(&station, &authors, &[&relay.url()]);
    let hung = station.home().join("hung");
    let running = command(&station, &["--strfry-patience", "3"])
        .env("STANDIN_HANG", "1")
        .env("STANDIN_ONLY", "import")
        .env("STANDIN_ONCE", &hung)
        .spawn();
    wait_until("an import that hangs", || hung.exists());
    station.blacklist(&[authors[0].pubkey()]);
    station.friends(&[authors[1].pubkey()]);
    let output = running.wait();
    let of = |author: &Author| {
        let of = events
            .iter()
            .filter(|event| event.pubkey == author.pubkey());
        of.map(|event| event.id).collect::<BTreeSet<EventId>>()
    };
    assert_eq!(station.stored_ids(), of(&authors[1]), "{output}");
    let report = report(&output);
    assert_eq!(refused(&report, "blocked"), of(&authors[0]).len() as u64);
    assert_eq!(report["outcome"], "complete");
    // None of them is held against anybody: once its author is pardoned, they come.
    station.friends(&[authors[0].pubkey(), authors[1].pubkey()]);
    sync_all(&station, &[]);
    assert_eq!(station.stored_ids(), ids(&events));
}

#[test]
fn nothing_is_synced_while_a_broken_settings_file_may_name_another_blacklist() {
    let authors = Author::many(2);
    let events = notes(&authors, &PLAIN_KINDS, 10, recent(), 300);
    let relay = ScriptedRelay::start(&events, paged(500));
    let station = station!();
    follow(&station, &authors, &[&relay.url()]);
    station.write(
        "strfry/other.txt",
        format!("{}\n", authors[0].pubkey().to_hex()),
    );
    station.friends(&[authors[1].pubkey()]);
    let lists = "[lists]\nblacklist = 'other.txt'\n";
    station.write("strfry/constellation.toml", format!("{lists}x = \n"));
    let output = command(&station, &[]).output();
    output
        .expect_code(2)
        .expect_stderr("constellation.toml is not understood and may name another blacklist");
    assert_eq!(station.stored(), []);
    // Whoever names the list on the command line leaves nothing unknown.
    let other = station.strfry_dir().join("other.txt");
    let named = command(&station, &["--blacklist", &other.display().to_string()]);
    named.output().expect_code(0);
    assert!(!station.stored().is_empty());
}
