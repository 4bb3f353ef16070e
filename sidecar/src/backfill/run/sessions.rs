//! The sessions of a backfill: which peers are asked, how many at a time, and when another takes
//! the place of one that failed.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tracing::{error, info, warn};

use crate::admission::counts::Tally;
use crate::admission::intake::Admission;
use crate::admission::pipeline::{Pipeline, Step};
use crate::backfill::reconciliation::HEAD_START;
use crate::backfill::run::Backfill;
use crate::backfill::run::memory::outcome;
use crate::backfill::session::{LEFT_ALONE, Session, SessionOutcome, WANTS_AUTH};
use crate::backfill::stop::{OUT_OF_TIME, Stop, StopReason, StopSwitch};
use crate::backfill::stragglers::{Pace, Stragglers};
use crate::plan::peer_history::PeerOutcome;
use crate::plan::wanted::Wanted;
use crate::relay::address::Address;
use crate::relay::connection::{NO_WEBSOCKET, OWN_RELAY};
use crate::relay::traffic::Traffic;
use crate::report::PeerReport;
use crate::support::backoff::longest_silence;
use crate::swarm::peer::Peer;

/// The most sessions that run at the same time. Each needs a connection, and a process may have
/// 1024 open files unless somebody raised the limit.
const MOST_AT_ONCE: usize = 256;

/// The progress bar of one peer.
const PEER_BAR: &str = "{spinner} {msg}: events received: {pos}, in {elapsed}";

/// A running session: its traffic, and the switch that stops it.
pub(super) struct UnderWay {
    traffic: Arc<Traffic>,
    switch: StopSwitch,
}

impl UnderWay {
    fn pace(&self) -> Pace {
        Pace {
            useful: self.traffic.useful(),
            waited: self.traffic.waited(),
            is_waiting_for_others: self.traffic.is_waiting_for_others(),
        }
    }
}

/// Which candidates wait for their session, which sessions run, and what the ended ones reported.
struct Sessions {
    begin: Instant,
    /// Places of candidates.
    waiting: VecDeque<usize>,
    running: JoinSet<SessionOutcome>,
    /// Places of the candidates whose sessions have begun, in the order of [`Backfill`]'s `peers`.
    places: Vec<usize>,
    reports: Vec<PeerReport>,
    stragglers: Stragglers,
}

impl Backfill<'_> {
    /// Runs the sessions of all selected peers. Returns a report of each, still without its counts.
    pub(super) async fn ask(
        &mut self,
        pipeline: &mut Pipeline,
        interruption: Pin<&mut impl Future<Output = ()>>,
    ) -> (Vec<PeerReport>, Step) {
        let mut sessions = Sessions {
            begin: Instant::now(),
            waiting: VecDeque::from(self.selection.first().to_vec()),
            running: JoinSet::new(),
            places: Vec::new(),
            reports: Vec::new(),
            // A peer that is merely silent has failed by itself before two windows are over.
            stragglers: Stragglers::new((longest_silence(self.patience) + self.patience) / 2),
        };
        let admission = Arc::clone(&pipeline.admission);
        let all = self.run_sessions(&mut sessions, admission);
        let (_, step) = pipeline.run(all, interruption).await;
        sessions.running.shutdown().await;
        self.report_unfinished(&mut sessions);
        if self.limit.is_over() && step == Step::Done {
            self.report_out_of_time(&mut sessions).await;
        }
        (sessions.reports, step)
    }

    /// Starts sessions and waits for them until none is left.
    async fn run_sessions(&mut self, sessions: &mut Sessions, admission: Arc<Admission>) {
        let window = self.patience * 2;
        let mut windows = interval_at(sessions.begin + window, window);
        windows.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut head_start = sessions.begin + HEAD_START;
        loop {
            while !self.limit.is_over()
                && sessions.running.len() < self.selection.at_once().min(MOST_AT_ONCE)
                && self.start_next(sessions, &admission)
            {}
            tokio::select! {
                joined = sessions.running.join_next() => {
                    let Some(joined) = joined else {
                        return;
                    };
                    head_start = Instant::now() + HEAD_START;
                    self.conclude(sessions, joined);
                }
                // A slow peer does not keep the others waiting for long.
                () = sleep_until(head_start) => {
                    head_start = Instant::now() + HEAD_START;
                    self.start_next(sessions, &admission);
                }
                _ = windows.tick() => {
                    if sessions.waiting.is_empty() {
                        self.stop_stragglers(sessions);
                    }
                }
            }
        }
    }

    /// Starts the session of the candidate that waits longest; returns whether one was waiting. None
    /// is started as long as our own link seems to be down.
    fn start_next(&mut self, sessions: &mut Sessions, admission: &Arc<Admission>) -> bool {
        let mut under_way = self.under_way.iter();
        if under_way.any(|under_way| under_way.traffic.is_reached()) {
            self.selection.reached();
        }
        if self.selection.has_no_link() {
            return false;
        }
        let Some(place) = sessions.waiting.pop_front() else {
            return false;
        };
        if let Some(session) = self.session(place, admission) {
            sessions.places.push(place);
            sessions.running.spawn(session.run(self.now));
        }
        true
    }

    /// Takes the report of a session that has ended, and lets another candidate take the place of
    /// a peer that failed or wants to be left alone.
    fn conclude(&mut self, sessions: &mut Sessions, joined: Result<SessionOutcome, JoinError>) {
        let SessionOutcome {
            report,
            limits,
            manners,
            left,
        } = match joined {
            Ok(joined) => joined,
            Err(error) => {
                error!("a session ended unexpectedly and failed: {error}");
                return;
            }
        };
        let place = self.place(sessions, &report.address);
        if report.code == Some(OWN_RELAY) {
            let reason = report.failure.as_deref().unwrap_or_default();
            warn!("{} is passed over: {reason}", report.shown());
            let replacement = place.and_then(|place| self.selection.failed(place));
            sessions.waiting.extend(replacement);
            self.not_asked.insert(report.address);
            return;
        }
        if report.code == Some(NO_WEBSOCKET)
            && let Some(place) = place
            && self.goes_another_way(place)
        {
            let is_elsewhere = self
                .candidates
                .get(place)
                .is_some_and(|peer| peer.address != report.address);
            if is_elsewhere {
                sessions.waiting.push_front(place);
            }
            self.not_asked.insert(report.address);
            return;
        }
        if report.reached {
            self.selection.reached();
        }
        match outcome(&report) {
            PeerOutcome::Complete(_) | PeerOutcome::Partial(_) => {
                let took = Duration::try_from_secs_f64(report.seconds).unwrap_or_default();
                sessions.stragglers.done(sessions.begin.elapsed(), took);
            }
            PeerOutcome::Unfinished if is_left_alone(&report) => {
                let replacement = place.and_then(|place| self.selection.left_alone(place));
                sessions.waiting.extend(replacement);
            }
            PeerOutcome::Unfinished => {}
            PeerOutcome::Failed | PeerOutcome::Unreached => {
                let replacement = place.and_then(|place| self.selection.failed(place));
                sessions.waiting.extend(replacement);
            }
        }
        if let Some(left) = left {
            self.left.insert(report.address.clone(), left);
        }
        if let Some(peer) = place.and_then(|place| self.candidates.get(place)) {
            self.peer_memory.learn(peer, limits);
            self.peer_memory.learn_manners(peer, manners, self.now);
        }
        sessions.reports.push(report);
    }

    /// Whether a candidate whose address is no relay is reached in another way, which is then its
    /// address.
    fn goes_another_way(&mut self, place: usize) -> bool {
        let Some(peer) = self.candidates.get_mut(place) else {
            return false;
        };
        let shown = peer.shown();
        if let Some(tunnel) = peer.instead.take() {
            info!("{shown} is no relay: its station is asked through its own tunnel, {tunnel}");
            peer.address = tunnel;
            return true;
        }
        if peer.is_doubtful {
            info!(
                "{shown} is no relay: stations that announce it are asked through their own tunnels"
            );
        }
        peer.is_doubtful
    }

    /// The place of a peer that was asked among the candidates.
    fn place(&self, sessions: &Sessions, address: &Address) -> Option<usize> {
        let mut asked = self.peers.iter().zip(&sessions.places);
        let (_, place) = asked.find(|(peer, _)| peer.address == *address)?;
        Some(*place)
    }

    /// Reports the peers whose sessions were cut off.
    fn report_unfinished(&self, sessions: &mut Sessions) {
        for peer in self.others() {
            let mut reports = sessions.reports.iter();
            if !reports.any(|report| report.address == peer.address) {
                sessions.reports.push(unfinished(peer));
            }
        }
    }

    /// Reports the peers for which no time was left.
    async fn report_out_of_time(&self, sessions: &mut Sessions) {
        let reason = self.limit.over().await;
        let left = sessions.waiting.iter();
        let left = left.filter_map(|place| self.candidates.get(*place));
        sessions
            .reports
            .extend(left.map(|peer| out_of_time(peer, reason)));
        let mut reports = sessions.reports.iter();
        if reports.any(|report| report.code == Some(OUT_OF_TIME)) {
            warn!("Not everything came: {reason}");
        }
    }

    /// Stops the sessions that bring next to nothing while all others have ended.
    fn stop_stragglers(&self, sessions: &mut Sessions) {
        let is_done = |peer: &Peer| {
            let mut reports = sessions.reports.iter();
            self.not_asked.contains(&peer.address)
                || reports.any(|report| report.address == peer.address)
        };
        let all = self.peers.iter().zip(&self.under_way).enumerate();
        let running = all.filter(|(_, (peer, _))| !is_done(peer));
        let running: Vec<_> = running
            .map(|(index, (_, under_way))| (index, under_way.pace()))
            .collect();
        let elapsed = sessions.begin.elapsed();
        for index in sessions.stragglers.find(elapsed, &running) {
            if let Some(under_way) = self.under_way.get(index) {
                under_way.switch.stop_for_slowness();
            }
        }
    }

    /// The session with the candidate at this place.
    fn session(&mut self, place: usize, admission: &Arc<Admission>) -> Option<Session> {
        let peer = self.candidates.get(place)?.clone();
        let asked = self.asked_of(&peer);
        let resumption = self.resumption(&peer);
        let tally = Tally::default();
        let traffic: Arc<Traffic> = Arc::default();
        let (stop, switch) = Stop::with_switch(self.limit);
        let session = Session {
            index: self.peers.len(),
            reconciliation: self.reconciliation.clone(),
            tally: Arc::clone(&tally),
            traffic: Arc::clone(&traffic),
            stop,
            known: self.peer_memory.of(&peer, self.now).cloned(),
            manners: self.peer_memory.manners(&peer),
            bar: self.context.bar(PEER_BAR, peer.shown()),
            address: peer.address.clone(),
            station: peer.station.clone(),
            connector: self.connector.clone(),
            admission: Arc::clone(admission),
            wanted: Arc::new(Wanted {
                parts: asked.parts(&self.followed),
                kinds: self.kinds.clone(),
                most_events: usize::MAX,
            }),
            any_author: self.any_author(&peer),
            resumption,
            patience: self.patience,
            silence_ends_it: false,
            may_be_no_relay: peer.may_be_no_relay(),
        };
        self.peers.push(peer);
        self.asked.push(asked);
        self.tallies.push(tally);
        self.under_way.push(UnderWay { traffic, switch });
        Some(session)
    }
}

/// Whether the peer wants to be left alone, because it is busy or answers only clients who say who they
/// are.
fn is_left_alone(report: &PeerReport) -> bool {
    [Some(LEFT_ALONE), Some(WANTS_AUTH)].contains(&report.code)
}

/// The report of a peer for which no time was left.
fn out_of_time(peer: &Peer, reason: StopReason) -> PeerReport {
    PeerReport {
        failure: Some(reason.to_string()),
        code: Some(reason.code()),
        ..unfinished(peer)
    }
}

/// The report of a peer whose session was cut off.
fn unfinished(peer: &Peer) -> PeerReport {
    PeerReport {
        address: peer.address.clone(),
        station: peer.station.clone(),
        counts: Default::default(),
        bytes: 0,
        bytes_sent: 0,
        seconds: 0.0,
        failure: Some("the run ended before it was done".to_owned()),
        code: Some("interrupted"),
        reached: false,
        reconciled: false,
        by_authors: false,
        broke_off: true,
        covered: None,
        of_any_author: None,
        unreadable_kinds: Vec::new(),
        remarks: Vec::new(),
    }
}
