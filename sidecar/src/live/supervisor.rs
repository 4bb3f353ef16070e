//! [`Live`]: follows the lists and the swarm, and sees to it that a few good peers are connected to.

use std::collections::BTreeMap;
use std::pin::pin;
use std::process;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::{info, warn};

use crate::backfill::error::PrepareError;
use crate::backfill::situation::{Situation, network};
use crate::context::Context;
use crate::live::LIVE_LOG;
use crate::live::conductor::Conductor;
use crate::live::inlet::{Inlet, Manner};
use crate::live::link::Link;
use crate::live::shared::Shared;
use crate::live::watch::fingerprint;
use crate::plan::links::LinkId;
use crate::plan::peer_memory::PeerMemory;
use crate::relay::tunnel::tunnels::Tunnels;
use crate::report::live_state::LiveState;
use crate::support::clock::unix_time;
use crate::support::error_chain::chain;
use crate::support::mutex::lock;
use crate::support::state_file;
use crate::swarm::peer::Peer;

/// How often it is looked whether a list or the swarm has changed.
const LOOK: Duration = Duration::from_secs(5);

/// How often the state is written, and the peers are looked at.
const WRITE: Duration = Duration::from_secs(60);

/// How long DNS, TCP and TLS of a connection may take together, and again its WebSocket handshake. A
/// lost peer is tried again soon, and an attempt that began while it was away may hang.
const CONNECT_PATIENCE: Duration = Duration::from_secs(8);

/// How far back a peer is compared with of which nothing is known, in seconds. What is older is left
/// to the backfills.
const UNKNOWN_PAST: u64 = 86_400;

/// After what time another peer takes the place of a lost one, if there is another, in seconds.
const GIVEN_UP: u64 = 600;

/// The running service.
#[derive(Debug)]
pub(crate) struct Live {
    stop: watch::Sender<bool>,
    supervisor: JoinHandle<()>,
    inlet: JoinHandle<()>,
    close_inlet: oneshot::Sender<()>,
    tunnels: Arc<Tunnels>,
}

/// What the supervisor works with.
struct Supervisor {
    context: Arc<Context>,
    shared: Arc<Shared>,
    situations: watch::Sender<Arc<Situation>>,
    links: JoinSet<()>,
    /// The connections, by the names of their peers.
    running: BTreeMap<String, Running>,
    /// The number of the next connection.
    next_link: u32,
    /// The state that the process before this one left.
    before: LiveState,
    fingerprint: u64,
}

/// One connection.
struct Running {
    id: LinkId,
    handle: AbortHandle,
    url: String,
    began: Instant,
}

impl Live {
    /// Begins to follow the peers. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`PrepareError`] if there is no strfry, or it is unknown who is blocked.
    pub(crate) async fn start(context: Arc<Context>) -> Result<Self, PrepareError> {
        let options = &context.options;
        let patience = Duration::from_secs(options.patience);
        let (tunnels, connector) = network(&context, patience, state_file::LIVE_TUNNELS)?;
        tunnels.sweep().await;
        let fingerprint = fingerprint(&context.station);
        let now = unix_time();
        let situation = Arc::new(Situation::look(&context, now)?);
        let (situations, receiver) = watch::channel(situation);
        let manner = Manner {
            verify: options.verify,
            trust_peers: options.trust_peers,
        };
        let conductor = Conductor::new();
        let station = context.station.clone();
        let inlet = Inlet::new(station, manner, receiver.clone(), Arc::clone(&conductor));
        let inlet = Arc::new(inlet);
        let before = LiveState::load(&context.file(state_file::LIVE.name)).unwrap_or_default();
        let shared = Arc::new(Shared {
            patience,
            reconciles: !options.no_negentropy,
            ..Shared::new(
                connector.patient(CONNECT_PATIENCE),
                conductor,
                Arc::clone(&inlet),
                receiver,
                LiveState::new(process::id(), now),
            )
        });
        let (stop, stopped) = watch::channel(false);
        let (close_inlet, closed) = oneshot::channel::<()>();
        let inlet = tokio::spawn(inlet.serve(async {
            let _ = closed.await;
        }));
        let supervisor = Supervisor {
            context,
            shared,
            situations,
            links: JoinSet::new(),
            running: BTreeMap::new(),
            next_link: 0,
            before,
            fingerprint,
        };
        Ok(Self {
            stop,
            supervisor: tokio::spawn(supervisor.run(stopped)),
            inlet,
            close_inlet,
            tunnels,
        })
    }

    /// Ends the connections, and waits until strfry has stored what came.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        let _ = self.supervisor.await;
        let _ = self.close_inlet.send(());
        let _ = self.inlet.await;
        self.tunnels.close().await;
    }
}

/// Resolves once the value is true, or nobody can change it any more.
async fn is_true(value: &mut watch::Receiver<bool>) {
    let _ = value.wait_for(|value| *value).await;
}

impl Supervisor {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut writes = interval(WRITE);
        writes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Connections need the way into strfry.
        while self.shared.inlet.current().is_none() {
            sleep(Duration::from_millis(10)).await;
        }
        let conductor = Arc::clone(&self.shared.conductor);
        let mut conducting = pin!(conductor.conduct());
        loop {
            tokio::select! {
                () = conducting.as_mut() => {}
                () = is_true(&mut stopped) => break,
                _ = looks.tick() => self.look().await,
                _ = writes.tick() => {
                    self.choose();
                    self.write();
                }
                // A connection ends only when it is ended here.
                Some(_) = self.links.join_next() => {}
            }
        }
        self.links.shutdown().await;
        self.write();
    }

    /// Looks again who is wanted, and of whom it could be had, if a file has changed and then stayed.
    async fn look(&mut self) {
        let station = self.context.station.clone();
        let Ok(now) = spawn_blocking(move || fingerprint(&station)).await else {
            return;
        };
        if now == self.fingerprint {
            return;
        }
        self.fingerprint = now;
        let context = Arc::clone(&self.context);
        let looked = spawn_blocking(move || Situation::look(&context, unix_time())).await;
        match looked {
            Ok(Ok(situation)) => {
                self.situations.send_replace(Arc::new(situation));
                self.choose();
            }
            Ok(Err(error)) => warn!(
                target: LIVE_LOG,
                "{}: what was wanted before still is",
                chain(&error)
            ),
            Err(_) => {}
        }
    }

    /// Begins and ends connections, so that those are there that should be.
    fn choose(&mut self) {
        let situation = Arc::clone(&self.situations.borrow());
        let now = unix_time();
        let path = self.context.file(state_file::PEERS.name);
        let memory = PeerMemory::load(&path, now);
        let candidates = &situation.candidates;
        let selection = self.context.selection(candidates, &memory, now);
        let most = selection.first().len();
        let is_there = |name: &String| candidates.iter().any(|peer| peer.name() == *name);
        let has_others = candidates.len() > most;
        let lost: Vec<String> = self.running.keys().cloned().collect();
        for name in lost {
            let is_kept = is_there(&name) && !(has_others && self.is_given_up(&name, now));
            if !is_kept && let Some(running) = self.running.remove(&name) {
                running.handle.abort();
                self.shared.conductor.disconnected(running.id);
                lock(&self.shared.board)
                    .peers
                    .retain(|peer| peer.url != running.url);
            }
        }
        let selected = selection.first().iter();
        let selected = selected.filter_map(|place| candidates.get(*place));
        for peer in selected {
            if self.running.len() < most && !self.running.contains_key(&peer.name()) {
                self.begin(peer, &memory, now);
            }
        }
    }

    /// Whether a peer has been away for so long that another should take its place.
    fn is_given_up(&self, name: &str, now: u64) -> bool {
        let Some(running) = self.running.get(name) else {
            return false;
        };
        let mut board = lock(&self.shared.board);
        let state = board.peer(&running.url);
        let is_old = running.began.elapsed().as_secs() >= GIVEN_UP;
        let is_away = state.connected_since.is_none();
        is_old && is_away && state.lost_at.is_none_or(|lost| lost + GIVEN_UP <= now)
    }

    fn begin(&mut self, peer: &Peer, memory: &PeerMemory, now: u64) {
        let url = peer.url();
        let mut before = self.before.peers.iter();
        let known = before.find(|state| state.url == url);
        let complete_until = known.map_or(0, |state| state.complete_until);
        let complete_until = complete_until
            .min(now)
            .max(now.saturating_sub(UNKNOWN_PAST));
        lock(&self.shared.board).peer(&url).complete_until = complete_until;
        let limits = memory.of(peer, now).cloned();
        let id = LinkId(self.next_link);
        self.next_link += 1;
        let shared = Arc::clone(&self.shared);
        let link = Link::new(id, shared, peer.clone(), limits, complete_until);
        let running = Running {
            id,
            handle: self.links.spawn(link.keep()),
            url,
            began: Instant::now(),
        };
        self.running.insert(peer.name(), running);
    }

    /// Writes how it goes, for other programs.
    fn write(&self) {
        let path = self.context.file(state_file::LIVE.name);
        let state = lock(&self.shared.board).written_at(unix_time());
        if let Err(error) = state.save(&path) {
            info!(target: LIVE_LOG, "{} could not be written: {error}", path.display());
        }
    }
}
