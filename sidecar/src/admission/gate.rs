//! [`Gate`]: lets each verified event pass once, however many peers send it.

use std::collections::{BTreeMap, BTreeSet};

use constellation_shared::{Event, EventId, Pubkey};

use crate::admission::counts::{Tally, count};
use crate::admission::rules::Refusal;
use crate::admission::verdicts::Verdicts;
use crate::strfry::import::{Line, Withdrawn};
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
    /// Who is blocked at the moment; `None` if that was checked before.
    verdicts: Option<Verdicts>,
    /// A tree and not a hash table, which would hold old and new table in memory while it grows.
    passed: BTreeSet<EventId>,
    by_kind: BTreeMap<u16, u64>,
    /// The authors of events that were kept out because they are blocked by now.
    kept_out: BTreeSet<Pubkey>,
}

impl Gate {
    /// A gate that checks once more whether an author is blocked.
    pub(crate) fn asking(blocked: BlockedNow) -> Self {
        Self {
            verdicts: Some(Verdicts::new(blocked)),
            ..Self::default()
        }
    }

    /// Who is blocked at the moment; `None` if that was checked before.
    pub(super) const fn verdicts(&self) -> Option<&Verdicts> {
        self.verdicts.as_ref()
    }

    /// Returns the events that have not passed before and whose author is not blocked now.
    pub(super) fn pass(&mut self, batch: Vec<Admitted>, blocked: Option<&BlockedNow>) -> Vec<Line> {
        let mut lines = Vec::with_capacity(batch.len());
        for Admitted { event, line, tally } in batch {
            if self.passed.contains(&event.id) {
                continue;
            }
            if blocked.is_some_and(|blocked| blocked.contains(&event.pubkey)) {
                count(&tally, |counts| {
                    *counts.refused.entry(Refusal::Blocked).or_default() += 1;
                });
                self.kept_out.insert(event.pubkey);
                continue;
            }
            self.passed.insert(event.id);
            *self.by_kind.entry(event.kind).or_default() += 1;
            count(&tally, |counts| counts.collected += 1);
            lines.push(Line {
                id: event.id,
                author: event.pubkey,
                kind: event.kind,
                json: line,
            });
        }
        lines
    }

    /// Forgets events that had passed and were not given to strfry.
    pub(super) fn take_back(&mut self, withdrawn: &[Withdrawn]) {
        for Withdrawn { id, author, kind } in withdrawn {
            self.kept_out.insert(*author);
            if self.passed.remove(id)
                && let Some(count) = self.by_kind.get_mut(kind)
            {
                *count = count.saturating_sub(1);
            }
        }
        self.by_kind.retain(|_, count| *count > 0);
    }

    /// The ids of all events that have passed.
    pub(crate) const fn passed(&self) -> &BTreeSet<EventId> {
        &self.passed
    }

    /// The authors of events that were kept out because they were blocked while the run went on.
    pub(crate) const fn kept_out(&self) -> &BTreeSet<Pubkey> {
        &self.kept_out
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
        let lines = gate.pass(batch, None);
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

    #[test]
    fn an_event_that_is_taken_back_has_not_passed() {
        let mut gate = Gate::default();
        passed(&mut gate, vec![event(1, 1), event(2, 1), event(3, 7)]);
        let withdrawn = |id, kind| Withdrawn {
            id: EventId::from_bytes([id; 32]),
            author: Pubkey::from_bytes([1; 32]),
            kind,
        };
        gate.take_back(&[withdrawn(2, 1), withdrawn(2, 1), withdrawn(3, 7)]);
        assert_eq!(gate.passed().len(), 1);
        assert_eq!(gate.kept_out().len(), 1);
        assert_eq!(gate.by_kind(), &BTreeMap::from([(1, 1)]));
    }
}
