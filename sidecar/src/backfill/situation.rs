//! [`Situation`]: what the station's files say of who is wanted, and of whom it could be had. A
//! backfill looks once; `live` looks again whenever they change.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use constellation_shared::wot::KeySet;
use constellation_shared::{Pubkey, counted};
use tracing::{info, warn};

use crate::backfill::error::PrepareError;
use crate::context::{Context, Recalled};
use crate::relay::connection::{Connector, ConnectorError};
use crate::relay::message::Head;
use crate::relay::tunnel::Patience;
use crate::relay::tunnel::tunnels::Tunnels;
use crate::strfry::conf::{EventLimits, LimitsFound};
use crate::strfry::{Strfry, conf};
use crate::support::program::is_program;
use crate::support::state_file::{self, StateFile};
use crate::swarm::followed::{self, Followed};
use crate::swarm::peer::{self, Description, Peer};

/// Who is wanted, and of whom it could be had.
#[derive(Debug)]
pub(crate) struct Situation {
    /// This station's strfry.
    pub strfry: Strfry,
    /// Its limits for events.
    pub limits: EventLimits,
    /// All peers that could be asked.
    pub candidates: Vec<Peer>,
    /// The friends who keep their standing although their list has gone.
    pub kept_friends: BTreeSet<Pubkey>,
    /// The authors whose events are wanted, in ascending order.
    pub followed: Arc<[Pubkey]>,
    /// The authors whose events are refused.
    pub blocked: KeySet,
    /// The kinds that are wanted, in ascending order.
    pub kinds: Vec<u16>,
}

impl Situation {
    /// Reads strfry's conf, the settings, the lists and the descriptions of the other stations, and
    /// recalls stations and friends that vanished lately. What is doubtful is logged.
    ///
    /// # Errors
    /// [`PrepareError`] if there is no strfry, or what counts is unknown.
    pub(crate) fn look(context: &Context, now: u64) -> Result<Self, PrepareError> {
        let strfry = strfry(context)?;
        check_settings(context)?;
        let limits = event_limits(&strfry)?;
        let mut descriptions = peer::descriptions(&context.station);
        let kept_friends = recall(context, &mut descriptions, now);
        let candidates = context.peers(&descriptions);
        let Followed { keys, blocked, .. } =
            followed::followed(&context.station, &descriptions, &kept_friends)?;
        let kinds = context.options.wanted_kinds();
        Ok(Self {
            strfry,
            limits,
            candidates,
            kept_friends,
            followed: keys.into(),
            blocked,
            kinds,
        })
    }

    /// Whether an event is among those that are wanted.
    pub(crate) fn wants(&self, event: &Head) -> bool {
        self.kinds.binary_search(&event.kind).is_ok()
            && self.followed.binary_search(&event.author).is_ok()
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
    if let Err(error) = recall.save(&path) {
        warn!("{} could not be written: {error}", path.display());
    }
    kept.keys
}

/// Tunnels, which are recorded in this file, and a connector that uses them.
///
/// # Errors
/// [`ConnectorError`].
pub(crate) fn network(
    context: &Context,
    patience: Duration,
    tunnels: StateFile,
) -> Result<(Arc<Tunnels>, Connector), ConnectorError> {
    let options = &context.options;
    let tunnels = Arc::new(Tunnels::new(
        context.ipfs_program(),
        context.file(tunnels.name),
        Patience::within(patience),
    ));
    let connector = Connector::new(options.ca_file.as_deref(), Arc::new(context.guard()))?
        .patient(patience)
        .with_tunnels(Arc::clone(&tunnels));
    Ok((tunnels, connector))
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
    for doubt in context.doubts.iter().chain(&context.complaints) {
        warn!("{doubt}");
    }
    if context.blacklist_is_unknown {
        let file = context.station.settings_file();
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
