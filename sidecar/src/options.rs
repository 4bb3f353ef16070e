//! The options of the backfill, from its command line and from environment variables.

pub(crate) mod hooks;
pub(crate) mod members;
pub(crate) mod report;

use std::num::ParseIntError;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use constellation_shared::kinds;
use constellation_shared::settings::ListSettings;

use crate::options::hooks::HookOptions;
use crate::options::members::MemberOptions;
use crate::options::report::ReportOptions;
use crate::plan::peer_history::{PeerHistory, Reach};
use crate::relay::address::Address;

/// The options of the backfill, and those that all commands share.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Fetch events of the last N days; 0 = of all time
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        env = "CONSTELLATION_DAYS"
    )]
    pub days: u64,
    /// Fetch everything that is missing, however old it is [default: in scheduled runs]
    ///
    /// Without it, a run fetches what `--days` says. With it, a run fetches everything of all time
    /// that was never had of a peer, and compares a part of the older events again, so that what
    /// reaches a peer late is here within a day.
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = BoolishValueParser::new(),
        env = "CONSTELLATION_SWEEP"
    )]
    pub sweep: Option<bool>,
    /// Go back to the last success with a peer, but at most this many days
    #[arg(
        long,
        value_name = "N",
        default_value_t = 30,
        env = "CONSTELLATION_MAX_DAYS"
    )]
    pub max_days: u64,
    /// Ask at most this many stations of the swarm [default: all, if there are at most 24; else 8, or 6 below 1 GB of memory]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), env = "CONSTELLATION_MAX_PEERS")]
    pub max_peers: Option<u16>,
    /// Show every log line, not only warnings and errors
    #[arg(long, short, env = "CONSTELLATION_VERBOSE", value_parser = BoolishValueParser::new())]
    pub verbose: bool,
    /// Leave out direct messages (kind 4)
    #[arg(long, env = "CONSTELLATION_NO_DMS", value_parser = BoolishValueParser::new())]
    pub no_dms: bool,
    /// Have strfry verify all events again when it imports them
    #[arg(long, env = "CONSTELLATION_VERIFY", value_parser = BoolishValueParser::new())]
    pub verify: bool,
    /// Do not verify ids and signatures; only for peers that you trust entirely
    #[arg(long, env = "CONSTELLATION_TRUST_PEERS", value_parser = BoolishValueParser::new())]
    pub trust_peers: bool,
    /// Show what would be done, without fetching or writing anything
    #[arg(long, alias = "DRYRUN", env = "CONSTELLATION_DRY_RUN", value_parser = BoolishValueParser::new())]
    pub dry_run: bool,
    /// Show statistics of the database, then exit
    #[arg(long)]
    pub stats: bool,
    /// List the pubkeys followed, then exit
    #[arg(long)]
    pub show_hex: bool,
    /// The station's folder [default: ~/.zen]
    #[arg(long, value_name = "DIR", env = "CONSTELLATION_ZEN", global = true)]
    pub zen: Option<PathBuf>,
    /// The list of blocked keys [default: as set in strfry.conf's plugin line or in strfry/constellation.toml]
    #[arg(long, value_name = "FILE", env = "CONSTELLATION_BLACKLIST")]
    pub blacklist: Option<PathBuf>,
    /// A list of friends of friends; repeat it for several files [default: see --blacklist]
    #[arg(
        long,
        value_name = "FILE",
        value_delimiter = ':',
        env = "CONSTELLATION_AMIS"
    )]
    pub amis: Vec<PathBuf>,
    /// Ignore the friends that other stations list, and do not follow them [default: see --blacklist]
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = BoolishValueParser::new(),
        env = "CONSTELLATION_NO_SWARM"
    )]
    pub no_swarm: Option<bool>,
    /// The strfry binary [default: DIR/strfry/strfry]
    #[arg(long, value_name = "PATH", env = "CONSTELLATION_STRFRY", global = true)]
    pub strfry: Option<PathBuf>,
    /// Ask this relay instead of the swarm's; may be repeated
    #[arg(long, value_name = "URL", value_delimiter = ',', value_parser = Address::parse, env = "CONSTELLATION_PEER")]
    pub peer: Vec<Address>,
    /// Also connect to peers of the swarm on this machine or in a private network
    #[arg(long, env = "CONSTELLATION_ALLOW_PRIVATE_PEERS", value_parser = BoolishValueParser::new())]
    pub allow_private_peers: bool,
    /// Page through all events, even if a relay supports reconciliation (NIP-77)
    #[arg(long, env = "CONSTELLATION_NO_NEGENTROPY", value_parser = BoolishValueParser::new())]
    pub no_negentropy: bool,
    /// The ipfs program, for peers behind tunnels [default: ipfs on PATH]
    #[arg(long, value_name = "PATH", env = "CONSTELLATION_IPFS")]
    pub ipfs: Option<PathBuf>,
    /// Fetch only events of these kinds, separated by commas [default: the constellation's 20]
    #[arg(long, value_name = "LIST", value_parser = parse_kinds, env = "CONSTELLATION_KINDS")]
    pub kinds: Option<Kinds>,
    /// Trust the certificate authorities in this file (PEM) instead of the system's
    #[arg(long, value_name = "FILE", env = "CONSTELLATION_CA_FILE")]
    pub ca_file: Option<PathBuf>,
    /// Give up on a peer that makes no progress for this many seconds
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..=86_400),
        env = "CONSTELLATION_PATIENCE"
    )]
    pub patience: u64,
    /// Give up on strfry if it makes no progress for this many seconds
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 300,
        value_parser = clap::value_parser!(u64).range(1..=86_400),
        env = "CONSTELLATION_STRFRY_PATIENCE"
    )]
    pub strfry_patience: u64,
    /// End a run after this many minutes; the next run continues; 0 = no limit
    #[arg(
        long,
        value_name = "MINUTES",
        default_value = "55",
        value_parser = parse_minutes,
        env = "CONSTELLATION_MAX_MINUTES"
    )]
    pub max_minutes: MaxMinutes,
    /// Print the result as one JSON document on stdout
    #[arg(long, env = "CONSTELLATION_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
    /// Profiles, full syncs and friends after a backfill
    #[command(flatten)]
    pub members: MemberOptions,
    /// Where a run is reported
    #[command(flatten)]
    pub report: ReportOptions,
    /// Commands that tell the captain of failures
    #[command(flatten)]
    pub hooks: HookOptions,
}

/// How long a run may take; `None` for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxMinutes(pub Option<Duration>);

fn parse_minutes(text: &str) -> Result<MaxMinutes, String> {
    let words = "not a number of minutes, 0 or more";
    let minutes: f64 = text.trim().parse().map_err(|_| words.to_owned())?;
    let limit = Duration::try_from_secs_f64(minutes * 60.0).map_err(|_| words.to_owned())?;
    Ok(MaxMinutes((!limit.is_zero()).then_some(limit)))
}

/// A list of kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kinds(pub Vec<u16>);

fn parse_kinds(text: &str) -> Result<Kinds, ParseIntError> {
    let numbers = text.split([',', ' ']).filter(|number| !number.is_empty());
    let mut numbers = numbers.map(str::parse).collect::<Result<Vec<u16>, _>>()?;
    numbers.sort_unstable();
    numbers.dedup();
    if numbers.is_empty() {
        // Makes the error that says that a number is missing.
        "".parse::<u16>()?;
    }
    Ok(Kinds(numbers))
}

impl Options {
    /// Whether everything that is missing is fetched, however old it is.
    pub fn sweeps(&self) -> bool {
        self.sweep.unwrap_or(false)
    }

    /// The kinds that are asked for.
    pub fn wanted_kinds(&self) -> Vec<u16> {
        let all = || kinds::KINDS.iter().map(|kind| kind.number).collect();
        let mut wanted = self
            .kinds
            .as_ref()
            .map_or_else(all, |kinds| kinds.0.clone());
        if self.no_dms {
            wanted.retain(|&kind| kind != kinds::DIRECT_MESSAGE);
        }
        wanted
    }

    /// The settings of the lists that these options make.
    pub fn lists(&self) -> ListSettings {
        ListSettings {
            blacklist: self.blacklist.clone(),
            amis: Some(self.amis.clone()).filter(|amis| !amis.is_empty()),
            swarm: self.no_swarm.map(|no_swarm| !no_swarm),
        }
    }

    /// The ipfs program.
    pub fn ipfs_program(&self) -> PathBuf {
        let given = self.ipfs.clone();
        // An empty variable counts as unset.
        given
            .filter(|path| !path.as_os_str().is_empty())
            .unwrap_or_else(|| PathBuf::from("ipfs"))
    }

    /// The file for Prometheus's figures; an empty variable counts as unset.
    pub fn metrics_file(&self) -> Option<&Path> {
        let file = self.report.metrics.as_deref();
        file.filter(|path| !path.as_os_str().is_empty())
    }

    /// The oldest time that every peer is asked for at `now`, Unix seconds.
    pub fn since(&self, now: u64) -> u64 {
        if self.sweeps() {
            return 0;
        }
        PeerHistory::default().since(now, now, self.reach())
    }

    /// How far back peers are asked.
    pub const fn reach(&self) -> Reach {
        Reach {
            days: self.days,
            most_days: self.max_days,
        }
    }
}
