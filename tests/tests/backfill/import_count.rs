//! How many lines strfry read is compared with how many it was given: an import that read
//! something else is a failure, and what it did not read is not held against anybody.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use constellation_shared::Event;
use constellation_tests::author::notes;
use constellation_tests::relay::Nip77;
use constellation_tests::sync_program::{
    LOG, PLAIN_KINDS, command, expect_logged, expect_stored, follow, recent, report, sync_all,
};
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};

const REFUSED: &str = "strfry/constellation-refused.txt";
const MISSING: &str = "strfry/constellation-missing-profiles.json";

/// A wrapper around this station's strfry; `import` is this shell command, in which `strfry`
/// is the real one with its arguments.
fn wrapper(station: &StationDir, import: &str) -> PathBuf {
    let path = station.root().join("wrapper");
    let strfry = station.strfry().display().to_string();
    let script = format!(
        "#!/bin/sh\nstrfry() {{ {strfry} \"$@\"; }}\ncase \" $* \" in\n*\" import \"*) {import} ;;\n*) strfry \"$@\" ;;\nesac\n"
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Such a summary says nothing of the events, and whatever is not in the database after it may
/// never have reached it.
#[test]
fn a_summary_that_leaves_events_out_has_none_of_them_remembered_as_refused() {
    let (authors, events) = (Author::many(5), some_events());
    let station = station!();
    let relay = ScriptedRelay::start(&events, Behaviour::default());
    follow(&station, &authors, &[&relay.url()]);
    let said = "Done. Processed 300 lines. 0 added, 0 rejected, 0 dups";
    let path = wrapper(&station, &format!("cat >/dev/null; echo '{said}' >&2"));
    let strfry = ["--strfry", path.to_str().unwrap()];
    let output = command(&station, &strfry).output();
    expect_logged(
        &station,
        "strfry was given 300 events and does not say what became of 300 of them",
    );
    // What may be lost is no success, although the peer gave everything.
    output.expect_code(1);
    let report = report(&output);
    assert_eq!(report["success"], false, "{report}");
    assert_eq!(report["peers"][0]["complete"], true);
    sync_all(&station, &[]);
    expect_stored(&station, &events);
}

/// It says all that a strfry says, and the number of lines is right; the database says otherwise.
#[test]
fn an_import_that_only_claims_to_store_is_a_failure() {
    let authors = Author::many(5);
    for events in [some_events(), some_events()[..1].to_vec()] {
        let station = station!();
        let relay = ScriptedRelay::start(&events, Behaviour::default());
        follow(&station, &authors, &[&relay.url()]);
        let import =
            "n=$(grep -c .); echo \"Done. Processed $n lines. $n added, 0 rejected, 0 dups\" >&2";
        let path = wrapper(&station, import);
        let strfry = ["--strfry", path.to_str().unwrap()];
        let output = command(&station, &strfry).output();
        output.expect_code(3);
        assert_eq!(report(&output)["outcome"], "nothing_done");
        expect_logged(&station, "that were looked for is in the database");
        // Nothing is held against the events.
        sync_all(&station, &[]);
        expect_stored(&station, &events);
    }
}

fn some_events() -> Vec<Event> {
    notes(&Author::many(5), &PLAIN_KINDS, 300, recent(), 3000)
}

#[test]
fn an_import_that_reads_nothing_or_a_part_is_a_failure_and_nothing_is_held_against_the_events() {
    let (authors, events) = (Author::many(5), some_events());
    let reconciling = Behaviour {
        nip77: Nip77::Served,
        ..Behaviour::default()
    };
    for (import, read) in [
        // `docker exec` without `-i`.
        ("strfry \"$@\" </dev/null", " and read 0;"),
        ("cat >/dev/null; strfry \"$@\" </dev/null", " and read 0;"),
        (
            "cat >all; head -n 100 all >fed; strfry \"$@\" <fed",
            " and read 100;",
        ),
        (
            "cat >fed; sed 1s/^/x/ <fed | strfry \"$@\"",
            "other than the events that it was given",
        ),
    ] {
        let station = station!();
        let relay = ScriptedRelay::start(&events, reconciling.clone());
        follow(&station, &authors, &[&relay.url()]);
        let path = wrapper(&station, import);
        let strfry = ["--strfry", path.to_str().unwrap()];
        let output = command(&station, &strfry).output();
        output.expect_code(3);
        assert_eq!(report(&output)["outcome"], "nothing_done", "{import}");
        expect_logged(&station, read);
        expect_logged(&station, "docker exec -i");
        let log = station.read(LOG);
        assert!(!log.contains("Backfill process completed"), "{log}");
        let refused = fs::read_to_string(station.root().join(REFUSED)).unwrap_or_default();
        let held = events.iter().find(|e| refused.contains(&e.id.to_hex()));
        assert!(held.is_none(), "{import}: {refused}");
        // Once it is mended, all of them come.
        sync_all(&station, &[]);
        expect_stored(&station, &events);
    }
}

#[test]
fn a_full_sync_whose_import_reads_nothing_is_a_failure_too() {
    let author = Author::new(1);
    let (recent_note, profile) = (
        author.note(recent(), "x"),
        author.sign(0, recent() - 9_000_000, &[], "{\"name\":\"x\"}"),
    );
    let held = [recent_note.clone(), profile.clone()];
    let relay = ScriptedRelay::start(&held, Behaviour::default());
    let station = station!();
    follow(&station, std::slice::from_ref(&author), &[&relay.url()]);
    let path = wrapper(
        &station,
        "if mkdir once 2>/dev/null; then strfry \"$@\"; else strfry \"$@\" </dev/null; fi",
    );
    let output = command(&station, &["--strfry", path.to_str().unwrap()])
        .env_remove("CONSTELLATION_NO_PROFILES")
        .env("CONSTELLATION_NO_FALLBACK", "1")
        .output();
    output.expect_code(1);
    expect_stored(&station, std::slice::from_ref(&recent_note));
    expect_logged(
        &station,
        "was given 1 event and read 0; the import of the full syncs failed",
    );
    let missing = fs::read_to_string(station.root().join(MISSING)).unwrap_or_default();
    assert!(!missing.contains("asked_at"), "{missing}");
}
