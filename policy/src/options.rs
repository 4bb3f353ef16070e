//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{BoolishValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Arg, Args, Parser, Subcommand};
use constellation_shared::Station;
use constellation_shared::settings::{ListSettings, PolicySettings, grace, timeout};
use constellation_shared::station::NoRoot;
use constellation_shared::verdict::Strangers;
use tracing::level_filters::LevelFilter;

/// A write policy for strfry: everyone may write except the keys on the blacklist
///
/// With --strangers filters, who is in no list may write only what a filter of the station accepts.
///
/// A key on the blacklist (blacklist.txt) may write after all if it is a friend of a friend
/// (amisOfAmis.txt) or a local member. It is then also removed from the blacklist.
///
/// strfry starts this program itself. It reads one JSON request per line from stdin and writes
/// one JSON answer per line to stdout. Everything else is logged to stderr.
#[derive(Debug, Parser)]
#[command(
    name = "constellation-policy",
    version,
    after_help = EXAMPLES,
    after_long_help = LONG_HELP,
    mut_args = |option: Arg| option.hide_env(true)
)]
pub struct Options {
    /// The files that decide who may write.
    #[command(flatten)]
    pub lists: ListOptions,
    /// Leave the lines of friends and members in the blacklist when they write
    ///
    /// Friends and members on the blacklist may write either way. Without this option, their
    /// lines are removed from the blacklist when they do.
    #[arg(
        long,
        env = "CONSTELLATION_NO_REMOVE",
        help_heading = ANSWERS,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "BOOL",
        hide_possible_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub no_remove: Option<bool>,
    /// Tell blocked authors that their events were accepted
    ///
    /// Their events are not written, but they are told that they were. Without this option,
    /// they are told that they are blocked.
    #[arg(
        long,
        env = "CONSTELLATION_SHADOW",
        help_heading = ANSWERS,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "BOOL",
        hide_possible_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub shadow: Option<bool>,
    /// Also ask the filters in this folder: DIR/KIND.sh for events of that kind
    ///
    /// The executable DIR/KIND.sh (1.sh, 30023.sh) is asked about each event of that kind whose
    /// author is not blocked. Its first argument is the line that strfry wrote. If it exits with
    /// 0, the event is accepted.
    #[arg(
        long,
        value_name = "DIR",
        env = "CONSTELLATION_FILTERS",
        help_heading = FILTERS,
        hide_env = true,
        global = true
    )]
    pub filters: Option<PathBuf>,
    /// Reject the event if a filter takes longer than this [default: 5]
    #[arg(
        long,
        value_name = "SECONDS",
        env = "CONSTELLATION_FILTER_TIMEOUT",
        hide_short_help = true,
        help_heading = FILTERS,
        value_parser = timeout
    )]
    pub filter_timeout: Option<Duration>,
    /// Let a filter that takes too long go on for this long before it is killed [default: 0]
    ///
    /// Its event is rejected either way. At most 4 such filters go on at the same time; others are
    /// killed at once.
    #[arg(
        long,
        value_name = "SECONDS",
        env = "CONSTELLATION_FILTER_GRACE",
        hide_short_help = true,
        help_heading = FILTERS,
        value_parser = grace
    )]
    pub filter_grace: Option<Duration>,
    /// How much to log: off, error, warn, info or debug [default: info]
    ///
    /// The log goes to stderr, and from there to strfry's log. Each level includes those before
    /// it.
    #[arg(
        long,
        value_name = "LEVEL",
        env = "CONSTELLATION_LOG",
        hide_env = true,
        global = true
    )]
    pub log: Option<LevelFilter>,
    /// What to do instead of answering strfry.
    #[command(subcommand)]
    pub command: Option<Command>,
}

const LISTS: &str = "Lists";
const ANSWERS: &str = "Answers";
const FILTERS: &str = "Filters";

const EXAMPLES: &str = "\
Examples:
  relay { writePolicy { plugin = \"/usr/local/bin/constellation-policy\" } }
                                        have strfry use it (in strfry.conf)
  constellation-policy explain npub1…   show why a key is blocked
";

const LONG_HELP: &str = "\
Examples:
  relay { writePolicy { plugin = \"/usr/local/bin/constellation-policy\" } }
                                        have strfry use it (in strfry.conf)
  constellation-policy explain npub1…   show why a key is blocked
  constellation-policy < requests       answer requests by hand, as for strfry

Every option can also be set in strfry/constellation.toml, in its table [lists] or [policy], and by an \
environment variable named after it, such as CONSTELLATION_NO_SWARM=1 for --no-swarm. The command line \
wins over the environment, and that over the file.

A change to that file or to one of the station's own lists takes effect within a second, without a \
restart.

Exit code: 0 at the end of the input, 2 if the policy cannot start or cannot read on.
";

impl Options {
    /// What the command line and the environment say of the policy, besides the lists.
    pub fn policy(&self) -> PolicySettings {
        PolicySettings {
            filters: self.filters.clone(),
            filter_timeout: self.filter_timeout,
            filter_grace: self.filter_grace,
            no_remove: self.no_remove,
            shadow: self.shadow,
            log: self.log.map(|level| level.to_string()),
        }
    }
}

/// What the program can do besides answering strfry.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show which lists and lines a key is in, and what it may write
    ///
    /// It only reads: no list is changed, and no filter is run. If --strangers and --filters are not
    /// given, the rule of the policy that strfry has started counts, if there is one.
    #[command(
        mut_args = |option: Arg| option.hide_env(true),
        after_help = "\
Examples:
  constellation-policy explain npub1…
  constellation-policy explain npub1… --kind 30023
                                        show whether it may write articles
  sudo -u strfry constellation-policy --zen /home/captain/.zen explain 3bf0c63f…
                                        show what strfry's user sees

Exit code: 0 if all keys may write, 1 if one may not, 2 if one is not a key."
    )]
    Explain {
        /// The keys, as 64 hex digits or npub1…
        #[arg(required = true, value_name = "PUBKEY")]
        pubkeys: Vec<String>,
        /// The kind of the events, for which there may be a filter
        #[arg(long, value_name = "KIND")]
        kind: Option<u64>,
    },
}

/// Options that say where the lists are and which of them count.
#[derive(Debug, Args)]
pub struct ListOptions {
    /// The station's folder [default: ~/.zen]
    #[arg(
        long,
        value_name = "DIR",
        env = "CONSTELLATION_ZEN",
        help_heading = LISTS,
        hide_env = true,
        global = true
    )]
    pub zen: Option<PathBuf>,
    /// Settings file [default: DIR/strfry/constellation.toml]
    #[arg(
        long,
        value_name = "FILE",
        env = "CONSTELLATION_CONFIG",
        hide_short_help = true,
        help_heading = LISTS,
        hide_env = true,
        global = true
    )]
    pub config: Option<PathBuf>,
    /// The list of blocked keys [default: DIR/strfry/blacklist.txt]
    #[arg(
        long,
        value_name = "FILE",
        env = "CONSTELLATION_BLACKLIST",
        help_heading = LISTS,
        hide_env = true,
        global = true
    )]
    pub blacklist: Option<PathBuf>,
    /// A list of friends of friends; may be repeated [default: DIR/strfry/amisOfAmis.txt]
    ///
    /// The keys in it may write even if they are on the blacklist. Repeat the option for several
    /// files, or separate them with colons.
    #[arg(
        long,
        value_name = "FILE",
        env = "CONSTELLATION_AMIS",
        value_delimiter = ':',
        help_heading = LISTS,
        hide_env = true,
        global = true
    )]
    pub amis: Vec<PathBuf>,
    /// Ignore the friends that other stations list
    ///
    /// Those lists are DIR/tmp/swarm/*/amisOfAmis.txt. Without them, only this station's own
    /// friends and members may write although they are on the blacklist.
    #[arg(
        long,
        env = "CONSTELLATION_NO_SWARM",
        help_heading = LISTS,
        hide_env = true,
        hide_possible_values = true,
        global = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "BOOL",
        value_parser = BoolishValueParser::new()
    )]
    pub no_swarm: Option<bool>,
    /// What authors may write who are in no list: accept (everything) or filters
    ///
    /// With filters, an author who is no member, no friend, and no node or captain of a station may
    /// write only events for whose kind there is a filter (--filters) that accepts them.
    #[arg(
        long,
        value_name = "RULE",
        env = "CONSTELLATION_STRANGERS",
        help_heading = LISTS,
        hide_env = true,
        hide_possible_values = true,
        global = true,
        value_parser = PossibleValuesParser::new(["accept", "filters"])
            .try_map(|rule| rule.parse::<Strangers>())
    )]
    pub strangers: Option<Strangers>,
}

/// The station, and what the command line and the environment say about its lists.
#[derive(Debug)]
pub struct Located {
    /// The station.
    pub station: Station,
    /// The settings of its lists, as far as they are given.
    pub settings: ListSettings,
}

impl ListOptions {
    /// Locates the station and gathers what is said about its lists.
    ///
    /// # Errors
    /// [`NoRoot`] if neither an option nor the variable `HOME` says where the station is.
    pub fn locate(self) -> Result<Located, NoRoot> {
        let station = Station::locate(self.zen, std::env::var_os("HOME"))?;
        let station = station.with_settings_file(self.config);
        let settings = ListSettings {
            blacklist: self.blacklist,
            amis: Some(self.amis).filter(|amis| !amis.is_empty()),
            swarm: self.no_swarm.map(|no_swarm| !no_swarm),
            strangers: self.strangers,
        };
        Ok(Located { station, settings })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_options_that_are_given_set_something() {
        let given = |arguments: &[&str]| {
            let arguments = [&["constellation-policy", "--zen", "/zen"], arguments].concat();
            let options = Options::try_parse_from(arguments).unwrap();
            options.lists.locate().unwrap().settings
        };
        assert_eq!(given(&["--no-swarm"]).swarm, Some(false));
        assert_eq!(given(&["--no-swarm=false"]).swarm, Some(true));
        let lists = given(&["--amis", "/a:/b", "--amis", "/c"]);
        assert_eq!(
            lists.amis,
            Some(["/a", "/b", "/c"].map(PathBuf::from).to_vec())
        );
        assert_eq!((lists.blacklist, lists.swarm), (None, None));
        assert_eq!(lists.strangers, None);
        let rule = given(&["--strangers", "filters"]).strangers;
        assert_eq!(rule, Some(Strangers::Filters));
        let wrong = ["constellation-policy", "--strangers", "reject"];
        assert!(Options::try_parse_from(wrong).is_err());
    }
}
