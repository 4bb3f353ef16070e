//! [`Links`]: how the events of each live peer come to us. All chosen peers get every event sooner or
//! later, so if all of them pushed all they get, each event would be downloaded as often as there are
//! peers. Therefore a peer that pushes mostly what others brought before becomes *polled*: the recent
//! window is reconciled with it every few seconds, and only what is missing is fetched. A peer at
//! which missing events are found first becomes *subscribed* again. Peers that bring different events
//! all stay subscribed, and so do all if so little happens that pushing costs less than polling.
//!
//! No clock, no input or output and no random numbers: callers pass the time in milliseconds of any
//! steady clock, tell what happens, and do what [`Links::due`] says.

mod link;
mod missing;

use std::collections::BTreeMap;

use constellation_shared::key::EventId;

use crate::plan::links::link::{Brought, Link, Recent};
pub use crate::plan::links::link::{LinkId, Mode};
use crate::plan::links::missing::MissingIds;

/// How long to wait from one poll of a peer to the next if polls of it find what nobody pushes, in
/// milliseconds.
pub const SHORTEST_INTERVAL: u64 = 6000;

/// How long to wait at most from one poll of a peer to the next, in milliseconds.
pub const LONGEST_INTERVAL: u64 = 15_000;

/// How long an event that a poll found may wait for a subscribed peer to push it, in milliseconds.
pub const GRACE: u64 = 500;

/// How often it is decided again how events come, in milliseconds.
const REVIEW: u64 = 1000;

/// A decision needs at least this many new events of lately.
const ENOUGH: f64 = 16.0;

/// More downloads than this for each new event are too many.
const MOST_COPIES: f64 = 1.25;

/// Subscribed peers push enough if they push at least this share of all new events.
const ENOUGH_PUSHED: f64 = 0.8;

/// If polls find more than this share of the new events first, another peer is subscribed by way of
/// trial.
const MOST_FETCHED: f64 = 0.3;

/// If this many events in a row had to be fetched, the subscribed peers count as silent.
const SILENCE: u32 = 8;

/// A peer becomes polled only if more than this many events were downloaded in vain lately, about
/// six a minute. Fewer cost less than polls would.
const IN_VAIN: f64 = 8.0;

/// If fewer new events than this came lately, a polled peer is subscribed again, as what it would
/// push in vain costs less than polls do: about two a minute.
const QUIET: f64 = 2.5;

/// How long it must be quiet before a polled peer is subscribed for that reason, and from one such
/// peer to the next, in milliseconds.
const QUIET_TIME: u64 = 60_000;

/// How long a peer is not tried again after a trial in vain, in milliseconds. Each further one
/// doubles this, up to [`LONGEST_TRIAL_REST`].
const FIRST_TRIAL_REST: u64 = 60_000;
/// The longest time for which a peer is not tried again, in milliseconds.
const LONGEST_TRIAL_REST: u64 = 3_600_000;

/// How an event came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// A subscribed peer pushed it.
    Pushed,
    /// It was fetched by its id, because a poll had found it.
    Fetched,
}

/// What an event that came was good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worth {
    /// It was not here, and is let in.
    New,
    /// It was here, or on its way into the database.
    Duplicate,
    /// It is not let in.
    Refused,
}

/// What a poll of a peer came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PollOutcome {
    /// The peer holds these events, which are not here; none of them was refused before.
    Missing(Vec<EventId>),
    /// The poll broke off or took too long.
    Failed,
    /// The peer cannot reconcile at all, and is subscribed from now on.
    Unsupported,
}

/// What the caller has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Open the subscription at this peer, overlapping with what is known to be complete.
    Subscribe(LinkId),
    /// Close the subscription at this peer, which is polled from now on.
    Unsubscribe(LinkId),
    /// Reconcile the recent window with this peer, then call [`Links::polled`].
    Poll(LinkId),
    /// Fetch these events from this peer by their ids, then call [`Links::fetch_ended`].
    Fetch(LinkId, Vec<EventId>),
}

/// How the events of each live peer come to us. Times in milliseconds.
#[derive(Debug, Default)]
pub struct Links {
    links: BTreeMap<LinkId, Link>,
    missing: MissingIds,
    /// Decisions that the caller has not heard of.
    actions: Vec<Action>,
    /// New events of lately, whoever brought them.
    new: Recent,
    /// How many events in a row had to be fetched, while no subscribed peer pushed any.
    fetched_in_a_row: u32,
    last_poll: Option<u64>,
    last_review: u64,
    /// Since when it has been quiet.
    quiet_since: Option<u64>,
}

impl Links {
    /// Records that a peer is connected. It is subscribed at first. `can_be_polled` says whether it
    /// speaks NIP-77, as far as that is known.
    pub fn connected(&mut self, now: u64, id: LinkId, can_be_polled: bool) {
        self.actions.push(Action::Subscribe(id));
        self.links.insert(
            id,
            Link {
                mode: Mode::Subscribed,
                can_be_polled,
                mode_since: now,
                brought: Brought::default(),
                polled_at: now,
                is_being_polled: false,
                interval: SHORTEST_INTERVAL,
                no_trial_before: now,
                trial_rest: FIRST_TRIAL_REST,
            },
        );
    }

    /// Records that the connection to a peer was lost or given up. If the others push too little,
    /// one of them is subscribed at once.
    pub fn disconnected(&mut self, now: u64, id: LinkId) {
        let Some(link) = self.links.remove(&id) else {
            return;
        };
        self.actions.retain(|action| !concerns(action, id));
        self.missing.lose(id, now);
        if link.is_subscribed() && !self.is_enough_pushed(now) {
            self.subscribe_best(now);
        }
    }

    /// Records that an event came.
    pub fn arrived(
        &mut self,
        now: u64,
        from: LinkId,
        event: &EventId,
        delivery: Delivery,
        worth: Worth,
    ) {
        self.missing.remove(event);
        if worth == Worth::New {
            self.new.add(now);
        }
        let Some(link) = self.links.get_mut(&from) else {
            return;
        };
        let brought = &mut link.brought;
        match (delivery, worth) {
            (Delivery::Pushed, Worth::New) => brought.pushed_first.add(now),
            (Delivery::Pushed, _) => brought.pushed_in_vain.add(now),
            (Delivery::Fetched, Worth::New) => {
                brought.fetched_first.add(now);
                link.interval = SHORTEST_INTERVAL;
            }
            (Delivery::Fetched, _) => {}
        }
        match (delivery, worth) {
            (_, Worth::Refused) => {}
            (Delivery::Pushed, _) => self.fetched_in_a_row = 0,
            (Delivery::Fetched, _) => {
                self.fetched_in_a_row = self.fetched_in_a_row.saturating_add(1);
            }
        }
    }

    /// Records what a poll came to.
    pub fn polled(&mut self, now: u64, id: LinkId, outcome: PollOutcome) {
        let is_pushed = self.links.values().any(Link::is_subscribed);
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        link.is_being_polled = false;
        link.interval = (link.interval + link.interval / 2).min(LONGEST_INTERVAL);
        match outcome {
            PollOutcome::Missing(ids) => {
                let at = if is_pushed { now + GRACE } else { now };
                for event in ids {
                    if !self.missing.add(id, event, at) {
                        link.interval = SHORTEST_INTERVAL;
                    }
                }
            }
            PollOutcome::Failed => link.interval = LONGEST_INTERVAL,
            PollOutcome::Unsupported => {
                link.can_be_polled = false;
                self.subscribe(now, id);
            }
        }
    }

    /// Records that a peer has sent all that it will send of what it was asked for by id. What did
    /// not come is asked of another peer that holds it.
    pub fn fetch_ended(&mut self, now: u64, id: LinkId) {
        self.missing.end_fetch(id, now);
    }

    /// How the events of a peer come, if it is connected.
    pub fn mode(&self, id: LinkId) -> Option<Mode> {
        self.links.get(&id).map(|link| link.mode)
    }

    /// What is to be done by now. To be called after anything was recorded, and at
    /// [`Links::next_at`].
    pub fn due(&mut self, now: u64) -> Vec<Action> {
        if now >= self.last_review + REVIEW {
            self.last_review = now;
            self.review(now);
        }
        let mut actions = std::mem::take(&mut self.actions);
        if self.next_poll().is_some_and(|(at, _)| at <= now)
            && let Some((_, id)) = self.next_poll()
            && let Some(link) = self.links.get_mut(&id)
        {
            link.is_being_polled = true;
            link.polled_at = now;
            self.last_poll = Some(now);
            actions.push(Action::Poll(id));
        }
        let fetches = self.missing.due(now).into_iter();
        actions.extend(fetches.map(|(id, events)| Action::Fetch(id, events)));
        actions
    }

    /// When [`Links::due`] is to be called next, if nothing happens before.
    pub fn next_at(&self) -> Option<u64> {
        if !self.actions.is_empty() {
            return Some(0);
        }
        let review = (!self.links.is_empty()).then_some(self.last_review + REVIEW);
        let poll = self.next_poll().map(|(at, _)| at);
        [review, poll, self.missing.next_at()]
            .into_iter()
            .flatten()
            .min()
    }

    /// The peer to poll next, and when. Polls are spread: of n polled peers, one is polled each nth
    /// part of the shortest interval at most.
    fn next_poll(&self) -> Option<(u64, LinkId)> {
        let polled = self.links.values().filter(|link| !link.is_subscribed());
        let spacing = SHORTEST_INTERVAL / (polled.count().max(1) as u64);
        let due = |(id, link): (&LinkId, &Link)| link.poll_due().map(|at| (at, *id));
        let (at, id) = self.links.iter().filter_map(due).min()?;
        let earliest = self.last_poll.map_or(0, |last| last + spacing);
        Some((at.max(earliest), id))
    }

    /// Decides again how the events of each peer come.
    fn review(&mut self, now: u64) {
        if !self.links.values().any(Link::is_subscribed) || self.fetched_in_a_row >= SILENCE {
            self.fetched_in_a_row = 0;
            self.subscribe_best(now);
            return;
        }
        let new = self.new.sum_at(now);
        self.review_quiet(now, new);
        if new < ENOUGH {
            return;
        }
        let fetched: f64 = self
            .links
            .values()
            .map(|link| link.brought.fetched_first.sum_at(now))
            .sum();
        let downloads = self.pushed_at(now) + fetched;
        if downloads > MOST_COPIES * new && downloads - new > IN_VAIN {
            self.poll_worst(now, new);
        } else if fetched / new > MOST_FETCHED {
            self.try_best(now);
        }
    }

    /// If it has been quiet for long, subscribes a polled peer.
    fn review_quiet(&mut self, now: u64, new: f64) {
        if new > QUIET {
            self.quiet_since = None;
            return;
        }
        let since = *self.quiet_since.get_or_insert(now);
        if now - since >= QUIET_TIME {
            self.quiet_since = Some(now);
            self.subscribe_best(now);
        }
    }

    /// How many events subscribed peers pushed lately.
    fn pushed_at(&self, now: u64) -> f64 {
        let subscribed = self.links.values().filter(|link| link.is_subscribed());
        subscribed.map(|link| link.brought.pushed_at(now)).sum()
    }

    fn is_enough_pushed(&self, now: u64) -> bool {
        self.links.values().any(Link::is_subscribed)
            && self.pushed_at(now) >= ENOUGH_PUSHED * self.new.sum_at(now)
    }

    /// Of the subscribed peers without which the others would push enough, polls the one whose pushes
    /// were new least often.
    fn poll_worst(&mut self, now: u64, new: f64) {
        let pushed = self.pushed_at(now);
        let may_be_polled = |link: &Link| {
            link.is_subscribed()
                && link.can_be_polled
                && link.brought.pushed_at(now) >= ENOUGH
                && pushed - link.brought.pushed_at(now) >= ENOUGH_PUSHED * new
        };
        let share = |link: &Link| link.brought.share_first_at(now);
        let worst = self
            .links
            .iter_mut()
            .filter(|(_, link)| may_be_polled(link))
            .min_by(|(_, one), (_, other)| share(one).total_cmp(&share(other)));
        let Some((&id, link)) = worst else {
            return;
        };
        link.mode = Mode::Polled;
        link.mode_since = now;
        link.brought = Brought::default();
        link.interval = SHORTEST_INTERVAL;
        link.no_trial_before = now + link.trial_rest;
        link.trial_rest = (2 * link.trial_rest).min(LONGEST_TRIAL_REST);
        self.actions.push(Action::Unsubscribe(id));
    }

    /// Subscribes the polled peer at which polls found most, unless that was in vain not long ago.
    fn try_best(&mut self, now: u64) {
        let best = self
            .best(now, |link| now >= link.no_trial_before)
            .filter(|id| {
                let link = self.links.get(id);
                link.is_some_and(|link| link.brought.first_at(now) > 1.0)
            });
        if let Some(id) = best {
            self.subscribe(now, id);
        }
    }

    /// Subscribes the polled peer that brought most lately, if there is one.
    fn subscribe_best(&mut self, now: u64) {
        if let Some(id) = self.best(now, |_| true) {
            self.subscribe(now, id);
        }
    }

    /// The polled peer that brought most new events lately.
    fn best(&self, now: u64, is_eligible: impl Fn(&Link) -> bool) -> Option<LinkId> {
        let merit = |link: &Link| link.brought.first_at(now);
        self.links
            .iter()
            .filter(|(_, link)| !link.is_subscribed() && is_eligible(link))
            .max_by(|(_, one), (_, other)| merit(one).total_cmp(&merit(other)))
            .map(|(id, _)| *id)
    }

    fn subscribe(&mut self, now: u64, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id)
            && !link.is_subscribed()
        {
            link.mode = Mode::Subscribed;
            link.mode_since = now;
            self.actions.push(Action::Subscribe(id));
        }
    }
}

/// Whether an action is to be done at this peer.
fn concerns(action: &Action, id: LinkId) -> bool {
    match action {
        Action::Subscribe(other)
        | Action::Unsubscribe(other)
        | Action::Poll(other)
        | Action::Fetch(other, _) => *other == id,
    }
}

#[cfg(test)]
mod tests;
