//! What a station does for its members once a backfill has ended: profiles, and full syncs
//! of those who have none.

pub mod command;
pub mod options;

use std::pin::Pin;

use constellation_shared::{Pubkey, kinds};
use tracing::{error, info, warn};

use crate::admit::Rules;
use crate::friends;
use crate::intake::Gate;
use crate::knowledge::Knowledge;
use crate::missing::{MissingProfiles, Vain};
use crate::peer;
use crate::profile::render::{self, short, utc};
use crate::profile::{self, Profiles};
use crate::recovery::{Answers, Recovery, Step};
use crate::relay::address::Address;
use crate::relay::connection::Connector;
use crate::report::{Outcome, ProfileCounts, Report};
use crate::run::{Run, unix_time};
use crate::session::chain;

/// The target of the lines that go to `hex-to-profile.log` too.
pub const PROFILE_LOG: &str = "constellation_profiles";

/// Says a line about profiles, in both logs.
macro_rules! say {
    ($($words:tt)*) => { info!(target: PROFILE_LOG, $($words)*) };
}

/// What a backfill leaves to its members.
pub struct Members<'a> {
    /// The run.
    pub run: &'a Run,
    /// How to reach relays.
    pub connector: &'a Connector,
    /// The peers, at the addresses at which they can be reached now.
    pub peers: Vec<Address>,
    /// The pubkeys that are followed.
    pub keys: &'a [Pubkey],
    /// What may come in.
    pub rules: &'a Rules,
}

impl Members<'_> {
    /// Does what is to be done after a backfill, and puts it in the report: the counts are
    /// those of the whole run then.
    pub async fn after(
        &self,
        report: &mut Report,
        gate: Gate,
        interruption: Pin<&mut impl Future<Output = ()>>,
    ) {
        if !self.run.options.members.no_profiles {
            self.profiles(report, gate, interruption).await;
        }
        if self.run.options.members.friends && report.outcome != Outcome::Interrupted {
            self.friends().await;
        }
    }

    /// Adds the friends of the members to the list; a failure is said, and stops nothing.
    async fn friends(&self) {
        let station = &self.run.station;
        let descriptions = peer::descriptions(station);
        let scope = self.run.options.members.scope.into();
        let circle = friends::gather(station, &self.run.strfry(), &descriptions, scope).await;
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
            Ok(added) => info!("SYNC_FRIENDS: friends={named} added={added} unblocked={unblocked}"),
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
        let path = self.run.file("constellation-missing-profiles.json");
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
        let folder = self.run.station.profiles_dir();
        if let Err(error) = render::write_files(&folder, &profiles, &utc(unix_time())) {
            warn!("{} could not be written: {error}", folder.display());
        }
        let counts = ProfileCounts {
            found: profiles.len(),
            missing: self.keys.len().saturating_sub(profiles.len()),
        };
        say!("{}", counts.line());
        report.profiles = Some(counts);
    }

    /// Names everybody, and returns those who are to be synced fully.
    fn say_who_has_one(&self, profiles: &Profiles, memory: &MissingProfiles) -> Vec<Pubkey> {
        let mut scheduled = Vec::new();
        for key in self.keys {
            if let Some(profile) = profiles.get(key) {
                for line in render::log_lines(key, profile) {
                    say!("{line}");
                }
                continue;
            }
            let short = short(key);
            match memory.of(key, self.rules.now) {
                None => {
                    say!("  ❌ {short}... NO PROFILE FOUND - scheduling full sync");
                    scheduled.push(*key);
                }
                Some(vain) => say!(
                    "  ❌ {short}... NO PROFILE FOUND - asked for less than a day ago: {}",
                    vain.reason
                ),
            }
        }
        let missing = self.keys.len().saturating_sub(profiles.len());
        say!("Found {} HEX pubkeys with profiles", profiles.len());
        say!("Found {missing} HEX pubkeys WITHOUT profiles");
        scheduled
    }

    /// Full syncs, then the fallback relays; the profiles that are there afterwards.
    async fn recover(
        &self,
        keys: Vec<Pubkey>,
        report: &mut Report,
        gate: Gate,
        memory: &mut MissingProfiles,
        mut interruption: Pin<&mut impl Future<Output = ()>>,
    ) -> Profiles {
        let options = &self.run.options;
        let knowledge_path = self.run.file("constellation-peers.json");
        let mut knowledge = Knowledge::load(&knowledge_path);
        let mut kinds = options.wanted_kinds();
        if !kinds.contains(&kinds::PROFILE) {
            kinds.push(kinds::PROFILE);
        }
        let mut recovery = Recovery {
            connector: self.connector,
            strfry: self.run.strfry(),
            rules: self.rules,
            kinds,
            knowledge: &mut knowledge,
            verify: options.verify,
            trust_peers: options.trust_peers,
            parallel: usize::from(options.members.full_sync_parallel),
            most_events: options.members.most_events(),
            gate,
            imported: Default::default(),
        };
        let (answers, mut step) = recovery
            .from_peers(keys.clone(), &self.peers, interruption.as_mut())
            .await;
        let mut found = self.look_again(&keys, &mut step).await;
        let missing: Vec<Pubkey> = keys
            .iter()
            .filter(|key| !found.contains_key(key))
            .copied()
            .collect();
        let mut fallback = options.members.fallback();
        fallback.retain(|relay| !self.peers.contains(relay));
        let mut others = Answers::default();
        if step == Step::Done && !missing.is_empty() && !fallback.is_empty() {
            (others, step) = recovery
                .from_fallback(missing.clone(), &fallback, interruption)
                .await;
            found.extend(self.look_again(&missing, &mut step).await);
        }
        report.by_kind = recovery.gate.by_kind().clone();
        report.imported.add(recovery.imported);
        match step {
            Step::Done => {
                for key in &keys {
                    let peers = answers.get(key).copied().unwrap_or_default();
                    conclude(
                        key,
                        found.contains_key(key),
                        peers,
                        others,
                        memory,
                        self.rules.now,
                    );
                }
            }
            Step::Interrupted => report.outcome = Outcome::Interrupted,
            Step::Broken => report.outcome = Outcome::SomePeersFailed,
        }
        if let Err(error) = knowledge.save(&knowledge_path, self.rules.now) {
            warn!("{} could not be written: {error}", knowledge_path.display());
        }
        found
    }

    /// The profiles that are there now; nobody waits for them once a signal has come.
    async fn look_again(&self, keys: &[Pubkey], step: &mut Step) -> Profiles {
        if *step == Step::Interrupted {
            return Profiles::new();
        }
        self.extract(keys).await.unwrap_or_else(|| {
            *step = Step::Broken;
            Profiles::new()
        })
    }

    async fn extract(&self, keys: &[Pubkey]) -> Option<Profiles> {
        let extracted = profile::extract(&self.run.strfry(), keys).await;
        extracted
            .inspect_err(|error| error!("profiles could not be read: {}", chain(error)))
            .ok()
    }
}

/// Says how a full sync ended, and remembers it where it was in vain.
fn conclude(
    key: &Pubkey,
    found: bool,
    peers: Answers,
    others: Answers,
    memory: &mut MissingProfiles,
    now: u64,
) {
    let short = short(key);
    if found {
        say!("  ✅ Full sync successful for {short}");
        memory.forget(key);
        return;
    }
    let reason = format!(
        "{} of {} peers and {} of {} fallback relays answered, none with a profile",
        peers.whole, peers.total, others.whole, others.total
    );
    if peers.whole + others.whole > 0 {
        say!("  ❌ Full sync brought no profile for {short}: {reason}; asked again in a day");
        let vain = Vain {
            asked_at: now,
            reason,
        };
        memory.remember(key, vain);
    } else {
        say!("  ❌ Full sync brought no profile for {short}: {reason}; asked again next time");
    }
}
