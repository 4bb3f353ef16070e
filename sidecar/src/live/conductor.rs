//! [`Conductor`]: has [`Links`] decide which peer pushes whose events and which are polled, tells it what
//! happens, and passes its orders on to the connections.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use constellation_shared::{EventId, Pubkey};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Duration, Instant, sleep};

use crate::admission::intake::{ArrivalListener, PeerIndex};
use crate::live::known::Known;
use crate::plan::links::{Action, Arrival, Delivery, LinkId, Links, PollOutcome, Worth};
use crate::relay::message::Head;
use crate::support::mutex::lock;

/// What a connection has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Order {
    /// Have the relay push what [`Conductor::pushed_by`] says, in place of what it pushed before.
    Subscribe,
    /// Compare the recent past with it.
    Poll,
    /// Fetch these events by their ids.
    Fetch(Vec<EventId>),
}

/// Decides of which peers events are pushed.
#[derive(Debug)]
pub(super) struct Conductor {
    began: Instant,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    links: Links,
    orders: BTreeMap<LinkId, mpsc::UnboundedSender<Order>>,
    /// The events that came lately.
    known: Known,
    /// New events that are being verified, and how they came.
    unverified: BTreeMap<EventId, Way>,
}

/// How an event came.
#[derive(Debug, Clone, Copy)]
struct Way {
    from: LinkId,
    delivery: Delivery,
}

impl State {
    fn arrived(&mut self, now: u64, way: Way, event: &Head, worth: Worth) {
        let arrival = Arrival {
            from: way.from,
            id: event.id,
            author: event.author,
            delivery: way.delivery,
            worth,
        };
        self.links.arrived(now, &arrival);
    }
}

/// Whose events a relay pushes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pushed {
    /// The authors, in ascending order.
    pub(super) authors: Vec<Pubkey>,
    /// Those to name if the relay has no room for the names of all. `None` if nobody need be named.
    pub(super) at_least: Option<Vec<Pubkey>>,
}

impl Conductor {
    /// A conductor without connections.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            state: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// A connection is up. Returns what it has to do from now on.
    pub(super) fn connected(
        &self,
        link: LinkId,
        can_be_polled: bool,
    ) -> mpsc::UnboundedReceiver<Order> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.tell(|state, now| {
            state.orders.insert(link, sender);
            state.links.connected(now, link, can_be_polled);
        });
        receiver
    }

    /// A connection was lost or given up.
    pub(super) fn disconnected(&self, link: LinkId) {
        self.tell(|state, now| {
            state.orders.remove(&link);
            state.links.disconnected(now, link);
        });
    }

    /// So many authors are followed.
    pub(super) fn follow(&self, authors: usize) {
        self.tell(|state, _| state.links.follow(authors));
    }

    /// Which of those who are followed are pushed by this peer.
    pub(super) fn pushed_by(&self, link: LinkId, followed: &[Pubkey]) -> Pushed {
        let state = lock(&self.state);
        let authors = followed.iter();
        let authors = authors.filter(|author| !state.links.leaves_out(link, author));
        let is_followed = |author: &Pubkey| followed.binary_search(author).is_ok();
        Pushed {
            authors: authors.copied().collect(),
            at_least: (!state.links.pushes_all(link))
                .then(|| state.links.routed(link).filter(is_followed).collect()),
        }
    }

    /// Whether this peer pushes everything, and is not polled.
    pub(super) fn pushes_all(&self, link: LinkId) -> bool {
        lock(&self.state).links.pushes_all(link)
    }

    /// An event came that is wanted; whether none of this id came lately. What becomes of one that is
    /// the first is told by [`ArrivalListener::arrived`], or by [`Conductor::is_known`].
    pub(super) fn came(&self, link: LinkId, event: &Head, delivery: Delivery) -> bool {
        let mut is_first = false;
        self.tell(|state, now| {
            is_first = state.known.is_first(event);
            if is_first {
                let from = link;
                state.unverified.insert(event.id, Way { from, delivery });
            } else {
                let way = Way {
                    from: link,
                    delivery,
                };
                state.arrived(now, way, event, Worth::Duplicate);
            }
        });
        is_first
    }

    /// An event that seemed to be the first of its id came before, and is not verified again.
    pub(super) fn is_known(&self, event: &Head) {
        self.tell(|state, now| {
            if let Some(way) = state.unverified.remove(&event.id) {
                state.arrived(now, way, event, Worth::Duplicate);
            }
        });
    }

    /// An event came that is not wanted.
    pub(super) fn refuse(&self, link: LinkId, event: &Head, delivery: Delivery) {
        self.tell(|state, now| {
            state.known.is_first(event);
            let from = link;
            state.arrived(now, Way { from, delivery }, event, Worth::Refused);
        });
    }

    /// An event came in another way, by a reconciliation.
    fn note(&self, event: &Head) {
        lock(&self.state).known.is_first(event);
    }

    /// When the events of these ids were created, as far as they came lately; the others are not
    /// here.
    pub(super) fn created_at(&self, id: &EventId) -> Option<u64> {
        lock(&self.state).known.created_at(id)
    }

    /// A poll ended.
    pub(super) fn polled(&self, link: LinkId, outcome: PollOutcome) {
        self.tell(|state, now| state.links.polled(now, link, outcome));
    }

    /// A connection has sent all that it will send of what it was asked for by id.
    pub(super) fn fetch_ended(&self, link: LinkId) {
        self.tell(|state, now| state.links.fetch_ended(now, link));
    }

    /// Gives orders when their time has come, for ever.
    pub(super) async fn conduct(&self) {
        loop {
            let next = lock(&self.state).links.next_at();
            let wait = next.map(|at| at.saturating_sub(self.now()));
            let wait = wait.map_or(Duration::from_secs(3600), Duration::from_millis);
            tokio::select! {
                () = sleep(wait) => self.tell(|_, _| {}),
                () = self.changed.notified() => {}
            }
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Tells what happened, and passes on what is to be done then.
    fn tell(&self, happened: impl FnOnce(&mut State, u64)) {
        let now = self.now();
        let mut state = lock(&self.state);
        let next = |state: &State| state.links.next_at().unwrap_or(u64::MAX);
        let before = next(&state);
        happened(&mut state, now);
        for action in state.links.due(now) {
            let (link, order) = match action {
                Action::Subscribe(link) => (link, Order::Subscribe),
                Action::Poll(link) => (link, Order::Poll),
                Action::Fetch(link, ids) => (link, Order::Fetch(ids)),
            };
            if let Some(orders) = state.orders.get(&link) {
                // A connection that has just been lost says so itself.
                let _ = orders.send(order);
            }
        }
        if next(&state) < before {
            self.changed.notify_one();
        }
    }
}

impl ArrivalListener for Conductor {
    fn arrived(&self, event: &Head, is_forged: bool, _: Option<PeerIndex>) {
        self.tell(|state, now| {
            let Some(way) = state.unverified.remove(&event.id) else {
                return;
            };
            let worth = if is_forged {
                // The genuine one is welcome.
                state.known.forget(&event.id);
                Worth::Refused
            } else {
                Worth::New
            };
            state.arrived(now, way, event, worth);
        });
    }
}

/// Tells a reconciliation what became of its events, and the conductor that they came.
#[derive(Debug)]
pub(super) struct AlsoKnown {
    pub(super) conductor: Arc<Conductor>,
    pub(super) listener: Arc<dyn ArrivalListener>,
}

impl ArrivalListener for AlsoKnown {
    fn arrived(&self, event: &Head, is_forged: bool, fetched_by: Option<PeerIndex>) {
        if !is_forged {
            self.conductor.note(event);
        }
        self.listener.arrived(event, is_forged, fetched_by);
    }
}
