//! Reconciles with one peer what was missed: since its connection was lost, or of authors who are
//! followed anew. It is the session of a backfill, for one span of time.

use std::sync::Arc;
use std::time::Duration;

use constellation_shared::{Pubkey, counted};
use indicatif::ProgressBar;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

use crate::admission::counts::Tally;
use crate::admission::intake::ArrivalListener;
use crate::backfill::reconciliation::{Reconciliation, Times};
use crate::backfill::session::{Session, SessionOutcome};
use crate::backfill::shared_claims::SharedClaims;
use crate::backfill::stop::{Stop, TimeLimit};
use crate::live::shared::Shared;
use crate::plan::manners::Manners;
use crate::plan::peer_memory::KnownLimits;
use crate::plan::peer_sets::PeerSets;
use crate::plan::refused::Refused;
use crate::plan::wanted::Wanted;
use crate::support::clock::unix_time;
use crate::support::mutex::lock;
use crate::swarm::peer::Peer;

/// How long it may take in all. What is still missing then is left to the next backfill.
const MOST_TIME: Duration = Duration::from_secs(1800);

/// What was missed of one peer.
#[derive(Debug, Clone)]
pub(super) struct Gap {
    /// The authors, in ascending order.
    pub(super) authors: Arc<[Pubkey]>,
    /// Since when, in Unix seconds of the events.
    pub(super) since: u64,
}

/// How reconciling a gap ended.
#[derive(Debug)]
pub(super) struct Healed {
    /// How many events came.
    pub(super) events: u64,
    /// Why it did not end well.
    pub(super) failure: Option<String>,
    /// What was learned of the relay.
    pub(super) limits: KnownLimits,
}

/// Reconciles a gap with this peer.
pub(super) async fn heal(
    shared: Arc<Shared>,
    peer: Peer,
    known: Option<KnownLimits>,
    gap: Gap,
) -> Option<Healed> {
    // What one of them brings, the others need not.
    let _turn = shared.turn().await;
    let now = unix_time();
    let situation = shared.situation();
    let reconciliation = shared.reconciles.then(|| {
        Arc::new(Reconciliation::new(
            situation.strfry.clone(),
            Arc::new(Refused::default()),
            PeerSets::default(),
            SharedClaims::new(1),
            Times {
                now,
                earliest: gap.since,
            },
            ProgressBar::hidden(),
        ))
    });
    let listener = reconciliation.clone();
    let admission = match listener {
        Some(listener) => {
            let listener: Arc<dyn ArrivalListener> = listener;
            shared.inlet.listened_to(listener)?
        }
        None => shared.inlet.current()?,
    };
    let tally = Tally::default();
    let session = Session {
        index: 0,
        reconciliation: reconciliation.clone(),
        address: peer.address,
        station: peer.station,
        known,
        manners: Manners::default(),
        connector: shared.connector.clone(),
        tally: Arc::clone(&tally),
        traffic: Arc::default(),
        stop: Stop::at(TimeLimit::from_now(Some(MOST_TIME))),
        admission,
        wanted: Arc::new(Wanted::since(
            gap.authors,
            situation.kinds.clone(),
            gap.since,
        )),
        any_author: None,
        resumption: None,
        patience: shared.patience,
        silence_ends_it: false,
        may_be_no_relay: false,
        bar: ProgressBar::hidden(),
    };
    // What it would log is said in one line by the caller.
    let outcome = session.run(now).with_subscriber(NoSubscriber::default());
    let SessionOutcome { report, limits, .. } = outcome.await;
    let withheld = reconciliation.map_or(0, |reconciliation| reconciliation.withheld_by(0));
    let failure = report.failure.or_else(|| {
        let events = counted(withheld as u64, "event");
        (withheld > 0).then(|| format!("{events} that it lists did not come"))
    });
    let events = lock(&tally).genuine;
    shared.inlet.count(events);
    Some(Healed {
        events,
        failure,
        limits,
    })
}
