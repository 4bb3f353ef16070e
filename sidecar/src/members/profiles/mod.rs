//! Profiles: kind 0 (NIP-01) of the followed pubkeys, as the local strfry holds them.
//!
//! What a profile says was written by anybody: it is read tolerantly here, and made
//! harmless where it is shown ([`render`], [`crate::support::sanitize`]).

pub mod render;

use std::collections::BTreeMap;

use constellation_shared::{Pubkey, kinds};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::strfry::Strfry;
use crate::strfry::scan::ScanError;

/// One pubkey's profile.
#[derive(Debug, Clone)]
pub struct Profile {
    /// When its author made it, Unix seconds.
    created_at: u64,
    /// The content as a JSON object; empty if it is anything else.
    content: Box<RawValue>,
    /// The fields that are shown.
    pub fields: Fields,
}

/// The fields of a profile that are shown; what is missing or no text is empty. As their
/// author wrote them, and so not yet fit to be shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// `name`
    pub name: String,
    /// `display_name`, or `displayName` if that is missing.
    pub display_name: String,
    /// `about`
    pub about: String,
    /// `picture`
    pub picture: String,
    /// `website`
    pub website: String,
    /// `nip05`, an internet identifier (NIP-05).
    pub nip05: String,
}

impl Fields {
    /// What its owner wants to be called: the name, or else the display name.
    pub(crate) fn called(&self) -> Option<&str> {
        let mut names = [self.name.trim(), self.display_name.trim()].into_iter();
        names.find(|name| !name.is_empty())
    }
}

/// Profiles by pubkey.
pub type Profiles = BTreeMap<Pubkey, Profile>;

/// An event as strfry holds it. Its tags do not matter, and may be of any shape.
#[derive(Deserialize)]
struct Stored {
    pubkey: String,
    created_at: u64,
    content: String,
}

impl Profile {
    fn new(created_at: u64, content: &str) -> Self {
        let fields = match serde_json::from_str(content) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        let text = |name: &str| {
            let text = fields.get(name).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let display_name = match text("display_name") {
            empty if empty.trim().is_empty() => text("displayName"),
            given => given,
        };
        let shown = Fields {
            name: text("name"),
            display_name,
            about: text("about"),
            picture: text("picture"),
            website: text("website"),
            nip05: text("nip05"),
        };
        Self {
            created_at,
            fields: shown,
            // What was just read can be spelled again, so the fallback is never taken.
            content: serde_json::value::to_raw_value(&fields).unwrap_or_default(),
        }
    }
}

/// Takes a line of a scan in if it is newer than what is known of its author. What is
/// no event is passed over.
pub fn take(profiles: &mut Profiles, line: &[u8]) {
    let Ok(stored) = serde_json::from_slice::<Stored>(line) else {
        return;
    };
    let Ok(author) = Pubkey::parse(stored.pubkey.as_bytes()) else {
        return;
    };
    // strfry keeps the newest one only, but for the moment in which it replaces it.
    let known = profiles.get(&author).map(|profile| profile.created_at);
    if known.is_none_or(|known| known < stored.created_at) {
        let profile = Profile::new(stored.created_at, &stored.content);
        profiles.insert(author, profile);
    }
}

/// The profiles of these pubkeys that the local strfry holds.
///
/// # Errors
/// [`ScanError`].
pub(crate) async fn extract(strfry: &Strfry, keys: &[Pubkey]) -> Result<Profiles, ScanError> {
    let mut profiles = Profiles::new();
    strfry
        .scan(keys, &[kinds::PROFILE], |line| take(&mut profiles, line))
        .await?;
    Ok(profiles)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Pubkey {
        Pubkey::from_bytes([byte; 32])
    }

    fn line(author: &str, created_at: u64, content: &str) -> String {
        serde_json::json!({
            "content": content, "created_at": created_at, "id": "00", "kind": 0,
            "pubkey": author, "sig": "00", "tags": [["t", 1, {"any": []}]],
        })
        .to_string()
    }

    #[test]
    fn the_newest_profile_counts_however_its_author_is_spelled() {
        let mut profiles = Profiles::new();
        let upper = format!("0x{}", key(0xab).to_hex().to_uppercase());
        for line in [
            line(&upper, 5, r#"{"name":"new"}"#),
            line(&key(0xab).to_hex(), 4, r#"{"name":"old"}"#),
            line("nobody", 9, "{}"),
            "not an event".to_owned(),
        ] {
            take(&mut profiles, line.as_bytes());
        }
        assert_eq!(profiles.len(), 1);
        assert_eq!(profiles[&key(0xab)].fields.name, "new");
    }

    #[test]
    fn a_profile_may_hold_anything() {
        for nothing in ["", "not JSON", "[]", "null", "{\"name\":", "\"x\""] {
            let profile = Profile::new(1, nothing);
            assert_eq!(profile.fields, Fields::default(), "{nothing}");
            assert_eq!(profile.content.get(), "{}");
        }
        let deep = format!("{{\"name\":{}", "[".repeat(100_000));
        assert_eq!(Profile::new(1, &deep).fields, Fields::default());
        let odd = Profile::new(
            1,
            r#" {"name":7,"display_name":" ","displayName":"Al","nip05":null,"more":[1]} "#,
        );
        assert_eq!(odd.fields.display_name, "Al");
        assert_eq!(odd.fields.name, "");
        assert_eq!(
            odd.content.get(),
            r#"{"displayName":"Al","display_name":" ","more":[1],"name":7,"nip05":null}"#
        );
    }
}
