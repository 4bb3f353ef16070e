//! The options of `config`.

use clap::Args;

/// `constellation-sync config`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
#[command(after_help = "\
Examples:
  constellation-sync config          what counts, and where it comes from
  constellation-sync config --edit   change the settings of both programs

Exit code: 0 if the file is right or missing, 1 if something in it is wrong.")]
pub struct ConfigOptions {
    /// Open the settings file in your editor ($VISUAL or $EDITOR), and check it afterwards
    #[arg(long)]
    pub edit: bool,
}
