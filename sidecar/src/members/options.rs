//! What can be told about profiles, full syncs and friends.

use clap::Args;
use clap::builder::BoolishValueParser;
use constellation_shared::Pubkey;

use crate::profile::render::Format;

/// Profiles, full syncs and friends after a backfill.
#[derive(Debug, Clone, Args)]
pub struct MemberOptions {
    /// No profile extraction and no full sync
    #[arg(long, env = "CONSTELLATION_NO_PROFILES", value_parser = BoolishValueParser::new())]
    pub no_profiles: bool,
}

/// `constellation-sync profiles`
#[derive(Debug, Clone, Args)]
pub struct ProfilesCommand {
    /// 64 hex digits or npub1…; without, all followed pubkeys
    #[arg(value_name = "PUBKEY")]
    pub pubkeys: Vec<Pubkey>,
    /// How to print them
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "table",
        env = "CONSTELLATION_FORMAT"
    )]
    pub format: Format,
}
