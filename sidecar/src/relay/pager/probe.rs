//! [`Probes`]: what is known of the questions that only count how many events a relay sends at once.
//!
//! A second of one author and kind cannot be split any further. If it brought fewer events than
//! its filter allows, the relay may still have cut it off, whatever it publishes as its limit. So
//! the relay is asked for a few more events than that, of any time and then also of any author:
//! if it sends them, that second was not cut off. If it does not, the second counts as incomplete.

use crate::relay::filter::Window;
use crate::relay::pager::page::{Asked, FullSecond, MOST_SURPLUS, Task};

/// The ways to ask, the cheapest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Shape {
    /// Any events of the wanted kinds. Some relays refuse filters without authors.
    #[default]
    AnyAuthor,
    /// Events of the wanted authors and kinds.
    OurAuthors,
    /// Nothing else is left to try.
    None,
}

impl Shape {
    const fn next(self) -> Self {
        match self {
            Self::AnyAuthor => Self::OurAuthors,
            Self::OurAuthors | Self::None => Self::None,
        }
    }
}

/// An open probe.
#[derive(Debug)]
pub(crate) struct Open {
    pub subscription: u64,
    pub kinds: Vec<u16>,
    pub limit: usize,
    pub count: usize,
}

/// What is to be found out about how many events the relay sends at once.
#[derive(Debug)]
pub(crate) struct Probes {
    /// The widest of the pager's windows.
    pub widest: Option<Window>,
    /// Seconds that cannot be split and may hold more events than came.
    pub suspects: Vec<FullSecond>,
    pub open: Option<Open>,
    /// How the relay is asked next.
    pub shape: Shape,
    /// The most events that came for a probe.
    pub most: usize,
}

impl Probes {
    pub(crate) fn new(tasks: &[Task]) -> Self {
        let windows = tasks.iter().map(|task| &task.window);
        let widest = windows.max_by_key(|window| window.authors.len() * window.kinds.len());
        Self {
            widest: widest.cloned(),
            suspects: Vec::new(),
            open: None,
            shape: Shape::default(),
            most: 0,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.suspects.is_empty() && self.open.is_none()
    }

    pub(crate) const fn has_open(&self) -> bool {
        self.open.is_some()
    }

    pub(crate) fn is_open(&self, subscription: u64) -> bool {
        let mut open = self.open.iter();
        open.any(|open| open.subscription == subscription)
    }

    /// The subscription of the open probe.
    pub(crate) fn open_subscription(&self) -> Option<u64> {
        self.open.as_ref().map(|open| open.subscription)
    }

    /// Nothing need be found out any more.
    pub(crate) fn clear(&mut self) {
        self.suspects.clear();
    }

    /// Counts an event of the open probe.
    pub(crate) fn event(&mut self, kind: u16) -> Asked {
        match &mut self.open {
            Some(open) if open.count >= open.limit.saturating_add(MOST_SURPLUS) => Asked::TooMany,
            Some(open) if open.kinds.contains(&kind) => {
                open.count += 1;
                Asked::Counted
            }
            _ => Asked::No,
        }
    }

    /// Ends the open probe, all of whose events have come; `false` if this is not it.
    pub(crate) fn end(&mut self, subscription: u64) -> bool {
        match self.open.take_if(|open| open.subscription == subscription) {
            Some(open) => {
                self.most = self.most.max(open.count);
                self.shape = self.shape.next();
                true
            }
            None => false,
        }
    }

    /// The relay refuses the open probe; `false` if this is not it.
    pub(crate) fn refused(&mut self, subscription: u64) -> bool {
        let refused = self.open.take_if(|open| open.subscription == subscription);
        if refused.is_some() {
            self.shape = self.shape.next();
        }
        refused.is_some()
    }

    /// The open probe is not put again in this way.
    pub(crate) fn refuse_open(&mut self) {
        if self.open.take().is_some() {
            self.shape = self.shape.next();
        }
    }

    /// The open probe ends without an answer, and is put again.
    pub(crate) fn give_up(&mut self) -> Option<u64> {
        self.open.take().map(|open| open.subscription)
    }
}
