//! The options for commands that tell the captain of failures.

use std::time::Duration;

use clap::Args;

/// The commands that a run calls when it keeps failing, when it succeeds again, and at every success.
#[derive(Debug, Clone, Args)]
pub struct HookOptions {
    /// Call this command (sh -c) when several runs in a row have failed, at most once a day
    #[arg(long, value_name = "CMD", env = "CONSTELLATION_ON_FAILURE")]
    pub on_failure: Option<String>,
    /// Call this command (sh -c) when a run succeeds again after that
    #[arg(long, value_name = "CMD", env = "CONSTELLATION_ON_RECOVERY")]
    pub on_recovery: Option<String>,
    /// Call this command (sh -c) after every run that succeeds, as a service expects that watches from outside
    #[arg(long, value_name = "CMD", env = "CONSTELLATION_ON_SUCCESS")]
    pub on_success: Option<String>,
    /// Call --on-failure only after this many failed runs in a row
    #[arg(
        long,
        value_name = "N",
        default_value_t = 3,
        value_parser = clap::value_parser!(u32).range(1..),
        env = "CONSTELLATION_ON_FAILURE_AFTER"
    )]
    pub on_failure_after: u32,
    /// Stop these commands after this many seconds
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 60,
        value_parser = clap::value_parser!(u64).range(1..=3600),
        env = "CONSTELLATION_HOOK_PATIENCE"
    )]
    pub hook_patience: u64,
}

impl HookOptions {
    /// How long a command may take.
    pub const fn patience(&self) -> Duration {
        Duration::from_secs(self.hook_patience)
    }
}
