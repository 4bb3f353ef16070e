//! [`StationName`]: what people call a station, by its `12345.json`.
//!
//! Whoever runs a station chooses its name, and may choose that of another. So a name consists of
//! few kinds of characters, stations of the same name are told apart by their IPFS ids, and the
//! address of the relay always stands behind the name: see [`with_address`].

use std::fmt;

use crate::support::sanitize::{for_terminal, without_failures, without_words_of_scripts};

/// How many characters of a hostname are shown.
const LONGEST_HOST: usize = 40;

/// The longest e-mail address that is shown (RFC 5321 allows more).
const LONGEST_EMAIL: usize = 80;

/// What a station calls itself and its captain, harmless wherever it is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StationName {
    host: Option<String>,
    captain: Option<String>,
    /// The end of the station's id, if others have the same name.
    mark: Option<String>,
}

impl StationName {
    /// The name of a station with this hostname and this captain's e-mail address, as it describes
    /// itself; `None` if neither is anything of the kind.
    pub(crate) fn new(hostname: Option<&str>, captain: Option<&str>) -> Option<Self> {
        let name = Self {
            host: hostname.and_then(host),
            captain: captain.and_then(email),
            mark: None,
        };
        (name.host.is_some() || name.captain.is_some()).then_some(name)
    }

    /// The name with the end of the station's id behind the hostname, which others have, too.
    pub(crate) fn told_apart_by(self, end_of_id: String) -> Self {
        Self {
            mark: Some(end_of_id),
            ..self
        }
    }

    /// The hostname.
    pub(crate) fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// The hostname with what tells it from those of other stations.
    pub(crate) fn host_told_apart(&self) -> String {
        let without_captain = Self {
            captain: None,
            ..self.clone()
        };
        without_captain.to_string()
    }

    /// The captain's e-mail address.
    pub(crate) fn captain(&self) -> Option<&str> {
        self.captain.as_deref()
    }
}

/// `saturne (captain@example.org)`, or what there is of it.
impl fmt::Display for StationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut name = self.host.clone().unwrap_or_default();
        if let (Some(_), Some(mark)) = (&self.host, &self.mark) {
            name.push_str(&format!("~{mark}"));
        }
        if let Some(captain) = &self.captain {
            let blank = if name.is_empty() { "" } else { " " };
            name.push_str(&format!("{blank}({captain})"));
        }
        // Scripts count lines with certain words in the log.
        f.write_str(&without_failures(&without_words_of_scripts(&name)))
    }
}

/// The way in which a peer appears to people, everywhere: its name, if it has one, and behind it
/// the address of its relay, which nobody else can have.
pub(crate) fn with_address(name: Option<impl fmt::Display>, address: impl fmt::Display) -> String {
    match name {
        Some(name) => format!("{name} {address}"),
        None => address.to_string(),
    }
}

/// A hostname out of a foreign text. What no hostname holds becomes `_`, so that nothing else can
/// be made of it: neither a captain nor an address.
fn host(text: &str) -> Option<String> {
    let mut host = String::new();
    for c in for_terminal(text, LONGEST_HOST).chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' | '…' => host.push(c),
            _ if host.ends_with('_') => {}
            _ => host.push('_'),
        }
    }
    let host = host.trim_matches('_');
    let is_a_name = host.chars().any(|c| c.is_ascii_alphanumeric());
    is_a_name.then(|| host.to_owned())
}

/// An e-mail address, if the text is one and nothing else. None is shortened: it would be that of
/// somebody else.
fn email(text: &str) -> Option<String> {
    let is_of_an_email = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-');
    let (user, domain) = text.split_once('@')?;
    let is_email = text.len() <= LONGEST_EMAIL
        && [user, domain]
            .iter()
            .all(|part| !part.is_empty() && part.chars().all(is_of_an_email));
    is_email.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(hostname: &str, captain: &str) -> Option<String> {
        StationName::new(Some(hostname), Some(captain)).map(|name| name.to_string())
    }

    #[test]
    fn a_name_is_a_hostname_and_an_email_address() {
        for (hostname, captain, expected) in [
            ("saturne", "a@example.org", "saturne (a@example.org)"),
            ("saturne.local", "", "saturne.local"),
            ("", "a@example.org", "(a@example.org)"),
            ("my host", "nobody", "my_host"),
            ("x (a@b) ws://c", "a@b@c", "x_a_b_ws_c"),
            ("SYNC_failed", "failed@a", "SYNC·fail·ed (fail·ed@a)"),
            ("sat\u{202e}urne\u{7}", "a@b\u{202e}", "saturne"),
        ] {
            assert_eq!(name(hostname, captain).as_deref(), Some(expected));
        }
        for nothing in ["", "__", "🦊", "\u{202e}", "---", "…"] {
            assert_eq!(name(nothing, nothing), None, "{nothing:?}");
        }
        let long = "x".repeat(10_000);
        let shown = name(&long, &format!("{long}@a")).unwrap();
        assert_eq!(shown, format!("{}…", "x".repeat(LONGEST_HOST)));
    }

    #[test]
    fn the_address_stands_behind_the_name() {
        let address = "wss://relay.saturne.org";
        let name = StationName::new(Some("saturne"), Some("captain@example.org"));
        assert_eq!(
            with_address(name, address),
            "saturne (captain@example.org) wss://relay.saturne.org"
        );
        let none: Option<StationName> = None;
        assert_eq!(with_address(none, address), "wss://relay.saturne.org");
    }
}
