//! What a station does for its members once a backfill has ended: profiles, full syncs of
//! those who have none, friends.

pub(crate) mod friends;
pub(crate) mod full_sync;
pub(crate) mod missing_profiles;
pub(crate) mod profiles;

use std::collections::BTreeSet;
use std::pin::Pin;

use constellation_shared::list_file;
use constellation_shared::{Pubkey, Station, counted};
use tracing::{error, info, warn};

use crate::admission::gate::Gate;
use crate::admission::rules::Rules;
use crate::backfill::stop::TimeLimit;
use crate::context::Context;
use crate::members::full_sync::budget::{self, Ours};
use crate::members::missing_profiles::MissingProfiles;
use crate::members::profiles::Profiles;
use crate::members::profiles::render::{self, short, utc};
use crate::relay::connection::Connector;
use crate::report::{Outcome, Person, ProfileCounts, Report};
use crate::support::clock::unix_time;
use crate::support::error_chain::chain;
use crate::support::state_file;
use crate::swarm::peer::Peer;
use crate::swarm::{followed, peer};

/// Says a line about profiles, in both logs.
macro_rules! say {
    ($($words:tt)*) => { tracing::info!(target: crate::support::log::PROFILE_LOG, $($words)*) };
}
use say;

/// What a backfill leaves to its members.
pub(crate) struct Members<'a> {
    /// The context of the command.
    pub context: &'a Context,
    /// How to reach relays.
    pub connector: &'a Connector,
    /// The peers that the backfill asked.
    pub peers: Vec<Peer>,
    /// The pubkeys that are followed.
    pub keys: &'a [Pubkey],
    /// What may come in.
    pub rules: &'a Rules,
    /// How long the run may take, what is done here included.
    pub limit: TimeLimit,
}

impl Members<'_> {
    /// Does what is to be done after a backfill, and puts it in the report: the counts are
    /// those of the whole run then.
    pub(crate) async fn after(
        &self,
        report: &mut Report,
        gate: Gate,
        interruption: Pin<&mut impl Future<Output = ()>>,
    ) {
        if !self.context.options.members.no_profiles {
            self.profiles(report, gate, interruption).await;
        }
        if self.context.options.members.friends && report.outcome != Outcome::Interrupted {
            self.friends().await;
        }
    }

    /// Adds the friends of the members to the list. A failure is logged, and stops nothing.
    async fn friends(&self) {
        let station = &self.context.station;
        let descriptions = peer::descriptions(station);
        let scope = self.context.options.members.scope.into();
        let circle = friends::gather(station, &self.context.strfry(), &descriptions, scope).await;
        let circle = match circle {
            Ok(circle) => circle,
            Err(error) => {
                error!("friends could not be gathered: {}", chain(&error));
                return;
            }
        };
        for key in circle.unblocked() {
            warn!(
                "{key} is on blacklist.txt and becomes a friend of a friend: it is unblocked by that; --keep-blocked leaves it out"
            );
        }
        let (named, unblocked) = (circle.named, circle.unblocked().count());
        let path = station.friends();
        match friends::list::add(&path, &circle.new.into_keys().collect()).await {
            Ok(added) => info!(
                for_scripts = true,
                "SYNC_FRIENDS: friends={named} added={added} unblocked={unblocked}"
            ),
            Err(error) => error!(
                "{} could not be written, friends are not added: {error}",
                path.display()
            ),
        }
    }

    async fn profiles(
        &self,
        report: &mut Report,
        gate: Gate,
        mut interruption: Pin<&mut impl Future<Output = ()>>,
    ) {
        say!("🔍 Extracting profiles from constellation...");
        let extracted = tokio::select! {
            extracted = self.extract(self.keys) => extracted,
            () = interruption.as_mut() => {
                report.outcome = Outcome::Interrupted;
                return;
            }
        };
        let Some(mut profiles) = extracted else {
            return;
        };
        let path = self.context.file(state_file::MISSING_PROFILES.name);
        let mut memory = MissingProfiles::load(&path);
        let missing = self.say_who_has_one(&profiles, &memory);
        if !missing.is_empty() {
            let found = self
                .recover(missing, report, gate, &mut memory, interruption)
                .await;
            profiles.extend(found);
            if let Err(error) = memory.save(&path, self.rules.now) {
                warn!("{} could not be written: {error}", path.display());
            }
        }
        let folder = self.context.station.profiles_dir();
        if let Err(error) = render::write_files(&folder, &profiles, &utc(unix_time())) {
            warn!("{} could not be written: {error}", folder.display());
        }
        let counts = ProfileCounts {
            found: profiles.len(),
            missing: self.keys.len().saturating_sub(profiles.len()),
        };
        say!(for_scripts = true, "{}", counts.line());
        report.profiles = Some(counts);
        report.people = self.people(&profiles);
    }

    /// Everybody who is followed, by name.
    fn people(&self, profiles: &Profiles) -> Vec<Person> {
        let members = local_members(&self.context.station);
        let person = |key: &Pubkey| Person {
            pubkey: *key,
            name: profiles.get(key).map(|profile| {
                let fields = &profile.fields;
                let names = [&fields.name, &fields.display_name];
                let name = names.into_iter().find(|name| !name.trim().is_empty());
                name.cloned().unwrap_or_default()
            }),
            is_member: members.contains(key),
        };
        self.keys.iter().map(person).collect()
    }

    /// Names everybody, and returns those who are to be synced fully.
    fn say_who_has_one(&self, profiles: &Profiles, memory: &MissingProfiles) -> Vec<Pubkey> {
        let missing = self.keys.iter().filter(|key| !profiles.contains_key(key));
        let waiting: Vec<Pubkey> = missing
            .filter(|key| memory.of(key, self.rules.now).is_none())
            .copied()
            .collect();
        let ours = Ours {
            members: local_members(&self.context.station),
            friends: followed::own_friends(&self.context.station),
        };
        let most = self.context.options.members.full_sync_keys;
        let scheduled = budget::choose(&waiting, &ours, memory.last_turn(), most);
        let has_its_turn: BTreeSet<Pubkey> = scheduled.iter().copied().collect();
        for key in self.keys {
            if let Some(profile) = profiles.get(key) {
                for line in render::log_lines(key, profile) {
                    say!("{line}");
                }
                continue;
            }
            let short = short(key);
            match memory.of(key, self.rules.now) {
                None if has_its_turn.contains(key) => {
                    say!("  ❌ {short}... NO PROFILE FOUND - scheduling full sync");
                }
                // They may be thousands.
                None => {}
                Some(vain) => say!(
                    "  ❌ {short}... NO PROFILE FOUND - asked for less than a day ago: {}",
                    vain.reason
                ),
            }
        }
        let missing = self.keys.len().saturating_sub(profiles.len());
        say!("Found {} HEX pubkeys with profiles", profiles.len());
        say!("Found {missing} HEX pubkeys WITHOUT profiles");
        let postponed = waiting.len() - scheduled.len();
        if postponed > 0 {
            let postponed = counted(postponed, "pubkey");
            say!(
                "{postponed} without a profile must wait for a later run: one run fully syncs at most {most} (--full-sync-keys)"
            );
        }
        scheduled
    }

    async fn extract(&self, keys: &[Pubkey]) -> Option<Profiles> {
        let extracted = profiles::extract(&self.context.strfry(), keys).await;
        extracted
            .inspect_err(|error| error!("profiles could not be read: {}", chain(error)))
            .ok()
    }
}

/// The keys of the members of this station. What is wrong with their files was said when
/// they were read for the run.
fn local_members(station: &Station) -> BTreeSet<Pubkey> {
    let mut keys = BTreeSet::new();
    for list in list_file::member_keys(station).unwrap_or_default() {
        if let Ok(Some(open)) = list.open() {
            let _ = open.read(|_, key| {
                keys.insert(key);
            });
        }
    }
    keys
}
