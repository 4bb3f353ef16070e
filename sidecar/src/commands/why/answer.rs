//! [`Answer`]: what `why` tells of a subject, and the peers that are asked for it.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::commands::probe::{self, Probe};
use crate::support::error_chain::chain;
use crate::support::sanitize::for_terminal;
use crate::swarm::peer::Peer;

/// How much of a foreign text is shown, in characters.
const LONGEST: usize = 300;

/// What was found, as text and as JSON.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The exit code: 0 if all is well with it, 1 if not, 2 if it is not known what was meant.
    pub exit_code: u8,
    /// Whether anybody knows of it.
    pub is_known: bool,
    /// Lines for people, in which foreign text is already shortened.
    pub lines: Vec<String>,
    /// The answer for programs, as JSON.
    pub json: Value,
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
    ask(probe, filter, probe.peers.iter()).await
}

/// Asks these peers at once.
pub(crate) async fn ask(
    probe: &Probe,
    filter: &Value,
    peers: impl Iterator<Item = &Peer>,
) -> Vec<PeerReply> {
    let asking = peers.map(async |peer| {
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
pub(crate) struct Findings {
    /// Lines for people, in which foreign text is already shortened.
    pub lines: Vec<String>,
    /// The peers as JSON.
    pub peers: Vec<Value>,
}

impl Findings {
    /// Findings whose first line says what was understood.
    pub(crate) fn beginning_with(line: String) -> Self {
        Self {
            lines: vec![line],
            peers: Vec::new(),
        }
    }

    /// Adds what one peer's reply means: a line that begins with the peer, and fields of its JSON.
    pub(crate) fn add_peer(&mut self, peer: &Peer, words: &str, mut json: Value) {
        self.lines.push(format!("  {} {words}", peer.shown()));
        if let Some(fields) = json.as_object_mut() {
            fields.insert("url".to_owned(), peer.url().into());
            let name = peer.station.as_ref().map(ToString::to_string);
            fields.insert("name".to_owned(), name.into());
        }
        self.peers.push(json);
    }

    /// The events that a peer sent. If there is no reply with events, that is noted instead.
    pub(crate) fn events_of<'a>(&mut self, reply: &'a PeerReply) -> Option<&'a [String]> {
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
