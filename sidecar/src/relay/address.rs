//! [`Address`]: a relay's `ws://` or `wss://` URL, parsed and in a canonical form, or the IPFS node
//! that offers the relay through a tunnel.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use hyper::Uri;

use crate::relay::ip::embedded;
use crate::relay::peer_id::PeerId;
use crate::relay::tunnel::ipfs;

/// The port on which a station's own strfry listens.
const STRFRY_PORT: u16 = 7777;

/// The longest URL of a relay that is accepted, in bytes. Other stations choose it, and it is
/// remembered and shown in many places.
const LONGEST_URL: usize = 500;

/// A relay's URL, or the IPFS node that offers it as a service. Two spellings of the same address
/// are equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    secure: bool,
    host: String,
    port: u16,
    path: String,
    tunnel: Option<PeerId>,
}

/// Why a text is not a relay's URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The text is no URL.
    #[error("not a URL")]
    Url,
    /// The text is longer than any relay's URL.
    #[error("longer than {LONGEST_URL} characters")]
    TooLong,
    /// The URL has another scheme.
    #[error("a relay's URL begins with ws:// or wss://")]
    Scheme,
}

impl Address {
    /// Reads a URL. Upper case, a default port, a final slash, a final dot of the host and the
    /// spelling of an IP address make no difference.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        if text.len() > LONGEST_URL {
            return Err(AddressError::TooLong);
        }
        // The library lets other characters into a path; a terminal might run them.
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(AddressError::Url);
        }
        let uri: Uri = text.parse().map_err(|_| AddressError::Url)?;
        let secure = match uri.scheme_str().map(str::to_ascii_lowercase).as_deref() {
            Some("ws") => false,
            Some("wss") => true,
            _ => return Err(AddressError::Scheme),
        };
        let host = uri.host().and_then(canonical_host);
        let host = host.ok_or(AddressError::Url)?;
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        // The URL parser returns no port for one that is not a 16-bit number.
        let named_port = !authority.ends_with(uri.host().unwrap_or_default());
        let port = match uri.port_u16() {
            Some(0) => return Err(AddressError::Url),
            Some(port) => port,
            None if named_port => return Err(AddressError::Url),
            None if secure => 443,
            None => 80,
        };
        let path = uri
            .path_and_query()
            .map_or("/", |path| path.as_str())
            .trim_end_matches('/');
        Ok(Self {
            secure,
            host,
            port,
            path: path.to_owned(),
            tunnel: None,
        })
    }

    /// The address without its query string, so that another station cannot choose what we ask of
    /// a web server.
    #[must_use]
    pub fn without_query(mut self) -> Self {
        let path = self.path.split('?').next().unwrap_or_default();
        self.path = path.trim_end_matches('/').to_owned();
        self
    }

    /// The relay that this IPFS node offers through a tunnel.
    pub fn behind(peer: PeerId) -> Self {
        Self {
            tunnel: Some(peer),
            ..Self::on_this_machine(STRFRY_PORT)
        }
    }

    /// The address of a port of this machine.
    pub fn on_this_machine(port: u16) -> Self {
        Self {
            secure: false,
            host: Ipv4Addr::LOCALHOST.to_string(),
            port,
            path: String::new(),
            tunnel: None,
        }
    }

    /// The IPFS node through which the relay is reached. Host and port are then those on that
    /// node's machine.
    pub const fn tunnel(&self) -> Option<&PeerId> {
        self.tunnel.as_ref()
    }

    /// The relay's URL; behind a tunnel, the URL on the machine of the IPFS node.
    pub fn url(&self) -> String {
        let scheme = if self.secure { "wss" } else { "ws" };
        format!("{scheme}://{}{}", self.authority(), self.path)
    }

    /// Whether the connection uses TLS.
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// The host, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The TCP port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The path and query, beginning with `/`.
    pub fn path(&self) -> &str {
        if self.path.is_empty() {
            "/"
        } else {
            &self.path
        }
    }

    /// The value of a `Host` header: `host` or `host:port`.
    pub fn authority(&self) -> String {
        let default = if self.secure { 443 } else { 80 };
        if self.port == default {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Whether this is the address of a strfry that only listens on its own machine, so that other
    /// machines need a tunnel to reach it.
    pub fn is_behind_tunnel(&self) -> bool {
        let host = self.host();
        // All names below `localhost` mean this machine (RFC 6761).
        let loopback = host == "localhost"
            || host.ends_with(".localhost")
            || host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback() || address.is_unspecified());
        loopback && self.port == STRFRY_PORT && self.tunnel.is_none()
    }
}

/// The canonical form of a host: a name in lower case without a final dot, an IPv4 address with
/// four decimal parts, or a shortened IPv6 address in brackets. `None` if the text is no host.
fn canonical_host(host: &str) -> Option<String> {
    if let Some(address) = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        return match embedded(IpAddr::V6(address.parse().ok()?)) {
            IpAddr::V4(address) => Some(address.to_string()),
            IpAddr::V6(address) => Some(format!("[{address}]")),
        };
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(in_name);
    if !name.split('.').all(is_label) {
        return None;
    }
    let last = name.rsplit('.').next()?;
    let is_hex = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(is_hex);
    if is_number {
        // A host name never ends with a number, so this is an IPv4 address or invalid.
        return ipv4(&name).map(|address| address.to_string());
    }
    Some(name)
}

/// Reads an IPv4 address in any form that `inet_aton` accepts, such as `127.1`, `0x7f.1` and
/// `2130706433`, because the system's resolver accepts them, too.
fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let parts: Option<Vec<u64>> = text.split('.').map(number).collect();
    let parts = parts?;
    let (last, first) = parts.split_last()?;
    if first.len() > 3 || first.iter().any(|part| *part > 255) {
        return None;
    }
    // The last part stands for all remaining bytes.
    let left = 8 * (4 - u32::try_from(first.len()).ok()?);
    if *last >> left != 0 {
        return None;
    }
    let bits = first.iter().fold(0, |bits, part| bits << 8 | part);
    u32::try_from(bits << left | last)
        .ok()
        .map(Ipv4Addr::from_bits)
}

/// Reads a number as C does: octal after `0`, hexadecimal after `0x`, otherwise decimal.
fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x'] => return Some(0),
        [b'0', b'x', ..] => (text.get(2..)?, 16),
        [b'0', _, ..] => (text.get(1..)?, 8),
        _ => (text, 10),
    };
    // `from_str_radix` would accept a sign, too.
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let number = u64::from_str_radix(digits, radix).ok()?;
    (is_plain && number <= u64::from(u32::MAX)).then_some(number)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tunnel {
            Some(peer) => f.write_str(&ipfs::service(peer)),
            None => f.write_str(&self.url()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_url_are_equal() {
        let address = Address::parse("wss://relay.example.org").unwrap();
        for text in [
            "WSS://Relay.Example.ORG/",
            " wss://relay.example.org:443 ",
            "wss://relay.example.org:443/",
        ] {
            assert_eq!(Address::parse(text).as_ref(), Ok(&address), "{text}");
        }
        assert_eq!(address.to_string(), "wss://relay.example.org");
        assert_eq!(
            Address::parse("ws://[::1]:8080/a?b").unwrap().to_string(),
            "ws://[::1]:8080/a?b"
        );
    }

    #[test]
    fn a_relay_behind_a_node_is_named_after_it() {
        let id = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";
        let address = Address::behind(id.parse().unwrap());
        assert_eq!(address.to_string(), format!("/x/strfry-{id}"));
        assert_eq!(address.url(), "ws://127.0.0.1:7777");
        assert_ne!(Address::parse("ws://127.0.0.1:7777").unwrap(), address);
    }

    #[test]
    fn what_is_no_relay_is_refused() {
        for (text, error) in [
            ("", AddressError::Url),
            (
                &format!("ws://a.org/{}", "x".repeat(LONGEST_URL)),
                AddressError::TooLong,
            ),
            ("relay.example.org", AddressError::Scheme),
            ("https://relay.example.org", AddressError::Scheme),
            ("wss://", AddressError::Url),
            ("ws://host:99999", AddressError::Url),
            ("ws://host:0", AddressError::Url),
            ("ws://ho st", AddressError::Url),
            ("wss://host/\u{202e}x", AddressError::Url),
            ("wss://host/é", AddressError::Url),
            ("wss://user[2001:db8::1]:4848", AddressError::Url),
            ("wss://[relay.example.org]", AddressError::Url),
            ("wss://host'$(reboot)", AddressError::Url),
        ] {
            assert_eq!(Address::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn every_spelling_of_an_ip_address_is_that_address() {
        for (text, url) in [
            ("ws://127.1", "ws://127.0.0.1"),
            ("ws://0", "ws://0.0.0.0"),
            ("ws://0x", "ws://0.0.0.0"),
            ("ws://2130706433", "ws://127.0.0.1"),
            ("ws://0x7f000001", "ws://127.0.0.1"),
            ("ws://017700000001", "ws://127.0.0.1"),
            ("ws://0x7F.1", "ws://127.0.0.1"),
            ("ws://0177.0.0.1", "ws://127.0.0.1"),
            ("ws://127.0.1.", "ws://127.0.0.1"),
            ("ws://192.168.257", "ws://192.168.1.1"),
            ("ws://[::ffff:127.0.0.1]", "ws://127.0.0.1"),
            ("ws://[::ffff:7f00:1]", "ws://127.0.0.1"),
            ("ws://[0:0:0:0:0:0:0:1]", "ws://[::1]"),
            ("ws://[2A01:0::1]:81", "ws://[2a01::1]:81"),
            ("ws://localhost.", "ws://localhost"),
            ("wss://Relay.Example.ORG.", "wss://relay.example.org"),
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), url, "{text}");
        }
        for nothing in [
            "ws://1.2.3.4.5",
            "ws://256.1.1.1",
            "ws://127.0.0.256",
            "ws://4294967296",
            "ws://0x100000000",
            "ws://99999999999999999999",
            "ws://relay.1",
            "ws://relay.08",
            "ws://relay.0x1",
            "ws://127..1",
            "ws://host..",
            "ws://.",
            "ws://[fe80::1%25eth0]",
        ] {
            assert_eq!(Address::parse(nothing), Err(AddressError::Url), "{nothing}");
        }
    }

    #[test]
    fn a_query_can_be_dropped() {
        let address = Address::parse("ws://host/a/?x=/b/").unwrap();
        assert_eq!(address.without_query().to_string(), "ws://host/a");
        let address = Address::parse("ws://host?x").unwrap();
        assert_eq!(address.without_query().path(), "/");
    }

    #[test]
    fn a_strfry_on_loopback_is_behind_a_tunnel() {
        for (text, behind) in [
            ("ws://127.1:7777", true),
            ("ws://localhost.:7777", true),
            ("ws://ipfs.localhost:7777", true),
            ("ws://[::ffff:127.0.0.1]:7777", true),
            ("ws://mylocalhost:7777", false),
            ("ws://127.0.0.1:7777", true),
            ("ws://localhost:7777/", true),
            ("ws://[::1]:7777", true),
            ("ws://0.0.0.0:7777", true),
            ("ws://127.0.0.1:7778", false),
            ("ws://10.0.0.1:7777", false),
            ("ws://relay.example.org:7777", false),
        ] {
            assert_eq!(
                Address::parse(text).unwrap().is_behind_tunnel(),
                behind,
                "{text}"
            );
        }
    }
}
