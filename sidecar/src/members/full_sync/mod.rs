//! Full syncs: everything that pubkeys without a profile ever wrote is fetched from all peers. If
//! that brings no profile, the fallback relays are asked for the profile alone.
//!
//! Whether a full sync succeeded is decided by the database: a profile that came but was not kept by
//! strfry does not count.

mod asking;
pub(crate) mod budget;
mod comparison;
mod rounds;

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use constellation_shared::{Pubkey, counted, kinds};
use tokio::time::timeout_at;
use tracing::{error, warn};

pub(crate) use asking::{Answers, FullSyncs};
use asking::{Asking, Source, SourceState};
use budget::Budget;
use comparison::Comparison;

use crate::admission::gate::Gate;
use crate::admission::intake::{Admission, ArrivalListener};
use crate::admission::pipeline::{Pipeline, PipelineResult, Step};
use crate::admission::rules::Rules;
use crate::backfill::stop::TimeLimit;
use crate::plan::peer_memory::PeerMemory;
use crate::plan::refused::Refused;
use crate::plan::wanted::Wanted;
use crate::relay::connection::Connector;
use crate::strfry::Strfry;
use crate::strfry::import::{Import, Imported};
use crate::support::error_chain::chain;
use crate::swarm::peer::Peer;

/// How long a relay may go without bringing a full sync further.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What a recovery needs.
pub(crate) struct FullSync<'a> {
    /// How to reach relays.
    pub connector: &'a Connector,
    /// The strfry that gets the events.
    pub strfry: Strfry,
    /// What need not be asked for again, if peers are compared with what is here; else they are
    /// paged through.
    pub refused: Option<Arc<Refused>>,
    /// What may come in.
    pub rules: &'a Rules,
    /// Which kinds a full sync asks for.
    pub kinds: Vec<u16>,
    /// What earlier runs learned of the relays, and this one learns.
    pub peer_memory: &'a mut PeerMemory,
    /// Whether strfry verifies once more.
    pub verify: bool,
    /// How long it may take.
    pub limit: TimeLimit,
    /// Whether the peers' events are let in unverified; those of other relays never are.
    pub trust_peers: bool,
    /// How many groups of pubkeys are synced at a time.
    pub parallel: usize,
    /// What they may take of the run.
    pub budget: Budget,
    /// How many events of one pubkey a relay is asked for at most.
    pub most_events: usize,
    /// What has passed before, and does now.
    pub gate: Gate,
    /// What strfry made of the events.
    pub imported: Imported,
    /// How many events strfry was given and does not say what became of.
    pub untold: u64,
}

impl FullSync<'_> {
    /// Full syncs from the peers; how many of them answered for each pubkey that there was
    /// time for.
    pub(crate) async fn ask_peers(
        &mut self,
        keys: Vec<Pubkey>,
        peers: &[Peer],
        interruption: Pin<&mut impl Future<Output = ()>>,
    ) -> (FullSyncs, Step) {
        let (kinds, parallel, most) = (self.kinds.clone(), self.parallel, self.most_events);
        let verify = !self.trust_peers;
        let budget = self.budget.clone();
        let work = |asking: Asking| asking.ask_for_each(keys, kinds, parallel, most, budget);
        let comparison = self.refused.clone().map(|refused| Comparison {
            strfry: self.strfry.clone(),
            refused,
            listeners: Arc::default(),
        });
        let sources = (peers, comparison);
        let (answers, step) = self.step(sources, verify, work, interruption).await;
        (answers.unwrap_or_default(), step)
    }

    /// The profiles alone, of all these pubkeys, from relays that nobody trusts; how many
    /// of them answered.
    pub(crate) async fn ask_fallback(
        &mut self,
        keys: Vec<Pubkey>,
        relays: &[Peer],
        interruption: Pin<&mut impl Future<Output = ()>>,
    ) -> (Answers, Step) {
        let wanted = Wanted::since(keys.into(), vec![kinds::PROFILE], 0);
        let deadline = self.budget.deadline;
        let work = |asking: Asking| async move {
            let asked = timeout_at(deadline, asking.ask(wanted)).await;
            asked.unwrap_or(Answers {
                is_cut_off: true,
                ..Answers::default()
            })
        };
        let (answers, step) = self.step((relays, None), true, work, interruption).await;
        (answers.unwrap_or_default(), step)
    }

    /// A relay, with what is remembered of it.
    fn source(&self, peer: &Peer) -> Source {
        let known = self.peer_memory.of(peer, self.rules.now);
        Source {
            peer: peer.clone(),
            state: Mutex::new(SourceState {
                is_out: known.is_some_and(|known| known.unreachable),
                known: known.cloned(),
                manners: self.peer_memory.manners(peer),
            }),
        }
    }

    /// Opens a pipeline, does some work whose events go through it, and closes it.
    async fn step<W: Future>(
        &mut self,
        (peers, comparison): (&[Peer], Option<Comparison>),
        verify: bool,
        work: impl FnOnce(Asking) -> W,
        mut interruption: Pin<&mut impl Future<Output = ()>>,
    ) -> (Option<W::Output>, Step) {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let listener = comparison.as_ref().map(|comparison| {
            let listeners = Arc::clone(&comparison.listeners);
            listeners as Arc<dyn ArrivalListener>
        });
        let mut pipeline = Pipeline::open(
            Admission::new(self.rules.clone(), verify, listener, cores),
            std::mem::take(&mut self.gate),
            Import::new(self.strfry.clone(), self.verify),
        );
        let sources = peers.iter().map(|peer| self.source(peer));
        let sources: Arc<Vec<Source>> = Arc::new(sources.collect());
        let asking = Asking {
            sources: Arc::clone(&sources),
            connector: self.connector.clone(),
            admission: Arc::clone(&pipeline.admission),
            comparison,
            now: self.rules.now,
            limit: self.limit,
        };
        // What is left of the work ends with this, its sessions among it.
        let (output, step) = pipeline.run(work(asking), interruption.as_mut()).await;
        let PipelineResult {
            gate,
            imported,
            result,
            interrupted,
        } = pipeline.close(step, interruption).await;
        self.gate = gate;
        let untold = imported.untold();
        self.imported.add(imported);
        self.untold += untold;
        for source in sources.iter() {
            let mut state = source.state();
            if let Some(known) = state.known.take() {
                self.peer_memory.learn(&source.peer, known);
                let manners = std::mem::take(&mut state.manners);
                let now = self.rules.now;
                self.peer_memory.learn_manners(&source.peer, manners, now);
            }
        }
        match result {
            Ok(()) if interrupted => (output, Step::Interrupted),
            Ok(()) if untold > 0 => {
                warn!(
                    "strfry does not say what became of {} of the full syncs; what it has not stored is fetched again next time",
                    counted(untold, "event")
                );
                (output, Step::Broken)
            }
            Ok(()) => (output, step),
            Err(error) => {
                error!(
                    "{}; the import of the full syncs failed; {}",
                    chain(&error),
                    error.remedy()
                );
                (output, Step::Broken)
            }
        }
    }
}
