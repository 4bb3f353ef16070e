//! [`Counts`]: the numbers of events that one peer sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use constellation_shared::EventId;

use crate::admission::rules::Refusal;
use crate::relay::message::Head;
use crate::support::mutex::lock;

/// The numbers of refused events, by reason.
pub(crate) type Refusals = BTreeMap<Refusal, u64>;

/// The counts of one peer, shared with the tasks that handle its events.
pub type Tally = Arc<Mutex<Counts>>;

/// The numbers of events that one peer sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that were asked for and arrived, repetitions included.
    pub received: u64,
    /// Events that were accepted and that no other peer had sent before.
    pub collected: u64,
    /// Events that were refused.
    pub refused: Refusals,
    /// Messages and events that only a broken or hostile relay sends.
    pub garbage: u64,
    /// Events whose signature was verified, whether they were accepted or not.
    pub genuine: u64,
    /// The refused events that were verified. What is not what its author signed is
    /// [`Refusal::Forged`] here, whatever else is wrong with it.
    pub refused_events: Vec<(Head, Refusal)>,
    /// The events in whose place it sent a message that was too long to be taken.
    pub overlong: Vec<EventId>,
}

/// From how many forged events on a peer can fail because of them.
const FORGED_AT_LEAST: u64 = 10;

/// Most of what a peer sent is forged: it, or somebody between us, damages events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{forged} of the {verified} events that it sent and that were verified are forged")]
pub(crate) struct MostlyForged {
    forged: u64,
    verified: u64,
}

impl MostlyForged {
    /// The stable word for it.
    pub(crate) const CODE: &str = "forged";
}

impl Counts {
    /// Fails if more than half of the verified events are forged.
    pub(crate) fn check_forgeries(&self) -> Result<(), MostlyForged> {
        let forged = self.refused.get(&Refusal::Forged).copied().unwrap_or(0);
        let verified = self.genuine.saturating_add(forged);
        if forged < FORGED_AT_LEAST || forged <= self.genuine {
            return Ok(());
        }
        Err(MostlyForged { forged, verified })
    }
}

/// A snapshot of a peer's counts.
pub(crate) fn counts(tally: &Tally) -> Counts {
    lock(tally).clone()
}

pub(super) fn count(tally: &Tally, change: impl FnOnce(&mut Counts)) {
    change(&mut lock(tally));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_fails_once_more_is_forged_than_genuine() {
        let fails = |forged, genuine| {
            let counts = Counts {
                genuine,
                refused: Refusals::from([(Refusal::Forged, forged)]),
                ..Counts::default()
            };
            counts.check_forgeries().is_err()
        };
        assert!(!fails(9, 0), "a handful says nothing");
        assert!(fails(10, 9));
        assert!(!fails(10, 10));
        assert!(Counts::default().check_forgeries().is_ok());
    }
}
