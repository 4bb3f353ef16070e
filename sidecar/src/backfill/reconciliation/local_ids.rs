//! [`LocalIds`]: which of the wanted events are here while a run goes on, so that they can be
//! compared with what a relay holds.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex};

use constellation_shared::{EventId, Pubkey};

use crate::plan::peer_sets::Lacked;
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

    /// Whether everything of these authors in the time of a window was looked up.
    fn covers(&self, authors: &[Pubkey], window: &Window) -> bool {
        let is_known = |author: &Pubkey| self.authors.binary_search(author).is_ok();
        self.since <= window.since && self.until >= window.until && authors.iter().all(is_known)
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
        if self.window.authors.is_empty() {
            return true;
        }
        // Most events are of other authors: a search for each would take long.
        if *author < self.first || *author > self.last {
            return false;
        }
        has_author(&self.window.authors, author)
    }
}

/// Ids, divided by whether their events are here.
#[derive(Debug, Default)]
pub(crate) struct Divided {
    pub(crate) here: Vec<EventId>,
    pub(crate) missing: Vec<EventId>,
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

    /// Whether everything of these authors in the time of a window was looked up.
    pub(crate) fn covers(&self, authors: &[Pubkey], window: &Window) -> bool {
        self.lookup(authors, window).is_some()
    }

    fn lookup(&self, authors: &[Pubkey], window: &Window) -> Option<Arc<Lookup>> {
        let lookups = lock(&self.lookups);
        let found = lookups.iter().find(|lookup| lookup.covers(authors, window));
        found.map(Arc::clone)
    }

    /// What is here of a window of these authors, without what the peer lacks, and with the
    /// unwanted events that it holds.
    pub(crate) fn held(
        &self,
        authors: &[Pubkey],
        window: &Window,
        lacked: &Lacked,
        unwanted: Vec<LocalEvent>,
    ) -> LocalSet {
        let is_inside = Inside::new(window);
        let lookup = self.lookup(authors, window);
        let looked_up = lookup.iter();
        let looked_up = looked_up.flat_map(|lookup| lookup.between(window.since, window.until));
        let looked_up = looked_up.map(|(about, id)| (id, about));
        let arrived = lock(&self.arrived);
        // An event that arrived and was stored before a later lookup is in both.
        let here = looked_up.chain(arrived.iter());
        let here = here.filter(|(id, about)| is_inside.contains(about) && !lacked.contains(id));
        let here = here.map(|(id, about)| LocalEvent {
            created_at: about.created_at,
            id: *id,
        });
        here.chain(unwanted).collect()
    }

    /// Divides the ids of a window of these authors into those that are here and the others.
    pub(crate) fn divide(
        &self,
        authors: &[Pubkey],
        window: &Window,
        ids: impl IntoIterator<Item = EventId>,
    ) -> Divided {
        let mut missing: HashSet<EventId> = ids.into_iter().collect();
        let mut here = Vec::new();
        if missing.is_empty() {
            return Divided::default();
        }
        if let Some(lookup) = self.lookup(authors, window) {
            let ids = lookup.events.iter().map(|(_, id)| id);
            here.extend(ids.filter(|id| missing.remove(*id)).copied());
        }
        let arrived = lock(&self.arrived);
        here.extend(missing.extract_if(|id| arrived.contains_key(id)));
        Divided {
            here,
            missing: missing.into_iter().collect(),
        }
    }

    /// The events among these, which are of a window of these authors, that were created before
    /// this time, in Unix seconds.
    pub(crate) fn created_before(
        &self,
        time: u64,
        authors: &[Pubkey],
        window: &Window,
        ids: &BTreeSet<EventId>,
    ) -> Vec<EventId> {
        let lookup = self.lookup(authors, window).filter(|_| !ids.is_empty());
        let looked_up = lookup.iter();
        let looked_up = looked_up.flat_map(|lookup| lookup.between(window.since, time));
        let older = looked_up.filter(|(about, id)| about.created_at < time && ids.contains(id));
        older.map(|(_, id)| *id).collect()
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
    use crate::plan::peer_sets::PeerSets;
    use crate::strfry::conf::EventLimits;

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
        let found = |local_ids: &LocalIds| {
            let set = local_ids.held(&part.authors, &part, &Lacked::default(), Vec::new());
            format!("{set:?}")
        };
        assert_eq!(found(&local_ids), set(&held[1..2]));
        let covers = |window: &Window| local_ids.covers(&window.authors, window);
        assert!(covers(&part) && !covers(&window(&[3], 10, 20)));
        let late = event(6, 1, 17);
        local_ids.add(&late);
        local_ids.add(&held[1]);
        assert_eq!(found(&local_ids), set(&[held[1], late]));
        let listed = [id(2), id(3), id(6), id(9)];
        let mut divided = local_ids.divide(&part.authors, &part, listed);
        divided.here.sort_unstable();
        assert_eq!(divided.here, [id(2), id(3), id(6)]);
        assert_eq!(divided.missing, [id(9)]);
        let ids = [id(1), id(2), id(4), id(9)].into();
        let older = local_ids.created_before(16, &whole.authors, &whole, &ids);
        assert_eq!(older, [id(1), id(2)]);
    }

    #[test]
    fn without_names_a_set_holds_all_authors_and_what_the_peer_holds_besides() {
        let held = [event(1, 1, 15), event(2, 2, 15)];
        let all = held.iter().map(|event| (About::from(event), event.id));
        let local_ids = LocalIds::default();
        let whole = window(&[1, 2], 0, LATEST);
        local_ids.push(Lookup::new(&whole, all.collect(), &Refused::default()));
        let by_kinds = Window {
            authors: Vec::new(),
            ..whole.clone()
        };
        let besides = event(3, 9, 16);
        let unwanted = vec![LocalEvent {
            created_at: besides.created_at,
            id: besides.id,
        }];
        let set_with = |lacked: &Lacked| {
            let set = local_ids.held(&whole.authors, &by_kinds, lacked, unwanted.clone());
            format!("{set:?}")
        };
        assert_eq!(
            set_with(&Lacked::default()),
            set(&[held[0], held[1], besides])
        );
        let mut sets = PeerSets::default();
        sets.begin("ws://a", 1);
        sets.lacks("ws://a", [id(1)]);
        assert_eq!(set_with(&sets.lacked("ws://a")), set(&[held[1], besides]));
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
            refused.remember(
                event,
                Refusal::Visitor,
                "ws://a",
                20,
                EventLimits::default(),
            );
        }
        let forged = event(5, 1, 15);
        refused.remember(
            &forged,
            Refusal::Forged,
            "ws://a",
            20,
            EventLimits::default(),
        );
        let window = window(&[1, 2], 10, 20);
        let local_ids = LocalIds::default();
        local_ids.push(Lookup::new(&window, Vec::new(), &refused));
        let found = local_ids.held(&window.authors, &window, &Lacked::default(), Vec::new());
        assert_eq!(format!("{found:?}"), set(&[inside]));
    }
}
