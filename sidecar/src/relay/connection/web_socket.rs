//! [`Connection`]: an open WebSocket to a relay, with a timeout for each wait.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Bytes, Error as WebSocketError, Message};

use super::error::{ConnectionError, SEND_PATIENCE};
use crate::relay::traffic::Traffic;

/// An open WebSocket, over any stream.
#[derive(Debug)]
pub struct Connection<S> {
    socket: WebSocketStream<S>,
    traffic: Arc<Traffic>,
    heard_at: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// A connection over an open WebSocket.
    pub fn new(socket: WebSocketStream<S>) -> Self {
        Self {
            socket,
            traffic: Arc::default(),
            heard_at: Instant::now(),
        }
    }

    /// Counts the traffic together with that of the peer's other connections.
    #[must_use]
    pub fn counted_in(mut self, traffic: Arc<Traffic>) -> Self {
        self.traffic = traffic;
        self
    }

    /// Counts the traffic from now on here.
    pub(crate) fn count_in(&mut self, traffic: Arc<Traffic>) {
        self.traffic = traffic;
    }

    /// When the relay last sent anything, be it the answer to a ping.
    pub(crate) const fn heard_at(&self) -> Instant {
        self.heard_at
    }

    /// Asks the relay for a sign of life (RFC 6455, 5.5.2).
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub(crate) async fn ping(&mut self) -> Result<(), ConnectionError> {
        let ping = Message::Ping(Bytes::new());
        match timeout(SEND_PATIENCE, self.socket.send(ping)).await {
            Ok(sent) => sent.map_err(broken),
            Err(_) => Err(ConnectionError::Stuck),
        }
    }

    /// How much arrived, and how much of it was of use.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Sends a message.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn send(&mut self, text: String) -> Result<(), ConnectionError> {
        self.traffic.send(text.len() as u64);
        match timeout(SEND_PATIENCE, self.socket.send(Message::text(text))).await {
            Ok(sent) => sent.map_err(broken),
            Err(_) => Err(ConnectionError::Stuck),
        }
    }

    /// Waits for the next text message until `deadline`. `patience` is the timeout that led to the
    /// deadline, and is named in the error. Binary messages are skipped, since nostr has none.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn receive(
        &mut self,
        deadline: Instant,
        patience: Duration,
    ) -> Result<tokio_tungstenite::tungstenite::Utf8Bytes, ConnectionError> {
        loop {
            // A relay that never stops sending would otherwise keep the timeout from firing.
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
            self.heard_at = Instant::now();
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

    /// Sends a close frame, without waiting for the reply.
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
