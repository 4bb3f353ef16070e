use super::*;

fn event(number: u32) -> EventId {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    EventId::from_bytes(bytes)
}

/// Links to peers, to which a steady stream of events comes.
struct Bench {
    links: Links,
    now: u64,
    /// The number of the last event.
    last: u32,
    subscribes: usize,
    unsubscribes: usize,
    polls: Vec<(u64, LinkId)>,
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
        for id in 0..peers {
            links.connected(0, LinkId(id as u32), true);
        }
        Self {
            links,
            now: 0,
            last: 0,
            subscribes: 0,
            unsubscribes: 0,
            polls: Vec::new(),
            downloads: 0,
            new: 0,
        }
    }

    fn subscribed(&self, peers: &[Peer]) -> Vec<usize> {
        let is = |id: &usize| self.links.mode(LinkId(*id as u32)) == Some(Mode::Subscribed);
        (0..peers.len()).filter(is).collect()
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
                    if self.links.mode(id) != Some(Mode::Subscribed) {
                        continue;
                    }
                    for junk in 0..peer.junk {
                        let junk = event(1 << 31 | number << 8 | junk);
                        self.arrive(id, &junk, Delivery::Pushed, Worth::Refused);
                    }
                    if (peer.holds)(number) && peer.sends {
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
                    Action::Subscribe(_) => self.subscribes += 1,
                    Action::Unsubscribe(_) => self.unsubscribes += 1,
                    Action::Fetch(id, events) => fetches.push((self.now + 200, id, events)),
                    Action::Poll(id) => {
                        self.polls.push((self.now, id));
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
            let is_up = (0..peers.len()).any(|id| self.links.mode(LinkId(id as u32)).is_some());
            assert!(!is_up || !self.subscribed(peers).is_empty());
        }
        (first..=self.last)
            .map(|number| here.get(&number).copied())
            .collect()
    }

    fn arrive(&mut self, id: LinkId, event: &EventId, delivery: Delivery, worth: Worth) {
        self.downloads += 1;
        self.new += usize::from(worth == Worth::New);
        self.links.arrived(self.now, id, event, delivery, worth);
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
fn of_peers_that_push_the_same_one_stays_subscribed() {
    let peers = [USUAL; 8];
    let mut bench = Bench::new(8);
    bench.stream(&peers, 300, 200);
    assert_eq!(bench.subscribed(&peers).len(), 1);
    (bench.downloads, bench.new) = (0, 0);
    assert!(longest(&bench.stream(&peers, 1000, 200)) < 300);
    assert!(bench.downloads <= bench.new * 11 / 10);
}

#[test]
fn the_fastest_stays_subscribed() {
    let mut peers = [Peer {
        delay: 800,
        ..USUAL
    }; 8];
    peers[5].delay = 100;
    let mut bench = Bench::new(8);
    bench.stream(&peers, 300, 200);
    assert_eq!(bench.subscribed(&peers), [5]);
}

#[test]
fn peers_that_bring_different_events_all_stay_subscribed() {
    const HOLDS: [fn(u32) -> bool; 4] = [
        |n| n % 4 == 0,
        |n| n % 4 == 1,
        |n| n % 4 == 2,
        |n| n % 4 == 3,
    ];
    let peers = HOLDS.map(|holds| Peer { holds, ..USUAL });
    let mut bench = Bench::new(4);
    assert!(longest(&bench.stream(&peers, 1000, 200)) < 300);
    assert_eq!(bench.subscribed(&peers).len(), 4);
    assert_eq!(bench.unsubscribes, 0);
}

#[test]
fn a_fast_peer_that_drops_events_does_not_starve_us() {
    let mut peers = [Peer {
        delay: 500,
        ..USUAL
    }; 8];
    peers[2] = Peer {
        delay: 100,
        holds: |number| number % 10 != 0,
        ..USUAL
    };
    let mut bench = Bench::new(8);
    bench.stream(&peers, 300, 200);
    (bench.downloads, bench.new) = (0, 0);
    let times = bench.stream(&peers, 1000, 200);
    assert!(longest(&times) <= 500 + LONGEST_INTERVAL + GRACE + 500);
    assert!(bench.downloads <= bench.new * 13 / 10);
    assert!(bench.subscribes + bench.unsubscribes < 30, "it flaps");
}

#[test]
fn a_peer_that_falls_silent_is_replaced_soon() {
    let mut peers = [USUAL; 8];
    let mut bench = Bench::new(8);
    bench.stream(&peers, 300, 200);
    let subscribed = bench.subscribed(&peers)[0];
    peers[subscribed].sends = false;
    let times = bench.stream(&peers, 300, 200);
    assert!(longest(&times) <= SHORTEST_INTERVAL + GRACE + 6000);
    let late = times.iter().flatten().filter(|time| **time > 300).count();
    assert!(late <= 100, "{late}");
    assert_ne!(bench.subscribed(&peers), [subscribed]);
}

#[test]
fn a_peer_that_withholds_everything_is_never_the_only_one_that_is_subscribed() {
    let mut peers = [USUAL; 8];
    peers[7].sends = false;
    let mut bench = Bench::new(8);
    bench.stream(&peers, 300, 200);
    assert!(longest(&bench.stream(&peers, 300, 200)) < 300);
}

#[test]
fn a_peer_that_sends_junk_is_not_kept_for_it() {
    let mut peers = [USUAL; 8];
    peers[0] = Peer {
        delay: 50,
        holds: |_| false,
        junk: 3,
        ..USUAL
    };
    let mut bench = Bench::new(8);
    bench.stream(&peers, 300, 200);
    assert_eq!(bench.links.mode(LinkId(0)), Some(Mode::Polled));
    assert!(longest(&bench.stream(&peers, 300, 200)) < 300);
}

#[test]
fn a_peer_that_repeats_everything_is_not_kept_for_it() {
    let mut peers = [USUAL; 8];
    peers[3] = Peer {
        delay: 100,
        repeats: 4,
        ..USUAL
    };
    let mut bench = Bench::new(8);
    bench.stream(&peers, 300, 200);
    (bench.downloads, bench.new) = (0, 0);
    assert!(longest(&bench.stream(&peers, 1000, 200)) < 300);
    assert!(bench.downloads <= bench.new * 13 / 10);
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
    links.fetch_ended(1000, LinkId(0));
    links.due(1000);
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
    links.fetch_ended(600, LinkId(1));
    assert_eq!(asked(links.due(600)), [0]);
    links.polled(700, LinkId(2), PollOutcome::Missing(vec![event(1)]));
    links.disconnected(800, LinkId(0));
    assert_eq!(asked(links.due(800)), [2]);
    links.arrived(900, LinkId(2), &event(1), Delivery::Fetched, Worth::New);
    assert_eq!(links.missing.len(), 0);
}

#[test]
fn with_the_subscribed_peer_lost_another_is_subscribed_at_once() {
    let peers = [USUAL; 8];
    let mut bench = Bench::new(8);
    bench.stream(&peers, 300, 200);
    let lost = LinkId(bench.subscribed(&peers)[0] as u32);
    bench.links.disconnected(bench.now, lost);
    let subscribes = |action: &Action| matches!(action, Action::Subscribe(_));
    assert!(bench.links.due(bench.now).iter().any(subscribes));
    assert_eq!(bench.subscribed(&peers).len(), 1);
}

#[test]
fn a_peer_that_cannot_be_polled_stays_subscribed() {
    let mut bench = Bench::new(0);
    for id in 0..4 {
        bench.links.connected(0, LinkId(id), id != 3);
    }
    let peers = [USUAL; 4];
    bench.stream(&peers, 300, 200);
    assert_eq!(bench.subscribed(&peers), [3]);
    bench
        .links
        .polled(bench.now, LinkId(1), PollOutcome::Unsupported);
    assert_eq!(bench.subscribed(&peers), [1, 3]);
}

#[test]
fn polls_are_spread_and_become_rare_where_they_find_nothing() {
    let peers = [USUAL; 8];
    let mut bench = Bench::new(8);
    bench.stream(&peers, 300, 200);
    bench.polls.clear();
    let begin = bench.now;
    bench.stream(&peers, 3000, 200);
    let closest = bench.polls.windows(2).map(|pair| pair[1].0 - pair[0].0);
    assert!(closest.min().unwrap() >= SHORTEST_INTERVAL / 8);
    let hours = (bench.now - begin) as f64 / 3_600_000.0;
    let most = 7.0 * 3_600_000.0 / LONGEST_INTERVAL as f64;
    let polls = bench.polls.len() as f64 / hours;
    assert!(polls <= most * 1.1, "{polls}");
}

#[test]
fn when_it_is_quiet_all_are_subscribed_again_one_after_another_and_nobody_is_polled() {
    let peers = [USUAL; 8];
    let mut bench = Bench::new(8);
    bench.stream(&peers, 300, 200);
    bench.stream(&peers, 60, 60_000);
    assert_eq!(bench.subscribed(&peers).len(), 8);
    bench.polls.clear();
    let unsubscribes = bench.unsubscribes;
    assert!(longest(&bench.stream(&peers, 60, 60_000)) < 300);
    assert_eq!(bench.polls, []);
    assert_eq!(bench.unsubscribes, unsubscribes);
}
