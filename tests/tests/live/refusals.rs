//! Relays that do not take the question for what is new as it is asked first.

use constellation_shared::Event;
use constellation_tests::author::{notes, now};
use constellation_tests::relay::{Nip11, Nip77, RefusedBy, Takes};
use constellation_tests::sync_program::{PLAIN_KINDS, follow};
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};

use crate::service::{end, live, questions, wait_for, wait_until_asked};

/// How many keys the station follows.
const KEYS: u64 = 40;

/// A station that follows 40 keys, and a relay that behaves so; and what the relay was asked.
fn followed_in_spite_of(behaviour: Behaviour) -> Vec<String> {
    let station = station!();
    let authors = Author::many(KEYS);
    let relay = ScriptedRelay::start(&[], behaviour);
    follow(&station, &authors, &[&relay.url()]);
    let service = live(&station);
    wait_until_asked(&relay, 1);
    tell_and_wait(&station, &relay, &authors);
    let asked = questions(&relay);
    end(service);
    asked
}

/// Events of three authors come, and those of a stranger do not, although the relay sends them to
/// whoever asks for all.
fn tell_and_wait(station: &StationDir, relay: &ScriptedRelay, authors: &[Author]) {
    let stranger = Author::new(999).note(now(), "nobody knows me");
    relay.publish(std::slice::from_ref(&stranger));
    for place in [0, 20, 39] {
        let event = authors[place].note(now(), "what is new");
        relay.publish(std::slice::from_ref(&event));
        wait_for(station, &[event]);
    }
    assert!(!station.stored_ids().contains(&stranger.id));
}

fn last_names_authors(asked: &[String]) -> bool {
    asked
        .last()
        .is_some_and(|text| text.contains("\"authors\""))
}

#[test]
fn a_relay_that_takes_fewer_authors_is_asked_for_fewer() {
    for by in [RefusedBy::Closed, RefusedBy::Notice] {
        let takes = Takes {
            authors: 10,
            by,
            ..Takes::refusing("invalid: too many authors")
        };
        let asked = followed_in_spite_of(Behaviour {
            takes: Some(takes),
            ..Behaviour::default()
        });
        assert!(asked.len() > 2, "{by:?} {asked:?}");
    }
}

#[test]
fn a_relay_that_wants_a_limit_above_0_is_asked_for_one_event() {
    let asked = followed_in_spite_of(Behaviour {
        refuse_limit_0: Some("invalid: limit must be positive"),
        ..Behaviour::default()
    });
    let last = asked.last().unwrap();
    assert!(
        last.contains("\"limit\":1") && last_names_authors(&asked),
        "{asked:?}"
    );
}

#[test]
fn a_relay_that_shows_some_kinds_to_nobody_is_asked_for_the_others() {
    let asked = followed_in_spite_of(Behaviour {
        restrict_dms: true,
        ..Behaviour::default()
    });
    assert!(last_names_authors(&asked), "{asked:?}");
}

#[test]
fn a_relay_without_room_for_the_authors_is_asked_for_the_kinds() {
    // Each question names at most 14 authors, and three are needed for each of two groups of kinds.
    let document = r#"{"limitation":{"max_message_length":2000,"max_subscriptions":5}}"#;
    let asked = followed_in_spite_of(Behaviour {
        nip11: Nip11::Body(document.to_owned()),
        ..Behaviour::default()
    });
    assert!(!last_names_authors(&asked), "{asked:?}");
}

#[test]
fn a_relay_that_cannot_reconcile_is_asked_for_what_was_missed_page_by_page() {
    let station = station!();
    let authors = Author::many(5);
    let behaviour = Behaviour {
        nip77: Nip77::Absent,
        max_limit: 50,
        ..Behaviour::default()
    };
    let relay = ScriptedRelay::start(&[], behaviour);
    follow(&station, &authors, &[&relay.url()]);
    let service = live(&station);
    wait_until_asked(&relay, 1);
    relay.go_away();
    let missed: Vec<Event> = notes(&authors, &PLAIN_KINDS, 200, now(), 60);
    relay.add(&missed);
    relay.come_back();
    wait_for(&station, &missed);
    wait_until_asked(&relay, 2);
    tell_and_wait_for_one(&station, &relay, &authors[0]);
    end(service);
}

fn tell_and_wait_for_one(station: &StationDir, relay: &ScriptedRelay, author: &Author) {
    let event = author.note(now(), "and after it");
    relay.publish(std::slice::from_ref(&event));
    wait_for(station, &[event]);
}
