//! [`Tries`]: what a session finds out about how much a peer holds of authors whom nobody here
//! follows, and how the peer is to be asked from then on.

use constellation_shared::EventId;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{debug, info};

use crate::admission::intake::Intake;
use crate::backfill::reconciliation::PeerReconciler;
use crate::backfill::reconciliation::task::{Asking, MOST_UNKNOWN};
use crate::plan::peer_sets::{Naming, Span, Way};
use crate::relay::connection::Connection;
use crate::support::error_chain::chain;

/// How many unwanted events are fetched at most in one run, to learn that they are.
const MOST_LEARNED: usize = 20_000;

/// How many bytes may come for that at most, before no more is asked for.
const MOST_BYTES: u64 = 16_000_000;

/// How many of them are asked for at once.
const AT_ONCE: usize = 2_000;

/// In the newest part of the time, a peer may hold this share of the unwanted events for which it
/// is worth to do without names, and some.
const SHARE: usize = 8;
const AND_SOME: usize = 200;

/// What was found out about one span.
#[derive(Debug, Default)]
struct Try {
    /// Unknown events that were listed without names, and may be unwanted.
    unknown: Vec<EventId>,
    /// Whether more was listed than is worth to be learned.
    is_too_much: bool,
    /// Whether it was tried to do without names.
    was_tried: bool,
    /// Whether the authors were named because more was listed than usual.
    fell_back: bool,
    /// Whether there was a question without names that was answered.
    went_by_kinds: bool,
    /// Whether it failed, which has been remembered.
    has_failed: bool,
}

/// What a session finds out.
#[derive(Debug)]
pub(super) struct Tries {
    naming: Naming,
    recent: Try,
    older: Try,
    /// Whether something was listed without names that did not come.
    had_doubts: bool,
}

impl Tries {
    pub(super) fn new(naming: Naming) -> Self {
        Self {
            naming,
            recent: Try::default(),
            older: Try::default(),
            had_doubts: false,
        }
    }

    const fn of(&self, span: Span) -> &Try {
        match span {
            Span::Recent => &self.recent,
            Span::Older => &self.older,
        }
    }

    const fn of_mut(&mut self, span: Span) -> &mut Try {
        match span {
            Span::Recent => &mut self.recent,
            Span::Older => &mut self.older,
        }
    }

    /// How many unknown events a peer may list before a question ends.
    pub(super) fn most_unknown(&self, reconciler: &PeerReconciler<'_>, asking: Asking) -> usize {
        match asking {
            Asking::ByAuthors => usize::MAX,
            Asking::ByKinds(_) => MOST_UNKNOWN,
            Asking::Try(_) => self.worth(reconciler),
            Asking::TryNewest(_) => self.worth(reconciler) / SHARE + AND_SOME,
        }
    }

    /// How many unwanted events it is worth to learn.
    fn worth(&self, reconciler: &PeerReconciler<'_>) -> usize {
        let sets = reconciler.reconciliation.sets();
        self.naming.worth().min(sets.room(&reconciler.url))
    }

    /// Whether it cannot be done without names.
    pub(super) const fn has_failed(&self, span: Span) -> bool {
        let found = self.of(span);
        found.has_failed || found.is_too_much
    }

    /// A question without names listed so much that the authors are named.
    pub(super) fn fell_back(&mut self, span: Span, unknown: Vec<EventId>) {
        let found = self.of_mut(span);
        found.fell_back = true;
        found.unknown.extend(unknown);
    }

    /// A question without names was answered.
    pub(super) const fn went_by_kinds(&mut self, span: Span) {
        self.of_mut(span).went_by_kinds = true;
    }

    /// A try was answered.
    pub(super) fn tried(&mut self, span: Span, unknown: Vec<EventId>, is_more: bool) {
        let found = self.of_mut(span);
        found.was_tried = true;
        found.is_too_much |= is_more;
        found.unknown.extend(unknown);
    }

    /// Something was listed without names that did not come.
    pub(super) const fn had_doubts(&mut self) {
        self.had_doubts = true;
    }

    /// Names the authors from now on, for a while.
    pub(super) fn fail(&mut self, reconciler: &PeerReconciler<'_>, span: Span) {
        let now = reconciler.now();
        self.of_mut(span).has_failed = true;
        let mut sets = reconciler.reconciliation.sets();
        sets.set_way(&reconciler.url, span, Way::failed(now));
        info!(
            "{}: it holds much of authors whom nobody here follows, or does not say: the authors are named",
            reconciler.url
        );
    }

    /// Decides at the end of a session how the peer is asked from then on. What it holds of others
    /// is learned if that is worth it. Everything that is wanted was had before, so nothing fails
    /// here.
    pub(super) async fn end<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        connection: &mut Connection<S>,
        reconciler: &PeerReconciler<'_>,
        intake: &mut Intake,
    ) {
        for span in [Span::Recent, Span::Older] {
            let found = std::mem::take(self.of_mut(span));
            if found.has_failed {
                continue;
            }
            if found.was_tried || found.fell_back {
                self.learn(connection, reconciler, intake, (span, found))
                    .await;
            } else if found.went_by_kinds {
                let unwanted = if self.had_doubts {
                    u64::MAX / 2
                } else {
                    reconciler.unwanted_bytes()
                };
                let mut sets = reconciler.reconciliation.sets();
                let way = sets.way(&reconciler.url, span);
                let way = way.after(unwanted, self.naming, reconciler.now());
                sets.set_way(&reconciler.url, span, way);
            }
        }
    }

    async fn learn<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        connection: &mut Connection<S>,
        reconciler: &PeerReconciler<'_>,
        intake: &mut Intake,
        (span, found): (Span, Try),
    ) {
        let mut unknown = found.unknown;
        reconciler.retain_unknown(&mut unknown);
        // Where there was much to catch up with, most of what was listed has come by now.
        let most = if found.fell_back {
            MOST_UNKNOWN / 2
        } else {
            self.worth(reconciler)
        };
        if unknown.len() > most || found.is_too_much {
            self.fail(reconciler, span);
            return;
        }
        let begin = connection.traffic().received();
        for ids in unknown.chunks(AT_ONCE).take(MOST_LEARNED / AT_ONCE) {
            if connection.traffic().received() - begin > MOST_BYTES {
                break;
            }
            if let Err(error) = reconciler.learn(connection, intake, ids).await {
                debug!("{}: {}", reconciler.url, chain(&error));
                return;
            }
        }
        let listed = unknown.len();
        reconciler.retain_unknown(&mut unknown);
        let learned = listed - unknown.len();
        debug!(
            "{}: {learned} events that nobody wants are known now",
            reconciler.url
        );
        if unknown.len() <= MOST_UNKNOWN {
            let mut sets = reconciler.reconciliation.sets();
            sets.set_way(&reconciler.url, span, Way::ByKinds(0));
        }
    }
}
