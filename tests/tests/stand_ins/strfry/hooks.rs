//! The variables that make the stand-in fail; a real strfry does not know them.

use constellation_shared::Event;
use constellation_tests::station::ids;
use constellation_tests::{Author, StationDir};

use super::case::{NOW, lines};

fn failing() -> (StationDir, Vec<Event>, Vec<u8>) {
    let station = StationDir::builder(env!("CARGO_BIN_EXE_demo"))
        .stand_in()
        .build();
    let events: Vec<Event> = (0..30)
        .map(|age| Author::new(1).note(NOW - age, "x"))
        .collect();
    let lines = lines(&events.iter().collect::<Vec<_>>());
    (station, events, lines)
}

#[test]
fn exit_hang_and_noise() {
    let (station, events, lines) = failing();
    let scan = || station.strfry_command().args(["scan", "{}"]);
    let import = || station.strfry_command().arg("import").stdin(lines.clone());
    scan()
        .env("STANDIN_EXIT", "1")
        .output()
        .expect_code(1)
        .expect_stderr("strfry error: ");
    scan()
        .env("STANDIN_EXIT", "1")
        .env("STANDIN_ONLY", "import")
        .output()
        .expect_code(0);

    let once = station.home().join("once");
    let twice = || scan().env("STANDIN_EXIT", "7").env("STANDIN_ONCE", &once);
    twice().output().expect_code(7);
    twice().output().expect_code(0);

    let mut hung = scan().env("STANDIN_HANG", "1").spawn();
    assert!(hung.is_running());
    drop(hung);

    let loud = import().env("STANDIN_NOISE", "1").output();
    loud.expect_code(0).expect_stderr("[noise           ]");
    assert!(loud.stderr.contains("Done. Processed 30 lines. 30 added"));
    assert_eq!(station.stored_ids(), ids(&events));
}

#[test]
fn dying_loses_what_was_not_committed() {
    let (station, events, lines) = failing();
    let import = || station.strfry_command().arg("import").stdin(lines.clone());
    let killed = import()
        .env("STANDIN_DIE_AFTER", "25")
        .env("STANDIN_COMMIT_EVERY", "10");
    killed.output().expect_signal(9).expect_not_stderr("Done.");
    assert_eq!(station.stored_ids(), ids(&events[..20]));
    import()
        .output()
        .expect_code(0)
        .expect_stderr("30 lines. 10 added, 0 rejected, 20 dups");
}

#[test]
fn a_full_disk_keeps_what_was_committed() {
    let (station, events, lines) = failing();
    let import = || station.strfry_command().arg("import").stdin(lines.clone());
    let full = import()
        .env("STANDIN_DISK_FULL_AFTER", "15")
        .env("STANDIN_COMMIT_EVERY", "10");
    full.output().expect_signal(6).expect_stderr(
        "  what():  mdb_put: MDB_MAP_FULL: Environment mapsize limit reached\n\n\
         Loguru caught a signal: SIGABRT\n",
    );
    assert_eq!(station.stored_ids(), ids(&events[..10]));
}
