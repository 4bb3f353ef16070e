use super::*;

const NOW: u64 = 1_800_000_000;

fn own() -> Identity {
    Identity::of("own")
}

/// Peers that succeeded an hour ago, and bring nothing.
fn peers(count: usize) -> Vec<Candidate> {
    (0..count)
        .map(|number| Candidate {
            identity: Identity::of(&format!("wss://{number}.example")),
            history: PeerHistory {
                last_asked: Some(NOW - HOUR),
                last_success: Some(NOW - HOUR),
                has_given: true,
                ..PeerHistory::default()
            },
        })
        .collect()
}

fn some(peers: &[Candidate], seed: u64) -> Selection {
    Selection::some(own(), peers, PEERS_PER_RUN, NOW, &mut Rng::with_seed(seed))
}

#[test]
fn as_many_as_wanted_each_once_and_all_of_few() {
    for count in [1, 3, 8, 9, 100] {
        for most in [1, 2, 3, 6, 8] {
            let all = peers(count);
            let selection = Selection::some(own(), &all, most, NOW, &mut Rng::with_seed(1));
            let mut first = selection.first().to_vec();
            first.sort_unstable();
            first.dedup();
            assert_eq!(first.len(), most.min(count), "{most} of {count}");
        }
    }
}

#[test]
fn the_four_best_come_first_and_two_by_rotation() {
    let mut all = peers(100);
    for (place, peer) in all.iter_mut().enumerate().take(20).skip(10) {
        peer.history.score = place as f64;
    }
    all[70].history = PeerHistory::default();
    all[80].history.last_asked = Some(NOW - 100 * HOUR);
    for seed in 0..20 {
        let selection = some(&all, seed);
        assert_eq!(selection.first()[..2], [19, 18], "best first");
        for place in [19, 18, 17, 16, 70, 80] {
            assert!(selection.first().contains(&place), "{place}");
        }
    }
    let random: std::collections::BTreeSet<usize> = (0..50)
        .flat_map(|seed| some(&all, seed).first().to_vec())
        .collect();
    assert!(random.len() > 40, "two at random");
}

#[test]
fn each_station_has_its_own_rotation() {
    let all = peers(1000);
    let next = |own: &str| {
        let own = Identity::of(own);
        let selection = Selection::some(own, &all, 1, NOW, &mut Rng::with_seed(1));
        selection.first()[0]
    };
    let nexts: std::collections::BTreeSet<usize> =
        (0..100).map(|number| next(&number.to_string())).collect();
    assert!(nexts.len() > 85, "{}", nexts.len());
    assert_eq!(next("a"), next("a"));
}

#[test]
fn who_failed_a_moment_ago_is_not_asked_and_who_is_dead_hardly_ever() {
    let mut all = peers(100);
    for (place, peer) in all.iter_mut().enumerate().skip(10) {
        peer.history.failures = if place < 50 { 1 } else { 2 };
        let hours = if place < 50 { 0 } else { 3 };
        peer.history.last_failure = NOW - hours * HOUR;
    }
    let dead = |seed| {
        some(&all, seed)
            .first()
            .iter()
            .filter(|place| **place >= 10)
            .count()
    };
    let tried: Vec<usize> = (0..400).map(dead).collect();
    assert_eq!(tried.iter().max(), Some(&1));
    let runs: usize = tried.iter().sum();
    assert!((60..140).contains(&runs), "one run in four: {runs}");
}

#[test]
fn invented_dead_peers_do_not_keep_a_true_one_from_its_turn() {
    let mut all = peers(100);
    for peer in all.iter_mut().skip(10) {
        peer.history = PeerHistory {
            failures: 2,
            last_failure: NOW - 3 * HOUR,
            ..PeerHistory::default()
        };
    }
    all[99].history = PeerHistory {
        failures: 9,
        last_failure: NOW - 200 * HOUR,
        has_given: true,
        ..PeerHistory::default()
    };
    let is_asked = |seed: &u64| some(&all, *seed).first().contains(&99);
    let runs = (0..400).filter(is_asked).count();
    assert!((30..80).contains(&runs), "one run in eight: {runs}");
}

#[test]
fn a_broken_link_is_tried_with_a_few_others_and_one_peer_that_is_reached_is_none() {
    let all = peers(100);
    for is_one_reached in [false, true] {
        let mut selection = some(&all, 1);
        let mut failing = VecDeque::from(selection.first().to_vec());
        let mut tries = 0;
        while !selection.has_no_link()
            && let Some(place) = failing.pop_front()
        {
            tries += 1;
            failing.extend(selection.failed(place));
            // It was slow to answer, and eight dead ones failed meanwhile.
            if is_one_reached && tries == PEERS_PER_RUN {
                selection.reached();
            }
        }
        let expected = if is_one_reached {
            selection.most_tries()
        } else {
            PEERS_PER_RUN + TRIES_WITHOUT_LINK
        };
        assert_eq!(tries, expected, "{is_one_reached}");
    }
}

/// The peers that the rotation comes to in so many runs, each an hour after the other, if the
/// first ones fail, or change, as this function says.
fn asked_in_turn(
    all: &mut Vec<Candidate>,
    runs: u64,
    change: impl Fn(&mut Vec<Candidate>, u64),
) -> std::collections::BTreeSet<usize> {
    let mut asked = std::collections::BTreeSet::new();
    for run in 0..runs {
        let now = NOW + run * HOUR;
        let mut chance = Rng::with_seed(run);
        let selection = Selection::some(own(), all, 2 * ROTATION, now, &mut chance);
        let by_rotation = selection.reasons.iter();
        let by_rotation = by_rotation.filter(|(_, reason)| **reason == Reason::Rotation);
        for (&place, _) in by_rotation {
            asked.insert(place);
            all[place].history.last_asked = Some(now);
        }
        change(all, run);
    }
    asked
}

#[test]
fn peers_that_never_give_everything_do_not_keep_the_rotation_to_themselves() {
    let mut all = peers(50);
    for peer in &mut all[..10] {
        peer.history.last_success = None;
    }
    assert_eq!(asked_in_turn(&mut all, 25, |_, _| {}).len(), 50);
}

#[test]
fn a_thousand_invented_folders_do_not_keep_the_rotation_to_themselves() {
    let mut all = peers(1050);
    let invent = |all: &mut Vec<Candidate>, run: u64| {
        for (number, peer) in all.iter_mut().enumerate().skip(50) {
            peer.identity = Identity::of(&format!("invented {number} in run {run}"));
            peer.history = PeerHistory::default();
        }
    };
    invent(&mut all, 0);
    let asked = asked_in_turn(&mut all, 80, invent);
    assert!((0..50).all(|place| asked.contains(&place)), "{asked:?}");
    assert!(asked.iter().any(|place| *place >= 50), "{asked:?}");
}

#[test]
fn one_that_fails_is_replaced() {
    let all = peers(100);
    let mut selection = some(&all, 1);
    let first = selection.first().to_vec();
    let others: Vec<Option<usize>> = first.iter().map(|place| selection.failed(*place)).collect();
    assert_eq!(others.iter().flatten().count(), PEERS_PER_RUN);
    assert!(others.iter().flatten().all(|other| !first.contains(other)));
    let mut selection = some(&all, 1);
    selection.reached();
    let mut tries = PEERS_PER_RUN;
    let mut failing = VecDeque::from(selection.first().to_vec());
    while let Some(place) = failing.pop_front() {
        let other = selection.failed(place);
        tries += usize::from(other.is_some());
        failing.extend(other);
    }
    assert_eq!(tries, selection.most_tries(), "and not for ever");
    let mut few = Selection::all(own(), &all[..20]);
    assert_eq!(few.failed(3), None);
}

#[test]
fn one_that_wants_to_be_left_alone_is_replaced_and_is_no_sign_of_a_dead_link() {
    let all = peers(100);
    let mut selection = some(&all, 1);
    let mut left_alone = VecDeque::from(selection.first().to_vec());
    let mut tries = left_alone.len();
    while let Some(place) = left_alone.pop_front() {
        let other = selection.left_alone(place);
        tries += usize::from(other.is_some());
        left_alone.extend(other);
    }
    assert_eq!(tries, selection.most_tries());
    assert!(!selection.has_no_link());
}
