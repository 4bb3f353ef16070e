//! What an install can be told.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;

/// `constellation-sync install`
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = "\
Run it as the user whose station it is. The scripts in workspace/NIP-101 stay in place over
`git pull`, and its status stays clean. The policy takes the place of the plugin there, which
strfry.conf names on most stations; with --write-conf, that line is changed instead.

Examples:
  constellation-sync install --dry-run       what would be changed
  constellation-sync install                 scripts and policy
  constellation-sync install --write-conf    the policy by the line in strfry.conf
  sudo constellation-sync install --systemd --zen ~/.zen
                                             a timer, for stations without _12345.sh

Exit codes: 0 all is in place; 1 it is, but the policy is not in force, as said; 2 nothing
could be done, or not all of it.")]
pub struct InstallOptions {
    /// Change the plugin line of strfry.conf, and leave the plugin in workspace/NIP-101 alone
    #[arg(long, env = "CONSTELLATION_WRITE_CONF", value_parser = BoolishValueParser::new())]
    pub write_conf: bool,
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
Puts back what was there before the install, byte for byte. What others changed since is
named and left alone.

Examples:
  constellation-sync uninstall --dry-run
  constellation-sync uninstall
  sudo constellation-sync uninstall --systemd --zen ~/.zen

Exit codes: 0 all is as it was before; 1 something was left alone, as said; 2 nothing could be
done, or not all of it.")]
pub struct UninstallOptions {
    /// The systemd service and timer.
    #[command(flatten)]
    pub units: UnitOptions,
}

/// The systemd service and timer.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct UnitOptions {
    /// The systemd service and timer, and nothing else; as root
    #[arg(long, env = "CONSTELLATION_SYSTEMD", value_parser = BoolishValueParser::new())]
    pub systemd: bool,
    /// Where the units are written
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/etc/systemd/system",
        env = "CONSTELLATION_UNIT_DIR"
    )]
    pub unit_dir: PathBuf,
}
