//! The options of the backfill, from its command line and from environment variables.

pub(crate) mod hooks;
pub(crate) mod members;
pub(crate) mod report;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use constellation_shared::kinds::{self, KindList};
use constellation_shared::settings::{ListSettings, SyncSettings};

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
    /// Show no progress and no summary on the terminal
    #[arg(long, short, env = "CONSTELLATION_QUIET", value_parser = BoolishValueParser::new())]
    pub quiet: bool,
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
    /// List the relays of the other stations, then exit
    #[arg(long)]
    pub show_peers: bool,
    /// The station's folder [default: ~/.zen]
    #[arg(long, value_name = "DIR", env = "CONSTELLATION_ZEN", global = true)]
    pub zen: Option<PathBuf>,
    /// Settings file [default: DIR/strfry/constellation.toml]
    #[arg(long, value_name = "FILE", env = "CONSTELLATION_CONFIG", global = true)]
    pub config: Option<PathBuf>,
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
    /// The API of the IPFS daemon, such as /ip4/127.0.0.1/tcp/5001 [default: as the ipfs program finds it, by IPFS_PATH or in ~/.ipfs; else that of /var/lib/ipfs]
    #[arg(long, value_name = "ADDRESS", value_parser = parse_api, env = "CONSTELLATION_IPFS_API")]
    pub ipfs_api: Option<String>,
    /// The kinds that are fetched: numbers, the sets seed (20) and uplanet (57), or changes (+30850,-4) [default: as set in strfry/constellation.toml, else seed]
    #[arg(
        long,
        value_name = "LIST",
        allow_hyphen_values = true,
        env = "CONSTELLATION_KINDS"
    )]
    pub kinds: Option<KindList>,
    /// Also fetch these kinds of authors whom nobody lists, at most 1,000 events of each peer in a run [default: as set in strfry/constellation.toml, else none]
    #[arg(
        long,
        value_name = "LIST",
        allow_hyphen_values = true,
        env = "CONSTELLATION_ANY_AUTHOR_KINDS"
    )]
    pub any_author_kinds: Option<KindList>,
    /// What the settings file says where this command line and the environment say nothing.
    #[arg(skip)]
    pub file: SyncSettings,
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

fn parse_api(text: &str) -> Result<String, String> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    if text.is_empty() || (text.starts_with('/') && is_plain) {
        Ok(text.to_owned())
    } else {
        Err("not an address as IPFS writes it, such as /ip4/127.0.0.1/tcp/5001".to_owned())
    }
}

/// What comes of several sources, the weaker first.
fn layered<const N: usize>(sources: [&Option<KindList>; N], default: Vec<u16>) -> Vec<u16> {
    let given = sources.into_iter().flatten();
    let mut kinds = given.fold(default, |weaker, list| list.over(&weaker));
    kinds.sort_unstable();
    kinds
}

/// One of the options that name kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KindOption {
    /// `--kinds`.
    Kinds,
    /// `--any-author-kinds`.
    AnyAuthor,
}

impl KindOption {
    /// Its long name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kinds => "kinds",
            Self::AnyAuthor => "any-author-kinds",
        }
    }
}

impl Options {
    /// Whether everything that is missing is fetched, however old it is.
    pub fn sweeps(&self) -> bool {
        self.sweep.unwrap_or(false)
    }

    /// The kinds that are asked for, in ascending order.
    pub fn wanted_kinds(&self) -> Vec<u16> {
        let sources = [&self.file.kinds, &self.kinds];
        let seed = kinds::Set::Seed.numbers();
        self.without_dms(layered(sources, seed))
    }

    /// The kinds that are also asked for without naming authors, in ascending order.
    pub fn any_author_kinds(&self) -> Vec<u16> {
        let sources = [&self.file.any_author_kinds, &self.any_author_kinds];
        self.without_dms(layered(sources, Vec::new()))
    }

    /// What to type so that a kind is asked for as well as those that already are, in one run and
    /// in all runs.
    pub fn how_to_add(&self, option: KindOption, kind: u16) -> String {
        let (given, set) = match option {
            KindOption::Kinds => (&self.kinds, &self.file.kinds),
            KindOption::AnyAuthor => (&self.any_author_kinds, &self.file.any_author_kinds),
        };
        let with = |list: &Option<KindList>| {
            let alone = || format!("+{kind}");
            list.as_ref()
                .map_or_else(alone, |list| list.text_with(kind))
        };
        let name = option.name();
        format!(
            "constellation-sync --{name} {}; for good, in the table [sync] of strfry/constellation.toml: {name} = \"{}\"",
            with(given),
            with(set),
        )
    }

    fn without_dms(&self, mut kinds: Vec<u16>) -> Vec<u16> {
        kinds.retain(|&kind| !self.no_dms || kind != kinds::DIRECT_MESSAGE);
        kinds
    }

    /// The settings of the lists that these options make.
    pub fn lists(&self) -> ListSettings {
        ListSettings {
            blacklist: self.blacklist.clone(),
            amis: Some(self.amis.clone()).filter(|amis| !amis.is_empty()),
            swarm: self.no_swarm.map(|no_swarm| !no_swarm),
            strangers: None,
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
        self.since_by_days(now)
    }

    /// The oldest time that a run by hand asks every peer for at `now`, in Unix seconds.
    pub fn since_by_days(&self, now: u64) -> u64 {
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
