//! What the plugin can be told on its command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand};
use constellation_shared::Station;
use constellation_shared::settings::ListSettings;
use constellation_shared::station::NoRoot;
use tracing::level_filters::LevelFilter;

/// Write-policy plugin for strfry: everyone may write, but for the keys of blacklist.txt;
/// a blacklisted key that is a friend of a friend (amisOfAmis.txt) or a local member is
/// let in, and leaves the blacklist.
#[derive(Debug, Parser)]
#[command(
    name = "constellation-policy",
    version,
    args_conflicts_with_subcommands = false
)]
#[command(after_help = "\
Examples:
  relay { writePolicy { plugin = \"/usr/local/bin/constellation-policy\" } }    in strfry.conf
  echo '{\"type\":\"new\",\"event\":{\"id\":\"x\",\"pubkey\":\"<64 hex>\"}}' | constellation-policy
  constellation-policy explain npub1…                                         why is it blocked?

Lists are read again when they change, within a second; no restart is needed.")]
pub struct Options {
    /// Which files decide
    #[command(flatten)]
    pub lists: ListOptions,
    /// Let friends and members in, but leave their lines in the blacklist
    #[arg(long, env = "CONSTELLATION_NO_REMOVE", value_parser = BoolishValueParser::new())]
    pub no_remove: bool,
    /// Tell blocked authors that their events were accepted
    #[arg(long, env = "CONSTELLATION_SHADOW", value_parser = BoolishValueParser::new())]
    pub shadow: bool,
    /// Run DIR/KIND.sh for the events of that kind whose author may write: exit 0 lets them in
    #[arg(long, value_name = "DIR", env = "CONSTELLATION_FILTERS")]
    pub filters: Option<PathBuf>,
    /// How long a filter may take, in seconds: then it is killed and the event rejected
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "5",
        env = "CONSTELLATION_FILTER_TIMEOUT",
        value_parser = seconds
    )]
    pub filter_timeout: Duration,
    /// What goes to stderr, and so to strfry's log: off, error, warn, info, debug
    #[arg(
        long,
        value_name = "LEVEL",
        default_value = "info",
        env = "CONSTELLATION_LOG",
        global = true
    )]
    pub log: LevelFilter,
    /// What to do instead of answering strfry
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// A time that somebody may wait for, an hour at the most.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| *seconds <= 3600.0);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|time| !time.is_zero())
        .ok_or_else(|| "not a number of seconds above 0, at most 3600".to_owned())
}

/// What the plugin can do besides answering.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say which lists and lines a key stands in, and the verdict (exit 0 allow, 1 block)
    #[command(after_help = "\
Examples:
  constellation-policy explain npub1…
  sudo -u strfry constellation-policy --zen /home/captain/.zen explain 3bf0c63f…    as strfry sees it

Exit code: 0 where all of them may write, 1 where one is blocked, 2 where one is no key.")]
    Explain {
        /// Keys as hex or npub
        #[arg(required = true, value_name = "PUBKEY")]
        pubkeys: Vec<String>,
    },
}

/// Which files decide.
#[derive(Debug, Args)]
pub struct ListOptions {
    /// The station's folder [default: ~/.zen]
    #[arg(long, value_name = "DIR", env = "CONSTELLATION_ZEN", global = true)]
    pub zen: Option<PathBuf>,
    /// The blocked keys [default: DIR/strfry/blacklist.txt]
    #[arg(
        long,
        value_name = "FILE",
        env = "CONSTELLATION_BLACKLIST",
        global = true
    )]
    pub blacklist: Option<PathBuf>,
    /// Friends of friends, several times for several files [default: DIR/strfry/amisOfAmis.txt]
    #[arg(
        long,
        value_name = "FILE",
        env = "CONSTELLATION_AMIS",
        value_delimiter = ':',
        global = true
    )]
    pub amis: Vec<PathBuf>,
    /// Let the friends of other stations (DIR/tmp/swarm/*/amisOfAmis.txt) not count
    #[arg(
        long,
        env = "CONSTELLATION_NO_SWARM",
        global = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "BOOL",
        value_parser = BoolishValueParser::new()
    )]
    pub no_swarm: Option<bool>,
}

impl ListOptions {
    /// The station, and what these options say of its lists.
    ///
    /// # Errors
    /// [`NoRoot`] where neither an option nor HOME says where the station is.
    pub fn station(self) -> Result<(Station, ListSettings), NoRoot> {
        let station = Station::locate(self.zen, std::env::var_os("HOME"))?;
        let settings = ListSettings {
            blacklist: self.blacklist,
            amis: Some(self.amis).filter(|amis| !amis.is_empty()),
            swarm: self.no_swarm.map(|no_swarm| !no_swarm),
        };
        Ok((station, settings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_more_than_nothing_and_an_hour_at_the_most() {
        for (text, milliseconds) in [("0.5", 500), ("30", 30_000), ("3600", 3_600_000)] {
            assert_eq!(
                seconds(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for text in ["0", "-1", "3600.1", "1e99", "NaN", "inf", "soon", ""] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn options_say_what_they_are_given_and_nothing_else() {
        let given = |arguments: &[&str]| {
            let arguments = [&["constellation-policy", "--zen", "/zen"], arguments].concat();
            let options = Options::try_parse_from(arguments).unwrap();
            options.lists.station().unwrap().1
        };
        assert_eq!(given(&["--no-swarm"]).swarm, Some(false));
        assert_eq!(given(&["--no-swarm=false"]).swarm, Some(true));
        let lists = given(&["--amis", "/a:/b", "--amis", "/c"]);
        assert_eq!(
            lists.amis,
            Some(["/a", "/b", "/c"].map(PathBuf::from).to_vec())
        );
        assert_eq!((lists.blacklist, lists.swarm), (None, None));
    }
}
