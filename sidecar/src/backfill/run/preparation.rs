//! What a backfill finds out before it asks anybody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use constellation_shared::{Pubkey, counted};
use tracing::{info, warn};

use crate::admission::rules::Rules;
use crate::backfill::error::PrepareError;
use crate::backfill::reconciliation::{Reconciliation, Times};
use crate::backfill::run::Backfill;
use crate::backfill::run::memory::{
    ledger_path, peer_memory_path, peer_sets_path, refused_path, warn_if_unwritten,
};
use crate::backfill::shared_claims::SharedClaims;
use crate::backfill::stop::TimeLimit;
use crate::context::{Context, Recalled};
use crate::plan::ledger::Ledger;
use crate::plan::peer_memory::PeerMemory;
use crate::plan::peer_sets::PeerSets;
use crate::plan::refused::{Present, Refused};
use crate::relay::connection::{Connector, ConnectorError};
use crate::relay::tunnel::Patience;
use crate::relay::tunnel::tunnels::Tunnels;
use crate::strfry::conf::{EventLimits, LimitsFound};
use crate::strfry::{Strfry, conf};
use crate::support::clock::unix_time;
use crate::support::error_chain::chain;
use crate::support::program::is_program;
use crate::support::state_file;
use crate::swarm::followed::{self, Followed};
use crate::swarm::peer::{self, Description, Peer};

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
        let (tunnels, connector) = network(context, patience)?;
        tunnels.sweep().await;
        let strfry = strfry(context)?;
        check_settings(context)?;
        let limits = event_limits(&strfry)?;
        let mut descriptions = peer::descriptions(&context.station);
        let kept_friends = recall(context, &mut descriptions, now);
        let candidates = context.peers(&descriptions);
        if candidates.is_empty() {
            return Err(PrepareError::NoPeers(context.station.swarm_dir()));
        }
        let peer_memory = PeerMemory::load(&peer_memory_path(context), now);
        let selection = context.selection(&candidates, &peer_memory, now);
        let Followed { keys, blocked, .. } =
            followed::followed(&context.station, &descriptions, &kept_friends)?;
        info!(for_scripts = true, "SYNC_HEX: count={}", keys.len());
        let mut kinds = options.wanted_kinds();
        kinds.sort_unstable();
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
            followed: keys.into(),
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

/// Adds the stations that were described until lately, and returns the friends who keep their
/// standing; both are logged, and remembered for the next run.
fn recall(context: &Context, descriptions: &mut Vec<Description>, now: u64) -> BTreeSet<Pubkey> {
    let Recalled {
        kept,
        stations,
        mut recall,
    } = context.recall(descriptions, now);
    if stations > 0 {
        info!(
            "{} of the swarm without a description now: asked as known within the last 24 hours",
            counted(stations, "station")
        );
    }
    if !kept.keys.is_empty() {
        info!(
            "{} missing on lists that vanished lately: they keep their standing for two hours after that",
            counted(kept.keys.len(), "friend")
        );
    }
    let path = context.file(state_file::SWARM.name);
    warn_if_unwritten(&path, recall.save(&path));
    kept.keys
}

/// Tunnels, and a connector that uses them.
fn network(
    context: &Context,
    patience: Duration,
) -> Result<(Arc<Tunnels>, Connector), ConnectorError> {
    let options = &context.options;
    let tunnels = Arc::new(Tunnels::new(
        context.ipfs_program(),
        context.file(state_file::TUNNELS.name),
        Patience::within(patience),
    ));
    let connector = Connector::new(options.ca_file.as_deref(), Arc::new(context.guard()))?
        .patient(patience)
        .with_tunnels(Arc::clone(&tunnels));
    Ok((tunnels, connector))
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

/// This station's strfry, if its binary is there.
fn strfry(context: &Context) -> Result<Strfry, PrepareError> {
    let strfry = context.strfry();
    if is_program(strfry.binary()) {
        Ok(strfry)
    } else {
        Err(PrepareError::NoStrfry(strfry.binary().to_owned()))
    }
}

/// Warns of doubtful settings, and refuses a settings file that may name another blacklist.
fn check_settings(context: &Context) -> Result<(), PrepareError> {
    for doubt in &context.doubts {
        warn!("{doubt}");
    }
    if context.blacklist_is_unknown {
        let file = context.file("constellation.toml");
        return Err(PrepareError::SettingsUnknown(file));
    }
    Ok(())
}

/// The limits of events in strfry's conf. What is not understood of it is logged.
fn event_limits(strfry: &Strfry) -> Result<EventLimits, PrepareError> {
    let LimitsFound { limits, doubts } = conf::event_limits(&strfry.conf())
        .map_err(|error| PrepareError::Conf(strfry.conf(), error))?;
    for doubt in doubts {
        warn!(
            "{} {doubt}; until that is mended, events of up to {} bytes are given to strfry, and those that it finds too long are left out",
            strfry.conf().display(),
            limits.bytes
        );
    }
    Ok(limits)
}
