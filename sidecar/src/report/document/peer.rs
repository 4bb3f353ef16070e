//! [`Peer`]: what became of one peer, as the document of a run holds it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::report::document::{MOST_OF_A_REASON, by_code};
use crate::report::run_summary::Mark;
use crate::report::{OfAnyAuthor, PeerReport};
use crate::support::sanitize::for_terminal;
use crate::swarm::station_name::with_address;

/// The codes of peers that no connection is made to, as they were found not to want one.
const PASSED_OVER: [&str; 2] = ["left_alone", "wants_auth"];

/// The most characters of a URL.
const MOST_OF_A_URL: usize = 300;

/// What became of one peer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Peer {
    /// Its relay.
    pub url: String,
    /// What its station calls itself and its captain, if that is known.
    #[serde(default)]
    pub name: Option<String>,
    /// Whether everything could be had.
    pub complete: bool,
    /// Why not.
    pub failure: Option<String>,
    /// The stable word for that.
    #[serde(default)]
    pub code: Option<String>,
    /// Whether it answered at all.
    #[serde(default)]
    pub reached: bool,
    /// Events that were asked for and came.
    pub received: u64,
    /// How many events were let in that no other peer had sent before.
    pub collected: u64,
    /// How many events were not let in, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Bytes of its messages.
    pub bytes: u64,
    /// Bytes of our messages to it.
    #[serde(default)]
    pub bytes_sent: u64,
    /// How long it took.
    pub seconds: f64,
    /// Whether the peer was reconciled with (NIP-77); otherwise its events were paged through.
    pub reconciled: bool,
    /// Whether the authors were named when it was asked; else only kinds and times were.
    #[serde(default)]
    pub by_authors: bool,
    /// Kinds that it shows only to clients who say who they are (NIP-42).
    pub unreadable_kinds: Vec<u16>,
    /// What it says of itself (NIP-11) that may explain why events do not come.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// Everything that it holds of the time up to then is here; nothing if its whole history was
    /// never had.
    #[serde(default)]
    pub complete_until: Option<u64>,
    /// Since when each part of its history has been compared at least once.
    #[serde(default)]
    pub compared_since: Option<u64>,
    /// What came of it of `--any-author-kinds`; nothing if no such kinds are wanted.
    #[serde(default)]
    pub any_author: Option<AnyAuthor>,
}

impl Peer {
    /// What the report of a run says of a peer.
    pub(super) fn of(peer: &PeerReport) -> Self {
        let failure = peer.failure.as_deref();
        Self {
            url: for_terminal(&peer.address.to_string(), MOST_OF_A_URL),
            name: peer.station.as_ref().map(ToString::to_string),
            complete: peer.failure.is_none(),
            failure: failure.map(|reason| for_terminal(reason, MOST_OF_A_REASON)),
            code: peer.code.map(ToOwned::to_owned),
            // One that was cut off in the middle has not said so itself.
            reached: peer.reached || peer.counts.received > 0,
            received: peer.counts.received,
            collected: peer.counts.collected,
            refused: by_code(&peer.counts.refused),
            bytes: peer.bytes,
            bytes_sent: peer.bytes_sent,
            // Milliseconds are enough.
            seconds: (peer.seconds * 1000.0).round() / 1000.0,
            reconciled: peer.reconciled,
            by_authors: peer.by_authors,
            unreadable_kinds: peer.unreadable_kinds.clone(),
            remarks: peer.remarks.clone(),
            complete_until: peer.covered.map(|covered| covered.until),
            compared_since: peer.covered.map(|covered| covered.oldest_comparison),
            any_author: peer.of_any_author.as_ref().map(any_author),
        }
    }

    /// How it did in this run.
    pub(crate) fn mark(&self) -> Mark {
        let code = self.code.as_deref().unwrap_or_default();
        match (self.complete, self.reached) {
            (true, _) => Mark::Synced,
            (false, true) => Mark::InPart,
            (false, false) if PASSED_OVER.contains(&code) => Mark::NotAsked,
            (false, false) => Mark::NotReached,
        }
    }

    /// The peer as it is shown to people.
    pub(crate) fn shown(&self) -> String {
        with_address(self.name.as_ref(), &self.url)
    }
}

/// What came of a peer that was wanted whoever wrote it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AnyAuthor {
    /// How many events came, repetitions included.
    pub received: usize,
    /// Whether the peer may hold more than it is asked for in one run.
    pub bound_hit: bool,
    /// Why not all of it came.
    pub failure: Option<String>,
}

fn any_author(of_any_author: &OfAnyAuthor) -> AnyAuthor {
    let failure = of_any_author.failure.as_deref();
    AnyAuthor {
        received: of_any_author.received,
        bound_hit: of_any_author.is_cut,
        failure: failure.map(|reason| for_terminal(reason, MOST_OF_A_REASON)),
    }
}
