//! The relays outside the swarm that are asked for the profiles that no peer has.

use constellation_shared::Event;
use constellation_tests::author::{forged_signature, now, tampered};
use constellation_tests::members::{log, old_profile};
use constellation_tests::{Author, Behaviour, ScriptedRelay, station};

use crate::case::{count, keys, short, with_fallback};

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
