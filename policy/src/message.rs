//! The lines that strfry and the plugin exchange (strfry's docs/plugins.md).
//!
//! Of a request only `type`, `event.id`, `event.pubkey` and, for filters, `event.kind` are
//! looked at. Whatever else
//! it holds, of whatever type and depth, is passed over without being understood.

#[cfg(test)]
mod tests;

use std::mem;

use constellation_shared::Pubkey;

use crate::scan::Scanner;

/// The longest answer, in bytes with its newline: what strfry reads at the most
/// (`setMaxRecordSize(8192)` in its src/PluginEventSifter.h).
pub const LONGEST_ANSWER: usize = 8192;

/// Room for everything in an answer but the id.
const ANSWER_FRAME: usize = 256;

/// An event's id as the request spells it, quotes and escapes included, so that the
/// answer can give back the very same text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawId<'a>(&'a [u8]);

impl<'a> RawId<'a> {
    /// The id that stands in for one that cannot be found or given back.
    pub const EMPTY: RawId<'static> = RawId(b"\"\"");

    fn new(json: &'a [u8]) -> Option<Self> {
        let fits = json.starts_with(b"\"") && json.len() <= LONGEST_ANSWER - ANSWER_FRAME;
        // Bytes that are no text and half a surrogate pair are spelled like a text, but
        // no JSON parser takes them back.
        let sound = fits && (is_plain(json) || serde_json::from_slice::<String>(json).is_ok());
        sound.then_some(Self(json))
    }
}

/// What strfry asks.
#[derive(Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Whether this author's event may be written.
    New {
        /// The event's id.
        id: RawId<'a>,
        /// The author, or `None` where the pubkey is missing or no key at all.
        author: Option<Pubkey>,
        /// The event's kind as it is spelled; `None` where it is missing or there twice.
        kind: Option<&'a [u8]>,
    },
    /// Any other type: nothing that a list decides.
    Other {
        /// The event's id, empty where there is none.
        id: RawId<'a>,
    },
    /// A line that cannot be understood.
    Broken {
        /// The event's id where it could still be found, else empty.
        id: RawId<'a>,
        /// What is wrong with the line.
        reason: &'static str,
    },
}

/// The fields that are looked at, as they are spelled.
#[derive(Default)]
struct Fields<'a> {
    request: Option<&'a [u8]>,
    /// Whether a kind was found, which is not looked at where there is no filter.
    has_kind: bool,
    kind: Option<&'a [u8]>,
    id: Option<&'a [u8]>,
    pubkey: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    /// `None` where the line is no JSON object, or holds one of the fields twice.
    fn find(line: &'a [u8]) -> Option<Self> {
        let mut scanner = Scanner::new(line);
        let mut found = Self::default();
        scanner.object(|scanner, key| match key {
            b"\"type\"" => once(&mut found.request, scanner.value()?),
            b"\"event\"" if scanner.peek() == Some(b'{') => scanner.object(|scanner, key| {
                let value = scanner.value()?;
                match key {
                    b"\"id\"" => once(&mut found.id, value),
                    b"\"pubkey\"" => once(&mut found.pubkey, value),
                    b"\"kind\"" => {
                        found.kind = (!mem::replace(&mut found.has_kind, true)).then_some(value);
                        Some(())
                    }
                    _ => Some(()),
                }
            }),
            _ => scanner.value().map(|_| ()),
        })?;
        scanner.is_at_end().then_some(found)
    }
}

fn once<'a>(field: &mut Option<&'a [u8]>, value: &'a [u8]) -> Option<()> {
    field.replace(value).is_none().then_some(())
}

impl<'a> Request<'a> {
    /// Reads a line, with or without its newline. Every line is some request.
    pub fn parse(line: &'a [u8]) -> Self {
        let Some(fields) = Fields::find(line) else {
            return Self::Broken {
                id: find_id(line).unwrap_or(RawId::EMPTY),
                reason: "it is not a JSON object",
            };
        };
        let id = fields.id.and_then(RawId::new);
        let is_text = fields.request.is_some_and(|kind| kind.starts_with(b"\""));
        if !is_text {
            return Self::Broken {
                id: id.unwrap_or(RawId::EMPTY),
                reason: "it has no type",
            };
        }
        if !fields.request.is_some_and(is_new) {
            return Self::Other {
                id: id.unwrap_or(RawId::EMPTY),
            };
        }
        let Some(id) = id else {
            return Self::Broken {
                id: RawId::EMPTY,
                reason: "the event has no id that could be answered",
            };
        };
        let author = fields.pubkey.and_then(author);
        let kind = fields.kind;
        Self::New { id, author, kind }
    }
}

fn is_new(json: &[u8]) -> bool {
    json == b"\"new\"" || serde_json::from_slice(json).is_ok_and(|kind: String| kind == "new")
}

fn author(json: &[u8]) -> Option<Pubkey> {
    let text = json.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    match is_plain(text) {
        true => Pubkey::parse(text).ok(),
        false => Pubkey::parse(serde_json::from_slice::<String>(json).ok()?.as_bytes()).ok(),
    }
}

/// Whether a text is spelled as it is meant, in ASCII without escapes.
fn is_plain(text: &[u8]) -> bool {
    // Not `all`: without a way out the compiler looks at many bytes in one step.
    text.iter()
        .fold(true, |plain, &byte| plain & (byte < 0x80) & (byte != b'\\'))
}

/// Looks for `"id":"…"` in a line that is no JSON. Within a text the quotes would be
/// escaped, so the first one found is a field.
fn find_id(line: &[u8]) -> Option<RawId<'_>> {
    const FIELD: &[u8] = b"\"id\":";
    let start = memchr::memmem::find(line, FIELD)? + FIELD.len();
    RawId::new(Scanner::new(line.get(start..)?).value()?)
}

/// What the plugin says of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Written.
    Accept,
    /// Not written, and the client is told why: a NIP-01 prefix, a colon, plain words
    /// that need no escaping.
    Reject(&'static str),
    /// Not written, and the client is told that it was.
    ShadowReject,
}

impl Answer {
    /// Appends the answer's line, newline included, to `line`.
    pub fn spell(self, id: RawId<'_>, line: &mut Vec<u8>) {
        line.extend_from_slice(b"{\"id\":");
        line.extend_from_slice(id.0);
        match self {
            Self::Accept => line.extend_from_slice(b",\"action\":\"accept\"}\n"),
            Self::ShadowReject => line.extend_from_slice(b",\"action\":\"shadowReject\"}\n"),
            Self::Reject(why) => {
                line.extend_from_slice(b",\"action\":\"reject\",\"msg\":\"");
                line.extend_from_slice(why.as_bytes());
                line.extend_from_slice(b"\"}\n");
            }
        }
    }
}
