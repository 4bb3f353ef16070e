//! What a run works on, and what it can say without doing anything.

use std::io::Write;
use std::path::PathBuf;
use std::time::SystemTime;

use constellation_shared::Station;
use indicatif::MultiProgress;
use tokio::signal::unix::{SignalKind, signal};

use crate::error::SyncError;
use crate::follow;
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
        Strfry::new(binary, folder)
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
}

/// The time, Unix seconds.
pub(crate) fn unix_time() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}

/// Ends with the first SIGINT or SIGTERM.
pub(crate) async fn interruption() {
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
