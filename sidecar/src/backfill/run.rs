//! One backfill, from the peers to the database: who is asked, and how it ends. Each step
//! is another module's.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use constellation_shared::{EventId, Pubkey};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tracing::{error, info, warn};

use crate::admission::counts::{self, Tally};
use crate::admission::gate::Gate;
use crate::admission::intake::{Admission, ArrivalListener};
use crate::admission::pipeline::{Pipeline, PipelineResult, Step};
use crate::admission::rules::Rules;
use crate::backfill::error::PrepareError;
use crate::backfill::reconciliation::{HEAD_START, Reconciliation};
use crate::backfill::session::Session;
use crate::backfill::shared_claims::SharedClaims;
use crate::backfill::stop::{OUT_OF_TIME, Stop, StopReason, StopSwitch, TimeLimit};
use crate::backfill::stragglers::{Pace, Stragglers};
use crate::context::Context;
use crate::plan::peer_history::PeerOutcome;
use crate::plan::peer_memory::PeerMemory;
use crate::plan::refused::Refused;
use crate::plan::selection::Selection;
use crate::plan::wanted::Wanted;
use crate::relay::address::Address;
use crate::relay::connection::{Connector, OWN_RELAY};
use crate::relay::traffic::Traffic;
use crate::relay::tunnel::Patience;
use crate::relay::tunnel::tunnels::Tunnels;
use crate::report::{Outcome, PeerReport, Report};
use crate::strfry::import::{Import, ImportError};
use crate::strfry::{Strfry, conf};
use crate::support::clock::unix_time;
use crate::support::error_chain::chain;
use crate::support::state_file;
use crate::swarm::blocked_now::BlockedNow;
use crate::swarm::followed::{self, Followed};
use crate::swarm::peer::{self, Peer};

/// How many peers have their turn at the same time. Each has a connection, and of those a
/// process has 1024 where nobody raised its limit.
const MOST_AT_ONCE: usize = 256;

/// Why a run with nobody to ask could do nothing.
const ONLY_OWN: &str = "No constellation peers found: all that were asked are this station itself; delete its former folders in tmp/swarm";

/// How far one peer is.
const PEER_BAR: &str = "{spinner} {msg}: {pos} events in {elapsed}";

/// How far all of them are with what they listed and we lacked.
const MISSING_BAR: &str = "{spinner} {pos} of {len} missing events came [{bar:30}]";

/// What a backfill works with, once it is known that there is something to do.
pub(crate) struct Backfill<'a> {
    context: &'a Context,
    /// When it began, Unix seconds.
    now: u64,
    /// How long it may take.
    limit: TimeLimit,
    /// How long a peer may go without bringing us further.
    patience: Duration,
    tunnels: Arc<Tunnels>,
    connector: Connector,
    strfry: Strfry,
    /// All that could be asked, and which of them are.
    candidates: Vec<Peer>,
    selection: Selection,
    /// Those that were asked, in this order.
    peers: Vec<Peer>,
    /// What is wanted of a peer that reaches as far back as is usual.
    wanted: Wanted,
    rules: Rules,
    refused: Refused,
    reconciliation: Option<Arc<Reconciliation>>,
    peer_memory: PeerMemory,
    /// Where each peer's events are counted.
    tallies: Vec<Tally>,
    /// What is known of each session while it goes on.
    under_way: Vec<UnderWay>,
    /// Those of the peers that turned out to be this station itself.
    own: BTreeSet<Address>,
}

/// What a backfill came to, and what it leaves to whoever goes on with its peers.
pub(crate) struct Done {
    /// What it says of itself.
    pub report: Report,
    /// Which events were handed to strfry.
    pub gate: Gate,
    /// Why strfry did not take all of them.
    pub import_error: Option<ImportError>,
    /// The tunnels, which are to be closed.
    pub tunnels: Arc<Tunnels>,
    /// How to reach the peers.
    pub connector: Connector,
    /// The peers that were asked.
    pub addresses: Vec<Address>,
    /// Whose events were asked for.
    pub followed: Arc<[Pubkey]>,
    /// What was let in.
    pub rules: Rules,
    /// How long the run may take, what follows the backfill included.
    pub limit: TimeLimit,
}

impl<'a> Backfill<'a> {
    /// Looks at the station. Everything that happens from here on is said in the log.
    ///
    /// # Errors
    /// [`PrepareError`] where nothing can be done.
    pub(crate) async fn prepare(context: &'a Context) -> Result<Self, PrepareError> {
        let now = unix_time();
        let options = &context.options;
        let limit = TimeLimit::from_now(options.max_minutes.0);
        let patience = Duration::from_secs(options.patience);
        let tunnels = Arc::new(Tunnels::new(
            options.ipfs_program(),
            context.file(state_file::TUNNELS.name),
            Patience::within(patience),
        ));
        let connector = Connector::new(options.ca_file.as_deref(), Arc::new(context.guard()))?
            .patient(patience)
            .with_tunnels(Arc::clone(&tunnels));
        tunnels.sweep().await;
        let strfry = context.strfry();
        if !is_program(strfry.binary()) {
            return Err(PrepareError::NoStrfry(strfry.binary().to_owned()));
        }
        for doubt in &context.doubts {
            warn!("{doubt}");
        }
        let max_event_size = conf::max_event_size(&strfry.conf())
            .map_err(|error| PrepareError::Conf(strfry.conf(), error))?;
        if let Some(doubt) = &max_event_size.doubt {
            warn!(
                "{} {doubt}; until that is mended, events of up to {} bytes are given to strfry, and those that it finds too long are left out",
                strfry.conf().display(),
                max_event_size.bytes
            );
        }
        let max_event_size = max_event_size.bytes;
        let descriptions = peer::descriptions(&context.station);
        let candidates = context.peers(&descriptions);
        if candidates.is_empty() {
            return Err(PrepareError::NoPeers(context.station.swarm_dir()));
        }
        let peer_memory = PeerMemory::load(&peer_memory_path(context), now);
        let selection = context.selection(&candidates, &peer_memory, now);
        let followed = followed::followed(&context.station, &descriptions)?;
        let Followed { keys, blocked, .. } = followed;
        info!(for_scripts = true, "SYNC_HEX: count={}", keys.len());
        if keys.is_empty() {
            warn!("no pubkeys to follow: there are no members and no friends yet");
        }
        let reach = options.reach();
        let wanted = Wanted {
            kinds: options.wanted_kinds(),
            since: options.since(now),
            authors: keys.into(),
            most_events: usize::MAX,
        };
        let first = selection
            .first()
            .iter()
            .filter_map(|place| candidates.get(*place));
        let earliest = first
            .map(|peer| peer_memory.since(&peer.address.to_string(), &wanted.kinds, now, reach))
            .min()
            .unwrap_or(wanted.since);
        let refused = Refused::load(&refused_path(context), now);
        let reconciliation = (!options.no_negentropy).then(|| {
            // Everything is everything.
            let refused = match options.days {
                0 => Refused::default(),
                _ => refused.clone(),
            };
            let claims = SharedClaims::new(selection.most_tries());
            let bar = context.bar(MISSING_BAR, String::new());
            let reconciliation =
                Reconciliation::new(strfry.clone(), refused, claims, (now, earliest), bar);
            Arc::new(reconciliation)
        });
        Ok(Self {
            context,
            now,
            limit,
            patience,
            tunnels,
            connector,
            strfry,
            tallies: Vec::new(),
            under_way: Vec::new(),
            own: BTreeSet::new(),
            candidates,
            selection,
            peers: Vec::new(),
            wanted,
            rules: Rules {
                now,
                max_event_size,
                blocked,
            },
            refused,
            reconciliation,
            peer_memory,
        })
    }

    /// Asks all chosen peers, and feeds what they bring to strfry.
    pub(crate) async fn run(
        mut self,
        mut interruption: Pin<&mut impl Future<Output = ()>>,
    ) -> Done {
        let options = &self.context.options;
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let verify = !options.trust_peers;
        let listener = self.reconciliation.clone();
        let listener = listener.map(|reconciliation| reconciliation as Arc<dyn ArrivalListener>);
        let mut pipeline = Pipeline::open(
            Admission::new(self.rules.clone(), verify, listener, cores),
            Gate::asking(BlockedNow::new(self.context.station.clone())),
            Import::new(self.strfry.clone(), options.verify),
        );
        let (mut reports, step) = self.ask(&mut pipeline, interruption.as_mut()).await;
        if step != Step::Done {
            self.tunnels.close().await;
        }
        let closed = match step {
            Step::Interrupted => pipeline.close(std::future::ready(())).await,
            Step::Done | Step::Broken => pipeline.close(interruption.as_mut()).await,
        };
        let PipelineResult {
            gate,
            imported,
            result,
            interrupted,
        } = closed;
        self.count(&mut reports);
        // Of what was cut off nobody knows whether it would have been kept.
        let is_settled = result.is_ok() && !interrupted && step == Step::Done;
        if is_settled && imported.written.added < gate.passed().len() as u64 {
            self.remember_what_was_not_kept(&gate).await;
        }
        if let Err(error) = self.refused.save(&refused_path(self.context)) {
            unwritten(&refused_path(self.context), &error);
        }
        // What strfry did not take is not had; and who was cut off by us is not to blame.
        if is_settled {
            let turns = reports.iter().map(turn);
            self.peer_memory.settle(self.now, turns, &self.wanted.kinds);
        }
        let urls: Vec<String> = self.candidates.iter().map(Peer::url).collect();
        self.peer_memory
            .see(urls.iter().map(String::as_str), self.now);
        if let Err(error) = self
            .peer_memory
            .save(&peer_memory_path(self.context), self.now)
        {
            unwritten(&peer_memory_path(self.context), &error);
        }
        let reconciliation = self.reconciliation.as_ref();
        if let Some(reconciliation) = reconciliation {
            reconciliation.bar.finish_and_clear();
            let (missing, came) = reconciliation.claims.progress();
            if missing > 0 {
                info!("{missing} events were missing, {came} of them came");
            }
        }
        let undelivered = reconciliation.map_or_else(Default::default, |reconciliation| {
            reconciliation.undelivered()
        });
        let succeeded =
            !reports.is_empty() && reports.iter().all(|report| report.failure.is_none());
        let interrupted = interrupted || step == Step::Interrupted;
        let outcome = match (&result, interrupted, succeeded) {
            (Err(_), ..) => Outcome::NothingDone,
            (Ok(()), true, _) => Outcome::Interrupted,
            (Ok(()), false, true) => Outcome::Complete,
            (Ok(()), false, false) => Outcome::SomePeersFailed,
        };
        let mut report = Report {
            followed: self.wanted.authors.len(),
            peers: reports,
            undelivered,
            by_kind: gate.by_kind().clone(),
            imported,
            verify: options.verify,
            profiles: None,
            people: Vec::new(),
            outcome,
            broken: result.as_ref().err().map(|error| chain(error)),
        };
        if report.peers.is_empty() && outcome == Outcome::SomePeersFailed {
            report.outcome = Outcome::NothingDone;
            report.broken = Some(ONLY_OWN.to_owned());
            error!("Backfill failed: {ONLY_OWN}");
        }
        Done {
            report,
            gate,
            import_error: result.err(),
            tunnels: Arc::clone(&self.tunnels),
            connector: self.connector.clone(),
            addresses: self.others().map(|peer| peer.address.clone()).collect(),
            followed: self.wanted.authors,
            rules: self.rules,
            limit: self.limit,
        }
    }

    /// Everybody's turn, side by side; a report of each, without its counts.
    async fn ask(
        &mut self,
        pipeline: &mut Pipeline,
        interruption: Pin<&mut impl Future<Output = ()>>,
    ) -> (Vec<PeerReport>, Step) {
        let mut sessions = JoinSet::new();
        let mut places = Vec::new();
        let mut reports: Vec<PeerReport> = Vec::new();
        let mut waiting = VecDeque::from(self.selection.first().to_vec());
        let begin = Instant::now();
        let window = self.patience * 2;
        let mut stragglers = Stragglers::new(window);
        let mut windows = interval_at(begin + window, window);
        windows.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let admission = Arc::clone(&pipeline.admission);
        let all = async {
            let mut head_start = begin + HEAD_START;
            loop {
                while !self.limit.is_over()
                    && sessions.len() < self.selection.at_once().min(MOST_AT_ONCE)
                    && let Some(place) = waiting.pop_front()
                {
                    if let Some(session) = self.session(place, &admission) {
                        places.push(place);
                        sessions.spawn(session.run(self.now));
                    }
                }
                let joined = tokio::select! {
                    joined = sessions.join_next() => match joined {
                        None => break,
                        Some(joined) => joined,
                    },
                    // One that is slow does not keep the others waiting for long.
                    () = sleep_until(head_start) => {
                        head_start = Instant::now() + HEAD_START;
                        if let Some(place) = waiting.pop_front()
                            && let Some(session) = self.session(place, &admission)
                        {
                            places.push(place);
                            sessions.spawn(session.run(self.now));
                        }
                        continue;
                    }
                    _ = windows.tick() => {
                        if waiting.is_empty() {
                            self.stop_stragglers(&mut stragglers, begin, &reports);
                        }
                        continue;
                    }
                };
                head_start = Instant::now() + HEAD_START;
                match joined {
                    Ok((report, _)) if report.code == Some(OWN_RELAY) => {
                        let words = report.failure.unwrap_or_default();
                        warn!("{} is passed over: {words}", report.address);
                        let mut place = self.peers.iter().zip(&places);
                        let place = place.find(|(peer, _)| peer.address == report.address);
                        if let Some((_, place)) = place {
                            waiting.extend(self.selection.failed(*place));
                        }
                        self.own.insert(report.address);
                    }
                    Ok((report, known)) => {
                        let place = self.peers.iter().zip(&places);
                        let place = place.filter(|(peer, _)| peer.address == report.address);
                        match turn(&report).1 {
                            PeerOutcome::Gave(_) => {
                                let took = Duration::try_from_secs_f64(report.seconds);
                                stragglers.done(begin.elapsed(), took.unwrap_or_default());
                                self.selection.succeeded();
                            }
                            PeerOutcome::Unfinished => {}
                            PeerOutcome::Failed => {
                                let place = place.map(|(_, place)| *place).next();
                                let other = place.and_then(|place| self.selection.failed(place));
                                waiting.extend(other);
                                if self.selection.has_no_link() {
                                    waiting.clear();
                                }
                            }
                        }
                        self.peer_memory.learn(report.address.to_string(), known);
                        reports.push(report);
                    }
                    Err(error) => error!("a session ended unexpectedly and failed: {error}"),
                }
            }
        };
        let (_, step) = pipeline.run(all, interruption).await;
        sessions.shutdown().await;
        for peer in self.others() {
            if !reports.iter().any(|report| report.address == peer.address) {
                reports.push(unfinished(peer));
            }
        }
        if self.limit.is_over() && step == Step::Done {
            let reason = self.limit.over().await;
            let left = waiting
                .iter()
                .filter_map(|place| self.candidates.get(*place));
            reports.extend(left.map(|peer| out_of_time(peer, reason)));
            if reports
                .iter()
                .any(|report| report.code == Some(OUT_OF_TIME))
            {
                warn!("Not everything came: {reason}");
            }
        }
        (reports, step)
    }

    /// Ends the sessions that go on and bring next to nothing, if all others are done.
    fn stop_stragglers(&self, stragglers: &mut Stragglers, begin: Instant, reports: &[PeerReport]) {
        let is_done = |peer: &Peer| {
            let address = &peer.address;
            self.own.contains(address) || reports.iter().any(|r| r.address == *address)
        };
        let all = self.peers.iter().zip(&self.under_way).enumerate();
        let running = all.filter(|(_, (peer, _))| !is_done(peer));
        let running: Vec<_> = running
            .map(|(index, (_, under_way))| (index, under_way.pace()))
            .collect();
        for index in stragglers.find(begin.elapsed(), &running) {
            if let Some(under_way) = self.under_way.get(index) {
                under_way.switch.stop_for_slowness();
            }
        }
    }

    /// The peers that were asked and are not this station itself.
    fn others(&self) -> impl Iterator<Item = &Peer> {
        let is_other = |peer: &&Peer| !self.own.contains(&peer.address);
        self.peers.iter().filter(is_other)
    }

    /// The session with the candidate at this place.
    fn session(&mut self, place: usize, admission: &Arc<Admission>) -> Option<Session> {
        let peer = self.candidates.get(place)?.clone();
        let url = peer.url();
        let reach = self.context.options.reach();
        let tally = Tally::default();
        let traffic: Arc<Traffic> = Arc::default();
        let (stop, switch) = Stop::with_switch(self.limit);
        let session = Session {
            index: self.peers.len(),
            reconciliation: self.reconciliation.clone(),
            tally: Arc::clone(&tally),
            traffic: Arc::clone(&traffic),
            stop,
            known: self.peer_memory.of(&url, self.now).cloned(),
            bar: self.context.bar(PEER_BAR, peer.address.to_string()),
            address: peer.address.clone(),
            connector: self.connector.clone(),
            admission: Arc::clone(admission),
            wanted: Arc::new(Wanted {
                since: self
                    .peer_memory
                    .since(&url, &self.wanted.kinds, self.now, reach),
                ..self.wanted.clone()
            }),
            patience: self.patience,
            silence_ends_it: false,
        };
        self.peers.push(peer);
        self.tallies.push(tally);
        self.under_way.push(UnderWay { traffic, switch });
        Some(session)
    }

    /// What came from each, now that all of it has been looked at.
    fn count(&mut self, reports: &mut [PeerReport]) {
        let asked = self.peers.iter().zip(&self.tallies);
        for (peer, tally) in asked.filter(|(peer, _)| !self.own.contains(&peer.address)) {
            let mut counts = counts::counts(tally);
            let address = &peer.address;
            for (id, refusal) in counts.refused_ids.drain(..) {
                // Of what was not verified the id may be another event's.
                if !self.context.options.trust_peers {
                    let sender = address.to_string();
                    self.refused.remember(id, refusal, &sender, self.now);
                }
            }
            info!("Collected {} events from {address}", counts.collected);
            let report = reports.iter_mut().find(|report| report.address == *address);
            if let Some(report) = report {
                report.counts = counts;
            }
        }
    }

    async fn remember_what_was_not_kept(&mut self, gate: &Gate) {
        let passed: Vec<EventId> = gate.passed().iter().copied().collect();
        match self.strfry.missing(&passed).await {
            Ok(missing) => missing
                .into_iter()
                .for_each(|id| self.refused.remember_not_kept(id, self.now)),
            Err(error) => warn!(
                "{}: what strfry did not keep is asked for again next time",
                chain(&error)
            ),
        }
    }
}

fn refused_path(context: &Context) -> PathBuf {
    context.file(state_file::REFUSED.name)
}

fn peer_memory_path(context: &Context) -> PathBuf {
    context.file(state_file::PEERS.name)
}

fn unwritten(path: &Path, error: &io::Error) {
    warn!("{} could not be written: {error}", path.display());
}

/// What is remembered of a peer's turn. One that holds what could not be had gave all it
/// can. How much was new is only known of those that were reconciled with.
fn turn(report: &PeerReport) -> (String, PeerOutcome) {
    let brought = if report.reconciled {
        report.counts.collected
    } else {
        0
    };
    let turn = if report.code == Some(OUT_OF_TIME) {
        PeerOutcome::Unfinished
    } else if report.broke_off {
        PeerOutcome::Failed
    } else {
        PeerOutcome::Gave(brought)
    };
    (report.address.to_string(), turn)
}

/// What is known of a session while it goes on, and what ends it.
struct UnderWay {
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

/// A peer that was to be asked, and whose turn never came.
fn out_of_time(peer: &Peer, reason: StopReason) -> PeerReport {
    PeerReport {
        failure: Some(reason.to_string()),
        code: Some(reason.code()),
        ..unfinished(peer)
    }
}

fn unfinished(peer: &Peer) -> PeerReport {
    PeerReport {
        address: peer.address.clone(),
        counts: Default::default(),
        bytes: 0,
        seconds: 0.0,
        failure: Some("the run ended before it was done".to_owned()),
        code: Some("interrupted"),
        reached: false,
        reconciled: false,
        broke_off: true,
        unreadable_kinds: Vec::new(),
    }
}

pub(crate) fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
