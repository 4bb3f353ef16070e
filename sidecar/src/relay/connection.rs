//! Connections to relays: [`Connector`] opens them, [`Connection`] is one, with limits on the size of
//! messages and on every wait.

mod connector;
mod dial;
mod error;
mod names;
mod proxy;
mod stream;
mod tls;
mod watched;
mod web_socket;

pub use connector::Connector;
pub(crate) use error::{ConnectError, ConnectionError, ConnectorError, NO_WEBSOCKET, OWN_RELAY};
pub(crate) use stream::Stream;
pub use web_socket::Connection;
