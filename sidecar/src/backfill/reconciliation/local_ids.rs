//! What is here of what is wanted, while a run goes on.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use constellation_shared::EventId;

use crate::plan::wanted::Part;
use crate::relay::filter::{LATEST, Window};
use crate::relay::message::Head;
use crate::relay::negentropy::LocalSet;
use crate::support::mutex::lock;

/// What is here of each window that is reconciled: what the local strfry held at the
/// beginning, and what has come since.
#[derive(Debug, Default)]
pub struct LocalIds {
    /// What was looked up.
    parts: Vec<Part>,
    windows: Vec<(Window, Mutex<Known>)>,
}

/// Events, and their times.
type Known = BTreeMap<EventId, u64>;

impl LocalIds {
    /// Nothing yet of these parts.
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

    /// One more window, and what is held of it.
    pub(crate) fn push(&mut self, window: Window, held: Vec<(u64, EventId)>) {
        let known = held.into_iter().map(|(created_at, id)| (id, created_at));
        self.windows.push((window, Mutex::new(known.collect())));
    }

    /// The whole window that this is a part of.
    fn whole(&self, part: &Window) -> Option<MutexGuard<'_, Known>> {
        let mut windows = self.windows.iter();
        let (_, held) = windows.find(|(whole, _)| {
            whole.kinds == part.kinds
                && whole.authors == part.authors
                && whole.since <= part.since
                && whole.until >= part.until
        })?;
        Some(lock(held))
    }

    /// What is held of a part of one of the windows.
    pub(crate) fn held(&self, part: &Window) -> LocalSet {
        let span = part.since..=part.until;
        let held = self.whole(part);
        let held = held.iter().flat_map(|held| held.iter());
        let inside = held.filter(|(_, created_at)| span.contains(created_at));
        inside.map(|(id, created_at)| (*created_at, *id)).collect()
    }

    /// Leaves of these ids those that are not held of a part of one of the windows.
    pub(crate) fn retain_missing(&self, part: &Window, ids: &mut Vec<EventId>) {
        if let Some(held) = self.whole(part) {
            ids.retain(|id| !held.contains_key(id));
        }
    }

    /// An event has come of which it is known that it has this head.
    pub(crate) fn add(&self, event: &Head) {
        let windows = self.windows.iter().filter(|(window, _)| {
            (window.since..=window.until).contains(&event.created_at.min(LATEST))
                && window.kinds.contains(&event.kind)
                && window.authors.binary_search(&event.author).is_ok()
        });
        for (_, held) in windows {
            lock(held).insert(event.id, event.created_at);
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
        let held = vec![(5, id(1)), (15, id(2)), (25, id(3))];
        let mut local_ids = LocalIds::of(Vec::new());
        local_ids.push(window(0, LATEST), held);
        let part = local_ids.held(&window(10, 20));
        assert_eq!(
            format!("{part:?}"),
            format!("{:?}", LocalSet::from_iter([(15, id(2))]))
        );
        let mut listed = vec![id(2), id(4)];
        local_ids.retain_missing(&window(10, 20), &mut listed);
        assert_eq!(listed, [id(4)]);
    }
}
