//! [`Link`]: the connection to one peer, which is opened again whenever it breaks.

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use constellation_shared::{EventId, Pubkey, counted};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::admission::counts::Tally;
use crate::admission::intake::Intake;
use crate::admission::rules::Refusal;
use crate::backfill::situation::Situation;
use crate::live::LIVE_LOG;
use crate::live::catch_up::{Gap, Healed, heal};
use crate::live::conductor::Order;
use crate::live::poll::Shown;
use crate::live::requests::{Form, Requests};
use crate::live::seen::Seen;
use crate::live::shared::Shared;
use crate::plan::links::{Delivery, LinkId};
use crate::plan::peer_memory::KnownLimits;
use crate::relay::connection::{ConnectError, Connection, ConnectionError, NO_WEBSOCKET, Stream};
use crate::relay::message::{self, FromRelay, Reason};
use crate::relay::nip11::{Information, InformationError};
use crate::relay::objection::Objection;
use crate::relay::rate_limit::named_wait;
use crate::relay::traffic::Traffic;
use crate::support::clock::unix_time;
use crate::support::error_chain::chain;
use crate::support::mutex::lock;
use crate::swarm::peer::Peer;
use crate::swarm::station_name::with_address;

/// How far before the loss of a connection a gap begins, in seconds: clocks differ, and what was sent
/// last may not have arrived.
pub(super) const OVERLAP: u64 = 900;

/// How long to wait for more events before those that came are handed on together.
const GATHERING: Duration = Duration::from_millis(2);

/// How long a relay may say nothing before it is asked for a sign of life.
const QUIET: Duration = Duration::from_secs(30);

/// How long the sign of life may take.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// How long to wait before a lost peer is tried again: at most, in the first half hour, and later.
const SOON: Duration = Duration::from_secs(3);
const LATER: Duration = Duration::from_secs(60);
const FIRST_HALF_HOUR: Duration = Duration::from_secs(1800);

/// How long a peer is left alone that refuses all questions, or sends nothing but garbage.
const LONG: Duration = Duration::from_secs(3600);

/// After what time another try is made to reconcile what was missed: the first time, and at most. It
/// doubles with each try in vain.
const HEALING_PAUSE: Duration = Duration::from_secs(20);
const LONGEST_HEALING_PAUSE: Duration = Duration::from_secs(1800);

/// More new keys than this are left to the next backfill, which names none of them: anybody may put
/// thousands of keys into a list.
const MOST_NEW_KEYS: usize = 500;

/// How many events are asked for by id in one question.
const IDS_AT_ONCE: usize = 250;

/// The bounds on what a relay sends hold for an hour.
const ONE_ACCOUNT: Duration = Duration::from_secs(3600);

/// Why a peer is not followed any more.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error("it refuses to say what is new: {0}")]
    Refused(String),
    #[error("it asks for patience: {0}")]
    Limited(String, Option<Duration>),
    #[error("it sends events that nobody asked for, or forged ones")]
    Garbage,
    #[error("this program is about to end")]
    Closed,
}

impl LinkError {
    /// Whether what answers at the address is no relay.
    fn is_no_relay(&self) -> bool {
        matches!(self, Self::Connect(error) if error.code() == NO_WEBSOCKET)
    }

    /// How long the peer is left alone at least.
    fn pause(&self) -> Option<Duration> {
        match self {
            Self::Limited(_, wait) => Some(wait.unwrap_or(LATER)),
            Self::Connect(ConnectError::Busy { wait, .. }) => Some(wait.unwrap_or(LATER)),
            Self::Connect(error) if !error.is_worth_another_try() => Some(LONG),
            Self::Refused(_) | Self::Garbage => Some(LONG),
            Self::Connection(ConnectionError::Wasteful { .. }) => Some(LONG),
            Self::Connect(_) | Self::Connection(_) | Self::Closed => None,
        }
    }
}

/// The connection to one peer.
pub(super) struct Link {
    id: LinkId,
    shared: Arc<Shared>,
    peer: Peer,
    /// By what other programs know it: the address that it had first.
    url: String,
    known: Option<KnownLimits>,
    form: Form,
    /// Since when what the peer has may be missing here, in Unix seconds; `None` if nothing is.
    missing_since: Option<u64>,
    /// Since when what came may have been lost behind the connection. Kept over all connections:
    /// while strfry takes nothing there is none.
    doubt: watch::Receiver<u64>,
    traffic: Arc<Traffic>,
    tally: Tally,
    account_began: Instant,
    seen: Seen,
    lost_at: Option<Instant>,
    was_ever_up: bool,
}

/// A connection that is up.
struct Following {
    connection: Connection<Box<dyn Stream>>,
    intake: Intake,
    /// Whether events wait in the intake.
    is_gathering: bool,
    requests: Requests,
    information: Information,
    situation: Arc<Situation>,
    /// Whether the relay has been asked to push what is new.
    has_been_asked: bool,
    /// Whether it pushes the events of all authors; else it is polled, too.
    pushes_all: bool,
    /// What it said during a poll, and is still to be taken.
    aside: VecDeque<String>,
    /// What to do, from the conductor.
    orders: mpsc::UnboundedReceiver<Order>,
    /// The questions by id that are open, and how many were asked.
    fetches: BTreeSet<String>,
    asked_by_id: u64,
    /// Whether it is to be polled once all that was asked by id has come.
    is_poll_due: bool,
    /// What it has shown to hold of the recent past.
    shown: Shown,
    /// Whether the relay has answered a question.
    has_answered: bool,
    /// How often the form of the questions has changed.
    round: u16,
    /// How many questions are unanswered.
    unanswered: usize,
    /// How many answers to former questions may still come.
    outdated: usize,
    gaps: VecDeque<Gap>,
    healing: JoinSet<Option<Healed>>,
    heal_at: Instant,
    healing_pause: Duration,
    has_failed_to_heal: bool,
}

impl Link {
    /// A link to this peer, of which everything was had up to this Unix time.
    pub(super) fn new(
        id: LinkId,
        shared: Arc<Shared>,
        peer: Peer,
        known: Option<KnownLimits>,
        complete_until: u64,
    ) -> Self {
        Self {
            id,
            doubt: shared.inlet.doubt(),
            shared,
            url: peer.url(),
            peer,
            known,
            form: Form::default(),
            missing_since: Some(complete_until.saturating_sub(OVERLAP)),
            traffic: Arc::default(),
            tally: Tally::default(),
            account_began: Instant::now(),
            seen: Seen::default(),
            lost_at: None,
            was_ever_up: false,
        }
    }

    /// Follows the peer for ever.
    pub(super) async fn keep(mut self) {
        let mut tries: u32 = 0;
        loop {
            let Err(error) = self.follow().await;
            if error.is_no_relay()
                && let Some(tunnel) = self.peer.instead.take()
            {
                self.peer.address = tunnel;
                continue;
            }
            let was_up = self.lost_at.is_none();
            let now = Instant::now();
            let lost_at = *self.lost_at.get_or_insert(now);
            tries = if was_up { 0 } else { tries.saturating_add(1) };
            let why = chain(&error);
            if was_up {
                info!(target: LIVE_LOG, "{}: lost: {why}", self.named());
            }
            self.tell(None, Some(why));
            let soon = Duration::from_millis(500) * 2_u32.saturating_pow(tries.min(8));
            let usual = if lost_at.elapsed() < FIRST_HALF_HOUR {
                soon.min(SOON)
            } else {
                LATER
            };
            // Stations that were lost together are not tried together.
            let chance = Duration::from_millis(fastrand::u64(..500));
            sleep(error.pause().unwrap_or(usual) + chance).await;
        }
    }

    /// Connects, and takes what comes until the connection is lost.
    async fn follow(&mut self) -> Result<Infallible, LinkError> {
        let mut following = self.begin().await?;
        let conductor = &self.shared.conductor;
        conductor.follow(following.situation.followed.len());
        let mut version = self.shared.inlet.version();
        let mut situations = self.shared.situations.clone();
        version.mark_unchanged();
        situations.mark_unchanged();
        let result = self.take_all(&mut following, version, situations).await;
        self.shared.conductor.disconnected(self.id);
        following.intake.flush().await;
        let quiet = following.connection.heard_at().elapsed().as_secs();
        let lost_at = unix_time().saturating_sub(quiet);
        self.missing_since
            .get_or_insert(lost_at.saturating_sub(OVERLAP));
        result
    }

    /// Connects, and asks for what is new.
    async fn begin(&mut self) -> Result<Following, LinkError> {
        let information = self.information().await?;
        let connection = self.shared.connector.open(&self.peer.address).await?;
        let connection = connection.counted_in(Arc::clone(&self.traffic));
        let situation = self.shared.situation();
        let can_be_polled = self.shared.reconciles && information.negentropy;
        let mut following = Following {
            intake: self.intake()?,
            is_gathering: false,
            requests: Requests {
                all: Vec::new(),
                names_authors: true,
            },
            connection,
            information,
            situation,
            has_been_asked: false,
            pushes_all: true,
            aside: VecDeque::new(),
            orders: self.shared.conductor.connected(self.id, can_be_polled),
            fetches: BTreeSet::new(),
            asked_by_id: 0,
            is_poll_due: false,
            shown: Shown::default(),
            has_answered: false,
            round: 0,
            unanswered: 0,
            outdated: 0,
            gaps: VecDeque::new(),
            healing: JoinSet::new(),
            heal_at: Instant::now(),
            healing_pause: HEALING_PAUSE,
            has_failed_to_heal: false,
        };
        // What was lost while there was no connection.
        if self.doubt.has_changed().unwrap_or(false) {
            let since = self.doubt.borrow_and_update().saturating_sub(OVERLAP);
            self.missing_since = Some(earlier(self.missing_since, since));
        }
        if let Some(since) = self.missing_since {
            following.gaps.push_back(Gap {
                authors: following.situation.followed.clone(),
                since,
            });
        }
        self.lost_at = None;
        self.tell(Some(unix_time()), None);
        Ok(following)
    }

    /// What the relay says of itself, as it was learned not long ago, or as it says now.
    async fn information(&mut self) -> Result<Information, LinkError> {
        let information = match &self.known {
            Some(known) if !known.unreachable => known.information.clone(),
            _ => match Information::fetch(&self.peer.address, &self.shared.connector).await {
                Ok(information) => information,
                Err(InformationError::Connect(error)) => return Err(error.into()),
                Err(_) => Information::default(),
            },
        };
        let guard = self.shared.connector.guard();
        if guard.is_ours(&self.peer.address, information.identity.as_ref()) {
            return Err(ConnectError::OwnIdentity(self.peer.url()).into());
        }
        self.known = Some(KnownLimits {
            learned_at: unix_time(),
            information: information.clone(),
            unreachable: false,
        });
        Ok(information)
    }

    fn intake(&self) -> Result<Intake, LinkError> {
        let admission = self.shared.inlet.current().ok_or(LinkError::Closed)?;
        let (tally, traffic) = (Arc::clone(&self.tally), Arc::clone(&self.traffic));
        Ok(Intake::new(admission, tally, traffic, 0))
    }

    /// Sends all questions, which take the places of those before.
    async fn ask(&self, following: &mut Following) -> Result<(), LinkError> {
        let situation = &following.situation;
        let conductor = &self.shared.conductor;
        let pushed = conductor.pushed_by(self.id, &situation.followed);
        let requests = |authors: &[Pubkey], form| {
            let information = &following.information;
            Requests::new(
                authors,
                &situation.kinds,
                information,
                form,
                following.round,
            )
        };
        let mut requests_now = requests(&pushed.authors, self.form);
        if let Some(at_least) = &pushed.at_least
            && !requests_now.names_authors
        {
            requests_now = requests(at_least, self.form);
        }
        let requests = requests_now;
        let before = following.requests.all.iter();
        let surplus = before.filter(|request| requests.named(&request.name).is_none());
        for request in surplus {
            let close = format!("[\"CLOSE\",\"{}\"]", request.name);
            following.connection.send(close).await?;
        }
        for request in &requests.all {
            following.connection.send(request.message.clone()).await?;
        }
        following.unanswered = requests.all.len();
        following.requests = requests;
        following.pushes_all = conductor.pushes_all(self.id);
        Ok(())
    }

    async fn take_all(
        &mut self,
        following: &mut Following,
        mut version: watch::Receiver<u64>,
        mut situations: watch::Receiver<Arc<Situation>>,
    ) -> Result<Infallible, LinkError> {
        loop {
            self.renew_account(following)?;
            self.begin_healing(following);
            if following.is_poll_due && following.fetches.is_empty() {
                self.poll(following).await?;
            }
            while let Some(text) = following.aside.pop_front() {
                self.take(following, &text).await?;
            }
            let next_heal = following.heal_at;
            let waits_to_heal = !following.gaps.is_empty() && following.healing.is_empty();
            let deadline = following.deadline();
            tokio::select! {
                text = following.connection.receive(deadline, QUIET) => match text {
                    Ok(text) => self.take(following, &text).await?,
                    Err(ConnectionError::Silent(_)) => following.be_quiet().await?,
                    Err(error) => return Err(error.into()),
                },
                Some(order) = following.orders.recv() => self.obey(following, order).await?,
                Some(healed) = following.healing.join_next() => {
                    self.healed(following, healed.ok().flatten());
                }
                () = tokio::time::sleep_until(next_heal), if waits_to_heal => {}
                changed = version.changed() => {
                    changed.map_err(|_| LinkError::Closed)?;
                    following.intake.flush().await;
                    following.intake = self.intake()?;
                }
                changed = self.doubt.changed() => {
                    changed.map_err(|_| LinkError::Closed)?;
                    let since = self.doubt.borrow_and_update().saturating_sub(OVERLAP);
                    self.missing_since = Some(earlier(self.missing_since, since));
                    following.look_again(since);
                }
                changed = situations.changed() => {
                    changed.map_err(|_| LinkError::Closed)?;
                    let situation = Arc::clone(&situations.borrow_and_update());
                    self.follow_new(following, situation).await?;
                }
            }
        }
    }

    /// Begins a new account of what the relay sends, once an hour is over.
    fn renew_account(&mut self, following: &mut Following) -> Result<(), LinkError> {
        if self.account_began.elapsed() >= ONE_ACCOUNT {
            self.account_began = Instant::now();
            self.traffic = Arc::default();
            self.tally = Tally::default();
            following.connection.count_in(Arc::clone(&self.traffic));
            if !following.is_gathering {
                following.intake = self.intake()?;
            }
        }
        Ok(())
    }

    /// Takes what is wanted now into account: whoever is new is asked for, and their history fetched.
    async fn follow_new(
        &self,
        following: &mut Following,
        situation: Arc<Situation>,
    ) -> Result<(), LinkError> {
        let before = Arc::clone(&following.situation);
        let is_same = before.followed == situation.followed && before.kinds == situation.kinds;
        following.situation = Arc::clone(&situation);
        if is_same {
            return Ok(());
        }
        self.shared.conductor.follow(situation.followed.len());
        self.ask(following).await?;
        let is_new = |key: &&Pubkey| before.followed.binary_search(key).is_err();
        let new: Vec<Pubkey> = situation.followed.iter().filter(is_new).copied().collect();
        if !new.is_empty() && new.len() <= MOST_NEW_KEYS {
            following.gaps.push_back(Gap {
                authors: new.into(),
                since: 0,
            });
            following.heal_at = Instant::now();
        }
        Ok(())
    }

    /// Does what the conductor says.
    async fn obey(&mut self, following: &mut Following, order: Order) -> Result<(), LinkError> {
        match order {
            Order::Subscribe => {
                let pushed_all = following.pushes_all;
                self.ask(following).await?;
                if !following.has_been_asked {
                    following.has_been_asked = true;
                } else if following.pushes_all && !pushed_all {
                    // What came since the last poll.
                    following.look_again(unix_time().saturating_sub(OVERLAP));
                }
            }
            Order::Poll => following.is_poll_due = true,
            Order::Fetch(ids) => following.fetch(&ids).await?,
        }
        Ok(())
    }

    /// Compares the recent past with the peer.
    async fn poll(&self, following: &mut Following) -> Result<(), LinkError> {
        following.is_poll_due = false;
        let Following {
            connection,
            shown,
            situation,
            aside,
            ..
        } = following;
        let conductor = &self.shared.conductor;
        let polled = shown.poll(connection, &situation.kinds, conductor, aside);
        let outcome = polled.await?;
        conductor.polled(self.id, outcome);
        Ok(())
    }

    /// Notes that a question by id is answered as far as it ever will be; whether it was one.
    async fn end_fetch(&self, following: &mut Following, name: &str) -> Result<bool, LinkError> {
        if !following.fetches.remove(name) {
            return Ok(false);
        }
        following.close(name).await?;
        if following.fetches.is_empty() {
            self.shared.conductor.fetch_ended(self.id);
        }
        Ok(true)
    }

    /// Takes one message.
    async fn take(&mut self, following: &mut Following, text: &str) -> Result<(), LinkError> {
        match message::parse(text) {
            Some(FromRelay::Event {
                subscription,
                event,
            }) => {
                let delivery = if following.fetches.contains(&*subscription) {
                    Delivery::Fetched
                } else {
                    Delivery::Pushed
                };
                self.event(following, delivery, event).await;
            }
            Some(FromRelay::Eose { subscription }) => {
                following.has_answered = true;
                if !self.end_fetch(following, &subscription).await? {
                    following.answered(&subscription);
                }
            }
            Some(FromRelay::Closed {
                subscription,
                reason,
            }) => {
                if self.end_fetch(following, &subscription).await? {
                    return Ok(());
                }
                following.answered(&subscription);
                let refused = following.requests.named(&subscription);
                if let Some(is_restricted) = refused.map(|request| request.is_restricted) {
                    self.refused(following, &reason, is_restricted).await?;
                }
            }
            Some(FromRelay::Notice(reason)) => {
                let objection = reason.objection();
                if objection == Objection::RateLimited {
                    self.refused(following, &reason, false).await?;
                } else if following.outdated > 0 {
                    following.outdated -= 1;
                } else if !following.has_answered {
                    following.unanswered = following.unanswered.saturating_sub(1);
                    self.refused(following, &reason, false).await?;
                }
            }
            Some(FromRelay::TooLong { bytes, .. }) => {
                following.connection.traffic().skip(bytes);
                following.intake.refuse_too_long(None);
            }
            Some(
                FromRelay::Auth
                | FromRelay::Other
                | FromRelay::NegMsg { .. }
                | FromRelay::NegErr { .. },
            ) => {}
            None => following.intake.refuse_garbage(Refusal::Malformed),
        }
        if following.intake.is_garbage() {
            return Err(LinkError::Garbage);
        }
        Ok(())
    }

    async fn event(&mut self, following: &mut Following, delivery: Delivery, json: &str) {
        following.has_answered = true;
        let Some(arrival) = following.intake.read_or_refuse(json) else {
            return;
        };
        let head = *arrival.head();
        following.shown.add(head.created_at, head.id);
        let conductor = &self.shared.conductor;
        if !following.situation.wants(&head) {
            conductor.refuse(self.id, &head, delivery);
            // By its id, and where no authors are named, others come, too.
            if delivery == Delivery::Pushed && following.requests.names_authors {
                following.intake.refuse_garbage(Refusal::Unasked);
            }
            return;
        }
        if self.seen.is_first(head.id) {
            let useful = arrival.useful_bytes(json);
            following.connection.traffic().credit(useful);
        }
        // Before it is verified, which may be at once.
        let is_first = conductor.came(self.id, &head, delivery);
        let is_new = following.intake.take(arrival, json).await;
        if is_first && !is_new {
            conductor.is_known(&head);
        }
        following.is_gathering = true;
        self.shared.arrived(&self.url, &head, is_first);
    }

    /// What to do with a question that the relay refuses: ask in another form, or later.
    async fn refused(
        &mut self,
        following: &mut Following,
        reason: &Reason,
        is_restricted: bool,
    ) -> Result<(), LinkError> {
        let objection = reason.objection();
        if objection == Objection::RateLimited {
            return Err(LinkError::Limited(reason.to_string(), named_wait(reason)));
        }
        match self.form.after(objection, is_restricted) {
            // The other questions stay open, and nothing was missed by them.
            Some(form) if is_restricted => {
                self.form = form;
                let all = &mut following.requests.all;
                all.retain(|request| !request.is_restricted);
                Ok(())
            }
            Some(form) => {
                self.form = form;
                following.round += 1;
                following.outdated += following.unanswered;
                self.ask(following).await?;
                // Until now it told nothing.
                let since = unix_time().saturating_sub(OVERLAP);
                self.missing_since = Some(earlier(self.missing_since, since));
                following.look_again(since);
                Ok(())
            }
            None => Err(LinkError::Refused(reason.to_string())),
        }
    }

    /// Begins to reconcile the next gap, if none is being reconciled.
    fn begin_healing(&self, following: &mut Following) {
        let is_due = following.heal_at <= Instant::now();
        if following.healing.is_empty()
            && is_due
            && let Some(gap) = following.gaps.front()
        {
            following.healing.spawn(heal(
                Arc::clone(&self.shared),
                self.peer.clone(),
                self.known.clone(),
                gap.clone(),
            ));
        }
    }

    /// Takes note of how reconciling a gap ended.
    fn healed(&mut self, following: &mut Following, healed: Option<Healed>) {
        let Some(Healed {
            events,
            failure,
            limits,
        }) = healed
        else {
            following.heal_at = Instant::now() + HEALING_PAUSE;
            return;
        };
        if let Some(why) = failure {
            following.heal_at = Instant::now() + following.healing_pause;
            following.healing_pause = (following.healing_pause * 2).min(LONGEST_HEALING_PAUSE);
            // Others need not wait for it.
            following.gaps.rotate_left(1);
            if !following.has_failed_to_heal {
                following.has_failed_to_heal = true;
                warn!(
                    target: LIVE_LOG,
                    "{}: what was missed could not all be fetched, and is tried again: {why}",
                    self.named()
                );
            }
            return;
        }
        self.known = Some(limits);
        following.healing_pause = HEALING_PAUSE;
        following.gaps.pop_front();
        if following.gaps.is_empty() {
            self.missing_since = None;
        }
        let missed = counted(events, "event");
        let again = if self.was_ever_up { " again" } else { "" };
        info!(target: LIVE_LOG, "{}: followed{again}; {missed} missed before came", self.named());
        self.was_ever_up = true;
        self.tell_complete();
    }

    /// The peer's name and address, for people.
    fn named(&self) -> String {
        with_address(self.peer.station.as_ref(), &self.peer.address)
    }

    /// Tells other programs that the peer is connected, or why not.
    fn tell(&self, connected_since: Option<u64>, failure: Option<String>) {
        let complete_until = self
            .missing_since
            .map(|since| since.saturating_add(OVERLAP));
        let mut board = lock(&self.shared.board);
        let state = board.peer(&self.url);
        if state.connected_since.is_some() && connected_since.is_none() {
            state.lost_at = Some(unix_time());
        } else if connected_since.is_some() {
            state.lost_at = None;
        }
        state.connected_since = connected_since;
        state.failure = failure;
        state.is_complete = complete_until.is_none();
        state.complete_until = state.complete_until.max(complete_until.unwrap_or(0));
    }

    /// Tells other programs whether anything is missing of the peer.
    fn tell_complete(&self) {
        let mut board = lock(&self.shared.board);
        board.gaps_healed += 1;
        board.peer(&self.url).is_complete = self.missing_since.is_none();
    }
}

/// The earlier of two times in Unix seconds, the first of which may not be.
fn earlier(one: Option<u64>, other: u64) -> u64 {
    one.map_or(other, |one| one.min(other))
}

impl Following {
    /// Ends a question.
    async fn close(&mut self, name: &str) -> Result<(), LinkError> {
        let close = format!("[\"CLOSE\",\"{name}\"]");
        Ok(self.connection.send(close).await?)
    }

    /// Asks for events by their ids.
    async fn fetch(&mut self, ids: &[EventId]) -> Result<(), LinkError> {
        for ids in ids.chunks(IDS_AT_ONCE) {
            let name = format!("f{}", self.asked_by_id);
            self.asked_by_id += 1;
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            let filter = json!({"ids": ids, "limit": ids.len()});
            let question = json!(["REQ", name, filter]).to_string();
            self.fetches.insert(name);
            self.connection.send(question).await?;
        }
        Ok(())
    }

    /// Until when to wait for the next message.
    fn deadline(&self) -> Instant {
        if self.is_gathering {
            return Instant::now() + GATHERING;
        }
        let heard_at = self.connection.heard_at();
        let quiet = heard_at + QUIET;
        if Instant::now() < quiet {
            quiet
        } else {
            heard_at + QUIET + SIGN_OF_LIFE
        }
    }

    /// Nothing came for a while: hands on what came before, or asks for a sign of life.
    async fn be_quiet(&mut self) -> Result<(), LinkError> {
        if self.is_gathering {
            self.is_gathering = false;
            self.intake.flush().await;
            return Ok(());
        }
        let quiet = self.connection.heard_at().elapsed();
        if quiet >= QUIET + SIGN_OF_LIFE {
            return Err(ConnectionError::Silent(quiet).into());
        }
        Ok(self.connection.ping().await?)
    }

    /// Takes note of an answer to the question of this name.
    fn answered(&mut self, name: &str) {
        let count = match self.requests.named(name) {
            Some(_) => &mut self.unanswered,
            None if name.starts_with('l') => &mut self.outdated,
            None => return,
        };
        *count = count.saturating_sub(1);
    }

    /// Everything of the peer since then is to be compared again.
    fn look_again(&mut self, since: u64) {
        self.heal_at = Instant::now();
        // What is being compared may have been looked at already.
        let mut waiting = self.gaps.iter().skip(self.healing.len());
        let authors = &self.situation.followed;
        if waiting.any(|gap| gap.since <= since && gap.authors == *authors) {
            return;
        }
        self.gaps.push_back(Gap {
            authors: self.situation.followed.clone(),
            since,
        });
    }
}
