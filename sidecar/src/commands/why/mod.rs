//! `constellation-sync why`: whether an event is here ([`event`]) or a key is followed ([`key`]), why
//! not, and what to do about it. The lists, the local strfry and all peers are asked.

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
use crate::swarm::peer::Peer;

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

/// Why a text cannot be asked about: it is neither an event nor a key.
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
        if bech32.starts_with("note1") {
            text.parse().map(Self::Event).map_err(|_| NoSubject)
        } else if bech32.starts_with("nevent1") {
            EventId::of_nevent(text).map(Self::Event).ok_or(NoSubject)
        } else if bech32.starts_with("npub1") {
            key().map(Self::Key)
        } else if bech32.starts_with("nprofile1") {
            Pubkey::of_nprofile(text).map(Self::Key).ok_or(NoSubject)
        } else {
            key().map(|key| Self::Either(*key.as_bytes()))
        }
    }
}

/// What was found, as text and as JSON.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Whether the event is here, or the key is followed.
    pub is_well: bool,
    /// Lines for people, in which foreign text is already shortened.
    pub lines: Vec<String>,
    /// The answer for programs, as JSON.
    pub json: Value,
}

/// Finds the answer and writes it. Returns the exit code.
///
/// # Errors
/// [`SyncError`] if strfry or the blacklist cannot be read.
pub(crate) async fn run(
    context: &Context,
    options: &WhyOptions,
    output: &mut impl Write,
) -> Result<u8, SyncError> {
    let probe = Probe::prepare(context, options.tunnels)?;
    let answer = look_into(context, &probe, options.subject).await;
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

async fn look_into(
    context: &Context,
    probe: &Probe,
    subject: Subject,
) -> Result<Answer, SyncError> {
    match subject {
        Subject::Event(id) => event::look_into(context, probe, id).await,
        Subject::Key(key) => key::look_into(context, probe, key).await,
        Subject::Either(bytes) => {
            let key = Pubkey::from_bytes(bytes);
            if key::is_known(context, probe, &key).await? {
                key::look_into(context, probe, key).await
            } else {
                event::look_into(context, probe, EventId::from_bytes(bytes)).await
            }
        }
    }
}

/// The reply of one peer.
#[derive(Debug)]
pub(crate) struct PeerReply {
    /// The peer.
    pub peer: Peer,
    /// What came of it.
    pub reply: Reply,
}

/// What came of a peer.
#[derive(Debug)]
pub(crate) enum Reply {
    /// The peer is behind a tunnel, and tunnels are not wanted.
    NotAsked,
    /// The peer did not answer.
    Failed {
        /// The stable word for the reason.
        code: &'static str,
        /// The reason in words.
        reason: String,
    },
    /// The events that the peer sent, as JSON.
    Events(Vec<String>),
}

/// Asks all peers at once.
pub(crate) async fn ask_all(probe: &Probe, filter: &Value) -> Vec<PeerReply> {
    let asking = probe.peers.iter().map(async |peer| {
        let reply = if !probe.may_ask(peer) {
            Reply::NotAsked
        } else {
            match probe::ask(filter, &peer.address, &probe.connector).await {
                Ok(events) => Reply::Events(events),
                Err(error) => Reply::Failed {
                    code: error.code(),
                    reason: for_terminal(&chain(&error), LONGEST),
                },
            }
        };
        let peer = peer.clone();
        PeerReply { peer, reply }
    });
    join_all(asking).await
}

/// What is found while the replies are looked through: lines for people, and the peers as JSON.
struct Findings {
    lines: Vec<String>,
    peers: Vec<Value>,
}

impl Findings {
    fn beginning_with(line: String) -> Self {
        Self {
            lines: vec![line],
            peers: Vec::new(),
        }
    }

    /// Adds what one peer's reply means: a line that begins with the peer, and fields of its JSON.
    fn add_peer(&mut self, peer: &Peer, words: &str, mut json: Value) {
        self.lines.push(format!("  {} {words}", peer.shown()));
        if let Some(fields) = json.as_object_mut() {
            fields.insert("url".to_owned(), peer.url().into());
            let name = peer.station.as_ref().map(ToString::to_string);
            fields.insert("name".to_owned(), name.into());
        }
        self.peers.push(json);
    }

    /// The events that a peer sent. If there is no reply with events, that is noted instead.
    fn events_of<'a>(&mut self, reply: &'a PeerReply) -> Option<&'a [String]> {
        let peer = &reply.peer;
        match &reply.reply {
            Reply::Events(events) => return Some(events),
            Reply::NotAsked => self.add_peer(
                peer,
                "is behind a tunnel, and was not asked (--tunnels asks)",
                json!({"has": null, "code": "tunnel_unwanted"}),
            ),
            Reply::Failed { code, reason } => self.add_peer(
                peer,
                &format!("did not answer: {reason} [{code}]"),
                json!({"has": null, "code": code, "failure": reason}),
            ),
        }
        None
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
