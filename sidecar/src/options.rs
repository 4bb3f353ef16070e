//! What the backfill can be told on its command line or by environment variables.

use std::num::ParseIntError;
use std::path::PathBuf;

use clap::Parser;
use constellation_shared::kinds;

use crate::members::options::{Command, MemberOptions};
use crate::relay::address::{Address, AddressError};

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
    /// Every log line on the terminal too, not warnings and errors alone
    #[arg(long, short, env = "CONSTELLATION_VERBOSE", global = true)]
    pub verbose: bool,
    /// Leave out direct messages (kind 4)
    #[arg(long, env = "CONSTELLATION_NO_DMS")]
    pub no_dms: bool,
    /// Have strfry verify once more on import
    #[arg(long, env = "CONSTELLATION_VERIFY")]
    pub verify: bool,
    /// Do not check ids and signatures here; only for peers that are trusted entirely
    #[arg(long, env = "CONSTELLATION_TRUST_PEERS")]
    pub trust_peers: bool,
    /// Say what would be done; nothing is fetched or written
    #[arg(long, alias = "DRYRUN", env = "CONSTELLATION_DRY_RUN")]
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
    /// The strfry binary [default: <DIR>/strfry/strfry]
    #[arg(long, value_name = "PATH", env = "CONSTELLATION_STRFRY", global = true)]
    pub strfry: Option<PathBuf>,
    /// Ask this relay instead of those of the swarm; several times for several
    #[arg(long, value_name = "URL", value_delimiter = ',', value_parser = parse_address, env = "CONSTELLATION_PEER")]
    pub peer: Vec<Address>,
    /// Only these kinds, comma-separated [default: the constellation's 20]
    #[arg(long, value_name = "LIST", value_parser = parse_kinds, env = "CONSTELLATION_KINDS")]
    pub kinds: Option<Kinds>,
    /// Trust the certificate authorities in this file (PEM) instead of the system's
    #[arg(long, value_name = "FILE", env = "CONSTELLATION_CA_FILE")]
    pub ca_file: Option<PathBuf>,
    /// The report as one JSON document on stdout at the end
    #[arg(long, env = "CONSTELLATION_JSON")]
    pub json: bool,
    /// Profiles, full syncs, friends.
    #[command(flatten)]
    pub members: MemberOptions,
    /// Something else than a backfill.
    #[command(subcommand)]
    pub command: Option<Command>,
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

    /// The oldest time that is asked for, in Unix seconds.
    pub const fn since(&self, now: u64) -> u64 {
        match self.days {
            0 => 0,
            days => now.saturating_sub(days.saturating_mul(86_400)),
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
        assert_eq!(given.since(1_000_000), 1_000_000 - 7 * 86_400);
        assert_eq!(options(&["--days", "0"]).since(1_000_000), 0);
        assert_eq!(
            options(&["--days", "18446744073709551615"]).since(1_000_000),
            0
        );
        assert_eq!(options(&[]).days, 1);
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
