//! What a backfill finds out before it asks anybody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use constellation_shared::counted;
use tracing::{info, warn};

use crate::admission::rules::Rules;
use crate::backfill::error::PrepareError;
use crate::backfill::reconciliation::{Reconciliation, Times};
use crate::backfill::run::Backfill;
use crate::backfill::run::memory::{
    ledger_path, peer_memory_path, peer_sets_path, refused_path, warn_if_unwritten,
};
use crate::backfill::shared_claims::SharedClaims;
use crate::backfill::situation::{Situation, network};
use crate::backfill::stop::TimeLimit;
use crate::context::Context;
use crate::plan::ledger::Ledger;
use crate::plan::peer_memory::PeerMemory;
use crate::plan::peer_sets::PeerSets;
use crate::plan::refused::{Present, Refused};
use crate::strfry::Strfry;
use crate::support::clock::unix_time;
use crate::support::error_chain::chain;
use crate::support::state_file;
use crate::swarm::peer::Peer;

/// What stands in place of a progress bar until it is known how much is missing.
const COMPARING: &str = "{spinner} comparing with the peers";

impl<'a> Backfill<'a> {
    /// Closes the tunnels that a killed run left, checks strfry and its conf, reads which peers
    /// there are and selects some of them, reads who is followed, and recalls earlier runs. From
    /// here on everything that happens is logged.
    ///
    /// # Errors
    /// [`PrepareError`] if the backfill cannot begin.
    pub(crate) async fn prepare(context: &'a Context) -> Result<Self, PrepareError> {
        let options = &context.options;
        let now = unix_time();
        let limit = TimeLimit::from_now(options.max_minutes.0);
        let patience = Duration::from_secs(options.patience);
        let (tunnels, connector) = network(context, patience, state_file::TUNNELS)?;
        tunnels.sweep().await;
        let Situation {
            strfry,
            limits,
            candidates,
            kept_friends,
            followed: keys,
            blocked,
            kinds,
        } = Situation::look(context, now)?;
        if candidates.is_empty() {
            return Err(PrepareError::NoPeers(context.station.swarm_dir()));
        }
        let peer_memory = PeerMemory::load(&peer_memory_path(context), now);
        let selection = context.selection(&candidates, &peer_memory, now);
        info!(for_scripts = true, "SYNC_HEX: count={}", keys.len());
        if keys.is_empty() {
            warn!("no pubkeys to follow: there are no members and no friends yet");
        }
        let mut ledger = Ledger::load(&ledger_path(context), now);
        let mut refused = Refused::load(&refused_path(context), now);
        if is_another_database(&strfry, &ledger).await {
            ledger.forget_peers();
            // At once: if this run is killed, the next one may find its events and not see the loss.
            let path = ledger_path(context);
            warn_if_unwritten(&path, ledger.save(&path));
            refused.forget_not_kept();
        }
        ledger.begin_run(&keys);
        refused.forget_ended(&Present {
            now,
            followed: &keys,
            limits,
        });
        let mut backfill = Self {
            context,
            now,
            limit,
            patience,
            tunnels,
            connector,
            strfry,
            candidates,
            selection,
            peers: Vec::new(),
            asked: Vec::new(),
            followed: keys,
            kept_friends,
            kinds,
            rules: Rules {
                now,
                limits,
                blocked,
            },
            refused,
            reconciliation: None,
            peer_memory,
            ledger,
            left: BTreeMap::new(),
            tallies: Vec::new(),
            under_way: Vec::new(),
            not_asked: BTreeSet::new(),
        };
        if !options.no_negentropy {
            backfill.reconciliation = Some(Arc::new(backfill.new_reconciliation()));
        }
        Ok(backfill)
    }

    /// Reconciliation with all peers of this run.
    fn new_reconciliation(&self) -> Reconciliation {
        // `--days 0` asks for what was refused before, too.
        let refused = match self.context.options.days {
            0 => Refused::default(),
            _ => self.refused.clone(),
        };
        // A station whose address is no relay is asked once more, through its tunnel.
        let may_go_another_way = |peer: &&Peer| peer.instead.is_some();
        let second_tries = self.candidates.iter().filter(may_go_another_way).count();
        Reconciliation::new(
            self.strfry.clone(),
            Arc::new(refused),
            PeerSets::load(&peer_sets_path(self.context), &self.followed),
            SharedClaims::new(self.selection.most_tries() + second_tries),
            Times {
                now: self.now,
                earliest: self.earliest(),
            },
            self.context.bar(COMPARING, String::new()),
        )
    }

    /// The earliest time that any of the selected peers is asked for.
    fn earliest(&self) -> u64 {
        let selected = self.selection.first().iter();
        let selected = selected.filter_map(|place| self.candidates.get(*place));
        let since = |peer: &Peer| self.asked_of(peer).earliest();
        selected.map(since).min().unwrap_or(self.now)
    }
}

/// Whether the database is another one than at the end of the last run, which is logged: what was
/// had then is not here any more.
async fn is_another_database(strfry: &Strfry, ledger: &Ledger) -> bool {
    let witnesses = ledger.witnesses();
    if witnesses.is_empty() {
        return false;
    }
    match strfry.missing(&witnesses).await {
        Ok(missing) if ledger.is_another_database(missing.len()) => {
            warn!(
                "The database lacks {} of {} that it held after the last run: it was lost, restored or replaced; everything is asked for again",
                missing.len(),
                counted(witnesses.len(), "event")
            );
            true
        }
        Ok(_) => false,
        Err(error) => {
            warn!(
                "{}: whether the database is still the same is unknown",
                chain(&error)
            );
            false
        }
    }
}
