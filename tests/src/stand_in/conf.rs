//! `strfry.conf`, as far as `scan` and `import` look at it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;

use rustix::process::{Resource, getrlimit};

use super::Stop;
use super::log::Log;

pub(super) struct Conf {
    /// As it stands there: relative to the working directory.
    pub(super) db: PathBuf,
    /// A line of `import` may have so many bytes, its newline included.
    pub(super) max_event_size: usize,
}

impl Conf {
    /// `--config`, then `STRFRY_CONFIG`, then `./strfry.conf`.
    pub(super) fn load(
        given: Option<&OsStr>,
        set: &[(String, String)],
        log: &Log,
    ) -> Result<Self, Stop> {
        let named = given
            .map(OsStr::to_owned)
            .or_else(|| std::env::var_os("STRFRY_CONFIG"));
        let path = match named {
            Some(path) => PathBuf::from(path),
            None if fs::exists("./strfry.conf").unwrap_or(false) => "./strfry.conf".into(),
            None => return Err("please specify config file".to_owned().into()),
        };
        let shown = path.display();
        log.info(
            "main thread",
            &format!("CONFIG: Loading config from file: {shown}"),
        );
        let failed =
            |why: String| Stop::Error(format!("Failed to load config file '{shown}': {why}"));
        let text = fs::read_to_string(&path).map_err(|error| {
            let why = reason(&error);
            failed(format!("filesystem error: open() failed: {why} [{shown}]"))
        })?;
        let mut values = parse(&text).map_err(|why| failed(format!("{shown}:{why}")))?;
        values.extend(set.iter().cloned());
        log.info("main thread", "CONFIG: successfully installed");

        let number = |key: &str, or: u64| match values.get(key) {
            Some(text) => text
                .parse()
                .map_err(|_| Stop::Error(format!("bad value for {key}: {text}"))),
            None => Ok(or),
        };
        let files = number("relay.nofiles", 1_000_000)?;
        if let Some(most) = getrlimit(Resource::Nofile)
            .maximum
            .filter(|&most| files > most)
        {
            return Err(Stop::Error(format!(
                "Unable to set NOFILES limit to {files}, exceeds max of {most}"
            )));
        }
        Ok(Self {
            db: values
                .get("db")
                .map_or("./strfry-db/", String::as_str)
                .into(),
            max_event_size: usize::try_from(number("events.maxEventSize", 65536)?).unwrap(),
        })
    }
}

/// The operating system's words, without Rust's number behind them.
pub(super) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// `section { key = value }` to `section.key` and its value without quotes.
fn parse(text: &str) -> Result<HashMap<String, String>, String> {
    let mut values = HashMap::new();
    let mut sections: Vec<&str> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        // No value that we look at holds a `#`.
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(section) = line.strip_suffix('{') {
            sections.push(section.trim().trim_end_matches([':', '=']).trim());
        } else if line == "}" || line == "};" {
            sections
                .pop()
                .ok_or(format!("{number}:1: unexpected character"))?;
        } else if let Some((key, value)) = line.split_once('=') {
            let value = value.trim().trim_end_matches(';').trim();
            if value.is_empty() {
                return Err(format!("{number}:1: expected value"));
            }
            let mut path = sections.clone();
            path.push(key.trim());
            let path = path.join(".");
            values.insert(path, value.trim_matches('"').to_owned());
        } else if !line.is_empty() {
            return Err(format!("{number}:1: expected value"));
        }
    }
    match sections.is_empty() {
        true => Ok(values),
        false => Err("1:1: expected '}'".to_owned()),
    }
}
