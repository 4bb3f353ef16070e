//! [`Asking`]: asks several relays at once for the same events, and records how each relay did.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use constellation_shared::Pubkey;
use indicatif::ProgressBar;
use tokio::task::JoinSet;
use tokio::time::timeout_at;
use tracing::{error, info, warn};

use crate::admission::counts::{self, Tally};
use crate::admission::intake::Admission;
use crate::backfill::session::{Session, SessionOutcome};
use crate::backfill::stop::{OUT_OF_TIME, Stop, TimeLimit};
use crate::members::full_sync::PATIENCE;
use crate::members::full_sync::budget::{Budget, group_size};
use crate::members::full_sync::comparison::Comparison;
use crate::members::profiles::render::short;
use crate::plan::manners::Manners;
use crate::plan::peer_memory::KnownLimits;
use crate::plan::wanted::Wanted;
use crate::relay::connection::Connector;
use crate::support::log::PROFILE_LOG;
use crate::support::mutex::lock;
use crate::swarm::peer::Peer;

/// How many relays gave all that they have, of how many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    /// How many relays gave everything.
    pub whole: usize,
    /// How many relays there are.
    pub total: usize,
    /// There was no time to ask all of them to the end.
    pub is_cut_off: bool,
}

/// What became of the full syncs of a run.
#[derive(Debug, Default)]
pub(crate) struct FullSyncs {
    /// How many relays answered for each pubkey that was asked for to the end.
    pub answers: BTreeMap<Pubkey, Answers>,
    /// How many of the pubkeys had their turn, the first ones, whether to the end or not.
    pub started: usize,
}

impl FullSyncs {
    /// Counts relays that gave everything before and were not asked again.
    pub(crate) fn with_covered(mut self, relays: usize) -> Self {
        for answers in self.answers.values_mut() {
            answers.whole += relays;
            answers.total += relays;
        }
        self
    }
}

/// A relay, and how it has done during the full syncs.
pub(crate) struct Source {
    pub(crate) peer: Peer,
    pub(crate) state: Mutex<SourceState>,
}

#[derive(Default)]
pub(crate) struct SourceState {
    pub(crate) known: Option<KnownLimits>,
    /// What its answers showed.
    pub(crate) manners: Manners,
    /// The relay broke off once: it is not asked again in this run.
    pub(crate) is_out: bool,
}

impl Source {
    pub(crate) fn state(&self) -> MutexGuard<'_, SourceState> {
        lock(&self.state)
    }
}

/// What the sessions of a step share.
#[derive(Clone)]
pub(crate) struct Asking {
    pub(crate) sources: Arc<Vec<Source>>,
    pub(crate) connector: Connector,
    pub(crate) admission: Arc<Admission>,
    /// Compares what the relays hold with what is here, if they can; else they are paged through.
    pub(crate) comparison: Option<Comparison>,
    pub(crate) now: u64,
    pub(crate) limit: TimeLimit,
}

impl Asking {
    /// Asks all relays that have not broken off, at the same time.
    pub(crate) async fn ask(&self, wanted: Wanted) -> Answers {
        let wanted = Arc::new(wanted);
        let comparison = self.comparison.as_ref();
        let reconciliation =
            comparison.map(|comparison| comparison.begin(self.sources.len(), self.now));
        let mut sessions = JoinSet::new();
        for (place, source) in self.sources.iter().enumerate() {
            let state = source.state();
            if state.is_out {
                continue;
            }
            let tally = Tally::default();
            let session = Session {
                index: place,
                reconciliation: reconciliation.clone(),
                address: source.peer.address.clone(),
                station: source.peer.station.clone(),
                known: state.known.clone(),
                manners: state.manners.clone(),
                connector: self.connector.clone(),
                tally: Arc::clone(&tally),
                traffic: Arc::default(),
                stop: Stop::at(self.limit),
                admission: Arc::clone(&self.admission),
                wanted: Arc::clone(&wanted),
                any_author: None,
                resumption: None,
                patience: PATIENCE,
                silence_ends_it: true,
                may_be_no_relay: false,
                bar: ProgressBar::hidden(),
            };
            let now = self.now;
            sessions.spawn(async move { (place, tally, session.run(now).await) });
        }
        let mut answers = Answers {
            whole: 0,
            total: self.sources.len(),
            is_cut_off: false,
        };
        let mut ended = Vec::new();
        while let Some(joined) = sessions.join_next().await {
            match joined {
                Ok(joined) => ended.push(joined),
                Err(error) => error!("a session ended unexpectedly and failed: {error}"),
            }
        }
        for (place, tally, outcome) in ended {
            // Known once all have ended: another relay may have sent what one withholds.
            let withheld = reconciliation
                .as_ref()
                .filter(|_| outcome.report.reconciled);
            let withheld = withheld.map_or(0, |shared| shared.withheld_by(place));
            let SessionOutcome {
                report,
                limits,
                manners,
                ..
            } = outcome;
            answers.whole += usize::from(report.failure.is_none() && withheld == 0);
            answers.is_cut_off |= report.code == Some(OUT_OF_TIME);
            if let Some(source) = self.sources.get(place) {
                let mut state = source.state();
                state.is_out |= report.broke_off;
                state.known = Some(limits);
                state.manners = manners;
            }
            let received = counts::counts(&tally).received;
            if received >= wanted.most_events as u64 {
                warn!(
                    "{} holds more than {} events of what was asked for; the newest {received} were taken",
                    report.shown(),
                    wanted.most_events
                );
            }
        }
        answers
    }

    /// Everything that these pubkeys ever wrote, some of them in one question, as far as the
    /// budget goes; without those that it did not go to the end with.
    pub(crate) async fn ask_for_each(
        self,
        keys: Vec<Pubkey>,
        kinds: Vec<u16>,
        parallel: usize,
        most_events: usize,
        budget: Budget,
    ) -> FullSyncs {
        let mut full_syncs = FullSyncs::default();
        let mut syncs = JoinSet::new();
        let mut groups = keys.chunks(group_size(keys.len()));
        loop {
            while syncs.len() < parallel.max(1)
                && !budget.is_over()
                && !self.limit.is_over()
                && let Some(group) = groups.next()
            {
                if !budget.take_connections(self.sources_at_work()) {
                    groups = [].chunks(1);
                    break;
                }
                for key in group {
                    info!(
                        target: PROFILE_LOG,
                        "  🔄 FULL SYNC for {}... (all messages, no time limit)",
                        short(key)
                    );
                }
                let mut group = group.to_vec();
                group.sort_unstable();
                let wanted = Wanted {
                    most_events: most_events.saturating_mul(group.len()),
                    ..Wanted::since(group.clone().into(), kinds.clone(), 0)
                };
                full_syncs.started += group.len();
                let asking = self.clone();
                syncs.spawn(async move { (group, asking.ask(wanted).await) });
            }
            // What is not done by then ends with the set.
            match timeout_at(budget.deadline, syncs.join_next()).await {
                Err(_) | Ok(None) => return full_syncs,
                Ok(Some(Ok((_, answer)))) if answer.is_cut_off => {}
                Ok(Some(Ok((group, answer)))) => {
                    let answers = group.into_iter().map(|key| (key, answer));
                    full_syncs.answers.extend(answers);
                }
                Ok(Some(Err(error))) => {
                    error!("a full sync ended unexpectedly and failed: {error}");
                }
            }
        }
    }

    fn sources_at_work(&self) -> usize {
        let sources = self.sources.iter();
        sources.filter(|source| !source.state().is_out).count()
    }
}
