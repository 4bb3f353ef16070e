//! Relays that refuse a question in words: it is asked smaller, otherwise, or later, and everything
//! comes; or the report quotes the words.

use std::sync::OnceLock;
use std::time::Instant;

use constellation_shared::Event;
use constellation_tests::author::notes;
use constellation_tests::real_relay::RealRelay;
use constellation_tests::relay::{Nip77, RefusedBy, Takes};
use constellation_tests::sync_program::{
    DAY, PLAIN_KINDS, expect_logged, expect_stored, follow, paged, recent, report, sync, sync_all,
};
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};
use serde_json::Value;

const LEARNED: &str = "strfry/constellation-peers.json";
const ONE_AUTHOR: &str = "ERROR: bad req: filter validation failed: filter must have exactly one author, p tag, or e tag";

fn events() -> &'static [Event] {
    static EVENTS: OnceLock<Vec<Event>> = OnceLock::new();
    EVENTS.get_or_init(|| notes(&Author::many(30), &PLAIN_KINDS, 700, recent(), DAY - 600))
}

fn with_peer(behaviour: Behaviour) -> (StationDir, ScriptedRelay) {
    let station = station!();
    let relay = ScriptedRelay::start(events(), behaviour);
    follow(&station, &Author::many(30), &[&relay.url()]);
    (station, relay)
}

fn taking(takes: Takes, nip77: Nip77) -> Behaviour {
    Behaviour {
        takes: Some(takes),
        nip77,
        ..Behaviour::default()
    }
}

/// Relays that take little in one question, and say so in their words.
fn small_relays() -> Vec<Takes> {
    vec![
        Takes {
            authors: 4,
            ..Takes::refusing("error: too many authors")
        },
        Takes {
            kinds: 3,
            ..Takes::refusing(
                "ERROR: bad req: filter validation failed: too many kinds in filter: 19",
            )
        },
        Takes {
            items: 12,
            ..Takes::refusing("blocked: filter too broad")
        },
        Takes {
            limit: 60,
            ..Takes::refusing(
                "Subscription rejected: Limit too high: Filter limit must be less than or equal to 60",
            )
        },
        Takes {
            span: 30_000,
            ..Takes::refusing("error: time range too large")
        },
        Takes {
            one_author: true,
            ..Takes::refusing(ONE_AUTHOR)
        },
        // Nobody knows what it means.
        Takes {
            authors: 15,
            ..Takes::refusing("nope")
        },
    ]
}

#[test]
fn a_question_that_a_relay_refuses_for_its_size_is_asked_smaller() {
    for takes in small_relays() {
        let words = takes.words;
        let (station, relay) = with_peer(taking(takes, Nip77::Absent));
        let report = sync_all(&station, &[]);
        assert_eq!(report["peers"][0]["complete"], true, "{words}");
        expect_stored(&station, events());
        let refused = relay.refused();
        assert!((1..60).contains(&refused), "{words}: {refused}");
        // What it takes is remembered.
        sync_all(&station, &[]);
        assert_eq!(relay.refused(), refused, "{words}");
    }
}

#[test]
fn fewer_ids_are_asked_for_at_once_if_a_relay_refuses_many() {
    let takes = Takes {
        ids: 40,
        ..Takes::refusing("error: too many ids")
    };
    let (station, _relay) = with_peer(taking(takes, Nip77::Served));
    let report = sync_all(&station, &[]);
    assert_eq!(report["peers"][0]["reconciled"], true);
    expect_stored(&station, events());
}

/// As a strfry with `relay.filterValidation` does.
#[test]
fn a_relay_that_sends_nothing_by_its_id_is_paged_through() {
    let takes = Takes {
        one_author: true,
        ..Takes::refusing(ONE_AUTHOR)
    };
    let (station, relay) = with_peer(taking(takes, Nip77::Served));
    sync_all(&station, &[]);
    expect_stored(&station, events());
    expect_logged(&station, "it refuses to send events by their ids");
    let compared = relay.reconciliations();
    let refused = relay.refused();
    a_while_later(&station);
    sync_all(&station, &[]);
    assert_eq!(
        relay.reconciliations(),
        compared,
        "it is remembered for a day"
    );
    assert_eq!(relay.refused(), refused);
}

/// Makes what was learned of the peer older than the hour for which NIP-11 documents are believed.
fn a_while_later(station: &StationDir) {
    let mut learned: Value = serde_json::from_str(&station.read(LEARNED)).unwrap();
    for peer in learned["peers"].as_object_mut().unwrap().values_mut() {
        let time = peer["limits"]["learned_at"].as_u64().unwrap();
        peer["limits"]["learned_at"] = (time - 7200).into();
    }
    station.write(LEARNED, learned.to_string());
}

#[test]
fn a_notice_that_nothing_follows_refuses_the_question() {
    for takes in small_relays() {
        let takes = Takes {
            words: match takes.words {
                "nope" => "ERROR: nope",
                words => words,
            },
            by: RefusedBy::Notice,
            ..takes
        };
        // Each wait takes two seconds.
        if takes.one_author || takes.span < u64::MAX {
            continue;
        }
        let words = takes.words;
        let (station, _relay) = with_peer(taking(takes, Nip77::Absent));
        let start = Instant::now();
        sync_all(&station, &["--patience", "30"]);
        assert!(start.elapsed().as_secs() < 25, "{words}");
        expect_stored(&station, events());
    }
}

/// As relays do whose database takes only a part of a filter.
#[test]
fn no_events_behind_a_notice_are_not_taken_for_all_there_are() {
    let takes = Takes {
        authors: 4,
        by: RefusedBy::NoticeAndEose,
        ..Takes::refusing("too many authors")
    };
    let (station, _relay) = with_peer(taking(takes.clone(), Nip77::Absent));
    sync_all(&station, &[]);
    expect_stored(&station, events());
    let takes = Takes {
        authors: usize::MAX,
        ids: 40,
        words: "too many ids",
        ..takes
    };
    let (station, _relay) = with_peer(taking(takes, Nip77::Served));
    sync_all(&station, &[]);
    expect_stored(&station, events());
}

#[test]
fn what_a_relay_never_answers_is_quoted() {
    let behaviour = Behaviour {
        refuse: Some("nobody knows what this means".to_owned()),
        ..paged(500)
    };
    let (station, relay) = with_peer(behaviour);
    let output = sync(&station, &[]);
    output.expect_code(1);
    let report = report(&output);
    let failure = report["peers"][0]["failure"].as_str().unwrap();
    assert!(
        failure.contains("nobody knows what this means"),
        "{failure}"
    );
    assert!(relay.requests() < 60, "{}", relay.requests());
}

#[test]
fn a_relay_that_never_reconciles_is_asked_once_and_not_again_for_a_day() {
    for words in [
        "blocked: Negentropy sync is disabled",
        "bad msg: negentropy disabled",
        "restricted: payment required",
    ] {
        let (station, relay) = with_peer(Behaviour {
            nip77: Nip77::Refuses(words),
            ..Behaviour::default()
        });
        sync_all(&station, &[]);
        expect_stored(&station, events());
        let asked = relay.reconciliations();
        // Kind 4 is asked for by itself.
        assert!(asked <= 2, "{words}: {asked}");
        a_while_later(&station);
        sync_all(&station, &[]);
        assert_eq!(relay.reconciliations(), asked, "{words}");
    }
}

#[test]
fn a_relay_that_asks_for_patience_before_it_reconciles_gets_it() {
    for kind in ["NEG-ERR", "CLOSED", "NOTICE"] {
        let (station, relay) = with_peer(Behaviour {
            nip77: Nip77::PatienceFirst(kind),
            ..Behaviour::default()
        });
        let report = sync_all(&station, &["--patience", "3"]);
        assert_eq!(report["peers"][0]["reconciled"], true, "{kind}");
        assert!(relay.reconciliations() > 1);
        expect_stored(&station, events());
        expect_logged(
            &station,
            "it asks for patience: \"rate-limited: slow down\"",
        );
    }
}

#[test]
fn a_relay_that_answers_only_those_who_authenticate_is_said_once_and_left_alone_for_a_day() {
    let station = station!();
    let words = "auth-required: who are you?";
    let shy = ScriptedRelay::start(
        events(),
        Behaviour {
            refuse: Some(words.to_owned()),
            nip77: Nip77::Refuses(words),
            ..Behaviour::default()
        },
    );
    let open = ScriptedRelay::start(events(), Behaviour::default());
    follow(&station, &Author::many(30), &[&shy.url(), &open.url()]);
    let of_shy = |report: &Value| {
        let mut peers = report["peers"].as_array().unwrap().iter();
        peers.find(|peer| peer["url"] == shy.url()).unwrap().clone()
    };
    let first = of_shy(&sync_all(&station, &[]));
    assert_eq!(
        (&first["code"], &first["complete"]),
        (&"wants_auth".into(), &false.into())
    );
    expect_stored(&station, events());
    expect_logged(&station, "its captain can let others read");
    let (connections, documents) = (shy.connections(), shy.documents());
    let second = of_shy(&sync_all(&station, &[]));
    assert_eq!(second["code"], "wants_auth");
    expect_logged(&station, "and is asked again in ");
    assert_eq!(
        (shy.connections(), shy.documents()),
        (connections, documents)
    );
    // Alone it is no success: nothing came.
    let station = station!();
    follow(&station, &Author::many(30), &[&shy.url()]);
    sync(&station, &[]).expect_code(1);
}

#[test]
fn another_peer_takes_the_place_of_one_that_answers_only_those_who_authenticate() {
    let station = station!();
    let words = "auth-required: who are you?";
    let shy: Vec<ScriptedRelay> = (0..3)
        .map(|_| {
            ScriptedRelay::start(
                events(),
                Behaviour {
                    refuse: Some(words.to_owned()),
                    nip77: Nip77::Refuses(words),
                    ..Behaviour::default()
                },
            )
        })
        .collect();
    let open = ScriptedRelay::start(events(), Behaviour::default());
    let urls: Vec<String> = shy.iter().chain([&open]).map(ScriptedRelay::url).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    follow(&station, &Author::many(30), &urls);
    // Whomever it asks first, and whether it knows them already.
    for _ in 0..3 {
        let report = sync_all(&station, &["--max-peers", "1"]);
        let mut peers = report["peers"].as_array().unwrap().iter();
        assert!(peers.any(|peer| peer["url"] == open.url() && peer["complete"] == true));
    }
}

/// With `STRFRY` only. It lists what it has (NIP-77) and refuses to send it by ids, or is asked by
/// filters alone.
#[test]
fn a_real_strfry_that_checks_filters_gives_everything() {
    if !RealRelay::is_possible() {
        return;
    }
    let demo = env!("CARGO_BIN_EXE_demo");
    for checks in ["requireAuthorOrTag = true", "maxKindsPerFilter = 3"] {
        for negentropy in [true, false] {
            let settings = format!(
                "filterValidation {{\n enabled = true\n {checks}\n }}\n negentropy {{\n enabled = {negentropy}\n }}"
            );
            let relay = RealRelay::start(demo, &settings, events());
            let station = station!();
            follow(&station, &Author::many(30), &[&relay.url()]);
            sync_all(&station, &[]);
            expect_stored(&station, events());
        }
    }
}

/// What an answer that cannot be taken costs is that event.
#[test]
fn an_event_that_is_longer_than_any_message_that_is_taken_is_left_out_and_the_rest_comes() {
    let long = Author::new(1).note(recent(), &"x".repeat(5_000_000));
    for nip77 in [Nip77::Served, Nip77::Absent] {
        let (station, relay) = with_peer(Behaviour {
            nip77,
            ..Behaviour::default()
        });
        relay.add(std::slice::from_ref(&long));
        let report = sync_all(&station, &[]);
        assert_eq!(report["refused"]["too_long"], 1, "{nip77:?}: {report}");
        assert_eq!(report["peers"][0]["complete"], true);
        expect_stored(&station, events());
        if nip77 == Nip77::Served {
            // Its id is known, and is not asked of this relay again for a day.
            let again = sync_all(&station, &[]);
            assert_eq!(again["refused"].get("too_long"), None, "{again}");
        }
    }
}
