//! What stations send each other.

use constellation_shared::Pubkey;
use constellation_sync::testing::links::{Action, Arrival, Delivery, LinkId, Worth};

use super::{COMMIT, EventId, Reader, Request, SECOND, Step, World, id_of};

/// How far back polls look, in milliseconds.
const WINDOW: u64 = 600 * SECOND;

/// How many bytes a poll takes in both directions if nothing differs, and for each id that it lists.
const POLL_BYTES: u64 = 300;
const LISTED_BYTES: u64 = 64;

/// How many bytes a subscription takes for each author that it names.
const AUTHOR_BYTES: u64 = 67;

impl World {
    /// An event is in a station's database: its relay pushes it.
    pub(super) fn commit(&mut self, station: u32, event: u32) {
        if !self.held.set(station, event) {
            return;
        }
        self.held_at[event as usize].push((station, self.now));
        if self.stations[station as usize].is_off {
            return;
        }
        let readers = std::mem::take(&mut self.stations[station as usize].readers);
        let author = self.events[event as usize].author as usize;
        let is_wanted = |reader: &&Reader| {
            let word = reader.left_out.get(author / 64).copied().unwrap_or(0);
            word >> (author % 64) & 1 == 0
        };
        for reader in readers.iter().filter(is_wanted) {
            let to = reader.station;
            let delay = self.scenario.latency(station, to);
            let step = Step::Deliver {
                to,
                from: station,
                event,
                is_pushed: true,
            };
            self.at(self.now + delay, step);
        }
        self.stations[station as usize].readers = readers;
    }

    pub(super) fn deliver(&mut self, to: u32, from: u32, event: u32, is_pushed: bool) {
        let id = LinkId(from);
        if !self.stations[to as usize].links.is_connected(id) {
            return;
        }
        let is_new = self.here.set(to, event);
        let is_measured = self.is_measured();
        let station = &mut self.stations[to as usize];
        let delivery = if is_pushed {
            Delivery::Pushed
        } else {
            Delivery::Fetched
        };
        let worth = if is_new { Worth::New } else { Worth::Duplicate };
        let arrival = Arrival {
            from: id,
            id: id_of(event),
            author: author_of(self.events[event as usize].author),
            delivery,
            worth,
        };
        station.links.arrived(self.now, &arrival);
        if is_measured {
            self.measures.downloads += 1;
            self.measures.new += u64::from(is_new);
            self.measures.fetched += u64::from(is_new && !is_pushed);
        }
        if is_new {
            station.peers.bring(from);
            let commit = self.now + self.chance.u64(..COMMIT);
            self.at(commit, Step::Commit(to, event));
        }
    }

    /// A station does what its links say.
    pub(super) fn act(&mut self, index: u32) {
        let station = &mut self.stations[index as usize];
        let actions = station.links.due(self.now);
        if let Some(at) = station.links.next_at() {
            let at = at.max(self.now + 1);
            if station.wakes_at <= self.now || at < station.wakes_at {
                station.wakes_at = at;
                self.at(at, Step::Wake(index));
            }
        }
        for action in actions {
            let (peer, request) = match action {
                Action::Subscribe(peer) => {
                    let left_out = self.left_out(index, peer);
                    (peer, Request::Subscribe(left_out))
                }
                Action::Poll(peer) => (peer, Request::Poll),
                Action::Fetch(peer, ids) => {
                    (peer, Request::Fetch(ids.iter().map(number_of).collect()))
                }
            };
            let delay = self.scenario.latency(index, peer.0);
            let step = Step::Ask {
                reader: index,
                peer: peer.0,
                request,
            };
            self.at(self.now + delay, step);
        }
    }

    /// The authors that a station's subscription at a peer leaves out, as bits. Counts what the
    /// subscription costs.
    fn left_out(&mut self, index: u32, peer: LinkId) -> Vec<u64> {
        let links = &self.stations[index as usize].links;
        let authors = self.scenario.authors();
        let mut left_out = vec![0; authors.div_ceil(64)];
        let mut named = authors;
        if !links.pushes_all(peer) {
            for author in 0..authors {
                if links.leaves_out(peer, &author_of(author as u32)) {
                    left_out[author / 64] |= 1 << (author % 64);
                    named -= 1;
                }
            }
        }
        if self.is_measured() {
            self.measures.subscriptions += 1;
            self.measures.subscription_bytes += named as u64 * AUTHOR_BYTES;
        }
        left_out
    }

    /// A request comes to a peer.
    pub(super) fn ask(&mut self, reader: u32, peer: u32, request: Request) {
        let id = LinkId(peer);
        if !self.stations[reader as usize].links.is_connected(id) {
            return;
        }
        let delay = self.scenario.latency(reader, peer);
        match request {
            Request::Subscribe(left_out) => {
                let readers = &mut self.stations[peer as usize].readers;
                let before = readers.len();
                readers.retain(|other| other.station != reader);
                let is_first = readers.len() == before;
                readers.push(Reader {
                    station: reader,
                    left_out,
                });
                if is_first {
                    // What came before the connection is reconciled.
                    let all = (0, self.published);
                    self.answer(reader, peer, all);
                }
            }
            Request::Poll => {
                let since = self.now.saturating_sub(WINDOW);
                let first = self.events.partition_point(|event| event.at < since);
                self.answer(reader, peer, (first, self.published));
            }
            Request::Fetch(events) => {
                for event in events {
                    let step = Step::Deliver {
                        to: reader,
                        from: peer,
                        event,
                        is_pushed: false,
                    };
                    self.at(self.now + delay, step);
                }
                self.at(self.now + delay, Step::FetchEnd(reader, peer));
            }
        }
    }

    /// A reader reconciles with a peer.
    fn answer(&mut self, reader: u32, peer: u32, span: (usize, usize)) {
        let events = self.held.beyond(peer, &self.here, reader, span);
        let more = self.here.beyond(reader, &self.held, peer, span);
        let listed = (events.len() + more.len()) as u64;
        if self.is_measured() {
            self.measures.polls += 1;
            self.measures.listed += listed;
            self.measures.poll_bytes += POLL_BYTES + listed * LISTED_BYTES;
        }
        // Where something differs, it takes one more message there and back.
        let messages = if listed == 0 { 1 } else { 3 };
        let delay = messages * self.scenario.latency(reader, peer);
        let step = Step::Answer {
            reader,
            peer,
            events,
        };
        self.at(self.now + delay, step);
    }
}

fn author_of(author: u32) -> Pubkey {
    Pubkey::from_bytes(*id_of(author).as_bytes())
}

fn number_of(id: &EventId) -> u32 {
    let [one, two, three, four, ..] = *id.as_bytes();
    u32::from_be_bytes([one, two, three, four])
}
