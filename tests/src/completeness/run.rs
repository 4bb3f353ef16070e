//! [`Run`]: one run of a station. Which peers it asks, for what, and what it remembers of that is
//! decided by the very code of the program; what comes is the difference of sets.

use std::collections::VecDeque;
use std::sync::Arc;

use constellation_shared::Pubkey;
use constellation_sync::testing::coverage::{self, Asked, Circumstances, Completed, Slices};
use constellation_sync::testing::peer_history::{self, PeerOutcome, Reach};
use constellation_sync::testing::selection::{Candidate, Selection};
use constellation_sync::testing::wanted::Part;
use fastrand::Rng;

use super::event_set::EventSet;
use super::library::{self, ALL_KINDS, KeyBits, Library, TOLERANCE, USUAL_KINDS};
use super::manners::Answer;
use super::scenario::{DAY, HOUR, Planning, Size};
use super::station::{Forgery, Memory, Mishap, Station};

/// Up to this many peers, a run asks all of them.
const ASK_ALL_UP_TO: usize = 24;

/// How many peers a run asks if there are more.
const PEERS_PER_RUN: usize = 8;

/// How many peers are asked before something goes wrong with a run.
const ASKED_BEFORE_MISHAP: usize = 2;

/// By how many events a station recognises its database at most.
const WITNESSES: usize = 32;

/// At how many of the newest events it is looked to find out up to when everything was had.
const LOOKED_AT: usize = 100;

/// For how long a forgery is held against its sender, in seconds.
const FORGERY_HELD: u64 = HOUR;

/// A peer counted as complete in a run.
#[derive(Debug)]
pub struct Claim {
    /// The peer's number.
    pub peer: usize,
    /// What it served at the time, without what is held against it.
    pub served: EventSet,
}

/// What a run said of itself.
#[derive(Debug)]
pub struct Report {
    /// When it began, in Unix seconds.
    pub at: u64,
    /// When it began by the clock of its station.
    pub clock: u64,
    /// The keys that it followed.
    pub followed: KeyBits,
    /// Whether it left out a kind.
    pub fewer_kinds: bool,
    /// The peers that counted as complete.
    pub claims: Vec<Claim>,
    /// The peers that did not.
    pub failures: usize,
    /// Whether it took the database for another one than before.
    pub noticed_another_database: bool,
}

/// What all stations share.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// All events.
    pub library: &'a Library,
    /// All stations.
    pub stations: &'a [Station],
    /// By what stations decide what to ask for.
    pub planning: Planning,
}

/// A peer that was asked.
struct Turn {
    peer: usize,
    address: String,
    asked: Asked,
    answer: Answer,
    outcome: PeerOutcome,
}

/// A run that is under way.
pub struct Run<'a> {
    around: Surroundings<'a>,
    own: usize,
    now: u64,
    clock: u64,
    followed: KeyBits,
    /// The keys that are blocked while it goes on.
    blocked_meanwhile: KeyBits,
    keys: Arc<[Pubkey]>,
    kinds: &'static [u16],
    /// All events of the followed keys and the wanted kinds.
    wanted: EventSet,
    /// What the database holds.
    pub held: EventSet,
    /// What the station remembers.
    pub memory: Memory,
    /// The forgeries that came in the last hour.
    pub forgeries: Vec<Forgery>,
    turns: Vec<Turn>,
}

impl<'a> Run<'a> {
    /// A run of a station that holds and remembers this.
    pub fn new(
        around: Surroundings<'a>,
        own: usize,
        now: u64,
        held: EventSet,
        memory: Memory,
    ) -> Self {
        let station = &around.stations[own];
        let clock = station.time(now);
        let followed = match station.mishap {
            Some(Mishap::EmptyLists) => 0,
            _ => station.followed(),
        };
        let blocked_meanwhile = match station.mishap {
            Some(Mishap::Blocks(key)) => followed & (1 << key),
            _ => 0,
        };
        let numbers = (0..KeyBits::BITS as usize).filter(|key| followed & (1 << key) != 0);
        let mut wanted = around.library.of_authors(followed);
        let kinds: &[u16] = if station.wants_fewer_kinds {
            wanted.keep(around.library.usual());
            &USUAL_KINDS
        } else {
            &ALL_KINDS
        };
        let is_fresh = |forgery: &&Forgery| {
            let age = clock.checked_sub(forgery.at);
            age.is_some_and(|age| age < FORGERY_HELD)
        };
        Self {
            around,
            own,
            now,
            clock,
            followed,
            blocked_meanwhile,
            keys: numbers.map(library::key).collect(),
            kinds,
            wanted,
            held,
            memory,
            forgeries: station.forgeries.iter().filter(is_fresh).copied().collect(),
            turns: Vec::new(),
        }
    }

    /// Asks the peers and remembers how it went; `None` if it was killed.
    pub fn run(&mut self, chance: &mut Rng) -> Option<Report> {
        let noticed_another_database = self.begin();
        if !self.ask(chance) {
            return None;
        }
        self.conclude();
        self.remember();
        let turns = std::mem::take(&mut self.turns);
        let (complete, failed): (Vec<Turn>, Vec<Turn>) = turns
            .into_iter()
            .partition(|turn| matches!(turn.outcome, PeerOutcome::Complete(_)));
        let claims = complete.into_iter().map(|turn| Claim {
            peer: turn.peer,
            served: turn.answer.served,
        });
        Some(Report {
            at: self.now,
            clock: self.clock,
            followed: self.followed & !self.blocked_meanwhile,
            fewer_kinds: self.station().wants_fewer_kinds,
            claims: claims.collect(),
            failures: failed.len(),
            noticed_another_database,
        })
    }

    fn station(&self) -> &'a Station {
        &self.around.stations[self.own]
    }

    /// What a run does before it asks anybody; whether it takes the database for another one.
    fn begin(&mut self) -> bool {
        let ledger = &mut self.memory.ledger;
        ledger.forget_the_future(self.clock);
        let witnesses = ledger.witnesses();
        let numbers = witnesses.iter().map(library::number_of_event);
        let missing = numbers.filter(|event| !self.held.contains(*event)).count();
        let is_another = !witnesses.is_empty() && ledger.is_another_database(missing);
        if is_another {
            ledger.forget_peers();
        }
        ledger.begin_run(&self.keys);
        self.memory.promises.begin_run(self.followed);
        is_another
    }

    /// Asks the selected peers and those that take the places of failing ones; `false` if the run
    /// is killed meanwhile.
    fn ask(&mut self, chance: &mut Rng) -> bool {
        let peers = &self.station().sees;
        let candidates: Vec<Candidate> = peers
            .iter()
            .map(|peer| Candidate {
                identity: self.around.stations[*peer].identity,
                history: self.memory.histories[*peer],
            })
            .collect();
        let most = if candidates.len() <= ASK_ALL_UP_TO {
            candidates.len()
        } else {
            PEERS_PER_RUN
        };
        let own = self.station().identity;
        let mut selection = Selection::some(own, &candidates, most, self.clock, chance);
        let mut waiting = VecDeque::from(selection.first().to_vec());
        while let Some(place) = waiting.pop_front() {
            let mut turn = self.turn(peers[place], chance);
            if self.turns.len() >= ASKED_BEFORE_MISHAP {
                match self.station().mishap {
                    Some(Mishap::Killed) => return false,
                    Some(Mishap::OutOfTime) => {
                        turn.outcome = PeerOutcome::Unfinished;
                        waiting.clear();
                    }
                    _ => {}
                }
            }
            if turn.outcome != PeerOutcome::Unreached {
                selection.reached();
            }
            if matches!(turn.outcome, PeerOutcome::Failed | PeerOutcome::Unreached) {
                waiting.extend(selection.failed(place));
            }
            if selection.has_no_link() {
                waiting.clear();
            }
            self.turns.push(turn);
        }
        true
    }

    /// Asks one peer, and takes what comes.
    fn turn(&mut self, peer: usize, chance: &mut Rng) -> Turn {
        let other = &self.around.stations[peer];
        let address = other.address(self.now);
        let asked = self.asked(peer, &address);
        let is_reached = !self.station().has_no_link && !other.is_off;
        let answer = if is_reached {
            self.answer(peer, &asked, chance)
        } else {
            Answer::default()
        };
        let mut taken = answer.came;
        taken.subtract(&self.around.library.of_authors(self.blocked_meanwhile));
        self.held.add(&taken);
        self.forgeries
            .extend(answer.forged.iter().map(|event| Forgery {
                event,
                peer,
                at: self.clock,
            }));
        let brought = if other.tells_what_it_has {
            answer.came.len() as u64
        } else {
            0
        };
        let outcome = match (is_reached, answer.failed) {
            (false, _) => PeerOutcome::Unreached,
            (true, true) => PeerOutcome::Failed,
            (true, false) => PeerOutcome::Complete(brought),
        };
        Turn {
            peer,
            address,
            asked,
            answer,
            outcome,
        }
    }

    /// What the program asks a peer.
    fn asked(&self, peer: usize, address: &str) -> Asked {
        if self.around.planning == Planning::Window {
            let reach = Reach {
                days: 1,
                most_days: 30,
            };
            let history = self.memory.histories[peer];
            return Asked::since(history.since(self.clock, self.clock, reach));
        }
        let ledger = &self.memory.ledger;
        let circumstances = Circumstances {
            now: self.clock,
            followed: &self.keys,
            kinds: self.kinds,
            overlap: DAY,
            slices: ledger.slices(),
        };
        ledger.plan(&self.around.stations[peer].name, address, circumstances)
    }

    /// The events that are asked for.
    fn events_asked(&self, asked: &Asked) -> EventSet {
        let library = self.around.library;
        let mut all = EventSet::default();
        for part in asked.parts(&self.keys) {
            let Part {
                authors,
                since,
                until,
            } = part;
            let authors = authors.iter().map(library::number_of_key);
            let authors = authors.fold(0, |bits: KeyBits, key| bits | 1 << key);
            let mut events = self.wanted;
            if authors != self.followed {
                events.keep(&library.of_authors(authors));
            }
            events.keep_range(&library.created(since, until));
            all.add(&events);
        }
        all
    }

    fn answer(&self, peer: usize, asked: &Asked, chance: &mut Rng) -> Answer {
        let library = self.around.library;
        let other = &self.around.stations[peer];
        let mut served = other.manners.served(&other.held);
        let held_against = self.forgeries.iter().filter(|forgery| forgery.peer == peer);
        held_against.for_each(|forgery| served.remove(forgery.event));
        let mut asked = self.events_asked(asked);
        asked.keep(&served);
        let mut missing = asked;
        missing.subtract(&self.held);
        // What is dated ahead comes and is refused.
        missing.keep_range(&library.created(0, self.clock + TOLERANCE));
        let tells = other.tells_what_it_has;
        let manners = other.manners;
        manners.answer(served, &asked, missing, tells, chance)
    }

    /// A peer that listed events which nobody sent did not give everything.
    fn conclude(&mut self) {
        for turn in &mut self.turns {
            let mut withheld = turn.answer.withheld;
            withheld.subtract(&self.held);
            if let PeerOutcome::Complete(brought) = turn.outcome
                && !withheld.is_empty()
            {
                turn.outcome = PeerOutcome::Partial(brought);
            }
        }
    }

    /// Remembers what later runs need to know.
    fn remember(&mut self) {
        let Memory {
            ledger,
            histories,
            promises,
        } = &mut self.memory;
        let kept_out = self.keys.iter();
        let kept_out =
            kept_out.filter(|key| self.blocked_meanwhile & (1 << library::number_of_key(key)) != 0);
        ledger.unfollow(kept_out);
        promises.unfollow(self.blocked_meanwhile);
        let mut asked: Vec<_> = self
            .turns
            .iter()
            .map(|turn| (turn.peer, histories[turn.peer], turn.outcome))
            .collect();
        let outcomes = asked.iter_mut().map(|(_, history, turn)| (history, *turn));
        peer_history::settle(self.clock, outcomes);
        for (peer, history, _) in asked {
            histories[peer] = history;
        }
        let library = self.around.library;
        let mut seen = self.held;
        seen.keep_range(&library.created(0, self.clock));
        if self.kinds.len() < ALL_KINDS.len() {
            seen.keep(library.usual());
        }
        let newest = seen.iter().rev().take(LOOKED_AT);
        let newest: Vec<u64> = newest
            .map(|event| library.events[event].created_at)
            .collect();
        let mut followed = seen;
        followed.keep(&self.wanted);
        let witnesses = followed.iter().rev().take(WITNESSES);
        let witnesses: Vec<_> = witnesses.map(library::id).collect();
        if !witnesses.is_empty() {
            ledger.witness(&witnesses);
        }
        for turn in &self.turns {
            if matches!(turn.outcome, PeerOutcome::Complete(_)) {
                let other = &self.around.stations[turn.peer];
                let completed = Completed {
                    address: &turn.address,
                    now: self.clock,
                    run: 0,
                    newest: coverage::horizon(&newest, DAY),
                    kinds: self.kinds,
                    reconciled: other.tells_what_it_has,
                };
                ledger.settle(&other.name, &turn.asked, completed);
            }
        }
        self.slice();
    }

    /// Chooses how the history is swept from now on, if it is time for that.
    fn slice(&mut self) {
        let ledger = &mut self.memory.ledger;
        if !ledger.is_to_be_sliced(self.clock) {
            return;
        }
        let events = &self.around.library.events;
        let times = self.held.iter().map(|event| events[event].created_at);
        let slices = match self.around.stations[self.own].size {
            Size::Small => Slices::of(times.collect()),
            Size::Medium => Slices::cut(times.collect(), 24),
            Size::Large => Slices::cut(times.collect(), 7 * 24),
        };
        ledger.slice(slices, self.clock);
    }
}
