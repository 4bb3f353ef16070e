//! [`RunSummary`]: a past run in short, as the report and the memory of runs hold it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::report::Outcome;

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
