use std::collections::{BTreeSet, HashSet};

use proptest::prelude::*;

use super::*;
use crate::relay::objection::{Dimension, Objection};

/// An event as far as the walk looks at it: its time, author, kind and number.
type Entry = (u64, u8, u16, u32);

const KINDS: [u16; 3] = [1, 4, 7];

/// A relay with manners of its own.
#[derive(Debug, Clone)]
struct Relay {
    entries: Vec<Entry>,
    clamp: usize,
    until_exclusive: bool,
    since_exclusive: bool,
    oldest_first: bool,
    /// Without a word, but counted to the clamp unless asked for alone.
    private: Option<u16>,
    most_open: usize,
}

impl Relay {
    fn new(mut entries: Vec<Entry>, clamp: usize) -> Self {
        entries.sort_unstable_by(|a, b| b.cmp(a));
        entries.dedup();
        Self {
            entries,
            clamp,
            until_exclusive: false,
            since_exclusive: false,
            oldest_first: false,
            private: None,
            most_open: usize::MAX,
        }
    }

    fn answer(&self, filter: &Filter) -> Vec<Entry> {
        let matches = |&&(time, author, kind, _): &&Entry| {
            let is_at_until = time == filter.until && !self.until_exclusive;
            let below = time < filter.until || is_at_until || filter.until >= LATEST;
            let is_at_since = time == filter.since && !self.since_exclusive;
            let above = time > filter.since || is_at_since || filter.since == 0;
            let author = key(author).to_hex();
            let is_by_author = filter.authors.is_empty() || filter.authors.contains(&author);
            below && above && filter.kinds.contains(&kind) && is_by_author
        };
        let page = self.entries.iter().filter(matches);
        let mut page: Vec<Entry> = page.take(filter.limit.min(self.clamp)).copied().collect();
        page.retain(|entry| self.private != Some(entry.2));
        if self.oldest_first {
            page.reverse();
        }
        page
    }
}

fn key(byte: u8) -> Pubkey {
    Pubkey::from_bytes([byte; 32])
}

fn window(authors: u8, kinds: &[u16], since: u64) -> Window {
    Window {
        authors: (0..authors).map(key).collect(),
        kinds: kinds.to_vec(),
        since,
        until: LATEST,
    }
}

/// Walks a relay to the end. Returns what came, and how many questions it took.
fn walk(pager: &mut Pager, relay: &Relay, most_questions: usize) -> (BTreeSet<Entry>, usize) {
    let mut came = BTreeSet::new();
    let mut open: Vec<(u64, Filter)> = Vec::new();
    let mut questions = 0;
    while !pager.is_done() {
        let mut refused = false;
        while let Some((subscription, filter)) = pager.next_subscription() {
            questions += 1;
            assert!(questions <= most_questions, "no end in sight: {pager:?}");
            match open.len() < relay.most_open {
                true => open.push((subscription, filter)),
                false => refused = true,
            }
        }
        if refused {
            let given_up: HashSet<u64> = pager.too_many_open().unwrap().into_iter().collect();
            open.retain(|(subscription, _)| !given_up.contains(subscription));
            continue;
        }
        let Some((subscription, filter)) = open.pop() else {
            assert!(
                pager.is_done(),
                "nothing is asked and nothing open: {pager:?}"
            );
            break;
        };
        if filter.kinds.iter().all(|&kind| relay.private == Some(kind)) {
            assert!(pager.refused(subscription, "auth-required: no", Objection::WantsAuth));
            continue;
        }
        for entry in relay.answer(&filter) {
            let (time, author, kind, _) = entry;
            let asked = pager.event(subscription, &key(author), kind, time);
            if asked != Asked::Counted {
                assert_eq!(asked, Asked::Yes, "{entry:?} for {filter:?}");
                came.insert(entry);
            }
        }
        assert!(pager.end(subscription));
        assert!(!pager.end(subscription), "it ended before");
    }
    (came, questions)
}

/// More questions than any walk through so many events may take: each second may be asked
/// for whole, and by each author and kind, once for each bound that was tried.
fn bound(relay: &Relay, authors: u8, kinds: usize) -> usize {
    let leaves = 2 * usize::from(authors) * kinds.max(1);
    40 + 4 * (relay.entries.len() + 1) * (leaves + 3)
}

fn wanted(relay: &Relay, authors: u8, kinds: &[u16], since: u64) -> BTreeSet<Entry> {
    let entries = relay.entries.iter().copied();
    entries
        .filter(|&(time, author, kind, _)| {
            time >= since && author < authors && kinds.contains(&kind)
        })
        .collect()
}

prop_compose! {
    /// Events of six authors (four of them asked for) in few seconds.
    fn relays()(
        entries in prop::collection::vec((100_u64..140, 0_u8..6, prop::sample::select(&KINDS[..])), 0..150),
        clamp in prop_oneof![Just(1_usize), Just(2), Just(3), 4_usize..30, Just(500)],
        until_exclusive: bool,
        since_exclusive: bool,
        oldest_first in prop::bool::weighted(0.2),
        most_open in 1_usize..5,
    ) -> Relay {
        let numbered = (0_u32..).zip(entries);
        let entries = numbered.map(|(number, (time, author, kind))| (time, author, kind, number));
        Relay {
            until_exclusive,
            since_exclusive,
            oldest_first,
            most_open,
            ..Relay::new(entries.collect(), clamp)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn everything_comes_or_is_named_as_missing(
        relay in relays(),
        since in prop_oneof![Just(0_u64), 95_u64..145],
        most_open in 1_usize..6,
        limit in prop_oneof![Just(500_usize), 1_usize..20],
    ) {
        let windows = vec![window(2, &KINDS, since), Window {
            authors: vec![key(2), key(3)],
            ..window(0, &KINDS, since)
        }];
        let mut pager = Pager::new(windows, most_open, limit);
        let (came, questions) = walk(&mut pager, &relay, bound(&relay, 4, KINDS.len()));
        let wanted = wanted(&relay, 4, &KINDS, since);
        let missing: Vec<_> = wanted.difference(&came).collect();
        let clamp = relay.clamp.min(limit);
        // Of one second, author and kind a relay may hold more than it ever sends.
        let unreachable = |entry: &Entry| {
            let twins = relay.entries.iter().filter(|twin| {
                (twin.0, twin.1, twin.2) == (entry.0, entry.1, entry.2)
            });
            twins.count() > clamp
        };
        for entry in &missing {
            prop_assert!(unreachable(entry), "{entry:?} of {relay:?} after {questions}");
        }
        // A relay that sends fewer at once, and of which no other answer was seen cut off,
        // cannot be told from one that has no more.
        if clamp >= SMALLEST_PAGE && !missing.is_empty() {
            prop_assert!(!pager.gaps().is_empty(), "{missing:?} are missing silently");
        }
        prop_assert!(came.iter().all(|entry| entry.0 + 1 >= since && entry.1 < 4));
    }

    #[test]
    fn a_relay_that_sends_all_at_once_has_no_gaps(relay in relays(), limit in 200_usize..500) {
        let relay = Relay { clamp: 500, ..relay };
        let mut pager = Pager::new(vec![window(6, &KINDS, 0)], 3, limit);
        let (came, _) = walk(&mut pager, &relay, bound(&relay, 6, KINDS.len()));
        prop_assert_eq!(came, wanted(&relay, 6, &KINDS, 0));
        let most_in_one = relay.entries.iter().map(|entry| {
            relay.entries.iter().filter(|twin| twin.0 == entry.0 && twin.1 == entry.1 && twin.2 == entry.2).count()
        }).max().unwrap_or(0);
        if most_in_one < SMALLEST_PAGE {
            prop_assert_eq!(pager.gaps(), &[] as &[String]);
        }
    }
}

#[test]
fn twenty_thousand_events_take_few_questions() {
    let mut random = 7_u64;
    let entries = (0..20_000).map(|number| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let [a, b, c, ..] = random.to_be_bytes().map(u64::from);
        (1000 + (a << 8 | b) % 20_000, (c % 100) as u8, 1, number)
    });
    let relay = Relay::new(entries.collect(), 500);
    let mut pager = Pager::new(vec![window(100, &[1], 0)], 8, 500);
    let (came, questions) = walk(&mut pager, &relay, 60);
    assert_eq!(came.len(), 20_000);
    assert!(questions < 50, "{questions}");
    assert_eq!(pager.gaps(), &[] as &[String]);
}

#[test]
fn a_second_of_one_author_and_kind_beyond_the_limit_is_a_gap() {
    let entries = (0..700).map(|number| (1000, 0, 1, number)).collect();
    let relay = Relay::new(entries, 500);
    let mut pager = Pager::new(vec![window(3, &KINDS, 0)], 5, 500);
    let (came, _) = walk(&mut pager, &relay, 200);
    assert_eq!(came.len(), 500);
    let [gap] = pager.gaps() else {
        panic!("{:?}", pager.gaps());
    };
    assert!(
        gap.contains("second 1000") && gap.contains("kind 1"),
        "{gap}"
    );
}

/// 33 events of one second, and these of other times.
fn with_crowded_second(others: u32, clamp: usize) -> Relay {
    let crowded = (0..33).map(|number| (1000, 0, 1, number));
    let others = (0..others).map(|number| (2000 + u64::from(number), 5, 1, 100 + number));
    Relay::new(crowded.chain(others).collect(), clamp)
}

/// How many gaps there are if a second is wanted of a relay, in which one author is followed.
fn gaps_of_second(relay: &Relay) -> usize {
    let second = Window {
        until: 1000,
        ..window(3, &KINDS, 1000)
    };
    let mut pager = Pager::new(vec![second], 5, 500);
    let (came, questions) = walk(&mut pager, relay, 100);
    assert_eq!(came.len(), relay.clamp.min(33));
    assert!(questions < 20, "{questions}");
    pager.gaps().len()
}

#[test]
fn a_crowded_second_is_no_gap_if_the_relay_is_seen_to_send_more_at_once() {
    assert_eq!(gaps_of_second(&with_crowded_second(100, 500)), 0);
    assert_eq!(gaps_of_second(&with_crowded_second(3, 500)), 0);
}

/// Whatever it says of itself.
#[test]
fn a_relay_that_sends_no_more_at_once_may_hide_events_of_a_crowded_second() {
    for clamp in 10..=33 {
        assert_eq!(
            gaps_of_second(&with_crowded_second(100, clamp)),
            1,
            "{clamp}"
        );
    }
    // Nobody can tell.
    assert_eq!(gaps_of_second(&with_crowded_second(0, 500)), 1);
}

#[test]
fn a_limit_that_a_relay_is_seen_to_fall_short_of_is_believed() {
    let mut entries: Vec<Entry> = (0..40).map(|number| (1000, 0, 1, number)).collect();
    entries.extend((40..80).map(|number| (900 - u64::from(number), 0, 1, number)));
    let relay = Relay::new(entries, 20);
    let mut pager = Pager::new(vec![window(3, &KINDS, 0)], 5, 500);
    let (came, _) = walk(&mut pager, &relay, 200);
    assert_eq!((came.len(), pager.gaps().len()), (60, 1));
}

#[test]
fn a_few_events_of_one_second_are_no_gap() {
    let entries = (0..3).map(|number| (1000, 0, 1, number)).collect();
    let relay = Relay::new(entries, 500);
    let mut pager = Pager::new(vec![window(3, &KINDS, 0)], 5, 500);
    let (came, _) = walk(&mut pager, &relay, 100);
    assert_eq!((came.len(), pager.gaps()), (3, &[] as &[String]));
}

#[test]
fn a_small_limit_that_shows_is_believed() {
    let mut entries: Vec<Entry> = (0..5).map(|number| (1000, 0, 1, number)).collect();
    entries.extend((5..20).map(|number| (900 - u64::from(number), 1, 1, number)));
    let relay = Relay::new(entries, 3);
    let mut pager = Pager::new(vec![window(3, &KINDS, 0)], 5, 500);
    let (came, _) = walk(&mut pager, &relay, 200);
    assert_eq!((came.len(), pager.gaps().len()), (18, 1));
}

#[test]
fn what_is_private_is_found_out_and_hides_nothing_when_asked_alone() {
    let entries = (0..900).map(|number| {
        let kind = if number < 600 { 4 } else { 1 };
        (2000 - u64::from(number), 0, kind, number)
    });
    let relay = Relay {
        private: Some(4),
        ..Relay::new(entries.collect(), 500)
    };
    let windows = vec![
        window(2, &[1, 7], 0),
        window(2, &[4], 0),
        window(5, &[4], 0),
    ];
    let mut pager = Pager::new(windows, 1, 500);
    let (came, _) = walk(&mut pager, &relay, 50);
    assert_eq!(came.len(), 300);
    assert_eq!(pager.unreadable_kinds(), [4]);
    assert_eq!(pager.gaps(), &[] as &[String]);
}

#[test]
fn old_events_put_before_the_others_hide_nothing() {
    let entries: Vec<Entry> = (0..2000).map(|n| (5000 - u64::from(n), 0, 1, n)).collect();
    let relay = Relay::new(entries, 500);
    let mut pager = Pager::new(vec![window(1, &[1], 0)], 1, 500);
    let mut came = BTreeSet::new();
    let mut questions = 0;
    while let Some((subscription, filter)) = pager.next_subscription() {
        questions += 1;
        assert!(questions < 100);
        if (filter.since..=filter.until).contains(&3) {
            let asked = pager.event(subscription, &key(0), 1, 3);
            assert_eq!(asked, Asked::Yes);
        }
        for entry in relay.answer(&filter) {
            pager.event(subscription, &key(0), 1, entry.0);
            came.insert(entry);
        }
        pager.end(subscription);
    }
    assert!(pager.is_done());
    assert_eq!(came.len(), 2000);
}

#[test]
fn events_still_come_after_the_end_and_mean_nothing() {
    let mut pager = Pager::new(vec![window(2, &[1], 50)], 2, 500);
    let (first, _) = pager.next_subscription().unwrap();
    assert_eq!(pager.event(first, &key(0), 1, 100), Asked::Yes);
    assert_eq!(pager.event(first, &key(2), 1, 100), Asked::No);
    assert_eq!(pager.event(first, &key(0), 7, 100), Asked::No);
    assert_eq!(pager.event(first, &key(0), 1, 48), Asked::No);
    assert!(pager.end(first));
    assert_eq!(pager.event(first, &key(0), 1, 120), Asked::Late);
    assert_eq!(pager.event(first, &key(9), 1, 120), Asked::No);
    assert_eq!(pager.event(99, &key(0), 1, 100), Asked::No);
    pager.reconnected();
    assert_eq!(pager.event(first, &key(0), 1, 120), Asked::No);
}

#[test]
fn an_endless_answer_is_noticed() {
    let mut pager = Pager::new(vec![window(1, &[1], 0)], 1, 10);
    let (subscription, _) = pager.next_subscription().unwrap();
    let most = 10 + MOST_SURPLUS;
    for _ in 0..most {
        assert_eq!(pager.event(subscription, &key(0), 1, 100), Asked::Yes);
    }
    assert_eq!(pager.event(subscription, &key(0), 1, 100), Asked::TooMany);
}

#[test]
fn a_relay_that_takes_no_question_is_given_up() {
    let mut pager = Pager::new(vec![window(1, &[1], 0)], 4, 10);
    let mut times = 0;
    loop {
        assert!(pager.next_subscription().is_some());
        times += 1;
        if pager.too_many_open().is_none() {
            break;
        }
    }
    assert!(times < 30, "{times}");
}

#[test]
fn a_broken_connection_costs_the_open_pages_alone() {
    let entries = (0..2000).map(|n| (5000 - u64::from(n), 0, 1, n)).collect();
    let relay = Relay::new(entries, 500);
    let mut pager = Pager::new(vec![window(1, &[1], 0)], 1, 500);
    for _ in 0..2 {
        let (subscription, filter) = pager.next_subscription().unwrap();
        for entry in relay.answer(&filter) {
            pager.event(subscription, &key(0), 1, entry.0);
        }
        pager.end(subscription);
    }
    pager.next_subscription().unwrap();
    assert_eq!(pager.open_count(), 1);
    pager.reconnected();
    let (came, _) = walk(&mut pager, &relay, 20);
    assert!((1000..1100).contains(&came.len()), "{}", came.len());
}

#[test]
fn what_is_dated_beyond_all_clocks_hides_nothing() {
    let far = (0..30).map(|number| (u64::MAX - u64::from(number % 3), 0, 1, number));
    let usual = (0..100).map(|number| (1000 + u64::from(number), 0, 1, 100 + number));
    let relay = Relay::new(far.chain(usual.clone()).collect(), 10);
    let mut pager = Pager::new(vec![window(1, &[1], 0)], 2, 500);
    let (came, _) = walk(&mut pager, &relay, 1000);
    assert!(usual.clone().all(|entry| came.contains(&entry)));
    assert_eq!(pager.gaps(), <[String; 0]>::default());
}

/// Walks a relay that refuses questions which are too large in its words. Returns how many.
fn walk_refusing(
    pager: &mut Pager,
    relay: &Relay,
    objects: impl Fn(&Filter) -> Option<Objection>,
) -> (BTreeSet<Entry>, usize) {
    pager.begin_within(None, 10_000);
    let (mut came, mut refusals) = (BTreeSet::new(), 0);
    while let Some((subscription, filter)) = pager.next_subscription() {
        if let Some(objection) = objects(&filter) {
            refusals += 1;
            assert!(pager.refused(subscription, "no", objection));
            if pager.is_hopeless() {
                break;
            }
            continue;
        }
        for entry in relay.answer(&filter) {
            pager.event(subscription, &key(entry.1), entry.2, entry.0);
            came.insert(entry);
        }
        pager.end(subscription);
    }
    (came, refusals)
}

#[test]
fn a_question_that_is_too_large_is_asked_smaller_until_it_is_taken() {
    let entries = (0..600_u32).map(|number| {
        let kind = KINDS[number as usize % 3];
        (9000 - u64::from(number), (number % 20) as u8, kind, number)
    });
    let relay = Relay::new(entries.collect(), 500);
    let objections: [fn(&Filter) -> Option<Objection>; 6] = [
        |filter| (filter.authors.len() > 3).then_some(Objection::TooMuch(Dimension::Authors)),
        |filter| (filter.kinds.len() > 1).then_some(Objection::TooMuch(Dimension::Kinds)),
        |filter| (filter.limit > 40).then_some(Objection::TooMuch(Dimension::Limit)),
        |filter| {
            let span = filter.until.saturating_sub(filter.since);
            (span > 300).then_some(Objection::TooMuch(Dimension::Span))
        },
        // It does not say what it minds.
        |filter| {
            let items = filter.authors.len() * filter.kinds.len();
            (items > 5).then_some(Objection::TooMuch(Dimension::Any))
        },
        // Nobody knows what its words mean.
        |filter| (filter.authors.len() > 10).then_some(Objection::Unknown),
    ];
    for (number, objects) in objections.into_iter().enumerate() {
        let mut pager = Pager::new(vec![window(20, &KINDS, 100)], 1, 500);
        let (came, refusals) = walk_refusing(&mut pager, &relay, objects);
        assert_eq!(came.len(), 600, "{number}");
        assert_eq!(pager.gaps(), &[] as &[String], "{number}");
        assert!(refusals < 12, "{number}: {refusals}");
    }
}

#[test]
fn what_is_refused_however_small_it_is_is_a_gap_after_few_questions() {
    let relay = Relay::new(Vec::new(), 500);
    for objection in [
        Objection::Unknown,
        Objection::Never,
        Objection::TooMuch(Dimension::Any),
        Objection::TooMuch(Dimension::Authors),
    ] {
        let mut pager = Pager::new(vec![window(200, &KINDS, 100)], 1, 500);
        let (_, refusals) = walk_refusing(&mut pager, &relay, |_| Some(objection));
        assert!(!pager.gaps().is_empty(), "{objection:?}");
        assert!(refusals < 60, "{objection:?}: {refusals}");
    }
}
