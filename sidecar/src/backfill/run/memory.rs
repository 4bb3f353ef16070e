//! What is remembered after a backfill: the events that were refused or not kept, and how each
//! peer did.

use std::io;
use std::path::{Path, PathBuf};

use constellation_shared::EventId;
use tracing::{error, info, warn};

use crate::admission::counts::{self, MostlyForged};
use crate::admission::gate::Gate;
use crate::admission::pipeline::{PipelineResult, Step};
use crate::backfill::run::Backfill;
use crate::backfill::stop::OUT_OF_TIME;
use crate::context::Context;
use crate::plan::peer_history::PeerOutcome;
use crate::report::PeerReport;
use crate::support::error_chain::chain;
use crate::support::state_file;
use crate::swarm::peer::Peer;

impl Backfill<'_> {
    /// Puts the final counts of each peer into its report, and remembers which of its events were
    /// refused. The pipeline must be closed.
    pub(super) fn count(&mut self, reports: &mut [PeerReport]) {
        let asked = self.peers.iter().zip(&self.tallies);
        for (peer, tally) in asked.filter(|(peer, _)| !self.own.contains(&peer.address)) {
            let mut counts = counts::counts(tally);
            let address = &peer.address;
            for (event, refusal) in counts.refused_events.drain(..) {
                // The id of an unverified event may belong to another event.
                if !self.context.options.trust_peers {
                    let sender = address.to_string();
                    let size = self.rules.max_event_size;
                    self.refused
                        .remember(&event, refusal, &sender, self.now, size);
                }
            }
            info!("Collected {} events from {address}", counts.collected);
            let report = reports.iter_mut().find(|report| report.address == *address);
            if let Some(report) = report {
                if report.failure.is_none()
                    && let Err(error) = counts.check_forgeries()
                {
                    fail(report, error);
                }
                report.counts = counts;
            }
        }
    }

    /// Saves what later runs need to know. Nothing is concluded from a run that was cut short: what
    /// strfry did not take is still missing, and a peer that we left is not to blame.
    pub(super) async fn remember(
        &mut self,
        reports: &[PeerReport],
        imported: &PipelineResult,
        step: Step,
    ) {
        let PipelineResult { gate, result, .. } = imported;
        let is_settled = result.is_ok() && !imported.interrupted && step == Step::Done;
        if is_settled {
            let imported = &imported.imported;
            if imported.written.added < gate.passed().len() as u64 {
                let untold = imported.untold();
                if untold == 0 {
                    self.remember_what_was_not_kept(gate).await;
                } else {
                    warn!(
                        "strfry does not say what became of {untold} of its {} events; those that it has not stored are fetched again next time",
                        imported.events
                    );
                }
            }
            let outcomes = reports.iter().map(outcome);
            self.peer_memory.settle(self.now, outcomes, &self.kinds);
        }
        let urls: Vec<String> = self.candidates.iter().map(Peer::url).collect();
        self.peer_memory
            .see(urls.iter().map(String::as_str), self.now);
        let path = refused_path(self.context);
        warn_if_unwritten(&path, self.refused.save(&path));
        let path = peer_memory_path(self.context);
        warn_if_unwritten(&path, self.peer_memory.save(&path, self.now));
    }

    async fn remember_what_was_not_kept(&mut self, gate: &Gate) {
        let passed: Vec<EventId> = gate.passed().iter().copied().collect();
        match self.strfry.missing(&passed).await {
            Ok(missing) => {
                let reconciliation = self.reconciliation.as_ref();
                for id in missing {
                    let about = reconciliation.and_then(|shared| shared.arrived(&id));
                    self.refused.remember_not_kept(id, about, self.now);
                }
            }
            Err(error) => warn!(
                "{}: what strfry did not keep is asked for again next time",
                chain(&error)
            ),
        }
    }
}

/// Says that a peer failed that sent mostly forged events: what it holds did not come.
fn fail(report: &mut PeerReport, error: MostlyForged) {
    let code = MostlyForged::CODE;
    error!(
        "WebSocket backfill failed: {}: {error} [{code}]",
        report.address
    );
    report.failure = Some(error.to_string());
    report.code = Some(code);
    report.broke_off = true;
}

pub(super) fn refused_path(context: &Context) -> PathBuf {
    context.file(state_file::REFUSED.name)
}

pub(super) fn peer_memory_path(context: &Context) -> PathBuf {
    context.file(state_file::PEERS.name)
}

fn warn_if_unwritten(path: &Path, written: io::Result<()>) {
    if let Err(error) = written {
        warn!("{} could not be written: {error}", path.display());
    }
}

/// How asking a peer went. A peer with gaps has given all that it can. How many of its events were
/// new is known only if it was reconciled with.
pub(super) fn outcome(report: &PeerReport) -> (String, PeerOutcome) {
    let brought = if report.reconciled {
        report.counts.collected
    } else {
        0
    };
    let outcome = if report.code == Some(OUT_OF_TIME) {
        PeerOutcome::Unfinished
    } else if report.broke_off {
        PeerOutcome::Failed
    } else {
        PeerOutcome::Complete(brought)
    };
    (report.address.to_string(), outcome)
}
