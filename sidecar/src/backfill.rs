//! One backfill, from the peers to the database: who is asked, and how it ends. Each step
//! is another module's.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use constellation_shared::EventId;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::admit::Rules;
use crate::error::{SyncError, chain};
use crate::exchange::Exchange;
use crate::follow::{self, Followed};
use crate::inflow::{Closed, Inflow, Step};
use crate::intake::{self, Admission, Gate, Tally};
use crate::knowledge::Knowledge;
use crate::level::Leveling;
use crate::members::Members;
use crate::peer::{self, Peer};
use crate::refused::Refused;
use crate::relay::address::Address;
use crate::relay::connection::Connector;
use crate::report::{Outcome, PeerReport, Report};
use crate::run::{Run, interruption, unix_time};
use crate::session::Session;
use crate::strfry::import::{Import, ImportError};
use crate::strfry::{Strfry, conf};
use crate::tunnel::Patience;
use crate::tunnel::tunnels::Tunnels;
use crate::wanted::Wanted;

/// What a backfill works with, once it is known that there is something to do.
pub struct Backfill<'a> {
    run: &'a Run,
    /// When it began, Unix seconds.
    now: u64,
    /// How long a peer may go without bringing us further.
    patience: Duration,
    tunnels: Arc<Tunnels>,
    connector: Connector,
    strfry: Strfry,
    peers: Vec<Peer>,
    wanted: Arc<Wanted>,
    rules: Rules,
    refused: Refused,
    leveling: Option<Arc<Leveling>>,
    knowledge: Knowledge,
    /// Where each peer's events are counted.
    tallies: Vec<Tally>,
}

impl<'a> Backfill<'a> {
    /// Looks at the station. Everything that happens from here on is said in the log.
    ///
    /// # Errors
    /// [`SyncError`] where nothing can be done.
    pub async fn prepare(run: &'a Run) -> Result<Self, SyncError> {
        let now = unix_time();
        let options = &run.options;
        let patience = Duration::from_secs(options.patience);
        let tunnels = Arc::new(Tunnels::new(
            options.ipfs_program(),
            run.file("constellation-tunnels.json"),
            Patience::within(patience),
        ));
        let connector = Connector::new(options.ca_file.as_deref())?
            .patient(patience)
            .with_tunnels(Arc::clone(&tunnels));
        tunnels.sweep().await;
        let strfry = run.strfry();
        if !is_program(strfry.binary()) {
            return Err(SyncError::NoStrfry(strfry.binary().to_owned()));
        }
        let max_event_size = conf::max_event_size(&strfry.conf())
            .map_err(|error| SyncError::Conf(strfry.conf(), error))?;
        let descriptions = peer::descriptions(&run.station);
        let peers = run.peers(&descriptions);
        if peers.is_empty() {
            return Err(SyncError::NoPeers(run.station.swarm_dir()));
        }
        let followed = follow::followed(&run.station, &descriptions)?;
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
        let refused = Refused::load(&refused_path(run), now);
        let leveling = (!options.no_negentropy).then(|| {
            // Everything is everything.
            let refused = match options.days {
                0 => Refused::default(),
                _ => refused.clone(),
            };
            let exchange = Exchange::new(peers.len());
            Arc::new(Leveling::new(strfry.clone(), refused, exchange, now))
        });
        Ok(Self {
            run,
            now,
            patience,
            tunnels,
            connector,
            strfry,
            tallies: peers.iter().map(|_| Tally::default()).collect(),
            peers,
            wanted,
            rules: Rules {
                now,
                max_event_size,
                blocked,
            },
            refused,
            leveling,
            knowledge: Knowledge::load(&knowledge_path(run)),
        })
    }

    /// Asks everybody, and says how it went.
    pub async fn carry_out(mut self) -> Report {
        let options = &self.run.options;
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let verify = !options.trust_peers;
        let mut inflow = Inflow::open(
            Admission::new(self.rules.clone(), verify, self.leveling.clone(), cores),
            Gate::default(),
            Import::new(self.strfry.clone(), options.verify),
        );
        let mut interruption = pin!(interruption());
        let (mut reports, step) = self.ask(&mut inflow, interruption.as_mut()).await;
        if step != Step::Done {
            self.tunnels.close().await;
        }
        let closed = match step {
            Step::Interrupted => inflow.close(std::future::ready(())).await,
            Step::Done | Step::Broken => inflow.close(interruption.as_mut()).await,
        };
        let Closed {
            gate,
            imported,
            result,
            interrupted,
        } = closed;
        self.count(&mut reports);
        if result.is_ok() && imported.written.added < gate.passed().len() as u64 {
            self.remember_what_was_not_kept(&gate).await;
        }
        if let Err(error) = self.refused.save(&refused_path(self.run)) {
            unwritten(&refused_path(self.run), &error);
        }
        if let Err(error) = self.knowledge.save(&knowledge_path(self.run), self.now) {
            unwritten(&knowledge_path(self.run), &error);
        }
        let leveling = self.leveling.as_ref();
        let undelivered = leveling.map_or_else(Default::default, |leveling| leveling.undelivered());
        let succeeded = reports.iter().all(|report| report.failure.is_none());
        let interrupted = interrupted || step == Step::Interrupted;
        let outcome = match (&result, interrupted, succeeded) {
            (Err(_), ..) => Outcome::NothingDone,
            (Ok(()), true, _) => Outcome::Interrupted,
            (Ok(()), false, true) => Outcome::Complete,
            (Ok(()), false, false) => Outcome::SomePeersFailed,
        };
        let mut report = Report {
            followed: self.wanted.authors.len(),
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
                run: self.run,
                connector: &self.connector,
                peers: self.peers.iter().map(|peer| peer.address.clone()).collect(),
                keys: &self.wanted.authors,
                rules: &self.rules,
            };
            members.after(&mut report, gate, interruption).await;
        }
        self.tunnels.close().await;
        say(&report, result.err().as_ref());
        report
    }

    /// Everybody's turn, side by side; a report of each, without its counts.
    async fn ask(
        &mut self,
        inflow: &mut Inflow,
        interruption: Pin<&mut impl Future<Output = ()>>,
    ) -> (Vec<PeerReport>, Step) {
        let mut sessions = JoinSet::new();
        for (index, (peer, tally)) in self.peers.iter().zip(&self.tallies).enumerate() {
            let known = self.knowledge.of(&peer.address.to_string(), self.now);
            let session = Session {
                index,
                leveling: self.leveling.clone(),
                tally: Arc::clone(tally),
                known: known.cloned(),
                bar: self.bar(&peer.address),
                address: peer.address.clone(),
                connector: self.connector.clone(),
                admission: Arc::clone(&inflow.admission),
                wanted: Arc::clone(&self.wanted),
                patience: self.patience,
                silence_ends_it: false,
            };
            sessions.spawn(session.run(self.now));
        }
        let mut reports: Vec<PeerReport> = Vec::new();
        let knowledge = &mut self.knowledge;
        let all = async {
            while let Some(joined) = sessions.join_next().await {
                match joined {
                    Ok((report, known)) => {
                        knowledge.learn(report.address.to_string(), known);
                        reports.push(report);
                    }
                    Err(error) => error!("a session ended unexpectedly and failed: {error}"),
                }
            }
        };
        let (_, step) = inflow.carry(all, interruption).await;
        sessions.shutdown().await;
        for peer in &self.peers {
            if !reports.iter().any(|report| report.address == peer.address) {
                reports.push(unfinished(peer));
            }
        }
        (reports, step)
    }

    /// What came from each, now that all of it has been looked at.
    fn count(&mut self, reports: &mut [PeerReport]) {
        for (peer, tally) in self.peers.iter().zip(&self.tallies) {
            let mut counts = intake::counts(tally);
            let address = &peer.address;
            for (id, refusal) in counts.refused_ids.drain(..) {
                let sender = address.to_string();
                self.refused.remember(id, refusal, &sender, self.now);
            }
            info!("Collected {} events from {address}", counts.collected);
            let report = reports.iter_mut().find(|report| report.address == *address);
            if let Some(report) = report {
                report.counts = counts;
            }
        }
    }

    async fn remember_what_was_not_kept(&mut self, gate: &Gate) {
        let passed: Vec<EventId> = gate.passed().iter().copied().collect();
        match self.strfry.missing(&passed).await {
            Ok(missing) => missing
                .into_iter()
                .for_each(|id| self.refused.remember_not_kept(id, self.now)),
            Err(error) => warn!(
                "{}: what strfry did not keep is asked for again next time",
                chain(&error)
            ),
        }
    }

    fn bar(&self, address: &Address) -> ProgressBar {
        if !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = self.run.bars.add(ProgressBar::new_spinner());
        if let Ok(style) =
            ProgressStyle::with_template("{spinner} {msg}: {pos} events in {elapsed}")
        {
            bar.set_style(style);
        }
        bar.set_message(address.to_string());
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}

fn refused_path(run: &Run) -> PathBuf {
    run.file("constellation-refused.txt")
}

fn knowledge_path(run: &Run) -> PathBuf {
    run.file("constellation-peers.json")
}

fn unwritten(path: &Path, error: &io::Error) {
    warn!("{} could not be written: {error}", path.display());
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
    if let Some(line) = report.undelivered_line() {
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
        code: Some("interrupted"),
        reconciled: false,
        broke_off: true,
        unreadable_kinds: Vec::new(),
    }
}

pub(crate) fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
