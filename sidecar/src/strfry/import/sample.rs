//! [`Sample`]: a few of the events that strfry says it has, to look whether that is so.

use std::time::Duration;

use constellation_shared::{EventId, kinds};
use tokio::time::timeout;

use super::queue::Line;
use super::{Import, ImportError, Imported};

/// How many events are looked for.
const MOST: usize = 20;

/// How long strfry may take to say whether it has some events.
const LOOK_PATIENCE: Duration = Duration::from_secs(30);

/// A few events that must be in the database if the import was what it says. An event that a newer
/// one replaces, or that a deletion or its date removes, is none of them.
#[derive(Debug, Default)]
pub(super) struct Sample {
    ids: Vec<EventId>,
    /// How many events there were to choose from.
    seen: u64,
    /// Whether one of the events was a deletion. Then only deletions are sure to stay.
    has_deletions: bool,
}

impl Sample {
    /// Takes note of an event that strfry says it has.
    pub(super) fn see(&mut self, line: &Line) {
        let is_deletion = line.kind == kinds::DELETION;
        if is_deletion && !self.has_deletions {
            *self = Self {
                has_deletions: true,
                ..Self::default()
            };
        }
        let is_replaced = kinds::is_replaceable(line.kind) || kinds::is_addressable(line.kind);
        let may_go = is_replaced || line.json.contains("\"expiration\"");
        if may_go || self.has_deletions != is_deletion {
            return;
        }
        self.seen += 1;
        // Each event is chosen with the same probability, however many follow.
        let place = usize::try_from(fastrand::u64(..self.seen)).unwrap_or(usize::MAX);
        if self.ids.len() < MOST {
            self.ids.push(line.id);
        } else if let Some(chosen) = self.ids.get_mut(place) {
            *chosen = line.id;
        }
    }

    /// The events to look for, if at most `lost` of all those seen may be missing for a reason.
    /// There are none if so many may be missing that all of them could be by chance.
    pub(super) fn ids(&self, lost: u64) -> &[EventId] {
        if self.seen > lost.saturating_mul(2) {
            &self.ids
        } else {
            &[]
        }
    }
}

impl Import {
    /// Looks whether the database holds some of the events of which strfry says so. A wrapper around
    /// it may say whatever it likes.
    pub(super) async fn look_for_sample(&self) -> Result<(), ImportError> {
        let Imported { written, .. } = &self.imported;
        let is_claimed = written.added.saturating_add(written.dups) > self.imported.events / 2;
        let lost = written.replaced.saturating_add(written.deleted);
        let lost = lost.saturating_add(self.imported.rejected_count());
        let ids = self.sample.ids(lost);
        if ids.is_empty() || !is_claimed {
            return Ok(());
        }
        let patience = LOOK_PATIENCE.min(self.strfry.patience);
        match timeout(patience, self.strfry.missing(ids)).await {
            Ok(Ok(missing)) if missing.len() == ids.len() => Err(ImportError::NotStored {
                looked_for: ids.len(),
            }),
            // What cannot be looked for is believed.
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use constellation_shared::Pubkey;

    fn line(number: u8, kind: u16) -> Line {
        Line {
            id: EventId::from_bytes([number; 32]),
            author: Pubkey::from_bytes([1; 32]),
            kind,
            json: "{}".to_owned(),
        }
    }

    #[test]
    fn only_what_stays_is_looked_for() {
        let mut sample = Sample::default();
        for kind in [0, 3, 10_002, 30_023] {
            sample.see(&line(1, kind));
        }
        assert!(sample.ids(0).is_empty());
        let mut dated = line(2, 1);
        dated.json = r#"{"tags":[["expiration","9"]]}"#.to_owned();
        sample.see(&dated);
        assert!(sample.ids(0).is_empty());
        for number in 0..200 {
            sample.see(&line(number, 1));
        }
        assert_eq!(sample.ids(0).len(), MOST);
        assert_eq!(sample.ids(99).len(), MOST);
        assert!(sample.ids(100).is_empty());
        // It may delete the others, and stays.
        sample.see(&line(201, 5));
        sample.see(&line(202, 1));
        assert_eq!(sample.ids(0), [line(201, 5).id]);
    }
}
