//! What a relay tells about itself: the NIP-11 document.
//!
//! It may be missing, endless, slow or a lie. What it says of limits is a hint that makes
//! the first question fit; nothing is taken as had because of it.

use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::timeout;

use crate::relay::address::Address;
use crate::relay::connection::{ConnectError, Connector};
use crate::support::sanitize::for_terminal;

/// The longest document that is read, in bytes.
const LONGEST: usize = 128 * 1024;

/// How much of the name and version of its software is kept, in characters.
const MOST_OF_SOFTWARE: usize = 100;

/// How long the document may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A relay's limits, where it tells them (NIP-11, `limitation`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Information {
    /// Events for one filter (`max_limit`).
    pub max_limit: Option<u64>,
    /// Bytes of one message of ours (`max_message_length`).
    pub max_message_length: Option<u64>,
    /// Subscriptions open at once (`max_subscriptions`).
    pub max_subscriptions: Option<u64>,
    /// Whether it speaks NIP-77 (`negentropy`, or 77 among `supported_nips`).
    pub negentropy: bool,
    /// Its software and version, as it calls itself.
    pub software: Option<String>,
}

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub enum InformationError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The document did not come in time.
    #[error("no NIP-11 document within {} s", .0.as_secs())]
    Slow(Duration),
    /// HTTP went wrong.
    #[error("no NIP-11 document")]
    Http(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another answer than 200.
    #[error("no NIP-11 document: HTTP {0}")]
    Status(StatusCode),
    /// The document is no JSON object.
    #[error("the NIP-11 document is not JSON")]
    Json,
}

impl Information {
    /// Reads a document. Fields that are missing or of another type count as not told.
    pub fn parse(json: &[u8]) -> Option<Self> {
        let document: Value = serde_json::from_slice(json).ok()?;
        document.as_object()?;
        let limit = |name: &str| {
            let value = document.pointer(&format!("/limitation/{name}"))?;
            value.as_u64().filter(|&value| value > 0)
        };
        let nips = document.get("supported_nips").and_then(Value::as_array);
        let lists_77 = nips.is_some_and(|nips| nips.iter().any(|nip| nip.as_u64() == Some(77)));
        let spoken = document.get("negentropy").is_some_and(|value| {
            value.as_u64().is_some_and(|version| version > 0) || value.as_bool() == Some(true)
        });
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        let software = text("software").map(|software| {
            let words = format!("{software} {}", text("version").unwrap_or_default());
            for_terminal(&words, MOST_OF_SOFTWARE)
        });
        Some(Self {
            max_limit: limit("max_limit"),
            max_message_length: limit("max_message_length"),
            max_subscriptions: limit("max_subscriptions"),
            negentropy: spoken || lists_77,
            software,
        })
    }

    /// Asks a relay for its document, over a connection of its own.
    ///
    /// # Errors
    /// [`InformationError`]; [`InformationError::Connect`] says that the relay cannot be
    /// reached at all.
    pub async fn fetch(address: &Address, connector: &Connector) -> Result<Self, InformationError> {
        let (information, _) = Self::fetch_dated(address, connector).await?;
        Ok(information)
    }

    /// The same, with the `Date` that came with it (RFC 9110, 6.6.1): strfry sends none, the
    /// proxies before it do.
    ///
    /// # Errors
    /// Those of [`Information::fetch`].
    pub async fn fetch_dated(
        address: &Address,
        connector: &Connector,
    ) -> Result<(Self, Option<String>), InformationError> {
        let stream = connector.connect(address).await?;
        let patience = PATIENCE.min(connector.patience());
        let fetched = timeout(patience, async {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream))
                    .await
                    .map_err(|error| InformationError::Http(error.into()))?;
            let claims = async {
                let request = Request::get(address.path())
                    .header(header::HOST, address.authority())
                    .header(header::ACCEPT, "application/nostr+json")
                    .header(header::CONNECTION, "close")
                    .body(Empty::<Bytes>::new())
                    .map_err(|error| InformationError::Http(error.into()))?;
                let response = sender
                    .send_request(request)
                    .await
                    .map_err(|error| InformationError::Http(error.into()))?;
                if response.status() != StatusCode::OK {
                    return Err(InformationError::Status(response.status()));
                }
                let date = response.headers().get(header::DATE);
                let date = date.and_then(|date| date.to_str().ok().map(ToOwned::to_owned));
                let body = Limited::new(response.into_body(), LONGEST).collect().await;
                let body = body.map_err(InformationError::Http)?.to_bytes();
                let information = Self::parse(&body).ok_or(InformationError::Json)?;
                Ok((information, date))
            };
            tokio::pin!(claims);
            // The connection only moves while somebody asks it to.
            tokio::select! {
                result = &mut claims => result,
                _ = connection => claims.await,
            }
        });
        fetched
            .await
            .map_err(|_| InformationError::Slow(patience))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_where_they_are_told() {
        let strfry = br#"{"limitation":{"max_limit":500,"max_message_length":131072,"max_subscriptions":200},"negentropy":1,"software":"strfry","version":"1.1.0","supported_nips":[1,2]}"#;
        assert_eq!(
            Information::parse(strfry),
            Some(Information {
                max_limit: Some(500),
                max_message_length: Some(131_072),
                max_subscriptions: Some(200),
                negentropy: true,
                software: Some("strfry 1.1.0".to_owned()),
            })
        );
        let lies = br#"{"limitation":{"max_limit":"500","max_message_length":-1,"max_subscriptions":0},"negentropy":0,"supported_nips":[77]}"#;
        assert_eq!(
            Information::parse(lies),
            Some(Information {
                negentropy: true,
                ..Information::default()
            })
        );
        for nothing in ["", "[]", "null", "<html>"] {
            assert_eq!(Information::parse(nothing.as_bytes()), None, "{nothing}");
        }
    }
}
