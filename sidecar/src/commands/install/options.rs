//! The options of `install` and `uninstall`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{BoolishValueParser, PossibleValuesParser, TypedValueParser};
use constellation_shared::verdict::Strangers;

/// `constellation-sync install`
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = "\
Run it as the user who owns the station. The scripts in workspace/NIP-101
survive `git pull`. The policy replaces the plugin there, which strfry.conf
names on most stations. The relay goes on accepting from everyone what it
accepts now, filters included.

Examples:
  constellation-sync install --dry-run       show what would be changed
  sudo constellation-sync install --systemd --zen ~/.zen
                                             a timer, if there is no _12345.sh
  sudo constellation-sync install --live --zen ~/.zen
                                             seconds instead of an hour

Exit codes: 0 all is in place; 1 all is in place, but the policy is not in
force; 2 something could not be done.")]
pub struct InstallOptions {
    /// Change the plugin line of strfry.conf instead of the plugin in workspace/NIP-101
    #[arg(long, env = "CONSTELLATION_WRITE_CONF", value_parser = BoolishValueParser::new())]
    pub write_conf: bool,
    /// What strangers may write: accept (everything) or filters (what a filter accepts) [default:
    /// what the plugin lets them write that the policy replaces]
    ///
    /// It is needed if that plugin is not recognised.
    #[arg(
        long,
        value_name = "RULE",
        env = "CONSTELLATION_STRANGERS",
        hide_possible_values = true,
        value_parser = PossibleValuesParser::new(["accept", "filters"])
            .try_map(|rule| rule.parse::<Strangers>())
    )]
    pub strangers: Option<Strangers>,
    /// The policy [default: constellation-policy beside this program, else on PATH]
    #[arg(long, value_name = "PATH", env = "CONSTELLATION_POLICY")]
    pub policy: Option<PathBuf>,
    /// The systemd service and timer.
    #[command(flatten)]
    pub units: UnitOptions,
}

/// `constellation-sync uninstall`
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = "\
Restores what was there before the installation, byte for byte. What others have
changed since is named and left alone.

Examples:
  constellation-sync uninstall --dry-run
  constellation-sync uninstall
  sudo constellation-sync uninstall --systemd --zen ~/.zen

Exit codes: 0 all is as it was before; 1 something was left alone; 2 something
could not be done.")]
pub struct UninstallOptions {
    /// The systemd service and timer.
    #[command(flatten)]
    pub units: UnitOptions,
}

/// The systemd service and timer.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct UnitOptions {
    /// Only the systemd service and timer; run it as root
    #[arg(long, env = "CONSTELLATION_SYSTEMD", value_parser = BoolishValueParser::new())]
    pub systemd: bool,
    /// Only the systemd service that keeps the station level all the time (`live`); run it as root
    #[arg(long, env = "CONSTELLATION_LIVE_UNIT", value_parser = BoolishValueParser::new(), conflicts_with = "systemd")]
    pub live: bool,
    /// The folder of the systemd units
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/etc/systemd/system",
        env = "CONSTELLATION_UNIT_DIR"
    )]
    pub unit_dir: PathBuf,
}

impl UnitOptions {
    /// Which units are wanted, if only units are.
    pub(crate) fn wanted(&self) -> Option<UnitKind> {
        match (self.systemd, self.live) {
            (_, true) => Some(UnitKind::Live),
            (true, false) => Some(UnitKind::Timer),
            (false, false) => None,
        }
    }
}

/// Which systemd units are set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnitKind {
    /// A timer, and the service that it starts.
    Timer,
    /// The service that keeps the station level all the time.
    Live,
}

impl UnitKind {
    /// The option that asks for it.
    pub(crate) const fn option(self) -> &'static str {
        match self {
            Self::Timer => "--systemd",
            Self::Live => "--live",
        }
    }
}
