//! The lines that strfry and the plugin exchange (strfry's docs/plugins.md).
//!
//! Of a request, only `type`, `event.id`, `event.pubkey` and, for filters, `event.kind` are
//! read. Everything else in it is skipped, whatever its type and depth.

#[cfg(test)]
mod tests;

use std::mem;

use constellation_shared::Pubkey;

use crate::scan::Scanner;

/// The longest answer that strfry reads, in bytes with the newline (`setMaxRecordSize(8192)` in
/// its src/PluginEventSifter.h).
pub const LONGEST_ANSWER: usize = 8192;

/// How many bytes of an answer are reserved for everything but the id.
const ANSWER_FRAME: usize = 256;

/// An event's id as it is written in the request, with its quotes and escapes, so that the
/// answer can repeat exactly the same text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawId<'a>(&'a [u8]);

impl<'a> RawId<'a> {
    /// The empty id, for a request whose id cannot be found or repeated.
    pub const EMPTY: RawId<'static> = RawId(b"\"\"");

    fn new(json: &'a [u8]) -> Option<Self> {
        let fits = json.starts_with(b"\"") && json.len() <= LONGEST_ANSWER - ANSWER_FRAME;
        // Invalid UTF-8 and half a surrogate pair pass for a string here, but no JSON parser
        // would accept them in the answer.
        let valid = fits && (is_plain(json) || serde_json::from_slice::<String>(json).is_ok());
        valid.then_some(Self(json))
    }
}

/// A request of strfry.
#[derive(Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Asks whether an event may be written.
    New {
        /// The event's id.
        id: RawId<'a>,
        /// The author, or `None` if the pubkey is missing or not a key.
        author: Option<Pubkey>,
        /// The event's kind as it is written, or `None` if it is missing or there twice.
        kind: Option<&'a [u8]>,
    },
    /// A request of any other type, on which the lists have no say.
    Other {
        /// The event's id, empty if there is none.
        id: RawId<'a>,
    },
    /// A line that cannot be understood as a request.
    Broken {
        /// The event's id if it could still be found, otherwise empty.
        id: RawId<'a>,
        /// What is wrong with the line.
        reason: &'static str,
    },
}

/// The fields that are read, as they are written.
#[derive(Default)]
struct Fields<'a> {
    request: Option<&'a [u8]>,
    /// Whether a kind was found. A second one is no error, as only filters look at it.
    has_kind: bool,
    kind: Option<&'a [u8]>,
    id: Option<&'a [u8]>,
    pubkey: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    /// Finds the fields. `None` if the line is not a JSON object, or has one of the fields
    /// twice.
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

/// Sets a field; `None` if it was set already.
fn once<'a>(field: &mut Option<&'a [u8]>, value: &'a [u8]) -> Option<()> {
    field.replace(value).is_none().then_some(())
}

impl<'a> Request<'a> {
    /// Reads a line, with or without its newline. Every line is a request of some sort.
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
                reason: "the event has no id that an answer could repeat",
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
    if is_plain(text) {
        Pubkey::parse(text).ok()
    } else {
        let text: String = serde_json::from_slice(json).ok()?;
        Pubkey::parse(text.as_bytes()).ok()
    }
}

/// Whether a JSON string is ASCII without escapes, and so means what is written.
fn is_plain(text: &[u8]) -> bool {
    // Not `all`: without an early exit the compiler checks many bytes in one step.
    text.iter()
        .fold(true, |plain, &byte| plain & (byte < 0x80) & (byte != b'\\'))
}

/// Finds `"id":"…"` in a line that is not JSON. Inside a string the quotes would be escaped,
/// so the first match is a field.
fn find_id(line: &[u8]) -> Option<RawId<'_>> {
    const FIELD: &[u8] = b"\"id\":";
    let start = memchr::memmem::find(line, FIELD)? + FIELD.len();
    RawId::new(Scanner::new(line.get(start..)?).value()?)
}

/// The plugin's answer about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The event is written.
    Accept,
    /// The event is not written, and the client is told why: a NIP-01 prefix, a colon, and
    /// words that need no escaping.
    Reject(&'static str),
    /// The event is not written, but the client is told that it was.
    ShadowReject,
}

impl Answer {
    /// Appends the answer to `line`, with its newline.
    pub fn write_json(self, id: RawId<'_>, line: &mut Vec<u8>) {
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
