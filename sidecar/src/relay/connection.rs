//! A WebSocket connection that owns framing, size and patience.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message};

use crate::relay::address::Address;
use crate::relay::guard::{Denial, Guard};
use crate::relay::traffic::Traffic;
use crate::relay::tunnel::TunnelError;
use crate::relay::tunnel::tunnels::Tunnels;

/// How long name, TCP, TLS and WebSocket may take together, at the most.
const CONNECT_PATIENCE: Duration = Duration::from_secs(15);

/// How long one message of ours may take to leave.
const SEND_PATIENCE: Duration = Duration::from_secs(30);

/// The longest message that is taken, in bytes. strfry sends up to 1 MB (the answer of a
/// reconciliation in hex); the longest events that any relay is known to take are 2 MB.
const LONGEST_MESSAGE: usize = 4 * 1024 * 1024;

/// The stable word for a peer that turned out to be this station itself.
pub(crate) const OWN_RELAY: &str = "own_relay";

/// A stream of bytes to a relay, in clear or in TLS.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Why a relay could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// DNS or TCP.
    #[error("cannot connect to {0}")]
    Tcp(String, #[source] io::Error),
    /// TLS, the certificate among it.
    #[error("no TLS with {0}")]
    Tls(String, #[source] io::Error),
    /// The relay does not speak WebSocket there.
    #[error("no WebSocket at {0}")]
    WebSocket(String, #[source] Box<WebSocketError>),
    /// It took too long.
    #[error("no connection to {0} within {patience} s", patience = .1.as_secs())]
    Slow(String, Duration),
    /// The tunnel to it.
    #[error(transparent)]
    Tunnel(#[from] TunnelError),
    /// It is this station itself.
    #[error("{0} leads to {1}, which is this station's own relay")]
    Own(String, IpAddr),
    /// It leads where only this machine or its network can.
    #[error(
        "{0} leads to {1}, an address of this machine or of a private network, which is not connected to; --allow-private-peers allows it"
    )]
    Private(String, IpAddr),
}

impl ConnectError {
    /// The stable word for it in logs and reports.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Tcp(_, error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => "connect_refused",
                io::ErrorKind::TimedOut => "connect_timeout",
                io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "no_route",
                // Only looking up its name leads to an error without a number.
                _ if error.raw_os_error().is_none() => "no_such_host",
                _ => "connect",
            },
            Self::Tls(..) => "tls",
            Self::WebSocket(..) => "no_websocket",
            Self::Slow(..) => "connect_timeout",
            Self::Tunnel(error) => error.code(),
            Self::Own(..) => OWN_RELAY,
            Self::Private(..) => "private_address",
        }
    }

    /// Whether another attempt may succeed.
    pub const fn is_worth_another_try(&self) -> bool {
        // Of tunnels several were tried already; and what an address leads to stays.
        !matches!(self, Self::Tunnel(_) | Self::Own(..) | Self::Private(..))
    }
}

/// Why a connection cannot be used any more.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The relay closed it.
    #[error("the relay closed the connection")]
    Closed,
    /// It broke, or the relay broke the protocol.
    #[error("the connection broke")]
    Broken(#[source] Box<WebSocketError>),
    /// Nothing that was waited for came in time.
    #[error("no progress for {} s", .0.as_secs())]
    Silent(Duration),
    /// The relay does not read what we send.
    #[error("the relay reads nothing for {} s", SEND_PATIENCE.as_secs())]
    Stuck,
    /// What it sends is of no use.
    #[error("{received} bytes came from it, of which {useful} were of use")]
    Wasteful {
        /// Bytes that came.
        received: u64,
        /// Bytes of events that were asked for and new.
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

/// Why certificates cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file of `--ca-file`.
    #[error("{0} holds no usable certificate (PEM)")]
    File(
        String,
        #[source] Option<Box<dyn std::error::Error + Send + Sync>>,
    ),
}

/// Opens connections; knows whom to trust, and the tunnels where there is no other way.
#[derive(Clone)]
pub struct Connector {
    tls: TlsConnector,
    patience: Duration,
    tunnels: Option<Arc<Tunnels>>,
    guard: Arc<Guard>,
}

impl Connector {
    /// Trusts the system's certificate authorities, or those of a file instead; connects
    /// only to what `guard` admits, and to tunnels.
    ///
    /// # Errors
    /// [`CertificateError`] where the file holds none.
    pub fn new(ca_file: Option<&Path>, guard: Arc<Guard>) -> Result<Self, CertificateError> {
        let mut roots = RootCertStore::empty();
        match ca_file {
            None => {
                // Without any, `wss://` relays fail one by one, and say so.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
            Some(path) => {
                let name = path.display().to_string();
                let certificates = CertificateDer::pem_file_iter(path)
                    .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                    .map_err(|error| CertificateError::File(name.clone(), Some(error.into())))?;
                let (added, _) = roots.add_parsable_certificates(certificates);
                if added == 0 {
                    return Err(CertificateError::File(name, None));
                }
            }
        }
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
            patience: CONNECT_PATIENCE,
            tunnels: None,
            guard,
        })
    }

    /// Connects to anything: for addresses that no other station had a say in.
    #[must_use]
    pub fn unguarded(&self) -> Self {
        Self {
            guard: Arc::new(Guard::open()),
            ..self.clone()
        }
    }

    /// The same, but waiting for nothing longer than this.
    #[must_use]
    pub fn patient(mut self, patience: Duration) -> Self {
        self.patience = patience.min(CONNECT_PATIENCE);
        self
    }

    /// How long a relay may take until a connection stands.
    pub const fn patience(&self) -> Duration {
        self.patience
    }

    /// Reaches relays behind tunnels too, through these. Whoever made them closes them.
    #[must_use]
    pub fn with_tunnels(mut self, tunnels: Arc<Tunnels>) -> Self {
        self.tunnels = Some(tunnels);
        self
    }

    /// Connects, without yet saying anything.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(&self, address: &Address) -> Result<Box<dyn Stream>, ConnectError> {
        if let Some(peer) = address.tunnel() {
            let tunnels = self.tunnels.as_ref().ok_or(TunnelError::Unwanted)?;
            let port = tunnels.port(peer).await?;
            let end = Address::on_this_machine(port);
            let connected = self.unguarded().connect_soon(&end).await;
            if connected.is_err() {
                tunnels.discard(peer, port).await;
            }
            return connected;
        }
        self.connect_soon(address).await
    }

    async fn connect_soon(&self, address: &Address) -> Result<Box<dyn Stream>, ConnectError> {
        timeout(self.patience, self.connect_patiently(address))
            .await
            .map_err(|_| ConnectError::Slow(address.authority(), self.patience))?
    }

    async fn connect_patiently(&self, address: &Address) -> Result<Box<dyn Stream>, ConnectError> {
        let name = || address.authority();
        let resolved = lookup_host((address.host(), address.port()))
            .await
            .map_err(|error| ConnectError::Tcp(name(), error))?;
        // What was judged is connected to: the name is not looked up a second time, when it
        // might lead elsewhere.
        let admitted = self
            .guard
            .admit(address, resolved.collect())
            .await
            .map_err(|(denial, socket)| match denial {
                Denial::Own => ConnectError::Own(name(), socket.ip()),
                Denial::Private => ConnectError::Private(name(), socket.ip()),
            })?;
        let tcp = TcpStream::connect(admitted.as_slice())
            .await
            .map_err(|error| ConnectError::Tcp(name(), error))?;
        // Questions are small and waited for; best effort, a socket without works too.
        let _ = tcp.set_nodelay(true);
        if !address.is_secure() {
            return Ok(Box::new(tcp));
        }
        let server = ServerName::try_from(address.host().to_owned())
            .map_err(|error| ConnectError::Tls(name(), io::Error::other(error)))?;
        let tls = self
            .tls
            .connect(server, tcp)
            .await
            .map_err(|error| ConnectError::Tls(name(), error))?;
        Ok(Box::new(tls))
    }

    /// Connects and opens a WebSocket.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn open(
        &self,
        address: &Address,
    ) -> Result<Connection<Box<dyn Stream>>, ConnectError> {
        let name = match address.tunnel() {
            Some(_) => address.to_string(),
            None => address.authority(),
        };
        let stream = self.connect(address).await?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(LONGEST_MESSAGE))
            .max_frame_size(Some(LONGEST_MESSAGE))
            .read_buffer_size(32 * 1024)
            .write_buffer_size(0);
        let opened =
            tokio_tungstenite::client_async_with_config(address.url(), stream, Some(config));
        match timeout(self.patience, opened).await {
            Ok(Ok((socket, _))) => Ok(Connection::new(socket)),
            Ok(Err(error)) => Err(ConnectError::WebSocket(name, Box::new(error))),
            Err(_) => Err(ConnectError::Slow(name, self.patience)),
        }
    }
}

/// An open WebSocket, over any stream.
#[derive(Debug)]
pub struct Connection<S> {
    socket: WebSocketStream<S>,
    traffic: Arc<Traffic>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Takes over a WebSocket.
    pub fn new(socket: WebSocketStream<S>) -> Self {
        Self {
            socket,
            traffic: Arc::default(),
        }
    }

    /// Counts what comes together with what came over other connections.
    #[must_use]
    pub fn counted_in(mut self, traffic: Arc<Traffic>) -> Self {
        self.traffic = traffic;
        self
    }

    /// How much came, and how much of it was of use.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Sends a message.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn send(&mut self, text: String) -> Result<(), ConnectionError> {
        match timeout(SEND_PATIENCE, self.socket.send(Message::text(text))).await {
            Ok(sent) => sent.map_err(broken),
            Err(_) => Err(ConnectionError::Stuck),
        }
    }

    /// The next text message, until `deadline`; `patience` is what led to it. Binary
    /// messages are passed over: nostr knows none.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn receive(
        &mut self,
        deadline: Instant,
        patience: Duration,
    ) -> Result<tokio_tungstenite::tungstenite::Utf8Bytes, ConnectionError> {
        loop {
            // One that talks without end leaves no time for the clock.
            if Instant::now() >= deadline {
                return Err(ConnectionError::Silent(patience));
            }
            let begin = Instant::now();
            let message = timeout_at(deadline, self.socket.next()).await;
            let waited = begin.elapsed();
            let Ok(message) = message else {
                self.traffic.wait(waited);
                return Err(ConnectionError::Silent(patience));
            };
            let length = match &message {
                Some(Ok(message)) => message.len() as u64,
                _ => 0,
            };
            self.traffic.receive(length, waited);
            if self.traffic.is_wasted() {
                return Err(ConnectionError::Wasteful {
                    received: self.traffic.received(),
                    useful: self.traffic.useful(),
                });
            }
            match message {
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(Message::Close(_))) | None => return Err(ConnectionError::Closed),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(broken(error)),
            }
        }
    }

    /// Says goodbye, without waiting for an answer.
    pub async fn close(mut self) {
        let _ = timeout(Duration::from_secs(1), self.socket.close(None)).await;
    }
}

fn broken(error: WebSocketError) -> ConnectionError {
    match error {
        WebSocketError::ConnectionClosed | WebSocketError::AlreadyClosed => ConnectionError::Closed,
        error => ConnectionError::Broken(Box::new(error)),
    }
}
