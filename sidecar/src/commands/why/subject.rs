//! [`Subject`]: what `why` is asked about, as somebody typed it.

use std::str::FromStr;

use constellation_shared::{EventId, Pubkey};

/// The longest word that is looked for, in characters: no name is longer.
const LONGEST_WORD: usize = 200;

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// An event.
    Event(EventId),
    /// A key.
    Key(Pubkey),
    /// 32 bytes, which may be either.
    Either([u8; 32]),
    /// The events of a kind.
    Kind(u16),
    /// What somebody or some station may be called.
    Word(String),
}

/// Why a text cannot be asked about: it begins like an event or a key, and is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither 64 hex digits nor note1…, nevent1…, npub1… or nprofile1…")]
pub struct NoSubject;

impl FromStr for Subject {
    type Err = NoSubject;

    fn from_str(text: &str) -> Result<Self, NoSubject> {
        let text = text.trim();
        // NIP-21
        let text = text.strip_prefix("nostr:").unwrap_or(text);
        let bech32 = text.to_ascii_lowercase();
        let key = || text.parse::<Pubkey>().map_err(|_| NoSubject);
        if text.is_empty() || bech32.starts_with("nsec1") {
            Err(NoSubject)
        } else if bech32.starts_with("note1") {
            text.parse().map(Self::Event).map_err(|_| NoSubject)
        } else if bech32.starts_with("nevent1") {
            EventId::of_nevent(text).map(Self::Event).ok_or(NoSubject)
        } else if bech32.starts_with("npub1") {
            key().map(Self::Key)
        } else if bech32.starts_with("nprofile1") {
            Pubkey::of_nprofile(text).map(Self::Key).ok_or(NoSubject)
        } else if let Ok(key) = key() {
            Ok(Self::Either(*key.as_bytes()))
        } else if let Some(kind) = kind(&bech32) {
            Ok(Self::Kind(kind))
        } else {
            Ok(Self::Word(text.chars().take(LONGEST_WORD).collect()))
        }
    }
}

/// The kind in `30023`, `kind 30023` or `kind:30023`.
fn kind(text: &str) -> Option<u16> {
    let number = text.strip_prefix("kind").unwrap_or(text);
    let number = number.trim_start_matches([' ', ':', '=']);
    let are_digits = number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|_| are_digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_understood() {
        let bytes = [7; 32];
        let (id, key) = (EventId::from_bytes(bytes), Pubkey::from_bytes(bytes));
        let word = |word: &str| Subject::Word(word.to_owned());
        for (text, subject) in [
            (id.to_bech32(), Subject::Event(id)),
            (format!("nostr:{}", id.to_bech32()), Subject::Event(id)),
            (key.to_bech32(), Subject::Key(key)),
            (format!(" nostr:{}\n", key.to_bech32()), Subject::Key(key)),
            (key.to_hex(), Subject::Either(bytes)),
            (key.to_hex().to_uppercase(), Subject::Either(bytes)),
            ("07".to_owned(), Subject::Kind(7)),
            ("Kind 30023".to_owned(), Subject::Kind(30_023)),
            ("kind:0".to_owned(), Subject::Kind(0)),
            ("+7".to_owned(), word("+7")),
            ("65536".to_owned(), word("65536")),
            (" a@b.org ".to_owned(), word("a@b.org")),
            ("x".repeat(100_000), word(&"x".repeat(LONGEST_WORD))),
        ] {
            assert_eq!(text.parse(), Ok(subject), "{text}");
        }
        for nothing in [
            "",
            " ",
            "note1x",
            "nevent1x",
            "npub1x",
            "nprofile1",
            "nsec1x",
        ] {
            assert_eq!(nothing.parse::<Subject>(), Err(NoSubject), "{nothing}");
        }
    }
}
