//! One backfill, from the peers to the database: who is asked, and how it ends. Each step
//! is another module's.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use constellation_shared::{EventId, Station};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::admit::Rules;
use crate::error::SyncError;
use crate::exchange::Exchange;
use crate::follow::{self, Followed};
use crate::intake::{self, Admission, Gate, Line, Tally};
use crate::knowledge::Knowledge;
use crate::level::Leveling;
use crate::members::{self, Members};
use crate::options::Options;
use crate::overview::{self, Plan};
use crate::peer::{self, Description, Peer};
use crate::refused::Refused;
use crate::relay::connection::Connector;
use crate::report::{Outcome, PeerReport, Report};
use crate::session::{Session, Wanted, chain};
use crate::strfry::import::{Import, ImportError};
use crate::strfry::{Strfry, conf};
use crate::tunnel::Patience;
use crate::tunnel::tunnels::Tunnels;

/// How many batches of lines may wait for strfry.
const WAITING_LINES: usize = 8;

/// How long an interrupted run waits for strfry to store what it was given.
pub(crate) const LAST_PATIENCE: Duration = Duration::from_secs(10);

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
        Strfry::new(binary, folder)
    }

    /// A file of ours in strfry's folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.station.strfry_dir().join(name)
    }

    fn peers(&self, descriptions: &[Description]) -> Vec<Peer> {
        if !self.options.peer.is_empty() {
            return peer::given(&self.options.peer);
        }
        let own = peer::own_node_id(&self.station);
        peer::peers(descriptions, own.as_deref())
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
            let plan = Plan {
                peers: &self.peers(&descriptions),
                followed: &followed,
                kinds: &options.wanted_kinds(),
                days: options.days,
                strfry: strfry.binary(),
                ipfs: &options.ipfs_program(),
            };
            plan.write(output)?;
            members::command::write_plan(output, &options.members)?;
        }
        Ok(Some(Outcome::Complete))
    }

    /// The backfill itself. Everything that happens is said in the log.
    ///
    /// # Errors
    /// [`SyncError`] where nothing could be done.
    pub async fn backfill(&self) -> Result<Report, SyncError> {
        let now = unix_time();
        let options = &self.options;
        let patience = Duration::from_secs(options.patience);
        let tunnels = Arc::new(Tunnels::new(
            options.ipfs_program(),
            self.file("constellation-tunnels.json"),
            Patience::within(patience),
        ));
        let connector = Connector::new(options.ca_file.as_deref())?
            .patient(patience)
            .with_tunnels(Arc::clone(&tunnels));
        tunnels.sweep().await;
        let strfry = self.strfry();
        if !is_program(strfry.binary()) {
            return Err(SyncError::NoStrfry(strfry.binary().to_owned()));
        }
        let max_event_size = conf::max_event_size(&strfry.conf())
            .map_err(|error| SyncError::Conf(strfry.conf(), error))?;
        let descriptions = peer::descriptions(&self.station);
        let peers = self.peers(&descriptions);
        if peers.is_empty() {
            return Err(SyncError::NoPeers(self.station.swarm_dir()));
        }
        let followed = follow::followed(&self.station, &descriptions)?;
        let Followed { keys, blocked, .. } = followed;
        info!("SYNC_HEX: count={}", keys.len());
        if keys.is_empty() {
            warn!("no pubkeys to follow: there are no members and no friends yet");
        }
        let wanted = Arc::new(Wanted {
            kinds: options.wanted_kinds(),
            since: options.since(now),
            authors: keys,
            most_events: usize::MAX,
        });
        let rules = Rules {
            now,
            max_event_size,
            blocked,
        };
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let verify = !options.trust_peers;
        let refused_path = self.file("constellation-refused.txt");
        let mut refused = Refused::load(&refused_path, now);
        let leveling = (!options.no_negentropy).then(|| {
            // Everything is everything.
            let refused = match options.days {
                0 => Refused::default(),
                _ => refused.clone(),
            };
            let exchange = Exchange::new(peers.len());
            Arc::new(Leveling::new(strfry.clone(), refused, exchange, now))
        });
        let (admission, mut verified) =
            Admission::new(rules.clone(), verify, leveling.clone(), cores);
        let (line_sender, lines) = mpsc::channel::<Vec<Line>>(WAITING_LINES);
        let gate = tokio::spawn(async move {
            let mut gate = Gate::default();
            while let Some(batch) = verified.recv().await {
                if line_sender.send(gate.pass(batch)).await.is_err() {
                    break;
                }
            }
            gate
        });
        let import = Import::new(strfry.clone(), options.verify);
        let mut import = tokio::spawn(import.run(lines));

        let knowledge_path = self.file("constellation-peers.json");
        let mut knowledge = Knowledge::load(&knowledge_path);
        let mut sessions = JoinSet::new();
        let mut tallies = Vec::new();
        for (index, peer) in peers.iter().cloned().enumerate() {
            let tally = Tally::default();
            tallies.push((peer.address.clone(), Arc::clone(&tally)));
            let session = Session {
                index,
                leveling: leveling.clone(),
                tally,
                known: knowledge.of(&peer.address.to_string(), now).cloned(),
                bar: self.bar(&peer),
                address: peer.address,
                connector: connector.clone(),
                admission: Arc::clone(&admission),
                wanted: Arc::clone(&wanted),
                patience,
                silence_ends_it: false,
            };
            sessions.spawn(session.run(now));
        }

        let mut reports: Vec<PeerReport> = Vec::new();
        let mut interrupted = false;
        let mut broken_early = None;
        let interruption = interruption();
        tokio::pin!(interruption);
        loop {
            tokio::select! {
                joined = sessions.join_next() => match joined {
                    None => break,
                    Some(Ok((report, known))) => {
                        knowledge.learn(report.address.to_string(), known);
                        reports.push(report);
                    }
                    Some(Err(error)) => error!("a session ended unexpectedly and failed: {error}"),
                },
                () = &mut interruption => {
                    interrupted = true;
                    break;
                }
                ended = &mut import => {
                    broken_early = Some(ended);
                    break;
                }
            }
        }
        sessions.shutdown().await;
        // Kept until here: without it the import ends with the last session, and may be
        // seen to end first.
        drop(admission);
        if interrupted || broken_early.is_some() {
            tunnels.close().await;
        }
        let mut ended = broken_early;
        if ended.is_none() && !interrupted {
            tokio::select! {
                finished = &mut import => ended = Some(finished),
                () = &mut interruption => interrupted = true,
            }
        }
        let ended = match ended {
            Some(ended) => ended,
            None => match tokio::time::timeout(LAST_PATIENCE, &mut import).await {
                Ok(ended) => ended,
                Err(_) => {
                    import.abort();
                    import.await
                }
            },
        };
        let (imported, import_result) = match ended {
            Ok(ended) => ended,
            // Cut off by an interruption; what it had stored stays, uncounted.
            Err(error) if error.is_cancelled() => (Default::default(), Ok(())),
            Err(_) => (Default::default(), Err(ImportError::Vanished)),
        };
        let gate = gate.await.unwrap_or_default();
        for peer in &peers {
            if !reports.iter().any(|report| report.address == peer.address) {
                reports.push(unfinished(peer));
            }
        }
        for (address, tally) in &tallies {
            let mut counts = intake::counts(tally);
            for (id, refusal) in counts.refused_ids.drain(..) {
                refused.remember(id, refusal, &address.to_string(), now);
            }
            info!("Collected {} events from {address}", counts.collected);
            for report in reports
                .iter_mut()
                .filter(|report| report.address == *address)
            {
                report.counts = counts.clone();
            }
        }
        if import_result.is_ok() && imported.written.added < gate.passed().len() as u64 {
            let passed: Vec<EventId> = gate.passed().iter().copied().collect();
            match strfry.missing(&passed).await {
                Ok(missing) => missing
                    .into_iter()
                    .for_each(|id| refused.remember_not_kept(id, now)),
                Err(error) => warn!(
                    "{}: what strfry did not keep is asked for again next time",
                    chain(&error)
                ),
            }
        }
        if let Err(error) = refused.save(&refused_path) {
            warn!("{} could not be written: {error}", refused_path.display());
        }
        let undelivered = leveling.map_or(0, |leveling| leveling.exchange.undelivered());
        if undelivered > 0 {
            info!(
                "{undelivered} events are listed by peers and sent by none of them: deleted meanwhile, or only for clients who say who they are"
            );
        }
        if let Err(error) = knowledge.save(&knowledge_path, now) {
            warn!("{} could not be written: {error}", knowledge_path.display());
        }
        let succeeded = reports.iter().all(|report| report.failure.is_none());
        let outcome = match (&import_result, interrupted, succeeded) {
            (Err(_), ..) => Outcome::NothingDone,
            (Ok(()), true, _) => Outcome::Interrupted,
            (Ok(()), false, true) => Outcome::Complete,
            (Ok(()), false, false) => Outcome::SomePeersFailed,
        };
        let mut report = Report {
            followed: wanted.authors.len(),
            peers: reports,
            undelivered,
            by_kind: gate.by_kind().clone(),
            imported,
            verify: options.verify,
            profiles: None,
            outcome,
        };
        if matches!(outcome, Outcome::Complete | Outcome::SomePeersFailed) {
            let members = Members {
                run: self,
                connector: &connector,
                peers: peers.iter().map(|peer| peer.address.clone()).collect(),
                keys: &wanted.authors,
                rules: &rules,
            };
            members.after(&mut report, gate, interruption).await;
        }
        tunnels.close().await;
        say(&report, import_result.err().as_ref());
        Ok(report)
    }

    fn bar(&self, peer: &Peer) -> ProgressBar {
        if !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = self.bars.add(ProgressBar::new_spinner());
        if let Ok(style) =
            ProgressStyle::with_template("{spinner} {msg}: {pos} events in {elapsed}")
        {
            bar.set_style(style);
        }
        bar.set_message(peer.address.to_string());
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}

fn say(report: &Report, broken: Option<&ImportError>) {
    if let Some(error) = broken {
        error!(
            "{}; the import failed: what strfry said before stays stored; check the free disk space, dbParams.mapsize and the owner of strfry-db, then run again",
            chain(error)
        );
    }
    for (reason, count) in &report.imported.rejected {
        warn!("strfry rejected {count} events: {reason}");
    }
    if let Some(line) = report.refused_line() {
        info!("{line}");
    }
    info!("{}", report.stats_line());
    info!("{}", report.import_line());
    info!("{}", report.peers_line());
    match report.outcome {
        Outcome::Interrupted => {
            warn!(
                "Backfill interrupted; what strfry was given is stored, the next run brings the rest"
            );
        }
        Outcome::NothingDone => {}
        Outcome::Complete | Outcome::SomePeersFailed => info!("Backfill process completed"),
    }
}

fn unfinished(peer: &Peer) -> PeerReport {
    PeerReport {
        address: peer.address.clone(),
        counts: Default::default(),
        bytes: 0,
        seconds: 0.0,
        failure: Some("the run ended before it was done".to_owned()),
        reconciled: false,
        broke_off: true,
        unreadable_kinds: Vec::new(),
    }
}

pub(crate) fn is_program(path: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// The time, Unix seconds.
pub(crate) fn unix_time() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}

/// Ends with the first SIGINT or SIGTERM.
async fn interruption() {
    let wait = async |kind| match signal(kind) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
    }
}
