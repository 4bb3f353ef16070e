use super::*;
use crate::plan::slices::{LARGE, SMALL};

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 24 * HOUR;
const A: &str = "ws://a";

fn key(number: u8) -> Pubkey {
    Pubkey::from_bytes([number; 32])
}

fn keys(numbers: std::ops::Range<u8>) -> Arc<[Pubkey]> {
    numbers.map(key).collect()
}

fn completed(now: u64, run: u64) -> Completed<'static> {
    Completed {
        address: A,
        now,
        run,
        newest: now - 5,
        kinds: &[0, 1, 3],
        reconciled: true,
    }
}

fn slices(cuts: &[u64]) -> Slices {
    Slices {
        cuts: cuts.to_vec(),
        period: DAY,
    }
}

fn plan_for(
    coverage: Option<&Coverage>,
    now: u64,
    followed: &Arc<[Pubkey]>,
    cuts: &[u64],
    followed_since: impl Fn(&Pubkey) -> u64,
) -> Asked {
    let circumstances = Circumstances {
        now,
        followed,
        kinds: &[0, 1, 3],
        overlap: DAY,
        slices: &slices(cuts),
    };
    Coverage::plan(coverage, A, circumstances, followed_since)
}

fn plan(coverage: Option<&Coverage>, now: u64, cuts: &[u64]) -> Asked {
    plan_for(coverage, now, &keys(0..10), cuts, |_| 1)
}

fn covered(now: u64) -> Coverage {
    Coverage::settle(None, &Asked::since(0), completed(now, 1)).unwrap()
}

#[test]
fn a_peer_of_which_nothing_was_had_is_asked_for_everything() {
    assert_eq!(plan(None, NOW, &[]), Asked::since(0));
    let parts = Asked::since(0).parts(&keys(0..3));
    let [part] = parts.as_slice() else {
        panic!("{parts:?}");
    };
    assert_eq!((part.since, part.until, part.authors.len()), (0, LATEST, 3));
}

#[test]
fn where_little_is_held_each_run_compares_all_of_it() {
    assert_eq!(plan(Some(&covered(NOW)), NOW + HOUR, &[]), Asked::since(0));
}

#[test]
fn a_run_asks_for_what_is_new_and_for_the_slice_that_waits_longest() {
    let cuts = [1000, 2000, 3000];
    let mut coverage = covered(NOW);
    let mut seen = Vec::new();
    for hour in 1..=4 {
        let now = NOW + hour * HOUR;
        let asked = plan(Some(&coverage), now, &cuts);
        seen.push(asked.spans.clone());
        coverage = Coverage::settle(Some(coverage), &asked, completed(now, 2)).unwrap();
        assert_eq!(coverage.horizon(), now - 5);
    }
    let recent = |hour: u64| NOW + (hour - 1) * HOUR - 5 - DAY;
    let open = |since| TimeSpan {
        since,
        until: LATEST,
    };
    let closed = |since, until| TimeSpan { since, until };
    assert_eq!(seen[0], [closed(0, 999), open(recent(1))]);
    assert_eq!(seen[1], [closed(1000, 1999), open(recent(2))]);
    assert_eq!(seen[2], [closed(2000, 2999), open(recent(3))]);
    assert_eq!(
        seen[3],
        [open(3000)],
        "the last slice and what is new are one"
    );
}

#[test]
fn all_of_time_is_compared_within_a_day_whatever_the_hours_of_the_runs() {
    let cuts: Vec<u64> = (1..24).map(|cut| cut * 70_000_000).collect();
    let mut coverage = covered(NOW);
    let mut now = NOW;
    for step in [1, 1, 3, 1, 9, 1, 1, 1, 1, 1, 12, 1, 1, 1, 1, 30, 1, 1] {
        now += step * HOUR;
        let asked = plan(Some(&coverage), now, &cuts);
        coverage = Coverage::settle(Some(coverage), &asked, completed(now, 2)).unwrap();
        let age = now - coverage.oldest_comparison();
        assert!(age < DAY, "{age} after {step} h");
    }
}

#[test]
fn a_peer_that_was_not_asked_for_long_is_compared_in_full() {
    let cuts = [1000, 2000, 3000];
    let coverage = covered(NOW);
    assert_eq!(
        plan(Some(&coverage), NOW + 20 * DAY, &cuts),
        Asked::since(0)
    );
}

#[test]
fn a_key_followed_since_then_is_asked_for_its_whole_history() {
    let followed = keys(0..10);
    let coverage = covered(NOW);
    let since = |key: &Pubkey| if key.as_bytes()[0] == 7 { 2 } else { 1 };
    let asked = plan_for(Some(&coverage), NOW + HOUR, &followed, &[1000], since);
    assert_eq!(asked.new_keys.as_ref(), [key(7)]);
    let parts = asked.parts(&followed);
    let new = parts.last().unwrap();
    assert_eq!((new.since, new.until, new.authors.len()), (0, LATEST, 1));
    let coverage = Coverage::settle(Some(coverage), &asked, completed(NOW + HOUR, 2)).unwrap();
    let asked = plan_for(Some(&coverage), NOW + 2 * HOUR, &followed, &[1000], since);
    assert!(asked.new_keys.is_empty(), "it was had");
}

#[test]
fn where_most_keys_are_new_everything_is_asked_for() {
    let coverage = covered(NOW);
    let since = |key: &Pubkey| 1 + u64::from(key.as_bytes()[0] > 3);
    let asked = plan_for(Some(&coverage), NOW + HOUR, &keys(0..10), &[1000], since);
    assert_eq!(asked, Asked::since(0));
}

#[test]
fn slices_hold_about_as_many_events_each() {
    assert!(Slices::of(vec![5; SMALL]).cuts.is_empty());
    let times: Vec<u64> = (0..48_000).rev().collect();
    let slices = Slices::of(times);
    assert_eq!((slices.cuts.len(), slices.period), (23, DAY));
    assert_eq!(slices.cuts[..2], [2000, 4000]);
    assert_eq!(Slices::of(vec![7; SMALL + 1]).cuts, [7]);
    let slices = Slices::of((0..=LARGE as u64).collect());
    assert_eq!((slices.cuts.len(), slices.period), (167, 7 * DAY));
}

#[test]
fn another_address_or_another_kind_is_not_covered() {
    let coverage = covered(NOW);
    let slices = slices(&[1000]);
    let ask = |address, kinds: &[u16]| {
        let circumstances = Circumstances {
            now: NOW + HOUR,
            followed: &keys(0..3),
            kinds,
            overlap: DAY,
            slices: &slices,
        };
        Coverage::plan(Some(&coverage), address, circumstances, |_| 1)
    };
    assert_eq!(ask("ws://b", &[0, 1, 3]), Asked::since(0));
    assert_eq!(ask(A, &[0, 1, 3, 7]), Asked::since(0));
    assert_ne!(ask(A, &[0, 3]), Asked::since(0));
}

#[test]
fn what_was_had_of_other_kinds_gives_way_to_what_was_had_of_these() {
    let after = |kinds: &[u16]| {
        let completed = Completed {
            kinds,
            ..completed(NOW, 2)
        };
        let coverage = Some(covered(NOW - HOUR));
        Coverage::settle(coverage, &Asked::since(0), completed)
            .unwrap()
            .kinds
    };
    assert_eq!(after(&[0, 7]), [0, 7], "some more and some less");
    assert_eq!(after(&[0, 1, 3, 7]), [0, 1, 3, 7]);
    assert_eq!(after(&[0, 1]), [0, 1, 3], "what is known of more stays");
}

#[test]
fn a_success_of_the_future_says_nothing() {
    let mut coverage = covered(NOW + 7 * DAY);
    let asked = plan(Some(&coverage), NOW, &[1000]);
    assert_eq!(asked, Asked::since(0));
    coverage.forget_the_future(NOW);
    assert_eq!(coverage.oldest_comparison(), 0);
    assert_eq!(plan(Some(&coverage), NOW, &[1000]), Asked::since(0));
}

#[test]
fn the_horizon_is_the_newest_event_and_no_clock() {
    let ahead = Completed {
        newest: NOW - 300,
        ..completed(NOW + 7 * DAY, 1)
    };
    let coverage = Coverage::settle(None, &Asked::since(0), ahead).unwrap();
    assert_eq!(coverage.horizon(), NOW - 300);
    // The station was off until its clock was right.
    let asked = plan(Some(&coverage), NOW + 7 * DAY + HOUR, &[1000]);
    assert_eq!(asked.earliest(), NOW - 300 - DAY);
}

#[test]
fn events_dated_ahead_by_the_same_wrong_clock_do_not_move_the_horizon() {
    let hourly = |from: u64, hours: u64| (0..hours).map(move |hour| from - hour * HOUR);
    let usual: Vec<u64> = hourly(NOW, 48).collect();
    assert_eq!(horizon(&usual, DAY), NOW);
    let ahead = hourly(NOW + 20 * DAY, 9).chain(usual);
    assert_eq!(horizon(&ahead.collect::<Vec<_>>(), DAY), NOW);
    let gap = |gap: u64| horizon(&[NOW + gap, NOW], DAY);
    assert_eq!(gap(DAY / 2), NOW + DAY / 2);
    assert_eq!(gap(DAY / 2 + 1), NOW);
    assert_eq!(horizon(&[], DAY), 0);
}

#[test]
fn a_run_by_hand_adds_what_it_asked_for_and_nothing_else() {
    let days = |days| Asked::since(NOW - days * DAY);
    assert_eq!(
        Coverage::settle(None, &days(1), completed(NOW, 1)),
        None,
        "what is older was never had"
    );
    let coverage = covered(NOW - 3 * DAY);
    let gap = Coverage::settle(Some(coverage.clone()), &days(1), completed(NOW, 2));
    assert_eq!(gap, Some(coverage.clone()), "two days are missing between");
    let more = Coverage::settle(Some(coverage), &days(4), completed(NOW, 2)).unwrap();
    assert_eq!((more.horizon(), more.keys_run), (NOW - 5, 1));
    assert_eq!(more.oldest_comparison(), NOW - 3 * DAY);
    // Fewer kinds than before.
    let few = Completed {
        kinds: &[1],
        ..completed(NOW + DAY, 3)
    };
    let same = Coverage::settle(Some(more.clone()), &Asked::since(0), few);
    assert_eq!(same, Some(more));
}

#[test]
fn a_kind_that_is_left_out_for_good_does_not_make_each_run_ask_for_everything() {
    let followed = keys(0..10);
    let slices = slices(&[1000, 2000, 3000]);
    let mut coverage = covered(NOW);
    let mut everything = 0;
    for hour in 1..100 {
        let now = NOW + hour * HOUR;
        let circumstances = Circumstances {
            now,
            followed: &followed,
            kinds: &[0, 1],
            overlap: DAY,
            slices: &slices,
        };
        let asked = Coverage::plan(Some(&coverage), A, circumstances, |_| 1);
        everything += usize::from(asked == Asked::since(0));
        let few = Completed {
            kinds: &[0, 1],
            ..completed(now, 2)
        };
        coverage = Coverage::settle(Some(coverage), &asked, few).unwrap();
    }
    assert!(everything < 5, "{everything} runs asked for everything");
}

#[test]
fn a_peer_that_is_paged_through_is_not_asked_for_old_times_each_hour() {
    let paged = Completed {
        reconciled: false,
        ..completed(NOW, 1)
    };
    let coverage = Coverage::settle(None, &Asked::since(0), paged).unwrap();
    let asked = plan(Some(&coverage), NOW + HOUR, &[]);
    assert_eq!(
        asked,
        Asked {
            covers_all_keys: true,
            ..Asked::since(NOW - 5 - DAY)
        }
    );
    assert_eq!(plan(Some(&coverage), NOW + DAY, &[]), Asked::since(0));
}

#[test]
fn the_history_of_a_peer_that_is_paged_through_is_spread_over_the_runs_of_a_day() {
    let cuts: Vec<u64> = (1..12).map(|cut| cut * 100_000_000).collect();
    let paged = |now| Completed {
        reconciled: false,
        ..completed(now, 1)
    };
    let mut coverage = Coverage::settle(None, &Asked::since(0), paged(NOW)).unwrap();
    for hour in 1..100 {
        let now = NOW + hour * HOUR;
        let asked = plan(Some(&coverage), now, &cuts);
        assert!(asked.spans.len() <= 2, "hour {hour}: {asked:?}");
        assert!(hour >= 12 || asked.spans.len() == 1);
        coverage = Coverage::settle(Some(coverage), &asked, paged(now)).unwrap();
        assert!(now - coverage.oldest_comparison() < DAY);
    }
}

#[test]
fn marking_any_spans_in_any_order_keeps_the_times_in_order_and_without_a_gap() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..2000 {
        let mut coverage = covered(1000);
        let mut model = vec![1000_u64; 996];
        for now in 2000..2010 {
            let since = random.u64(0..1100);
            let until = since + random.u64(0..400);
            coverage.mark(TimeSpan { since, until }, now, 0);
            if since <= model.len() as u64 {
                for second in since..=until {
                    let second = usize::try_from(second).unwrap();
                    if second < model.len() {
                        model[second] = now;
                    } else {
                        model.push(now);
                    }
                }
            }
            let mut spelled = Vec::new();
            let mut begin = 0;
            for compared in &coverage.compared {
                let length = usize::try_from(compared.until + 1 - begin).unwrap();
                spelled.extend(std::iter::repeat_n(compared.at, length));
                begin = compared.until + 1;
            }
            assert_eq!(spelled, model);
        }
    }
}
