//! The command line.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use constellation_shared::settings::keys::table_of;

use crate::commands::bugreport::BugreportOptions;
use crate::commands::completions::CompletionsOptions;
use crate::commands::config::options::ConfigOptions;
use crate::commands::doctor::DoctorOptions;
use crate::commands::install::options::{InstallOptions, UninstallOptions};
use crate::commands::live::LiveOptions;
use crate::commands::members::{FriendsCommand, ProfilesCommand};
use crate::commands::notify::NotifyCommand;
use crate::commands::report::ReportCommand;
use crate::commands::status::StatusCommand;
use crate::commands::trigger::TriggerOptions;
use crate::commands::why::WhyOptions;
use crate::options::Options;

const EXAMPLES: &str = "\
Examples:
  constellation-sync                     fetch the last day from the swarm
  constellation-sync --days 7 --dry-run  show what would be done";

const LONG_HELP: &str = "\
Examples:
  constellation-sync             fetch the last day from the stations of the swarm
  constellation-sync --days 0    fetch everything that there ever was
  constellation-sync --dry-run   show what would be done
  constellation-sync --peer wss://relay.example.org --days 7 -v

Each option can also be set in strfry/constellation.toml (`constellation-sync
config` shows the settings, `config --edit` opens the file), and by an environment
variable: CONSTELLATION_DAYS=7 stands for --days 7. The command line wins over the
environment, and that over the file.

Exit codes:
  0    every peer was synced, or another instance is running
  1    some peers could not be synced completely
  2    wrong usage or configuration
  3    nothing could be done
  130  interrupted

Logs, in DIR/strfry: constellation-backfill.log (this run) and
constellation-backfill.error.log (warnings and errors of all runs).";

/// Brings this station's strfry up to date with its constellation.
///
/// Asks the other stations for the events of the followed keys, verifies what comes, and feeds what is
/// genuine and wanted to `strfry import`.
#[derive(Debug, Clone, Parser)]
#[command(name = "constellation-sync", version)]
#[command(after_help = EXAMPLES, after_long_help = LONG_HELP)]
pub struct Cli {
    /// The options of the backfill and of all commands
    #[command(flatten)]
    pub options: Options,
    /// The command; without one, a backfill is run at once
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands besides the backfill itself.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Run a backfill if one is due; for jobs that run every few minutes
    Trigger(TriggerOptions),
    /// Keep the station level all the time, as a service
    Live(LiveOptions),
    /// Show the last report; exit code 1 if the last success is too old
    Status(StatusCommand),
    /// Print the summary of the last run, and where its page is
    Report(ReportCommand),
    /// Show which commands tell the captain of failures; test them
    Notify(NotifyCommand),
    /// Print the profiles that the local strfry holds
    Profiles(ProfilesCommand),
    /// Show the members' friends that amisOfAmis.txt lacks, or add them
    Friends(FriendsCommand),
    /// Check all that a run needs, and show how to repair what is wrong
    Doctor(DoctorOptions),
    /// Explain whether an event is here or a key followed, and why not
    Why(WhyOptions),
    /// Show the settings and where each comes from, or edit them
    Config(ConfigOptions),
    /// Print what a shell needs to complete commands and options
    Completions(CompletionsOptions),
    /// Gather in one file what a maintainer needs; nothing is sent
    Bugreport(BugreportOptions),
    /// Install the scripts and the policy; with --systemd, a timer
    Install(InstallOptions),
    /// Restore what was there before the installation
    Uninstall(UninstallOptions),
}

/// Options that stand under one heading in the help.
struct Group {
    heading: &'static str,
    /// The options that `-h` shows.
    common: &'static [&'static str],
    /// The options that only `--help` shows, as they are rarely changed.
    rare: &'static [&'static str],
}

const GROUPS: [Group; 6] = [
    Group {
        heading: "What to fetch",
        common: &["days"],
        rare: &["sweep", "max_days", "kinds", "any_author_kinds", "no_dms"],
    },
    Group {
        heading: "Whom to ask",
        common: &[],
        rare: &[
            "peer",
            "max_peers",
            "allow_private_peers",
            "no_negentropy",
            "ipfs",
            "ipfs_api",
            "ca_file",
            "fallback_relay",
            "no_fallback",
        ],
    },
    Group {
        heading: "What to let in, and how long to wait",
        common: &[],
        rare: &[
            "blacklist",
            "amis",
            "no_swarm",
            "verify",
            "trust_peers",
            "patience",
            "max_minutes",
            "strfry_patience",
        ],
    },
    Group {
        heading: "Members and their friends",
        common: &[],
        rare: &[
            "no_profiles",
            "friends",
            "full_sync_parallel",
            "full_sync_keys",
            "full_sync_connections",
            "full_sync_minutes",
            "full_sync_limit",
            "captains",
            "merge_swarm",
            "keep_blocked",
        ],
    },
    Group {
        heading: "Who is told",
        common: &[],
        rare: &[
            "on_failure",
            "on_recovery",
            "on_success",
            "metrics",
            "sync_report",
            "on_failure_after",
            "hook_patience",
        ],
    },
    Group {
        heading: "Look without fetching",
        common: &["dry_run"],
        rare: &["stats", "show_hex", "show_peers"],
    },
];

/// An option as the help shows it.
fn grouped(option: Arg, shows_rare: bool) -> Arg {
    let id = option.get_id().to_string();
    let group = GROUPS
        .iter()
        .find(|group| [group.common, group.rare].concat().contains(&id.as_str()));
    let option = option.hide_env(true);
    match group {
        Some(group) => option
            .help_heading(group.heading)
            .hide_short_help(!shows_rare && group.rare.contains(&id.as_str())),
        None => {
            let is_rare = id == "strfry";
            option.hide_short_help(is_rare)
        }
    }
}

/// A flag that is a setting, which may be given `=true` or `=false`.
fn with_value(option: Arg) -> Arg {
    let is_setting = option
        .get_long()
        .is_some_and(|name| table_of(name).is_some());
    if !is_setting || !matches!(option.get_action(), ArgAction::SetTrue) {
        return option;
    }
    option
        .action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .default_value("false")
        .hide_default_value(true)
        .hide_possible_values(true)
        .value_name("BOOL")
}

/// `-h` of a command that takes at most this many options of the backfill shows all of them.
const FEW_OPTIONS: usize = 4;

/// The options that every command takes.
const OF_ALL: [&str; 5] = ["zen", "config", "strfry", "json", "verbose"];

/// The options for the lists, which every command takes that reads the lists.
const OF_LISTS: [&str; 3] = ["blacklist", "amis", "no_swarm"];

/// The commands that do not read the lists.
const WITHOUT_LISTS: [&str; 6] = [
    "status",
    "report",
    "notify",
    "install",
    "uninstall",
    "completions",
];

/// The options of the backfill that a command takes besides [`OF_ALL`]; `None` for all of them.
fn taken_by(command: &str) -> Option<&'static [&'static str]> {
    Some(match command {
        "trigger" | "live" | "config" => return None,
        "doctor" | "bugreport" => &[
            "peer",
            "allow_private_peers",
            "kinds",
            "any_author_kinds",
            "no_dms",
            "ca_file",
            "ipfs",
            "ipfs_api",
            "strfry_patience",
        ],
        "why" => &[
            "peer",
            "allow_private_peers",
            "days",
            "sweep",
            "max_days",
            "kinds",
            "any_author_kinds",
            "no_dms",
            "ca_file",
            "ipfs",
            "ipfs_api",
            "strfry_patience",
        ],
        "profiles" => &["strfry_patience"],
        "friends" => &[
            "captains",
            "merge_swarm",
            "keep_blocked",
            "dry_run",
            "strfry_patience",
        ],
        "notify" => &[
            "on_failure",
            "on_recovery",
            "on_success",
            "on_failure_after",
            "hook_patience",
        ],
        "install" | "uninstall" => &["dry_run"],
        _ => &[],
    })
}

/// Whether a command takes this option of the backfill.
fn takes(command: &str, option: &str) -> bool {
    let is_about_lists = OF_LISTS.contains(&option) && !WITHOUT_LISTS.contains(&command);
    OF_ALL.contains(&option)
        || is_about_lists
        || taken_by(command).is_none_or(|taken| taken.contains(&option))
}

impl Cli {
    /// Parses a command line, whose first word is the program.
    ///
    /// # Errors
    /// A message for the terminal, if the command line makes no sense or asks for help.
    pub fn parse_arguments<T: Into<OsString> + Clone>(
        words: impl IntoIterator<Item = T>,
    ) -> Result<Self, clap::Error> {
        let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
        Self::from_matches(&Self::matches(&words)?)
    }

    /// What was found on a command line and in the environment.
    ///
    /// # Errors
    /// Those of the definition, which is then at fault.
    pub(crate) fn from_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut cli = Self::from_arg_matches(matches)?;
        if let (Some(Command::Trigger(options)), Some((_, given))) =
            (&mut cli.command, matches.subcommand())
        {
            let is_typed = given.value_source("now") == Some(ValueSource::CommandLine);
            options.is_demanded = is_typed && options.now;
        }
        Ok(cli)
    }

    /// What a command line, whose first word is the program, and the environment say.
    ///
    /// # Errors
    /// A message for the terminal, if the command line makes no sense or asks for help.
    pub(crate) fn matches(words: &[OsString]) -> Result<ArgMatches, clap::Error> {
        let mut definition = Self::exact_definition();
        let matches = match definition.try_get_matches_from_mut(words) {
            // The help shows flags without the value that they may be given.
            Err(error) if !error.use_stderr() => {
                return Self::definition().try_get_matches_from_mut(words);
            }
            matches => matches?,
        };
        if let Some((name, given)) = matches.subcommand()
            && let Some(option) = Self::foreign_option(&definition, name, given)
        {
            let message = format!(
                "`{name}` does not take {option}; `constellation-sync {name} --help` shows what it takes"
            );
            return Err(definition.error(ErrorKind::UnknownArgument, message));
        }
        Ok(matches)
    }

    /// An option on the command line that this command does not take.
    fn foreign_option(
        definition: &clap::Command,
        command: &str,
        given: &ArgMatches,
    ) -> Option<String> {
        let options = definition
            .get_arguments()
            .filter(|option| option.is_global_set());
        let mut foreign = options.filter(|option| {
            !takes(command, option.get_id().as_str())
                && given.value_source(option.get_id().as_str()) == Some(ValueSource::CommandLine)
        });
        let option = foreign.next()?;
        Some(format!("--{}", option.get_long()?))
    }

    /// The definition of the command line. An option may stand before and behind the command that
    /// takes it, and each command shows only what it takes.
    pub fn definition() -> clap::Command {
        Self::definition_of(Self::command())
    }

    /// The definition by which a command line is parsed: a flag may be given `=true` or `=false`, so
    /// that the command line can take back what the environment or the settings file says.
    pub(crate) fn exact_definition() -> clap::Command {
        Self::definition_of(Self::command().mut_args(with_value))
    }

    fn definition_of(command: clap::Command) -> clap::Command {
        let mut definition = command
            .mut_args(|option| grouped(option.global(true), false))
            .mut_subcommands(|command| command.mut_args(|option| option.hide_env(true)));
        let options: Vec<Arg> = definition.get_arguments().cloned().collect();
        let names: Vec<String> = definition
            .get_subcommands()
            .map(|command| command.get_name().to_owned())
            .collect();
        for name in names {
            // An option that the command does not take is still defined, so that it is refused with
            // a message that says so.
            let adapted = options.iter().cloned().filter_map(|option| {
                let is_of_all = OF_ALL.contains(&option.get_id().as_str());
                if name == "config" && !is_of_all {
                    // It takes all of them, and lists them itself.
                    return Some(option.hide(true));
                }
                if !takes(&name, option.get_id().as_str()) {
                    return Some(option.hide(true));
                }
                let taken = taken_by(&name)?;
                Some(grouped(option, taken.len() <= FEW_OPTIONS))
            });
            let adapted: Vec<Arg> = adapted.collect();
            definition = definition.mut_subcommand(name, |command| command.args(adapted));
        }
        definition
    }

    /// The options of the trigger, if that is the command.
    pub const fn trigger(&self) -> Option<&TriggerOptions> {
        match &self.command {
            Some(Command::Trigger(options)) => Some(options),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;

    fn options(arguments: &[&str]) -> Options {
        cli(arguments).unwrap().options
    }

    fn cli(arguments: &[&str]) -> Result<Cli, clap::Error> {
        Cli::parse_arguments([&["constellation-sync"], arguments].concat())
    }

    #[test]
    fn every_option_has_its_place_in_the_help() {
        let definition = Cli::definition();
        for option in definition.get_arguments() {
            let id = option.get_id().as_str();
            let is_placed =
                OF_ALL.contains(&id) || id == "quiet" || option.get_help_heading().is_some();
            assert!(is_placed, "{id} is in no group");
        }
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
        let given = |arguments: &str| cli(&arguments.split(' ').collect::<Vec<_>>()).unwrap();
        for arguments in [
            "trigger --days 3 --interval 30 --no-dms --zen /zen",
            "--zen /zen --days 3 trigger --no-dms --interval 30",
            "--days 3 --no-dms --zen /zen trigger --interval 30",
        ] {
            let Cli { options, command } = given(arguments);
            let Some(Command::Trigger(trigger)) = command else {
                panic!("{arguments}");
            };
            assert_eq!((options.days, options.no_dms), (3, true), "{arguments}");
            assert_eq!(options.zen, Some(PathBuf::from("/zen")), "{arguments}");
            assert_eq!(trigger.interval, 30, "{arguments}");
        }
        let usual = given("trigger");
        assert_eq!(
            (usual.options.days, usual.trigger().unwrap().interval),
            (1, 60)
        );
        assert!(given("--days 3").trigger().is_none());
    }

    #[test]
    fn a_run_ends_within_the_hour_unless_told() {
        let limit = |arguments: &[&str]| options(arguments).max_minutes.0;
        assert_eq!(limit(&[]), Some(Duration::from_secs(55 * 60)));
        assert_eq!(limit(&["--max-minutes", "0"]), None);
        let half = limit(&["--max-minutes", "0.5"]);
        assert_eq!(half, Some(Duration::from_secs(30)));
        for wrong in ["", "x", "-1", "nan", "inf", "1e300"] {
            let arguments = ["constellation-sync", "--max-minutes", wrong];
            assert!(Cli::parse_arguments(arguments).is_err(), "{wrong}");
        }
    }

    #[test]
    fn kinds_are_the_table_s_unless_told() {
        assert_eq!(options(&[]).wanted_kinds().len(), 20);
        assert_eq!(options(&["--no-dms"]).wanted_kinds().len(), 19);
        assert_eq!(options(&["--kinds", "7,1, 1"]).wanted_kinds(), [1, 7]);
        assert_eq!(options(&["--kinds", "1,4", "--no-dms"]).wanted_kinds(), [1]);
        assert_eq!(options(&["--kinds", "-4"]).wanted_kinds().len(), 19);
        assert_eq!(options(&["--kinds", "+9,uplanet"]).wanted_kinds().len(), 58);
        assert_eq!(options(&[]).any_author_kinds(), [0; 0]);
        let any_author = ["--any-author-kinds", "30850,4", "--no-dms"];
        assert_eq!(options(&any_author).any_author_kinds(), [30_850]);
        for wrong in ["", "x", "70000", "-x", "4,-4"] {
            assert!(cli(&["--kinds", wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_command_takes_and_shows_only_its_own_options() {
        for (arguments, is_taken) in [
            ("uninstall --days 3", false),
            ("--days 3 uninstall", false),
            ("uninstall --dry-run --zen /zen", true),
            ("--dry-run uninstall", true),
            ("doctor --peer ws://a", true),
            ("doctor --friends", false),
            ("status --json", true),
            ("status --no-dms", false),
            ("friends --write --captains", true),
            (
                "why --days 7 0000000000000000000000000000000000000000000000000000000000000001",
                true,
            ),
        ] {
            let words: Vec<&str> = arguments.split(' ').collect();
            assert_eq!(cli(&words).is_ok(), is_taken, "{arguments}");
        }
        let shown = |command: &str| cli(&[command, "--help"]).unwrap_err().to_string();
        assert!(!shown("uninstall").contains("--days"));
        assert!(shown("uninstall").contains("--dry-run"));
        assert!(shown("trigger").contains("--days"));
    }

    #[test]
    fn every_option_that_a_command_takes_exists() {
        let definition = Cli::definition();
        let exists = |id: &&str| {
            definition
                .get_arguments()
                .any(|option| option.get_id() == *id)
        };
        assert!(OF_ALL.iter().all(exists));
        for command in definition.get_subcommands() {
            for id in taken_by(command.get_name()).unwrap_or_default() {
                assert!(exists(id), "{} {id}", command.get_name());
            }
        }
        for group in GROUPS {
            assert!([group.common, group.rare].concat().iter().all(exists));
        }
    }

    #[test]
    fn the_short_help_of_each_command_fits_on_a_screen() {
        let definition = Cli::definition();
        let commands = definition.get_subcommands().map(clap::Command::get_name);
        for command in commands.map(Some).chain([None]) {
            let words = ["constellation-sync"].into_iter().chain(command);
            let mut definition = Cli::definition().term_width(80);
            let help = definition.try_get_matches_from_mut(words.chain(["-h"]));
            let help = help.unwrap_err().to_string();
            let lines = help.lines().count();
            assert!(lines <= 40, "{lines} lines:\n{help}");
        }
    }
}
