//! What the backfill can be told on its command line or by environment variables.

pub mod members;
pub mod report;

use std::num::ParseIntError;
use std::path::{Path, PathBuf};

use clap::builder::BoolishValueParser;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use constellation_shared::kinds;

use crate::commands::bugreport::BugreportOptions;
use crate::commands::doctor::DoctorOptions;
use crate::commands::install::options::{InstallOptions, UninstallOptions};
use crate::commands::notify::NotifyCommand;
use crate::commands::status::StatusCommand;
use crate::commands::trigger::TriggerOptions;
use crate::commands::why::WhyOptions;
use crate::options::members::{FriendsCommand, MemberOptions, ProfilesCommand};
use crate::options::report::ReportOptions;
use crate::plan::peer_history::{History, Reach};
use crate::relay::address::{Address, AddressError};
use crate::report::notify::HookOptions;

/// Brings this station's strfry level with the other stations of its constellation.
///
/// Reads from each of them all events of the followed keys, lets in what is genuine and
/// wanted, and feeds it to `strfry import`.
#[derive(Debug, Clone, Parser)]
#[command(name = "constellation-sync", version)]
#[command(after_help = "\
Examples:
  constellation-sync                      the last day, from every station of the swarm
  constellation-sync --days 0             everything there ever was
  constellation-sync --dry-run            what would be done
  constellation-sync --peer wss://relay.example.org --days 7 --verbose

Exit codes: 0 every peer synced, or another instance is running; 1 some peers could not be
synced; 2 wrong usage or configuration; 3 nothing could be done; 130 interrupted.

Logs: <DIR>/strfry/constellation-backfill.log (this run), constellation-backfill.error.log")]
pub struct Options {
    /// How many days back; 0 = everything
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        env = "CONSTELLATION_DAYS"
    )]
    pub days: u64,
    /// How many days back at the most, to the last success with a peer
    #[arg(
        long,
        value_name = "N",
        default_value_t = 30,
        env = "CONSTELLATION_MAX_DAYS"
    )]
    pub max_days: u64,
    /// How many stations of the swarm are asked [default: all up to 24, of more 8, or 6 below 1 GB of memory]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), env = "CONSTELLATION_MAX_PEERS")]
    pub max_peers: Option<u16>,
    /// Every log line on the terminal too, not warnings and errors alone
    #[arg(long, short, env = "CONSTELLATION_VERBOSE", value_parser = BoolishValueParser::new())]
    pub verbose: bool,
    /// Leave out direct messages (kind 4)
    #[arg(long, env = "CONSTELLATION_NO_DMS", value_parser = BoolishValueParser::new())]
    pub no_dms: bool,
    /// Have strfry verify once more on import
    #[arg(long, env = "CONSTELLATION_VERIFY", value_parser = BoolishValueParser::new())]
    pub verify: bool,
    /// Do not check ids and signatures here; only for peers that are trusted entirely
    #[arg(long, env = "CONSTELLATION_TRUST_PEERS", value_parser = BoolishValueParser::new())]
    pub trust_peers: bool,
    /// Say what would be done; nothing is fetched or written
    #[arg(long, alias = "DRYRUN", env = "CONSTELLATION_DRY_RUN", value_parser = BoolishValueParser::new())]
    pub dry_run: bool,
    /// Database statistics, then exit
    #[arg(long)]
    pub stats: bool,
    /// List the pubkeys followed, then exit
    #[arg(long)]
    pub show_hex: bool,
    /// The station's folder [default: ~/.zen]
    #[arg(long, value_name = "DIR", env = "CONSTELLATION_ZEN", global = true)]
    pub zen: Option<PathBuf>,
    /// The strfry binary [default: DIR/strfry/strfry]
    #[arg(long, value_name = "PATH", env = "CONSTELLATION_STRFRY", global = true)]
    pub strfry: Option<PathBuf>,
    /// Ask this relay instead of those of the swarm; several times for several
    #[arg(long, value_name = "URL", value_delimiter = ',', value_parser = parse_address, env = "CONSTELLATION_PEER")]
    pub peer: Vec<Address>,
    /// Connect to peers of the swarm that lead to this machine or to a private network, too
    #[arg(long, env = "CONSTELLATION_ALLOW_PRIVATE_PEERS", value_parser = BoolishValueParser::new())]
    pub allow_private_peers: bool,
    /// Page through everything, even where a relay could tell what is missing (NIP-77)
    #[arg(long, env = "CONSTELLATION_NO_NEGENTROPY", value_parser = BoolishValueParser::new())]
    pub no_negentropy: bool,
    /// The ipfs program, for peers behind tunnels [default: ipfs on PATH]
    #[arg(long, value_name = "PATH", env = "CONSTELLATION_IPFS")]
    pub ipfs: Option<PathBuf>,
    /// Only these kinds, comma-separated [default: the constellation's 20]
    #[arg(long, value_name = "LIST", value_parser = parse_kinds, env = "CONSTELLATION_KINDS")]
    pub kinds: Option<Kinds>,
    /// Trust the certificate authorities in this file (PEM) instead of the system's
    #[arg(long, value_name = "FILE", env = "CONSTELLATION_CA_FILE")]
    pub ca_file: Option<PathBuf>,
    /// How many seconds a peer may go without bringing us further
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..=86_400),
        env = "CONSTELLATION_PATIENCE"
    )]
    pub patience: u64,
    /// How many seconds strfry may go without bringing us further
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 300,
        value_parser = clap::value_parser!(u64).range(1..=86_400),
        env = "CONSTELLATION_STRFRY_PATIENCE"
    )]
    pub strfry_patience: u64,
    /// The report as one JSON document on stdout at the end
    #[arg(long, env = "CONSTELLATION_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
    /// Profiles, full syncs and friends after a backfill
    #[command(flatten)]
    pub members: MemberOptions,
    /// Where a run is reported.
    #[command(flatten)]
    pub report: ReportOptions,
    /// Who is told.
    #[command(flatten)]
    pub hooks: HookOptions,
    /// Something else than a backfill at once
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Something else than a backfill at once.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// A backfill where one is due, else nothing: for jobs that run every few minutes
    Trigger(TriggerOptions),
    /// Show the last report; exit code 1 where the last success is too old
    Status(StatusCommand),
    /// Show which commands would be called, or call them
    Notify(NotifyCommand),
    /// Print the profiles that the local strfry holds, of these pubkeys or of all followed
    Profiles(ProfilesCommand),
    /// Show which friends of the local members amisOfAmis.txt lacks, and add them
    Friends(FriendsCommand),
    /// Look at each thing that the daily run needs, and say what mends it
    Doctor(DoctorOptions),
    /// Say which peers have an event or a key's profile, whether it is here, and why not
    Why(WhyOptions),
    /// Gather in one file what a maintainer needs; it is sent nowhere
    Bugreport(BugreportOptions),
    /// Put the scripts and the policy in place; with --systemd, a timer
    Install(InstallOptions),
    /// Put back what was there before the install
    Uninstall(UninstallOptions),
}

/// A list of kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kinds(pub Vec<u16>);

pub(crate) fn parse_address(text: &str) -> Result<Address, AddressError> {
    Address::parse(text)
}

fn parse_kinds(text: &str) -> Result<Kinds, ParseIntError> {
    let numbers = text.split([',', ' ']).filter(|number| !number.is_empty());
    let mut numbers = numbers.map(str::parse).collect::<Result<Vec<u16>, _>>()?;
    numbers.sort_unstable();
    numbers.dedup();
    if numbers.is_empty() {
        // Says that a number is missing.
        "".parse::<u16>()?;
    }
    Ok(Kinds(numbers))
}

impl Options {
    /// What the command line and the environment say; ends the program where they make no
    /// sense, or where help is wanted.
    pub fn from_command_line() -> Self {
        let matches = Self::definition().get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    /// Every option holds before and behind a subcommand.
    pub fn definition() -> clap::Command {
        Self::command().mut_args(|argument| argument.global(true))
    }

    /// What was asked of the trigger, where it is called.
    pub const fn trigger(&self) -> Option<&TriggerOptions> {
        match &self.command {
            Some(Command::Trigger(options)) => Some(options),
            _ => None,
        }
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

    /// The ipfs program.
    pub fn ipfs_program(&self) -> PathBuf {
        let given = self.ipfs.clone();
        // A variable that is set to nothing counts as none.
        given
            .filter(|path| !path.as_os_str().is_empty())
            .unwrap_or_else(|| PathBuf::from("ipfs"))
    }

    /// Where figures for Prometheus go; a variable that is set to nothing counts as none.
    pub fn metrics_file(&self) -> Option<&Path> {
        let file = self.report.metrics.as_deref();
        file.filter(|path| !path.as_os_str().is_empty())
    }

    /// The oldest time that every peer is asked for at `now`, Unix seconds.
    pub fn since(&self, now: u64) -> u64 {
        History::default().since(now, now, self.reach())
    }

    /// How far back peers are asked.
    pub const fn reach(&self) -> Reach {
        Reach {
            days: self.days,
            most_days: self.max_days,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &[&str]) -> Options {
        Options::try_parse_from([&["constellation-sync"], arguments].concat()).unwrap()
    }

    #[test]
    fn the_original_s_options_hold() {
        let given = options(&["--days", "7", "-v", "--no-dms", "--verify", "--DRYRUN"]);
        assert!(given.verbose && given.no_dms && given.verify && given.dry_run);
        assert_eq!((given.days, given.max_days), (7, 30));
        assert_eq!(options(&[]).days, 1);
    }

    #[test]
    fn the_backfill_s_options_pass_through_the_trigger() {
        let given = |arguments: &str| {
            let words = format!("constellation-sync {arguments}");
            let matches = Options::definition().try_get_matches_from(words.split(' '));
            Options::from_arg_matches(&matches.unwrap()).unwrap()
        };
        for arguments in [
            "trigger --days 3 --interval 30 --no-dms --zen /zen",
            "--zen /zen --days 3 trigger --no-dms --interval 30",
            "--days 3 --no-dms --zen /zen trigger --interval 30",
        ] {
            let options = given(arguments);
            assert_eq!((options.days, options.no_dms), (3, true), "{arguments}");
            assert_eq!(options.zen, Some(PathBuf::from("/zen")), "{arguments}");
            assert_eq!(options.trigger().unwrap().interval, 30, "{arguments}");
        }
        let usual = given("trigger");
        assert_eq!((usual.days, usual.trigger().unwrap().interval), (1, 60));
        assert!(given("--days 3").trigger().is_none());
    }

    #[test]
    fn kinds_are_the_table_s_unless_told() {
        assert_eq!(options(&[]).wanted_kinds().len(), 20);
        assert_eq!(options(&["--no-dms"]).wanted_kinds().len(), 19);
        assert_eq!(options(&["--kinds", "7,1, 1"]).wanted_kinds(), [1, 7]);
        assert_eq!(options(&["--kinds", "1,4", "--no-dms"]).wanted_kinds(), [1]);
        for wrong in ["", "x", "70000", "-1"] {
            let arguments = ["constellation-sync", "--kinds", wrong];
            assert!(Options::try_parse_from(arguments).is_err(), "{wrong}");
        }
    }
}
