//! Everything that a peer would serve ends in the station's strfry, whatever its limits.

use constellation_shared::Event;
use constellation_tests::author::notes;
use constellation_tests::library_relay::LibraryRelay;
use constellation_tests::relay::{Nip11, Nip77};
use constellation_tests::sync_program::{
    DAY, PLAIN_KINDS, all_kinds, expect_logged, expect_stored, follow, paged, recent, sync,
    sync_all,
};
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};

/// A station that follows these authors, and a peer that holds these events.
fn with_peer(
    authors: &[Author],
    events: &[Event],
    behaviour: Behaviour,
) -> (StationDir, ScriptedRelay) {
    let station = station!();
    let relay = ScriptedRelay::start(events, behaviour);
    follow(&station, authors, &[&relay.url()]);
    (station, relay)
}

#[track_caller]
fn everything_comes(authors: &[Author], events: &[Event], behaviour: &Behaviour) {
    for args in [&[][..], &["--no-negentropy"]] {
        let behaviour = Behaviour {
            nip77: Nip77::Served,
            ..behaviour.clone()
        };
        let (station, _relay) = with_peer(authors, events, behaviour);
        let report = sync_all(&station, args);
        assert_eq!(report["events"], events.len(), "{args:?}");
        assert_eq!(report["import"]["added"], events.len(), "{args:?}");
        expect_stored(&station, events);
    }
}

#[test]
fn twenty_thousand_events_behind_a_limit_of_500() {
    let authors = Author::many(100);
    let events = notes(&authors, &all_kinds(), 20_000, recent(), DAY - 600);
    everything_comes(&authors, &events, &paged(500));
}

#[test]
fn twelve_hundred_events_in_one_second() {
    let authors = Author::many(6);
    let mut events = notes(&authors, &PLAIN_KINDS, 1200, recent() - 500, 0);
    // And some on either side of it.
    events.extend(notes(&authors, &PLAIN_KINDS, 100, recent() - 510, 20));
    events.extend(notes(&authors, &PLAIN_KINDS, 100, recent() - 400, 99));
    everything_comes(&authors, &events, &paged(500));
}

#[test]
fn a_second_that_cannot_be_had_whole_is_said() {
    let authors = Author::many(2);
    let events = notes(&authors[..1], &[1], 120, recent() - 500, 0);
    let (station, _relay) = with_peer(&authors, &events, paged(100));
    let output = sync(&station, &[]);
    output.expect_code(1);
    assert_eq!(station.stored().len(), 100, "{output}");
    expect_logged(&station, "it holds what could not be had: the second ");
    expect_logged(&station, &authors[0].pubkey().to_hex());
}

/// Whatever the relay says of itself, a question that only counts shows how many it sends.
#[test]
fn a_published_limit_that_is_too_high_hides_nothing_in_silence() {
    let authors = Author::many(2);
    let mut events = notes(&authors[..1], &[1], 120, recent() - 500, 0);
    events.extend(notes(&authors[1..], &[1], 30, recent() - 60_000, 9000));
    let overstating = Behaviour {
        nip11: Nip11::Body("{\"limitation\":{\"max_limit\":5000}}".to_owned()),
        ..paged(100)
    };
    let args = ["--days", "1"];
    let (station, _relay) = with_peer(&authors, &events[..120], overstating);
    sync(&station, &args).expect_code(1);
    expect_logged(
        &station,
        "or more events of kind 1, and the relay sends no more at once",
    );
    let truthful = Behaviour {
        nip11: Nip11::Absent,
        ..paged(500)
    };
    // 120 of one second, and some others: no gap, although the relay tells no limit.
    let (station, _relay) = with_peer(&authors, &events, truthful);
    sync_all(&station, &args);
    expect_stored(&station, &events);
}

#[test]
fn a_few_events_of_one_second_are_all_there_are() {
    let authors = Author::many(2);
    let events = notes(&authors[..1], &[1], 3, recent() - 500, 0);
    everything_comes(&authors, &events, &paged(500));
}

#[test]
fn three_peers_that_overlap() {
    let authors = Author::many(20);
    let events = notes(&authors, &all_kinds(), 1800, recent(), DAY / 2);
    let third: Vec<Event> = events.iter().step_by(3).cloned().collect();
    let relays = [&events[..1200], &events[600..], &third[..]]
        .map(|events| ScriptedRelay::start(events, paged(100)));
    let station = station!();
    let urls = relays.each_ref().map(ScriptedRelay::url);
    follow(&station, &authors, &urls.each_ref().map(String::as_str));
    let report = sync_all(&station, &[]);
    expect_stored(&station, &events);
    // Each was fed once, and each peer's share is counted.
    assert_eq!(report["import"]["events"], 1800);
    assert_eq!(report["import"]["dups"], 0);
    let peers = report["peers"].as_array().unwrap();
    let sum = |field: &str| peers.iter().filter_map(|peer| peer[field].as_u64()).sum();
    let collected: u64 = sum("collected");
    assert_eq!(collected, 1800);
    assert!(sum("received") >= 1200 + 1200 + 600);
}

#[test]
fn a_peer_that_sends_one_event_at_a_time() {
    let authors = Author::many(8);
    let mut events = notes(&authors, &PLAIN_KINDS, 40, recent(), 3000);
    // One second with an event of each author and kind.
    events.extend(notes(&authors, &PLAIN_KINDS, 40, recent() - 4000, 0));
    events.sort_by_key(|event| (event.created_at, event.pubkey, event.kind));
    events.dedup_by_key(|event| (event.created_at, event.pubkey, event.kind));
    everything_comes(&authors, &events, &paged(1));
}

#[test]
fn until_that_leaves_its_own_second_out() {
    let authors = Author::many(10);
    let mut events = notes(&authors, &PLAIN_KINDS, 900, recent(), 60);
    events.extend(notes(&authors, &PLAIN_KINDS, 300, recent() - 1000, 0));
    let behaviour = Behaviour {
        until_exclusive: true,
        ..paged(100)
    };
    everything_comes(&authors, &events, &behaviour);
}

#[test]
fn few_subscriptions_few_filters_short_messages() {
    let authors = Author::many(1500);
    let events = notes(&authors, &PLAIN_KINDS, 3000, recent(), DAY / 2);
    let behaviour = Behaviour {
        max_subscriptions: 5,
        max_filters: 20,
        max_frame: 65_536,
        ..paged(500)
    };
    let (station, relay) = with_peer(&authors, &events, behaviour);
    sync_all(&station, &[]);
    expect_stored(&station, &events);
    assert_eq!((relay.connections(), relay.documents()), (1, 1));
    assert!(relay.most_open() <= 5 && relay.most_open() > 1);
}

#[test]
fn very_short_messages() {
    let authors = Author::many(60);
    let events = notes(&authors, &PLAIN_KINDS, 300, recent(), 3000);
    let behaviour = Behaviour {
        max_frame: 2000,
        ..paged(500)
    };
    everything_comes(&authors, &events, &behaviour);
}

#[test]
fn what_a_peer_tells_of_its_limits_may_be_a_lie() {
    let authors = Author::many(300);
    let mut events = notes(&authors, &PLAIN_KINDS, 1500, recent(), 5000);
    events.extend(notes(&authors, &PLAIN_KINDS, 250, recent() - 6000, 0));
    let lie =
        r#"{"limitation":{"max_limit":5000,"max_subscriptions":200,"max_message_length":1000000}}"#;
    let lying = Behaviour {
        nip11: Nip11::Body(lie.to_owned()),
        max_subscriptions: 2,
        ..paged(100)
    };
    everything_comes(&authors, &events, &lying);
}

#[test]
fn a_peer_that_tells_nothing_of_itself() {
    let authors = Author::many(30);
    let events = notes(&authors, &PLAIN_KINDS, 900, recent(), 5000);
    let bodies = ["", "[]", "<html>", r#"{"limitation":{"max_limit":"x"}}"#];
    let bodies = bodies.map(|body| Nip11::Body(body.to_owned()));
    for nip11 in bodies.into_iter().chain([Nip11::Absent]) {
        let silent = Behaviour {
            nip11,
            max_subscriptions: 3,
            ..paged(100)
        };
        everything_comes(&authors, &events, &silent);
    }
}

#[test]
fn a_peer_whose_document_never_comes() {
    let authors = Author::many(30);
    let events = notes(&authors, &PLAIN_KINDS, 300, recent(), 5000);
    let hanging = Behaviour {
        nip11: Nip11::Hang,
        ..paged(100)
    };
    let (station, relay) = with_peer(&authors, &events, hanging);
    sync_all(&station, &["--patience", "2"]);
    expect_stored(&station, &events);
    // That it hangs is remembered.
    assert_eq!(relay.documents(), 1);
    sync_all(&station, &[]);
    assert_eq!(relay.documents(), 1);
}

#[test]
fn messages_that_mean_nothing_are_passed_over() {
    let authors = Author::many(5);
    let events = notes(&authors, &PLAIN_KINDS, 700, recent(), 5000);
    let greeting = [
        "",
        "nonsense",
        "[]",
        "{}",
        r#"["NOTICE","welcome"]"#,
        r#"["AUTH","challenge"]"#,
        r#"["EOSE","none of yours"]"#,
        r#"["CLOSED","none of yours","error: x"]"#,
        r#"["OK","x",true,""]"#,
        r#"["COUNT","x",{"count":1}]"#,
    ];
    let talking = Behaviour {
        greeting: greeting.map(str::to_owned).to_vec(),
        ..paged(500)
    };
    everything_comes(&authors, &events, &talking);
}

#[test]
fn direct_messages_kept_from_us_hide_nothing_else() {
    let authors = Author::many(3);
    let messages = notes(&authors, &[4], 700, recent(), 1000);
    let events = notes(&authors, &PLAIN_KINDS, 900, recent() - 2000, 1000);
    let restricted = Behaviour {
        restrict_dms: true,
        ..paged(500)
    };
    let (station, _relay) = with_peer(&authors, &[&messages[..], &events].concat(), restricted);
    let report = sync_all(&station, &[]);
    expect_stored(&station, &events);
    assert_eq!(
        report["peers"][0]["unreadable_kinds"],
        serde_json::json!([4])
    );
    expect_logged(
        &station,
        "shows kinds [4] only to clients who say who they are",
    );
}

#[test]
fn a_relay_that_other_people_wrote() {
    let authors = Author::many(20);
    let events = notes(&authors, &all_kinds(), 1500, recent(), DAY / 2);
    let relay = LibraryRelay::start(&events, 100);
    let station = station!();
    follow(&station, &authors, &[&relay.url()]);
    sync_all(&station, &[]);
    expect_stored(&station, &events);
}
