//! [`Gate`]: lets each verified event pass once, however many peers send it.

use std::collections::{BTreeMap, BTreeSet};

use constellation_shared::{Event, EventId, Pubkey};

use crate::admission::counts::{Tally, count};
use crate::admission::rules::Refusal;
use crate::strfry::import::Line;
use crate::swarm::blocked_now::BlockedNow;

/// An event that was verified and accepted by the rules.
#[derive(Debug)]
pub struct Admitted {
    pub(super) event: Event,
    /// Its canonical JSON, without a newline.
    pub(super) line: String,
    /// The counts of the peer that sent it.
    pub(super) tally: Tally,
}

/// The place that every verified event passes.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// The pubkeys that are blocked at the moment; `None` if that was checked before.
    blocked: Option<BlockedNow>,
    /// A tree and not a hash table, which would hold old and new table in memory while it grows.
    passed: BTreeSet<EventId>,
    by_kind: BTreeMap<u16, u64>,
}

impl Gate {
    /// A gate that checks once more whether an author is blocked.
    pub(crate) fn asking(blocked: BlockedNow) -> Self {
        Self {
            blocked: Some(blocked),
            ..Self::default()
        }
    }

    /// Whether it is time to call [`Gate::refresh`].
    pub(crate) fn is_due(&self) -> bool {
        self.blocked.as_ref().is_some_and(BlockedNow::is_due)
    }

    /// Reads the lists again if they have changed. This blocks on files.
    pub(crate) fn refresh(&mut self) {
        if let Some(blocked) = &mut self.blocked {
            blocked.refresh();
        }
    }

    fn is_blocked(&self, author: &Pubkey) -> bool {
        let blocked = self.blocked.as_ref();
        blocked.is_some_and(|blocked| blocked.contains(author))
    }

    /// Returns the events that have not passed before and whose author is not blocked.
    pub(crate) fn pass(&mut self, batch: Vec<Admitted>) -> Vec<Line> {
        let mut lines = Vec::with_capacity(batch.len());
        for Admitted { event, line, tally } in batch {
            if self.passed.contains(&event.id) {
                continue;
            }
            if self.is_blocked(&event.pubkey) {
                count(&tally, |counts| {
                    *counts.refused.entry(Refusal::Blocked).or_default() += 1;
                });
                continue;
            }
            self.passed.insert(event.id);
            *self.by_kind.entry(event.kind).or_default() += 1;
            count(&tally, |counts| counts.collected += 1);
            lines.push(Line {
                id: event.id,
                json: line,
            });
        }
        lines
    }

    /// The ids of all events that have passed.
    pub(crate) const fn passed(&self) -> &BTreeSet<EventId> {
        &self.passed
    }

    /// How many events of each kind have passed.
    pub(crate) const fn by_kind(&self) -> &BTreeMap<u16, u64> {
        &self.by_kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: u8, kind: u16) -> Admitted {
        let event = Event {
            id: EventId::from_bytes([id; 32]),
            pubkey: Pubkey::from_bytes([1; 32]),
            created_at: 1,
            kind,
            tags: Vec::new(),
            content: String::new(),
            sig: [0; 64],
        };
        Admitted {
            line: event.to_json(),
            event,
            tally: Tally::default(),
        }
    }

    fn passed(gate: &mut Gate, batch: Vec<Admitted>) -> Vec<u8> {
        let lines = gate.pass(batch);
        lines.iter().map(|line| line.id.as_bytes()[0]).collect()
    }

    #[test]
    fn each_event_passes_once() {
        let mut gate = Gate::default();
        let batch = vec![event(1, 1), event(1, 1), event(2, 7)];
        assert_eq!(passed(&mut gate, batch), [1, 2]);
        assert!(passed(&mut gate, vec![event(2, 7)]).is_empty());
        assert_eq!(gate.by_kind(), &BTreeMap::from([(1, 1), (7, 1)]));
    }
}
