//! Deletions (NIP-09): an author's own delete, another's do not, and none takes anything else
//! with it.

use constellation_shared::Event;
use constellation_tests::author::notes;
use constellation_tests::sync_program::{
    BOTH, PLAIN_KINDS, expect_stored, follow, lying_peer, paged, recent, refused, sync_all,
};
use constellation_tests::{Author, ScriptedRelay, station};

#[test]
fn another_author_s_deletion_deletes_nothing() {
    for nip77 in BOTH {
        let [alice, bob] = [1, 2].map(Author::new);
        let now = recent();
        let events = notes(std::slice::from_ref(&alice), &PLAIN_KINDS, 50, now, 3000);
        let targets: Vec<_> = events.iter().map(|event| event.id).collect();
        for at in [now + 20, now - 5000] {
            // Sent before the events that it names, or after them.
            let held = [&events[..], &[bob.delete(at, &targets)]].concat();
            let station = station!();
            let _relay = lying_peer(
                &station,
                &[alice.clone(), bob.clone()],
                &held,
                Vec::new(),
                nip77,
            );
            let report = sync_all(&station, &[]);
            assert_eq!(refused(&report, "deleted"), 0);
            expect_stored(&station, &held);
        }
    }
}

#[test]
fn its_own_author_s_deletion_deletes() {
    for nip77 in BOTH {
        let alice = Author::new(1);
        let now = recent();
        let events = notes(std::slice::from_ref(&alice), &PLAIN_KINDS, 50, now, 3000);
        for at in [now + 20, now - 5000] {
            let deletion = alice.delete(at, &[events[7].id, events[8].id]);
            let held = [&events[..], std::slice::from_ref(&deletion)].concat();
            let station = station!();
            let _relay = lying_peer(
                &station,
                std::slice::from_ref(&alice),
                &held,
                Vec::new(),
                nip77,
            );
            sync_all(&station, &[]);
            let left = held
                .iter()
                .filter(|e| e.id != events[7].id && e.id != events[8].id);
            expect_stored(&station, &left.cloned().collect::<Vec<_>>());
        }
    }
}

#[test]
fn many_deletions_at_once_lose_nothing_else() {
    let authors = Author::many(4);
    let now = recent();
    let events = notes(&authors, &PLAIN_KINDS, 800, now, 3000);
    let (doomed, safe) = events.split_at(200);
    let author_of = |event: &Event| authors.iter().find(|a| a.pubkey() == event.pubkey).unwrap();
    // A hundred of one event each, some older than it; and one for each author that names
    // all the rest, its own and the others'.
    let mut deletions: Vec<Event> = Vec::new();
    for (number, event) in (0..).zip(&doomed[..100]) {
        deletions.push(author_of(event).delete(now - 4000 + 30 * number, &[event.id]));
    }
    let rest: Vec<_> = doomed[100..].iter().map(|event| event.id).collect();
    deletions.extend(authors.iter().map(|author| author.delete(now + 30, &rest)));
    let held = [&events[..], &deletions].concat();
    let halves = [&held[..500], &held[400..]].map(|held| ScriptedRelay::start(held, paged(100)));
    let station = station!();
    let urls = halves.each_ref().map(ScriptedRelay::url);
    follow(&station, &authors, &urls.each_ref().map(String::as_str));
    sync_all(&station, &[]);
    expect_stored(&station, &[safe, &deletions].concat());
}
