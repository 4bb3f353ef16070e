//! Finding out how many events a relay sends at once, if a crowded second may be incomplete.

use std::mem;

use constellation_shared::{Pubkey, kinds};

use crate::relay::filter::{Filter, LATEST, Window};
use crate::relay::pager::page::FullSecond;
use crate::relay::pager::probe::{Open, Shape};
use crate::relay::pager::{Pager, SMALLEST_PAGE};

/// How many events more than in the second are asked for.
const MORE: usize = 10;

/// Among the events of an answer, so many may have been published at that very moment.
const JUST_PUBLISHED: usize = 2;

impl Pager {
    /// Records that a second cannot be split any further: it is complete, or a gap, or that is still
    /// to be found out.
    pub(crate) fn take_unsplittable(&mut self, second: FullSecond) {
        let FullSecond { window, count } = &second;
        let is_cut_there = self.smallest_cut.is_some_and(|cut| cut <= *count);
        let is_replaceable = window.kinds.iter().all(|&kind| kinds::is_replaceable(kind));
        // Of a relay that sends one event at a time, nobody can tell.
        if *count <= 1 || is_replaceable {
            return;
        }
        if is_cut_there || *count >= self.limit {
            self.add_gap(&second);
        } else if *count >= SMALLEST_PAGE && !self.sends_more_than(*count) {
            self.probes.suspects.push(second);
        }
    }

    /// Whether the relay was seen to send clearly more events at once.
    fn sends_more_than(&self, count: usize) -> bool {
        let seen = self.smallest_cut.unwrap_or(self.largest_page);
        seen.max(self.probes.most) > count + JUST_PUBLISHED
    }

    /// The next question that only counts, if one is needed. Seconds of which nothing can be found
    /// out become gaps.
    pub(crate) fn next_probe(&mut self) -> Option<(u64, Filter)> {
        if !self.open.is_empty() || self.probes.has_open() {
            return None;
        }
        let mut suspects = mem::take(&mut self.probes.suspects);
        suspects.retain(|second| !self.sends_more_than(second.count));
        let most = suspects.iter().map(|second| second.count).max()?;
        let widest = self.probes.widest.clone();
        let widest = widest.filter(|window| self.is_readable(window));
        let (authors, widest) = match (self.probes.shape, widest) {
            (Shape::AnyAuthor, Some(widest)) => (Vec::new(), widest),
            (Shape::OurAuthors, Some(widest)) => {
                let authors = widest.authors.iter().map(Pubkey::to_hex);
                (authors.collect(), widest)
            }
            (Shape::None, _) | (_, None) => {
                suspects.iter().for_each(|second| self.add_gap(second));
                return None;
            }
        };
        self.probes.suspects = suspects;
        let limit = most + MORE;
        let subscription = self.next_number;
        self.next_number += 1;
        self.probes.open = Some(Open {
            subscription,
            kinds: widest.kinds.clone(),
            limit,
            count: 0,
        });
        let filter = Filter {
            authors,
            kinds: widest.kinds,
            since: 0,
            until: LATEST,
            limit,
        };
        Some((subscription, filter))
    }

    /// Whether the relay shows events of all kinds of a window to us.
    fn is_readable(&self, window: &Window) -> bool {
        let mut kinds = window.kinds.iter();
        kinds.all(|kind| !self.unreadable_kinds.contains(kind))
    }

    fn add_gap(&mut self, second: &FullSecond) {
        let FullSecond { window, count } = second;
        let author = window.authors.first().map(ToString::to_string);
        self.gaps.push(format!(
            "the second {} of author {} holds {count} or more events of kind {}, and the relay sends no more at once",
            window.until,
            author.unwrap_or_default(),
            window.kinds.first().copied().unwrap_or_default(),
        ));
    }
}
