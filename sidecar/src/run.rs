//! What a run works on, and what it can say without doing anything.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use constellation_shared::Station;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::choice::{self, Candidate, Choice, Identity};
use crate::error::SyncError;
use crate::follow;
use crate::knowledge::Knowledge;
use crate::members;
use crate::options::Options;
use crate::overview::{self, Plan};
use crate::peer::{self, Description, Peer};
use crate::report::Outcome;
use crate::strfry::{Strfry, conf};

/// What a run works on.
#[derive(Debug)]
pub struct Run {
    /// What was asked of us.
    pub options: Options,
    /// The station.
    pub station: Station,
    /// Where progress is shown.
    pub bars: MultiProgress,
}

impl Run {
    /// This station's strfry.
    pub fn strfry(&self) -> Strfry {
        // Seen from where we were started; strfry's commands run in its own folder.
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        let folder = absolute(self.station.strfry_dir());
        let given = self.options.strfry.clone();
        let binary = given.map_or_else(|| folder.join("strfry"), absolute);
        let patience = Duration::from_secs(self.options.strfry_patience);
        Strfry::new(binary, folder, patience)
    }

    /// A bar or a number that shows progress, where somebody looks on.
    pub fn bar(&self, template: &str, message: String) -> ProgressBar {
        if !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = self.bars.add(ProgressBar::new(0));
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(message);
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }

    /// A file of ours in strfry's folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.station.strfry_dir().join(name)
    }

    /// Whom it would ask.
    pub fn peers(&self, descriptions: &[Description]) -> Vec<Peer> {
        if !self.options.peer.is_empty() {
            return peer::given(&self.options.peer);
        }
        let own = peer::own_node_id(&self.station);
        peer::peers(descriptions, own.as_deref())
    }

    /// Which of these peers a backfill at `now`, Unix seconds, asks: all that were named,
    /// all of a small swarm, some of a large one.
    pub fn choice(&self, peers: &[Peer], knowledge: &Knowledge, now: u64) -> Choice {
        let own = Identity::of(&peer::own_name(&self.station));
        let candidates: Vec<Candidate> = peers
            .iter()
            .map(|peer| {
                let url = peer.url();
                Candidate {
                    identity: Identity::of(&url),
                    history: knowledge.history(&url),
                }
            })
            .collect();
        let most = match self.options.max_peers {
            None if candidates.len() <= choice::FEW => candidates.len(),
            None if memory() < choice::SMALL_MEMORY => choice::USUAL_WHERE_SMALL,
            None => choice::USUAL,
            Some(most) => usize::from(most),
        };
        match self.options.peer.is_empty() {
            true => Choice::some(own, &candidates, most, now, &mut fastrand::Rng::new()),
            false => Choice::all(own, &candidates),
        }
    }

    /// `--stats`, `--show-hex` or `--dry-run`; `None` where a real run is wanted.
    ///
    /// # Errors
    /// [`SyncError`].
    pub async fn look(&self, output: &mut impl Write) -> Result<Option<Outcome>, SyncError> {
        let options = &self.options;
        if !options.stats && !options.show_hex && !options.dry_run {
            return Ok(None);
        }
        let descriptions = peer::descriptions(&self.station);
        let followed = follow::followed(&self.station, &descriptions)?;
        if options.stats {
            let strfry = self.strfry();
            let events = strfry.count().await?;
            let database = conf::database(&strfry.conf(), &self.station.strfry_dir());
            overview::write_stats(output, events, &database, &followed)?;
        }
        if options.show_hex {
            overview::write_hex(output, &followed.keys)?;
        }
        if options.dry_run && !options.stats && !options.show_hex {
            let strfry = self.strfry();
            let peers = self.peers(&descriptions);
            let now = unix_time();
            let knowledge = Knowledge::load(&self.file("constellation-peers.json"), now);
            let choice = self.choice(&peers, &knowledge, now);
            let kinds = options.wanted_kinds();
            let first = choice.first().iter().filter_map(|place| peers.get(*place));
            let peers: Vec<(&Peer, u64)> = first
                .map(|peer| {
                    (
                        peer,
                        now - knowledge.since(&peer.url(), &kinds, now, options.reach()),
                    )
                })
                .collect();
            let plan = Plan {
                peers: &peers,
                followed: &followed,
                kinds: &kinds,
                days: options.days,
                strfry: strfry.binary(),
                ipfs: &options.ipfs_program(),
            };
            plan.write(output)?;
            members::command::write_plan(output, &options.members)?;
        }
        Ok(Some(Outcome::Complete))
    }
}

/// The memory of this machine in bytes; much where it cannot be told.
pub(crate) fn memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = total.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.map_or(u64::MAX, |kilobytes| kilobytes.saturating_mul(1024))
}

/// The time, Unix seconds.
pub(crate) fn unix_time() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}

/// Ends with the first SIGINT or SIGTERM from now on; called within a runtime.
pub(crate) fn interruption() -> impl Future<Output = ()> {
    let caught = |kind| signal(kind).ok();
    let (interrupt, terminate) = (
        caught(SignalKind::interrupt()),
        caught(SignalKind::terminate()),
    );
    let wait = async |signal: Option<Signal>| match signal {
        Some(mut signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    };
    async move {
        tokio::select! {
            () = wait(interrupt) => {}
            () = wait(terminate) => {}
        }
    }
}
