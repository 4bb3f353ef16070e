//! One backfill: [`Backfill::prepare`], then [`Backfill::run`]. The steps of both are in the
//! files of this folder.

mod memory;
mod preparation;
mod result;
mod sessions;
mod witnesses;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use constellation_shared::Pubkey;

use crate::admission::counts::Tally;
use crate::admission::gate::Gate;
use crate::admission::intake::{Admission, ArrivalListener};
use crate::admission::pipeline::{Pipeline, Step};
use crate::admission::rules::Rules;
use crate::backfill::reconciliation::Reconciliation;
use crate::backfill::session::AnyAuthor;
use crate::backfill::stop::TimeLimit;
use crate::context::Context;
use crate::plan::coverage::{Asked, Circumstances};
use crate::plan::ledger::Ledger;
use crate::plan::peer_memory::PeerMemory;
use crate::plan::peer_sets::{Span, Way};
use crate::plan::place::Resumption;
use crate::plan::refused::Refused;
use crate::plan::selection::Selection;
use crate::relay::address::Address;
use crate::relay::connection::Connector;
use crate::relay::filter::Window;
use crate::relay::tunnel::tunnels::Tunnels;
use crate::report::{ANY_AUTHOR, PeerReport};
use crate::strfry::Strfry;
use crate::strfry::import::Import;
use crate::swarm::blocked_now::BlockedNow;
use crate::swarm::peer::Peer;

pub(crate) use result::Done;
use sessions::UnderWay;

/// So many keys that are new in a run are not named to a peer that can do without: anybody may put
/// thousands of keys into a list, take them out in the next hour and put them in again.
const MANY_NEW_KEYS: usize = 500;

/// The length of a day in seconds.
const DAY: u64 = 86_400;

/// A backfill that is ready to begin, or under way.
pub(crate) struct Backfill<'a> {
    context: &'a Context,
    /// When it began, Unix seconds.
    now: u64,
    /// When the whole run must have ended.
    limit: TimeLimit,
    /// How long a peer may make no progress before it is given up.
    patience: Duration,
    tunnels: Arc<Tunnels>,
    connector: Connector,
    strfry: Strfry,
    /// All peers that could be asked.
    candidates: Vec<Peer>,
    /// Which of the candidates are asked, by their places.
    selection: Selection,
    /// The peers that have been asked, in the order in which their sessions began.
    peers: Vec<Peer>,
    /// What each of `peers` is asked for, in the same order.
    asked: Vec<Asked>,
    /// The authors whose events are wanted, in ascending order.
    followed: Arc<[Pubkey]>,
    /// The friends who keep their standing although their list has gone.
    kept_friends: BTreeSet<Pubkey>,
    /// The kinds that are wanted.
    kinds: Vec<u16>,
    rules: Rules,
    refused: Refused,
    reconciliation: Option<Arc<Reconciliation>>,
    peer_memory: PeerMemory,
    ledger: Ledger,
    /// What is left of the pages of peers with which the run broke off.
    left: BTreeMap<Address, Vec<Window>>,
    /// The counts of each of `peers`, in the same order.
    tallies: Vec<Tally>,
    /// The session of each of `peers`, in the same order.
    under_way: Vec<UnderWay>,
    /// The addresses that turned out to lead to this station itself, or to be no relay of a station
    /// that is asked in another way. Nothing is reported of them.
    not_asked: BTreeSet<Address>,
}

impl Backfill<'_> {
    /// Asks all selected peers, feeds what they send to strfry, remembers how it went, and
    /// reports.
    pub(crate) async fn run(
        mut self,
        mut interruption: Pin<&mut impl Future<Output = ()>>,
    ) -> Done {
        let mut pipeline = self.open_pipeline();
        let (mut reports, step) = self.ask(&mut pipeline, interruption.as_mut()).await;
        if step != Step::Done {
            self.tunnels.close().await;
        }
        let imported = pipeline.close(step, interruption).await;
        self.count(&mut reports);
        self.report_withheld(&mut reports);
        let untold = self.remember(&mut reports, &imported, step).await;
        report_any_author(&mut reports);
        self.done(reports, imported, step, untold)
    }

    /// Opens the way into strfry for what the peers send.
    fn open_pipeline(&self) -> Pipeline {
        let options = &self.context.options;
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let verify = !options.trust_peers;
        let listener = self.reconciliation.clone();
        let listener = listener.map(|reconciliation| reconciliation as Arc<dyn ArrivalListener>);
        Pipeline::open(
            Admission::new(self.rules.clone(), verify, listener, cores),
            Gate::asking(BlockedNow::new(
                self.context.station.clone(),
                self.kept_friends.clone(),
            )),
            Import::new(self.strfry.clone(), options.verify),
        )
    }

    /// The seconds before the horizon that a scheduled run compares again.
    fn overlap(&self) -> u64 {
        let days = self.context.options.reach().days;
        days.max(1).saturating_mul(DAY)
    }

    /// What this run asks a peer: a scheduled run everything that is not covered, a run by hand
    /// what its options say.
    fn asked_of(&self, peer: &Peer) -> Asked {
        let url = peer.url();
        let reach = self.context.options.reach();
        if !self.context.options.sweeps() {
            let since = self.peer_memory.since(peer, &self.kinds, self.now, reach);
            return Asked::since(since);
        }
        let asked = self.ledger.plan(&url, &url, self.circumstances());
        // To compare the whole history costs less there than to name all these keys.
        if asked.new_keys.len() > MANY_NEW_KEYS && self.is_asked_by_kinds(peer) {
            return Asked::since(0);
        }
        asked
    }

    /// Whether a peer is compared with without naming authors, however old the events are.
    fn is_asked_by_kinds(&self, peer: &Peer) -> bool {
        let address = peer.address.to_string();
        self.reconciliation.as_ref().is_some_and(|shared| {
            let sets = shared.sets();
            let mut spans = [Span::Recent, Span::Older].into_iter();
            spans.all(|span| matches!(sets.way(&address, span), Way::ByKinds(_)))
        })
    }

    /// What this run asks a peer for whoever wrote it. It goes back as far as a run by hand, whose
    /// reach is bounded: nothing is remembered of what was had of unknown authors.
    fn any_author(&self, peer: &Peer) -> Option<AnyAuthor> {
        let options = &self.context.options;
        let kinds = options.any_author_kinds();
        let since = self
            .peer_memory
            .since(peer, &self.kinds, self.now, options.reach());
        (!kinds.is_empty()).then_some(AnyAuthor { kinds, since })
    }

    /// Where a scheduled run goes on that pages through a peer's events, if an earlier one broke
    /// off.
    fn resumption(&self, peer: &Peer) -> Option<Resumption> {
        let goes_on = self.context.options.sweeps();
        let url = peer.url();
        let resumption = || self.ledger.resumption(&url, &url, self.circumstances());
        goes_on.then(resumption).flatten()
    }

    fn circumstances(&self) -> Circumstances<'_> {
        Circumstances {
            now: self.now,
            followed: &self.followed,
            kinds: &self.kinds,
            overlap: self.overlap(),
            slices: self.ledger.slices(),
        }
    }

    /// The peers that were asked, without this station itself and addresses that are no relay.
    fn others(&self) -> impl Iterator<Item = &Peer> {
        let is_other = |peer: &&Peer| !self.not_asked.contains(&peer.address);
        self.peers.iter().filter(is_other)
    }
}

/// A peer that did not give what was wanted of any author did not give everything. This is said once
/// it is remembered what was had of the followed authors.
fn report_any_author(reports: &mut [PeerReport]) {
    for report in reports.iter_mut().filter(|report| report.failure.is_none()) {
        let of_any_author = report.of_any_author.as_ref();
        if let Some(why) = of_any_author.and_then(|of_any_author| of_any_author.failure.clone()) {
            report.failure = Some(format!("events of any author did not all come: {why}"));
            report.code = Some(ANY_AUTHOR);
        }
    }
}
