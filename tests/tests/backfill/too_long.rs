//! Events that strfry finds too long though its conf was read otherwise: they alone stay out.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use constellation_shared::Event;
use constellation_tests::relay::Nip77;
use constellation_tests::sync_program::{
    command, expect_logged, expect_stored, follow, recent, report, sync_all,
};
use constellation_tests::{Author, Behaviour, ScriptedRelay, station};

#[test]
fn an_event_that_strfry_alone_finds_too_long_keeps_no_other_out() {
    let author = Author::new(1);
    let note = |number: u64, length: usize| author.note(recent() - number, &"x".repeat(length));
    let long = |number: u64| number % 7 == 3;
    let events: Vec<Event> = (0..60)
        .map(|number| {
            note(
                number,
                if long(number) {
                    5000 - number as usize
                } else {
                    10
                },
            )
        })
        .collect();
    let fits: Vec<Event> = events
        .iter()
        .filter(|e| e.to_json().len() < 3000)
        .cloned()
        .collect();
    let reconciling = Behaviour {
        nip77: Nip77::Served,
        ..Behaviour::default()
    };
    let relay = ScriptedRelay::start(&events, reconciling);
    let station = station!();
    follow(&station, &[author], &[&relay.url()]);
    // What its own conf does not say.
    let wrapper = station.root().join("wrapper");
    let strfry = station.strfry().display().to_string();
    let script = format!("#!/bin/sh\nexec {strfry} --set=events.maxEventSize=3000 \"$@\"\n");
    fs::write(&wrapper, script).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    let output = command(&station, &["--strfry", wrapper.to_str().unwrap()]).output();
    output.expect_code(0);
    expect_stored(&station, &fits);
    let left_out = events.len() - fits.len();
    assert_eq!(report(&output)["refused"]["too_long"], left_out);
    expect_logged(&station, "bytes are more than strfry's events.maxEventSize");
    // They are remembered: nothing is fetched or tried again.
    let again = sync_all(&station, &["--strfry", wrapper.to_str().unwrap()]);
    assert_eq!(again["refused"].get("too_long"), None, "{again}");
    assert_eq!(again["import"]["events"], 0, "{again}");
}
