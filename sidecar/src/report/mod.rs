//! What a run reports: the lines that the station's scripts read ([`lines`], [`log`]), the document
//! for programs and people ([`document`], as JSON and as a [`page`]), the memory of earlier runs
//! ([`history`]), metrics for Prometheus ([`metrics`]), and the commands that tell the captain
//! ([`notify`]). [`publish`] writes all of it once a run has ended.

pub(crate) mod completeness;
pub(crate) mod document;
pub(crate) mod growth;
pub(crate) mod history;
pub(crate) mod last;
mod lines;
pub(crate) mod live_state;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod notify;
pub(crate) mod page;
pub(crate) mod publish;
pub(crate) mod reasons;
pub(crate) mod run_summary;
pub(crate) mod summary;
pub(crate) mod sync_report;
pub(crate) mod weekly;

use std::collections::BTreeMap;

use constellation_shared::Pubkey;
use serde::{Deserialize, Serialize};

use crate::admission::counts::Counts;
use crate::admission::rules::Refusal;
use crate::relay::address::Address;
use crate::strfry::import::Imported;
use crate::swarm::station_name::{StationName, with_address};

/// Counts of events that peers listed and did not send, by kind; `None` if the kind is unknown.
pub(crate) type Undelivered = BTreeMap<Option<u16>, u64>;

/// How a run ended; its number is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// Every peer was synced.
    Complete,
    /// Some peers were not synced.
    SomePeersFailed,
    /// There were no peers or no strfry, or the import failed.
    NothingDone,
    /// A signal interrupted the run.
    Interrupted,
}

impl Outcome {
    /// The exit code.
    pub(crate) const fn exit_code(self) -> u8 {
        match self {
            Self::Complete => 0,
            Self::SomePeersFailed => 1,
            Self::NothingDone => 3,
            Self::Interrupted => 130,
        }
    }
}

/// What became of one peer.
#[derive(Debug, Clone)]
pub struct PeerReport {
    /// The address of its relay.
    pub address: Address,
    /// What its station calls itself, if that is known.
    pub station: Option<StationName>,
    /// The numbers of its events.
    pub counts: Counts,
    /// How many bytes its messages had.
    pub bytes: u64,
    /// Bytes of our messages to it.
    pub bytes_sent: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Why not everything came; `None` if everything did.
    pub failure: Option<String>,
    /// The stable word for that reason.
    pub code: Option<&'static str>,
    /// Whether it answered at all.
    pub reached: bool,
    /// Whether we learned by reconciliation (NIP-77) what it has.
    pub reconciled: bool,
    /// Whether the authors were named when it was asked; else only kinds and times were.
    pub by_authors: bool,
    /// Whether the session ended before the peer had given everything that it gives.
    pub broke_off: bool,
    /// Kinds that it shows only to clients who say who they are (NIP-42).
    pub unreadable_kinds: Vec<u16>,
    /// What it says of itself (NIP-11) that may explain why events do not come.
    pub remarks: Vec<String>,
    /// What was had of it, completely; `None` if its whole history was never had.
    pub covered: Option<Covered>,
    /// What came that was wanted whoever wrote it; `None` if nothing was.
    pub of_any_author: Option<OfAnyAuthor>,
}

/// What came of a peer that was wanted whoever wrote it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OfAnyAuthor {
    /// How many events came, repetitions included.
    pub received: usize,
    /// Whether it may hold more than it is asked for in one run.
    pub is_cut: bool,
    /// Why not all of it came.
    pub failure: Option<String>,
}

/// The code of a peer that gave everything of the followed authors, but not what is wanted of any
/// author.
pub(crate) const ANY_AUTHOR: &str = "any_author";

impl PeerReport {
    /// The peer as it is shown to people.
    pub(crate) fn shown(&self) -> String {
        with_address(self.station.as_ref(), &self.address)
    }

    /// Whether everything of the followed authors came.
    fn gave_what_is_followed(&self) -> bool {
        self.failure.is_none() || self.code == Some(ANY_AUTHOR)
    }
}

/// What was had of a peer, in this run and those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Covered {
    /// Everything created up to then is here, in Unix seconds.
    pub until: u64,
    /// Since when every time of the history has been compared once, in Unix seconds.
    pub oldest_comparison: u64,
}

/// A whole run.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    /// How many pubkeys were followed.
    pub followed: usize,
    /// Each peer that was asked.
    pub peers: Vec<PeerReport>,
    /// Events that peers listed and none of them delivered.
    pub undelivered: Undelivered,
    /// Events let in, by kind.
    pub by_kind: BTreeMap<u16, u64>,
    /// What strfry made of them.
    pub imported: Imported,
    /// How many events strfry was given and does not say what became of: they may be lost.
    pub untold: u64,
    /// Whether strfry verified once more.
    pub verify: bool,
    /// Who has a profile; `None` if the run did not look for profiles.
    pub profiles: Option<ProfileCounts>,
    /// The followed pubkeys by name, as far as they are listed.
    pub people: Vec<Person>,
    /// How the run ended.
    pub outcome: Outcome,
    /// Why nothing more could be stored, if strfry failed.
    pub broken: Option<String>,
}

/// How many of the followed pubkeys have a profile in the local strfry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct ProfileCounts {
    /// How many have a profile.
    pub found: usize,
    /// How many have none.
    pub missing: usize,
}

/// A followed pubkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    /// Whose.
    pub pubkey: Pubkey,
    /// The name as its author wrote it, so not yet safe to show; `None` without a profile.
    pub name: Option<String>,
    /// Whether it is a member of this station.
    pub is_member: bool,
}

impl Report {
    /// How many peers gave everything.
    pub(crate) fn succeeded(&self) -> usize {
        self.peers
            .iter()
            .filter(|peer| peer.failure.is_none())
            .count()
    }

    /// Why the run counts as failed; nothing where it succeeded. In a constellation some
    /// station is always down: one peer that gave all it has is enough, as each holds what
    /// all have.
    pub(crate) fn why_in_vain(&self) -> Option<&'static str> {
        match self.outcome {
            Outcome::Complete => None,
            Outcome::SomePeersFailed if self.untold > 0 => {
                Some("strfry does not say what became of some events that it was given")
            }
            Outcome::SomePeersFailed
                if self.peers.iter().any(PeerReport::gave_what_is_followed) =>
            {
                None
            }
            Outcome::SomePeersFailed => Some("no peer gave all it has"),
            Outcome::NothingDone => Some("nothing could be stored"),
            Outcome::Interrupted => Some("it was interrupted"),
        }
    }

    /// Events let in, each once, of the kinds that are wanted.
    fn sum(&self, wanted: impl Fn(u16) -> bool) -> u64 {
        let kinds = self.by_kind.iter();
        kinds
            .filter(|(kind, _)| wanted(**kind))
            .map(|(_, count)| count)
            .sum()
    }

    /// How many events were listed and not sent, by kind as a word.
    fn undelivered_by_kind(&self) -> BTreeMap<String, u64> {
        let word = |kind: Option<u16>| kind.map_or("unknown".to_owned(), |kind| kind.to_string());
        let counts = self.undelivered.iter();
        counts.map(|(kind, count)| (word(*kind), *count)).collect()
    }

    /// Events that were not let in, by reason, over all peers; those that their authors
    /// deleted are counted by strfry, which knows no peers.
    pub(crate) fn refused(&self) -> BTreeMap<Refusal, u64> {
        let mut sums = BTreeMap::new();
        if self.imported.written.deleted > 0 {
            sums.insert(Refusal::Deleted, self.imported.written.deleted);
        }
        if self.imported.too_long > 0 {
            sums.insert(Refusal::TooLong, self.imported.too_long);
        }
        let withdrawn = self.imported.withdrawn.len() as u64;
        if withdrawn > 0 {
            sums.insert(Refusal::Blocked, withdrawn);
        }
        for (refusal, count) in self.peers.iter().flat_map(|peer| &peer.counts.refused) {
            *sums.entry(*refusal).or_default() += count;
        }
        sums
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::strfry::output::Written;

    /// A run with a peer that gave everything and one that was not reached.
    pub(crate) fn report() -> Report {
        let counts = Counts {
            received: 9,
            collected: 7,
            refused: [(Refusal::Forged, 2), (Refusal::Unasked, 1)].into(),
            garbage: 2,
            genuine: 7,
            refused_events: Vec::new(),
            overlong: Vec::new(),
        };
        let peer = |url: &str, failure: Option<&str>| PeerReport {
            address: Address::parse(url).unwrap(),
            station: None,
            counts: counts.clone(),
            bytes: 1000,
            bytes_sent: 500,
            seconds: 0.5,
            failure: failure.map(ToOwned::to_owned),
            code: failure.map(|_| "silent"),
            reached: failure.is_none(),
            reconciled: failure.is_none(),
            by_authors: true,
            broke_off: failure.is_some(),
            covered: None,
            of_any_author: None,
            unreadable_kinds: vec![4],
            remarks: Vec::new(),
        };
        let person = |byte, name: Option<&str>| Person {
            pubkey: Pubkey::from_bytes([byte; 32]),
            name: name.map(ToOwned::to_owned),
            is_member: byte == 1,
        };
        Report {
            followed: 127,
            undelivered: [(Some(4), 3), (None, 1)].into(),
            peers: vec![peer("ws://a", None), peer("ws://b", Some("it is dead"))],
            by_kind: [
                (0, 1),
                (1, 2),
                (4, 3),
                (21, 4),
                (22, 5),
                (30500, 6),
                (30312, 7),
                (9, 8),
            ]
            .into(),
            imported: Imported {
                too_long: 0,
                withdrawn: Vec::new(),
                events: 36,
                written: Written {
                    added: 30,
                    dups: 2,
                    replaced: 1,
                    deleted: 1,
                },
                rejected: [("tag val too large".to_owned(), 2)].into(),
                replaced_children: 0,
            },
            untold: 0,
            verify: false,
            profiles: Some(ProfileCounts {
                found: 1,
                missing: 126,
            }),
            people: vec![person(1, Some("Alice")), person(2, None)],
            outcome: Outcome::SomePeersFailed,
            broken: None,
        }
    }

    #[test]
    fn one_peer_that_gave_all_is_a_success() {
        let mut report = report();
        assert_eq!(report.why_in_vain(), None);
        report.untold = 1;
        assert!(report.why_in_vain().is_some(), "something may be lost");
        report.untold = 0;
        report.peers.remove(0);
        assert_eq!(report.why_in_vain(), Some("no peer gave all it has"));
        for (outcome, succeeds) in [
            (Outcome::Complete, true),
            (Outcome::NothingDone, false),
            (Outcome::Interrupted, false),
        ] {
            report.outcome = outcome;
            assert_eq!(report.why_in_vain().is_none(), succeeds, "{outcome:?}");
        }
    }
}
