//! [`Shown`]: what one polled peer has shown to hold of the recent past, so that a poll (NIP-77) costs
//! a few hundred bytes for as long as nothing is new there.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::time::Duration;

use constellation_shared::EventId;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::backfill::compare::{Bounds, CompareError, compare_within};
use crate::live::conductor::Conductor;
use crate::plan::links::PollOutcome;
use crate::relay::connection::{Connection, ConnectionError};
use crate::relay::negentropy::{LocalEvent, LocalSet};
use crate::support::clock::unix_time;

/// How far back a poll looks, in seconds. What is dated earlier is pushed by the peers that are
/// subscribed to, or found by the next run.
const WINDOW: u64 = 1200;

/// How many events of one peer are kept; the oldest are forgotten first.
const MOST_RESOLVED: usize = 32_768;

/// How many ids of one peer are kept of which no more is known.
const MOST_UNRESOLVED: usize = 8192;

/// How many events one poll finds at most; the next one goes on.
const MOST_FOUND: usize = 4096;

/// The longest message of a poll, in bytes before it becomes hex.
const FRAME: u64 = 30_000;

/// How much of what it pushes meanwhile is put aside, in bytes.
const MOST_ASIDE: usize = 4 * 1024 * 1024;

/// How long the peer may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a peer has shown to hold of the recent past.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// By the time at which they were created.
    resolved: BTreeSet<(u64, EventId)>,
    /// Those of which only the id is known.
    unresolved: HashSet<EventId>,
}

impl Shown {
    /// The peer holds this event.
    pub(super) fn add(&mut self, created_at: u64, id: EventId) {
        self.unresolved.remove(&id);
        self.resolved.insert((created_at, id));
        if self.resolved.len() > MOST_RESOLVED {
            self.resolved.pop_first();
        }
    }

    /// Compares the recent past with the peer. What it pushes meanwhile is put `aside`.
    ///
    /// # Errors
    /// If the connection cannot be used any more.
    pub(super) async fn poll<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        connection: &mut Connection<S>,
        kinds: &[u16],
        conductor: &Conductor,
        aside: &mut VecDeque<String>,
    ) -> Result<PollOutcome, ConnectionError> {
        let since = unix_time().saturating_sub(WINDOW);
        self.resolve(since, conductor);
        let filter = json!({"kinds": kinds, "since": since}).to_string();
        let held = self.resolved.range((since, EventId::from_bytes([0; 32]))..);
        let held: LocalSet = held
            .map(|&(created_at, id)| LocalEvent { created_at, id })
            .collect();
        let bounds = Bounds {
            frame: FRAME,
            needed: MOST_FOUND,
            patience: PATIENCE,
        };
        let is_unresolved = |id: &EventId| self.unresolved.contains(id);
        let mut bytes = 0;
        let put_aside = |text: &str| {
            bytes += text.len();
            aside.push_back(text.to_owned());
            bytes < MOST_ASIDE
        };
        let compared = compare_within(connection, &filter, &held, bounds, is_unresolved, put_aside);
        let compared = compared.await;
        match compared {
            Ok(compared) => {
                let mut missing = Vec::new();
                for id in compared.needed {
                    match conductor.created_at(&id) {
                        Some(created_at) => self.add(created_at, id),
                        None if self.unresolved.len() < MOST_UNRESOLVED => {
                            self.unresolved.insert(id);
                            missing.push(id);
                        }
                        None => missing.push(id),
                    }
                }
                // It may have deleted or replaced them.
                for id in compared.lacked {
                    self.resolved.retain(|(_, held)| *held != id);
                }
                Ok(PollOutcome::Missing(missing))
            }
            Err(CompareError::Connection(error)) => Err(error),
            Err(CompareError::Never(_) | CompareError::AuthRequired) => {
                Ok(PollOutcome::Unsupported)
            }
            Err(_) => Ok(PollOutcome::Failed),
        }
    }

    /// Forgets what is no longer recent, and learns when the events were created that came meanwhile.
    fn resolve(&mut self, since: u64, conductor: &Conductor) {
        self.resolved.retain(|(created_at, _)| *created_at >= since);
        let now_known: Vec<(u64, EventId)> = self
            .unresolved
            .iter()
            .filter_map(|id| Some((conductor.created_at(id)?, *id)))
            .collect();
        for (created_at, id) in now_known {
            self.add(created_at, id);
        }
    }
}
