//! Writes the last lines of a run's log.

use constellation_shared::counted;
use tracing::{error, info, warn};

use crate::report::{Outcome, Report};
use crate::strfry::import::ImportError;
use crate::support::error_chain::chain;

/// Writes the lines that close the log of a run; `broken` is why strfry did not take everything.
pub(crate) fn write(report: &Report, broken: Option<&ImportError>) {
    if let Some(error) = broken {
        error!(
            "{}; the import failed: what strfry said before stays stored; {}",
            chain(error),
            error.remedy()
        );
    }
    for (reason, count) in &report.imported.rejected {
        let events = counted(*count, "event");
        warn!("strfry rejected {events}: {reason}");
    }
    if let Some(line) = report.refused_line() {
        info!("{line}");
    }
    if let Some(line) = report.undelivered_line() {
        info!("{line}");
    }
    info!(for_scripts = true, "{}", report.stats_line());
    info!(for_scripts = true, "{}", report.import_line());
    info!(for_scripts = true, "{}", report.peers_line());
    match report.outcome {
        Outcome::Interrupted => {
            warn!(
                "Backfill interrupted; what strfry was given is stored, the next run brings the rest"
            );
        }
        Outcome::NothingDone => {}
        Outcome::Complete | Outcome::SomePeersFailed => {
            info!(for_scripts = true, "Backfill process completed");
        }
    }
}
