//! Asking smaller: what a [`Pager`] does if a relay refuses a question for its size.

use crate::relay::filter::Window;
use crate::relay::objection::Dimension;
use crate::relay::pager::Pager;
use crate::relay::pager::bounds::{Bounds, end};
use crate::relay::pager::page::Task;

/// The dimensions in which a page can be made smaller, in the order in which that is tried.
const TRIED: [Dimension; 4] = [
    Dimension::Authors,
    Dimension::Kinds,
    Dimension::Span,
    Dimension::Limit,
];

impl Pager {
    /// Takes the bounds that an earlier run found, and the time, in Unix seconds.
    pub(crate) fn begin_within(&mut self, bounds: Option<Bounds>, now: u64) {
        if let Some(bounds) = bounds {
            self.bounds = bounds;
            self.limit = self.limit.min(bounds.limit);
        }
        self.now = now;
    }

    /// How much the relay takes in one question, as far as it refused more.
    pub(crate) const fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Asks smaller from now on than a question that the relay refused: of what it named, or else of
    /// each thing in turn. `false` if the question cannot be any smaller.
    pub(crate) fn ask_smaller(&mut self, window: &Window, dimension: Dimension) -> bool {
        let named = match dimension {
            Dimension::Items => Some(Dimension::Authors),
            Dimension::Ids | Dimension::Filters | Dimension::Any => None,
            named => Some(named),
        };
        let others = (0..TRIED.len()).map(|place| (self.turn + place) % TRIED.len());
        let others = others.filter_map(|place| TRIED.get(place).copied());
        let order: Vec<Dimension> = named.into_iter().chain(others).collect();
        for dimension in order {
            if self.bounds.halve(dimension, window, self.limit, self.now) {
                self.limit = self.limit.min(self.bounds.limit);
                if named.is_none() {
                    let place = TRIED.iter().position(|tried| *tried == dimension);
                    self.turn = place.unwrap_or_default() + 1;
                }
                return true;
            }
        }
        false
    }

    /// Cuts a task down to what the relay takes in one question. The rest is asked for later.
    pub(crate) fn cut_to_bounds(&mut self, task: Task) -> Task {
        let Task { mut window, .. } = task.clone();
        let mut rest = Vec::new();
        let mut put_aside = |part: Window| {
            rest.push(Task {
                window: part,
                expects_until: false,
                after: 0,
                doubts: task.doubts,
            });
        };
        if window.authors.len() > self.bounds.authors {
            let authors = window.authors.split_off(self.bounds.authors);
            for authors in authors.chunks(self.bounds.authors) {
                put_aside(Window {
                    authors: authors.to_vec(),
                    ..window.clone()
                });
            }
        }
        if window.kinds.len() > self.bounds.kinds {
            let kinds = window.kinds.split_off(self.bounds.kinds);
            for kinds in kinds.chunks(self.bounds.kinds) {
                put_aside(Window {
                    kinds: kinds.to_vec(),
                    ..window.clone()
                });
            }
        }
        let end = end(&window, self.now);
        if end.saturating_sub(window.since) > self.bounds.span {
            let since = end - self.bounds.span;
            put_aside(Window {
                until: since - 1,
                ..window.clone()
            });
            window = Window {
                since,
                until: end,
                ..window
            };
        }
        if rest.is_empty() {
            return task;
        }
        self.todo.extend(rest);
        Task {
            window,
            expects_until: false,
            after: 0,
            doubts: task.doubts,
        }
    }
}
