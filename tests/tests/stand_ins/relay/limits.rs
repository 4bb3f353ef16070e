//! What it leaves out, refuses and advertises.

use constellation_tests::Author;
use constellation_tests::relay::{Behaviour, Nip11, ScriptedRelay};
use serde_json::{Value, json};

use super::client::{Client, NOW, aged, eose, get};

#[test]
fn it_clamps_in_silence_and_takes_until_as_told() {
    let events = aged(10);
    let relay = ScriptedRelay::start(
        &events,
        Behaviour {
            max_limit: 4,
            ..Behaviour::default()
        },
    );
    let mut client = Client::new(&relay.url());
    assert_eq!(
        client.request("a", &[json!({})]),
        (events[..4].to_vec(), eose("a"))
    );
    let two = json!({"limit": 2, "since": NOW - 8, "until": NOW - 5});
    assert_eq!(
        client.request("b", &[two]),
        (events[5..7].to_vec(), eose("b"))
    );
    let one = json!({"authors": [Author::new(1).pubkey().to_hex()], "kinds": [1], "limit": 2});
    let of_one = vec![events[1].clone(), events[4].clone()];
    assert_eq!(
        client.request("c", std::slice::from_ref(&one)),
        (of_one.clone(), eose("c"))
    );
    // Each filter has its own limit, and nothing comes twice.
    let (both, _) = client.request("d", &[one.clone(), json!({"limit": 1}), one]);
    assert_eq!(both, [&of_one[..], &events[..1]].concat());
    assert_eq!(relay.requests(), 4);
    assert_eq!(relay.events_sent(), 4 + 2 + 2 + 3);
    assert_eq!((relay.connections(), relay.most_open()), (1, 4));

    relay.behave(Behaviour {
        until_exclusive: true,
        ..Behaviour::default()
    });
    let mut client = Client::new(&relay.url());
    let (older, _) = client.request("a", &[json!({"until": NOW - 5})]);
    assert_eq!(older, events[6..]);
    relay.add(&[Author::new(9).note(NOW - 99, "later")]);
    assert_eq!(client.request("b", &[json!({})]).0.len(), 11);
}

#[test]
fn it_refuses_what_is_too_much() {
    let relay = ScriptedRelay::start(
        &aged(3),
        Behaviour {
            max_filters: 2,
            max_subscriptions: 1,
            max_frame: 1000,
            greeting: vec![json!(["NOTICE", "welcome"]).to_string()],
            ..Behaviour::default()
        },
    );
    let mut client = Client::new(&relay.url());
    assert_eq!(client.next(), Some(json!(["NOTICE", "welcome"])));
    let closed = |name: &str, why: &str| Some(json!(["CLOSED", name, why]));
    let mut last = |name: &str, filters: &[Value]| client.request(name, filters).1;
    let none = json!({"kinds": [9]});
    let three = vec![none.clone(); 3];
    assert_eq!(
        last("a", &three),
        closed("a", "ERROR: bad req: arr too big")
    );
    let unknown = closed("a", "ERROR: bad req: unrecognised filter item: search");
    assert_eq!(last("a", &[json!({"search": "x"})]), unknown);
    assert_eq!(last("a", &three[..2]), eose("a"));
    assert_eq!(last("a", &three[..1]), eose("a"));
    let too_many = Some(json!(["NOTICE", "ERROR: too many concurrent REQs"]));
    assert_eq!(last("b", &three[..1]), too_many);
    client.send(&json!(["CLOSE", "a"]));
    assert_eq!(client.request("b", &three[..1]).1, eose("b"));
    client.send(&json!(["EVENT", {"id": "x"}]));
    assert_eq!(client.next().unwrap()[0], "OK");
    client.send(&json!(["CLOSE", "x".repeat(1000)]));
    assert_eq!(client.next(), None);
}

#[test]
fn it_withholds_direct_messages() {
    let author = Author::new(1);
    let dm = author.sign(4, NOW, &[&["p", &Author::new(2).pubkey().to_hex()]], "?iv=");
    let note = author.note(NOW - 1, "note");
    let behaviour = Behaviour {
        restrict_dms: true,
        ..Behaviour::default()
    };
    let relay = ScriptedRelay::start(&[dm, note.clone()], behaviour);
    let mut client = Client::new(&relay.url());
    let (events, last) = client.request("a", &[json!({"kinds": [4]})]);
    assert_eq!(
        (events, last.unwrap()[0].clone()),
        (Vec::new(), json!("AUTH"))
    );
    let required = "ERROR: auth-required: requested filter requires authentication";
    assert_eq!(client.next(), Some(json!(["CLOSED", "a", required])));
    assert_eq!(client.request("a", &[json!({})]), (vec![note], eose("a")));
    // The limit came first, so less than it says nothing.
    assert_eq!(
        client.request("b", &[json!({"limit": 1})]),
        (Vec::new(), eose("b"))
    );
}

#[test]
fn its_nip_11_document_tells_the_limits_or_what_it_is_told() {
    let behaviour = |nip11| Behaviour {
        nip11,
        max_limit: 7,
        max_subscriptions: 5,
        ..Behaviour::default()
    };
    let relay = ScriptedRelay::start(&[], behaviour(Nip11::Truthful));
    let response = get(&relay.url());
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let document: Value = serde_json::from_str(body).unwrap();
    assert_eq!(document["limitation"]["max_limit"], 7);
    assert_eq!(document["limitation"]["max_subscriptions"], 5);
    assert_eq!(document["limitation"]["max_message_length"], 131_072);
    assert_eq!(document["negentropy"], 1);
    relay.behave(behaviour(Nip11::Body("not json".to_owned())));
    assert!(get(&relay.url()).ends_with("\r\n\r\nnot json"));
    relay.behave(behaviour(Nip11::Absent));
    assert!(get(&relay.url()).starts_with("HTTP/1.1 404"));
    assert_eq!((relay.documents(), relay.connections()), (3, 0));
}
