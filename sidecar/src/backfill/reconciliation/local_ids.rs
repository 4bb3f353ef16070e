//! [`LocalIds`]: which of the wanted events this station has, kept up to date while a run goes on.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use constellation_shared::EventId;

use crate::plan::wanted::Part;
use crate::relay::filter::{LATEST, Window};
use crate::relay::message::Head;
use crate::relay::negentropy::{LocalEvent, LocalSet};
use crate::support::mutex::lock;

/// The events of each window that this station has: those that strfry held at the beginning, and
/// those that have come since.
#[derive(Debug, Default)]
pub struct LocalIds {
    /// What was looked up.
    parts: Vec<Part>,
    windows: Vec<LocalWindow>,
}

/// A window, and the events in it that this station has.
#[derive(Debug)]
struct LocalWindow {
    window: Window,
    held: Mutex<Times>,
}

/// The times of events, in Unix seconds, by id.
type Times = BTreeMap<EventId, u64>;

impl LocalIds {
    /// Begins without any window, for what is wanted in these parts.
    pub(crate) const fn of(parts: Vec<Part>) -> Self {
        Self {
            parts,
            windows: Vec::new(),
        }
    }

    /// Whether all of these parts were looked up.
    pub(crate) fn include(&self, parts: &[Part]) -> bool {
        parts.iter().all(|part| {
            self.parts.iter().any(|whole| {
                whole.authors == part.authors
                    && whole.since <= part.since
                    && whole.until >= part.until
            })
        })
    }

    /// Adds a window with the events that strfry holds of it.
    pub(crate) fn push(&mut self, window: Window, held: Vec<LocalEvent>) {
        let times = held.into_iter().map(|event| (event.id, event.created_at));
        let held = Mutex::new(times.collect());
        self.windows.push(LocalWindow { window, held });
    }

    /// The events of the whole window that `part` is a part of.
    fn whole(&self, part: &Window) -> Option<MutexGuard<'_, Times>> {
        let whole = self.windows.iter().find(|LocalWindow { window, .. }| {
            window.kinds == part.kinds
                && window.authors == part.authors
                && window.since <= part.since
                && window.until >= part.until
        })?;
        Some(lock(&whole.held))
    }

    /// The events that this station has of a part of one of the windows.
    pub(crate) fn held(&self, part: &Window) -> LocalSet {
        let span = part.since..=part.until;
        let held = self.whole(part);
        let held = held.iter().flat_map(|held| held.iter());
        let inside = held.filter(|(_, created_at)| span.contains(created_at));
        inside
            .map(|(&id, &created_at)| LocalEvent { created_at, id })
            .collect()
    }

    /// Removes from `ids`, which belong to a part of one of the windows, those that this station
    /// has.
    pub(crate) fn retain_missing(&self, part: &Window, ids: &mut Vec<EventId>) {
        if let Some(held) = self.whole(part) {
            ids.retain(|id| !held.contains_key(id));
        }
    }

    /// Records that a verified event with this head has come.
    pub(crate) fn add(&self, event: &Head) {
        let windows = self.windows.iter().filter(|LocalWindow { window, .. }| {
            (window.since..=window.until).contains(&event.created_at.min(LATEST))
                && window.kinds.contains(&event.kind)
                && window.authors.binary_search(&event.author).is_ok()
        });
        for local in windows {
            lock(&local.held).insert(event.id, event.created_at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use constellation_shared::Pubkey;

    fn window(since: u64, until: u64) -> Window {
        Window {
            authors: vec![Pubkey::from_bytes([1; 32])],
            kinds: vec![1],
            since,
            until,
        }
    }

    #[test]
    fn what_is_held_of_a_part_is_found() {
        let id = |byte| EventId::from_bytes([byte; 32]);
        let event = |created_at, byte| LocalEvent {
            created_at,
            id: id(byte),
        };
        let held = vec![event(5, 1), event(15, 2), event(25, 3)];
        let mut local_ids = LocalIds::of(Vec::new());
        local_ids.push(window(0, LATEST), held);
        let part = local_ids.held(&window(10, 20));
        assert_eq!(
            format!("{part:?}"),
            format!("{:?}", LocalSet::from_iter([event(15, 2)]))
        );
        let mut listed = vec![id(2), id(4)];
        local_ids.retain_missing(&window(10, 20), &mut listed);
        assert_eq!(listed, [id(4)]);
    }
}
