//! What the tests of members share.

use constellation_shared::Pubkey;
use constellation_tests::command::TestCommand;
use constellation_tests::members::command;
use constellation_tests::{Author, StationDir};

/// The pubkeys of these authors.
pub(crate) fn keys(authors: &[Author]) -> Vec<Pubkey> {
    authors.iter().map(Author::pubkey).collect()
}

/// A backfill that may ask the fallback relays it is told of.
pub(crate) fn with_fallback(station: &StationDir, args: &[&str]) -> TestCommand {
    command(station, args).env_remove("CONSTELLATION_NO_FALLBACK")
}

/// How often a text contains a part.
pub(crate) fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

/// A pubkey as the log shows it.
pub(crate) fn short(author: &Author) -> String {
    author.pubkey().to_hex()[..8].to_owned()
}
