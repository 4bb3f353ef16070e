//! [`Proxies`]: the proxies that the environment names, as curl and other programs take them from
//! there.

use std::env;
use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper_util::client::legacy::connect::proxy::{SocksV4, SocksV5, Tunnel};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tower_service::Service;

use super::error::{ConnectorError, ProxyError};
use super::stream::Stream;
use crate::relay::address::Address;

/// The variables that name a proxy. Those of `no_proxy` name the hosts that are reached without.
const VARIABLES: [&str; 6] = [
    "ALL_PROXY",
    "all_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
];

/// The port of a proxy that names none, as in curl; 443 for one that is reached by TLS.
const PROXY_PORT: u16 = 1080;

/// Which proxy is used for which relay.
#[derive(Debug)]
pub(super) struct Proxies(Matcher);

/// The proxy between us and one relay.
#[derive(Debug)]
pub(super) struct Proxy(Intercept);

/// Who looks up the relay's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lookup {
    /// We do, and tell the proxy an IP address (`socks4`, `socks5`).
    Here,
    /// The proxy does (`http`, `https`, `socks4a`, `socks5h`).
    AtProxy,
}

impl Proxies {
    /// The proxies named by `HTTPS_PROXY` (for `wss://`), `HTTP_PROXY` (for `ws://`), `ALL_PROXY`
    /// and `NO_PROXY`, in either case.
    ///
    /// # Errors
    /// [`ConnectorError::Proxy`] if one of them is not understood. Connecting without a proxy could
    /// show a captain's address who relies on one.
    pub(super) fn from_env() -> Result<Self, ConnectorError> {
        for name in VARIABLES {
            let value = env::var(name).unwrap_or_default();
            if !value.is_empty() && !is_understood(&value) {
                return Err(ConnectorError::Proxy(name));
            }
        }
        Ok(Self(Matcher::from_env()))
    }

    /// The proxy for a relay; `None` if it is connected to directly. This machine is.
    pub(super) fn of(&self, address: &Address) -> Option<Proxy> {
        let scheme = if address.is_secure() { "https" } else { "http" };
        if address.is_on_this_machine() {
            return None;
        }
        self.0.intercept(&uri(scheme, address).ok()?).map(Proxy)
    }
}

impl Proxy {
    /// The proxy's host and port.
    pub(super) fn host(&self) -> (&str, u16) {
        let uri = self.0.uri();
        let usual = if self.is_secure() { 443 } else { PROXY_PORT };
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        (host, uri.port_u16().unwrap_or(usual))
    }

    /// Whether the connection to the proxy itself uses TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.0.uri().scheme_str() == Some("https")
    }

    /// Who looks up the names of relays. A `.onion` name is always left to the proxy, since no
    /// other must ever see it (RFC 7686).
    pub(super) fn lookup(&self, address: &Address) -> Lookup {
        match self.0.uri().scheme_str() {
            Some("socks4" | "socks5") if !is_onion(address.host()) => Lookup::Here,
            _ => Lookup::AtProxy,
        }
    }

    /// Has the proxy, to which this is a connection, connect to a relay: at this address if it was
    /// looked up here.
    ///
    /// # Errors
    /// [`ProxyError`], in the proxy's terms.
    pub(super) async fn connect(
        &self,
        stream: Box<dyn Stream>,
        relay: &Address,
        resolved: Option<SocketAddr>,
    ) -> Result<Box<dyn Stream>, ProxyError> {
        let (proxy, opened) = (self.0.uri().clone(), Opened(Some(TokioIo::new(stream))));
        let target = match resolved {
            Some(socket) => Uri::builder()
                .scheme("https")
                .authority(socket.to_string())
                .path_and_query("/")
                .build(),
            None => uri("https", relay),
        };
        let target = target.map_err(|error| ProxyError(error.into()))?;
        let connected = match self.0.uri().scheme_str() {
            Some("socks4" | "socks4a") => {
                let mut socks = SocksV4::new(proxy, opened);
                let connected = socks.call(target).await;
                connected.map_err(|error| ProxyError(error.to_string().into()))
            }
            Some("socks5" | "socks5h") => {
                let mut socks = SocksV5::new(proxy, opened);
                if let Some((user, password)) = self.0.raw_auth() {
                    socks = socks.with_auth(user.to_owned(), password.to_owned());
                }
                let connected = socks.call(target).await;
                connected.map_err(|error| ProxyError(error.to_string().into()))
            }
            _ => {
                let mut tunnel = Tunnel::new(proxy, opened);
                if let Some(credentials) = self.0.basic_auth() {
                    tunnel = tunnel.with_auth(credentials.clone());
                }
                let connected = tunnel.call(target).await;
                connected.map_err(|error| ProxyError(error.into()))
            }
        };
        Ok(connected?.into_inner())
    }
}

/// Whether a name is one of Tor's onion services, which DNS does not know (RFC 7686).
pub(super) fn is_onion(host: &str) -> bool {
    host == "onion" || host.ends_with(".onion")
}

fn is_understood(value: &str) -> bool {
    let matcher = Matcher::builder().all(value.to_owned()).build();
    let any = Uri::from_static("https://relay.example.org/");
    matcher.intercept(&any).is_some()
}

/// The address of a relay for the library, which knows the schemes of the web only.
fn uri(scheme: &str, address: &Address) -> Result<Uri, hyper::http::Error> {
    let (host, port) = (address.host(), address.port());
    let authority = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    Uri::builder()
        .scheme(scheme)
        .authority(authority)
        .path_and_query("/")
        .build()
}

/// Hands out a connection that is open already, once: what the library asks for to speak to a
/// proxy.
struct Opened(Option<TokioIo<Box<dyn Stream>>>);

impl Service<Uri> for Opened {
    type Response = TokioIo<Box<dyn Stream>>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(
            self.0
                .take()
                .ok_or_else(|| io::ErrorKind::NotConnected.into()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Address {
        Address::parse(url).unwrap()
    }

    fn proxies(all: &str, no: &str) -> Proxies {
        let builder = Matcher::builder().all(all.to_owned());
        Proxies(builder.no(no.to_owned()).build())
    }

    #[test]
    fn this_machine_and_named_hosts_are_reached_without_a_proxy() {
        let proxies = proxies("socks5h://127.0.0.1:9050", "example.org,10.0.0.0/8");
        for direct in [
            "ws://127.0.0.1:7777",
            "ws://localhost:7777",
            "ws://ipfs.localhost:7777",
            "ws://[::1]:7777",
            "wss://relay.example.org",
            "ws://10.1.2.3:7777",
        ] {
            assert!(proxies.of(&address(direct)).is_none(), "{direct}");
        }
        for url in [
            "wss://relay.example.com",
            "ws://[2a01::1]:7777",
            "ws://a.onion",
        ] {
            assert!(proxies.of(&address(url)).is_some(), "{url}");
        }
    }

    #[test]
    fn a_proxy_has_a_port_and_looks_up_names_or_does_not() {
        let (relay, onion) = (
            address("wss://relay.example.com"),
            address("ws://abc.onion"),
        );
        for (proxy, host, port, of_relay) in [
            (
                "socks5h://127.0.0.1:9050",
                "127.0.0.1",
                9050,
                Lookup::AtProxy,
            ),
            ("socks5://[::1]", "::1", 1080, Lookup::Here),
            ("socks4://tor", "tor", 1080, Lookup::Here),
            ("socks4a://tor", "tor", 1080, Lookup::AtProxy),
            ("http://user:secret@proxy", "proxy", 1080, Lookup::AtProxy),
            ("https://proxy", "proxy", 443, Lookup::AtProxy),
            ("proxy:3128", "proxy", 3128, Lookup::AtProxy),
        ] {
            let found = proxies(proxy, "").of(&relay).unwrap();
            assert_eq!(found.host(), (host, port), "{proxy}");
            assert_eq!(found.lookup(&relay), of_relay, "{proxy}");
            assert_eq!(found.lookup(&onion), Lookup::AtProxy, "{proxy}");
            assert!(!format!("{found:?}").contains("secret"));
        }
    }

    #[test]
    fn a_misspelt_proxy_is_not_taken_for_none() {
        assert!(is_understood("socks5h://127.0.0.1:9050"));
        for wrong in [
            "socks://127.0.0.1:9050",
            "socks5h:/127.0.0.1",
            "http://",
            "ftp://x",
        ] {
            assert!(!is_understood(wrong), "{wrong}");
        }
    }
}
