//! [`Pubkey`] and [`EventId`]: 32 bytes each, written as hex (NIP-01) or bech32 (NIP-19).
//!
//! Text is parsed into these types at the edge of the program. Inside, keys are never strings,
//! so two spellings of a key cannot be taken for two keys.

use std::fmt;
use std::str::FromStr;

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};

/// Why a text is not a valid key or id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is neither 64 hex digits nor bech32 with the expected prefix.
    #[error("neither 64 hex digits nor {0}1…")]
    Spelling(&'static str),
    /// The text looks like bech32, but its checksum, prefix or length is wrong (NIP-19).
    #[error("not a valid {0}1… (NIP-19): a character was changed or is missing")]
    Bech32(&'static str),
}

macro_rules! thirty_two_bytes {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The human-readable part of its bech32 spelling (NIP-19).
            pub const PREFIX: &'static str = $prefix;

            /// Wraps 32 bytes without checking them.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// Parses every spelling that strfry or NIP-19 accepts: 64 hex digits in upper or
            /// lower case, with or without `0x` in front, and bech32 in upper or lower case.
            ///
            /// # Errors
            /// [`KeyError`] if the text is none of these. Spaces around it are not removed.
            pub fn parse(text: &[u8]) -> Result<Self, KeyError> {
                parse_bytes(text, $prefix).map(Self)
            }

            /// Spells it as 64 lower-case hex digits, the canonical form (NIP-01).
            pub fn to_hex(&self) -> String {
                const_hex::encode(self.0)
            }

            /// Spells it as bech32 (NIP-19).
            pub fn to_bech32(&self) -> String {
                // 32 bytes always fit into bech32, so the fallback is never taken.
                bech32::encode::<Bech32>(Hrp::parse_unchecked($prefix), &self.0)
                    .unwrap_or_else(|_| self.to_hex())
            }
        }

        impl FromStr for $name {
            type Err = KeyError;

            fn from_str(text: &str) -> Result<Self, KeyError> {
                Self::parse(text.as_bytes())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut digits = [0_u8; 64];
                match const_hex::encode_to_str(self.0, &mut digits) {
                    Ok(text) => f.pad(text),
                    Err(_) => Err(fmt::Error),
                }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

thirty_two_bytes! {
    /// The public key of an author: the x coordinate of a secp256k1 point (NIP-01). Whether there
    /// is such a point is only checked when a signature is verified.
    Pubkey, "npub"
}

thirty_two_bytes! {
    /// An event's id: the SHA-256 of its canonical form (NIP-01).
    EventId, "note"
}

/// The key or id that a NIP-19 text with this prefix (`nevent1…`, `nprofile1…`) is about. `None`
/// if the text is not of this form.
fn named_bytes(text: &str, prefix: &str) -> Option<[u8; 32]> {
    let decoded = CheckedHrpstring::new::<Bech32>(text).ok()?;
    if decoded.hrp().to_lowercase() != prefix {
        return None;
    }
    let data: Vec<u8> = decoded.byte_iter().collect();
    let mut rest = data.as_slice();
    // Entries of type, length and value. Type 0 is the key or id.
    while let [kind, length, more @ ..] = rest {
        let (value, behind) = more.split_at_checked(usize::from(*length))?;
        if *kind == 0 {
            return value.try_into().ok();
        }
        rest = behind;
    }
    None
}

impl EventId {
    /// The event that `nevent1…` (NIP-19) names.
    pub fn of_nevent(text: &str) -> Option<Self> {
        named_bytes(text, "nevent").map(Self)
    }
}

impl Pubkey {
    /// The author that `nprofile1…` (NIP-19) names.
    pub fn of_nprofile(text: &str) -> Option<Self> {
        named_bytes(text, "nprofile").map(Self)
    }

    /// Shortens it to the form that captains know from their logs: `7f3b6ad3...91c0ffee`.
    pub fn abbreviated(&self) -> String {
        let hex = self.to_hex();
        let (head, tail) = (hex.get(..8), hex.get(56..));
        format!(
            "{}...{}",
            head.unwrap_or_default(),
            tail.unwrap_or_default()
        )
    }
}

fn parse_bytes(text: &[u8], prefix: &'static str) -> Result<[u8; 32], KeyError> {
    let hex = match text {
        [b'0', b'x' | b'X', rest @ ..] => rest,
        _ => text,
    };
    let mut bytes = [0_u8; 32];
    if hex.len() == 64 {
        // `const_hex` skips a `0x` of its own, but 62 digits after a second one are not a key.
        let has_prefix = hex.starts_with(b"0x");
        return if !has_prefix && const_hex::decode_to_slice(hex, &mut bytes).is_ok() {
            Ok(bytes)
        } else {
            Err(KeyError::Spelling(prefix))
        };
    }
    let named = text
        .get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
        && text.get(prefix.len()) == Some(&b'1');
    if !named {
        return Err(KeyError::Spelling(prefix));
    }
    let invalid = KeyError::Bech32(prefix);
    let text = std::str::from_utf8(text).map_err(|_| invalid)?;
    let decoded = CheckedHrpstring::new::<Bech32>(text).map_err(|_| invalid)?;
    let mut data = decoded.byte_iter();
    if data.len() != bytes.len() {
        return Err(invalid);
    }
    for byte in &mut bytes {
        *byte = data.next().ok_or(invalid)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example in NIP-19.
    const HEX: &str = "3bf0c63fcb93463407af97a5e5ee64fa883d107ef9e558472c4eb9aaaefa459d";
    const NPUB: &str = "npub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6";

    #[test]
    fn every_spelling_is_the_same_key() {
        let key: Pubkey = HEX.parse().unwrap();
        let mixed: String = HEX
            .char_indices()
            .map(|(i, c)| {
                if i % 2 == 0 {
                    c.to_ascii_uppercase()
                } else {
                    c
                }
            })
            .collect();
        for spelling in [
            HEX.to_uppercase(),
            mixed,
            format!("0x{HEX}"),
            format!("0X{}", HEX.to_uppercase()),
            NPUB.to_owned(),
            NPUB.to_uppercase(),
        ] {
            assert_eq!(spelling.parse::<Pubkey>(), Ok(key), "{spelling}");
        }
        assert_eq!(key.to_hex(), HEX);
        assert_eq!(key.to_string(), HEX);
        assert_eq!(key.to_bech32(), NPUB);
        assert_eq!(key.abbreviated(), "3bf0c63f...aefa459d");
    }

    #[test]
    fn a_text_that_is_not_a_key_is_refused() {
        let broken_npub = NPUB.replace("gkw", "gkx");
        for (text, error) in [
            ("", KeyError::Spelling("npub")),
            (&HEX[1..], KeyError::Spelling("npub")),
            (&format!("{HEX}0"), KeyError::Spelling("npub")),
            (&format!("0x0x{}", &HEX[2..]), KeyError::Spelling("npub")),
            (&format!("0x{}", &HEX[2..]), KeyError::Spelling("npub")),
            (&format!(" {HEX}"), KeyError::Spelling("npub")),
            (&HEX.replace('3', "g"), KeyError::Spelling("npub")),
            ("npub1", KeyError::Bech32("npub")),
            (&broken_npub, KeyError::Bech32("npub")),
            ("npub1é", KeyError::Bech32("npub")),
            (&EventId([7; 32]).to_bech32(), KeyError::Spelling("npub")),
        ] {
            assert_eq!(text.parse::<Pubkey>(), Err(error), "{text}");
        }
    }

    #[test]
    fn an_nprofile_names_a_key_and_an_nevent_an_id() {
        // The example of NIP-19.
        let text = "nprofile1qqsrhuxx8l9ex335q7he0f09aej04zpazpl0ne2cgukyawd24mayt8gpp4mhxue69uhhytnc9e3k7mgpz4mhxue69uhkg6nzv9ejuumpv34kytnrdaksjlyr9p";
        let key = Pubkey::of_nprofile(text).unwrap();
        assert_eq!(key.to_hex(), HEX);
        assert_eq!(EventId::of_nevent(text), None);
        assert_eq!(Pubkey::of_nprofile(NPUB), None);
        for length in [0, 3, 34] {
            let mut tlv = vec![0, length];
            tlv.extend([7; 32]);
            let text = bech32::encode::<Bech32>(Hrp::parse_unchecked("nevent"), &tlv).unwrap();
            assert_eq!(EventId::of_nevent(&text), None, "{length}");
            if let [_, spelled, ..] = tlv.as_mut_slice() {
                *spelled = 32;
            }
            let text = bech32::encode::<Bech32>(Hrp::parse_unchecked("nevent"), &tlv).unwrap();
            assert_eq!(EventId::of_nevent(&text), Some(EventId([7; 32])));
        }
    }

    #[test]
    fn an_id_has_its_own_prefix() {
        let id = EventId([0xab; 32]);
        assert!(id.to_bech32().starts_with("note1"));
        assert_eq!(id.to_bech32().parse(), Ok(id));
        assert_eq!(format!("{id:?}"), format!("EventId({})", "ab".repeat(32)));
    }

    proptest::proptest! {
        #[test]
        fn bytes_survive_each_spelling(bytes: [u8; 32]) {
            let key = Pubkey::from_bytes(bytes);
            proptest::prop_assert_eq!(key.to_hex().parse(), Ok(key));
            proptest::prop_assert_eq!(key.to_bech32().parse(), Ok(key));
        }

        #[test]
        fn no_text_makes_it_panic(text: Vec<u8>) {
            let _ = Pubkey::parse(&text);
        }
    }
}
