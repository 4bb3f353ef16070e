//! [`Coverage`]: what was had of one peer, completely: of which keys and kinds, and when each span
//! of time was last compared with it. From this follows what the next run asks the peer
//! ([`Asked`]). No clock and no file: callers pass the time.
//!
//! An event's `created_at` does not say when it reached a peer: events arrive days and years late,
//! and so do deletions. So it is not enough to ask for what is new. A run also compares a slice of
//! older time, such that all of time is compared once in a sweep's period.

use std::sync::Arc;

use constellation_shared::Pubkey;
use serde::{Deserialize, Serialize};

use crate::plan::wanted::Part;
use crate::relay::filter::LATEST;

/// A slice is compared again this many seconds before the sweep's period is over: hourly runs
/// often start a little late.
const GRACE: u64 = 3600 + 600;

/// A span of time, both ends included, in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeSpan {
    /// The earliest time.
    pub since: u64,
    /// The latest time; [`LATEST`] for no bound.
    pub until: u64,
}

/// All of time.
const EVERYTHING: TimeSpan = TimeSpan {
    since: 0,
    until: LATEST,
};

/// When the time up to `until` was last compared, beginning where the entry before ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Compared {
    until: u64,
    /// When the run began, in Unix seconds.
    at: u64,
}

/// What was had of one peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// The peer's address. Behind another address there may be another database.
    address: String,
    /// The kinds that were asked for, in ascending order.
    kinds: Vec<u16>,
    /// The number of the last run that asked for the whole history of each key that was new.
    keys_run: u64,
    /// The time from 0 to the horizon, in ascending order.
    compared: Vec<Compared>,
    /// Whether the peer told what it has (NIP-77), so that comparing costs next to nothing.
    reconciled: bool,
}

/// How the history is swept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slices {
    /// The times at which the history is cut, in ascending order: about the same number of events
    /// lies in each slice. Where there are none, all of history is one slice.
    pub cuts: Vec<u64>,
    /// The time in which all slices are compared, in seconds.
    pub period: u64,
}

/// Up to this many events, all of history is one slice.
const SMALL: usize = 20_000;

/// Above this many events, a sweep takes a week.
const LARGE: usize = 1_000_000;

const HOUR: u64 = 3600;

impl Slices {
    /// Slices for a history with events at these times, in Unix seconds and in any order.
    pub fn of(times: Vec<u64>) -> Self {
        let hours = if times.len() > LARGE { 7 * 24 } else { 24 };
        if times.len() > SMALL {
            return Self::cut(times, hours);
        }
        Self {
            cuts: Vec::new(),
            period: hours as u64 * HOUR,
        }
    }

    /// One slice for each of this many hours.
    pub fn cut(mut times: Vec<u64>, hours: usize) -> Self {
        times.sort_unstable();
        let places = (1..hours).map(|hour| times.len() * hour / hours);
        let mut cuts: Vec<u64> = places
            .filter_map(|place| times.get(place))
            .copied()
            .collect();
        cuts.dedup();
        Self {
            cuts,
            period: hours as u64 * HOUR,
        }
    }
}

/// What a run knows of itself when it plans what it asks a peer.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// When the run began, in Unix seconds.
    pub now: u64,
    /// The authors whose events are wanted, in ascending order.
    pub followed: &'a Arc<[Pubkey]>,
    /// The kinds that are wanted, in ascending order.
    pub kinds: &'a [u16],
    /// The seconds before the horizon that every run compares again.
    pub overlap: u64,
    /// How the history is swept.
    pub slices: &'a Slices,
}

/// What a run asks a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The spans of time that it asks for of everybody, in ascending order.
    pub spans: Vec<TimeSpan>,
    /// The keys whose whole history it asks for, in ascending order.
    pub new_keys: Arc<[Pubkey]>,
    /// Whether nothing is left that is not covered, once all of this was had.
    pub covers_all_keys: bool,
}

/// Up to when everything was had after a run that compared everything that is new, judged by when
/// the newest events of this station were created, in Unix seconds and newest first: the last time
/// before the first gap longer than half of `overlap`. While a clock is ahead, events come in that
/// are dated ahead, such as those that the same station signs. What is new is older than they are,
/// so nothing may be concluded from their times.
pub fn horizon(newest: &[u64], overlap: u64) -> u64 {
    let mut times = newest.iter().rev().copied();
    let mut horizon = times.next().unwrap_or_default();
    for time in times {
        if time.saturating_sub(horizon) > overlap / 2 {
            break;
        }
        horizon = time;
    }
    horizon
}

/// How a run ended with a peer that gave all that was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Completed<'a> {
    /// The peer's address.
    pub address: &'a str,
    /// When the run began, in Unix seconds.
    pub now: u64,
    /// The number of the run.
    pub run: u64,
    /// Up to when everything was had, in Unix seconds, by the newest events of this station (see
    /// [`horizon`]); what a clock says of the time after them proves nothing.
    pub newest: u64,
    /// The kinds that were asked for, in ascending order.
    pub kinds: &'a [u16],
    /// Whether the peer told what it has (NIP-77).
    pub reconciled: bool,
}

impl Asked {
    /// Everything that everybody wrote since this time, in Unix seconds.
    pub fn since(since: u64) -> Self {
        Self {
            spans: vec![TimeSpan {
                since,
                until: LATEST,
            }],
            new_keys: Arc::default(),
            covers_all_keys: since == 0,
        }
    }

    /// The parts of what is wanted of the peer.
    pub fn parts(&self, followed: &Arc<[Pubkey]>) -> Vec<Part> {
        let everybody = self.spans.iter().map(|span| (followed, *span));
        let new = Some((&self.new_keys, EVERYTHING)).filter(|(keys, _)| !keys.is_empty());
        everybody
            .chain(new)
            .map(|(authors, TimeSpan { since, until })| Part {
                authors: Arc::clone(authors),
                since,
                until,
            })
            .collect()
    }

    /// The earliest time that is asked for without a bound on the latest, in Unix seconds.
    pub fn earliest(&self) -> u64 {
        let last = self.spans.last();
        last.map_or(LATEST, |span| span.since)
    }

    fn is_everything(&self) -> bool {
        self.spans.first() == Some(&EVERYTHING)
    }
}

impl Coverage {
    /// What a run asks a peer, given what was had of it and, for each key, the number of the run
    /// since which it has been followed without a break.
    pub fn plan(
        coverage: Option<&Self>,
        address: &str,
        circumstances: Circumstances<'_>,
        followed_since: impl Fn(&Pubkey) -> u64,
    ) -> Asked {
        let Circumstances {
            now,
            followed,
            kinds,
            overlap,
            slices,
        } = circumstances;
        let known = coverage
            .filter(|coverage| coverage.address == address && is_subset(kinds, &coverage.kinds));
        let Some(coverage) = known else {
            return Asked::since(0);
        };
        let is_new = |key: &&Pubkey| followed_since(key) > coverage.keys_run;
        let new_keys: Vec<Pubkey> = followed.iter().filter(is_new).copied().collect();
        // To name most of them twice costs more than to ask for all of everybody.
        if 2 * new_keys.len() > followed.len() {
            return Asked::since(0);
        }
        let recent = coverage.horizon().min(now).saturating_sub(overlap);
        let mut spans = coverage.due(slices, recent, now);
        match spans.last_mut() {
            Some(last) if last.until + 1 == recent => last.until = LATEST,
            _ => spans.push(TimeSpan {
                since: recent,
                until: LATEST,
            }),
        }
        let asked = Asked {
            spans,
            new_keys: new_keys.into(),
            covers_all_keys: true,
        };
        if asked.is_everything() {
            Asked::since(0)
        } else {
            asked
        }
    }

    /// Records that all that was asked came. A run without the history of new keys adds to the
    /// times only.
    pub fn settle(coverage: Option<Self>, asked: &Asked, completed: Completed<'_>) -> Option<Self> {
        let Completed {
            address,
            now,
            run,
            newest,
            kinds,
            reconciled,
        } = completed;
        let before = coverage.filter(|coverage| coverage.address == address);
        let is_out_of_use =
            |coverage: &Self| asked.is_everything() && coverage.is_older_than_a_day(now);
        let mut coverage = match before {
            Some(coverage) if coverage.kinds == kinds => coverage,
            // What is known of more kinds than these stays as it is, unless they have been left out
            // for so long that all of it is to be compared again anyway.
            Some(coverage) if is_subset(kinds, &coverage.kinds) && !is_out_of_use(&coverage) => {
                return Some(coverage);
            }
            _ if asked.is_everything() => Self {
                address: address.to_owned(),
                kinds: kinds.to_vec(),
                keys_run: run,
                compared: Vec::new(),
                reconciled,
            },
            other => return other,
        };
        coverage.reconciled = reconciled;
        if asked.covers_all_keys {
            coverage.keys_run = run;
        }
        for span in &asked.spans {
            coverage.mark(*span, now, newest);
        }
        Some(coverage)
    }

    /// The time up to which everything was had, in Unix seconds.
    pub fn horizon(&self) -> u64 {
        self.compared.last().map_or(0, |last| last.until)
    }

    /// When the part of the history was compared that has not been compared for longest, in Unix
    /// seconds.
    pub fn oldest_comparison(&self) -> u64 {
        let times = self.compared.iter().map(|compared| compared.at);
        times.min().unwrap_or_default()
    }

    /// When something was last compared, in Unix seconds.
    pub fn last_comparison(&self) -> u64 {
        let times = self.compared.iter().map(|compared| compared.at);
        times.max().unwrap_or_default()
    }

    /// Whether nothing has been compared within the day before `now`, in Unix seconds.
    fn is_older_than_a_day(&self, now: u64) -> bool {
        let age = now.checked_sub(self.last_comparison());
        age.is_some_and(|age| age > 24 * HOUR)
    }

    /// Forgets comparisons that are dated after `now`, in Unix seconds: the clock was ahead.
    pub fn forget_the_future(&mut self, now: u64) {
        for compared in &mut self.compared {
            if compared.at > now {
                compared.at = 0;
            }
        }
        self.join_equal();
    }

    /// The slices of the time before `recent` that are to be compared at `now`: those whose time
    /// has come, and the one that waits longest. Paging through a slice costs what it holds, so a
    /// peer that does not tell what it has is asked for that one only after half of the period.
    fn due(&self, slices: &Slices, recent: u64, now: u64) -> Vec<TimeSpan> {
        let mut begin = 0;
        let mut cut: Vec<(TimeSpan, u64)> = Vec::new();
        let cuts = slices.cuts.iter().copied().filter(|cut| *cut < recent);
        for end in cuts.chain([recent]) {
            if end > begin {
                let until = end - 1;
                let span = TimeSpan {
                    since: begin,
                    until,
                };
                cut.push((span, self.compared_at(span)));
                begin = end;
            }
        }
        let longest = slices.period.saturating_sub(GRACE);
        let oldest = cut.iter().map(|(_, at)| *at).min();
        let half = slices.period / 2;
        let is_spread = cut.len() > 1 && oldest.is_some_and(|at| now.saturating_sub(at) >= half);
        let mut takes_oldest = self.reconciled || is_spread;
        let mut due: Vec<TimeSpan> = Vec::new();
        for (span, at) in cut {
            let is_old = now.checked_sub(at).is_none_or(|age| age >= longest);
            let is_next = takes_oldest && Some(at) == oldest;
            if !is_old && !is_next {
                continue;
            }
            takes_oldest &= !is_next;
            match due.last_mut() {
                Some(last) if last.until + 1 == span.since => last.until = span.until,
                _ => due.push(span),
            }
        }
        due
    }

    /// When all of a span had been compared, in Unix seconds; 0 if it never was.
    fn compared_at(&self, span: TimeSpan) -> u64 {
        if span.until > self.horizon() {
            return 0;
        }
        let mut begin = 0;
        let mut oldest = u64::MAX;
        for compared in &self.compared {
            if begin <= span.until && compared.until >= span.since {
                oldest = oldest.min(compared.at);
            }
            begin = compared.until + 1;
        }
        oldest
    }

    /// Records that a span was compared at `now`. A span without a bound moves the horizon to
    /// `newest`, unless it begins after the horizon: what lies between was not asked for.
    fn mark(&mut self, span: TimeSpan, now: u64, newest: u64) {
        let begin_of_unknown = match self.compared.last() {
            Some(last) => last.until + 1,
            None => 0,
        };
        if span.since > begin_of_unknown {
            return;
        }
        let until = match span.until {
            LATEST => newest.max(self.horizon()).min(LATEST - 1),
            until => until,
        };
        if until < span.since {
            return;
        }
        let mut marked = Vec::with_capacity(self.compared.len() + 2);
        let mut begin = 0;
        let mut is_placed = false;
        for compared in &self.compared {
            if begin < span.since {
                marked.push(Compared {
                    until: compared.until.min(span.since - 1),
                    at: compared.at,
                });
            }
            if compared.until >= span.since && !is_placed {
                is_placed = true;
                marked.push(Compared { until, at: now });
            }
            if compared.until > until {
                marked.push(*compared);
            }
            begin = compared.until + 1;
        }
        if !is_placed {
            marked.push(Compared { until, at: now });
        }
        self.compared = marked;
        self.join_equal();
    }

    fn join_equal(&mut self) {
        self.compared.dedup_by(|next, compared| {
            let is_equal = next.at == compared.at;
            if is_equal {
                compared.until = compared.until.max(next.until);
            }
            is_equal
        });
    }
}

/// Whether all of these kinds are among the others; both in ascending order.
fn is_subset(kinds: &[u16], others: &[u16]) -> bool {
    kinds.iter().all(|kind| others.binary_search(kind).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
