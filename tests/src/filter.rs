//! [`Filter`]: which events are asked for (NIP-01), read with strfry's checks and words.

use std::collections::HashSet;

use serde_json::Value;

use crate::record::{INDEXED_VALUE_BYTES, Record, from_hex};

/// A filter of a REQ, a NEG-OPEN or `strfry scan`.
#[derive(Debug, Clone)]
pub struct Filter {
    pub(crate) ids: Option<HashSet<Vec<u8>>>,
    pub(crate) authors: Option<HashSet<Vec<u8>>>,
    pub(crate) kinds: Option<HashSet<u64>>,
    pub(crate) tags: Vec<(u8, HashSet<Vec<u8>>)>,
    pub(crate) since: u64,
    /// Inclusive.
    pub(crate) until: u64,
    pub(crate) limit: usize,
    /// One of its lists is empty.
    pub(crate) never: bool,
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// strfry's own words.
    pub fn parse(filter: &Value) -> Result<Self, String> {
        let fields = filter
            .as_object()
            .ok_or("provided filter is not an object")?;
        let mut read = Self {
            ids: None,
            authors: None,
            kinds: None,
            tags: Vec::new(),
            since: 0,
            until: u64::MAX,
            limit: usize::MAX,
            never: false,
        };
        for (name, value) in fields {
            let because = |why: String| format!("error parsing {name}: {why}");
            let number = || value.as_u64().ok_or(format!("error parsing {name}"));
            let list = || value.as_array().ok_or(format!("{name} not an array"));
            match name.as_str() {
                "since" => read.since = number()?,
                "until" => read.until = number()?,
                "limit" => read.limit = usize::try_from(number()?).unwrap_or(usize::MAX),
                "ids" | "authors" | "kinds" if list()?.is_empty() => read.never = true,
                "ids" => read.ids = Some(keys(list()?).map_err(because)?),
                "authors" => read.authors = Some(keys(list()?).map_err(because)?),
                "kinds" => read.kinds = Some(numbers(list()?).map_err(because)?),
                _ if name.starts_with('#') => {
                    if list()?.is_empty() {
                        read.never = true;
                        continue;
                    }
                    let &[_, tag] = name.as_bytes() else {
                        return Err(because("unindexed tag filter".to_owned()));
                    };
                    let values = match tag {
                        b'e' | b'p' => keys(list()?),
                        _ => texts(list()?),
                    };
                    read.tags.push((tag, values.map_err(because)?));
                }
                _ => return Err(format!("unrecognised filter item: {name}")),
            }
        }
        match read.tags.len() {
            ..=3 => Ok(read),
            _ => Err("too many tags in filter".to_owned()),
        }
    }

    /// Whether the event is asked for; its `limit` is not looked at.
    pub fn matches(&self, event: &Record) -> bool {
        !self.never
            && (self.since..=self.until).contains(&event.created_at)
            && has(self.kinds.as_ref(), &event.kind)
            && has(self.authors.as_ref(), event.pubkey.as_slice())
            && has(self.ids.as_ref(), event.id.as_slice())
            && self
                .tags
                .iter()
                .all(|(name, asked)| event.values(*name).any(|value| asked.contains(value)))
    }

    /// Whether nothing but time bounds it.
    pub(crate) fn asks_for_everything(&self) -> bool {
        self.ids.is_none() && self.authors.is_none() && self.kinds.is_none() && self.tags.is_empty()
    }
}

fn has<T, Q>(asked: Option<&HashSet<T>>, value: &Q) -> bool
where
    T: std::borrow::Borrow<Q> + Eq + std::hash::Hash,
    Q: Eq + std::hash::Hash + ?Sized,
{
    asked.is_none_or(|asked| asked.contains(value))
}

/// What a C++ variant says to a value of another type.
const WRONG_TYPE: &str = "std::get: wrong index for variant";

fn keys(list: &[Value]) -> Result<HashSet<Vec<u8>>, String> {
    let mut keys = HashSet::new();
    for item in list {
        let key = from_hex(item.as_str().ok_or(WRONG_TYPE)?)?;
        match key.len() {
            ..32 => return Err("filter item too small".to_owned()),
            32 => keys.insert(key),
            33.. => return Err("filter item too large".to_owned()),
        };
    }
    // The 65535 bytes of all items together are counted in 16 bits.
    match keys.len() {
        ..2048 => Ok(keys),
        _ => Err("total filter items too large".to_owned()),
    }
}

fn texts(list: &[Value]) -> Result<HashSet<Vec<u8>>, String> {
    let mut texts = HashSet::new();
    for item in list {
        let text = item.as_str().ok_or(WRONG_TYPE)?;
        if text.len() > INDEXED_VALUE_BYTES {
            return Err("filter item too large".to_owned());
        }
        texts.insert(text.into());
    }
    Ok(texts)
}

fn numbers(list: &[Value]) -> Result<HashSet<u64>, String> {
    let number = |item: &Value| item.as_u64().ok_or(WRONG_TYPE.to_owned());
    list.iter().map(number).collect()
}
