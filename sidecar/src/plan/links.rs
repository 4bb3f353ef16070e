//! [`Links`]: what each live peer pushes to us. All chosen peers get every event sooner or later, and
//! a relay pushes all that matches, so each event would be downloaded as often as there are peers.
//! But the events of one author spread from one station, and nearly always the same peer has them
//! first: that peer becomes the author's *route*, and the subscriptions at the others leave the author
//! out. A peer whose subscription leaves somebody out is *polled*, too: the recent window is
//! reconciled with it every few seconds, and what nobody has pushed is fetched. What polls find first
//! again and again changes the route.
//!
//! Nobody is left out where peers bring different events, where so little happens that duplicates
//! cost less than polls, and at peers that cannot be polled.
//!
//! No clock, no input or output and no random numbers: callers pass the time in milliseconds of any
//! steady clock, tell what happens, and do what [`Links::due`] says.

mod exchange;
mod link;
mod missing;
mod routes;

use std::collections::{BTreeMap, BTreeSet};

use constellation_shared::Pubkey;

pub use crate::plan::links::exchange::{Action, Arrival, Delivery, PollOutcome, Worth};
pub use crate::plan::links::link::LinkId;
use crate::plan::links::link::{Link, Recent};
use crate::plan::links::missing::MissingIds;
use crate::plan::links::routes::Routes;

/// How long to wait from one poll of a peer to the next if polls of it find what nobody pushes, in
/// milliseconds.
const SHORTEST_INTERVAL: u64 = 5000;

/// How long to wait at most from one poll of a peer to the next, in milliseconds.
const LONGEST_INTERVAL: u64 = 15_000;

/// How long an event that a poll found may wait for its route to push it, in milliseconds.
const GRACE: u64 = 1500;

/// How often it is decided again what is pushed, in milliseconds.
const REVIEW: u64 = 1000;

/// A decision needs at least this many new events of lately.
const ENOUGH: f64 = 16.0;

/// More downloads than this for each new event are too many.
const MOST_COPIES: f64 = 1.1;

/// Subscriptions leave somebody out only if more than this many events were pushed in vain lately,
/// about six a minute. Fewer cost less than polls would.
const IN_VAIN: f64 = 8.0;

/// If fewer new events than this came lately, about two a minute, nobody is left out any more, as
/// duplicates then cost less than polls do.
const QUIET: f64 = 2.5;

/// How long it must be quiet before a peer pushes everything again, and from one such peer to the
/// next, in milliseconds.
const QUIET_TIME: u64 = 60_000;

/// A peer is subscribed anew once this many events came from the wrong peers; and only once there is
/// one for so many authors that the subscription names, because each name takes 67 bytes.
const MISPLACED: usize = 16;
const AUTHORS_FOR_AN_EVENT: usize = 8;

/// An event that had to be fetched although its route is the peer counts like this many duplicates.
const LATE: usize = 4;

/// How long to wait from one subscription at a peer to the next at least, in milliseconds.
const SUBSCRIPTION_PAUSE: u64 = 10_000;

/// A peer is nobody's route for a while if it lately pushed more events than this that are not let in,
/// or that were here although it is their route, and more than this many times as many as it was the
/// first to bring.
const MOST_USELESS: f64 = 32.0;
const MOST_USELESS_FOR_A_FIRST: f64 = 2.0;

/// How long such a peer is nobody's route, in milliseconds.
const DISTRUST: u64 = 3_600_000;

/// If this many events in a row had to be fetched, one peer pushes everything again.
const SILENCE: u32 = 12;

/// What each live peer pushes to us. Times in milliseconds.
#[derive(Debug, Default)]
pub struct Links {
    links: BTreeMap<LinkId, Link>,
    routes: Routes,
    missing: MissingIds,
    /// How many authors are followed.
    followed: usize,
    /// Peers at which to subscribe, of which the caller has not heard.
    to_subscribe: BTreeSet<LinkId>,
    /// New events of lately, whoever brought them, and downloads that were of no use.
    new: Recent,
    in_vain: Recent,
    /// How many events in a row had to be fetched, while nobody pushed any.
    fetched_in_a_row: u32,
    last_poll: Option<u64>,
    last_review: u64,
    /// Since when it has been quiet.
    quiet_since: Option<u64>,
}

impl Links {
    /// Records how many authors are followed, which is how many a subscription names that leaves
    /// nobody out.
    pub fn follow(&mut self, authors: usize) {
        self.followed = authors;
    }

    /// Records that a peer is connected. `can_be_polled` says whether it speaks NIP-77, as far as
    /// that is known.
    pub fn connected(&mut self, now: u64, id: LinkId, can_be_polled: bool) {
        let is_busy = self.links.values().any(|link| !link.is_whole());
        let link = Link {
            can_be_polled,
            polled_at: now,
            interval: SHORTEST_INTERVAL,
            ..Link::default()
        };
        self.links.insert(id, link);
        if is_busy && can_be_polled {
            self.narrow(now, id);
        } else {
            self.widen(now, id);
        }
    }

    /// Records that the connection to a peer was lost or given up. Others push what it pushed.
    pub fn disconnected(&mut self, now: u64, id: LinkId) {
        if self.links.remove(&id).is_none() {
            return;
        }
        self.to_subscribe.remove(&id);
        self.missing.lose(id, now);
        self.take_routes(id);
        self.resubscribe(now, |_| true);
    }

    /// Lets others push what this peer was the route of.
    fn take_routes(&mut self, id: LinkId) {
        let authors = self.routes.lose(id);
        for (other, link) in &mut self.links {
            for author in &authors {
                let route = self.routes.of(author);
                let should_push = route.is_none() || route == Some(*other);
                if should_push && link.left_out.contains(author) {
                    link.misplaced += LATE;
                }
            }
        }
    }

    /// Records that an event came.
    pub fn arrived(&mut self, now: u64, arrival: &Arrival) {
        let Arrival { from, author, .. } = *arrival;
        self.missing.remove(&arrival.id);
        let is_pushed = arrival.delivery == Delivery::Pushed;
        let is_new = arrival.worth == Worth::New;
        if is_new {
            self.new.add(now);
        } else {
            self.in_vain.add(now);
        }
        let Some(link) = self.links.get_mut(&from) else {
            return;
        };
        if arrival.worth == Worth::Refused {
            link.useless.add(now);
            return;
        }
        if is_new {
            link.first.add(now);
        }
        if is_pushed {
            self.fetched_in_a_row = 0;
        } else {
            self.fetched_in_a_row = self.fetched_in_a_row.saturating_add(1);
            link.interval = SHORTEST_INTERVAL;
        }
        if now >= link.distrusted_until {
            self.routes.bring(author, from, is_new);
        }
        let is_route = self.routes.of(&author) == Some(from);
        if is_pushed && !is_new && is_route {
            link.useless.add(now);
        } else if is_pushed && !is_new {
            link.misplaced += 1;
        }
        if !is_pushed && is_route && link.left_out.contains(&author) {
            link.misplaced += LATE;
        }
    }

    /// Records what a poll came to.
    pub fn polled(&mut self, now: u64, id: LinkId, outcome: PollOutcome) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        link.is_being_polled = false;
        link.interval = (link.interval + link.interval / 2).min(LONGEST_INTERVAL);
        match outcome {
            PollOutcome::Missing(ids) => {
                for event in ids {
                    if !self.missing.add(id, event, now + GRACE) {
                        link.interval = SHORTEST_INTERVAL;
                    }
                }
            }
            PollOutcome::Failed => link.interval = LONGEST_INTERVAL,
            PollOutcome::Unsupported => {
                link.can_be_polled = false;
                self.widen(now, id);
            }
        }
    }

    /// Records that a peer has sent all that it will send of what it was asked for by id. What did
    /// not come is asked of another peer that holds it.
    pub fn fetch_ended(&mut self, now: u64, id: LinkId) {
        self.missing.end_fetch(id, now);
    }

    /// Whether this peer is connected.
    pub fn is_connected(&self, id: LinkId) -> bool {
        self.links.contains_key(&id)
    }

    /// Whether the subscription at this peer leaves an author out, because another peer has this
    /// author's events first.
    pub fn leaves_out(&self, id: LinkId, author: &Pubkey) -> bool {
        let link = self.links.get(&id);
        link.is_some_and(|link| link.left_out.contains(author))
    }

    /// Whether a peer pushes the events of all authors, and is not polled.
    pub fn pushes_all(&self, id: LinkId) -> bool {
        self.links.get(&id).is_some_and(Link::is_whole)
    }

    /// The authors whose events this peer has first: what to subscribe to at a peer that does not push
    /// all, if there are too many authors to name the others, too.
    pub fn routed(&self, id: LinkId) -> impl Iterator<Item = Pubkey> {
        self.routes.by(id)
    }

    /// What is to be done by now. To be called after anything but an arrival was recorded, and at
    /// [`Links::next_at`].
    pub fn due(&mut self, now: u64) -> Vec<Action> {
        if now >= self.last_review + REVIEW {
            self.last_review = now;
            self.review(now);
        }
        let subscribe = std::mem::take(&mut self.to_subscribe);
        let mut actions: Vec<Action> = subscribe.into_iter().map(Action::Subscribe).collect();
        if let Some((at, id)) = self.next_poll()
            && at <= now
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
        if !self.to_subscribe.is_empty() {
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
        let polled = self.links.values().filter(|link| !link.is_whole());
        let spacing = SHORTEST_INTERVAL / (polled.count().max(1) as u64);
        let due = |(id, link): (&LinkId, &Link)| link.poll_due().map(|at| (at, *id));
        let (at, id) = self.links.iter().filter_map(due).min()?;
        let earliest = self.last_poll.map_or(0, |last| last + spacing);
        Some((at.max(earliest), id))
    }

    /// Decides again what is pushed.
    fn review(&mut self, now: u64) {
        let new = self.new.sum_at(now);
        if self.fetched_in_a_row >= SILENCE {
            self.fetched_in_a_row = 0;
            self.widen_best(now);
            return;
        }
        self.review_quiet(now, new);
        self.review_trust(now);
        let in_vain = self.in_vain.sum_at(now);
        if new >= ENOUGH && in_vain > IN_VAIN && in_vain > (MOST_COPIES - 1.0) * new {
            self.resubscribe(now, |_| true);
        } else {
            self.resubscribe(now, |link| !link.is_whole());
        }
    }

    /// Takes the routes from peers that send events again and again, or junk.
    fn review_trust(&mut self, now: u64) {
        let is_useless = |link: &Link| {
            let first = link.first.sum_at(now);
            let most = MOST_USELESS + MOST_USELESS_FOR_A_FIRST * first;
            link.useless.sum_at(now) > most
        };
        let useless = self.links.iter().filter(|(_, link)| is_useless(link));
        let useless: Vec<LinkId> = useless.map(|(id, _)| *id).collect();
        for id in useless {
            if let Some(link) = self.links.get_mut(&id) {
                link.distrusted_until = now + DISTRUST;
                link.misplaced += MISPLACED;
                link.useless = Recent::default();
            }
            self.take_routes(id);
        }
    }

    /// If it has been quiet for long, lets one more peer push everything.
    fn review_quiet(&mut self, now: u64, new: f64) {
        if new > QUIET {
            self.quiet_since = None;
            return;
        }
        let since = *self.quiet_since.get_or_insert(now);
        if now - since >= QUIET_TIME {
            self.quiet_since = Some(now);
            self.widen_best(now);
        }
    }

    /// Subscribes anew at those of these peers from which too many events came that should have come
    /// from others, or the other way round.
    fn resubscribe(&mut self, now: u64, is_meant: fn(&Link) -> bool) {
        let followed = self.followed;
        let is_due = |link: &Link| {
            let named = followed.saturating_sub(link.left_out.len());
            let enough = MISPLACED.max(named / AUTHORS_FOR_AN_EVENT);
            link.can_be_polled
                && link.misplaced >= enough
                && now >= link.subscribed_at + SUBSCRIPTION_PAUSE
        };
        let links = self.links.iter();
        let due: Vec<LinkId> = links
            .filter(|(_, link)| is_meant(link) && is_due(link))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.narrow(now, id);
        }
    }

    /// Subscribes at this peer to the authors of whom no other peer is the route.
    fn narrow(&mut self, now: u64, id: LinkId) {
        let left_out = self.routes.elsewhere(id).collect();
        self.subscribe(now, id, left_out);
    }

    /// Subscribes at this peer to all authors.
    fn widen(&mut self, now: u64, id: LinkId) {
        self.subscribe(now, id, BTreeSet::new());
    }

    /// Subscribes to all authors at the polled peer that was the first to bring most of late.
    fn widen_best(&mut self, now: u64) {
        let merit = |link: &Link| link.first.sum_at(now);
        let polled = self.links.iter().filter(|(_, link)| !link.is_whole());
        let best = polled.max_by(|(_, one), (_, other)| merit(one).total_cmp(&merit(other)));
        if let Some(id) = best.map(|(id, _)| *id) {
            self.widen(now, id);
        }
    }

    fn subscribe(&mut self, now: u64, id: LinkId, left_out: BTreeSet<Pubkey>) {
        if let Some(link) = self.links.get_mut(&id) {
            link.left_out = left_out;
            link.subscribed_at = now;
            link.misplaced = 0;
            self.to_subscribe.insert(id);
        }
    }
}

#[cfg(test)]
mod tests;
