//! [`RunSummary`]: a past run in short, as the report and the memory of runs hold it; [`Hour`] and
//! [`Day`], what the runs of these brought; [`PeerRuns`], how a peer did in the last runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::report::Outcome;
use crate::swarm::station_name::with_address;

/// A run in short; times in Unix seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunSummary {
    /// When it began.
    pub started_at: u64,
    /// When it ended.
    pub finished_at: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// With which exit code.
    pub exit_code: u8,
    /// Whether it counts as a success.
    pub success: bool,
    /// Why not, or what went wrong besides.
    pub failure: Option<String>,
    /// How many peers gave everything.
    pub synced: usize,
    /// How many peers were asked.
    pub peers: usize,
    /// Events let in.
    pub events: u64,
    /// Events new in the database.
    pub added: u64,
    /// Bytes of the peers' messages.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// The size of strfry's database at its end; nothing if it is unknown.
    #[serde(default)]
    pub database_bytes: Option<u64>,
}

/// What the runs that ended in one hour brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hour {
    /// When it began, Unix seconds.
    pub began_at: u64,
    /// How many runs ended in it.
    pub runs: u32,
    /// How many of these succeeded.
    pub succeeded: u32,
    /// Events let in, by kind.
    pub events_by_kind: BTreeMap<u16, u64>,
}

impl Hour {
    /// Events let in.
    pub(crate) fn events(&self) -> u64 {
        self.events_by_kind.values().sum()
    }
}

/// What the runs that ended on one day brought.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Day {
    /// When it began by Coordinated Universal Time, Unix seconds.
    pub began_at: u64,
    /// When the last of its runs ended.
    pub ended_at: u64,
    /// How many runs ended in it.
    pub runs: u32,
    /// How many of these succeeded.
    pub succeeded: u32,
    /// How many of these were interrupted.
    pub interrupted: u32,
    /// Events new in the database.
    pub added: u64,
    /// Bytes of the peers' messages.
    pub bytes: u64,
    /// The size of strfry's database at the end of the last of its runs of which that is known.
    pub database_bytes: Option<u64>,
}

/// How a peer did in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It gave everything.
    Synced,
    /// It answered, and did not give everything.
    InPart,
    /// It did not answer.
    NotReached,
    /// It was not asked.
    NotAsked,
}

impl Mark {
    /// The letter for it in [`PeerRuns::runs`].
    pub(crate) const fn letter(self) -> char {
        match self {
            Self::Synced => 's',
            Self::InPart => 'p',
            Self::NotReached => 'u',
            Self::NotAsked => '-',
        }
    }

    /// What a letter stands for.
    pub(crate) const fn of_letter(letter: char) -> Self {
        match letter {
            's' => Self::Synced,
            'p' => Self::InPart,
            'u' => Self::NotReached,
            _ => Self::NotAsked,
        }
    }

    /// In words.
    pub(crate) const fn in_words(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::InPart => "in part",
            Self::NotReached => "not reached",
            Self::NotAsked => "not asked",
        }
    }
}

/// How a peer did in the last runs; times in Unix seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PeerRuns {
    /// Its relay.
    pub url: String,
    /// What its station called itself and its captain when it was last asked, if that is known.
    pub name: Option<String>,
    /// A letter for each of the last runs, the newest first: `s` synced, `p` in part, `u` not
    /// reached, `-` not asked.
    pub runs: String,
    /// When the last run ended in which it was asked.
    pub asked_at: u64,
    /// Everything that it holds of the time up to then is here; nothing if its whole history was
    /// never had.
    pub complete_until: Option<u64>,
    /// When the first run ended after which that could be said of it, and ever since.
    pub complete_since: Option<u64>,
    /// Since when each part of its history has been compared at least once.
    pub compared_since: Option<u64>,
}

impl PeerRuns {
    /// The peer as it is shown to people.
    pub(crate) fn shown(&self) -> String {
        with_address(self.name.as_ref(), &self.url)
    }

    /// How it did, the newest run first.
    pub(crate) fn marks(&self) -> impl Iterator<Item = Mark> {
        self.runs.chars().map(Mark::of_letter)
    }

    /// In how many of the runs in which it was asked it gave everything, and how many those are.
    pub(crate) fn score(&self) -> Score {
        let count = |wanted: fn(&Mark) -> bool| self.marks().filter(wanted).count();
        Score {
            synced: count(|mark| *mark == Mark::Synced),
            asked: count(|mark| *mark != Mark::NotAsked),
        }
    }
}

/// How often a peer gave everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Score {
    /// How often it did.
    pub synced: usize,
    /// How often it was asked.
    pub asked: usize,
}
