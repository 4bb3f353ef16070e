use constellation_shared::EventId;

use super::*;

fn event(number: u32) -> EventId {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    EventId::from_bytes(bytes)
}

/// How many authors publish, in turn.
const AUTHORS: u32 = 10;

fn author(number: u32) -> Pubkey {
    Pubkey::from_bytes(*event(number % AUTHORS).as_bytes())
}

/// Links to peers, to which a steady stream of events comes.
struct Bench {
    links: Links,
    now: u64,
    /// The number of the last event.
    last: u32,
    /// The authors that each peer was told to leave out.
    left_out: BTreeMap<LinkId, BTreeSet<Pubkey>>,
    subscriptions: usize,
    polls: Vec<u64>,
    downloads: usize,
    new: usize,
}

/// One peer's manner of holding events.
#[derive(Clone, Copy)]
struct Peer {
    /// After which time it holds an event, in milliseconds.
    delay: u64,
    /// Whether it holds the event with this number.
    holds: fn(u32) -> bool,
    /// Whether it sends what it holds.
    sends: bool,
    /// How many pieces of junk it sends along with each event.
    junk: u32,
    /// How often it sends each event again.
    repeats: u32,
}

const USUAL: Peer = Peer {
    delay: 100,
    holds: |_| true,
    sends: true,
    junk: 0,
    repeats: 0,
};

impl Bench {
    fn new(peers: usize) -> Self {
        let mut links = Links::default();
        links.follow(AUTHORS as usize);
        for id in 0..peers {
            links.connected(0, LinkId(id as u32), true);
        }
        Self {
            links,
            now: 0,
            last: 0,
            left_out: BTreeMap::new(),
            subscriptions: 0,
            polls: Vec::new(),
            downloads: 0,
            new: 0,
        }
    }

    /// Links that have settled among these peers.
    fn settled(peers: &[Peer]) -> Self {
        let mut bench = Self::new(peers.len());
        bench.stream(peers, 300, 200);
        (bench.downloads, bench.new, bench.subscriptions) = (0, 0, 0);
        bench
    }

    fn copies(&self) -> f64 {
        self.downloads as f64 / self.new as f64
    }

    fn routed(&self, id: u32) -> usize {
        self.links.routed(LinkId(id)).count()
    }

    fn pushing_all(&self) -> usize {
        let ids = self.links.links.keys();
        ids.filter(|id| self.links.pushes_all(**id)).count()
    }

    /// Lets an event appear every `gap` milliseconds, `count` times. Returns the time until each was
    /// here, in milliseconds, at the end for those that never came.
    fn stream(&mut self, peers: &[Peer], count: u32, gap: u64) -> Vec<Option<u64>> {
        let begin = self.now;
        let first = self.last + 1;
        self.last += count;
        let mut here: BTreeMap<u32, u64> = BTreeMap::new();
        let appears = |number: u32| begin + u64::from(number - first) * gap;
        let end = begin + u64::from(count) * gap + 40_000;
        let mut fetches: Vec<(u64, LinkId, Vec<EventId>)> = Vec::new();
        let mut next_push: Vec<u32> = vec![first; peers.len()];
        while self.now < end {
            self.now += 50;
            for (index, peer) in peers.iter().enumerate() {
                let id = LinkId(index as u32);
                while next_push[index] <= self.last
                    && appears(next_push[index]) + peer.delay <= self.now
                {
                    let number = next_push[index];
                    next_push[index] += 1;
                    let Some(left_out) = self.left_out.get(&id) else {
                        continue;
                    };
                    let left_out = left_out.clone();
                    for junk in 0..peer.junk {
                        let junk = event(1 << 31 | number << 8 | junk);
                        self.arrive(id, &junk, Delivery::Pushed, Worth::Refused);
                    }
                    if (peer.holds)(number) && peer.sends && !left_out.contains(&author(number)) {
                        let worth = worth(&mut here, number, self.now - appears(number));
                        self.arrive(id, &event(number), Delivery::Pushed, worth);
                        for _ in 0..peer.repeats {
                            let again = Worth::Duplicate;
                            self.arrive(id, &event(number), Delivery::Pushed, again);
                        }
                    }
                }
            }
            let (done, rest) = fetches.into_iter().partition(|(at, ..)| *at <= self.now);
            fetches = rest;
            let done: Vec<(u64, LinkId, Vec<EventId>)> = done;
            for (_, id, events) in done {
                if peers[id.0 as usize].sends {
                    for id_of_event in &events {
                        let bytes = id_of_event.as_bytes();
                        let number = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                        let worth = worth(&mut here, number, self.now - appears(number));
                        self.arrive(id, id_of_event, Delivery::Fetched, worth);
                    }
                }
                self.links.fetch_ended(self.now, id);
            }
            for action in self.links.due(self.now) {
                match action {
                    Action::Subscribe(id) => {
                        let left_out = self.links.links[&id].left_out.clone();
                        self.left_out.insert(id, left_out);
                        self.subscriptions += 1;
                    }
                    Action::Fetch(id, events) => fetches.push((self.now + 200, id, events)),
                    Action::Poll(id) => {
                        self.polls.push(self.now);
                        let peer = peers[id.0 as usize];
                        let missing = (first..=self.last)
                            .filter(|number| {
                                (peer.holds)(*number)
                                    && appears(*number) + peer.delay <= self.now
                                    && !here.contains_key(number)
                            })
                            .map(event)
                            .collect();
                        self.links
                            .polled(self.now, id, PollOutcome::Missing(missing));
                    }
                }
            }
        }
        (first..=self.last)
            .map(|number| here.get(&number).copied())
            .collect()
    }

    fn arrive(&mut self, id: LinkId, event: &EventId, delivery: Delivery, worth: Worth) {
        self.downloads += 1;
        self.new += usize::from(worth == Worth::New);
        let bytes = event.as_bytes();
        let number = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let arrival = Arrival {
            from: id,
            id: *event,
            author: author(number),
            delivery,
            worth,
        };
        self.links.arrived(self.now, &arrival);
    }
}

/// What an event is good for that comes so long after it appeared.
fn worth(here: &mut BTreeMap<u32, u64>, number: u32, age: u64) -> Worth {
    let count = here.len();
    here.entry(number).or_insert(age);
    if here.len() > count {
        Worth::New
    } else {
        Worth::Duplicate
    }
}

fn longest(times: &[Option<u64>]) -> u64 {
    assert!(times.iter().all(Option::is_some), "something never came");
    times.iter().flatten().copied().max().unwrap()
}

#[test]
fn of_peers_that_have_the_same_each_author_is_pushed_by_one() {
    let peers = [USUAL; 8];
    let mut bench = Bench::settled(&peers);
    assert!(longest(&bench.stream(&peers, 1000, 200)) < 300);
    assert!(bench.copies() <= 1.1, "{}", bench.copies());
}

#[test]
fn the_route_of_an_author_is_the_peer_that_has_the_events_first() {
    let mut peers = [Peer {
        delay: 800,
        ..USUAL
    }; 8];
    peers[5].delay = 100;
    let bench = Bench::settled(&peers);
    assert_eq!(bench.routed(5), AUTHORS as usize);
}

#[test]
fn where_peers_bring_different_events_nobody_is_left_out() {
    const HOLDS: [fn(u32) -> bool; 4] = [
        |n| n % 4 == 0,
        |n| n % 4 == 1,
        |n| n % 4 == 2,
        |n| n % 4 == 3,
    ];
    let peers = HOLDS.map(|holds| Peer { holds, ..USUAL });
    let mut bench = Bench::settled(&peers);
    assert!(longest(&bench.stream(&peers, 1000, 200)) < 300);
    assert_eq!((bench.pushing_all(), bench.subscriptions), (4, 0));
    assert_eq!(bench.polls, [0; 0]);
}

#[test]
fn a_fast_peer_that_drops_events_does_not_starve_us() {
    let mut peers = [Peer {
        delay: 500,
        ..USUAL
    }; 8];
    peers[2] = Peer {
        delay: 100,
        holds: |number| number % 11 != 0,
        ..USUAL
    };
    let mut bench = Bench::settled(&peers);
    let times = bench.stream(&peers, 1000, 200);
    assert!(longest(&times) <= 500 + SHORTEST_INTERVAL + GRACE);
    assert!(bench.copies() <= 1.3, "{}", bench.copies());
    assert!(bench.subscriptions <= 40, "{}", bench.subscriptions);
}

#[test]
fn a_peer_that_falls_silent_is_replaced_soon() {
    let mut peers = [USUAL; 8];
    peers[4].delay = 50;
    let mut bench = Bench::settled(&peers);
    assert_eq!(bench.routed(4), AUTHORS as usize);
    peers[4].sends = false;
    let times = bench.stream(&peers, 300, 200);
    assert!(longest(&times) <= SHORTEST_INTERVAL + GRACE + 2000);
    let late = times.iter().flatten().filter(|time| **time > 300).count();
    assert!(late <= 100, "{late}");
    assert_eq!(bench.routed(4), 0);
}

#[test]
fn a_peer_that_withholds_everything_is_nobodys_route() {
    let mut peers = [USUAL; 8];
    peers[7].sends = false;
    let mut bench = Bench::settled(&peers);
    assert!(longest(&bench.stream(&peers, 300, 200)) < 300);
    assert_eq!(bench.routed(7), 0);
}

#[test]
fn a_peer_that_sends_junk_is_nobodys_route() {
    let mut peers = [USUAL; 8];
    peers[0] = Peer {
        delay: 50,
        holds: |_| false,
        junk: 3,
        ..USUAL
    };
    let mut bench = Bench::settled(&peers);
    assert!(longest(&bench.stream(&peers, 300, 200)) < 300);
    assert_eq!(bench.routed(0), 0);
}

#[test]
fn a_peer_that_sends_everything_again_is_nobodys_route_for_long() {
    let mut peers = [Peer {
        delay: 200,
        ..USUAL
    }; 8];
    peers[3] = Peer {
        delay: 100,
        repeats: 6,
        ..USUAL
    };
    let mut bench = Bench::settled(&peers);
    (bench.downloads, bench.new) = (0, 0);
    assert!(longest(&bench.stream(&peers, 1000, 200)) < 300);
    assert_eq!(bench.routed(3), 0);
    assert!(bench.copies() <= 1.3, "{}", bench.copies());
}

#[test]
fn junk_that_a_peer_claims_to_hold_takes_bounded_memory_and_keeps_nothing_from_coming() {
    let mut bench = Bench::new(2);
    let junk: Vec<EventId> = (0..20_000).map(|number| event(1 << 31 | number)).collect();
    let links = &mut bench.links;
    links.polled(10, LinkId(0), PollOutcome::Missing(junk));
    links.polled(10, LinkId(1), PollOutcome::Missing(vec![event(1)]));
    assert_eq!(links.missing.len(), missing::MOST_OF_ONE + 1);
    let fetches = links.due(10 + GRACE);
    assert!(fetches.contains(&Action::Fetch(LinkId(1), vec![event(1)])));
    links.fetch_ended(2000, LinkId(0));
    links.due(2000);
    assert_eq!(links.missing.len(), 1);
}

#[test]
fn what_a_peer_does_not_send_is_fetched_from_the_next_that_holds_it() {
    let mut links = Bench::new(3).links;
    for id in [0, 1] {
        links.polled(0, LinkId(id), PollOutcome::Missing(vec![event(1)]));
    }
    let asked = |actions: Vec<Action>| -> Vec<u32> {
        let fetch = |action| match action {
            Action::Fetch(id, _) => Some(id.0),
            _ => None,
        };
        actions.into_iter().filter_map(fetch).collect()
    };
    assert_eq!(asked(links.due(GRACE - 1)), [0; 0], "it may be pushed yet");
    assert_eq!(asked(links.due(GRACE)), [1]);
    let later = GRACE + 100;
    links.fetch_ended(later, LinkId(1));
    assert_eq!(asked(links.due(later)), [0]);
    links.polled(later, LinkId(2), PollOutcome::Missing(vec![event(1)]));
    links.disconnected(later, LinkId(0));
    assert_eq!(asked(links.due(later)), [2]);
    let arrival = Arrival {
        from: LinkId(2),
        id: event(1),
        author: author(1),
        delivery: Delivery::Fetched,
        worth: Worth::New,
    };
    links.arrived(later, &arrival);
    assert_eq!(links.missing.len(), 0);
}

#[test]
fn with_a_peer_lost_others_push_at_once_what_it_pushed() {
    let mut peers = [Peer {
        delay: 200,
        ..USUAL
    }; 8];
    peers[1].delay = 100;
    let mut bench = Bench::settled(&peers);
    assert_eq!(bench.routed(1), AUTHORS as usize);
    bench.links.disconnected(bench.now, LinkId(1));
    bench.left_out.remove(&LinkId(1));
    let times = bench.stream(&peers, 100, 200);
    assert!(longest(&times) <= 300, "{}", longest(&times));
}

#[test]
fn a_peer_that_cannot_be_polled_pushes_everything() {
    let mut bench = Bench::new(0);
    for id in 0..4 {
        bench.links.connected(0, LinkId(id), id != 3);
    }
    bench.stream(&[USUAL; 4], 300, 200);
    let pushes_all = |bench: &Bench| [0, 1, 2, 3].map(|id| bench.links.pushes_all(LinkId(id)));
    assert!(pushes_all(&bench)[3]);
    assert!(bench.pushing_all() < 4);
    for id in 0..3 {
        let outcome = PollOutcome::Unsupported;
        bench.links.polled(bench.now, LinkId(id), outcome);
    }
    assert_eq!(bench.pushing_all(), 4);
}

#[test]
fn polls_are_spread_and_become_rare_where_they_find_nothing() {
    let peers = [USUAL; 8];
    let mut bench = Bench::settled(&peers);
    bench.polls.clear();
    let begin = bench.now;
    bench.stream(&peers, 3000, 200);
    let closest = bench.polls.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(closest.min().unwrap() >= SHORTEST_INTERVAL / 8);
    let hours = (bench.now - begin) as f64 / 3_600_000.0;
    let polls = bench.polls.len() as f64 / hours;
    let most = 8.0 * 3_600_000.0 / LONGEST_INTERVAL as f64;
    assert!(polls <= most * 1.1, "{polls}");
}

#[test]
fn when_it_is_quiet_all_push_everything_again_one_after_another_and_nobody_is_polled() {
    let peers = [USUAL; 8];
    let mut bench = Bench::settled(&peers);
    assert!(bench.pushing_all() <= 1);
    bench.stream(&peers, 30, 60_000);
    assert_eq!(bench.pushing_all(), 8);
    let subscriptions = bench.subscriptions;
    bench.polls.clear();
    assert!(longest(&bench.stream(&peers, 60, 60_000)) < 300);
    assert_eq!(bench.polls, [0; 0]);
    assert_eq!(bench.subscriptions, subscriptions);
}

#[test]
fn a_subscription_that_names_many_authors_is_sent_anew_only_for_many_events() {
    let peers = [USUAL; 8];
    let mut bench = Bench::new(8);
    bench.links.follow(8000);
    bench.stream(&peers, 900, 200);
    assert_eq!(bench.subscriptions, 8);
    bench.stream(&peers, 300, 200);
    assert!(bench.pushing_all() <= 1);
}
