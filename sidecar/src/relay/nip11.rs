//! [`Information`]: a relay's NIP-11 document.
//!
//! The document may be missing, endless, slow or wrong. Its limits are only a hint that makes our
//! first subscriptions fit; no event counts as received because of them.

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
use crate::relay::http_answer::{MOST_REDIRECTS, USER_AGENT, elsewhere};
use crate::relay::identity::RelayIdentity;
use crate::support::sanitize::for_terminal;

/// The longest NIP-11 document that is read, in bytes.
const LONGEST: usize = 128 * 1024;

/// How much of the name and version of a relay's software is kept, in characters.
const MOST_OF_SOFTWARE: usize = 100;

/// The timeout for fetching the document.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a relay publishes of its limits and its software (NIP-11).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Information {
    /// The most events for one filter (`max_limit`).
    pub max_limit: Option<u64>,
    /// The longest message from us, in bytes (`max_message_length`).
    pub max_message_length: Option<u64>,
    /// The most subscriptions that may be open at once (`max_subscriptions`).
    pub max_subscriptions: Option<u64>,
    /// Whether the relay supports NIP-77 (`negentropy`, or 77 among `supported_nips`).
    pub negentropy: bool,
    /// The name and version of its software, as the relay gives them.
    pub software: Option<String>,
    /// What else it says that may explain why events do not come. None of it changes what is asked:
    /// relays say it that do not keep to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// What the relay calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<RelayIdentity>,
}

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub enum InformationError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The document did not come in time.
    #[error("no NIP-11 document within {} s", .0.as_secs())]
    Slow(Duration),
    /// HTTP failed.
    #[error("no NIP-11 document")]
    Http(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The HTTP status was not 200.
    #[error("no NIP-11 document: HTTP {0}")]
    Status(StatusCode),
    /// A web server says that it is at this `Location`.
    #[error("no NIP-11 document: it is at {0}")]
    Elsewhere(String),
    /// A web server leads to nothing that may be asked for it, or that answers.
    #[error("no NIP-11 document: a redirect leads to nothing")]
    Astray,
    /// The document is no JSON object.
    #[error("the NIP-11 document is not JSON")]
    Json,
}

impl Information {
    /// Reads a document; `None` if it is no JSON object. Fields of the wrong type count as
    /// missing.
    pub fn parse(json: &[u8]) -> Option<Self> {
        let document: Value = serde_json::from_slice(json).ok()?;
        document.as_object()?;
        let limitation = |name: &str| document.pointer(&format!("/limitation/{name}"));
        let limit = |name: &str| limitation(name).and_then(number);
        let nips = document.get("supported_nips").and_then(Value::as_array);
        let lists_77 = nips.is_some_and(|nips| nips.iter().any(|nip| number(nip) == Some(77)));
        let negentropy = document.get("negentropy");
        let spoken = negentropy.is_some_and(|value| is_true(value) || number(value).is_some());
        let remarks = [
            (
                limitation("auth_required").is_some_and(is_true),
                "it answers only clients who say who they are (auth_required)",
            ),
            (
                limitation("payment_required").is_some_and(is_true),
                "it wants to be paid (payment_required)",
            ),
            (
                limitation("restricted_writes").is_some_and(is_true),
                "it lets not everyone write (restricted_writes)",
            ),
            (
                limit("created_at_lower_limit").is_some(),
                "it takes no old events (created_at_lower_limit)",
            ),
            (
                document.get("retention").is_some_and(is_filled),
                "it keeps some events only for a while (retention)",
            ),
        ];
        let remarks = remarks.into_iter().filter(|(is_said, _)| *is_said);
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        let software = text("software").map(|software| {
            let name = format!("{software} {}", text("version").unwrap_or_default());
            for_terminal(&name, MOST_OF_SOFTWARE)
        });
        Some(Self {
            max_limit: limit("max_limit"),
            max_message_length: limit("max_message_length"),
            max_subscriptions: limit("max_subscriptions"),
            negentropy: spoken || lists_77,
            software,
            identity: RelayIdentity::new(text("name"), text("pubkey")),
            remarks: remarks.map(|(_, remark)| remark.to_owned()).collect(),
        })
    }

    /// Fetches a relay's document over a separate connection.
    ///
    /// # Errors
    /// [`InformationError`]. It is [`InformationError::Connect`] if the relay cannot be reached at
    /// all.
    pub async fn fetch(address: &Address, connector: &Connector) -> Result<Self, InformationError> {
        let (information, _) = Self::fetch_dated(address, connector).await?;
        Ok(information)
    }

    /// Fetches a relay's document together with the HTTP header `Date` (RFC 9110, 6.6.1), which
    /// strfry does not send but proxies in front of it do.
    ///
    /// # Errors
    /// [`InformationError`].
    pub async fn fetch_dated(
        address: &Address,
        connector: &Connector,
    ) -> Result<(Self, Option<String>), InformationError> {
        let mut led_to = None;
        for _ in 0..=MOST_REDIRECTS {
            let there = led_to.as_ref().unwrap_or(address);
            let location = match Self::fetch_there(there, connector).await {
                Err(InformationError::Elsewhere(location)) => location,
                // The relay itself was reached.
                Err(InformationError::Connect(_)) if led_to.is_some() => break,
                fetched => return fetched,
            };
            match connector.follow(there, &location) {
                Ok(address) => led_to = Some(address),
                Err(_) => break,
            }
        }
        Err(InformationError::Astray)
    }

    async fn fetch_there(
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
                    .header(header::USER_AGENT, USER_AGENT)
                    .header(header::CONNECTION, "close")
                    .body(Empty::<Bytes>::new())
                    .map_err(|error| InformationError::Http(error.into()))?;
                let response = sender
                    .send_request(request)
                    .await
                    .map_err(|error| InformationError::Http(error.into()))?;
                if let Some(location) = elsewhere(response.status(), response.headers()) {
                    return Err(InformationError::Elsewhere(location));
                }
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
            // The connection only makes progress while it is polled.
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

/// A positive number, also as text; of several, such as one for each kind, the smallest.
fn number(value: &Value) -> Option<u64> {
    let number = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Object(numbers) => numbers.values().filter_map(number).min(),
        Value::Array(numbers) => numbers.iter().filter_map(number).min(),
        Value::Null | Value::Bool(_) => None,
    };
    number.filter(|number| *number > 0)
}

fn is_true(value: &Value) -> bool {
    value.as_bool() == Some(true) || value.as_str() == Some("true")
}

fn is_filled(value: &Value) -> bool {
    value.as_array().is_some_and(|list| !list.is_empty())
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
                identity: None,
                remarks: Vec::new(),
            })
        );
        let lies = br#"{"limitation":{"max_limit":"no","max_message_length":-1,"max_subscriptions":0},"negentropy":0,"supported_nips":[77]}"#;
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

    #[test]
    fn limits_are_read_as_texts_and_for_each_kind() {
        let odd = br#"{"limitation":{"max_limit":{"1":"300","7":200,"0":-1},"max_message_length":" 65536 ","max_subscriptions":[20,"10"]},"negentropy":"1","supported_nips":["1"]}"#;
        let information = Information::parse(odd).unwrap();
        let limits = (
            information.max_limit,
            information.max_message_length,
            information.max_subscriptions,
        );
        assert_eq!(limits, (Some(200), Some(65_536), Some(10)));
        assert!(information.negentropy);
    }

    #[test]
    fn what_may_explain_missing_events_is_kept() {
        let remarks = |json: &str| Information::parse(json.as_bytes()).unwrap().remarks;
        let all = remarks(
            r#"{"limitation":{"auth_required":true,"payment_required":"true","restricted_writes":true,"created_at_lower_limit":31536000},"retention":[{"kinds":[1],"time":3600}]}"#,
        );
        assert_eq!(all.len(), 5, "{all:?}");
        let none = r#"{"limitation":{"auth_required":false,"payment_required":0,"created_at_lower_limit":0},"retention":[]}"#;
        assert_eq!(remarks(none), <[String; 0]>::default());
    }
}
