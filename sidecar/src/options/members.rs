//! The options for profiles, full syncs and friends.

use clap::Args;
use clap::builder::BoolishValueParser;

use crate::relay::address::Address;

/// Relays that know many people outside the constellation.
const USUAL_FALLBACK: [&str; 3] = [
    "wss://relay.damus.io",
    "wss://nos.lol",
    "wss://relay.nostr.band",
];

/// Profiles, full syncs and friends after a backfill.
#[derive(Debug, Clone, Args)]
pub struct MemberOptions {
    /// Do not extract profiles, and do no full syncs
    #[arg(long, env = "CONSTELLATION_NO_PROFILES", value_parser = BoolishValueParser::new())]
    pub no_profiles: bool,
    /// Fully sync this many groups of pubkeys without a profile at a time
    #[arg(
        long,
        value_name = "N",
        default_value_t = 3,
        value_parser = clap::value_parser!(u16).range(1..),
        env = "CONSTELLATION_FULL_SYNC_PARALLEL"
    )]
    pub full_sync_parallel: u16,
    /// Fully sync at most this many pubkeys without a profile in one run
    #[arg(
        long,
        value_name = "N",
        default_value_t = 500,
        env = "CONSTELLATION_FULL_SYNC_KEYS"
    )]
    pub full_sync_keys: usize,
    /// Make at most this many connections for the full syncs of one run
    #[arg(
        long,
        value_name = "N",
        default_value_t = 300,
        env = "CONSTELLATION_FULL_SYNC_CONNECTIONS"
    )]
    pub full_sync_connections: usize,
    /// Stop the full syncs of one run after this many minutes
    #[arg(
        long,
        value_name = "N",
        default_value_t = 15,
        value_parser = clap::value_parser!(u64).range(..100_000),
        env = "CONSTELLATION_FULL_SYNC_MINUTES"
    )]
    pub full_sync_minutes: u64,
    /// Fetch at most this many events per pubkey in a full sync, the newest ones, on average; 0 = no
    /// limit
    #[arg(
        long,
        value_name = "N",
        default_value_t = 50_000,
        env = "CONSTELLATION_FULL_SYNC_LIMIT"
    )]
    pub full_sync_limit: usize,
    /// Ask this relay for profiles that no peer has; repeat it for several relays
    #[arg(
        long,
        value_name = "URL",
        value_delimiter = ',',
        value_parser = Address::parse,
        default_values = USUAL_FALLBACK,
        env = "CONSTELLATION_FALLBACK_RELAY"
    )]
    pub fallback_relay: Vec<Address>,
    /// Ask no relay outside the constellation
    #[arg(long, env = "CONSTELLATION_NO_FALLBACK", value_parser = BoolishValueParser::new())]
    pub no_fallback: bool,
    /// At the end, add the friends of the local members to amisOfAmis.txt
    #[arg(long, env = "CONSTELLATION_FRIENDS", value_parser = BoolishValueParser::new())]
    pub friends: bool,
    /// Whose friends are added
    #[command(flatten)]
    pub scope: FriendOptions,
}

/// Whose friends count, and which of them.
#[derive(Debug, Clone, Copy, Args)]
pub struct FriendOptions {
    /// Include the friends of the swarm's captains
    #[arg(long, env = "CONSTELLATION_CAPTAINS", value_parser = BoolishValueParser::new())]
    pub captains: bool,
    /// Include the friends that other stations list (tmp/swarm/*/amisOfAmis.txt)
    #[arg(long, env = "CONSTELLATION_MERGE_SWARM", value_parser = BoolishValueParser::new())]
    pub merge_swarm: bool,
    /// Leave out friends who are on blacklist.txt; adding them would unblock them
    #[arg(long, env = "CONSTELLATION_KEEP_BLOCKED", value_parser = BoolishValueParser::new())]
    pub keep_blocked: bool,
}

impl MemberOptions {
    /// The relays that are asked for profiles that no peer has, each once.
    pub fn fallback(&self) -> Vec<Address> {
        let mut relays: Vec<Address> = Vec::new();
        if !self.no_fallback {
            for relay in &self.fallback_relay {
                if !relays.contains(relay) {
                    relays.push(relay.clone());
                }
            }
        }
        relays
    }

    /// How many events of each pubkey a full sync asks a relay for at most.
    pub const fn most_events(&self) -> usize {
        match self.full_sync_limit {
            0 => usize::MAX,
            limit => limit,
        }
    }
}
