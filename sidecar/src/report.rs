//! What a run says of itself: the lines that the station's scripts read, and the same as
//! JSON.

use std::collections::BTreeMap;

use constellation_shared::kinds::{self, Group};
use serde::Serialize;

use crate::admit::Refusal;
use crate::intake::Counts;
use crate::level::Undelivered;
use crate::relay::address::Address;
use crate::strfry::import::Imported;

/// How a run ended; its number is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every peer was synced.
    Complete,
    /// Some peers were not.
    SomePeersFailed,
    /// No peers, no strfry, or its import is broken.
    NothingDone,
    /// By a signal.
    Interrupted,
}

impl Outcome {
    /// The exit code.
    pub const fn exit_code(self) -> u8 {
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
    /// Its relay.
    pub address: Address,
    /// What came from it.
    pub counts: Counts,
    /// Bytes of its messages.
    pub bytes: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Why not everything could be had; nothing where everything was.
    pub failure: Option<String>,
    /// The stable word for that.
    pub code: Option<&'static str>,
    /// Whether we learned by reconciliation (NIP-77) what it has.
    pub reconciled: bool,
    /// Whether it was left before its end; else it had what could not be had.
    pub broke_off: bool,
    /// Kinds that it shows only to clients who say who they are (NIP-42).
    pub unreadable_kinds: Vec<u16>,
}

/// A whole run.
#[derive(Debug, Clone)]
pub struct Report {
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
    /// Whether strfry verified once more.
    pub verify: bool,
    /// Who has a profile; nothing where nobody looked.
    pub profiles: Option<ProfileCounts>,
    /// How it ended.
    pub outcome: Outcome,
}

/// How many of the followed pubkeys have a profile in the local strfry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ProfileCounts {
    /// These have one.
    pub found: usize,
    /// These have none.
    pub missing: usize,
}

impl ProfileCounts {
    /// `SYNC_PROFILES: …`
    pub fn line(&self) -> String {
        format!(
            "SYNC_PROFILES: found={} missing={}",
            self.found, self.missing
        )
    }
}

impl Report {
    /// How many peers gave everything.
    pub fn succeeded(&self) -> usize {
        self.peers
            .iter()
            .filter(|peer| peer.failure.is_none())
            .count()
    }

    fn sum(&self, wanted: impl Fn(u16) -> bool) -> u64 {
        let kinds = self.by_kind.iter();
        kinds
            .filter(|(kind, _)| wanted(**kind))
            .map(|(_, count)| count)
            .sum()
    }

    fn group(&self, group: Group) -> u64 {
        self.sum(|kind| kinds::find(kind).is_some_and(|kind| kind.group == group))
    }

    fn key(&self, key: &str) -> u64 {
        self.sum(|kind| kinds::find(kind).is_some_and(|kind| kind.statistics_key == key))
    }

    /// `SYNC_HEX: …`
    pub fn hex_line(&self) -> String {
        format!("SYNC_HEX: count={}", self.followed)
    }

    /// `SYNC_STATS: …`: events let in, each once, by the keys of the table of kinds.
    pub fn stats_line(&self) -> String {
        let events = self.sum(|_| true);
        let dms = self.key("dms");
        let mut line = format!(
            "SYNC_STATS: events={events} dms={dms} public={}",
            events - dms
        );
        for key in ["deletions", "videos", "files", "comments", "did"] {
            line.push_str(&format!(" {key}={}", self.key(key)));
        }
        let (oracle, ore) = (self.group(Group::Oracle), self.group(Group::Ore));
        line.push_str(&format!(" oracle={oracle} ore={ore}"));
        for key in [
            "profiles",
            "text",
            "contacts",
            "reposts",
            "reactions",
            "blog",
            "calendar",
            "ore_spaces",
            "ore_meetings",
        ] {
            line.push_str(&format!(" {key}={}", self.key(key)));
        }
        line
    }

    /// `SYNC_IMPORT: …`
    pub fn import_line(&self) -> String {
        let Imported {
            events, written, ..
        } = &self.imported;
        let mode = if self.verify { "verify" } else { "no-verify" };
        format!(
            "SYNC_IMPORT: events={events} mode={mode} added={} rejected={} dups={} replaced={} deleted={}",
            written.added,
            self.imported.rejected_count(),
            written.dups,
            written.replaced,
            written.deleted
        )
    }

    /// `SYNC_PEERS: …`
    pub fn peers_line(&self) -> String {
        format!(
            "SYNC_PEERS: success={} total={}",
            self.succeeded(),
            self.peers.len()
        )
    }

    /// Events that were not let in, by reason, over all peers.
    pub fn refused(&self) -> BTreeMap<Refusal, u64> {
        let mut sums = BTreeMap::new();
        for (refusal, count) in self.peers.iter().flat_map(|peer| &peer.counts.refused) {
            *sums.entry(*refusal).or_default() += count;
        }
        sums
    }

    /// `Left out: forged=1 …`, or nothing where nothing was.
    pub fn refused_line(&self) -> Option<String> {
        let refused = self.refused();
        let words: Vec<String> = refused
            .iter()
            .map(|(refusal, count)| format!("{}={count}", refusal.code()))
            .collect();
        (!words.is_empty()).then(|| format!("Left out: {}", words.join(" ")))
    }

    /// `Undelivered, by kind: 4=3 unknown=1: …`, or nothing where all came that was listed.
    pub fn undelivered_line(&self) -> Option<String> {
        let words: Vec<String> = self
            .undelivered_by_kind()
            .iter()
            .map(|(kind, count)| format!("{kind}={count}"))
            .collect();
        (!words.is_empty()).then(|| {
            format!(
                "Undelivered, by kind: {}: listed by peers and sent by none of them; deleted meanwhile, or only for clients who say who they are",
                words.join(" ")
            )
        })
    }

    /// Counts of what was listed and not sent, by kind as a word.
    fn undelivered_by_kind(&self) -> BTreeMap<String, u64> {
        let word = |kind: Option<u16>| kind.map_or("unknown".to_owned(), |kind| kind.to_string());
        let counts = self.undelivered.iter();
        counts.map(|(kind, count)| (word(*kind), *count)).collect()
    }

    /// The report as JSON, one line.
    ///
    /// # Errors
    /// None that is known of: it is made of texts and numbers.
    pub fn to_json(&self) -> serde_json::Result<String> {
        let peers: Vec<serde_json::Value> = self
            .peers
            .iter()
            .map(|peer| {
                serde_json::json!({
                    "url": peer.address.to_string(),
                    "complete": peer.failure.is_none(),
                    "failure": peer.failure,
                    "code": peer.code,
                    "received": peer.counts.received,
                    "collected": peer.counts.collected,
                    "refused": by_code(&peer.counts.refused),
                    "bytes": peer.bytes,
                    "seconds": peer.seconds,
                    "reconciled": peer.reconciled,
                    "unreadable_kinds": peer.unreadable_kinds,
                })
            })
            .collect();
        serde_json::to_string(&serde_json::json!({
            "schema": 1,
            "outcome": self.outcome,
            "exit_code": self.outcome.exit_code(),
            "followed": self.followed,
            "events": self.sum(|_| true),
            "events_by_kind": self.by_kind,
            "refused": by_code(&self.refused()),
            "undelivered": self.undelivered_by_kind(),
            "import": {
                "events": self.imported.events,
                "mode": if self.verify { "verify" } else { "no-verify" },
                "added": self.imported.written.added,
                "dups": self.imported.written.dups,
                "replaced": self.imported.written.replaced,
                "deleted": self.imported.written.deleted,
                "rejected": self.imported.rejected,
                "replaced_children": self.imported.replaced_children,
            },
            "profiles": self.profiles,
            "peers": peers,
        }))
    }
}

fn by_code(refused: &BTreeMap<Refusal, u64>) -> BTreeMap<&'static str, u64> {
    refused
        .iter()
        .map(|(refusal, count)| (refusal.code(), *count))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strfry::said::Written;

    fn report() -> Report {
        let counts = Counts {
            received: 9,
            collected: 7,
            refused: [(Refusal::Forged, 2), (Refusal::Unasked, 1)].into(),
            garbage: 2,
            odd: 0,
            refused_ids: Vec::new(),
        };
        let peer = |url: &str, failure: Option<&str>| PeerReport {
            address: Address::parse(url).unwrap(),
            counts: counts.clone(),
            bytes: 1000,
            seconds: 0.5,
            failure: failure.map(ToOwned::to_owned),
            code: failure.map(|_| "silent"),
            reconciled: true,
            broke_off: failure.is_some(),
            unreadable_kinds: vec![4],
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
            verify: false,
            profiles: None,
            outcome: Outcome::SomePeersFailed,
        }
    }

    #[test]
    fn the_lines_that_scripts_read() {
        let report = report();
        assert_eq!(report.hex_line(), "SYNC_HEX: count=127");
        assert_eq!(
            report.stats_line(),
            "SYNC_STATS: events=36 dms=3 public=33 deletions=0 videos=9 files=0 comments=0 did=0 \
             oracle=6 ore=7 profiles=1 text=2 contacts=0 reposts=0 reactions=0 blog=0 calendar=0 \
             ore_spaces=7 ore_meetings=0"
        );
        assert_eq!(
            report.import_line(),
            "SYNC_IMPORT: events=36 mode=no-verify added=30 rejected=2 dups=2 replaced=1 deleted=1"
        );
        assert_eq!(report.peers_line(), "SYNC_PEERS: success=1 total=2");
        assert_eq!(
            report.refused_line().as_deref(),
            Some("Left out: unasked=2 forged=4")
        );
        let undelivered = report.undelivered_line();
        assert!(
            undelivered
                .is_some_and(|line| line.starts_with("Undelivered, by kind: 4=3 unknown=1: "))
        );
    }

    #[test]
    fn the_json_says_the_same() {
        let json: serde_json::Value = serde_json::from_str(&report().to_json().unwrap()).unwrap();
        for (pointer, value) in [
            ("/schema", serde_json::json!(1)),
            ("/exit_code", serde_json::json!(1)),
            ("/outcome", serde_json::json!("some_peers_failed")),
            ("/events_by_kind/22", serde_json::json!(5)),
            ("/refused/forged", serde_json::json!(4)),
            ("/undelivered/4", serde_json::json!(3)),
            ("/undelivered/unknown", serde_json::json!(1)),
            ("/import/added", serde_json::json!(30)),
            ("/peers/1/failure", serde_json::json!("it is dead")),
            ("/peers/1/code", serde_json::json!("silent")),
            ("/peers/0/code", serde_json::json!(null)),
            ("/peers/0/complete", serde_json::json!(true)),
        ] {
            assert_eq!(json.pointer(pointer), Some(&value), "{pointer}");
        }
    }
}
