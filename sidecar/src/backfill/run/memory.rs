//! What is remembered after a backfill: the events that were refused or not kept, and how each
//! peer did.

use std::io;
use std::path::{Path, PathBuf};

use constellation_shared::{EventId, counted};
use tracing::{error, info, warn};

use crate::admission::counts::{self, MostlyForged};
use crate::admission::gate::Gate;
use crate::admission::pipeline::{PipelineResult, Step};
use crate::backfill::run::Backfill;
use crate::backfill::run::witnesses::witnesses;
use crate::backfill::session::{LEFT_ALONE, WANTS_AUTH};
use crate::backfill::stop::OUT_OF_TIME;
use crate::context::Context;
use crate::plan::coverage::{self, Completed};
use crate::plan::peer_history::PeerOutcome;
use crate::plan::place::BrokenOff;
use crate::plan::slices::Slices;
use crate::report::{Covered, PeerReport};
use crate::support::error_chain::chain;
use crate::support::state_file;

/// The stable word for a peer that lists events and does not send them.
const WITHHELD: &str = "withheld";

/// At how many of the newest events it is looked for some that the database is recognised by, and
/// for the time up to which everything is here.
const LOOKED_AT: usize = 500;

impl Backfill<'_> {
    /// Puts the final counts of each peer into its report, and remembers which of its events were
    /// refused. The pipeline must be closed.
    pub(super) fn count(&mut self, reports: &mut [PeerReport]) {
        let asked = self.peers.iter().zip(&self.tallies);
        for (peer, tally) in asked.filter(|(peer, _)| !self.not_asked.contains(&peer.address)) {
            let mut counts = counts::counts(tally);
            let address = &peer.address;
            for (event, refusal) in counts.refused_events.drain(..) {
                // The id of an unverified event may belong to another event.
                if !self.context.options.trust_peers {
                    let sender = address.to_string();
                    let limits = self.rules.limits;
                    self.refused
                        .remember(&event, refusal, &sender, self.now, limits);
                }
            }
            for id in counts.overlong.drain(..) {
                let sender = address.to_string();
                self.refused.remember_overlong(id, &sender, self.now);
            }
            info!(
                "Collected {} events from {}",
                counts.collected,
                peer.shown()
            );
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

    /// A peer that listed events which nobody sent did not give everything.
    pub(super) fn report_withheld(&self, reports: &mut [PeerReport]) {
        let Some(reconciliation) = &self.reconciliation else {
            return;
        };
        for report in reports
            .iter_mut()
            .filter(|report| report.failure.is_none() && report.reconciled)
        {
            let mut peers = self.peers.iter();
            let place = peers.position(|peer| peer.address == report.address);
            let withheld = place.map_or(0, |place| reconciliation.withheld_by(place));
            if withheld > 0 {
                let why = format!(
                    "it lists {} that it does not send",
                    counted(withheld, "event")
                );
                error!(
                    "WebSocket backfill failed in part: {}: {why} [{WITHHELD}]",
                    report.shown()
                );
                report.failure = Some(why);
                report.code = Some(WITHHELD);
            }
        }
    }

    /// Saves what later runs need to know. Nothing is concluded from a run that was cut short: what
    /// strfry did not take is still missing, and a peer that we left is not to blame. Returns how
    /// many events strfry was given and may have lost.
    pub(super) async fn remember(
        &mut self,
        reports: &mut [PeerReport],
        imported: &PipelineResult,
        step: Step,
    ) -> u64 {
        let PipelineResult { gate, result, .. } = imported;
        let mut untold = 0;
        let is_settled = result.is_ok() && !imported.interrupted && step == Step::Done;
        if is_settled {
            let imported = &imported.imported;
            if imported.written.added < gate.passed().len() as u64 {
                untold = imported.untold();
                if untold > 0 {
                    warn!(
                        "strfry was given {} and does not say what became of {untold} of them; what it has not stored is fetched again next time",
                        counted(imported.events, "event")
                    );
                } else if !self.context.options.trust_peers {
                    // The id of an unverified event may belong to another event.
                    self.remember_what_was_not_kept(gate).await;
                }
            }
            let outcomes = self.peers.iter().filter_map(|peer| {
                let mut reports = reports.iter();
                let report = reports.find(|report| report.address == peer.address)?;
                Some((peer, outcome(report)))
            });
            self.peer_memory.settle(self.now, outcomes, &self.kinds);
            if untold == 0 {
                self.ledger.unfollow(gate.kept_out());
                self.remember_coverage(reports).await;
            }
        }
        self.peer_memory.ask(&self.peers, self.now);
        self.peer_memory.see(&self.candidates, self.now);
        let path = refused_path(self.context);
        warn_if_unwritten(&path, self.refused.save(&path));
        if let Some(reconciliation) = &self.reconciliation {
            let path = peer_sets_path(self.context);
            warn_if_unwritten(&path, reconciliation.sets().save(&path, self.now));
        }
        let path = peer_memory_path(self.context);
        warn_if_unwritten(&path, self.peer_memory.save(&path, self.now));
        untold
    }

    /// Records what was had of each peer that gave everything.
    async fn remember_coverage(&mut self, reports: &mut [PeerReport]) {
        let newest = match self.strfry.newest(&self.kinds, self.now, LOOKED_AT).await {
            Ok(newest) => newest,
            Err(error) => {
                warn!(
                    "{}: what was had of the peers is asked for again next time",
                    chain(&error)
                );
                return;
            }
        };
        let times: Vec<u64> = newest.iter().map(|event| event.created_at).collect();
        let horizon = coverage::horizon(&times, self.overlap());
        // Our clock may be far ahead, unless events of today are here.
        let newest_time = times.first();
        let is_today = newest_time.is_some_and(|time| self.now.abs_diff(*time) <= self.overlap());
        let asked_up_to = if is_today { self.now } else { horizon };
        let witnesses = witnesses(&newest, &self.followed);
        if !witnesses.is_empty() {
            self.ledger.witness(&witnesses);
        }
        for (peer, asked) in self.peers.iter().zip(&self.asked) {
            let report = reports
                .iter_mut()
                .find(|report| report.address == peer.address);
            let Some(report) = report else { continue };
            // By its address: any folder of the swarm may give another node's address.
            let url = peer.url();
            let left = self.left.get(&peer.address);
            if report.failure.is_none() {
                let completed = Completed {
                    address: &url,
                    now: self.now,
                    run: 0,
                    newest: horizon,
                    kinds: &self.kinds,
                    reconciled: report.reconciled,
                };
                self.ledger.settle(&url, asked, completed);
            } else if report.code == Some(MostlyForged::CODE) {
                self.ledger.forget_place(&url);
            } else if let Some(left) = left
                && self.context.options.sweeps()
            {
                let broken_off = BrokenOff {
                    address: &url,
                    now: self.now,
                    run: 0,
                    newest: asked_up_to,
                    kinds: &self.kinds,
                    spans: &asked.spans,
                    followed: &self.followed,
                    left,
                };
                self.ledger.keep_place(&url, broken_off);
            }
            report.covered = self.ledger.coverage(&url).map(|coverage| Covered {
                until: coverage.horizon(),
                oldest_comparison: coverage.oldest_comparison(),
            });
        }
        if self.context.options.sweeps() && self.ledger.is_to_be_sliced(self.now) {
            self.choose_slices().await;
        }
        let path = ledger_path(self.context);
        warn_if_unwritten(&path, self.ledger.save(&path));
    }

    /// Chooses how the history is swept from now on, by how many events this station holds.
    async fn choose_slices(&mut self) {
        match self.strfry.times(&self.kinds).await {
            Ok(times) => self.ledger.slice(Slices::of(times), self.now),
            Err(error) => warn!(
                "{}: the history is swept in the same slices as before",
                chain(&error)
            ),
        }
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
        report.shown()
    );
    report.failure = Some(error.to_string());
    report.code = Some(code);
    report.broke_off = true;
}

pub(super) fn refused_path(context: &Context) -> PathBuf {
    context.file(state_file::REFUSED.name)
}

pub(super) fn peer_sets_path(context: &Context) -> PathBuf {
    context.file(state_file::PEER_SETS.name)
}

pub(super) fn ledger_path(context: &Context) -> PathBuf {
    context.file(state_file::COVERAGE.name)
}

pub(super) fn peer_memory_path(context: &Context) -> PathBuf {
    context.file(state_file::PEERS.name)
}

pub(super) fn warn_if_unwritten(path: &Path, written: io::Result<()>) {
    if let Err(error) = written {
        warn!("{} could not be written: {error}", path.display());
    }
}

/// How asking a peer went. How many of its events were new is known only if it was reconciled with.
pub(super) fn outcome(report: &PeerReport) -> PeerOutcome {
    let brought = if report.reconciled {
        report.counts.collected
    } else {
        0
    };
    let was_not_asked = [Some(OUT_OF_TIME), Some(LEFT_ALONE), Some(WANTS_AUTH)];
    if was_not_asked.contains(&report.code) {
        PeerOutcome::Unfinished
    } else if report.broke_off && !report.reached {
        PeerOutcome::Unreached
    } else if report.broke_off {
        PeerOutcome::Failed
    } else if report.failure.is_some() {
        PeerOutcome::Partial(brought)
    } else {
        PeerOutcome::Complete(brought)
    }
}
