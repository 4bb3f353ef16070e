//! What ends a full sync early: its own limits, silence, a signal, or the end of the run's time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use constellation_shared::Pubkey;
use constellation_sync::testing::address::Address;
use constellation_sync::testing::connection::Connector;
use constellation_sync::testing::full_sync::PATIENCE;
use constellation_sync::testing::guard::Guard;
use constellation_sync::testing::intake::{Admission, Tally};
use constellation_sync::testing::rules::{EventLimits, Rules};
use constellation_sync::testing::session::Session;
use constellation_sync::testing::stop::{Stop, TimeLimit};
use constellation_sync::testing::wanted::Wanted;
use constellation_tests::author::now;
use constellation_tests::command::wait_until;
use constellation_tests::members::{command, log, old_notes, old_profile, sync};
use constellation_tests::station::{PEER_IDS, ids};
use constellation_tests::{Author, Behaviour, RawRelay, ScriptedRelay, members, station};
use rustix::process::Signal;

use crate::case::{count, keys, short};

#[test]
fn silence_ends_a_full_sync_at_once() {
    assert_eq!(PATIENCE, Duration::from_secs(60));
    let author = Author::new(1);
    let hanging = Behaviour {
        hang_after_events: Some(3),
        ..Behaviour::default()
    };
    let relay = ScriptedRelay::start(&old_notes(&author, 10), hanging);
    let rules = Rules {
        now: now(),
        limits: EventLimits::default(),
        blocked: Default::default(),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let report = runtime.block_on(async {
        let (admission, _verified) = Admission::new(rules, true, None, 1);
        let session = Session {
            address: Address::parse(&relay.url()).unwrap(),
            station: None,
            known: None,
            manners: Default::default(),
            connector: Connector::new(None, Arc::new(Guard::open())).unwrap(),
            tally: Tally::default(),
            traffic: Arc::default(),
            stop: Stop::at(TimeLimit::default()),
            admission: Arc::clone(&admission),
            index: 0,
            reconciliation: None,
            wanted: Arc::new(Wanted::since([author.pubkey()].into(), vec![1], 0)),
            any_author: None,
            may_be_no_relay: false,
            resumption: None,
            patience: Duration::from_millis(200),
            silence_ends_it: true,
            bar: indicatif::ProgressBar::hidden(),
        };
        session.run(now()).await.report
    });
    assert!(report.broke_off);
    assert_eq!(report.failure.as_deref(), Some("no progress for 0 s"));
    assert_eq!(relay.connections(), 1, "it was tried again");
}

#[test]
fn a_signal_in_the_middle_of_a_full_sync_leaves_nothing_behind() {
    for (args, at_once) in [(&[][..], 3), (&["--full-sync-parallel", "2"][..], 2)] {
        let station = station!();
        let authors = Author::many(8);
        station.friends(&keys(&authors));
        let mut events = Vec::new();
        for author in &authors {
            events.extend(old_notes(author, 200));
            events.push(old_profile(author, "found"));
        }
        // Enough for strfry to be at work, then silence.
        let hanging = Behaviour {
            hang_after_events: Some(150),
            ..Behaviour::default()
        };
        let relay = ScriptedRelay::start(&events, hanging);
        station.tunnelled_peer(PEER_IDS[0], &relay.url());
        let ipfs = station.program("ipfs").display().to_string();
        let temporary = station.home().parent().unwrap().to_owned();
        let args = [&["--ipfs", &ipfs], args].concat();
        let mut running = command(&station, &args).spawn();
        wait_until("strfry to be fed while the relay is silent", || {
            let importing = members::processes_in(&temporary);
            relay.events_sent() == 150 * at_once
                && importing.iter().any(|process| process.contains("import"))
        });
        running.signal(Signal::TERM);
        running.wait().expect_code(130);
        let text = log(&station);
        assert_eq!(count(&text, "FULL SYNC for") as u64, at_once, "{text}");
        assert!(text.contains("Backfill interrupted"), "{text}");
        assert!(!text.contains("successful"), "{text}");
        wait_until("the end of every child", || {
            members::processes_in(&temporary).is_empty()
        });
        assert_eq!(station.tunnels(), []);
        assert_eq!(station.read("strfry/constellation-tunnels.json"), "");
        let left = members::files_below(station.root());
        assert!(
            left.iter()
                .all(|path| !path.to_string_lossy().contains(".new")),
            "{left:?}"
        );
        assert!(
            !station
                .root()
                .join("strfry/constellation-backfill.lock")
                .exists()
        );
        let json = station.read("tmp/coucou/_NIP101.profiles.json");
        assert_eq!(json, "[\n]\n");
        // What had come is stored: of each author the batches that were full.
        assert!(station.stored().len() as u64 >= 64 * at_once, "{text}");

        // The next run does the rest, and nothing is in its way.
        relay.behave(Behaviour::default());
        sync(&station, &args).expect_code(0);
        assert_eq!(station.stored_ids(), ids(&events));
    }
}

/// The authors that a relay was asked for, by question, and how many questions there were.
fn asked_for(relay: &ScriptedRelay) -> (BTreeSet<String>, usize) {
    let questions = relay.received();
    let questions: Vec<&String> = questions
        .iter()
        .filter(|text| text.contains("\"REQ\""))
        .collect();
    let mut authors = BTreeSet::new();
    for question in &questions {
        let value: serde_json::Value = serde_json::from_str(question).unwrap();
        let named = value[2]["authors"].as_array().into_iter().flatten();
        authors.extend(
            named
                .filter_map(|author| author.as_str())
                .map(str::to_owned),
        );
    }
    (authors, questions.len())
}

#[test]
fn invented_keys_of_another_station_cost_few_questions_and_keep_nobody_from_his_turn() {
    let station = station!();
    let (member, friend) = (Author::new(1), Author::new(2));
    station.member("a@b.example", member.pubkey());
    station.friends(&[friend.pubkey()]);
    // 600 keys that nobody has.
    let invented: Vec<Pubkey> = (0..600u32)
        .map(|number| {
            let mut bytes = [1; 32];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            Pubkey::from_bytes(bytes)
        })
        .collect();
    station.peer_friends("12D3KooHostile", &invented);
    let profiles = [
        old_profile(&member, "member"),
        old_profile(&friend, "friend"),
    ];
    let mut asked: BTreeSet<String> = BTreeSet::new();
    for run in 0..3 {
        let relay = ScriptedRelay::start(&profiles, Behaviour::default());
        let url = relay.url();
        let args = [
            "--peer",
            url.as_str(),
            "--no-negentropy",
            "--full-sync-keys",
            "202",
        ];
        sync(&station, &args).expect_code(0);
        let text = log(&station);
        if run == 0 {
            assert_eq!(count(&text, "✅ Full sync successful for "), 2, "{text}");
            assert!(
                text.contains("400 pubkeys without a profile must wait for a later run"),
                "{text}"
            );
        }
        let (_, questions) = asked_for(&relay);
        // Each run pages through everybody's recent events, and syncs some fully.
        assert!(
            questions <= 70,
            "{questions} questions in run {run}\n{text}"
        );
        assert!(relay.connections() <= 16, "{}", relay.connections());
        let synced = text
            .lines()
            .filter_map(|line| line.split_once("FULL SYNC for "));
        asked.extend(synced.map(|(_, rest)| rest[..8].to_owned()));
    }
    let expected: BTreeSet<String> = invented
        .iter()
        .map(|key| key.to_hex()[..8].to_owned())
        .chain([short(&member), short(&friend)])
        .collect();
    assert_eq!(asked, expected, "after three runs everybody had a turn");
}

#[test]
fn full_syncs_end_when_their_connections_are_used_up() {
    let station = station!();
    let authors = Author::many(120);
    station.friends(&keys(&authors));
    let relay = ScriptedRelay::start(&[], Behaviour::default());
    let url = relay.url();
    let args = ["--peer", url.as_str(), "--full-sync-connections", "2"];
    sync(&station, &args).expect_code(0);
    let text = log(&station);
    assert_eq!(count(&text, "FULL SYNC for "), 24, "{text}");
    assert!(
        text.contains("96 pubkeys could not be fully synced"),
        "{text}"
    );
    // The others go first the next time.
    let args = ["--peer", url.as_str(), "--full-sync-minutes", "0"];
    sync(&station, &args).expect_code(0);
    let text = log(&station);
    assert_eq!(count(&text, "FULL SYNC for "), 0, "{text}");
    assert!(
        text.contains("96 pubkeys could not be fully synced"),
        "{text}"
    );
    sync(&station, &["--peer", &url]).expect_code(0);
    assert_eq!(count(&log(&station), "FULL SYNC for "), 96);
}

#[test]
fn a_run_whose_time_ends_in_its_full_syncs_is_no_success_and_the_next_goes_on() {
    let authors = Author::many(2);
    let connections = AtomicU64::new(0);
    // The backfill is answered, and no full sync is.
    let peer = RawRelay::talking(move |talk| {
        if connections.fetch_add(1, Ordering::SeqCst) > 0 {
            return talk.fall_silent();
        }
        loop {
            let name = talk.question()?;
            talk.eose(&name)?;
        }
    });
    let station = station!();
    let keys: Vec<_> = authors.iter().map(Author::pubkey).collect();
    station.friends(&keys);
    for _ in 0..2 {
        let args = ["--peer", &peer.url(), "--max-minutes", "0.05", "--json"];
        let output = sync(&station, &args);
        output.expect_code(1);
        let text = log(&station);
        assert!(
            text.contains("Not all full syncs were done: the run has taken its 3 seconds"),
            "{text}"
        );
        assert_eq!(
            count(&text, "NO PROFILE FOUND - scheduling full sync"),
            2,
            "{text}"
        );
    }
}
