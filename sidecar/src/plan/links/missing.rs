//! [`MissingIds`]: the ids that polls found and that are not here yet. Each waits for a moment, as a
//! subscribed peer may be about to push it, and is then fetched from one of the peers that hold it.
//! Bounded, whatever peers claim to hold.

use std::collections::{BTreeMap, BTreeSet};

use constellation_shared::EventId;

use crate::plan::links::link::LinkId;

/// How long a peer may take to send an event that was asked for by its id, in milliseconds. Then
/// the next peer that holds it is asked.
const FETCH_PATIENCE: u64 = 5000;

/// How many ids are remembered for one peer at a time. What it holds beyond that is found by its
/// next polls.
pub(super) const MOST_OF_ONE: usize = 8192;

/// An id that is not here yet.
#[derive(Debug)]
struct Missing {
    /// When something is to be done about it.
    at: u64,
    /// The peer of whose number of ids it is one.
    counted_for: LinkId,
    /// Peers that hold it and were not asked for it.
    holders: Vec<LinkId>,
    asked: Option<LinkId>,
}

/// The ids that polls found and that are not here yet. Times in milliseconds.
#[derive(Debug, Default)]
pub(super) struct MissingIds {
    ids: BTreeMap<EventId, Missing>,
    agenda: BTreeSet<(u64, EventId)>,
    counts: BTreeMap<LinkId, usize>,
}

impl MissingIds {
    /// Records that a peer holds an event that is not here, and that it is to be fetched at this time
    /// unless it comes before. Returns whether there was room for it.
    pub(super) fn add(&mut self, holder: LinkId, id: EventId, at: u64) -> bool {
        if let Some(missing) = self.ids.get_mut(&id) {
            if missing.asked != Some(holder) && !missing.holders.contains(&holder) {
                missing.holders.push(holder);
            }
            return true;
        }
        let count = self.counts.entry(holder).or_default();
        if *count >= MOST_OF_ONE {
            return false;
        }
        *count += 1;
        let missing = Missing {
            at,
            counted_for: holder,
            holders: vec![holder],
            asked: None,
        };
        self.ids.insert(id, missing);
        self.agenda.insert((at, id));
        true
    }

    /// Forgets an id, because its event came.
    pub(super) fn remove(&mut self, id: &EventId) {
        if let Some(missing) = self.ids.remove(id) {
            self.agenda.remove(&(missing.at, *id));
            self.uncount(missing.counted_for);
        }
    }

    /// Records that a peer has sent all that it will send of what it was asked for. The rest is asked
    /// of others now.
    pub(super) fn end_fetch(&mut self, asked: LinkId, now: u64) {
        for (id, missing) in &mut self.ids {
            if missing.asked == Some(asked) {
                self.agenda.remove(&(missing.at, *id));
                missing.asked = None;
                missing.at = now;
                self.agenda.insert((now, *id));
            }
        }
    }

    /// Forgets that a peer holds anything. What it was asked for is asked of others now.
    pub(super) fn lose(&mut self, holder: LinkId, now: u64) {
        for (id, missing) in &mut self.ids {
            missing.holders.retain(|other| *other != holder);
            if missing.asked == Some(holder) || missing.holders.is_empty() {
                self.agenda.remove(&(missing.at, *id));
                missing.asked = None;
                missing.at = missing.at.min(now);
                self.agenda.insert((missing.at, *id));
            }
        }
    }

    /// The ids to be fetched now, by the peer to ask. An id that all its holders were asked for in
    /// vain is forgotten.
    pub(super) fn due(&mut self, now: u64) -> BTreeMap<LinkId, Vec<EventId>> {
        let mut due: BTreeMap<LinkId, Vec<EventId>> = BTreeMap::new();
        while let Some(&(at, id)) = self.agenda.first()
            && at <= now
        {
            self.agenda.pop_first();
            let Some(missing) = self.ids.get_mut(&id) else {
                continue;
            };
            if let Some(holder) = missing.holders.pop() {
                missing.asked = Some(holder);
                missing.at = now + FETCH_PATIENCE;
                self.agenda.insert((missing.at, id));
                due.entry(holder).or_default().push(id);
            } else {
                let counted_for = missing.counted_for;
                self.ids.remove(&id);
                self.uncount(counted_for);
            }
        }
        due
    }

    /// When something is to be done about an id next.
    pub(super) fn next_at(&self) -> Option<u64> {
        self.agenda.first().map(|(at, _)| *at)
    }

    /// How many ids are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    fn uncount(&mut self, holder: LinkId) {
        if let Some(count) = self.counts.get_mut(&holder) {
            *count = count.saturating_sub(1);
        }
    }
}
