//! Which questions to ask a relay until nothing is missing.
//!
//! A relay answers a REQ with at most so many events, the newest, and does not say that
//! there are more (strfry's `maxFilterLimit`). So one goes on asking for what is as old
//! as the oldest that came, until nothing older comes. Where one second alone holds more
//! than a relay sends at once, that second is asked for by fewer and fewer authors, then
//! by fewer and fewer kinds.
//!
//! `since` and `until` are inclusive (NIP-01), but were exclusive on older relays. `since`
//! is asked for a second earlier than wanted. That `until` is exclusive shows when the
//! event that bounds a page is missing in it; from then on it is asked for a second later.
//!
//! Events still come for a question that was just answered or given up: what its relay
//! was about to send, what was published a moment ago. They are taken, and mean nothing
//! for the walk.
//!
//! Nothing here touches the network: messages go in, questions come out.

use std::collections::{BTreeMap, VecDeque};
use std::mem;

use constellation_shared::{Pubkey, kinds};
use serde::Serialize;

/// The latest time that is asked for, in Unix seconds: the largest whole number that every
/// JSON parser reads exactly. A question that reaches so far names no `until`.
pub(crate) const LATEST: u64 = (1 << 53) - 1;

/// How many events more than asked for a relay may send: some do not know `limit`, and
/// send all there is.
const MOST_SURPLUS: usize = 100_000;

/// How many questions are remembered after their end.
const MOST_ENDED: usize = 32;

/// No relay is known to send fewer events at once than this. So few of one second are all
/// there are, unless the relay was seen to leave something out at that number.
const SMALLEST_PAGE: usize = 10;

/// How many pages of events that tell no time are split.
const MOST_SPLITS: usize = 300;

/// How often a relay may say that a single open question is too many.
const MOST_REFUSALS: u32 = 16;

/// Part of what is wanted: these authors, these kinds, these seconds (both included).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Whose events.
    pub authors: Vec<Pubkey>,
    /// Of which kinds.
    pub kinds: Vec<u16>,
    /// Not older than this, Unix time in seconds.
    pub since: u64,
    /// Not newer than this, Unix time in seconds.
    pub until: u64,
}

/// A question, as a REQ carries it (NIP-01).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Filter {
    authors: Vec<String>,
    kinds: Vec<u16>,
    #[serde(skip_serializing_if = "is_zero")]
    since: u64,
    #[serde(skip_serializing_if = "is_unbounded")]
    until: u64,
    limit: usize,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_zero(since: &u64) -> bool {
    *since == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_unbounded(until: &u64) -> bool {
    *until >= LATEST
}

/// Whether an event is part of what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It is.
    Yes,
    /// It is part of what was asked for earlier.
    Late,
    /// It is not, or its subscription is not open.
    No,
    /// More came than the question allowed: this relay would never stop.
    TooMany,
}

/// What is known about the bounds of a page when it is asked for.
#[derive(Debug, Clone)]
struct Task {
    window: Window,
    /// An event of the second `until` is known, so an inclusive relay sends it again.
    expects_until: bool,
    /// How many events came for the question that left this one open. Where this one
    /// brings something new, that one was cut off at that number.
    after: usize,
}

#[derive(Debug)]
struct Page {
    task: Task,
    until_shift: u64,
    count: usize,
    /// How many came of which nobody knows whose and when they are.
    unreadable: usize,
    newest: u64,
    oldest: u64,
    /// Of the event that came last: the oldest of a relay that sends the newest first
    /// (NIP-01), whatever it put before them.
    last: u64,
}

impl Page {
    fn holds(&self, author: &Pubkey, kind: u16, created_at: u64) -> bool {
        let window = &self.task.window;
        let since = window.since.saturating_sub(1);
        let until = window.until + self.until_shift;
        (since..=until).contains(&created_at)
            && window.kinds.contains(&kind)
            && window.authors.contains(author)
    }

    /// From where on, downwards, more may be had. Only where the last event leads nowhere
    /// is the oldest believed: some relays send the oldest first.
    fn reached(&self) -> u64 {
        match self.last < self.task.window.until {
            true => self.last,
            false => self.oldest,
        }
    }
}

/// One second that filled a page, or seemed to.
#[derive(Debug)]
struct FullSecond {
    window: Window,
    count: usize,
}

/// Walks one relay through all that is wanted of it.
#[derive(Debug)]
pub struct Pager {
    todo: Vec<Task>,
    open: BTreeMap<u64, Page>,
    /// Those that ended last.
    ended: VecDeque<(u64, Page)>,
    next_subscription: u64,
    most_open: usize,
    limit: usize,
    /// Whether the relay itself told the limit: fewer events than that are all there are,
    /// unless it was seen to leave something out.
    is_limit_told: bool,
    /// How many events are wanted at the most, and how many have come.
    most_events: usize,
    received: usize,
    /// The most events that the relay has sent for one question.
    largest_page: usize,
    /// The fewest events at which it was seen to cut off an answer.
    smallest_cut: Option<usize>,
    /// How often it said that a single open question is too many.
    refusals: u32,
    /// 1 for a relay whose `until` is exclusive.
    until_shift: u64,
    full_seconds: Vec<FullSecond>,
    /// How many pages of events that tell no time were split.
    splits: usize,
    /// Kinds that only clients who say who they are may read.
    unreadable_kinds: Vec<u16>,
    gaps: Vec<String>,
}

impl Pager {
    /// A walk through these windows, with at most `most_open` questions at a time and at
    /// most `limit` events for each.
    pub fn new(windows: Vec<Window>, most_open: usize, limit: usize) -> Self {
        let mut todo: Vec<Task> = windows
            .into_iter()
            .map(|mut window| {
                window.until = window.until.min(LATEST);
                Task {
                    window,
                    expects_until: false,
                    after: 0,
                }
            })
            .collect();
        todo.reverse();
        Self {
            todo,
            open: BTreeMap::new(),
            ended: VecDeque::new(),
            next_subscription: 0,
            most_open: most_open.max(1),
            limit: limit.max(1),
            is_limit_told: false,
            most_events: usize::MAX,
            received: 0,
            largest_page: 0,
            smallest_cut: None,
            refusals: 0,
            until_shift: 0,
            full_seconds: Vec::new(),
            splits: 0,
            unreadable_kinds: Vec::new(),
            gaps: Vec::new(),
        }
    }

    /// Nothing more is asked once so many events have come; they are the newest.
    #[must_use]
    pub const fn with_most_events(mut self, most_events: usize) -> Self {
        self.most_events = most_events;
        self
    }

    /// The relay told the limit itself.
    #[must_use]
    pub const fn with_told_limit(mut self, is_told: bool) -> Self {
        self.is_limit_told = is_told;
        self
    }

    /// The next question, if one may be asked now: its subscription and filter.
    pub fn next_question(&mut self) -> Option<(u64, Filter)> {
        if self.received >= self.most_events {
            self.todo.clear();
            self.full_seconds.clear();
        }
        if self.open.len() >= self.most_open {
            return None;
        }
        let task = loop {
            if self.todo.is_empty() && self.open.is_empty() {
                self.split_full_seconds();
            }
            let mut task = self.todo.pop()?;
            if self.drop_unreadable(&mut task.window) {
                break task;
            }
        };
        let window = &task.window;
        let filter = Filter {
            authors: window.authors.iter().map(Pubkey::to_hex).collect(),
            kinds: window.kinds.clone(),
            since: window.since.saturating_sub(1),
            until: window.until + self.until_shift,
            limit: self.limit,
        };
        let subscription = self.next_subscription;
        self.next_subscription += 1;
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

    /// Whether all that could be had was had.
    pub fn is_done(&self) -> bool {
        self.todo.is_empty() && self.open.is_empty() && self.full_seconds.is_empty()
    }

    /// Whether this subscription is open.
    pub fn is_open(&self, subscription: u64) -> bool {
        self.open.contains_key(&subscription)
    }

    /// How many questions are open.
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// What the relay holds and could not be had of it, in plain words.
    pub fn gaps(&self) -> &[String] {
        &self.gaps
    }

    /// The kinds that this relay shows only to clients who say who they are.
    pub fn unreadable_kinds(&self) -> &[u16] {
        &self.unreadable_kinds
    }

    /// An event came for a subscription.
    pub fn event(
        &mut self,
        subscription: u64,
        author: &Pubkey,
        kind: u16,
        created_at: u64,
    ) -> Asked {
        let ended = &mut self.ended;
        let (page, answer) = match self.open.get_mut(&subscription) {
            Some(page) => (page, Asked::Yes),
            None => match ended.iter_mut().find(|(name, _)| *name == subscription) {
                Some((_, page)) => (page, Asked::Late),
                None => return Asked::No,
            },
        };
        // What lies beyond is found by the questions that reach so far, and by no other.
        let created_at = created_at.min(LATEST);
        if !page.holds(author, kind, created_at) {
            return Asked::No;
        }
        if page.count >= self.limit.saturating_add(MOST_SURPLUS) {
            return Asked::TooMany;
        }
        page.count += 1;
        self.received += 1;
        page.newest = page.newest.max(created_at);
        page.oldest = page.oldest.min(created_at);
        page.last = created_at;
        answer
    }

    /// Something came for a subscription that tells neither author nor time. It takes the
    /// place of an event on its page.
    pub fn unreadable(&mut self, subscription: u64) {
        if let Some(page) = self.open.get_mut(&subscription) {
            page.unreadable += 1;
        }
    }

    /// All events of a subscription have come. `false` where it was not open.
    pub fn end(&mut self, subscription: u64) -> bool {
        let Some(page) = self.open.remove(&subscription) else {
            return false;
        };
        self.largest_page = self.largest_page.max(page.count);
        let Task {
            window,
            expects_until,
            after,
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
        let mut push = |window: Window, expects_until, after| {
            self.todo.push(Task {
                window,
                expects_until,
                after,
            });
        };
        if expects_until && bound_is_missing && until_shift == 0 {
            push(window, expects_until, after);
            self.until_shift = 1;
            return true;
        }
        if may_hide_more {
            // They may have filled the page: what lies behind them is asked for in halves.
            self.split(&window, unreadable);
            return true;
        }
        if count == 0 || reached < since {
            return true;
        }
        if reached < until {
            let until = reached;
            push(Window { until, ..window }, true, count);
            return true;
        }
        // All that came is of one second, or of the one after it.
        if since < until {
            let older = Window {
                until: until - 1,
                ..window.clone()
            };
            push(older, false, count);
        }
        // Whatever is dated beyond all clocks will not be taken.
        if until < LATEST {
            let window = Window {
                since: until,
                ..window
            };
            self.full_seconds.push(FullSecond { window, count });
        }
        true
    }

    /// Asks in halves: of the time, of the authors, of the kinds.
    fn split(&mut self, window: &Window, unreadable: usize) {
        self.splits += 1;
        if self.splits > MOST_SPLITS {
            self.gaps.push(format!(
                "{unreadable} events between {} and {} tell neither their author nor their time",
                window.since, window.until
            ));
        } else if window.since < window.until {
            let middle = window.since + (window.until - window.since) / 2;
            for (since, until) in [(window.since, middle), (middle + 1, window.until)] {
                self.push_part(Window {
                    since,
                    until,
                    ..window.clone()
                });
            }
        } else if window.authors.len() > 1 {
            self.split_authors(window);
        } else if window.kinds.len() > 1 {
            self.split_kinds(window);
        } else {
            self.gaps.push(format!(
                "{unreadable} events of the second {} tell neither their author nor their time",
                window.until
            ));
        }
    }

    fn remember(&mut self, subscription: u64, page: Page) {
        self.ended.push_back((subscription, page));
        if self.ended.len() > MOST_ENDED {
            self.ended.pop_front();
        }
    }

    /// The relay refused or ended a subscription. `false` where it was not open.
    pub fn closed(&mut self, subscription: u64, reason: &str, wants_auth: bool) -> bool {
        let Some(page) = self.open.remove(&subscription) else {
            return false;
        };
        let window = page.task.window;
        if !wants_auth || window.kinds.is_empty() {
            self.gaps.push(format!(
                "{} authors between {} and {}: {reason}",
                window.authors.len(),
                window.since,
                window.until
            ));
            return true;
        }
        if let [kind] = window.kinds.as_slice() {
            self.unreadable_kinds.push(*kind);
            return true;
        }
        // Some of the kinds are kept from us: by halves, which.
        self.split_kinds(&window);
        true
    }

    /// The relay has too many questions of ours open, and does not say which it dropped:
    /// all are asked again, fewer at a time. Returns those that were given up; `None` for
    /// a relay that takes no question at all.
    pub fn too_many_open(&mut self) -> Option<Vec<u64>> {
        if self.most_open == 1 {
            self.refusals += 1;
        }
        if self.refusals > MOST_REFUSALS {
            return None;
        }
        self.most_open = (self.open.len() / 2).max(1);
        let given_up = mem::take(&mut self.open);
        let subscriptions = given_up.keys().copied().collect();
        for (subscription, page) in given_up {
            self.todo.push(page.task.clone());
            self.remember(subscription, page);
        }
        Some(subscriptions)
    }

    /// The connection is a new one: what was open is asked again.
    pub fn reconnected(&mut self) {
        self.ended.clear();
        let open = mem::take(&mut self.open);
        self.todo.extend(open.into_values().map(|page| page.task));
    }

    /// Takes the unreadable kinds out; `false` where nothing is left to ask.
    fn drop_unreadable(&self, window: &mut Window) -> bool {
        window
            .kinds
            .retain(|kind| !self.unreadable_kinds.contains(kind));
        !window.kinds.is_empty()
    }

    /// Whether a second of so many events came whole: clearly fewer than the relay sends at
    /// once. Not just fewer than it ever sent: that may hold an event or two beyond what it
    /// had cut off, published that very moment.
    fn came_whole(&self, count: usize) -> bool {
        2 * count < self.smallest_cut.unwrap_or(self.largest_page)
    }

    /// Those seconds that may not have come whole are asked for in halves.
    fn split_full_seconds(&mut self) {
        for FullSecond { window, count } in mem::take(&mut self.full_seconds) {
            if self.came_whole(count) {
                continue;
            }
            if window.authors.len() > 1 {
                self.split_authors(&window);
            } else if window.kinds.len() > 1 {
                self.split_kinds(&window);
            } else if self.may_hold_more(count)
                && !window.kinds.iter().all(|&kind| kinds::is_replaceable(kind))
            {
                let author = window.authors.first().map(ToString::to_string);
                self.gaps.push(format!(
                    "the second {} of author {} holds {count} or more events of kind {}, and the relay sends no more at once",
                    window.until,
                    author.unwrap_or_default(),
                    window.kinds.first().copied().unwrap_or_default(),
                ));
            }
        }
    }

    /// Whether there may be more than these that fill a page, and no way to ask for them.
    /// A single event is what it is: where a relay sends one at a time nobody can tell.
    fn may_hold_more(&self, count: usize) -> bool {
        let was_cut = self.smallest_cut.is_some_and(|cut| cut <= count);
        let full = if self.is_limit_told {
            self.limit
        } else {
            self.limit.min(SMALLEST_PAGE)
        };
        count > 1 && (was_cut || count >= full)
    }

    fn split_authors(&mut self, window: &Window) {
        let (left, right) = window.authors.split_at(window.authors.len() / 2);
        for authors in [left, right] {
            self.push_part(Window {
                authors: authors.to_vec(),
                ..window.clone()
            });
        }
    }

    fn split_kinds(&mut self, window: &Window) {
        let (left, right) = window.kinds.split_at(window.kinds.len() / 2);
        for kinds in [left, right] {
            self.push_part(Window {
                kinds: kinds.to_vec(),
                ..window.clone()
            });
        }
    }

    fn push_part(&mut self, window: Window) {
        self.todo.push(Task {
            window,
            expects_until: false,
            after: 0,
        });
    }
}

#[cfg(test)]
mod tests;
