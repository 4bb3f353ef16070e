//! The values of the file as the words that would stand on a command line.

use std::ffi::OsString;
use std::path::Path;

use toml::de::DeValue;

use crate::settings::keys::{Form, Key};

/// The words of a value of this key, whose paths are relative to `folder`.
///
/// # Errors
/// What would be right, in words.
pub(super) fn words(
    key: &Key,
    value: &DeValue<'_>,
    folder: &Path,
) -> Result<Vec<OsString>, String> {
    let found = match key.form {
        Form::Flag => value.as_bool().map(|flag| vec![flag.to_string().into()]),
        Form::Value => scalar(value).map(|text| vec![text.into()]),
        Form::Values => texts(value),
        Form::Kinds => kinds(value).map(|text| vec![text.into()]),
        Form::PathOrNone if value.as_str() == Some("") => Some(vec![OsString::new()]),
        Form::Path | Form::PathOrNone => path(value, folder).map(|path| vec![path]),
        Form::Program => match value.as_str() {
            Some(name) if !name.is_empty() && !name.contains('/') => Some(vec![name.into()]),
            _ => path(value, folder).map(|path| vec![path]),
        },
        Form::Paths => value.as_array().and_then(|values| {
            let paths = values.iter().map(|value| path(value.get_ref(), folder));
            paths.collect()
        }),
    };
    found.ok_or_else(|| format!("{} is not {}", key.name, expected(key.form)))
}

/// What a value of this form is.
const fn expected(form: Form) -> &'static str {
    match form {
        Form::Flag => "true or false",
        Form::Value => "a text in quotes or a number",
        Form::Values => "a text in quotes, or a list of them, [\"…\", \"…\"]",
        Form::Kinds => "a list of kinds, such as \"seed,+30850\" or [\"seed\", 30850]",
        Form::Path | Form::PathOrNone | Form::Program => {
            "the path of a file in quotes, \"…\", written out without ~"
        }
        Form::Paths => "a list of paths, [\"…\", \"…\"], each written out without ~",
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) if text.contains('\0') => None,
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Datetime(time) if time.date.is_none() && time.offset.is_none() => {
            let text = time.to_string();
            Some(text.get(..5).unwrap_or(&text).to_owned())
        }
        _ => None,
    }
}

fn texts(value: &DeValue<'_>) -> Option<Vec<OsString>> {
    let text = |value: &DeValue<'_>| value.as_str().map(OsString::from);
    match value.as_array() {
        Some(values) => values.iter().map(|value| text(value.get_ref())).collect(),
        None => Some(vec![text(value)?]),
    }
}

/// The words of a list of kinds: a text, a number, or a list of both.
fn kinds(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Array(values) => {
            let words: Option<Vec<String>> = values
                .iter()
                .map(|value| match value.get_ref() {
                    DeValue::Array(_) => None,
                    value => kinds(value),
                })
                .collect();
            Some(words?.join(","))
        }
        _ => None,
    }
}

fn path(value: &DeValue<'_>, folder: &Path) -> Option<OsString> {
    let text = value.as_str()?;
    let is_unusable = text.starts_with('~') || text.contains('\0');
    (!text.is_empty() && !is_unusable).then(|| folder.join(text).into_os_string())
}
