//! Why a relay cannot be reached ([`ConnectError`]), a connection not be used any more
//! ([`ConnectionError`]), or no relay be connected to at all ([`ConnectorError`]).

use std::io;
use std::time::Duration;

use tokio_tungstenite::tungstenite::Error as WebSocketError;

use crate::relay::tunnel::TunnelError;

/// The code in logs and reports for a peer that turned out to be this station itself.
pub(crate) const OWN_RELAY: &str = "own_relay";

/// The code in logs and reports for an address that answers, but not as a relay does.
pub(crate) const NO_WEBSOCKET: &str = "no_websocket";

/// How long sending one message may take.
pub(super) const SEND_PATIENCE: Duration = Duration::from_secs(30);

/// Why a relay could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// DNS or TCP failed.
    #[error("cannot connect to {0}")]
    Tcp(String, #[source] io::Error),
    /// The TLS handshake failed, for example because of the certificate.
    #[error("no TLS with {0}")]
    Tls(String, #[source] io::Error),
    /// The WebSocket handshake failed.
    #[error("no WebSocket at {0}")]
    WebSocket(String, #[source] Box<WebSocketError>),
    /// A web server leads elsewhere, and is not followed.
    #[error("{0} leads elsewhere, {1}")]
    Redirect(String, &'static str),
    /// It would answer later: after this time, if it says so.
    #[error("{relay} asks for patience: HTTP {status}{}", wait.map(|wait| format!(", for {} s", wait.as_secs())).unwrap_or_default())]
    Busy {
        /// The relay.
        relay: String,
        /// The status of its answer.
        status: u16,
        /// How long it wants to be left alone.
        wait: Option<Duration>,
    },
    /// The proxy could not be reached, or does not connect to the relay.
    #[error("the proxy {proxy} does not connect to {relay}")]
    Proxy {
        /// The proxy's host and port.
        proxy: String,
        /// The relay's host and port.
        relay: String,
        /// The cause.
        #[source]
        error: ProxyError,
    },
    /// The relay is an onion service, and there is no proxy.
    #[error(
        "{0} can only be reached over Tor: set ALL_PROXY, as in ALL_PROXY=socks5h://127.0.0.1:9050"
    )]
    Onion(String),
    /// Connecting took too long.
    #[error("no connection to {0} within {patience} s", patience = .1.as_secs())]
    Slow(String, Duration),
    /// The tunnel to the relay could not be opened.
    #[error(transparent)]
    Tunnel(#[from] TunnelError),
    /// The address leads to this station's own relay.
    #[error("{0} leads to {1}, which is this station's own relay")]
    Own(String, String),
    /// The relay has the name and the pubkey of this station's own relay.
    #[error("{0} has the name and pubkey of this station's own relay in its NIP-11 document")]
    OwnIdentity(String),
    /// The address leads to this machine or to a private network.
    #[error(
        "{0} leads to {1}, an address of this machine or of a private network, which is not connected to; --allow-private-peers allows it"
    )]
    Private(String, String),
}

impl ConnectError {
    /// The stable word for it in logs and reports.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Tcp(_, error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => "connect_refused",
                io::ErrorKind::TimedOut => "connect_timeout",
                io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "no_route",
                // Only a failed name lookup gives an error without a number.
                _ if error.raw_os_error().is_none() => "no_such_host",
                _ => "connect",
            },
            Self::Tls(..) => "tls",
            Self::WebSocket(..) | Self::Redirect(..) => NO_WEBSOCKET,
            Self::Busy { .. } => "rate_limited",
            Self::Proxy { .. } => "proxy",
            Self::Onion(_) => "onion",
            Self::Slow(..) => "connect_timeout",
            Self::Tunnel(error) => error.code(),
            Self::Own(..) | Self::OwnIdentity(_) => OWN_RELAY,
            Self::Private(..) => "private_address",
        }
    }

    /// Whether another attempt may succeed.
    pub const fn is_worth_another_try(&self) -> bool {
        // A tunnel was retried already, and an address leads to the same place again.
        !matches!(
            self,
            Self::Tunnel(_)
                | Self::Redirect(..)
                | Self::Own(..)
                | Self::OwnIdentity(_)
                | Self::Private(..)
                | Self::Onion(_)
        )
    }
}

/// Why a connection cannot be used any more.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The relay closed it.
    #[error("the relay closed the connection")]
    Closed,
    /// The connection broke, or the relay violated the WebSocket protocol.
    #[error("the connection broke")]
    Broken(#[source] Box<WebSocketError>),
    /// Nothing that we were waiting for arrived in time.
    #[error("no progress for {} s", .0.as_secs())]
    Silent(Duration),
    /// The relay does not read our messages.
    #[error("the relay reads nothing for {} s", SEND_PATIENCE.as_secs())]
    Stuck,
    /// Nearly all that the relay sends is useless.
    #[error("{received} bytes came from it, of which {useful} were of use")]
    Wasteful {
        /// How many bytes arrived.
        received: u64,
        /// How many of them belong to events that were asked for and new.
        useful: u64,
    },
}

impl ConnectionError {
    /// The stable word for it in logs and reports.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Broken(_) => "broken",
            Self::Silent(_) => "silent",
            Self::Stuck => "stuck",
            Self::Wasteful { .. } => "wasteful",
        }
    }
}

/// Why a proxy does not connect to a relay, in the words of the proxy or of the system.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ProxyError(pub Box<dyn std::error::Error + Send + Sync>);

impl From<io::Error> for ProxyError {
    fn from(error: io::Error) -> Self {
        Self(error.into())
    }
}

/// Why no relay can be connected to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// The file given with `--ca-file` is missing or holds no certificate.
    #[error("{0} holds no usable certificate (PEM)")]
    Certificates(
        String,
        #[source] Option<Box<dyn std::error::Error + Send + Sync>>,
    ),
    /// A proxy in the environment is not understood. Its value is not shown, as it may contain a
    /// password.
    #[error(
        "the environment variable {0} names no proxy such as http://HOST:PORT, socks5://HOST:PORT or socks5h://HOST:PORT: correct it, or unset it"
    )]
    Proxy(&'static str),
}
