//! [`TagElement`]: one element of an event's tag. NIP-01 only knows strings, but strfry accepts,
//! verifies and serves any JSON value from the third element on.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// One element of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagElement {
    /// A string, as NIP-01 demands.
    Text(String),
    /// Any other JSON value, written as strfry writes it: without spaces, with the keys of an
    /// object in order, and each number in one way. strfry hashes this text.
    Other(Box<str>),
}

impl TagElement {
    /// The text, if the element is a string.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Other(_) => None,
        }
    }

    /// Its length in bytes, without quotes and escapes.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Other(json) => json.len(),
        }
    }

    /// Whether it is the empty string.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn other<E: Error>(value: Result<Value, impl fmt::Display>) -> Result<Self, E> {
        let mut spelled = String::new();
        spell(&value.map_err(E::custom)?, &mut spelled);
        Ok(Self::Other(spelled.into_boxed_str()))
    }
}

impl<T: Into<String>> From<T> for TagElement {
    fn from(text: T) -> Self {
        Self::Text(text.into())
    }
}

impl PartialEq<str> for TagElement {
    fn eq(&self, text: &str) -> bool {
        self.as_text() == Some(text)
    }
}

impl Serialize for TagElement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Other(json) => {
                let raw = RawValue::from_string(json.to_string());
                raw.map_err(serde::ser::Error::custom)?
                    .serialize(serializer)
            }
        }
    }
}

impl<'de> Deserialize<'de> for TagElement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ElementVisitor)
    }
}

struct ElementVisitor;

impl<'de> Visitor<'de> for ElementVisitor {
    type Value = TagElement;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<TagElement, E> {
        Ok(TagElement::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<TagElement, E> {
        Ok(TagElement::Text(text))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<TagElement, E> {
        TagElement::other(Ok::<_, E>(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<TagElement, E> {
        TagElement::other(Ok::<_, E>(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<TagElement, E> {
        TagElement::other(Ok::<_, E>(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<TagElement, E> {
        TagElement::other(Ok::<_, E>(value.into()))
    }

    fn visit_unit<E: Error>(self) -> Result<TagElement, E> {
        TagElement::other(Ok::<_, E>(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, array: A) -> Result<TagElement, A::Error> {
        TagElement::other(Value::deserialize(SeqAccessDeserializer::new(array)))
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<TagElement, A::Error> {
        TagElement::other(Value::deserialize(MapAccessDeserializer::new(object)))
    }
}

/// Appends a value to `to`, written as strfry's JSON library (taocpp) does.
fn spell(value: &Value, to: &mut String) {
    let separated = |to: &mut String, index: usize| {
        if index > 0 {
            to.push(',');
        }
    };
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => spell_float(float, to),
            _ => to.push_str(&number.to_string()),
        },
        Value::Array(elements) => {
            to.push('[');
            for (index, element) in elements.iter().enumerate() {
                separated(to, index);
                spell(element, to);
            }
            to.push(']');
        }
        Value::Object(members) => {
            to.push('{');
            for (index, (key, member)) in members.iter().enumerate() {
                separated(to, index);
                to.push_str(&Value::from(key.as_str()).to_string());
                to.push(':');
                spell(member, to);
            }
            to.push('}');
        }
        value => to.push_str(&value.to_string()),
    }
}

/// Appends the shortest spelling that reads back as the same number: with an exponent below
/// 10^-6 and from 10^21 on, otherwise with a decimal point.
fn spell_float(float: f64, to: &mut String) {
    // For example `1.5e-7`.
    let scientific = format!("{float:e}");
    let exponent = scientific.split_once('e');
    let exponent = exponent.and_then(|(_, exponent)| exponent.parse::<i32>().ok());
    if exponent.is_some_and(|exponent| !(-6..21).contains(&exponent)) {
        to.push_str(&scientific);
        return;
    }
    let plain = float.to_string();
    to.push_str(&plain);
    if !plain.contains('.') {
        to.push_str(".0");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(json: &str) -> String {
        match serde_json::from_str(json).unwrap() {
            TagElement::Text(text) => panic!("{text} is a text"),
            TagElement::Other(json) => json.into(),
        }
    }

    /// Each was signed in this spelling, and verified and served so by a real strfry.
    #[test]
    fn values_are_spelled_as_strfry_hashes_them() {
        for (given, expected) in [
            ("1", "1"),
            ("-7", "-7"),
            ("null", "null"),
            ("true", "true"),
            ("[1, [\"a\", {}] ]", "[1,[\"a\",{}]]"),
            ("{\"b\":[2], \"a\":1}", "{\"a\":1,\"b\":[2]}"),
            ("18446744073709551615", "18446744073709551615"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("18446744073709551616", "18446744073709552000.0"),
            ("-9223372036854775809", "-9223372036854776000.0"),
            ("1.0", "1.0"),
            ("1.5", "1.5"),
            ("1e3", "1000.0"),
            ("-0.0", "-0.0"),
            ("3.141592653589793", "3.141592653589793"),
            ("1e-6", "0.000001"),
            ("1e-7", "1e-7"),
            ("1.2345e-300", "1.2345e-300"),
            ("1e20", "100000000000000000000.0"),
            ("1e21", "1e21"),
            ("1e22", "1e22"),
            ("\"\\u00e9/\\u0001\"", ""),
        ] {
            if expected.is_empty() {
                let text: TagElement = serde_json::from_str(given).unwrap();
                assert_eq!(text, TagElement::from("é/\u{1}"));
                continue;
            }
            assert_eq!(spelled(given), expected, "{given}");
            assert_eq!(spelled(expected), expected, "it stays as it is");
        }
    }

    #[test]
    fn an_element_is_written_as_it_was_read() {
        for json in ["\"x\\n\"", "[1,{\"a\":null}]", "1000.0"] {
            let element: TagElement = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&element).unwrap(), json);
        }
    }
}
