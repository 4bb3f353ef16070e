//! [`Comparison`]: how full syncs compare what relays hold with what is here, so that only what is
//! missing is downloaded.

use std::sync::{Arc, Mutex, Weak};

use indicatif::ProgressBar;

use crate::admission::intake::{ArrivalListener, PeerIndex};
use crate::backfill::reconciliation::{Reconciliation, Times};
use crate::backfill::shared_claims::SharedClaims;
use crate::plan::peer_sets::PeerSets;
use crate::plan::refused::Refused;
use crate::relay::message::Head;
use crate::strfry::Strfry;
use crate::support::mutex::lock;

/// What the questions of a step share if they compare.
#[derive(Clone)]
pub(crate) struct Comparison {
    /// What tells what is here.
    pub(crate) strfry: Strfry,
    /// What need not be asked for.
    pub(crate) refused: Arc<Refused>,
    /// Who is told of the events that come.
    pub(crate) listeners: Arc<Listeners>,
}

impl Comparison {
    /// One question to this many relays, at `now` in Unix seconds.
    pub(crate) fn begin(&self, relays: usize, now: u64) -> Arc<Reconciliation> {
        let reconciliation = Arc::new(Reconciliation::new(
            self.strfry.clone(),
            Arc::clone(&self.refused),
            PeerSets::default(),
            SharedClaims::new(relays),
            Times { now, earliest: 0 },
            ProgressBar::hidden(),
        ));
        self.listeners.add(&reconciliation);
        reconciliation
    }
}

/// The questions that are under way. Each is told of all events: most are not its own, which does
/// not matter to it.
#[derive(Debug, Default)]
pub(crate) struct Listeners(Mutex<Vec<Weak<Reconciliation>>>);

impl Listeners {
    fn add(&self, reconciliation: &Arc<Reconciliation>) {
        let mut listeners = lock(&self.0);
        listeners.retain(|listener| listener.strong_count() > 0);
        listeners.push(Arc::downgrade(reconciliation));
    }
}

impl ArrivalListener for Listeners {
    fn arrived(&self, event: &Head, is_forged: bool, fetched_by: Option<PeerIndex>) {
        let listeners: Vec<Arc<Reconciliation>> =
            lock(&self.0).iter().filter_map(Weak::upgrade).collect();
        for listener in listeners {
            ArrivalListener::arrived(&*listener, event, is_forged, fetched_by);
        }
    }
}
