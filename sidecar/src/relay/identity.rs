//! [`RelayIdentity`]: what a relay calls itself.

use serde::{Deserialize, Serialize};

/// The longest name that is kept, in characters.
const LONGEST_NAME: usize = 200;

/// The `name` and `pubkey` of a relay's NIP-11 document. Stations name their relay after their
/// IPFS id and give their captain's key, so both together tell one relay from all others, also
/// behind a proxy whose IP address many relays share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayIdentity {
    name: String,
    pubkey: String,
}

impl RelayIdentity {
    /// An identity; `None` unless there are both a name and a pubkey, or if the name is the one
    /// that strfry comes with.
    pub fn new(name: Option<&str>, pubkey: Option<&str>) -> Option<Self> {
        let (name, pubkey) = (name?.trim(), pubkey?.trim());
        let is_usual = name.is_empty() || name == "strfry default";
        (!is_usual && pubkey.len() == 64).then(|| Self {
            name: name.chars().take(LONGEST_NAME).collect(),
            pubkey: pubkey.to_ascii_lowercase(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_relays_have_in_common_is_no_identity() {
        let key = "ab".repeat(32);
        let identity = |name, pubkey| RelayIdentity::new(Some(name), Some(pubkey));
        assert_eq!(identity("", &key), None);
        assert_eq!(identity("strfry default", &key), None);
        assert_eq!(identity("BOX 12D3", ""), None);
        assert_eq!(RelayIdentity::new(None, Some(&key)), None);
        let ours = identity("BOX 12D3", &key);
        assert!(ours.is_some());
        let upper = key.to_uppercase();
        assert_eq!(ours, identity(" BOX 12D3 ", &upper));
        assert_ne!(ours, identity("BOX 12D4", &key));
    }
}
