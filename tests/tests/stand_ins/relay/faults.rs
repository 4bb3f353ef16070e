//! How it breaks off.

use constellation_tests::Author;
use constellation_tests::relay::{Behaviour, ScriptedRelay, dead_url};
use serde_json::json;
use tokio_tungstenite::tungstenite::connect;

use super::client::{Client, aged, eose};

#[test]
fn it_breaks_off_and_adds_what_nobody_asked_for() {
    let events = aged(5);
    let stray = Author::new(9).note(1, "stray");
    let relay = ScriptedRelay::start(
        &events,
        Behaviour {
            extra: vec![stray.to_json()],
            close_after_events: Some(3),
            close_once: true,
            ..Behaviour::default()
        },
    );
    let cut = Client::new(&relay.url()).request("a", &[json!({})]);
    assert_eq!(
        cut,
        ([std::slice::from_ref(&stray), &events[..2]].concat(), None)
    );
    let whole = Client::new(&relay.url()).request("a", &[json!({})]);
    assert_eq!(whole, ([&[stray], &events[..]].concat(), eose("a")));
    assert_eq!(relay.received(), [r#"["REQ","a",{}]"#, r#"["REQ","a",{}]"#]);

    relay.behave(Behaviour {
        close_after_events: Some(2),
        ..Behaviour::default()
    });
    for _ in 0..2 {
        let cut = Client::new(&relay.url()).request("a", &[json!({})]);
        assert_eq!(cut, (events[..2].to_vec(), None));
    }

    relay.behave(Behaviour {
        hang_after_events: Some(2),
        ..Behaviour::default()
    });
    let mut client = Client::new(&relay.url());
    client.send(&json!(["REQ", "a", {}]));
    assert_eq!(client.next().unwrap()[2]["id"], events[0].id.to_hex());
    assert_eq!(client.next().unwrap()[2]["id"], events[1].id.to_hex());
    // Its end ends whatever it kept open.
    drop(relay);
    assert_eq!(client.next(), None);
    assert!(connect(dead_url()).is_err());
}
