//! Peers that refuse to reconcile (NIP-77), break off in the middle of it, or lie in it:
//! everything comes all the same, within bounds, and the log says why.

use std::time::Instant;

use constellation_shared::{Event, EventId};
use constellation_tests::author::notes;
use constellation_tests::relay::Nip77;
use constellation_tests::sync_program::{
    DAY, PLAIN_KINDS, expect_logged, expect_stored, follow, recent, report, sync, sync_all,
};
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};
use serde_json::{Value, json};

const LEARNED: &str = "strfry/constellation-peers.json";

fn reconciling(nip77: Nip77) -> Behaviour {
    Behaviour {
        nip77,
        ..Behaviour::default()
    }
}

fn authors_and_events() -> (Vec<Author>, Vec<Event>) {
    let authors = Author::many(5);
    let events = notes(&authors, &PLAIN_KINDS, 700, recent(), 3000);
    (authors, events)
}

fn with_peer(events: &[Event], behaviour: Behaviour) -> (StationDir, ScriptedRelay) {
    let station = station!();
    let relay = ScriptedRelay::start(events, behaviour);
    follow(&station, &Author::many(5), &[&relay.url()]);
    (station, relay)
}

fn peer(report: &Value) -> &Value {
    &report["peers"][0]
}

#[test]
fn every_refusal_ends_complete_by_paging_and_is_remembered_for_an_hour() {
    for (nip77, why) in [
        (
            Nip77::RefusedByNotice,
            "it refuses to reconcile: \"bad msg: negentropy disabled\"",
        ),
        (
            Nip77::NeverAnswers,
            "it says that it reconciles, and does not go on",
        ),
        (
            Nip77::FallsSilent,
            "it says that it reconciles, and does not go on",
        ),
        (
            Nip77::Refuses("closed: not today"),
            "it refuses to reconcile: \"closed: not today\"",
        ),
        (
            Nip77::Refuses("error: out of memory"),
            "it refuses to reconcile: \"error: out of memory\"",
        ),
        (
            Nip77::Refuses("blocked: too many query results"),
            "it reconciles no such number of events at once",
        ),
        (
            Nip77::NeverEnds,
            "its reconciliation does not come to an end",
        ),
        (Nip77::Garbage, "its reconciliation message is not hex"),
    ] {
        let (_, events) = authors_and_events();
        let (station, relay) = with_peer(&events, reconciling(nip77));
        let report = sync_all(&station, &["--patience", "2"]);
        expect_stored(&station, &events);
        assert_eq!(peer(&report)["reconciled"], false, "{nip77:?}");
        expect_logged(
            &station,
            &format!("{}: {why}; its events are paged through", relay.url()),
        );
        let tried = relay.reconciliations();
        assert!(
            (1..=50).contains(&tried),
            "{nip77:?}: {tried} reconciliations"
        );
        sync_all(&station, &["--patience", "2"]);
        assert_eq!(relay.reconciliations(), tried, "{nip77:?} is remembered");
        assert!(station.read(LEARNED).contains("\"negentropy\":false"));
    }
}

#[test]
fn a_peer_that_reconciles_few_events_at_once_is_asked_for_shorter_times() {
    let (_, events) = authors_and_events();
    let behaviour = Behaviour {
        max_sync_events: 40,
        ..Behaviour::default()
    };
    let (station, relay) = with_peer(&events, behaviour);
    let report = sync_all(&station, &[]);
    expect_stored(&station, &events);
    assert_eq!(peer(&report)["reconciled"], true);
    assert!(relay.reconciliations() > 700 / 40);
}

#[test]
fn a_connection_that_breaks_in_the_middle_is_made_anew_and_goes_on() {
    let (_, events) = authors_and_events();
    let (station, relay) = with_peer(&events, reconciling(Nip77::BreaksOffOnce));
    let report = sync_all(&station, &[]);
    expect_stored(&station, &events);
    assert_eq!(peer(&report)["reconciled"], true, "{report}");
    assert!(relay.reconciliations() >= 2);
}

#[test]
fn ids_that_are_listed_several_times_are_fetched_once() {
    let (_, events) = authors_and_events();
    let (station, relay) = with_peer(&events, reconciling(Nip77::Repeats));
    let report = sync_all(&station, &[]);
    expect_stored(&station, &events);
    assert_eq!(peer(&report)["reconciled"], true, "{report}");
    assert_eq!(relay.events_sent(), events.len() as u64);
}

#[test]
fn a_peer_that_lists_events_and_does_not_send_them_did_not_give_everything() {
    let (_, events) = authors_and_events();
    let (station, _relay) = with_peer(&events, reconciling(Nip77::Invents(10)));
    let output = sync(&station, &[]);
    output.expect_code(1);
    let report = report(&output);
    assert_eq!(peer(&report)["code"], "withheld", "{report}");
    expect_stored(&station, &events);
    // Ten in the question for kind 4, and ten in that for the other kinds.
    assert_eq!(report["undelivered"], json!({"4": 10, "unknown": 10}));
    expect_logged(&station, "700 of 720 missing events came");
    expect_logged(&station, "Undelivered, by kind: 4=10 unknown=10:");
}

#[test]
fn listed_and_withheld_events_are_reported_by_kind() {
    let authors = Author::many(5);
    let events = notes(&authors, &[1, 7], 300, recent(), 3000);
    let withheld = |event: &&Event| event.kind == 7 && event.content.len().is_multiple_of(2);
    let count = events.iter().filter(withheld).count();
    assert!(count > 10);
    let behaviour = Behaviour {
        withholds: events
            .iter()
            .filter(withheld)
            .map(|event| event.id)
            .collect(),
        ..Behaviour::default()
    };
    let (station, _relay) = with_peer(&events, behaviour);
    let output = sync(&station, &[]);
    output.expect_code(1);
    let report = report(&output);
    assert_eq!(report["undelivered"], json!({"7": count}));
    let failure = format!("it lists {count} events that it does not send");
    assert_eq!(peer(&report)["failure"], failure, "{report}");
    expect_stored(
        &station,
        &events
            .iter()
            .filter(|event| !withheld(event))
            .cloned()
            .collect::<Vec<_>>(),
    );
}

/// Relays show them only to clients who say who they are, and some list them to everybody.
#[test]
fn any_number_of_direct_messages_may_be_listed_and_withheld() {
    let authors = Author::many(5);
    let events = notes(&authors, &[1, 7], 100, recent(), 3000);
    let messages = notes(&authors, &[4], 2500, recent(), 3000);
    let behaviour = Behaviour {
        withholds: messages.iter().map(|event| event.id).collect(),
        ..Behaviour::default()
    };
    let (station, _relay) = with_peer(&[&events[..], &messages].concat(), behaviour);
    let report = sync_all(&station, &[]);
    assert_eq!(report["undelivered"], json!({"4": 2500}));
    assert!(peer(&report)["bytes_sent"].as_u64().unwrap() < 400_000);
    expect_stored(&station, &events);
}

/// Direct messages may be withheld. That these are some is another peer's word.
#[test]
fn one_peer_cannot_excuse_what_another_withholds() {
    let (_, events) = authors_and_events();
    let withheld: Vec<Event> = events[..20].to_vec();
    let behaviour = Behaviour {
        withholds: withheld.iter().map(|event| event.id).collect(),
        ..Behaviour::default()
    };
    let (station, withholding) = with_peer(&events, behaviour.clone());
    let as_messages: Vec<Event> = withheld
        .iter()
        .map(|event| Event {
            kind: 4,
            ..event.clone()
        })
        .collect();
    let liar = ScriptedRelay::start(&as_messages, behaviour);
    follow(
        &station,
        &Author::many(5),
        &[&withholding.url(), &liar.url()],
    );
    let output = sync(&station, &[]);
    output.expect_code(1);
    let report = report(&output);
    let peers = report["peers"].as_array().unwrap();
    let of = |url: String| peers.iter().find(|peer| peer["url"] == url).unwrap();
    assert_eq!(of(withholding.url())["code"], "withheld", "{report}");
    assert_eq!(of(liar.url())["complete"], true, "{report}");
    expect_stored(&station, &events[20..]);
}

#[test]
fn a_peer_that_lists_what_it_does_not_have_is_paged_through_and_holds_nobody_up() {
    let (_, events) = authors_and_events();
    let honest = ScriptedRelay::start(&events, Behaviour::default());
    for invented in [20_000, 300_000] {
        let (station, liar) = with_peer(&events[..350], reconciling(Nip77::Invents(invented)));
        follow(&station, &Author::many(5), &[&liar.url(), &honest.url()]);
        let start = Instant::now();
        let output = sync(&station, &[]);
        output.expect_code(0);
        expect_stored(&station, &events);
        let report = report(&output);
        assert!(start.elapsed().as_secs() < 60);
        expect_logged(
            &station,
            "it lists more than 10000 events that it does not send; its events are paged through",
        );
        let peers = report["peers"].as_array().unwrap();
        let honest = peers
            .iter()
            .find(|peer| peer["url"] == honest.url())
            .unwrap();
        assert_eq!(honest["reconciled"], true);
    }
}

/// It was asked about ever shorter times, down to each second of a day.
#[test]
fn a_peer_that_always_lists_what_was_refused_is_reconciled_with_all_the_same() {
    const MANY: u64 = 90_000;
    let (_, events) = authors_and_events();
    let (station, relay) = with_peer(&events, reconciling(Nip77::Insists(MANY as usize)));
    let now = recent();
    let refused = (0..MANY).map(|number| {
        let id = EventId::from_bytes(Nip77::invented(0, number));
        format!("{now} {id} *\n")
    });
    let refused = "constellation-refused 1\n".to_owned() + &refused.collect::<String>();
    station.write("strfry/constellation-refused.txt", refused);
    let report = sync_all(&station, &[]);
    expect_stored(&station, &events);
    assert_eq!(peer(&report)["reconciled"], true);
    let questions = relay.received();
    let compared = questions.iter().filter(|text| text.contains("NEG-OPEN"));
    // Of kind 4 and of the others.
    assert_eq!(compared.count(), 2);
}

#[test]
fn what_was_refused_once_is_not_downloaded_again_unless_everything_is_wanted() {
    let (authors, events) = authors_and_events();
    let greetings: Vec<Event> = (0..50)
        .map(|number| authors[0].note(recent() - number, &format!("Hello NOSTR visitor {number}")))
        .collect();
    let (station, relay) = with_peer(&[&events[..], &greetings].concat(), Behaviour::default());
    let report = sync_all(&station, &[]);
    assert_eq!(report["refused"], json!({"visitor": 50}));
    assert_eq!(relay.events_sent(), 750);
    let report = sync_all(&station, &[]);
    assert_eq!(relay.events_sent(), 750, "nothing is sent again");
    assert_eq!(report["refused"], json!({}));
    let report = sync_all(&station, &["--days", "0"]);
    assert_eq!(relay.events_sent(), 800);
    assert_eq!(report["refused"], json!({"visitor": 50}));
    expect_stored(&station, &events);
}

#[test]
fn an_event_that_was_replaced_here_is_not_downloaded_each_time() {
    let author = &Author::many(5)[0];
    let old = author.sign(0, recent() - DAY / 2, &[], "{\"name\":\"old\"}");
    let new = author.sign(0, recent(), &[], "{\"name\":\"new\"}");
    let (station, relay) = with_peer(std::slice::from_ref(&old), Behaviour::default());
    station.import(std::slice::from_ref(&new));
    sync_all(&station, &[]);
    assert_eq!(relay.events_sent(), 1);
    sync_all(&station, &[]);
    assert_eq!(relay.events_sent(), 1, "it is known to be replaced");
    expect_stored(&station, &[new]);
}

/// What a run and its only peer sent each other, in bytes.
fn bytes_both_ways(report: &Value) -> u64 {
    let peer = peer(report);
    peer["bytes"].as_u64().unwrap() + peer["bytes_sent"].as_u64().unwrap()
}

#[test]
fn what_is_refused_for_good_costs_nothing_in_a_quiet_hour() {
    let (authors, events) = authors_and_events();
    let greetings: Vec<Event> = (0..109)
        .map(|number| {
            let time = recent() - 25 * number;
            authors[0].note(time, &format!("Hello NOSTR visitor {number}"))
        })
        .collect();
    let (station, relay) = with_peer(&[&events[..], &greetings].concat(), Behaviour::default());
    let report = sync_all(&station, &[]);
    assert_eq!(report["refused"], json!({"visitor": 109}));
    let quiet = sync_all(&station, &[]);
    assert_eq!(relay.events_sent(), 700 + 109, "nothing is sent again");
    let bytes = bytes_both_ways(&quiet);
    assert!(bytes < 3000, "{bytes} bytes of a quiet hour");
    expect_stored(&station, &events);
}

/// A refusal of the future ends when its time has come, and that of a long event once strfry takes
/// longer ones. Both stood in the set that was compared until then.
#[test]
fn what_was_refused_comes_once_its_reason_has_ended() {
    let (authors, events) = authors_and_events();
    let long = authors[0].note(recent(), &"x".repeat(70_000));
    let (station, relay) = with_peer(
        &[&events[..], std::slice::from_ref(&long)].concat(),
        Behaviour::default(),
    );
    let report = sync_all(&station, &[]);
    assert_eq!(report["refused"], json!({"too_long": 1}));
    let sent = relay.events_sent();
    sync_all(&station, &[]);
    assert_eq!(relay.events_sent(), sent);
    station.write(
        "strfry/strfry.conf",
        "db = \"./strfry-db/\"\nrelay.nofiles = 0\nevents {\n    maxEventSize = 131072\n}\n",
    );
    sync_all(&station, &[]);
    assert_eq!(relay.events_sent(), sent + 1);
    expect_stored(&station, &[&events[..], &[long]].concat());
}
