//! [`Record`]: an event as strfry keeps it, in the spelling in which it came.
//!
//! [`constellation_shared::Event`] is stricter: strfry takes upper-case hex and tags with
//! anything behind their second element, and so must its doubles.

use serde_json::{Value, json};

/// An event as strfry keeps it: the fields that it indexes and the JSON that it serves.
#[derive(Debug, Clone)]
pub struct Record {
    pub(crate) id: [u8; 32],
    pub(crate) pubkey: [u8; 32],
    pub(crate) created_at: u64,
    pub(crate) kind: u64,
    /// The tags with a name of one byte and a value of at most 255, `e` and `p` decoded;
    /// among them the `d` tag that strfry adds to replaceable events.
    pub(crate) tags: Vec<(u8, Vec<u8>)>,
    /// Minified, keys sorted.
    pub(crate) json: String,
}

/// strfry's `MAX_INDEXED_TAG_VAL_SIZE`.
pub(crate) const INDEXED_VALUE_BYTES: usize = 255;

impl Record {
    /// Reads an event with strfry's checks of shape: those that `--no-verify` leaves on.
    ///
    /// # Errors
    /// strfry's own words, as `--show-rejected` prints them.
    pub fn parse(event: &Value) -> Result<Self, String> {
        let Value::Object(fields) = event else {
            return Err("event is not an object".to_owned());
        };
        let field = |name: &str| {
            let missing = || format!("JSON object key \"{name}\" not found");
            fields.get(name).ok_or_else(missing)
        };
        let key = |name: &str| {
            let text = field(name)?
                .as_str()
                .ok_or_else(|| format!("event {name} field was not a string"))?;
            from_hex(text)?
                .try_into()
                .map_err(|_| format!("unexpected {name} size"))
        };
        let number = |name: &str| {
            field(name)?
                .as_u64()
                .ok_or_else(|| format!("event {name} field was not an integer"))
        };
        let mut record = Self {
            id: key("id")?,
            pubkey: key("pubkey")?,
            created_at: number("created_at")?,
            kind: number("kind")?,
            tags: Vec::new(),
            json: String::new(),
        };
        if !field("content")?.is_string() {
            return Err("event content field was not a string".to_owned());
        }
        record.index_tags(field("tags")?)?;
        record.json = escape_delete(
            json!({
                "content": field("content")?,
                "created_at": field("created_at")?,
                "id": field("id")?,
                "kind": field("kind")?,
                "pubkey": field("pubkey")?,
                "sig": field("sig")?,
                "tags": field("tags")?,
            })
            .to_string(),
        );
        Ok(record)
    }

    /// Reads a text.
    ///
    /// # Errors
    /// As [`Record::parse`], and where the text is not JSON.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        Self::parse(&value)
    }

    fn index_tags(&mut self, tags: &Value) -> Result<(), String> {
        let tags = tags.as_array().ok_or("tags field not an array")?;
        if tags.len() > 2000 {
            return Err(format!("too many tags: {}", tags.len()));
        }
        if self.is_replaceable() {
            self.tags.push((b'd', Vec::new()));
        }
        for tag in tags {
            let tag = tag.as_array().ok_or("tag in tags field was not an array")?;
            let name = tag.first().ok_or("too few fields in tag")?;
            let name = name.as_str().ok_or("tag name was not a string")?;
            let value = match tag.get(1) {
                Some(value) => value.as_str().ok_or("tag val was not a string")?,
                None => "",
            };
            if let &[name] = name.as_bytes() {
                self.index_tag(name, value)?;
            } else if name == "expiration" && !value.parse().is_ok_and(|time: u64| time >= 100) {
                return Err("invalid expiration".to_owned());
            }
        }
        if self.is_addressable() {
            self.tags.push((b'd', Vec::new()));
        }
        Ok(())
    }

    fn index_tag(&mut self, name: u8, value: &str) -> Result<(), String> {
        if value.len() > 1024 {
            return Err(format!("tag val too large: {}", value.len()));
        }
        let value = match name {
            b'e' | b'p' if value.len() != 64 => {
                let name = char::from(name);
                return Err(format!("unexpected size for fixed-size tag: {name}"));
            }
            b'e' | b'p' => from_hex(value)?,
            _ => value.as_bytes().to_vec(),
        };
        if name == b'a' && self.kind == 5 {
            let (_, author, _) = parse_address(&value).ok_or("parse error")?;
            if author != self.pubkey {
                return Err("can't delete other user's events".to_owned());
            }
        }
        if value.len() <= INDEXED_VALUE_BYTES {
            self.tags.push((name, value));
        }
        Ok(())
    }

    /// The values of the tags of this name.
    pub(crate) fn values(&self, name: u8) -> impl Iterator<Item = &[u8]> {
        self.tags
            .iter()
            .filter(move |tag| tag.0 == name)
            .map(|tag| tag.1.as_slice())
    }

    /// What decides which events replace one another, for kinds that do.
    pub(crate) fn address(&self) -> Option<Address> {
        let replaces = self.is_replaceable() || self.is_addressable();
        let name = self.values(b'd').next().filter(|_| replaces)?;
        Some((self.kind, self.pubkey, name.to_vec()))
    }

    /// strfry counts kind 41 among the replaceable ones, which NIP-01 does not.
    fn is_replaceable(&self) -> bool {
        matches!(self.kind, 0 | 3 | 41 | 10_000..=19_999)
    }

    pub(crate) fn is_addressable(&self) -> bool {
        matches!(self.kind, 30_000..=39_999)
    }
}

/// Kind, author and name (the `d` tag's value).
pub(crate) type Address = (u64, [u8; 32], Vec<u8>);

/// Reads the value of an `a` tag, `kind:pubkey:name`.
pub(crate) fn parse_address(value: &[u8]) -> Option<Address> {
    let mut parts = value.splitn(3, |&byte| byte == b':');
    let mut text = || std::str::from_utf8(parts.next()?).ok();
    let (kind, author, name) = (text()?, text()?, text()?);
    let author = from_hex(author).ok().filter(|_| author.len() == 64)?;
    Some((kind.parse().ok()?, author.try_into().ok()?, name.into()))
}

/// Decodes hex as strfry does: either case, `0x` passed over.
pub(crate) fn from_hex(text: &str) -> Result<Vec<u8>, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    if !digits.len().is_multiple_of(2) {
        return Err("uneven size input to from_hex".to_owned());
    }
    match digits.bytes().find(|byte| !byte.is_ascii_hexdigit()) {
        Some(byte) => Err(format!("unexpected character in from_hex: {byte}")),
        None => const_hex::decode(digits).map_err(|error| error.to_string()),
    }
}

/// strfry writes DEL as `\u007f`, where NIP-01 leaves it as it is.
fn escape_delete(json: String) -> String {
    match json.contains('\x7f') {
        true => json.replace('\x7f', "\\u007f"),
        false => json,
    }
}
