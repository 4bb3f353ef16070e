//! The rounds of full syncs after a backfill: the peers are asked first, then the fallback relays.
//! Who has no profile anywhere is remembered.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use constellation_shared::{Pubkey, counted, kinds};
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
use crate::plan::refused::Refused;
use crate::report::{Outcome, Report};
use crate::support::state_file;
use crate::swarm::peer::Peer;

impl Members<'_> {
    /// Does full syncs from the peers, then asks the fallback relays for the profiles that are still
    /// missing, and remembers those that nobody has. Returns the profiles that are there afterwards.
    pub(crate) async fn recover(
        &self,
        keys: Vec<Pubkey>,
        report: &mut Report,
        gate: Gate,
        memory: &mut MissingProfiles,
        mut interruption: Pin<&mut impl Future<Output = ()>>,
    ) -> Profiles {
        let peer_memory_path = self.context.file(state_file::PEERS.name);
        let mut peer_memory = PeerMemory::load(&peer_memory_path, self.rules.now);
        let mut full_sync = self.full_sync(&mut peer_memory, gate);
        let (covered, others): (Vec<Peer>, Vec<Peer>) = self
            .peers
            .iter()
            .cloned()
            .partition(|peer| self.gave_everything(peer, report));
        let (full_syncs, mut step) = full_sync
            .ask_peers(keys.clone(), &others, interruption.as_mut())
            .await;
        let FullSyncs { answers, started } = full_syncs.with_covered(covered.len());
        if let Some(last) = keys.get(started.saturating_sub(1)) {
            memory.set_last_turn(last);
        }
        let mut found = self.look_again(&keys, &mut step).await;
        let missing: Vec<Pubkey> = answers
            .keys()
            .filter(|key| !found.contains_key(key))
            .copied()
            .collect();
        let mut fallback: Vec<Peer> = self
            .context
            .options
            .members
            .fallback()
            .into_iter()
            .map(Peer::at)
            .collect();
        fallback.retain(|relay| self.peers.iter().all(|peer| peer.address != relay.address));
        let mut others = Answers::default();
        if step == Step::Done && !missing.is_empty() && !fallback.is_empty() {
            (others, step) = full_sync
                .ask_fallback(missing.clone(), &fallback, interruption)
                .await;
            found.extend(self.look_again(&missing, &mut step).await);
        }
        report.by_kind = full_sync.gate.by_kind().clone();
        report.imported.add(full_sync.imported);
        report.untold += full_sync.untold;
        match step {
            Step::Done => {
                let unfinished = keys.len().saturating_sub(answers.len());
                say_unfinished(unfinished);
                if self.limit.is_over() && (unfinished > 0 || others.is_cut_off) {
                    self.say_out_of_time(report).await;
                }
                for (key, peers) in &answers {
                    let is_found = found.contains_key(key);
                    conclude(key, is_found, *peers, others, memory, self.rules.now);
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

    /// Whether a peer has just given all that it holds of all followed keys, however old: asking it
    /// again would bring nothing.
    fn gave_everything(&self, peer: &Peer, report: &Report) -> bool {
        let options = &self.context.options;
        let mut reports = report.peers.iter();
        options.sweeps()
            && options.wanted_kinds().contains(&kinds::PROFILE)
            && reports.any(|report| {
                report.address == peer.address
                    && report.failure.is_none()
                    && report.covered.is_some()
            })
    }

    /// The full syncs of this run, before any has begun.
    fn full_sync<'a>(&'a self, peer_memory: &'a mut PeerMemory, gate: Gate) -> FullSync<'a> {
        let options = &self.context.options;
        let mut kinds = options.wanted_kinds();
        if !kinds.contains(&kinds::PROFILE) {
            kinds.push(kinds::PROFILE);
        }
        FullSync {
            connector: self.connector,
            strfry: self.context.strfry(),
            refused: (!options.no_negentropy).then(|| {
                let path = self.context.file(state_file::REFUSED.name);
                Arc::new(Refused::load(&path, self.rules.now))
            }),
            rules: self.rules,
            kinds,
            peer_memory,
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
            untold: 0,
        }
    }

    /// A run that had no time for everything is no success.
    async fn say_out_of_time(&self, report: &mut Report) {
        warn!("Not all full syncs were done: {}", self.limit.over().await);
        if report.outcome == Outcome::Complete {
            report.outcome = Outcome::SomePeersFailed;
        }
    }

    /// The profiles of these keys that are there now; none if a signal has come, because nobody waits
    /// for them then.
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
        let pubkeys = counted(count, "pubkey");
        say!(
            "{pubkeys} could not be fully synced, because the time or the connections that a run has for full syncs were used up (--full-sync-minutes, --full-sync-connections): a later run goes on"
        );
    }
}

/// Says how a full sync ended, and remembers it if it brought no profile.
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
        "{} of {} and {} of {} answered, none with a profile",
        peers.whole,
        counted(peers.total, "peer"),
        others.whole,
        counted(others.total, "fallback relay")
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
