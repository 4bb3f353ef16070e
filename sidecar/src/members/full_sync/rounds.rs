//! The rounds of full syncs after a backfill: the peers are asked first, then the fallback relays; and
//! what is remembered of those who have no profile.

use std::pin::Pin;
use std::time::Duration;

use constellation_shared::{Pubkey, kinds};
use tracing::warn;

use crate::admission::gate::Gate;
use crate::admission::pipeline::Step;
use crate::members::full_sync::budget::Budget;
use crate::members::full_sync::{Answers, FullSync, FullSyncs};
use crate::members::missing_profiles::{MissingProfiles, Vain};
use crate::members::profiles::Profiles;
use crate::members::profiles::render::short;
use crate::members::{Members, say};
use crate::plan::peer_memory::PeerMemory;
use crate::report::{Outcome, Report};
use crate::support::state_file;

impl Members<'_> {
    /// Full syncs, then the fallback relays; the profiles that are there afterwards.
    pub(crate) async fn recover(
        &self,
        keys: Vec<Pubkey>,
        report: &mut Report,
        gate: Gate,
        memory: &mut MissingProfiles,
        mut interruption: Pin<&mut impl Future<Output = ()>>,
    ) -> Profiles {
        let options = &self.context.options;
        let peer_memory_path = self.context.file(state_file::PEERS.name);
        let mut peer_memory = PeerMemory::load(&peer_memory_path, self.rules.now);
        let mut kinds = options.wanted_kinds();
        if !kinds.contains(&kinds::PROFILE) {
            kinds.push(kinds::PROFILE);
        }
        let mut recovery = FullSync {
            connector: self.connector,
            strfry: self.context.strfry(),
            rules: self.rules,
            kinds,
            peer_memory: &mut peer_memory,
            verify: options.verify,
            limit: self.limit,
            trust_peers: options.trust_peers,
            parallel: usize::from(options.members.full_sync_parallel),
            budget: Budget::new(
                options.members.full_sync_connections,
                Duration::from_secs(60 * options.members.full_sync_minutes),
            ),
            most_events: options.members.most_events(),
            gate,
            imported: Default::default(),
        };
        let (FullSyncs { answers, started }, mut step) = recovery
            .ask_peers(keys.clone(), &self.peers, interruption.as_mut())
            .await;
        if let Some(last) = keys.get(started.saturating_sub(1)) {
            memory.set_last_turn(last);
        }
        let mut found = self.look_again(&keys, &mut step).await;
        let missing: Vec<Pubkey> = answers
            .keys()
            .filter(|key| !found.contains_key(key))
            .copied()
            .collect();
        let mut fallback = options.members.fallback();
        fallback.retain(|relay| !self.peers.contains(relay));
        let mut others = Answers::default();
        if step == Step::Done && !missing.is_empty() && !fallback.is_empty() {
            (others, step) = recovery
                .ask_fallback(missing.clone(), &fallback, interruption)
                .await;
            found.extend(self.look_again(&missing, &mut step).await);
        }
        report.by_kind = recovery.gate.by_kind().clone();
        report.imported.add(recovery.imported);
        match step {
            Step::Done => {
                let unfinished = keys.len().saturating_sub(answers.len());
                say_unfinished(unfinished);
                if self.limit.is_over() && (unfinished > 0 || others.is_cut_off) {
                    self.say_out_of_time(report).await;
                }
                for (key, peers) in &answers {
                    conclude(
                        key,
                        found.contains_key(key),
                        *peers,
                        others,
                        memory,
                        self.rules.now,
                    );
                }
            }
            Step::Interrupted => report.outcome = Outcome::Interrupted,
            Step::Broken => report.outcome = Outcome::SomePeersFailed,
        }
        if let Err(error) = peer_memory.save(&peer_memory_path, self.rules.now) {
            warn!(
                "{} could not be written: {error}",
                peer_memory_path.display()
            );
        }
        found
    }

    /// A run that had no time for everything is no success.
    async fn say_out_of_time(&self, report: &mut Report) {
        warn!("Not all full syncs were done: {}", self.limit.over().await);
        if report.outcome == Outcome::Complete {
            report.outcome = Outcome::SomePeersFailed;
        }
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
}

/// Says how many pubkeys there was no time or connection for.
fn say_unfinished(count: usize) {
    if count > 0 {
        say!(
            "{count} pubkeys were not fully synced, because the time or the connections that a run has for full syncs were used up (--full-sync-minutes, --full-sync-connections): a later run goes on"
        );
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
    if peers.whole + others.whole > 0 && !others.is_cut_off {
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
