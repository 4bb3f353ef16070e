//! [`Counts`]: what came from one peer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use constellation_shared::EventId;

use crate::admission::rules::Refusal;
use crate::support::mutex::lock;

/// Counts by reason.
pub(crate) type Refusals = BTreeMap<Refusal, u64>;

/// Counts of one peer, shared with the work done on its events.
pub type Tally = Arc<Mutex<Counts>>;

/// What came from one peer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that were asked for and came, however often.
    pub received: u64,
    /// Those that no other peer had sent before, and that were let in.
    pub collected: u64,
    /// Those that were not let in.
    pub refused: Refusals,
    /// How much of it only a broken or hostile relay sends.
    pub garbage: u64,
    /// How many were verified and found to be what their authors signed, let in or not.
    pub genuine: u64,
    /// The ids of those that were looked at for it. What is not what its author signed is
    /// [`Refusal::Forged`] here, whatever else is wrong with it.
    pub refused_ids: Vec<(EventId, Refusal)>,
}

/// The counts of a peer as they stand.
pub(crate) fn counts(tally: &Tally) -> Counts {
    lock(tally).clone()
}

pub(super) fn count(tally: &Tally, change: impl FnOnce(&mut Counts)) {
    change(&mut lock(tally));
}
