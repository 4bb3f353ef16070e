//! NIP-77, and the relay that other people wrote.

use constellation_tests::Author;
use constellation_tests::author::notes;
use constellation_tests::library_relay::LibraryRelay;
use constellation_tests::relay::{Behaviour, Nip77, ScriptedRelay};
use constellation_tests::station::ids;
use serde_json::json;

use super::client::{Client, NOW, eose, reconcile};

#[test]
fn it_reconciles_or_refuses_to() {
    let events = notes(&Author::many(4), &[1, 7], 1500, NOW, 50_000);
    let (have, missing) = events.split_at(1000);
    let with = |nip77| Behaviour {
        nip77,
        max_sync_events: 1499,
        ..Behaviour::default()
    };
    let relay = ScriptedRelay::start(&events, Behaviour::default());
    let mut client = Client::new(&relay.url());
    let need = reconcile(&mut client, &json!({}), have).unwrap();
    assert_eq!(
        need.into_iter().collect::<std::collections::BTreeSet<_>>(),
        ids(missing)
    );
    client.send(&json!(["NEG-MSG", "n", "61"]));
    let closed = json!(["NEG-ERR", "n", "closed: unknown subscription handle"]);
    assert_eq!(client.next(), Some(closed));
    client.send(&json!(["NEG-OPEN", "n", {}, "zz"]));
    let hex = "ERROR: negentropy error: unexpected character in from_hex: 122";
    assert_eq!(client.next(), Some(json!(["NOTICE", hex])));

    relay.behave(with(Nip77::Served));
    let mut client = Client::new(&relay.url());
    let blocked = json!(["NEG-ERR", "n", "blocked: too many query results", 1499]);
    assert_eq!(reconcile(&mut client, &json!({}), have), Err(blocked));
    assert!(reconcile(&mut client, &json!({"kinds": [7]}), have).is_ok());
    for nip77 in [Nip77::Absent, Nip77::RefusedByNotice] {
        relay.behave(with(nip77));
        let refusal = reconcile(&mut Client::new(&relay.url()), &json!({}), have).unwrap_err();
        assert_eq!(refusal[0], "NOTICE");
    }
    relay.behave(with(Nip77::NeverAnswers));
    let mut client = Client::new(&relay.url());
    client.send(&json!(["NEG-OPEN", "n", {}, "61"]));
    assert_eq!(
        client.request("a", &[json!({"limit": 0})]),
        (Vec::new(), eose("a"))
    );
    assert_eq!(relay.reconciliations(), 7);
}

#[test]
fn the_library_s_relay_serves_clamps_and_reconciles() {
    let mut events = notes(&Author::many(4), &[1, 7], 300, NOW, 50_000);
    let relay = LibraryRelay::start(&events, 100);
    events.sort_by_key(|event| std::cmp::Reverse(event.created_at));
    let mut client = Client::new(&relay.url());
    for filter in [json!({}), json!({"limit": 1000})] {
        let (newest, last) = client.request("a", &[filter]);
        assert_eq!((newest.len(), last), (100, eose("a")));
        assert!(ids(&newest).is_subset(&ids(&events[..110])));
        client.send(&json!(["CLOSE", "a"]));
    }
    let need = reconcile(&mut client, &json!({}), &events[..250]).unwrap();
    assert!(!need.is_empty());
}
