//! `constellation-sync why`: what is known of an event ([`event`]) or of a key ([`key`]),
//! here and at the peers, and what would be done about it.

pub(crate) mod event;
pub(crate) mod key;

use std::io::Write;
use std::str::FromStr;

use clap::Args;
use clap::builder::BoolishValueParser;
use constellation_shared::{EventId, Pubkey};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::commands::error::SyncError;
use crate::commands::probe::{self, Probe};
use crate::context::Context;
use crate::support::error_chain::chain;
use crate::support::sanitize::{escaped_json, for_terminal};

/// The layout of the JSON: fields are added to it, none changes its meaning.
const SCHEMA: u32 = 1;

/// How much of a foreign text is shown, in characters.
const LONGEST: usize = 300;

/// Explain whether an event is here or a key followed, and why not
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Nothing is changed. 64 hex digits are taken for a key if the lists or the local
strfry know such a key, else for an event.

Examples:
  constellation-sync why note1…    which peers have it, and would it be let in?
  constellation-sync why npub1…    is it followed, and which list names it?
  constellation-sync why 3bf0c63f… --json

Exit code: 0 if the event is here or the key is followed, else 1.")]
pub struct WhyOptions {
    /// An event (note1…, nevent1…), a key (npub1…, nprofile1…), or 64 hex digits of either
    #[arg(value_name = "EVENT_ID|KEY")]
    pub subject: Subject,
    /// Ask peers behind IPFS tunnels, too; the tunnels are closed again
    #[arg(long, env = "CONSTELLATION_TUNNELS", value_parser = BoolishValueParser::new())]
    pub tunnels: bool,
}

/// What is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// An event.
    Event(EventId),
    /// A key.
    Key(Pubkey),
    /// 32 bytes, which may be either.
    Either([u8; 32]),
}

/// A text is neither an event nor a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither 64 hex digits nor note1…, nevent1…, npub1… or nprofile1…")]
pub struct NoSubject;

impl FromStr for Subject {
    type Err = NoSubject;

    fn from_str(text: &str) -> Result<Self, NoSubject> {
        let text = text.trim();
        // NIP-21
        let text = text.strip_prefix("nostr:").unwrap_or(text);
        let bech32 = text.to_ascii_lowercase();
        let key = || text.parse::<Pubkey>().map_err(|_| NoSubject);
        match () {
            () if bech32.starts_with("note1") => {
                text.parse().map(Self::Event).map_err(|_| NoSubject)
            }
            () if bech32.starts_with("nevent1") => {
                EventId::of_nevent(text).map(Self::Event).ok_or(NoSubject)
            }
            () if bech32.starts_with("npub1") => key().map(Self::Key),
            () if bech32.starts_with("nprofile1") => {
                Pubkey::of_nprofile(text).map(Self::Key).ok_or(NoSubject)
            }
            () => key().map(|key| Self::Either(*key.as_bytes())),
        }
    }
}

/// What was found, as text and as JSON.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Whether all is as one would like it: it is here, or it is followed.
    pub is_well: bool,
    /// Lines for people; foreign text in them is shortened already.
    pub lines: Vec<String>,
    /// The answer for programs, as JSON.
    pub json: Value,
}

/// Finds out, and writes it; the exit code.
///
/// # Errors
/// [`SyncError`] where strfry or the blacklist cannot be read.
pub(crate) async fn run(
    context: &Context,
    options: &WhyOptions,
    output: &mut impl Write,
) -> Result<u8, SyncError> {
    let probe = Probe::prepare(context, options.tunnels)?;
    let answer = match options.subject {
        Subject::Event(id) => event::look_into(context, &probe, id).await,
        Subject::Key(key) => key::look_into(context, &probe, key).await,
        Subject::Either(bytes) => {
            let key = Pubkey::from_bytes(bytes);
            match key::is_known(context, &probe, &key).await {
                Ok(true) => key::look_into(context, &probe, key).await,
                Ok(false) => event::look_into(context, &probe, EventId::from_bytes(bytes)).await,
                Err(error) => Err(error),
            }
        }
    };
    probe.close().await;
    let answer = answer?;
    let exit_code = u8::from(!answer.is_well);
    if context.options.json {
        let mut json = answer.json;
        if let Some(fields) = json.as_object_mut() {
            fields.insert("schema".to_owned(), SCHEMA.into());
            fields.insert("exit_code".to_owned(), exit_code.into());
        }
        writeln!(output, "{}", escaped_json(&json.to_string()))?;
    } else {
        for line in answer.lines {
            writeln!(output, "{line}")?;
        }
    }
    Ok(exit_code)
}

/// The reply of one peer: the events that it sent, or a code and the reason; `None` if the peer
/// was not asked.
#[derive(Debug)]
pub(crate) struct Heard {
    /// The URL of the peer.
    pub peer: String,
    /// Its answer.
    pub said: Option<Result<Vec<String>, (&'static str, String)>>,
}

/// Asks all peers at once.
pub(crate) async fn ask_all(probe: &Probe, filter: &Value) -> Vec<Heard> {
    let asking = probe.peers.iter().map(async |peer| {
        let said = if probe.may_ask(peer) {
            let said = probe::ask(filter, &peer.address, &probe.connector).await;
            Some(said.map_err(|error| (error.code(), for_terminal(&chain(&error), LONGEST))))
        } else {
            None
        };
        let peer = peer.address.to_string();
        Heard { peer, said }
    });
    join_all(asking).await
}

impl Heard {
    /// A line and JSON for a peer that did not answer; none for one that did.
    pub(crate) fn silence(&self) -> Option<(String, Value)> {
        let peer = &self.peer;
        match &self.said {
            None => Some((
                format!("  {peer} is behind a tunnel, and was not asked (--tunnels asks)"),
                json!({"url": peer, "has": null, "code": "tunnel_unwanted"}),
            )),
            Some(Err((code, why))) => Some((
                format!("  {peer} did not tell: {why} [{code}]"),
                json!({"url": peer, "has": null, "code": code, "failure": why}),
            )),
            Some(Ok(_)) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_understood() {
        let bytes = [7; 32];
        let (id, key) = (EventId::from_bytes(bytes), Pubkey::from_bytes(bytes));
        for (text, subject) in [
            (id.to_bech32(), Subject::Event(id)),
            (format!("nostr:{}", id.to_bech32()), Subject::Event(id)),
            (key.to_bech32(), Subject::Key(key)),
            (key.to_hex(), Subject::Either(bytes)),
            (key.to_hex().to_uppercase(), Subject::Either(bytes)),
        ] {
            assert_eq!(text.parse(), Ok(subject), "{text}");
        }
        for nothing in [
            "",
            "note1x",
            "nevent1x",
            "npub1x",
            "nprofile1",
            "nsec1x",
            "07",
        ] {
            assert_eq!(nothing.parse::<Subject>(), Err(NoSubject), "{nothing}");
        }
    }
}
