//! A key that is blacklisted while a run goes on is kept out from then on.

use std::time::Duration;

use constellation_tests::author::notes;
use constellation_tests::command::wait_until;
use constellation_tests::sync_program::{
    PLAIN_KINDS, command, follow, paged, recent, refused, report,
};
use constellation_tests::{Author, Behaviour, ScriptedRelay, station};

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
