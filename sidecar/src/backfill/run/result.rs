//! [`Done`]: how a backfill ended.

use std::sync::Arc;

use constellation_shared::{Pubkey, counted};
use tracing::{error, info};

use crate::admission::gate::Gate;
use crate::admission::pipeline::{PipelineResult, Step};
use crate::admission::rules::Rules;
use crate::backfill::claims::ClaimsProgress;
use crate::backfill::run::Backfill;
use crate::backfill::session::WANTS_AUTH;
use crate::backfill::stop::TimeLimit;
use crate::relay::connection::Connector;
use crate::relay::tunnel::tunnels::Tunnels;
use crate::report::{Outcome, PeerReport, Report, Undelivered};
use crate::strfry::import::ImportError;
use crate::support::error_chain::chain;
use crate::swarm::peer::Peer;

/// Why a run failed whose peers all turned out to be this station itself.
const ONLY_OWN: &str = "No constellation peers found: all that were asked are this station itself; delete its former folders in tmp/swarm";

/// The result of a backfill, and what the steps after it (profiles, full syncs) go on with.
pub(crate) struct Done {
    /// The report of the run so far.
    pub report: Report,
    /// The gate, which knows the events that were handed to strfry.
    pub gate: Gate,
    /// Why strfry did not take all of them, if it did not.
    pub import_error: Option<ImportError>,
    /// The tunnels, which the caller must close.
    pub tunnels: Arc<Tunnels>,
    /// Opens connections to relays.
    pub connector: Connector,
    /// The peers that were asked.
    pub peers: Vec<Peer>,
    /// The authors whose events were asked for.
    pub followed: Arc<[Pubkey]>,
    /// The rules by which events were let in.
    pub rules: Rules,
    /// When the whole run must have ended, the steps after the backfill included.
    pub limit: TimeLimit,
}

impl Backfill<'_> {
    /// Sums up a backfill whose pipeline is closed, and after which strfry does not say what became
    /// of `untold` events.
    pub(super) fn done(
        self,
        reports: Vec<PeerReport>,
        imported: PipelineResult,
        step: Step,
        untold: u64,
    ) -> Done {
        let undelivered = self.end_reconciliation();
        let PipelineResult {
            gate,
            imported,
            result,
            interrupted,
        } = imported;
        let outcome = if result.is_err() {
            Outcome::NothingDone
        } else if interrupted || step == Step::Interrupted {
            Outcome::Interrupted
        } else if reports.is_empty() {
            error!("Backfill failed: {ONLY_OWN}");
            Outcome::NothingDone
        } else if untold == 0 && gave_everything(&reports) {
            Outcome::Complete
        } else {
            Outcome::SomePeersFailed
        };
        let broken = match &result {
            Err(error) => Some(chain(error)),
            Ok(()) if outcome == Outcome::NothingDone => Some(ONLY_OWN.to_owned()),
            Ok(()) => None,
        };
        let report = Report {
            followed: self.followed.len(),
            peers: reports,
            undelivered,
            by_kind: gate.by_kind().clone(),
            imported,
            untold,
            verify: self.context.options.verify,
            profiles: None,
            people: Vec::new(),
            outcome,
            broken,
        };
        Done {
            report,
            gate,
            import_error: result.err(),
            tunnels: Arc::clone(&self.tunnels),
            connector: self.connector.clone(),
            peers: self.others().cloned().collect(),
            followed: self.followed,
            rules: self.rules,
            limit: self.limit,
        }
    }

    /// Logs how many of the missing events came, and counts those that no peer delivered.
    fn end_reconciliation(&self) -> Undelivered {
        let Some(reconciliation) = &self.reconciliation else {
            return Undelivered::default();
        };
        reconciliation.bar.finish_and_clear();
        let ClaimsProgress {
            missing, settled, ..
        } = reconciliation.claims.progress();
        if missing > 0 {
            let missing = counted(missing as u64, "missing event");
            info!("{settled} of {missing} came");
        }
        reconciliation.undelivered()
    }
}

/// Whether all peers gave everything, but for those that answer nothing to strangers: that is no
/// failure if others answer.
fn gave_everything(reports: &[PeerReport]) -> bool {
    let mut others = reports.iter();
    let mut answering = reports
        .iter()
        .filter(|report| report.code != Some(WANTS_AUTH));
    others.any(|report| report.failure.is_none())
        && answering.all(|report| report.failure.is_none())
}
