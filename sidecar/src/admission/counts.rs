//! [`Counts`]: the numbers of events that one peer sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use constellation_shared::EventId;

use crate::admission::rules::Refusal;
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
    /// The ids of those that were looked at for it. What is not what its author signed is
    /// [`Refusal::Forged`] here, whatever else is wrong with it.
    pub refused_ids: Vec<(EventId, Refusal)>,
}

/// A snapshot of a peer's counts.
pub(crate) fn counts(tally: &Tally) -> Counts {
    lock(tally).clone()
}

pub(super) fn count(tally: &Tally, change: impl FnOnce(&mut Counts)) {
    change(&mut lock(tally));
}
