//! `constellation-sync live` among real strfry relays, beside `strfry router` with the same peers where
//! it does the same: how soon events are here, what it costs, and what is lost.
//!
//! `STRFRY=/path/to/strfry cargo bench -p constellation-tests --bench live` measures everything in a
//! short form. `-- latency`, `quiet`, `burst`, `cut`, `kills` and `hostile` measure one thing each, and
//! the word `long` takes the long form, whose figures are those to rely on.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a bench prints"
)]

mod burst;
mod client;
mod cut;
mod flow;
mod gate;
mod hostile;
mod kept;
mod kills;
mod latency;
mod quiet;

use std::env;
use std::path::PathBuf;

use constellation_shared::Pubkey;
use constellation_tests::author::Author;
use constellation_tests::real_relay::RealRelay;
use constellation_tests::sync_program::release_program;

/// How many authors publish.
const AUTHORS: u64 = 100;

/// One thing that is measured.
type Part = fn(&Bench);

/// The parts, by the words of the command line.
const PARTS: [(&str, Part); 6] = [
    ("latency", latency::measure),
    ("quiet", quiet::measure),
    ("burst", burst::measure),
    ("cut", cut::measure),
    ("kills", kills::measure),
    ("hostile", hostile::measure),
];

/// What all parts need.
pub(crate) struct Bench {
    pub(crate) program: PathBuf,
    pub(crate) authors: Vec<Author>,
    pub(crate) is_long: bool,
}

impl Bench {
    /// The one in the short form, the other in the long one.
    pub(crate) const fn either<T: Copy>(&self, short: T, long: T) -> T {
        if self.is_long { long } else { short }
    }

    /// The keys of all authors, whom every station follows.
    pub(crate) fn keys(&self) -> Vec<Pubkey> {
        self.authors.iter().map(Author::pubkey).collect()
    }
}

fn main() {
    if !RealRelay::is_possible() {
        println!("The variable STRFRY names no strfry: nothing is measured.");
        return;
    }
    let is_given = |word: &str| env::args().any(|argument| argument == word);
    let bench = Bench {
        program: release_program(),
        authors: Author::many(AUTHORS),
        is_long: is_given("long"),
    };
    let is_any_named = PARTS.iter().any(|(name, _)| is_given(name));
    for (name, measure) in PARTS {
        if !is_any_named || is_given(name) {
            measure(&bench);
        }
    }
}
