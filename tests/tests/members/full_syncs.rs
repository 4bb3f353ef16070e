//! Full syncs of pubkeys without a profile: who is asked, and what comes of it.

use constellation_tests::author::now;
use constellation_tests::members::{log, messages, old_notes, old_profile, profile, sync};
use constellation_tests::relay::Nip77;
use constellation_tests::relay::dead_url;
use constellation_tests::station::{PEER_IDS, ids};
use constellation_tests::{Author, Behaviour, ScriptedRelay, station};

use crate::case::{count, keys, short, with_fallback};

const MEMORY: &str = "strfry/constellation-missing-profiles.json";

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
    let reason = "1 of 1 peer and 1 of 1 fallback relay answered, none with a profile";
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

    let (questions, fallback_questions) = (peer.reconciliations(), fallback.requests());
    let second = run();
    assert!(!second.contains("FULL SYNC"), "{second}");
    assert!(second.contains(&format!("asked for less than a day ago: {reason}")));
    assert!(second.contains("SYNC_PROFILES: found=0 missing=1"));
    assert_eq!(fallback.requests(), fallback_questions);
    // The window alone was asked for.
    assert!(peer.reconciliations() - questions < questions);

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
            text.contains("0 of 1 peer and 0 of 1 fallback relay answered"),
            "{text}"
        );
        assert!(text.contains("asked again next time"));
    }
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
fn a_full_sync_downloads_only_what_is_not_here() {
    let station = station!();
    let authors = Author::many(20);
    station.friends(&keys(&authors));
    let notes: Vec<_> = authors
        .iter()
        .flat_map(|author| old_notes(author, 30))
        .collect();
    let profiles: Vec<_> = authors
        .iter()
        .map(|author| old_profile(author, "Back"))
        .collect();
    station.import(&notes);
    let held = [&notes[..], &profiles].concat();
    let relays = [(); 2].map(|()| ScriptedRelay::start(&held, Behaviour::default()));
    let (first, second) = (relays[0].url(), relays[1].url());
    sync(&station, &["--peer", &first, "--peer", &second]).expect_code(0);
    assert_eq!(station.stored_ids(), ids(&held), "{}", log(&station));
    let sent: u64 = relays.iter().map(ScriptedRelay::events_sent).sum();
    assert_eq!(sent, 20, "each profile comes once");
    assert!(log(&station).contains("SYNC_PROFILES: found=20 missing=0"));
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

#[test]
fn what_a_peer_has_just_given_is_not_downloaded_again_and_the_fallback_is_asked() {
    let station = station!();
    let author = Author::new(1);
    station.friends(&[author.pubkey()]);
    let notes = old_notes(&author, 50);
    let paged = Behaviour {
        nip77: Nip77::Absent,
        ..Behaviour::default()
    };
    let relay = ScriptedRelay::start(&notes, paged.clone());
    let fallback = ScriptedRelay::start(&[old_profile(&author, "found")], paged);
    station.peer("12D3KooPeer", &relay.url());
    let url = fallback.url();
    let args = ["--sweep", "--fallback-relay", &url];
    with_fallback(&station, &args).output().expect_code(0);
    let text = log(&station);
    assert_eq!(count(&text, "✅ Full sync successful for "), 1, "{text}");
    assert!(text.contains("SYNC_PROFILES: found=1 missing=0"), "{text}");
    // A page repeats the last second of the page before.
    assert!(relay.events_sent() < 60, "{}", relay.events_sent());
    assert_eq!(relay.connections(), 1);
}
