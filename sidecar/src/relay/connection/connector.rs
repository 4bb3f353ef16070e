//! [`Connector`]: opens TCP, TLS and WebSocket connections, within a timeout for each step.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_tungstenite::tungstenite::Error as WebSocketError;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::USER_AGENT as USER_AGENT_HEADER;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::error::{ConnectError, ConnectorError};
use super::names::Names;
use super::proxy::{Lookup, Proxies, Proxy, is_onion};
use super::stream::Stream;
use super::watched::Watched;
use super::web_socket::Connection;
use super::{dial, tls};
use crate::relay::address::Address;
use crate::relay::guard::{Denial, Denied, Guard};
use crate::relay::http_answer::{MOST_REDIRECTS, USER_AGENT, elsewhere, is_busy, retry_after};
use crate::relay::oversize::Skipping;
use crate::relay::tunnel::TunnelError;
use crate::relay::tunnel::tunnels::Tunnels;

/// The longest time for DNS, TCP and TLS together, and again for the WebSocket handshake.
const CONNECT_PATIENCE: Duration = Duration::from_secs(15);

/// The longest message that is accepted, in bytes. strfry sends up to 1 MB (a reconciliation
/// message in hex); the longest events that any relay is known to store have 2 MB.
const LONGEST_MESSAGE: usize = 4 * 1024 * 1024;

/// Opens connections to relays, through tunnels if there is no other way, and through the proxies
/// that the environment names.
#[derive(Clone)]
pub struct Connector {
    tls: TlsConnector,
    patience: Duration,
    tunnels: Option<Arc<Tunnels>>,
    proxies: Arc<Proxies>,
    guard: Arc<Guard>,
    names: Arc<Names>,
    /// Whether it follows redirects. Without a guard, they could lead anywhere.
    follows: bool,
}

/// Why a WebSocket did not open.
enum Unopened {
    /// It cannot be opened.
    Failed(ConnectError),
    /// A web server says that the relay is at this `Location`.
    Elsewhere(String),
}

impl From<ConnectError> for Unopened {
    fn from(error: ConnectError) -> Self {
        Self::Failed(error)
    }
}

impl Connector {
    /// A connector that trusts the system's certificate authorities, or the certificates in
    /// `ca_file` instead. It connects only to addresses that `guard` admits, and to tunnels.
    ///
    /// # Errors
    /// [`ConnectorError`] if the file holds no certificate, or a proxy in the environment is not
    /// understood.
    pub fn new(ca_file: Option<&Path>, guard: Arc<Guard>) -> Result<Self, ConnectorError> {
        Ok(Self {
            tls: tls::connector(ca_file)?,
            patience: CONNECT_PATIENCE,
            tunnels: None,
            proxies: Arc::new(Proxies::from_env()?),
            guard,
            names: Arc::default(),
            follows: true,
        })
    }

    /// Where this connector may lead.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// This connector without a guard, for addresses that no other station chose.
    #[must_use]
    pub fn unguarded(&self) -> Self {
        Self {
            guard: Arc::new(Guard::open()),
            follows: false,
            ..self.clone()
        }
    }

    /// This connector with a shorter timeout for each step.
    #[must_use]
    pub fn patient(mut self, patience: Duration) -> Self {
        self.patience = patience.min(CONNECT_PATIENCE);
        self
    }

    /// The timeout for each step of connecting.
    pub const fn patience(&self) -> Duration {
        self.patience
    }

    /// This connector with tunnels, which the caller closes at the end.
    #[must_use]
    pub fn with_tunnels(mut self, tunnels: Arc<Tunnels>) -> Self {
        self.tunnels = Some(tunnels);
        self
    }

    /// Opens a TCP or TLS connection.
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
        let stream = match self.proxies.of(address) {
            Some(proxy) => self.connect_through(&proxy, address).await?,
            None => self.connect_directly(address).await?,
        };
        if !address.is_secure() {
            return Ok(stream);
        }
        self.encrypt(address.host(), address.authority(), stream)
            .await
    }

    async fn connect_directly(&self, address: &Address) -> Result<Box<dyn Stream>, ConnectError> {
        if is_onion(address.host()) {
            return Err(ConnectError::Onion(address.authority()));
        }
        // The connection goes to the addresses that were judged. A second lookup of the name
        // might lead elsewhere.
        let admitted = self.look_up(address).await?;
        let tcp = dial::dial(&admitted).await.map_err(|error| {
            self.names.forget(address.host(), address.port());
            ConnectError::Tcp(address.authority(), error)
        })?;
        Ok(ready(tcp))
    }

    /// The IP addresses of a relay, as far as we may connect to them.
    async fn look_up(&self, address: &Address) -> Result<Vec<SocketAddr>, ConnectError> {
        let resolved = self.names.look_up(address.host(), address.port());
        let resolved = resolved
            .await
            .map_err(|error| ConnectError::Tcp(address.authority(), error))?;
        let admitted = self.guard.admit(address, resolved).await;
        admitted.map_err(|Denied { denial, ip }| denied(denial, address, ip.to_string()))
    }

    /// Connects through a proxy. If that looks up the name, only the name can be judged here.
    async fn connect_through(
        &self,
        proxy: &Proxy,
        address: &Address,
    ) -> Result<Box<dyn Stream>, ConnectError> {
        let resolved = match proxy.lookup(address) {
            Lookup::Here => self.look_up(address).await?.first().copied(),
            Lookup::AtProxy => match self.guard.judge_literally(address) {
                None => None,
                Some(denial) => return Err(denied(denial, address, address.host().to_owned())),
            },
        };
        let (host, port) = proxy.host();
        let failed = |error| ConnectError::Proxy {
            proxy: format!("{host}:{port}"),
            relay: address.authority(),
            error,
        };
        let addresses = self.names.look_up(host, port).await;
        let addresses = addresses.map_err(|error| failed(error.into()))?;
        let tcp = dial::dial(&addresses).await.map_err(|error| {
            self.names.forget(host, port);
            failed(error.into())
        })?;
        let mut stream = ready(tcp);
        if proxy.is_secure() {
            stream = self.encrypt(host, format!("{host}:{port}"), stream).await?;
        }
        let connected = proxy.connect(stream, address, resolved).await;
        connected.map_err(failed)
    }

    async fn encrypt(
        &self,
        host: &str,
        name: String,
        stream: Box<dyn Stream>,
    ) -> Result<Box<dyn Stream>, ConnectError> {
        let server = match ServerName::try_from(host.to_owned()) {
            Ok(server) => server,
            Err(error) => return Err(ConnectError::Tls(name, io::Error::other(error))),
        };
        match self.tls.connect(server, stream).await {
            Ok(tls) => Ok(Box::new(tls)),
            Err(error) => Err(ConnectError::Tls(name, error)),
        }
    }

    /// Connects and does the WebSocket handshake. Follows a few redirects, as far as the guard
    /// admits where they lead, and never out of encryption.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn open(
        &self,
        address: &Address,
    ) -> Result<Connection<Box<dyn Stream>>, ConnectError> {
        let mut address = address.clone();
        for _ in 0..=MOST_REDIRECTS {
            match self.open_there(&address).await {
                Ok(connection) => return Ok(connection),
                Err(Unopened::Failed(error)) => return Err(error),
                Err(Unopened::Elsewhere(location)) => address = self.follow(&address, &location)?,
            }
        }
        let why = "more than three times in a row";
        Err(ConnectError::Redirect(address.authority(), why))
    }

    /// The address to which a web server leads.
    ///
    /// # Errors
    /// [`ConnectError::Redirect`] if it is not followed there.
    pub(crate) fn follow(
        &self,
        address: &Address,
        location: &str,
    ) -> Result<Address, ConnectError> {
        let led_to = address.led_to(location).filter(|_| self.follows);
        let why = "to no relay that could be asked instead";
        led_to.ok_or_else(|| ConnectError::Redirect(address.authority(), why))
    }

    async fn open_there(&self, address: &Address) -> Result<Connection<Box<dyn Stream>>, Unopened> {
        let name = match address.tunnel() {
            Some(_) => address.to_string(),
            None => address.authority(),
        };
        let stream = self.connect(address).await?;
        let stream: Box<dyn Stream> = Box::new(Skipping::new(stream, LONGEST_MESSAGE));
        let config = WebSocketConfig::default()
            .max_message_size(Some(LONGEST_MESSAGE))
            .max_frame_size(Some(LONGEST_MESSAGE))
            .read_buffer_size(32 * 1024)
            .write_buffer_size(0);
        let web_socket = |error| ConnectError::WebSocket(name.clone(), Box::new(error));
        let mut request = address.url().into_client_request().map_err(web_socket)?;
        let user_agent = HeaderValue::from_static(USER_AGENT);
        request.headers_mut().insert(USER_AGENT_HEADER, user_agent);
        let opened = tokio_tungstenite::client_async_with_config(request, stream, Some(config));
        match timeout(self.patience, opened).await {
            Ok(Ok((socket, _))) => Ok(Connection::new(socket)),
            Ok(Err(WebSocketError::Http(response)))
                if let Some(location) = elsewhere(response.status(), response.headers()) =>
            {
                Err(Unopened::Elsewhere(location))
            }
            Ok(Err(WebSocketError::Http(response))) if is_busy(response.status()) => {
                Err(Unopened::Failed(ConnectError::Busy {
                    relay: name,
                    status: response.status().as_u16(),
                    wait: retry_after(response.headers()),
                }))
            }
            Ok(Err(error)) => Err(web_socket(error).into()),
            Err(_) => Err(ConnectError::Slow(name, self.patience).into()),
        }
    }
}

/// A stream over a new TCP connection.
fn ready(tcp: TcpStream) -> Box<dyn Stream> {
    // Our messages are small and we wait for the replies. If this fails, it is only slower.
    let _ = tcp.set_nodelay(true);
    match tcp.local_addr() {
        Ok(own) if !own.ip().is_loopback() => Box::new(Watched::new(tcp, own.ip())),
        _ => Box::new(tcp),
    }
}

fn denied(denial: Denial, address: &Address, leads_to: String) -> ConnectError {
    match denial {
        Denial::Own => ConnectError::Own(address.authority(), leads_to),
        Denial::Private => ConnectError::Private(address.authority(), leads_to),
    }
}
