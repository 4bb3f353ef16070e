//! Peers that are dead, hang, refuse or break off: the others complete, and the log says
//! which it was and why.

use std::time::Duration;

use constellation_shared::Event;
use constellation_tests::author::notes;
use constellation_tests::relay::dead_url;
use constellation_tests::sync_program::{
    DAY, ERROR_LOG, PLAIN_KINDS, expect_logged, expect_stored, follow, paged, recent, report, said,
    sync, sync_all,
};
use constellation_tests::{Author, Behaviour, ScriptedRelay, station};
use serde_json::{Value, json};

/// Runs with a good peer and these, which fail: the good one's events come in, and the log
/// says of each of the others how often it was tried and why it was left.
#[track_caller]
fn the_others_complete(events: &[Event], bad: &[(String, u32, &str)]) {
    let authors = Author::many(5);
    let good = ScriptedRelay::start(events, paged(500));
    let station = station!();
    let urls: Vec<&str> = bad.iter().map(|(url, ..)| url.as_str()).collect();
    let good_url = good.url();
    follow(&station, &authors, &[&urls[..], &[&good_url]].concat());
    let output = sync(&station, &["--patience", "2"]);
    output.expect_code(1);
    expect_stored(&station, events);
    let peers = said(&station, "SYNC_PEERS: ");
    assert_eq!(
        (peers["success"], peers["total"]),
        (1, bad.len() as u64 + 1)
    );
    let report = report(&output);
    assert_eq!(report["outcome"], "some_peers_failed");
    for (url, attempts, why) in bad {
        let line = format!("WebSocket backfill failed after {attempts} attempts: {url}: {why}");
        expect_logged(&station, &line);
        assert!(station.read(ERROR_LOG).contains(&line));
        let peers = report["peers"].as_array().unwrap();
        let peer = peers.iter().find(|peer| peer["url"] == *url).unwrap();
        assert_eq!(peer["complete"], false);
        let failure = peer["failure"].as_str().unwrap();
        assert!(failure.contains(why), "{peer}");
        // The stable word for it, in the report and at the end of the line.
        let code = peer["code"].as_str().unwrap();
        expect_logged(&station, &format!("{url}: {failure} [{code}]"));
        let expected = match *why {
            why if why.starts_with("cannot connect to 127") => "connect_refused",
            why if why.starts_with("cannot connect to relay.invalid") => "no_such_host",
            why if why.starts_with("no connection") => "connect_timeout",
            why if why.starts_with("no progress") => "silent",
            why if why.starts_with("it asks for patience") => "rate_limited",
            other => panic!("{other}"),
        };
        assert_eq!(code, expected, "{peer}");
    }
    let peers = report["peers"].as_array().unwrap();
    let peer = peers.iter().find(|peer| peer["url"] == good_url).unwrap();
    assert_eq!(
        (&peer["complete"], &peer["failure"], &peer["code"]),
        (&json!(true), &json!(null), &json!(null))
    );
}

fn some_events() -> Vec<Event> {
    notes(&Author::many(5), &PLAIN_KINDS, 700, recent(), 3000)
}

#[test]
fn a_dead_peer_and_a_name_that_nobody_has() {
    let nameless = "ws://relay.invalid".to_owned();
    the_others_complete(
        &some_events(),
        &[
            (dead_url(), 3, "cannot connect to 127.0.0.1:"),
            (nameless, 3, "cannot connect to relay.invalid"),
        ],
    );
}

#[test]
fn peers_that_hang() {
    let events = some_events();
    let hanging = |behaviour: Behaviour| ScriptedRelay::start(&events[..500], behaviour);
    let mute = hanging(Behaviour {
        hang_handshake: true,
        ..paged(500)
    });
    let stuck = hanging(Behaviour {
        hang_after_events: Some(120),
        ..paged(500)
    });
    let endless = hanging(Behaviour {
        never_eose: true,
        ..paged(500)
    });
    the_others_complete(
        &events,
        &[
            (mute.url(), 3, "no connection to 127.0.0.1:"),
            (stuck.url(), 3, "no progress for 2 s"),
            (endless.url(), 3, "no progress for 2 s"),
        ],
    );
}

#[test]
fn a_peer_that_always_breaks_off_gives_what_it_gave() {
    let authors = Author::many(5);
    let events = some_events();
    let breaking = Behaviour {
        close_after_events: Some(200),
        ..paged(500)
    };
    let relay = ScriptedRelay::start(&events, breaking);
    let station = station!();
    follow(&station, &authors, &[&relay.url()]);
    let output = sync(&station, &[]);
    output.expect_code(1);
    expect_logged(&station, "WebSocket backfill failed after 3 attempts: ");
    assert_eq!(relay.connections(), 3);
    // The newest 200 came, and were taken.
    let mut newest = events.clone();
    newest.sort_by_key(|event| (std::cmp::Reverse(event.created_at), event.id));
    expect_stored(&station, &newest[..200]);
}

#[test]
fn a_peer_that_breaks_off_once_is_asked_for_the_rest() {
    let authors = Author::many(5);
    let events = notes(&authors, &PLAIN_KINDS, 3000, recent(), 30_000);
    let breaking = Behaviour {
        close_after_events: Some(2200),
        close_once: true,
        ..paged(500)
    };
    let relay = ScriptedRelay::start(&events, breaking);
    let station = station!();
    follow(&station, &authors, &[&relay.url()]);
    sync_all(&station, &[]);
    expect_stored(&station, &events);
    assert_eq!(relay.connections(), 2);
    // Of what had come, one page came again.
    assert!(relay.events_sent() < 3000 + 600, "{}", relay.events_sent());
    expect_logged(&station, "attempt 2 follows in ");
}

#[test]
fn a_peer_that_limits_its_rate_is_read_to_its_end_in_one_run() {
    let events = notes(&Author::many(5), &PLAIN_KINDS, 700, recent(), 3000);
    let limiting = Behaviour {
        requests_per_connection: Some(2),
        max_subscriptions: 1,
        ..paged(100)
    };
    let relay = ScriptedRelay::start(&events, limiting);
    let station = station!();
    follow(&station, &Author::many(5), &[&relay.url()]);
    sync(&station, &["--patience", "1"]).expect_code(0);
    expect_stored(&station, &events);
    expect_logged(&station, "attempt 4 follows in ");
    let sent = relay.events_sent();
    assert!(sent < 900, "no page is read again: {sent}");
}

#[test]
fn a_peer_that_limits_its_rate_is_read_to_its_end_over_several_runs() {
    let (authors, begin) = (Author::many(5), recent() - 10 * DAY);
    let old = notes(&authors, &PLAIN_KINDS, 900, begin, 100 * DAY);
    let limiting = |requests: u64| Behaviour {
        requests_in_all: Some(requests),
        max_subscriptions: 1,
        ..paged(100)
    };
    let relay = ScriptedRelay::start(&old, limiting(0));
    let station = station!();
    follow(&station, &authors, &[&relay.url()]);
    let mut events = old;
    let mut codes = Vec::new();
    for hour in 0..6 {
        let new = notes(&authors, &PLAIN_KINDS, 3, recent() - hour, 0);
        relay.add(&new);
        events.extend(new);
        // Two or three of them are for what is new.
        relay.behave(limiting(relay.requests() + 7));
        let args = ["--sweep", "--patience", "1", "--no-profiles"];
        let output = sync(&station, &args);
        let code = output.status.code();
        codes.push(code);
        if code == Some(0) {
            break;
        }
    }
    assert_eq!(codes.last(), Some(&Some(0)), "{codes:?}");
    assert!(codes.len() >= 3, "two runs are not enough: {codes:?}");
    expect_stored(&station, &events);
    let sent = relay.events_sent();
    assert!(sent < 1200, "no page is read again: {sent}");
    let ledger = station.read("strfry/constellation-coverage.json");
    let ledger: Value = serde_json::from_str(&ledger).unwrap();
    assert_eq!(ledger["places"], json!({}));
}

#[test]
fn a_peer_that_refuses_says_why() {
    let refusing = |reason: &str| {
        let behaviour = Behaviour {
            refuse: Some(reason.to_owned()),
            ..paged(500)
        };
        ScriptedRelay::start(&some_events(), behaviour)
    };
    let limited = refusing("rate-limited: slow down");
    the_others_complete(
        &some_events(),
        &[(
            limited.url(),
            6,
            "it asks for patience: \"rate-limited: slow down\"",
        )],
    );

    for (reason, said) in [
        (
            "blocked: not for you",
            "WebSocket backfill failed in part: URL: it holds what could not be had: ",
        ),
        (
            "auth-required: who are you?",
            "URL: it answers only clients who say who they are",
        ),
    ] {
        let (station, relay) = (station!(), refusing(reason));
        follow(&station, &Author::many(5), &[&relay.url()]);
        sync(&station, &[]).expect_code(1);
        expect_logged(&station, &said.replace("URL", &relay.url()));
    }
}

#[test]
fn a_peer_that_was_dead_gets_one_chance_and_takes_it() {
    let authors = Author::many(5);
    let events = some_events();
    let relay = ScriptedRelay::start(&events, Behaviour::default());
    relay.behave(Behaviour {
        hang_handshake: true,
        ..paged(500)
    });
    let station = station!();
    follow(&station, &authors, &[&relay.url()]);
    sync(&station, &["--patience", "1"]).expect_code(1);
    sync(&station, &["--patience", "1"]).expect_code(1);
    expect_logged(&station, "WebSocket backfill failed after 1 attempt: ");
    relay.behave(paged(500));
    sync_all(&station, &[]);
    expect_stored(&station, &events);
}

#[test]
fn a_peer_that_talks_without_end_is_left() {
    let chatter = vec![r#"["NOTICE","still here"]"#.to_owned(); 200_000];
    let talking = Behaviour {
        greeting: chatter,
        never_eose: true,
        ..paged(500)
    };
    let relay = ScriptedRelay::start(&[], talking);
    the_others_complete(&some_events(), &[(relay.url(), 3, "no progress for 2 s")]);
}

/// A run that backfills months takes long: it must not keep the lock from all later ones.
#[test]
fn a_run_ends_with_its_time_and_the_next_goes_on() {
    let authors = Author::many(5);
    let events = notes(&authors, &PLAIN_KINDS, 400, recent(), 3000);
    let slow = Behaviour {
        deliver_delay: Duration::from_millis(10),
        ..Behaviour::default()
    };
    let relay = ScriptedRelay::start(&events, slow);
    let station = station!();
    follow(&station, &authors, &[&relay.url()]);
    let output = sync(&station, &["--max-minutes", "0.03"]);
    output.expect_code(1);
    let ended = report(&output);
    assert_eq!(ended["outcome"], "some_peers_failed", "{ended}");
    assert_eq!(ended["peers"][0]["code"], "out_of_time", "{ended}");
    let stored = station.stored_ids().len();
    assert!((1..400).contains(&stored), "{stored}");
    expect_logged(&station, "the run has taken its 1 second (--max-minutes)");
    // Nobody failed, and nothing was completed: it is asked for the same again, at once.
    let memory: Value =
        serde_json::from_str(&station.read("strfry/constellation-peers.json")).unwrap();
    let peer = &memory["peers"][relay.url()];
    assert_eq!(peer["last_success"], json!(null), "{memory}");
    assert_eq!(peer["failures"], 0, "{memory}");
    relay.behave(Behaviour::default());
    sync_all(&station, &[]);
    expect_stored(&station, &events);
}
