//! `constellation-sync completions`: what a shell needs to complete commands and options.

use clap::Args;
use clap_complete::Shell;

/// `constellation-sync completions`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
#[command(after_help = "\
The Debian package brings them along.

Examples:
  source <(constellation-sync completions bash)       in ~/.bashrc
  constellation-sync completions fish | source        in config.fish

Exit code: 0.")]
pub struct CompletionsOptions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}
