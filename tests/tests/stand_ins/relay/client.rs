//! A client that says what it is told to, one message at a time.

use std::io::{Read, Write};
use std::net::TcpStream;

use constellation_shared::{Event, EventId};
use constellation_tests::Author;
use negentropy::{Id, Negentropy, NegentropyStorageVector};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::stream::MaybeTlsStream;
use tokio_tungstenite::tungstenite::{Message, WebSocket, connect};

pub(crate) const NOW: u64 = 1_795_000_000;

pub(crate) struct Client(WebSocket<MaybeTlsStream<TcpStream>>);

impl Client {
    pub(crate) fn new(url: &str) -> Self {
        Self(connect(url).unwrap().0)
    }

    pub(crate) fn send(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).unwrap();
    }

    /// The next message; none where the connection ended.
    pub(crate) fn next(&mut self) -> Option<Value> {
        match self.0.read() {
            Ok(Message::Text(text)) => Some(serde_json::from_str(&text).unwrap()),
            Ok(other) => panic!("{other:?}"),
            Err(_) => None,
        }
    }

    /// The events up to the message that ends them, and that message.
    pub(crate) fn request(&mut self, name: &str, filters: &[Value]) -> (Vec<Event>, Option<Value>) {
        let mut message = vec![json!("REQ"), json!(name)];
        message.extend_from_slice(filters);
        self.send(&Value::Array(message));
        let mut events = Vec::new();
        loop {
            match self.next() {
                Some(message) if message[0] == "EVENT" => {
                    assert_eq!(message[1], name);
                    events.push(Event::parse(message[2].to_string().as_bytes()).unwrap());
                }
                other => return (events, other),
            }
        }
    }
}

pub(crate) fn get(url: &str) -> String {
    let mut stream = TcpStream::connect(url.trim_start_matches("ws://")).unwrap();
    let request = "GET / HTTP/1.1\r\nHost: x\r\nAccept: application/nostr+json\r\n\r\n";
    // In two pieces, as a network may deliver it.
    let (head, tail) = request.split_at(20);
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(tail.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

/// What a client that holds `have` learns that it needs.
pub(crate) fn reconcile(
    client: &mut Client,
    filter: &Value,
    have: &[Event],
) -> Result<Vec<EventId>, Value> {
    let mut storage = NegentropyStorageVector::new();
    for event in have {
        let id = Id::from_byte_array(*event.id.as_bytes());
        storage.insert(event.created_at, id).unwrap();
    }
    storage.seal().unwrap();
    let mut negentropy = Negentropy::borrowed(&storage, 4096).unwrap();
    let opening = const_hex::encode(negentropy.initiate().unwrap());
    client.send(&json!(["NEG-OPEN", "n", filter, opening]));
    let (mut theirs, mut need) = (Vec::new(), Vec::new());
    loop {
        let message = client.next().unwrap();
        if message[0] != "NEG-MSG" {
            return Err(message);
        }
        let bytes = const_hex::decode(message[2].as_str().unwrap()).unwrap();
        let reply = negentropy.reconcile_with_ids(&bytes, &mut theirs, &mut need);
        match reply.unwrap() {
            Some(reply) => client.send(&json!(["NEG-MSG", "n", const_hex::encode(reply)])),
            None => break,
        }
    }
    client.send(&json!(["NEG-CLOSE", "n"]));
    Ok(need
        .iter()
        .map(|id| EventId::from_bytes(*id.as_bytes()))
        .collect())
}

pub(crate) fn eose(name: &str) -> Option<Value> {
    Some(json!(["EOSE", name]))
}

/// As many notes of three authors, a second apart, newest first.
pub(crate) fn aged(count: u64) -> Vec<Event> {
    let note = |age| Author::new(age % 3).note(NOW - age, &format!("{age}"));
    (0..count).map(note).collect()
}
