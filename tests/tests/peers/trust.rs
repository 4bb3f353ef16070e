//! A peer is foreign: what it forges, slips in or holds against the rules stays out, and
//! what is genuine comes in all the same.

use constellation_shared::Event;
use constellation_tests::author::{forged_signature, notes, tampered, upper_case_json};
use constellation_tests::relay::Nip77;
use constellation_tests::sync_program::{
    BOTH, DAY, PLAIN_KINDS, expect_logged, expect_stored, follow, lying_peer, paged, recent,
    refused, report, sync, sync_all,
};
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};
use serde_json::json;

#[test]
fn what_is_against_the_rules_stays_out_and_is_counted_by_reason() {
    let authors = Author::many(5);
    let now = recent();
    let (alice, stranger) = (&authors[0], &Author::new(77));
    let genuine = notes(&authors, &PLAIN_KINDS, 200, now, 3000);
    let mut off_the_curve = alice.note(now, "x");
    off_the_curve.pubkey = "f".repeat(64).parse().unwrap();
    off_the_curve.id = off_the_curve.hash();
    let mut another_s = alice.note(now, "signed by another");
    another_s.pubkey = authors[1].pubkey();
    another_s.id = another_s.hash();
    let expired = (now - 10).to_string();
    let of = |kind: u16, at: u64, tags: &[&[&str]], text: &str| alice.sign(kind, at, tags, text);
    let cases: [(&str, Vec<Event>); 7] = [
        (
            "forged",
            vec![
                forged_signature(&alice.note(now, "forged")),
                tampered(&alice.note(now, "tampered")),
                another_s,
            ],
        ),
        (
            "unasked",
            vec![
                stranger.note(now, "nobody follows me"),
                of(9, now, &[], "a kind that nobody asked for"),
                of(1, now - 2 * DAY, &[], "too old"),
                off_the_curve,
            ],
        ),
        (
            "expired",
            vec![
                of(1, now, &[&["expiration", &expired]], "gone"),
                of(1, now, &[&["t", "x"], &["expiration", "101"]], "long gone"),
            ],
        ),
        (
            "ephemeral",
            vec![of(20_001, now, &[], "x"), of(29_999, now, &[], "x")],
        ),
        (
            "future",
            vec![of(1, now + 2000, &[], "x"), of(7, 1 << 40, &[], "x")],
        ),
        (
            "visitor",
            vec![
                of(1, now, &[], "Hello NOSTR visitor! Welcome"),
                of(7, now, &[], "¡ Hello NOSTR visitor"),
            ],
        ),
        (
            "too_long",
            vec![
                of(1, now, &[], &"x".repeat(70_000)),
                of(1, now, &[], &"\u{1}".repeat(12_000)),
            ],
        ),
    ];
    let malformed = [
        alice.shouted_note(now, "signed over another spelling"),
        alice
            .note(now, "half")
            .to_json()
            .replace("\"sig\":", "\"sign\":"),
        r#"{"id":1}"#.to_owned(),
        "[]".to_owned(),
        "7".to_owned(),
        format!("{{\"a\":{}1{}}}", "[".repeat(2000), "]".repeat(2000)),
    ];
    let bad: Vec<Event> = cases
        .iter()
        .flat_map(|(_, events)| events.clone())
        .collect();
    let mut extra: Vec<String> = malformed.to_vec();
    extra.extend(bad.iter().map(Event::to_json));
    let all = [&genuine[..], &bad].concat();
    let kinds = "1,6,7,1063,1111,20001,29999";
    // Slipped in before what was asked for; and among what the peer holds and lists.
    for (held, extra, nip77) in [
        (&genuine, extra, Nip77::Absent),
        (&all, Vec::new(), Nip77::Served),
    ] {
        let is_pushed = !extra.is_empty();
        let station = station!();
        let _relay = lying_peer(&station, &authors, held, extra, nip77);
        let report = sync_all(&station, &["--kinds", kinds]);
        expect_stored(&station, &genuine);
        for (reason, events) in &cases {
            let (count, right) = (refused(&report, reason), events.len() as u64);
            // What nobody asked for is counted as often as it comes, and not even listed.
            match (*reason, is_pushed) {
                ("unasked", true) => assert!(count >= right, "{report}"),
                ("unasked", false) => assert_eq!(count, 0, "{report}"),
                _ => assert_eq!(count, right, "{reason}: {report}"),
            }
            assert_eq!(
                report["peers"][0]["refused"][reason]
                    .as_u64()
                    .unwrap_or_default(),
                count
            );
        }
        assert_eq!(refused(&report, "malformed") > 0, is_pushed, "{report}");
        assert_eq!(report["import"]["rejected"], json!({}));
        expect_logged(&station, "Left out: ");
    }
}

/// strfry verifies, stores and serves them, whoever publishes them.
#[test]
fn events_whose_tags_hold_more_than_texts_come_in() {
    let authors = Author::many(3);
    let mut events = notes(&authors, &PLAIN_KINDS, 60, recent(), 3000);
    events.extend((0..1200).map(|number| {
        let tags = format!(r#"[["t","x",{number},null,{{"a":[-1.5]}}],["t","y",true]]"#);
        authors[0].note_with_tags(recent() - number, &tags)
    }));
    for nip77 in BOTH {
        let station = station!();
        let _relay = lying_peer(&station, &authors, &events, Vec::new(), nip77);
        sync_all(&station, &[]);
        expect_stored(&station, &events);
    }
}

/// strfry verifies, stores and serves them as well; we do not, and that is not the peer's fault.
#[test]
fn a_peer_is_not_left_for_what_others_published_there() {
    let authors = Author::many(3);
    let genuine = notes(&authors, &PLAIN_KINDS, 600, recent() - 5000, 3000);
    let odd = (0..2500).map(|n| authors[0].shouted_note(recent() - n, &n.to_string()));
    let odd: Vec<String> = odd.collect();
    for nip77 in BOTH {
        let station = station!();
        let relay = lying_peer(&station, &authors, &genuine, Vec::new(), nip77);
        relay.add_spelled(&odd);
        let report = sync_all(&station, &[]);
        expect_stored(&station, &genuine);
        assert_eq!(refused(&report, "malformed"), 2500, "{report}");
        let before = relay.events_sent();
        sync_all(&station, &[]);
        if nip77 == Nip77::Served {
            assert_eq!(relay.events_sent(), before, "they were fetched again");
        }
    }
}

/// The hash of an event says nothing of how its pubkey is spelled, nor of what stands around
/// its fields: a peer that changes these must not have it remembered as refused.
#[test]
fn a_genuine_event_that_one_peer_respells_comes_in() {
    let authors = Author::many(3);
    let genuine = notes(&authors, &PLAIN_KINDS, 60, recent(), 3000);
    let padded = |event: &Event| {
        let padding = format!("{{\"x\":\"{}\",", "x".repeat(500_000));
        event.to_json().replacen('{', &padding, 1)
    };
    let (shouted, long) = genuine.split_at(50);
    let mut extra: Vec<String> = shouted.iter().map(upper_case_json).collect();
    extra.extend(long.iter().map(padded));
    let station = station!();
    let _liar = lying_peer(&station, &authors, &[], extra, Nip77::Absent);
    sync(&station, &[]).expect_code(0);
    let honest = ScriptedRelay::start(&genuine, Behaviour::default());
    station.peer("12D3KooHonest", &honest.url());
    sync_all(&station, &[]);
    expect_stored(&station, &genuine);
    // Listed and fetched by id.
    let liar = ScriptedRelay::start(&[], Behaviour::default());
    liar.add_spelled(&shouted.iter().map(upper_case_json).collect::<Vec<_>>());
    let station = station!();
    follow(&station, &authors, &[&liar.url(), &honest.url()]);
    sync(&station, &[]);
    sync_all(&station, &[]);
    expect_stored(&station, &genuine);
}

#[test]
fn events_that_nobody_can_read_do_not_hide_what_is_behind_them() {
    let authors = Author::many(3);
    let genuine = notes(&authors, &PLAIN_KINDS, 300, recent() - 5000, 3000);
    let relay = ScriptedRelay::start(&genuine, paged(10));
    // Some pages are full of them: without a time nobody knows from where to go on.
    let odd: Vec<Event> = (0..30)
        .map(|n| authors[0].note(recent() - n, "x"))
        .collect();
    relay.add_without_time(&odd);
    let station = station!();
    follow(&station, &authors, &[&relay.url()]);
    sync_all(&station, &[]);
    expect_stored(&station, &genuine);
}

#[test]
fn a_blocked_author_stays_out_whoever_sends_it() {
    for nip77 in BOTH {
        let authors = Author::many(3);
        let events = notes(&authors, &[1], 60, recent(), 3000);
        let extra = authors[2].note(recent(), "let me in").to_json();
        let station = station!();
        let _relay = lying_peer(&station, &authors[..2], &events, vec![extra], nip77);
        station.geographic_key("1/2", authors[2].pubkey());
        station.blacklist(&[authors[2].pubkey()]);
        sync_all(&station, &[]);
        let wanted = events.iter().filter(|e| e.pubkey != authors[2].pubkey());
        expect_stored(&station, &wanted.cloned().collect::<Vec<_>>());
    }
}

#[test]
fn a_forged_twin_keeps_no_genuine_event_out() {
    let authors = Author::many(5);
    let genuine = notes(&authors, &PLAIN_KINDS, 400, recent(), 3000);
    let twins = |forge: fn(&Event) -> Event| genuine.iter().map(forge).collect::<Vec<_>>();
    let (signatures, contents) = (twins(forged_signature), twins(tampered));
    let spelled = |events: &[Event]| events.iter().map(Event::to_json).collect();
    let nothing = Vec::new;
    // The same id from the same peer, the forged one first, last and on either side.
    for (held, extra, nip77) in [
        (
            [&signatures[..], &genuine].concat(),
            nothing(),
            Nip77::Absent,
        ),
        ([&genuine[..], &contents].concat(), nothing(), Nip77::Absent),
        (
            [&signatures[..], &genuine, &contents].concat(),
            nothing(),
            Nip77::Absent,
        ),
        (genuine.clone(), spelled(&signatures[..100]), Nip77::Served),
        (genuine.clone(), spelled(&contents[..100]), Nip77::Served),
    ] {
        let forged = held.len() + extra.len() - 400;
        let station = station!();
        let _relay = lying_peer(&station, &authors, &held, extra, nip77);
        let output = sync(&station, &[]);
        let is_mostly_forged = forged > genuine.len();
        output.expect_code(i32::from(is_mostly_forged));
        let report = report(&output);
        expect_stored(&station, &genuine);
        assert_eq!(refused(&report, "forged") as usize, forged);
        // By id alone a database cannot tell them apart.
        let stored = station.stored();
        assert!(stored.iter().all(|event| genuine.contains(event)));
    }
}

#[test]
fn a_forged_twin_from_another_peer_keeps_no_genuine_event_out() {
    let authors = Author::many(5);
    let genuine = notes(&authors, &PLAIN_KINDS, 300, recent(), 3000);
    let forged: Vec<Event> = genuine.iter().map(tampered).collect();
    let slow = Behaviour {
        deliver_delay: std::time::Duration::from_millis(1),
        ..paged(500)
    };
    // Whichever of them is the first to be heard.
    for (of_forger, of_honest) in [(paged(500), slow.clone()), (slow, paged(500))] {
        let forger = ScriptedRelay::start(&forged, of_forger);
        let honest = ScriptedRelay::start(&genuine, of_honest);
        let station = station!();
        follow(&station, &authors, &[&forger.url(), &honest.url()]);
        let output = sync(&station, &[]);
        output.expect_code(1);
        let report = report(&output);
        let peers = report["peers"].as_array().unwrap();
        for peer in peers {
            let is_forger = peer["url"] == forger.url();
            assert_eq!(peer["code"] == "forged", is_forger, "{report}");
            assert_eq!(peer["complete"], !is_forger, "{report}");
        }
        expect_stored(&station, &genuine);
        assert!(station.stored().iter().all(|event| genuine.contains(event)));
        assert_eq!(refused(&report, "forged"), 300);
    }
}

#[test]
fn forged_events_alone_leave_the_database_empty_and_the_genuine_come_later() {
    let authors = Author::many(3);
    let genuine = notes(&authors, &PLAIN_KINDS, 60, recent(), 3000);
    let forged: Vec<Event> = genuine.iter().map(forged_signature).collect();
    for nip77 in BOTH {
        let station = station!();
        let _liar = lying_peer(&station, &authors, &forged, Vec::new(), nip77);
        sync(&station, &[]).expect_code(1);
        expect_stored(&station, &[]);
        let honest = Behaviour {
            nip77,
            ..paged(500)
        };
        let honest = ScriptedRelay::start(&genuine, honest);
        station.peer("12D3KooHonest", &honest.url());
        sync(&station, &[]);
        expect_stored(&station, &genuine);
    }
    // One that is only ever walked through may mend its own ways.
    let station = station!();
    let mended = lying_peer(&station, &authors, &forged, Vec::new(), Nip77::Absent);
    sync(&station, &[]).expect_code(1);
    mended.add(&genuine);
    sync_all(&station, &[]);
    expect_stored(&station, &genuine);
}

#[test]
fn a_peer_that_sends_garbage_without_end_is_left() {
    let authors = Author::many(3);
    let genuine = notes(&authors, &PLAIN_KINDS, 60, recent(), 3000);
    let stranger = Author::new(99);
    let garbage = (0..1200).map(|n| stranger.note(recent(), &n.to_string()).to_json());
    let station = station!();
    let relay = lying_peer(
        &station,
        &authors,
        &genuine,
        garbage.collect(),
        Nip77::Absent,
    );
    let honest = ScriptedRelay::start(&genuine, paged(500));
    station.peer("12D3KooHonest", &honest.url());
    let output = sync(&station, &[]);
    output.expect_code(1);
    expect_stored(&station, &genuine);
    let url = relay.url();
    let why = format!(
        "WebSocket backfill failed after 1 attempt: {url}: more than 1000 of its events are "
    );
    expect_logged(&station, &why);
    assert!(refused(&report(&output), "unasked") > 1000);
}

#[test]
fn an_event_fits_its_conf_to_the_byte() {
    let author = Author::new(1);
    let of_length = |bytes: usize| {
        let rest = author.note(recent(), "").to_json().len();
        let event = author.note(recent(), &"x".repeat(bytes - rest));
        assert_eq!(event.to_json().len(), bytes);
        event
    };
    let station = StationDir::builder(env!("CARGO_BIN_EXE_demo"))
        .max_event_size(3000)
        .build();
    // With its newline the second is one byte too long; strfry would lose what follows.
    let fits = [
        author.note(recent() + 9, "before"),
        of_length(2999),
        author.note(recent() - 9, "after"),
    ];
    let relay = ScriptedRelay::start(&[&fits[..], &[of_length(3000)]].concat(), paged(500));
    follow(&station, &[author], &[&relay.url()]);
    let report = sync_all(&station, &[]);
    assert_eq!(refused(&report, "too_long"), 1);
    expect_stored(&station, &fits);
}

#[test]
fn trusted_peers_are_not_checked() {
    for nip77 in BOTH {
        let authors = Author::many(2);
        let forged = forged_signature(&authors[0].note(recent(), "believe me"));
        let station = station!();
        let _relay = lying_peer(
            &station,
            &authors,
            std::slice::from_ref(&forged),
            Vec::new(),
            nip77,
        );
        sync_all(&station, &["--trust-peers"]);
        assert_eq!(station.stored(), [forged]);
    }
}
