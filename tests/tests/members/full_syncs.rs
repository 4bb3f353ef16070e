//! Full syncs of pubkeys without a profile, and the fallback relays behind them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use constellation_shared::{Event, Pubkey};
use constellation_sync::testing::address::Address;
use constellation_sync::testing::connection::Connector;
use constellation_sync::testing::full_sync::PATIENCE;
use constellation_sync::testing::guard::Guard;
use constellation_sync::testing::intake::{Admission, Tally};
use constellation_sync::testing::rules::Rules;
use constellation_sync::testing::session::Session;
use constellation_sync::testing::stop::{Stop, TimeLimit};
use constellation_sync::testing::wanted::Wanted;
use constellation_tests::author::{forged_signature, tampered};
use constellation_tests::command::{TestCommand, wait_until};
use constellation_tests::members;
use constellation_tests::members::{
    command, log, messages, now, old_notes, old_profile, profile, sync,
};
use constellation_tests::relay::dead_url;
use constellation_tests::station::{PEER_IDS, ids};
use constellation_tests::{Author, Behaviour, RawRelay, ScriptedRelay, StationDir, station};
use rustix::process::Signal;

const MEMORY: &str = "strfry/constellation-missing-profiles.json";

fn keys(authors: &[Author]) -> Vec<Pubkey> {
    authors.iter().map(Author::pubkey).collect()
}

/// A backfill that may ask the fallback relays it is told of.
fn with_fallback(station: &StationDir, args: &[&str]) -> TestCommand {
    command(station, args).env_remove("CONSTELLATION_NO_FALLBACK")
}

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

fn short(author: &Author) -> String {
    author.pubkey().to_hex()[..8].to_owned()
}

#[test]
fn thirty_of_a_hundred_are_recovered_from_four_peers_two_behind_tunnels_and_one_dead() {
    let station = station!();
    let authors = Author::many(100);
    station.friends(&keys(&authors));
    let (known, missing) = authors.split_at(70);
    let limits = Behaviour {
        max_limit: 100,
        ..Behaviour::default()
    };
    let relays: Vec<ScriptedRelay> = (0..3)
        .map(|_| ScriptedRelay::start(&[], limits.clone()))
        .collect();
    station.peer("12D3KooOpen", &relays[0].url());
    station.tunnelled_peer(PEER_IDS[0], &relays[1].url());
    station.tunnelled_peer(PEER_IDS[1], &relays[2].url());
    station.peer("12D3KooDead", &dead_url());
    let ipfs = station.program("ipfs");
    let ipfs = ["--ipfs", ipfs.to_str().unwrap()];
    let mut wanted = Vec::new();
    for (number, author) in authors.iter().enumerate() {
        let recent = author.note(now() - 600, "recent");
        relays[number % 3].add(std::slice::from_ref(&recent));
        wanted.push(recent);
    }
    for author in known {
        let profile = profile(author, r#"{"name":"known"}"#);
        relays[0].add(std::slice::from_ref(&profile));
        wanted.push(profile);
    }
    for (number, author) in missing.iter().enumerate() {
        // Each peer holds a part of what they wrote, the profile lies at one.
        let mut events = old_notes(author, 150);
        events.push(old_profile(author, &format!("recovered {number}")));
        for (place, event) in events.iter().enumerate() {
            relays[(place + number) % 3].add(std::slice::from_ref(event));
        }
        wanted.extend(events);
    }

    sync(&station, &ipfs).expect_code(1);
    let text = log(&station);
    assert_eq!(station.stored_ids(), ids(&wanted), "{text}");
    assert_eq!(count(&text, "NO PROFILE FOUND - scheduling full sync"), 30);
    assert_eq!(count(&text, "... (all messages, no time limit)"), 30);
    assert_eq!(count(&text, "✅ Full sync successful for "), 30);
    assert!(text.contains("Found 70 HEX pubkeys with profiles"));
    assert!(text.contains("Found 30 HEX pubkeys WITHOUT profiles"));
    assert!(
        text.contains("SYNC_PROFILES: found=100 missing=0"),
        "{text}"
    );
    // Totals are those of the whole run, each event once.
    let stats = format!("SYNC_STATS: events={} dms=0", wanted.len());
    assert!(text.contains(&stats), "{stats} not in\n{text}");
    assert!(text.contains(&format!("added={} ", wanted.len())), "{text}");
    // The dead one failed once, not once for each pubkey.
    assert_eq!(count(&text, "WebSocket backfill failed"), 1, "{text}");
    let json: serde_json::Value =
        serde_json::from_str(&station.read("tmp/coucou/_NIP101.profiles.json")).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 100);
    assert!(!station.read(MEMORY).contains("reason"));

    // All of them are known now: nobody is synced fully any more.
    sync(&station, &["--json", ipfs[0], ipfs[1]])
        .expect_stdout(r#""profiles":{"found":100,"missing":0,"#);
    assert!(!log(&station).contains("FULL SYNC"));
    assert!(station.tunnels().is_empty(), "a tunnel is left open");
}

#[test]
fn the_lines_are_those_that_captains_know() {
    let station = station!();
    let author = Author::new(1);
    station.friends(&[author.pubkey()]);
    let relay = ScriptedRelay::start(&[old_profile(&author, "Back")], Behaviour::default());
    sync(&station, &["--peer", &relay.url()]).expect_code(0);
    let text = log(&station);
    let words = messages(&text);
    let short = short(&author);
    let expected = [
        "🔍 Extracting profiles from constellation...".to_owned(),
        format!("  ❌ {short}... NO PROFILE FOUND - scheduling full sync"),
        "Found 0 HEX pubkeys with profiles".to_owned(),
        "Found 1 HEX pubkeys WITHOUT profiles".to_owned(),
        format!("  🔄 FULL SYNC for {short}... (all messages, no time limit)"),
        format!("  ✅ Full sync successful for {short}"),
        "SYNC_PROFILES: found=1 missing=0".to_owned(),
    ];
    assert!(words.windows(7).any(|window| window == expected), "{text}");
}

#[test]
fn a_pubkey_that_nobody_knows_is_asked_for_once_a_day() {
    let station = station!();
    let nobody = Author::new(1);
    station.friends(&[nobody.pubkey()]);
    let (peer, fallback) = (
        ScriptedRelay::start(&[], Behaviour::default()),
        ScriptedRelay::start(&[], Behaviour::default()),
    );
    let (peer_url, fallback_url) = (peer.url(), fallback.url());
    let run = || {
        let args = ["--peer", &peer_url, "--fallback-relay", &fallback_url];
        with_fallback(&station, &args).output().expect_code(0);
        log(&station)
    };
    let reason = "1 of 1 peers and 1 of 1 fallback relays answered, none with a profile";
    let first = run();
    assert!(first.contains(&format!(
        "  ❌ Full sync brought no profile for {}: {reason}; asked again in a day",
        short(&nobody)
    )));
    assert!(first.contains("SYNC_PROFILES: found=0 missing=1"));
    assert!(!first.contains("failed"), "{first}");
    let memory: serde_json::Value = serde_json::from_str(&station.read(MEMORY)).unwrap();
    assert_eq!(memory["version"], 1);
    let entry = &memory["pubkeys"][nobody.pubkey().to_hex()];
    assert_eq!(entry["reason"], reason);
    let asked_at = entry["asked_at"].as_u64().unwrap();
    assert!(now() - asked_at < 600);

    let (questions, fallback_questions) = (peer.requests(), fallback.requests());
    let second = run();
    assert!(!second.contains("FULL SYNC"), "{second}");
    assert!(second.contains(&format!("asked for less than a day ago: {reason}")));
    assert!(second.contains("SYNC_PROFILES: found=0 missing=1"));
    assert_eq!(fallback.requests(), fallback_questions);
    // The window alone was asked for.
    assert!(peer.requests() - questions < questions);

    // A day later, or with its memory deleted, or broken, it asks again.
    let yesterday = asked_at - 86_400;
    let aged = station
        .read(MEMORY)
        .replace(&asked_at.to_string(), &yesterday.to_string());
    for memory in [aged, String::new(), "{".to_owned()] {
        station.write(MEMORY, &memory);
        assert!(run().contains("FULL SYNC"), "{memory}");
    }
}

#[test]
fn where_nobody_answers_the_pubkey_is_asked_for_next_time() {
    let station = station!();
    let nobody = Author::new(1);
    station.friends(&[nobody.pubkey()]);
    let args = ["--peer", &dead_url(), "--fallback-relay", &dead_url()];
    for _ in 0..2 {
        with_fallback(&station, &args).output().expect_code(1);
        let text = log(&station);
        assert!(text.contains("FULL SYNC"), "{text}");
        assert!(
            text.contains("0 of 1 peers and 0 of 1 fallback relays answered"),
            "{text}"
        );
        assert!(text.contains("asked again next time"));
    }
}

#[test]
fn a_fallback_relay_is_asked_for_profiles_alone() {
    let station = station!();
    let authors = Author::many(3);
    station.friends(&keys(&authors));
    let peer = ScriptedRelay::start(
        &[old_profile(&authors[0], "at a peer")],
        Behaviour::default(),
    );
    let elsewhere = [
        old_profile(&authors[1], "elsewhere"),
        authors[1].note(now() - 1000, "elsewhere too"),
    ];
    let fallback = ScriptedRelay::start(&elsewhere, Behaviour::default());
    let args = ["--peer", &peer.url(), "--fallback-relay", &fallback.url()];
    with_fallback(&station, &args).output().expect_code(0);
    let text = log(&station);
    assert!(
        text.contains(&format!("Full sync successful for {}", short(&authors[1]))),
        "{text}"
    );
    assert!(text.contains("SYNC_PROFILES: found=2 missing=1"), "{text}");
    let stored: Vec<u16> = station.stored().iter().map(|event| event.kind).collect();
    assert_eq!(stored, [0, 0]);
    let questions: Vec<String> = fallback.received();
    let requests = || questions.iter().filter(|text| text.starts_with("[\"REQ\""));
    assert!(requests().count() > 0);
    for request in requests() {
        let request: serde_json::Value = serde_json::from_str(request).unwrap();
        assert_eq!(request[2]["kinds"], serde_json::json!([0]));
        // Only for those whom no peer knew.
        let known = serde_json::json!(authors[0].pubkey().to_hex());
        assert!(!request[2]["authors"].as_array().unwrap().contains(&known));
    }
}

#[test]
fn a_fallback_relay_that_lies_gives_nothing() {
    let station = station!();
    let authors = Author::many(4);
    station.friends(&keys(&authors[..3]));
    let peer = ScriptedRelay::start(&[], Behaviour::default());
    let stolen = {
        // Somebody else's profile under the name of one who is missed.
        let mut event = old_profile(&authors[3], "stolen");
        event.pubkey = authors[2].pubkey();
        event
    };
    let lies: Vec<Event> = vec![
        forged_signature(&old_profile(&authors[0], "forged")),
        tampered(&old_profile(&authors[1], "tampered")),
        stolen,
        old_profile(&authors[3], "unasked"),
    ];
    let fallback = ScriptedRelay::start(
        &[],
        Behaviour {
            extra: lies.iter().map(Event::to_json).collect(),
            ..Behaviour::default()
        },
    );
    // Not even where the peers are trusted.
    let args = [
        "--peer",
        &peer.url(),
        "--fallback-relay",
        &fallback.url(),
        "--trust-peers",
    ];
    with_fallback(&station, &args).output().expect_code(0);
    let text = log(&station);
    assert!(text.contains("SYNC_PROFILES: found=0 missing=3"), "{text}");
    assert_eq!(count(&text, "Full sync brought no profile"), 3);
    assert!(station.stored().is_empty());
    assert!(fallback.connections() > 0);
}

#[test]
fn without_fallback_nobody_outside_is_asked() {
    let station = station!();
    station.friends(&keys(&Author::many(2)));
    let peer = ScriptedRelay::start(&[], Behaviour::default());
    let fallback = ScriptedRelay::start(&[], Behaviour::default());
    let args = [
        "--peer",
        &peer.url(),
        "--fallback-relay",
        &fallback.url(),
        "--no-fallback",
    ];
    with_fallback(&station, &args).output().expect_code(0);
    assert!(log(&station).contains("FULL SYNC"));
    assert_eq!((fallback.connections(), fallback.documents()), (0, 0));
}

#[test]
fn a_full_sync_pages_past_any_limit_and_ends_at_its_own() {
    let author = Author::new(1);
    let mut events = old_notes(&author, 700);
    events.push(old_profile(&author, "prolific"));
    events.push(author.sign(4, now() - 200 * 86_400, &[], "secret"));
    // A second that holds more than a page.
    let crowded = now() - 250 * 86_400;
    events.extend(
        (0..30).map(|number| author.sign(1 + number % 2 * 6, crowded, &[], &format!("{number}"))),
    );
    let limits = Behaviour {
        max_limit: 20,
        ..Behaviour::default()
    };
    let relay = ScriptedRelay::start(&events, limits);
    let run = |args: &[&str]| {
        let station = station!();
        station.friends(&[author.pubkey()]);
        let url = relay.url();
        sync(&station, &[&["--peer", &url], args].concat()).expect_code(0);
        (station.stored_ids(), log(&station))
    };
    assert_eq!(run(&[]).0, ids(&events));
    // Kinds that were not wanted are not fetched, but the profile is.
    let (stored, _) = run(&["--kinds", "4"]);
    assert_eq!(stored, ids(&events[700..702]));
    assert_eq!(run(&["--no-dms"]).0.len(), events.len() - 1);
    let (stored, text) = run(&["--full-sync-limit", "200"]);
    assert!((150..=220).contains(&stored.len()), "{}", stored.len());
    assert!(text.contains("holds more than 200 events"), "{text}");
}

#[test]
fn the_first_peer_that_fails_is_followed_by_the_others() {
    let station = station!();
    let authors = Author::many(6);
    station.friends(&keys(&authors));
    let mut events = Vec::new();
    for author in &authors {
        events.extend(old_notes(author, 40));
        events.push(old_profile(author, "found"));
    }
    // The first breaks off each time, the second does not speak nostr, the third has all.
    let breaking = Behaviour {
        close_after_events: Some(7),
        ..Behaviour::default()
    };
    let first = ScriptedRelay::start(&events, breaking);
    let second = ScriptedRelay::start(
        &events,
        Behaviour {
            refuse: Some("error: not today".to_owned()),
            ..Behaviour::default()
        },
    );
    let third = ScriptedRelay::start(&events, Behaviour::default());
    let args = [
        "--peer",
        &first.url(),
        "--peer",
        &second.url(),
        "--peer",
        &third.url(),
        "--no-negentropy",
    ];
    sync(&station, &args).expect_code(1);
    let text = log(&station);
    assert_eq!(station.stored_ids(), ids(&events), "{text}");
    assert_eq!(count(&text, "Full sync successful"), 6);
}

#[test]
fn one_broken_connection_costs_no_event() {
    let station = station!();
    let author = Author::new(1);
    station.friends(&[author.pubkey()]);
    let mut events = old_notes(&author, 300);
    events.push(old_profile(&author, "found"));
    let relay = ScriptedRelay::start(
        &events,
        Behaviour {
            close_after_events: Some(120),
            close_once: true,
            ..Behaviour::default()
        },
    );
    sync(&station, &["--peer", &relay.url()]).expect_code(0);
    assert_eq!(station.stored_ids(), ids(&events));
}

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
        max_event_size: 65_536,
        blocked: Default::default(),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let report = runtime.block_on(async {
        let (admission, _verified) = Admission::new(rules, true, None, 1);
        let session = Session {
            address: Address::parse(&relay.url()).unwrap(),
            known: None,
            connector: Connector::new(None, Arc::new(Guard::open())).unwrap(),
            tally: Tally::default(),
            traffic: Arc::default(),
            stop: Stop::at(TimeLimit::default()),
            admission: Arc::clone(&admission),
            index: 0,
            reconciliation: None,
            wanted: Arc::new(Wanted::since([author.pubkey()].into(), vec![1], 0)),
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

#[test]
fn a_dry_run_says_who_would_be_asked_and_asks_nobody() {
    let station = station!();
    station.friends(&keys(&Author::many(2)));
    let relay = ScriptedRelay::start(&[], Behaviour::default());
    let args = ["--dry-run", "--friends", "--peer", &relay.url()];
    let output = with_fallback(&station, &args).output();
    output
        .expect_code(0)
        .expect_stdout(
            "Would look up their profiles, and sync those without one fully, 3 at a time",
        )
        .expect_stdout("Would ask wss://relay.damus.io for the profiles that no peer has")
        .expect_stdout("Would ask wss://nos.lol for")
        .expect_stdout("Would ask wss://relay.nostr.band for")
        .expect_stdout("Would add the friends of the members to ")
        .expect_stdout("strfry/amisOfAmis.txt");
    let output = with_fallback(
        &station,
        &["--dry-run", "--no-fallback", "--peer", &relay.url()],
    );
    assert!(!output.output().stdout.contains("damus"));
    assert_eq!((relay.connections(), relay.documents()), (0, 0));
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
                text.contains("400 pubkeys without a profile wait for a later run"),
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
    assert!(text.contains("96 pubkeys were not fully synced"), "{text}");
    // The others go first the next time.
    let args = ["--peer", url.as_str(), "--full-sync-minutes", "0"];
    sync(&station, &args).expect_code(0);
    let text = log(&station);
    assert_eq!(count(&text, "FULL SYNC for "), 0, "{text}");
    assert!(text.contains("96 pubkeys were not fully synced"), "{text}");
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
