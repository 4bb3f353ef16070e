//! [`Manners`]: what a relay's answers showed of it, beside what it tells itself (NIP-11).

use serde::{Deserialize, Serialize};

use crate::relay::pager::Bounds;

/// How long it is believed, in seconds: a day.
const BELIEVED: u64 = 86_400;

/// What a relay's answers showed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manners {
    /// Up to when it need not be asked to reconcile, in Unix seconds: it said that it never does, or
    /// it sends no events by their ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    no_reconciliation_until: Option<u64>,
    /// Up to when it is not asked at all, and why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rest: Option<Rest>,
    /// How much it takes in one question, if it refused more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bounds: Option<DatedBounds>,
}

/// Bounds, and up to when they are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct DatedBounds {
    until: u64,
    bounds: Bounds,
}

/// Up to when a relay is left alone, in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// The time.
    pub until: u64,
    /// Why.
    pub reason: RestReason,
}

/// Why a relay is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestReason {
    /// It asked for that.
    Busy,
    /// It answers only clients who authenticate (NIP-42).
    WantsAuth,
}

/// Whether something that is believed for a day still is at `now`. A time further ahead was set by
/// a clock that was wrong.
const fn is_believed(until: u64, now: u64) -> bool {
    now < until && until <= now.saturating_add(BELIEVED)
}

impl Manners {
    /// Whether it need not be asked to reconcile at `now`, in Unix seconds.
    pub fn never_reconciles(&self, now: u64) -> bool {
        let until = self.no_reconciliation_until;
        until.is_some_and(|until| is_believed(until, now))
    }

    /// It refused at `now` to reconcile, not for the size of a question.
    pub fn refuse_reconciliation(&mut self, now: u64) {
        self.no_reconciliation_until = Some(now.saturating_add(BELIEVED));
    }

    /// How much it takes in one question, if that is known at `now`.
    pub fn bounds(&self, now: u64) -> Option<Bounds> {
        let dated = self.bounds.filter(|dated| is_believed(dated.until, now));
        dated.map(|dated| dated.bounds)
    }

    /// It was found at `now` to take no more than this in one question.
    pub fn learn_bounds(&mut self, bounds: Bounds, now: u64) {
        if !bounds.are_none() && self.bounds(now) != Some(bounds) {
            let until = now.saturating_add(BELIEVED);
            self.bounds = Some(DatedBounds { until, bounds });
        }
    }

    /// Why it is left alone at `now`, in Unix seconds, if it is.
    pub fn rest(&self, now: u64) -> Option<Rest> {
        self.rest.filter(|rest| is_believed(rest.until, now))
    }

    /// Leaves it alone for this many seconds from `now` on, but not for longer than a day.
    pub fn leave_alone(&mut self, reason: RestReason, seconds: u64, now: u64) {
        let until = now.saturating_add(seconds.min(BELIEVED));
        self.rest = Some(Rest { until, reason });
    }

    /// Leaves it alone for a day, because it answers only clients who authenticate (NIP-42).
    pub fn want_auth(&mut self, now: u64) {
        self.leave_alone(RestReason::WantsAuth, BELIEVED, now);
    }

    /// What is still believed at `now`, in Unix seconds.
    pub(crate) fn fresh(self, now: u64) -> Self {
        let is_fresh = |until: &u64| is_believed(*until, now);
        Self {
            no_reconciliation_until: self.no_reconciliation_until.filter(is_fresh),
            rest: self.rest.filter(|rest| is_fresh(&rest.until)),
            bounds: self.bounds.filter(|dated| is_fresh(&dated.until)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_relay_showed_is_believed_for_a_day() {
        let mut manners = Manners::default();
        manners.refuse_reconciliation(1000);
        let bounds = Bounds {
            authors: 3,
            ..Bounds::default()
        };
        manners.learn_bounds(bounds, 1000);
        manners.learn_bounds(bounds, 2000);
        for (now, is_known) in [(1000, true), (87_399, true), (87_400, false), (10, false)] {
            assert_eq!(manners.never_reconciles(now), is_known, "{now}");
            assert_eq!(manners.bounds(now).is_some(), is_known, "{now}");
        }
        manners.want_auth(1000);
        assert!(manners.rest(87_399).is_some() && manners.rest(87_400).is_none());
        manners.learn_bounds(Bounds::default(), 1000);
        assert_eq!(manners.bounds(1000), Some(bounds), "nothing was refused");
        assert_eq!(manners.clone().fresh(1000), manners);
        assert_eq!(manners.fresh(87_400), Manners::default());
    }
}
