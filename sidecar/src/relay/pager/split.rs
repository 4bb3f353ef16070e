//! Splitting a window that a relay may not have answered completely.

use std::mem;

use constellation_shared::counted;

use crate::relay::filter::Window;
use crate::relay::pager::page::{FullSecond, Task};
use crate::relay::pager::{MOST_SPLITS, Pager};

impl Pager {
    /// Asks for a window again in halves: by time if it spans several seconds, otherwise by author,
    /// otherwise by kind.
    pub(crate) fn split(&mut self, window: &Window, unreadable: usize) {
        self.splits += 1;
        if self.splits > MOST_SPLITS {
            self.gaps.push(format!(
                "{} between {} and {} without a readable author or time",
                counted(unreadable, "event"),
                window.since,
                window.until
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
                "{} of the second {} without a readable author or time",
                counted(unreadable, "event"),
                window.until
            ));
        }
    }

    /// Whether a second with this many events is complete, because the relay sends clearly more at
    /// once. It is not enough that the relay has sent more before: that page may have been cut off,
    /// and hold an event or two that were published at that very moment.
    pub(crate) fn came_whole(&self, count: usize) -> bool {
        2 * count < self.smallest_cut.unwrap_or(self.largest_page)
    }

    /// Asks again in halves for the seconds that may be incomplete.
    pub(crate) fn split_full_seconds(&mut self) {
        for FullSecond { window, count } in mem::take(&mut self.full_seconds) {
            if self.came_whole(count) {
                continue;
            }
            if window.authors.len() > 1 {
                self.split_authors(&window);
            } else if window.kinds.len() > 1 {
                self.split_kinds(&window);
            } else {
                self.take_unsplittable(FullSecond { window, count });
            }
        }
    }

    pub(crate) fn split_authors(&mut self, window: &Window) {
        let (left, right) = window.authors.split_at(window.authors.len() / 2);
        for authors in [left, right] {
            self.push_part(Window {
                authors: authors.to_vec(),
                ..window.clone()
            });
        }
    }

    pub(crate) fn split_kinds(&mut self, window: &Window) {
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
            doubts: 0,
        });
    }
}
