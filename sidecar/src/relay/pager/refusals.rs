//! What becomes of the subscriptions that a relay refuses, or that a broken connection ends.

use std::mem;

use constellation_shared::counted;

use crate::relay::filter::Window;
use crate::relay::objection::{Dimension, Objection};
use crate::relay::pager::Pager;

/// How often a relay may refuse a single open subscription as one too many.
const MOST_REFUSALS: u32 = 16;

/// How often a question is asked smaller although nobody knows what the relay's words mean.
const MOST_DOUBTS: u8 = 2;

/// How many questions that cannot be any smaller a relay may refuse, before it answers one.
const MOST_HOPELESS: u32 = 20;

impl Pager {
    /// Records that the relay refused or ended a subscription, for this reason. Returns `false` if
    /// it was not open.
    pub fn refused(&mut self, subscription: u64, reason: &str, objection: Objection) -> bool {
        if self.probes.refused(subscription) {
            return true;
        }
        let Some(page) = self.open.remove(&subscription) else {
            return false;
        };
        let mut task = page.task.clone();
        // Its events may be under way all the same.
        self.remember(subscription, page);
        let window = task.window.clone();
        let is_smaller = match objection {
            Objection::WantsAuth => return self.take_unreadable(&window, reason),
            Objection::TooMuch(dimension) => self.ask_smaller(&window, dimension),
            Objection::Unknown if task.doubts < MOST_DOUBTS => {
                task.doubts += 1;
                self.ask_smaller(&window, Dimension::Any)
            }
            _ => false,
        };
        if is_smaller {
            self.todo.push(task);
        } else {
            self.hopeless += 1;
            self.give_up(&window, reason);
        }
        true
    }

    /// Whether a subscription was asked smaller as often as is of use although nobody knows what
    /// the relay's words mean.
    pub(crate) fn is_worn_out(&self, subscription: u64) -> bool {
        let page = self.open.get(&subscription);
        page.is_some_and(|page| page.task.doubts >= MOST_DOUBTS)
    }

    /// Whether the relay refuses everything, however little is asked.
    pub(crate) const fn is_hopeless(&self) -> bool {
        self.hopeless >= MOST_HOPELESS
    }

    /// How many events have come for an open subscription.
    pub(crate) fn count(&self, subscription: u64) -> usize {
        let page = self.open.get(&subscription);
        page.map_or(0, |page| page.count + page.unreadable)
    }

    /// The open subscriptions.
    pub(crate) fn open_subscriptions(&self) -> impl Iterator<Item = u64> {
        self.open
            .keys()
            .copied()
            .chain(self.probes.open_subscription())
    }

    fn give_up(&mut self, window: &Window, reason: &str) {
        let authors = match window.authors.len() {
            0 => "all authors".to_owned(),
            named => counted(named, "author"),
        };
        self.gaps.push(format!(
            "{authors} between {} and {}: {reason}",
            window.since, window.until
        ));
    }

    /// Some of the kinds need authentication; halving the window shows which.
    fn take_unreadable(&mut self, window: &Window, reason: &str) -> bool {
        match window.kinds.as_slice() {
            [] => self.give_up(window, reason),
            [kind] => self.unreadable_kinds.push(*kind),
            _ => self.split_kinds(window),
        }
        true
    }

    /// Records that too many subscriptions are open. The relay does not say which one it dropped,
    /// so all are asked again, fewer at a time. Returns the subscriptions to close, or `None` if
    /// the relay accepts no subscription at all.
    pub fn too_many_open(&mut self) -> Option<Vec<u64>> {
        if self.most_open == 1 {
            self.refusals += 1;
        }
        if self.refusals > MOST_REFUSALS {
            return None;
        }
        self.most_open = (self.open_count() / 2).max(1);
        let given_up = mem::take(&mut self.open);
        let probe = self.probes.give_up();
        let subscriptions = given_up.keys().copied().chain(probe).collect();
        for (subscription, page) in given_up {
            self.todo.push(page.task.clone());
            self.remember(subscription, page);
        }
        Some(subscriptions)
    }

    /// Asks again for all that was open, after a new connection was made.
    pub fn reconnected(&mut self) {
        self.ended.clear();
        // It may be what the relay broke the connection for.
        self.probes.refuse_open();
        let open = mem::take(&mut self.open);
        self.todo.extend(open.into_values().map(|page| page.task));
    }

    /// Removes the kinds that need authentication. Returns `false` if no kind is left.
    pub(crate) fn drop_unreadable(&self, window: &mut Window) -> bool {
        window
            .kinds
            .retain(|kind| !self.unreadable_kinds.contains(kind));
        !window.kinds.is_empty()
    }
}
