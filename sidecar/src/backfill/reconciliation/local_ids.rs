//! [`LocalIds`]: which of the wanted events are here while a run goes on, so that they can be
//! compared with what a relay holds.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};

use constellation_shared::{EventId, Pubkey};

use crate::plan::refused::Refused;
use crate::relay::about::{About, AuthorPrefix, author_prefix, has_author};
use crate::relay::filter::{LATEST, Window};
use crate::relay::message::Head;
use crate::relay::negentropy::{LocalEvent, LocalSet};
use crate::support::mutex::lock;

/// What was looked up once: the events of some authors and of a span of time that the local strfry
/// held then, and those that are not here on purpose.
#[derive(Debug)]
pub(crate) struct Lookup {
    /// The authors, in ascending order.
    pub(crate) authors: Arc<[Pubkey]>,
    /// The earliest time, in Unix seconds.
    pub(crate) since: u64,
    /// The latest time, in Unix seconds.
    pub(crate) until: u64,
    /// The events, by time.
    events: Vec<(About, EventId)>,
}

impl Lookup {
    /// What strfry holds of these authors between `since` and `until`, of which `kinds` were asked
    /// for. What was refused takes part as if it were here.
    pub(crate) fn new(
        wanted: &Window,
        mut events: Vec<(About, EventId)>,
        refused: &Refused,
    ) -> Self {
        let is_inside = Inside::new(wanted);
        let refused = refused.known().map(|(id, about)| (*about, id));
        events.extend(refused.filter(|(about, _)| is_inside.contains(about)));
        events.sort_unstable_by_key(|(about, id)| (about.created_at, *id));
        events.shrink_to_fit();
        Self {
            authors: wanted.authors.clone().into(),
            since: wanted.since,
            until: wanted.until,
            events,
        }
    }

    /// Whether everything in a window was looked up.
    fn covers(&self, window: &Window) -> bool {
        self.since <= window.since
            && self.until >= window.until
            && window
                .authors
                .iter()
                .all(|author| self.authors.binary_search(author).is_ok())
    }

    /// The events of a span of time.
    fn between(&self, since: u64, until: u64) -> &[(About, EventId)] {
        let from = self
            .events
            .partition_point(|(about, _)| about.created_at < since);
        let to = self
            .events
            .partition_point(|(about, _)| about.created_at <= until);
        self.events.get(from..to).unwrap_or_default()
    }
}

/// Tells which events are inside a window.
struct Inside<'a> {
    window: &'a Window,
    first: AuthorPrefix,
    last: AuthorPrefix,
}

impl<'a> Inside<'a> {
    fn new(window: &'a Window) -> Self {
        let prefix = |author: Option<&Pubkey>| author.map(author_prefix).unwrap_or_default();
        Self {
            window,
            first: prefix(window.authors.first()),
            last: prefix(window.authors.last()),
        }
    }

    fn contains(&self, event: &About) -> bool {
        (self.window.since..=self.window.until).contains(&event.created_at.min(LATEST))
            && self.window.kinds.contains(&event.kind)
            && self.has_author(&event.author)
    }

    fn has_author(&self, author: &AuthorPrefix) -> bool {
        // Most events are of other authors: a search for each would take long.
        if *author < self.first || *author > self.last {
            return false;
        }
        has_author(&self.window.authors, author)
    }
}

/// Which of the wanted events are here: what the local strfry held when it was looked up, and what
/// has come since.
#[derive(Debug, Default)]
pub(crate) struct LocalIds {
    lookups: Mutex<Vec<Arc<Lookup>>>,
    /// The events that peers have brought, whether they were let in or not.
    arrived: Mutex<BTreeMap<EventId, About>>,
}

impl LocalIds {
    /// Adds what was looked up.
    pub(crate) fn push(&self, lookup: Lookup) {
        lock(&self.lookups).push(Arc::new(lookup));
    }

    /// Whether everything in a window was looked up.
    pub(crate) fn covers(&self, window: &Window) -> bool {
        self.lookup(window).is_some()
    }

    fn lookup(&self, window: &Window) -> Option<Arc<Lookup>> {
        let lookups = lock(&self.lookups);
        let found = lookups.iter().find(|lookup| lookup.covers(window));
        found.map(Arc::clone)
    }

    /// What is here of a window.
    pub(crate) fn held(&self, window: &Window) -> LocalSet {
        let is_inside = Inside::new(window);
        let lookup = self.lookup(window);
        let looked_up = lookup.iter();
        let looked_up = looked_up.flat_map(|lookup| lookup.between(window.since, window.until));
        let looked_up = looked_up.filter(|(about, _)| is_inside.contains(about));
        let looked_up = looked_up.map(|(about, id)| LocalEvent {
            created_at: about.created_at,
            id: *id,
        });
        let arrived = lock(&self.arrived);
        let arrived = arrived.iter();
        let arrived = arrived.filter(|(_, about)| is_inside.contains(about));
        let arrived = arrived.map(|(id, about)| LocalEvent {
            created_at: about.created_at,
            id: *id,
        });
        // An event that arrived and was stored before a later lookup is in both.
        looked_up.chain(arrived).collect()
    }

    /// Leaves of these ids those of which no event is here.
    pub(crate) fn retain_missing(&self, window: &Window, ids: &mut Vec<EventId>) {
        if ids.is_empty() {
            return;
        }
        let mut missing: HashSet<EventId> = ids.iter().copied().collect();
        if let Some(lookup) = self.lookup(window) {
            for (_, id) in &lookup.events {
                missing.remove(id);
            }
        }
        let arrived = lock(&self.arrived);
        ids.retain(|id| missing.contains(id) && !arrived.contains_key(id));
    }

    /// An event has come that has this head.
    pub(crate) fn add(&self, event: &Head) {
        lock(&self.arrived).insert(event.id, event.into());
    }

    /// What is known of an event that has come.
    pub(crate) fn arrived(&self, id: &EventId) -> Option<About> {
        lock(&self.arrived).get(id).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::rules::Refusal;

    fn id(byte: u8) -> EventId {
        EventId::from_bytes([byte; 32])
    }

    fn key(byte: u8) -> Pubkey {
        Pubkey::from_bytes([byte; 32])
    }

    fn window(authors: &[u8], since: u64, until: u64) -> Window {
        Window {
            authors: authors.iter().map(|byte| key(*byte)).collect(),
            kinds: vec![1],
            since,
            until,
        }
    }

    fn event(byte: u8, author: u8, created_at: u64) -> Head {
        Head {
            id: id(byte),
            author: key(author),
            kind: 1,
            created_at,
        }
    }

    fn set(events: &[Head]) -> String {
        let events = events.iter().map(|event| LocalEvent {
            created_at: event.created_at,
            id: event.id,
        });
        format!("{:?}", LocalSet::from_iter(events))
    }

    #[test]
    fn what_is_held_of_a_window_is_found() {
        let held = [
            event(1, 1, 5),
            event(2, 1, 15),
            event(3, 2, 15),
            event(4, 1, 25),
        ];
        let other_kind = Head {
            kind: 7,
            ..event(5, 1, 16)
        };
        let all = held.iter().chain([&other_kind]);
        let all = all.map(|event| (About::from(event), event.id)).collect();
        let local_ids = LocalIds::default();
        let whole = window(&[1, 2], 0, LATEST);
        local_ids.push(Lookup::new(&whole, all, &Refused::default()));
        let part = window(&[1], 10, 20);
        assert_eq!(format!("{:?}", local_ids.held(&part)), set(&held[1..2]));
        assert!(local_ids.covers(&part) && !local_ids.covers(&window(&[3], 10, 20)));
        let late = event(6, 1, 17);
        local_ids.add(&late);
        local_ids.add(&held[1]);
        assert_eq!(
            format!("{:?}", local_ids.held(&part)),
            set(&[held[1], late])
        );
        let mut listed = vec![id(2), id(3), id(6), id(9)];
        local_ids.retain_missing(&part, &mut listed);
        assert_eq!(listed, [id(9)]);
    }

    #[test]
    fn what_was_refused_takes_part_where_it_belongs() {
        let inside = event(1, 1, 15);
        let others = [
            event(2, 3, 15),
            event(3, 1, 5),
            Head {
                kind: 7,
                ..event(4, 1, 15)
            },
        ];
        let mut refused = Refused::default();
        for event in others.iter().chain([&inside]) {
            refused.remember(event, Refusal::Visitor, "ws://a", 20, 100);
        }
        let forged = event(5, 1, 15);
        refused.remember(&forged, Refusal::Forged, "ws://a", 20, 100);
        let window = window(&[1, 2], 10, 20);
        let local_ids = LocalIds::default();
        local_ids.push(Lookup::new(&window, Vec::new(), &refused));
        assert_eq!(format!("{:?}", local_ids.held(&window)), set(&[inside]));
    }
}
