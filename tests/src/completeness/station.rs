//! [`Station`]: a simulated station, as it is.

use constellation_sync::testing::coverage::Ledger;
use constellation_sync::testing::peer_history::PeerHistory;
use constellation_sync::testing::selection::Identity;

use super::event_set::EventSet;
use super::library::KeyBits;
use super::manners::Manners;
use super::promises::Promises;
use super::scenario::{HOUR, Size};

/// What goes wrong with the next run of a station.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    /// It is killed after it has asked two peers.
    Killed,
    /// Its time is over after it has asked two peers.
    OutOfTime,
    /// What it remembers cannot be written.
    Unwritten,
    /// All lists are empty while it runs.
    EmptyLists,
    /// This key is blocked while it runs, and is not any more before the next run.
    Blocks(usize),
}

/// What a station remembers between its runs; all of it may be lost or restored from a copy.
#[derive(Debug, Clone)]
pub struct Memory {
    /// What it had of its peers.
    pub ledger: Ledger,
    /// How its peers did, by their numbers.
    pub histories: Vec<PeerHistory>,
    /// What the oracle holds the station to that follows from what it remembers.
    pub promises: Promises,
}

/// A station that sent a forgery of an event, whose genuine form is not asked of it for an hour.
#[derive(Debug, Clone, Copy)]
pub struct Forgery {
    /// The event.
    pub event: usize,
    /// The station that sent the forgery.
    pub peer: usize,
    /// When the run began in which it came, by the clock of the station that asked.
    pub at: u64,
}

/// A simulated station.
#[derive(Debug)]
pub struct Station {
    /// By this name other stations remember it.
    pub name: String,
    /// The same, as peers are told apart in a selection.
    pub identity: Identity,
    /// How many seconds after the full hour its runs begin.
    pub minute: u64,
    /// How many events it seems to hold.
    pub size: Size,
    /// Whether it tells what it has (NIP-77).
    pub tells_what_it_has: bool,
    /// The stations that it knows of, by their numbers.
    pub sees: Vec<usize>,
    /// What its database holds.
    pub held: EventSet,
    /// A backup of its database.
    pub backup: EventSet,
    /// The keys on its lists.
    pub listed: KeyBits,
    /// The keys that it blocks.
    pub blocked: KeyBits,
    /// Whether it was told to leave out a kind.
    pub wants_fewer_kinds: bool,
    /// How far its clock is ahead, in seconds.
    pub clock: i64,
    /// Whether it is off.
    pub is_off: bool,
    /// Whether it cannot reach anybody.
    pub has_no_link: bool,
    /// How it answers others.
    pub manners: Manners,
    /// Whether its relay has another address in each hour.
    pub moves: bool,
    /// What it remembers.
    pub memory: Memory,
    /// A copy of what it remembered.
    pub copy: Option<Memory>,
    /// The forgeries that came in the last hour.
    pub forgeries: Vec<Forgery>,
    /// What goes wrong with its next run.
    pub mishap: Option<Mishap>,
}

impl Station {
    /// What its clock shows.
    pub const fn time(&self, now: u64) -> u64 {
        now.saturating_add_signed(self.clock)
    }

    /// The keys that it follows.
    pub const fn followed(&self) -> KeyBits {
        self.listed & !self.blocked
    }

    /// The address of its relay.
    pub fn address(&self, now: u64) -> String {
        if self.moves {
            format!("ws://{}.{}", self.name, now / HOUR)
        } else {
            format!("ws://{}", self.name)
        }
    }
}
