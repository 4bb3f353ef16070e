//! `12345.json` of another station, and what is made of it.

use constellation_sync::testing::address::Address;
use constellation_sync::testing::guard::Guard;
use constellation_sync::testing::peer::{Description, peers};
use serde_json::{Map, Value};

/// The fields are what serde_json finds, if it takes this for JSON, and an address that comes of them
/// holds nothing but what a URL and a command may hold.
///
/// # Panics
/// Where that is not so.
pub fn holds(json: &[u8]) {
    let value: Option<Value> = serde_json::from_slice(json).ok();
    let fields = value.as_ref().and_then(Value::as_object);
    let Some(description) = Description::parse(json) else {
        assert!(fields.is_none());
        return;
    };
    if let Some(fields) = fields {
        holds_what_is_there(&description, fields);
    }
    leads_to_a_relay_at_most(description);
}

fn holds_what_is_there(description: &Description, fields: &Map<String, Value>) {
    let text = |name: &str| {
        let text = fields.get(name).and_then(Value::as_str).unwrap_or_default();
        // What is longer is cut.
        let text: String = text.trim().chars().take(1000).collect();
        Some(text).filter(|text| !text.is_empty())
    };
    let key = |name: &str| super::key::naive(text(name)?.as_bytes(), "npub");
    assert_eq!(description.relay, text("myRELAY"));
    assert_eq!(description.node_id, text("ipfsnodeid"));
    assert_eq!(
        description.captain.map(|key| *key.as_bytes()),
        key("captainHEX")
    );
    assert_eq!(description.node.map(|key| *key.as_bytes()), key("NODEHEX"));
}

fn leads_to_a_relay_at_most(mut description: Description) {
    for offers_tunnel in [false, true] {
        description.offers_tunnel = offers_tunnel;
        let own = description.node_id.clone();
        assert_eq!(
            peers(
                std::slice::from_ref(&description),
                own.as_deref(),
                &Guard::open()
            ),
            []
        );
        let both = [description.clone(), description.clone()];
        let found = peers(&both, None, &Guard::open());
        assert!(found.len() <= 1);
        for peer in found {
            let shown = peer.address.to_string();
            assert!(shown.chars().all(|c| c.is_ascii_graphic()), "{shown:?}");
            match peer.address.tunnel() {
                Some(id) => {
                    assert!(offers_tunnel);
                    let id = id.to_string();
                    assert_eq!(Some(&id), description.node_id.as_ref());
                    assert!(
                        id.bytes().all(|byte| byte.is_ascii_alphanumeric()),
                        "{id:?}"
                    );
                }
                None => {
                    assert!(!peer.address.host().is_empty());
                    let again = Address::parse(&peer.address.url()).unwrap();
                    assert_eq!(again, peer.address);
                }
            }
        }
    }
}
