//! [`Inlet`]: the way into strfry that stays open. What comes goes through a pipeline like that of a
//! backfill; each hour a new one takes its place, so that none grows without end, and each minute the
//! rules are those of the present.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use constellation_shared::{Station, counted};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info};

use crate::admission::gate::Gate;
use crate::admission::intake::{Admission, ArrivalListener};
use crate::admission::pipeline::{Pipeline, Step};
use crate::admission::rules::Rules;
use crate::backfill::situation::Situation;
use crate::live::LIVE_LOG;
use crate::live::conductor::{AlsoKnown, Conductor};
use crate::strfry::import::Import;
use crate::support::clock::unix_time;
use crate::support::error_chain::chain;
use crate::support::mutex::lock;
use crate::swarm::blocked_now::BlockedNow;

/// How long one pipeline is used.
const ONE_PIPELINE: Duration = Duration::from_secs(3600);

/// After how many events that came in a pipeline is replaced before its time: it remembers the ids of
/// all of them.
const MOST_EVENTS: u64 = 100_000;

/// How long the same rules are used: they name the time, ahead of which no event may be dated.
const ONE_SET_OF_RULES: Duration = Duration::from_secs(60);

/// How long a pipeline may take to store what it was given, at the end.
const LAST_PATIENCE: Duration = Duration::from_secs(15);

/// How long to wait after an import that failed: the first time, and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How events are let in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// Whether strfry verifies the events once more.
    pub(super) verify: bool,
    /// Whether ids and signatures are not verified here.
    pub(super) trust_peers: bool,
}

/// The way into strfry.
#[derive(Debug)]
pub(super) struct Inlet {
    station: Station,
    manner: Manner,
    situation: watch::Receiver<Arc<Situation>>,
    /// Is told what becomes of each event.
    conductor: Arc<Conductor>,
    /// Where events enter at the moment; `None` once it is closed.
    current: Mutex<Option<Arc<Admission>>>,
    /// Changes whenever there is another place to enter.
    version: watch::Sender<u64>,
    /// The Unix time since which events may have been lost that had entered: what came since then is
    /// to be compared again.
    doubt: watch::Sender<u64>,
    /// How many events entered since the pipeline was opened.
    entered: AtomicU64,
}

impl Inlet {
    /// A way into strfry that is still closed.
    pub(super) fn new(
        station: Station,
        manner: Manner,
        situation: watch::Receiver<Arc<Situation>>,
        conductor: Arc<Conductor>,
    ) -> Self {
        Self {
            station,
            manner,
            situation,
            conductor,
            current: Mutex::new(None),
            version: watch::Sender::new(0),
            doubt: watch::Sender::new(0),
            entered: AtomicU64::new(0),
        }
    }

    /// Where events enter at the moment; `None` if it is closed.
    pub(super) fn current(&self) -> Option<Arc<Admission>> {
        lock(&self.current).clone()
    }

    /// Changes whenever [`Inlet::current`] does.
    pub(super) fn version(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// The Unix time since which what came may have been lost.
    pub(super) fn doubt(&self) -> watch::Receiver<u64> {
        self.doubt.subscribe()
    }

    /// Counts events that entered.
    pub(super) fn count(&self, events: u64) {
        self.entered.fetch_add(events, Relaxed);
    }

    /// Where the events of a reconciliation enter, which is told what becomes of them.
    pub(super) fn listened_to(&self, listener: Arc<dyn ArrivalListener>) -> Option<Arc<Admission>> {
        let current = self.current()?;
        let conductor = Arc::clone(&self.conductor);
        let both = AlsoKnown {
            conductor,
            listener,
        };
        Some(current.beside(self.rules(), Some(Arc::new(both))))
    }

    fn conductor(&self) -> Option<Arc<dyn ArrivalListener>> {
        let conductor: Arc<dyn ArrivalListener> = Arc::<Conductor>::clone(&self.conductor);
        Some(conductor)
    }

    fn rules(&self) -> Rules {
        let situation = self.situation.borrow();
        Rules {
            now: unix_time(),
            limits: situation.limits,
            blocked: situation.blocked.clone(),
        }
    }

    fn open(&self) -> Pipeline {
        let situation = Arc::clone(&self.situation.borrow());
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let verify = !self.manner.trust_peers;
        let blocked = BlockedNow::new(self.station.clone(), situation.kept_friends.clone());
        Pipeline::open(
            Admission::new(self.rules(), verify, self.conductor(), cores),
            Gate::asking(blocked),
            Import::new(situation.strfry.clone(), self.manner.verify),
        )
    }

    fn enter_here(&self, admission: Option<Arc<Admission>>) {
        *lock(&self.current) = admission;
        self.version.send_modify(|version| *version += 1);
    }

    /// What came since then may have been lost.
    fn doubt_since(&self, time: u64) {
        self.doubt.send_modify(|doubt| {
            // Somebody may not have seen the one before.
            let is_old = doubt.saturating_add(2 * ONE_PIPELINE.as_secs()) < time;
            *doubt = if is_old { time } else { time.min(*doubt) };
        });
    }

    /// Keeps a pipeline open until `stop` resolves; then closes it, once nobody holds an admission
    /// any more.
    pub(super) async fn serve(self: Arc<Self>, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        let mut closing = JoinSet::new();
        let mut pause = FIRST_PAUSE;
        loop {
            let opened_at = unix_time();
            let mut pipeline = self.open();
            self.entered.store(0, Relaxed);
            self.enter_here(Some(Arc::clone(&pipeline.admission)));
            let renewal = self.renew_until_worn(Arc::clone(&pipeline.admission));
            let (_, step) = pipeline.run(renewal, stop.as_mut()).await;
            if step == Step::Broken || step == Step::Interrupted {
                self.enter_here(None);
            }
            let close = Arc::clone(&self).close(pipeline, opened_at);
            match step {
                Step::Interrupted => {
                    close.await;
                    while closing.join_next().await.is_some() {}
                    return;
                }
                // The next one is opened at once, and this one ends beside it.
                Step::Done => {
                    pause = FIRST_PAUSE;
                    closing.spawn(close);
                }
                Step::Broken => {
                    close.await;
                    tokio::select! {
                        () = sleep(pause) => {}
                        () = stop.as_mut() => return,
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Sees to it that the rules are those of the present, until the pipeline has been used enough.
    async fn renew_until_worn(&self, admission: Arc<Admission>) {
        let opened = Instant::now();
        let mut situation = self.situation.clone();
        situation.mark_unchanged();
        while opened.elapsed() < ONE_PIPELINE && self.entered.load(Relaxed) < MOST_EVENTS {
            // Once nobody tells of changes any more, `live` is about to end.
            let changed = timeout(ONE_SET_OF_RULES, situation.changed()).await;
            if matches!(changed, Ok(Err(_))) {
                sleep(ONE_SET_OF_RULES).await;
            }
            self.enter_here(Some(admission.beside(self.rules(), self.conductor())));
        }
    }

    /// Waits until strfry has stored what it was given.
    async fn close(self: Arc<Self>, pipeline: Pipeline, opened_at: u64) {
        let patience = async {
            sleep(LAST_PATIENCE).await;
        };
        let closed = pipeline.close(Step::Done, patience).await;
        let imported = closed.imported;
        let untold = imported.untold();
        match closed.result {
            Ok(()) if untold == 0 && !closed.interrupted => info!(
                target: LIVE_LOG,
                "strfry stored {} since the last such line, {} of them new",
                counted(imported.written.total(), "event"),
                imported.written.added
            ),
            Ok(()) => {
                let untold = counted(untold, "event");
                error!(
                    target: LIVE_LOG,
                    "strfry does not say what became of {untold}: what came since then is compared again"
                );
                self.doubt_since(opened_at);
            }
            Err(why) => {
                error!(
                    target: LIVE_LOG,
                    "strfry took not everything; {}: {}; what came since then is compared again",
                    why.remedy(),
                    chain(&why)
                );
                self.doubt_since(opened_at);
            }
        }
    }
}
