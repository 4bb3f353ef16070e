//! Events as NIP-01 defines them: their fields, their canonical form and their id.

use std::borrow::Cow;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::key::{EventId, Pubkey};
use crate::tag::TagElement;

/// A nostr event (NIP-01). Parsing only checks its structure. [`crate::verify`] checks whether
/// the id and the signature are right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The id, as it was sent. It should be the SHA-256 of [`Event::canonical_form`].
    pub id: EventId,
    /// The author's public key.
    pub pubkey: Pubkey,
    /// The Unix time in seconds that the author states.
    pub created_at: u64,
    /// The kind, 0 to 65535.
    pub kind: u16,
    /// The tags. Each has at least a name. Name and value are strings; the elements after them
    /// need not be.
    pub tags: Vec<Vec<TagElement>>,
    /// The content, which can be any text.
    pub content: String,
    /// The BIP-340 Schnorr signature of the id.
    pub sig: [u8; 64],
}

/// Why a JSON text is not a valid event.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// It is not a JSON object, or a field is missing, of the wrong type or out of range.
    #[error("not an event (NIP-01)")]
    Shape(#[source] serde_json::Error),
    /// `id` or `sig` is not hex of the right length.
    #[error("{0} is not hex of its length")]
    Hex(&'static str),
    /// `pubkey` is not lower-case hex of the right length (NIP-01).
    #[error("{0} is not lower-case hex of its length")]
    Spelling(&'static str),
    /// A tag has no name.
    #[error("a tag is empty")]
    EmptyTag,
    /// The name or the value of a tag is not a string.
    #[error("the name or the value of a tag is not a text")]
    TagText,
}

#[derive(serde::Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    pubkey: Cow<'a, str>,
    created_at: u64,
    kind: u16,
    tags: Vec<Vec<TagElement>>,
    content: String,
    #[serde(borrow)]
    sig: Cow<'a, str>,
}

/// An event's fields, in the order in which strfry stores them.
#[derive(Serialize)]
struct OrderedFields<'a> {
    content: &'a str,
    created_at: u64,
    id: String,
    kind: u16,
    pubkey: String,
    sig: String,
    tags: &'a [Vec<TagElement>],
}

impl Event {
    /// Parses an event and ignores fields that NIP-01 does not name. Like strfry, it accepts `id`
    /// and `sig` in upper case or with `0x` in front, as their spelling is not hashed.
    ///
    /// # Errors
    /// [`EventError`]. A pubkey in upper case or with `0x` in front is refused although strfry
    /// accepts it, because its spelling is hashed.
    pub fn parse(json: &[u8]) -> Result<Self, EventError> {
        Self::parse_with(json, lower_hex)
    }

    /// Parses an event whose pubkey may be in upper case or have `0x` in front, as a relay that
    /// passes an event on can change spellings. The id must be the hash of the event with the
    /// pubkey in lower case.
    ///
    /// # Errors
    /// [`EventError`], also if the event was hashed with another spelling of the pubkey.
    pub fn parse_respelled(json: &[u8]) -> Result<Self, EventError> {
        let event = Self::parse_with(json, any_hex)?;
        if event.has_own_id() {
            Ok(event)
        } else {
            Err(EventError::Spelling("pubkey"))
        }
    }

    fn parse_with(json: &[u8], pubkey: ReadHex) -> Result<Self, EventError> {
        // For serde, an array of the right length would do.
        let first = json.trim_ascii_start().first();
        if first.is_some_and(|&first| first != b'{') {
            let error = serde::de::Error::custom("not an object");
            return Err(EventError::Shape(error));
        }
        let fields: Fields<'_> = serde_json::from_slice(json).map_err(EventError::Shape)?;
        for tag in &fields.tags {
            if tag.is_empty() {
                return Err(EventError::EmptyTag);
            }
            // strfry does not accept this, whoever signed it.
            if tag
                .iter()
                .take(2)
                .any(|element| element.as_text().is_none())
            {
                return Err(EventError::TagText);
            }
        }
        Ok(Self {
            id: EventId::from_bytes(any_hex(&fields.id, "id")?),
            pubkey: Pubkey::from_bytes(pubkey(&fields.pubkey, "pubkey")?),
            created_at: fields.created_at,
            kind: fields.kind,
            tags: fields.tags,
            content: fields.content,
            sig: any_hex(&fields.sig, "sig")?,
        })
    }

    /// The text whose hash is the id: `[0,<pubkey>,<created_at>,<kind>,<tags>,<content>]` without
    /// spaces (NIP-01).
    pub fn canonical_form(&self) -> String {
        serialize(&(
            0,
            self.pubkey.to_hex(),
            self.created_at,
            self.kind,
            &self.tags,
            &self.content,
        ))
    }

    /// Computes the id from the other fields (NIP-01), whatever [`Event::id`] says.
    pub fn hash(&self) -> EventId {
        hash(&self.canonical_form())
    }

    /// Whether the id is the hash of the other fields, as NIP-01 defines it or as strfry computes
    /// it, which writes the character DEL as `\u007f` before it hashes.
    pub fn has_own_id(&self) -> bool {
        let form = self.canonical_form();
        hash(&form) == self.id
            || (form.contains('\u{7f}') && hash(&form.replace('\u{7f}', "\\u007f")) == self.id)
    }

    /// An estimate of its length as JSON, in bytes. It is a little too long for an event without
    /// escapes.
    pub fn size(&self) -> usize {
        const FRAME: usize = 400;
        let of_tag = |tag: &Vec<TagElement>| 2 + tag.iter().map(|e| e.len() + 3).sum::<usize>();
        FRAME + self.content.len() + self.tags.iter().map(of_tag).sum::<usize>()
    }

    /// Spells the event as one line of canonical JSON, without a newline and with the fields in
    /// strfry's order.
    pub fn to_json(&self) -> String {
        serialize(&OrderedFields {
            content: &self.content,
            created_at: self.created_at,
            id: self.id.to_hex(),
            kind: self.kind,
            pubkey: self.pubkey.to_hex(),
            sig: const_hex::encode(self.sig),
            tags: &self.tags,
        })
    }

    /// The value of the first tag with this name that has one.
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.tag_values(name).next()
    }

    /// The values of the tags with this name. Tags without a value are skipped.
    pub fn tag_values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.tags
            .iter()
            .filter_map(move |tag| match tag.as_slice() {
                [first, value, ..] if first == name => value.as_text(),
                _ => None,
            })
    }
}

/// Serializes a value as JSON. serde_json escapes as NIP-01 asks: `\n`, `\"`, `\\`, `\r`, `\t`,
/// `\b`, `\f`, other control characters as `\u00xx`, and everything else verbatim.
fn serialize(value: &impl Serialize) -> String {
    // Strings and numbers always serialize, so the fallback is never taken.
    serde_json::to_string(value).unwrap_or_default()
}

/// The id of the event with this canonical form.
fn hash(form: &str) -> EventId {
    EventId::from_bytes(Sha256::digest(form).into())
}

/// Reads a field of 32 bytes in hex.
type ReadHex = fn(&str, &'static str) -> Result<[u8; 32], EventError>;

/// Parses hex in upper or lower case, with or without `0x` in front, as strfry does.
///
/// # Errors
/// [`EventError::Hex`] with the name of the field.
pub(crate) fn any_hex<const N: usize>(
    text: &str,
    field: &'static str,
) -> Result<[u8; N], EventError> {
    // `const_hex` skips a `0x` of its own.
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let mut bytes = [0; N];
    match const_hex::decode_to_slice(digits, &mut bytes) {
        Ok(()) if digits.len() == 2 * N => Ok(bytes),
        _ => Err(EventError::Hex(field)),
    }
}

fn lower_hex<const N: usize>(text: &str, field: &'static str) -> Result<[u8; N], EventError> {
    let mut bytes = [0; N];
    let canonical =
        text.len() == 2 * N && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    if canonical && const_hex::decode_to_slice(text, &mut bytes).is_ok() {
        Ok(bytes)
    } else {
        Err(EventError::Spelling(field))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Made by another implementation and taken from a running strfry.
    pub(crate) const GENUINE: &str = r#"{"pubkey":"774ae7f858a9411e5ef4246b70c65aac5649980be5c17891bbec17895da008cb","created_at":1795341173,"kind":1,"tags":[],"content":"hello 0 é \"q\"","id":"0563f8b45f92f3cee995a5622a0142808977562269106dd37ef6ddbaf95e8fe9","sig":"9388960b97140677f31da235fd92255b8ba264ce21b71bf8d47bf3b43f151c439e9853a1e82399d665630ba56025710c25544c00790e4d81c84c9e7b398c3c0c"}"#;

    #[test]
    fn a_genuine_event_hashes_to_its_id() {
        let event = Event::parse(GENUINE.as_bytes()).unwrap();
        assert_eq!(event.hash(), event.id);
        assert_eq!(
            event.canonical_form(),
            r#"[0,"774ae7f858a9411e5ef4246b70c65aac5649980be5c17891bbec17895da008cb",1795341173,1,[],"hello 0 é \"q\""]"#
        );
    }

    #[test]
    fn the_canonical_form_escapes_as_nip_01_says() {
        let mut event = Event::parse(GENUINE.as_bytes()).unwrap();
        event.content = "\u{8}\t\n\u{c}\r\"\\/\u{1}\u{7f}\u{2028}é😀".to_owned();
        let form = event.canonical_form();
        assert!(
            form.ends_with(",[],\"\\b\\t\\n\\f\\r\\\"\\\\/\\u0001\u{7f}\u{2028}é😀\"]"),
            "{form}"
        );
    }

    #[test]
    fn a_line_reads_back_as_the_same_event() {
        let mut event = Event::parse(GENUINE.as_bytes()).unwrap();
        event.tags = vec![
            vec!["d".into()],
            vec!["e".into(), "\u{0}x".into(), "".into()],
            vec!["e".into(), "y".into()],
        ];
        let line = event.to_json();
        assert!(!line.contains('\n') && line.starts_with(r#"{"content":"#));
        assert_eq!(Event::parse(line.as_bytes()).unwrap(), event);
        assert_eq!((event.tag("d"), event.tag("e")), (None, Some("\u{0}x")));
        assert_eq!(event.tag_values("e").collect::<Vec<_>>(), ["\u{0}x", "y"]);
    }

    #[test]
    fn id_and_signature_may_be_spelled_as_strfry_reads_them() {
        let event = Event::parse(GENUINE.as_bytes()).unwrap();
        let sig = const_hex::encode(event.sig);
        for spell in [str::to_uppercase, |hex: &str| format!("0x{hex}")] {
            let json = GENUINE
                .replace(&event.id.to_hex(), &spell(&event.id.to_hex()))
                .replace(&sig, &spell(&sig));
            assert_ne!(json, GENUINE);
            assert_eq!(Event::parse(json.as_bytes()).unwrap(), event);
        }
        assert!(event.to_json().contains(&event.id.to_hex()));
    }

    #[test]
    fn what_follows_a_tag_s_value_may_be_anything() {
        let tags = r#"[["t","x",1,null,{"a":[-1.5]}],["u"]]"#;
        let json = GENUINE.replace("\"tags\":[]", &format!("\"tags\":{tags}"));
        let event = Event::parse(json.as_bytes()).unwrap();
        assert_eq!(event.tag("t"), Some("x"));
        assert!(event.canonical_form().contains(&format!(",{tags},")));
        assert!(event.to_json().ends_with(&format!("\"tags\":{tags}}}")));
        assert_eq!(Event::parse(event.to_json().as_bytes()).unwrap(), event);
    }

    #[test]
    fn strfry_s_spelling_of_del_is_hashed_too() {
        let mut event = Event::parse(GENUINE.as_bytes()).unwrap();
        event.content = "a\u{7f}".to_owned();
        event.id = event.hash();
        assert!(event.has_own_id());
        event.id = hash(&event.canonical_form().replace('\u{7f}', "\\u007f"));
        assert!(event.has_own_id());
        // Six characters that look like it are another content.
        event.content = "a\\u007f".to_owned();
        assert!(!event.has_own_id());
    }

    #[test]
    fn shapes_that_nip_01_does_not_know_are_refused() {
        let with = |from: &str, to: &str| {
            let text = GENUINE.replacen(from, to, 1);
            assert_ne!(text, GENUINE, "{from} is not in the example");
            Event::parse(text.as_bytes()).map_err(|error| error.to_string())
        };
        for (from, to, error) in [
            (
                "\"774ae7",
                "\"774AE7",
                "pubkey is not lower-case hex of its length",
            ),
            (
                "\"774ae7",
                "\"0x774ae7",
                "pubkey is not lower-case hex of its length",
            ),
            ("\"0563f", "\"563f", "id is not hex of its length"),
            ("\"0563f", "\"0x0x0563f", "id is not hex of its length"),
            ("\"9388", "\"93g8", "sig is not hex of its length"),
            ("\"tags\":[]", "\"tags\":[[]]", "a tag is empty"),
            (
                "\"tags\":[]",
                "\"tags\":[[\"t\",1]]",
                "the name or the value of a tag is not a text",
            ),
            (
                "\"tags\":[]",
                "\"tags\":[[[]]]",
                "the name or the value of a tag is not a text",
            ),
            ("\"tags\":[]", "\"tags\":[\"t\"]", "not an event (NIP-01)"),
            ("\"kind\":1", "\"kind\":65536", "not an event (NIP-01)"),
            ("\"kind\":1", "\"kind\":1.0", "not an event (NIP-01)"),
            ("1795341173", "-1", "not an event (NIP-01)"),
            ("1795341173", "1e400", "not an event (NIP-01)"),
            (
                "1795341173",
                "18446744073709551616",
                "not an event (NIP-01)",
            ),
            ("\"content\":", "\"contents\":", "not an event (NIP-01)"),
            ("é", "\\ud800", "not an event (NIP-01)"),
        ] {
            assert_eq!(with(from, to), Err(error.to_owned()), "{to}");
        }
        let [id, pubkey, sig] = ["11".repeat(32), "22".repeat(32), "33".repeat(64)];
        let array = format!("[\"{id}\",\"{pubkey}\",1,1,[],\"\",\"{sig}\"]");
        let error = Event::parse(array.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "not an event (NIP-01)");
        assert!(with("\"kind\":1", "\"extra\":{\"a\":[1]},\"kind\":1").is_ok());
    }
}
