//! [`SessionOutcome`]: how a session ended, and what was learned of the peer.

use std::time::Duration;

use tracing::{error, info, warn};

use crate::admission::counts::Counts;
use crate::backfill::session::Session;
use crate::backfill::session::failure::{
    SessionFailure, Shortfall, WANTS_AUTH, are_usually_restricted,
};
use crate::backfill::session::progress::Progress;
use crate::plan::manners::{Manners, RestReason};
use crate::plan::peer_memory::KnownLimits;
use crate::relay::filter::Window;
use crate::relay::nip11::Information;
use crate::relay::pager::Pager;
use crate::report::PeerReport;

/// How a session ended, and what was learned of the peer.
pub struct SessionOutcome {
    /// The report of the peer, still without its counts.
    pub report: PeerReport,
    /// The limits of the peer's relay, for the next run.
    pub limits: KnownLimits,
    /// What its answers showed, in this run and in earlier ones.
    pub manners: Manners,
    /// What is left of the pages, if all of them were walked through and the session broke off.
    pub left: Option<Vec<Window>>,
}

impl Session {
    /// Sums up a session that ended like this and took this long.
    pub(super) fn outcome(
        &self,
        result: Result<(), SessionFailure>,
        progress: Progress,
        took: Duration,
        now: u64,
    ) -> SessionOutcome {
        let broke_off = result.is_err();
        let unreadable_kinds = progress.unreadable_kinds();
        let failure = result
            .err()
            .or_else(|| self.shortfall(&progress, &unreadable_kinds));
        let (failure, code) = failure.map(|failure| (failure.cause, failure.code)).unzip();
        if !unreadable_kinds.is_empty() && are_usually_restricted(&unreadable_kinds) {
            info!(
                "{} shows kinds {unreadable_kinds:?} only to clients who say who they are (NIP-42): they stay there",
                self.shown()
            );
        }
        let reconciled = progress.reconciliation.is_some() && !progress.is_unfit;
        let pager = progress.pager.as_ref();
        let pager = pager.filter(|pager| broke_off && !reconciled && pager.gaps().is_empty());
        let left = pager.map(Pager::left);
        let report = PeerReport {
            address: self.address.clone(),
            station: self.station.clone(),
            counts: Counts::default(),
            bytes: self.traffic.received(),
            bytes_sent: self.traffic.sent(),
            seconds: took.as_secs_f64(),
            failure,
            code,
            reached: self.traffic.is_reached(),
            reconciled,
            by_authors: progress.named_authors(),
            broke_off,
            unreadable_kinds,
            remarks: progress
                .information
                .as_ref()
                .map_or_else(Vec::new, |information| information.remarks.clone()),
            covered: None,
            of_any_author: None,
        };
        SessionOutcome {
            report,
            manners: self.learned_manners(&progress, now),
            limits: self.limits(progress, now),
            left,
        }
    }

    /// Which events the peer holds and did not give, although no attempt failed.
    fn shortfall(&self, progress: &Progress, unreadable_kinds: &[u16]) -> Option<SessionFailure> {
        let gaps = progress.pager.as_ref().map_or(&[][..], Pager::gaps);
        let shortfall = if self.answers_nothing(unreadable_kinds) {
            Shortfall::KeptAll
        } else {
            Shortfall::of(gaps, unreadable_kinds)?
        };
        let (cause, code) = (shortfall.to_string(), shortfall.code());
        if code == WANTS_AUTH {
            warn!("{}: {cause} [{code}]", self.shown());
        } else {
            error!(
                "WebSocket backfill failed in part: {}: {cause} [{code}]",
                self.shown()
            );
        }
        Some(SessionFailure { cause, code })
    }

    /// Whether the relay shows none of the kinds that are wanted to clients who do not say who they
    /// are, and has shown no event.
    fn answers_nothing(&self, unreadable_kinds: &[u16]) -> bool {
        let mut kinds = self.wanted.kinds.iter();
        !are_usually_restricted(&self.wanted.kinds)
            && kinds.all(|kind| unreadable_kinds.contains(kind))
    }

    fn learned_manners(&self, progress: &Progress, now: u64) -> Manners {
        let mut manners = self.manners.clone();
        if let Some(wait) = progress.wants_rest {
            manners.leave_alone(RestReason::Busy, wait.as_secs(), now);
        }
        if self.answers_nothing(&progress.unreadable_kinds()) {
            manners.want_auth(now);
        }
        if progress.never_reconciles {
            manners.refuse_reconciliation(now);
        }
        if let Some(pager) = &progress.pager {
            manners.learn_bounds(pager.bounds(), now);
        }
        manners
    }

    /// What is remembered of the relay for the next run.
    fn limits(&self, progress: Progress, now: u64) -> KnownLimits {
        let is_unreachable = !self.traffic.is_reached();
        // What was not asked for again is as old as before.
        let learned_at = match &self.known {
            Some(known) if !known.unreachable && !is_unreachable => known.learned_at,
            _ => now,
        };
        let information = progress.information.unwrap_or_default();
        KnownLimits {
            learned_at,
            information: Information {
                negentropy: information.negentropy && !progress.is_unfit,
                ..information
            },
            unreachable: is_unreachable,
        }
    }
}
