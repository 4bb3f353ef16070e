//! [`Address`]: a relay's `ws://` or `wss://` URL, or the IPFS node that offers the relay through a
//! tunnel.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};

use url::{Host, ParseError, Url};

use crate::relay::ip::embedded;
use crate::relay::peer_id::PeerId;
use crate::relay::tunnel::ipfs;

/// The port on which a station's own strfry listens.
const STRFRY_PORT: u16 = 7777;

/// The longest URL of a relay that is accepted, in bytes. Other stations choose it, and it is
/// remembered and shown in many places.
const LONGEST_URL: usize = 500;

/// A relay's URL, or the IPFS node that offers it as a service. It is requested as it was written;
/// two spellings of the address of one relay are equal.
#[derive(Debug, Clone)]
pub struct Address {
    relay: Relay,
    /// The host as the URL has it: an IPv6 address in brackets, a name perhaps with a final dot.
    host: String,
    /// The path and the query as the URL has them; empty if the path is `/` and there is no query.
    path: String,
}

/// What tells one relay from another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Relay {
    secure: bool,
    /// A name in lower case without a final dot, or an IP address without brackets; an IPv4
    /// address if an IPv6 address embeds one.
    host: String,
    port: u16,
    /// The path without slashes at its end, and the query.
    path: String,
    tunnel: Option<PeerId>,
}

/// Why a text is not a relay's URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The text is no URL (WHATWG URL Standard).
    #[error("not a URL: {0}")]
    Url(ParseError),
    /// The text is longer than any relay's URL.
    #[error("longer than {LONGEST_URL} characters")]
    TooLong,
    /// The URL has another scheme.
    #[error("a relay's URL begins with ws:// or wss://")]
    Scheme,
    /// The host has characters that no name in DNS has.
    #[error("not a URL: its host is neither a name nor an IP address")]
    Host,
    /// The URL contains a user name or a password.
    #[error(
        "it contains a user name or a password, which are not sent: leave out what stands before the @"
    )]
    Credentials,
    /// The port is 0.
    #[error("not a URL: nothing can listen on port 0")]
    Port,
}

impl Address {
    /// Reads a URL as the WHATWG URL Standard says: names in any script, and IP addresses in each
    /// of their spellings. Upper case, a default port, final slashes, a final dot of the host and
    /// the spelling of an IP address do not make it the address of another relay. A fragment is
    /// dropped, since it is never sent.
    ///
    /// # Errors
    /// [`AddressError`]. A URL with credentials is refused, so that no password ends up in a log.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        if text.len() > LONGEST_URL {
            return Err(AddressError::TooLong);
        }
        let url = Url::parse(text).map_err(|error| match error {
            ParseError::RelativeUrlWithoutBase => AddressError::Scheme,
            error => AddressError::Url(error),
        })?;
        let secure = match url.scheme() {
            "ws" => false,
            "wss" => true,
            _ => return Err(AddressError::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AddressError::Credentials);
        }
        let host = url.host_str().unwrap_or_default().to_owned();
        let canonical = match url.host() {
            Some(Host::Domain(name)) => canonical_name(name).ok_or(AddressError::Host)?,
            Some(Host::Ipv4(ip)) => ip.to_string(),
            Some(Host::Ipv6(ip)) => embedded(IpAddr::V6(ip)).to_string(),
            None => return Err(AddressError::Host),
        };
        let port = match url.port_or_known_default() {
            Some(0) | None => return Err(AddressError::Port),
            Some(port) => port,
        };
        let query = url.query().map(|query| format!("?{query}"));
        let query = query.unwrap_or_default();
        let path = match url.path() {
            "/" if query.is_empty() => String::new(),
            path => format!("{path}{query}"),
        };
        if url.as_str().len() > LONGEST_URL {
            return Err(AddressError::TooLong);
        }
        Ok(Self {
            relay: Relay {
                secure,
                host: canonical,
                port,
                path: format!("{}{query}", url.path().trim_end_matches('/')),
                tunnel: None,
            },
            host,
            path,
        })
    }

    /// The address without its query string, so that another station cannot choose what we ask of
    /// a web server.
    #[must_use]
    pub fn without_query(mut self) -> Self {
        for path in [&mut self.path, &mut self.relay.path] {
            let end = path.find('?').unwrap_or(path.len());
            path.truncate(end);
        }
        if self.path == "/" {
            self.path.clear();
        }
        self
    }

    /// The address to which a web server at this one leads with a `Location` (RFC 9110, 10.2.2); `None`
    /// if it is no relay's, or is reached without the encryption that this one has.
    pub fn led_to(&self, location: &str) -> Option<Self> {
        let url = Url::parse(&self.url()).ok()?.join(location.trim()).ok()?;
        let secure = match url.scheme() {
            "https" | "wss" => true,
            "http" | "ws" => false,
            _ => return None,
        };
        let rest = url.as_str().strip_prefix(url.scheme())?;
        let scheme = if secure { "wss" } else { "ws" };
        let led_to = Self::parse(&format!("{scheme}{rest}")).ok()?;
        let is_as_safe = secure || !self.is_secure();
        (is_as_safe && self.tunnel().is_none()).then_some(led_to)
    }

    /// The relay that this IPFS node offers through a tunnel.
    pub fn behind(peer: PeerId) -> Self {
        let mut address = Self::on_this_machine(STRFRY_PORT);
        address.relay.tunnel = Some(peer);
        address
    }

    /// The address of a port of this machine.
    pub fn on_this_machine(port: u16) -> Self {
        let host = Ipv4Addr::LOCALHOST.to_string();
        Self {
            relay: Relay {
                secure: false,
                host: host.clone(),
                port,
                path: String::new(),
                tunnel: None,
            },
            host,
            path: String::new(),
        }
    }

    /// The IPFS node through which the relay is reached. Host and port are then those on that
    /// node's machine.
    pub const fn tunnel(&self) -> Option<&PeerId> {
        self.relay.tunnel.as_ref()
    }

    /// The relay's URL as it was written, but for upper case, a default port and characters that
    /// are not ASCII; behind a tunnel, the URL on the machine of the IPFS node.
    pub fn url(&self) -> String {
        let scheme = if self.relay.secure { "wss" } else { "ws" };
        format!("{scheme}://{}{}", self.authority(), self.path)
    }

    /// Whether the connection uses TLS.
    pub const fn is_secure(&self) -> bool {
        self.relay.secure
    }

    /// The host to connect to: a name in lower case without a final dot, or an IP address without
    /// brackets.
    pub fn host(&self) -> &str {
        &self.relay.host
    }

    /// The TCP port.
    pub const fn port(&self) -> u16 {
        self.relay.port
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
        let default = if self.relay.secure { 443 } else { 80 };
        if self.relay.port == default {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.relay.port)
        }
    }

    /// Whether the host is this machine: a name that DNS is not asked for (RFC 6761), or an IP
    /// address.
    pub fn is_on_this_machine(&self) -> bool {
        let host = self.host();
        let ip: Option<IpAddr> = host.parse().ok();
        host == "localhost"
            || host.ends_with(".localhost")
            || ip.is_some_and(|ip| ip.is_loopback() || ip.is_unspecified())
    }

    /// Whether this is the address of a strfry that only listens on its own machine, so that other
    /// machines need a tunnel to reach it.
    pub fn is_behind_tunnel(&self) -> bool {
        self.is_on_this_machine() && self.port() == STRFRY_PORT && self.tunnel().is_none()
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.relay == other.relay
    }
}

impl Eq for Address {}

impl PartialOrd for Address {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Address {
    fn cmp(&self, other: &Self) -> Ordering {
        self.relay.cmp(&other.relay)
    }
}

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.relay.hash(state);
    }
}

/// A name without a final dot; `None` if it is not a name as DNS has them. The URL standard also
/// lets in quotes and brackets, which scripts that read our log might stumble over.
fn canonical_name(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(in_name);
    name.split('.').all(is_label).then(|| name.to_owned())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tunnel() {
            Some(peer) => f.write_str(&ipfs::service(peer)),
            None => f.write_str(&self.url()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_to_relays_and_never_out_of_encryption() {
        let led_to = |from: &str, location: &str| {
            let from = Address::parse(from).unwrap();
            from.led_to(location).map(|address| address.to_string())
        };
        let (clear, secure) = ("ws://a.example/x", "wss://a.example:8443/x");
        for (from, location, expected) in [
            (clear, "https://b.example/y/", Some("wss://b.example/y/")),
            (clear, "HTTP://b.example", Some("ws://b.example")),
            (clear, "ws://b.example:8080/", Some("ws://b.example:8080")),
            (clear, "/relay", Some("ws://a.example/relay")),
            (clear, "y", Some("ws://a.example/y")),
            (clear, "//b.example", Some("ws://b.example")),
            (secure, "/relay", Some("wss://a.example:8443/relay")),
            (secure, "wss://b.example", Some("wss://b.example")),
            (secure, "http://b.example", None),
            (secure, "ws://a.example:8443/x", None),
            (clear, "ftp://b.example", None),
            (clear, "http://u:p@b.example/", None),
        ] {
            assert_eq!(led_to(from, location).as_deref(), expected, "{location}");
        }
    }

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
    fn an_address_is_requested_as_it_was_written() {
        for (text, url, path) in [
            (
                "wss://relay.example.org/relay/",
                "wss://relay.example.org/relay/",
                "/relay/",
            ),
            ("wss://host/a//", "wss://host/a//", "/a//"),
            ("wss://host//", "wss://host//", "//"),
            ("wss://host", "wss://host", "/"),
            ("wss://host/?x", "wss://host/?x", "/?x"),
            ("wss://host./", "wss://host.", "/"),
            ("wss://host/A%2fb#part", "wss://host/A%2fb", "/A%2fb"),
            (
                "wss://Host/\u{202e}é",
                "wss://host/%E2%80%AE%C3%A9",
                "/%E2%80%AE%C3%A9",
            ),
            ("wss://bücher.example", "wss://xn--bcher-kva.example", "/"),
            ("wss://例え.テスト", "wss://xn--r8jz45g.xn--zckzah", "/"),
            ("ws://[2A01:0::1]:81", "ws://[2a01::1]:81", "/"),
            ("ws://[::ffff:7f00:1]", "ws://[::ffff:7f00:1]", "/"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.url(), url, "{text}");
            assert_eq!(address.path(), path, "{text}");
        }
    }

    #[test]
    fn one_relay_has_one_address_however_it_is_written() {
        for (one, other) in [
            ("wss://host/relay/", "wss://host/relay"),
            ("wss://host/relay/?x", "wss://host/relay?x"),
            ("wss://host./", "wss://HOST"),
            ("wss://BÜCHER.example", "wss://xn--bcher-kva.example"),
            ("ws://[::ffff:10.0.0.1]", "ws://10.0.0.1"),
        ] {
            let [one, other] = [one, other].map(|text| Address::parse(text).unwrap());
            assert_eq!(one, other);
            assert_eq!(one.host(), other.host());
        }
        for (one, other) in [
            ("wss://host/relay", "wss://host/Relay"),
            ("wss://host/relay", "wss://host/relay?x"),
            ("wss://host", "ws://host:443"),
            ("wss://host", "wss://host:444"),
        ] {
            assert_ne!(Address::parse(one), Address::parse(other));
        }
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
            ("", AddressError::Scheme),
            (
                &format!("ws://a.org/{}", "x".repeat(LONGEST_URL)),
                AddressError::TooLong,
            ),
            ("relay.example.org", AddressError::Scheme),
            ("https://relay.example.org", AddressError::Scheme),
            ("wss://", AddressError::Url(ParseError::EmptyHost)),
            (
                "ws://host:99999",
                AddressError::Url(ParseError::InvalidPort),
            ),
            ("ws://host:0", AddressError::Port),
            ("ws://ho st", AddressError::Url(ParseError::IdnaError)),
            ("wss://alice@host", AddressError::Credentials),
            ("wss://alice:secret@host/", AddressError::Credentials),
            ("wss://:secret@host/", AddressError::Credentials),
            (
                "wss://user[2001:db8::1]:4848",
                AddressError::Url(ParseError::IdnaError),
            ),
            (
                "wss://[relay.example.org]",
                AddressError::Url(ParseError::InvalidIpv6Address),
            ),
            ("wss://host'$(reboot)", AddressError::Host),
            (
                &format!("ws://a.org/{}", "é".repeat(LONGEST_URL / 4)),
                AddressError::TooLong,
            ),
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
            assert_eq!(Address::parse(text), Address::parse(url), "{text}");
            let host = url.split("//").nth(1).unwrap_or_default();
            let host = host
                .trim_start_matches('[')
                .split(']')
                .next()
                .unwrap_or_default();
            assert_eq!(Address::parse(text).unwrap().host(), host, "{text}");
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
            assert!(Address::parse(nothing).is_err(), "{nothing}");
        }
    }

    #[test]
    fn a_query_can_be_dropped() {
        let address = Address::parse("ws://host/a/?x=/b/").unwrap();
        assert_eq!(address.without_query().to_string(), "ws://host/a/");
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
