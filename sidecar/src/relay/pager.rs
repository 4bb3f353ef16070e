//! [`Pager`]: asks a relay for pages of events until nothing is missing.
//!
//! A relay answers a REQ with a limited number of events, the newest ones, and does not say
//! whether there are more (strfry's `maxFilterLimit`). So the next page begins at the time of the
//! oldest event of the last page, until nothing older arrives. If a single second has more events
//! than the relay sends at once, it is asked for with fewer and fewer authors, then with fewer and
//! fewer kinds.
//!
//! `since` and `until` are inclusive (NIP-01), but exclusive on older relays. A filter's `since`
//! is therefore one second earlier than wanted. If a known event of the second `until` is missing
//! from a page, the relay's `until` is exclusive, and is one second later from then on.
//!
//! Some events arrive for a subscription that has just ended, because the relay had already sent
//! them or because they were published at that moment. They are taken, but do not affect paging.
//!
//! Nothing here touches the network: the caller passes what arrives and sends the filters.

mod bounds;
mod page;
mod probe;
mod probing;
mod refusals;
mod smaller;
mod split;

use std::collections::{BTreeMap, VecDeque};

use constellation_shared::Pubkey;

use crate::relay::filter::{Filter, LATEST, Window};
use page::{FullSecond, MOST_SURPLUS, Page, Task};
use probe::Probes;

pub(crate) use bounds::Bounds;
pub(crate) use page::Asked;

/// How many ended subscriptions are remembered.
const MOST_ENDED: usize = 32;

/// No relay is known to send fewer events at once than this. A second with fewer events is
/// complete, unless the relay was seen to cut off a page at that number.
const SMALLEST_PAGE: usize = 10;

/// How many pages of events without a readable time are split at most.
const MOST_SPLITS: usize = 300;

/// Pages through all wanted events of one relay.
#[derive(Debug)]
pub struct Pager {
    todo: Vec<Task>,
    open: BTreeMap<u64, Page>,
    /// The subscriptions that ended last.
    ended: VecDeque<(u64, Page)>,
    next_number: u64,
    most_open: usize,
    limit: usize,
    /// After how many events no further page is asked for.
    most_events: usize,
    /// Whether more events than that are too many.
    is_strict: bool,
    /// How many events have arrived.
    received: usize,
    /// How many subscriptions were answered to the end.
    answered: u64,
    /// The most events that the relay has sent for one subscription.
    largest_page: usize,
    /// The smallest number of events at which the relay was seen to cut off a page.
    smallest_cut: Option<usize>,
    /// How often the relay refused a single open subscription as one too many.
    refusals: u32,
    /// How much the relay takes in one question.
    bounds: Bounds,
    /// What is made smaller next if a relay does not say what it minds.
    turn: usize,
    /// How many questions that cannot be any smaller were refused since the last answer.
    hopeless: u32,
    /// The time in Unix seconds, as far as it was told.
    now: u64,
    /// 1 if the relay's `until` is exclusive, otherwise 0.
    until_shift: u64,
    full_seconds: Vec<FullSecond>,
    probes: Probes,
    /// How many pages of events without a readable time were split.
    splits: usize,
    /// The kinds that the relay shows only to authenticated clients.
    unreadable_kinds: Vec<u16>,
    gaps: Vec<String>,
}

impl Pager {
    /// A pager for these windows, with at most `most_open` subscriptions at a time and a `limit` of
    /// events for each.
    pub fn new(windows: Vec<Window>, most_open: usize, limit: usize) -> Self {
        let mut todo: Vec<Task> = windows
            .into_iter()
            .map(|mut window| {
                window.until = window.until.min(LATEST);
                Task {
                    window,
                    expects_until: false,
                    after: 0,
                    doubts: 0,
                }
            })
            .collect();
        todo.reverse();
        let probes = Probes::new(&todo);
        Self {
            todo,
            open: BTreeMap::new(),
            ended: VecDeque::new(),
            next_number: 0,
            most_open: most_open.max(1),
            limit: limit.max(1),
            most_events: usize::MAX,
            is_strict: false,
            received: 0,
            answered: 0,
            largest_page: 0,
            smallest_cut: None,
            refusals: 0,
            bounds: Bounds::default(),
            turn: 0,
            hopeless: 0,
            now: 0,
            until_shift: 0,
            full_seconds: Vec::new(),
            probes,
            splits: 0,
            unreadable_kinds: Vec::new(),
            gaps: Vec::new(),
        }
    }

    /// The same pager, but no further page is asked for after this many events, which are the
    /// newest.
    #[must_use]
    pub const fn with_most_events(mut self, most_events: usize) -> Self {
        self.most_events = most_events;
        self
    }

    /// The same pager, but it takes no event beyond the most that it asks for.
    #[must_use]
    pub const fn strictly(mut self) -> Self {
        self.is_strict = true;
        self
    }

    /// The next subscription to open and its filter, if one may be opened now.
    pub(crate) fn next_subscription(&mut self) -> Option<(u64, Filter)> {
        if self.received >= self.most_events {
            self.todo.clear();
            self.full_seconds.clear();
            self.probes.clear();
        }
        if self.open_count() >= self.most_open {
            return None;
        }
        let task = loop {
            if self.todo.is_empty() && self.open.is_empty() {
                self.split_full_seconds();
            }
            let Some(mut task) = self.todo.pop() else {
                return self.next_probe();
            };
            if self.drop_unreadable(&mut task.window) {
                break self.cut_to_bounds(task);
            }
        };
        let window = &task.window;
        let filter = Filter {
            authors: window.authors.iter().map(Pubkey::to_hex).collect(),
            kinds: window.kinds.clone(),
            since: window.since.saturating_sub(1),
            until: window.until + self.until_shift,
            limit: if self.is_strict {
                let left = self.most_events.saturating_sub(self.received);
                self.limit.min(left.max(1))
            } else {
                self.limit
            },
        };
        let subscription = self.next_number;
        self.next_number += 1;
        self.open.insert(
            subscription,
            Page {
                task,
                until_shift: self.until_shift,
                count: 0,
                unreadable: 0,
                newest: 0,
                oldest: u64::MAX,
                last: u64::MAX,
            },
        );
        Some((subscription, filter))
    }

    /// Whether everything has been asked for and answered.
    pub fn is_done(&self) -> bool {
        self.todo.is_empty()
            && self.open.is_empty()
            && self.full_seconds.is_empty()
            && self.probes.is_done()
    }

    /// Whether this subscription is open.
    pub fn is_open(&self, subscription: u64) -> bool {
        self.open.contains_key(&subscription) || self.probes.is_open(subscription)
    }

    /// How many subscriptions are open.
    pub fn open_count(&self) -> usize {
        self.open.len() + usize::from(self.probes.has_open())
    }

    /// What has not been asked for, or not been answered to the end.
    pub fn left(&self) -> Vec<Window> {
        let todo = self.todo.iter().map(|task| &task.window);
        let open = self.open.values().map(|page| &page.task.window);
        let full = self.full_seconds.iter().chain(&self.probes.suspects);
        let full = full.map(|second| &second.window);
        todo.chain(open).chain(full).cloned().collect()
    }

    /// How many events have arrived.
    pub const fn received(&self) -> usize {
        self.received
    }

    /// How many subscriptions were answered to the end.
    pub const fn answered(&self) -> u64 {
        self.answered
    }

    /// What could not be fetched from the relay, as sentences for people.
    pub fn gaps(&self) -> &[String] {
        &self.gaps
    }

    /// The kinds that the relay shows only to authenticated clients.
    pub fn unreadable_kinds(&self) -> &[u16] {
        &self.unreadable_kinds
    }

    /// Records an event that arrived for a subscription.
    pub fn event(
        &mut self,
        subscription: u64,
        author: &Pubkey,
        kind: u16,
        created_at: u64,
    ) -> Asked {
        if self.probes.is_open(subscription) {
            return self.probes.event(kind);
        }
        let ended = &mut self.ended;
        let (page, answer) = match self.open.get_mut(&subscription) {
            Some(page) => (page, Asked::Yes),
            None => match ended.iter_mut().find(|(name, _)| *name == subscription) {
                Some((_, page)) => (page, Asked::Late),
                None => return Asked::No,
            },
        };
        // An event dated later belongs to the filters that reach `LATEST`, and to no other.
        let created_at = created_at.min(LATEST);
        if !page.holds(author, kind, created_at) {
            return Asked::No;
        }
        let is_beyond = self.is_strict && self.received >= self.most_events;
        if is_beyond || page.count >= self.limit.saturating_add(MOST_SURPLUS) {
            return Asked::TooMany;
        }
        page.count += 1;
        self.received += 1;
        page.newest = page.newest.max(created_at);
        page.oldest = page.oldest.min(created_at);
        page.last = created_at;
        answer
    }

    /// Records an event whose author or time cannot be read. It takes up a place on the page.
    pub fn unreadable(&mut self, subscription: u64) {
        if let Some(page) = self.open.get_mut(&subscription) {
            page.unreadable += 1;
        }
    }

    /// Records that all events of a subscription have arrived. Returns `false` if it was not open.
    pub fn end(&mut self, subscription: u64) -> bool {
        if self.probes.end(subscription) {
            self.answered += 1;
            return true;
        }
        let Some(page) = self.open.remove(&subscription) else {
            return false;
        };
        self.answered += 1;
        self.hopeless = 0;
        self.largest_page = self.largest_page.max(page.count);
        let Task {
            window,
            expects_until,
            after,
            ..
        } = page.task.clone();
        let Window { since, until, .. } = window;
        let (count, until_shift, reached) = (page.count, page.until_shift, page.reached());
        let unreadable = page.unreadable;
        let may_hide_more =
            count == 0 && unreadable >= SMALLEST_PAGE && !self.came_whole(unreadable);
        let bound_is_missing = count == 0 || page.newest < until;
        self.remember(subscription, page);
        let brings_more = count > 0 && (!expects_until || reached < until);
        if after > 0 && brings_more {
            self.smallest_cut = Some(self.smallest_cut.map_or(after, |cut| cut.min(after)));
        }
        if expects_until && bound_is_missing && until_shift == 0 {
            self.ask_later(window, expects_until, after);
            self.until_shift = 1;
            return true;
        }
        if may_hide_more {
            // They may have filled the page and hidden others, so it is asked for in halves.
            self.split(&window, unreadable);
            return true;
        }
        if count == 0 || reached < since {
            return true;
        }
        if reached < until {
            let until = reached;
            self.ask_later(Window { until, ..window }, true, count);
        } else {
            self.go_behind_full_second(window, count);
        }
        true
    }

    fn ask_later(&mut self, window: Window, expects_until: bool, after: usize) {
        self.todo.push(Task {
            window,
            expects_until,
            after,
            doubts: 0,
        });
    }

    /// All events of a page are of the last second of its window, or of the second after it: goes on
    /// with the seconds before, and remembers that there may be more in this one.
    fn go_behind_full_second(&mut self, window: Window, count: usize) {
        let Window { since, until, .. } = window;
        if since < until {
            let older = Window {
                until: until - 1,
                ..window.clone()
            };
            self.ask_later(older, false, count);
        }
        // Events beyond `LATEST` are refused anyway.
        if until < LATEST {
            let window = Window {
                since: until,
                ..window
            };
            self.full_seconds.push(FullSecond { window, count });
        }
    }

    fn remember(&mut self, subscription: u64, page: Page) {
        self.ended.push_back((subscription, page));
        if self.ended.len() > MOST_ENDED {
            self.ended.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
