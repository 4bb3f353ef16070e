//! [`Task`]: one question of a reconciliation; and [`plan`], which divides what is wanted of a peer
//! into tasks.

use std::sync::Arc;

use constellation_shared::Pubkey;

use crate::plan::peer_sets::{Naming, Span, Way};
use crate::plan::wanted::{Part, RESTRICTED_KINDS, Wanted};
use crate::relay::filter::{LATEST, Window};

/// How many authors one question names: with them the first message is below 64 KiB, the smallest
/// that relays are known to take.
const AUTHORS: usize = 850;

/// Without names of authors, a peer may list this many events that are unknown here. If there are
/// more, the authors are named.
pub(super) const MOST_UNKNOWN: usize = 2_000;

/// Events of the last two days are recent.
const RECENT: u64 = 2 * 86_400;

/// A try begins with this share of the time, and at most this many seconds of it.
const TRIED_FIRST: u64 = 16;
const LONGEST_TRIED_FIRST: u64 = 86_400;

/// How a question is put, and what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asking {
    /// The authors are named.
    ByAuthors,
    /// Only kinds and times are named.
    ByKinds(Span),
    /// Only kinds and times are named, to find out how much the peer holds of other authors.
    /// Everything that is wanted was had before.
    Try(Span),
    /// Like [`Self::Try`], but about the newest part of the time only, which is tried first.
    TryNewest(Span),
}

/// One question of a reconciliation.
#[derive(Debug, Clone)]
pub(super) struct Task {
    /// What is asked for. It names no authors if only kinds and times are named.
    pub window: Window,
    /// The authors whose events are wanted.
    pub authors: Arc<[Pubkey]>,
    pub asking: Asking,
}

impl Task {
    /// Whether it is about kinds that many relays show only to clients who say who they are.
    pub(super) fn is_restricted(&self) -> bool {
        let mut kinds = self.window.kinds.iter();
        kinds.all(|kind| RESTRICTED_KINDS.contains(kind))
    }

    /// The questions that ask for this window with the authors named.
    pub(super) fn by_authors(&self) -> Vec<Self> {
        by_authors(&self.authors, &self.window)
    }

    /// This question about another window, a part of its own.
    pub(super) fn within(&self, window: Window) -> Self {
        Self {
            window,
            ..self.clone()
        }
    }
}

/// How a peer is to be asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ways {
    pub recent: Way,
    pub older: Way,
    /// Whether it may be tried to do without names, if a week has passed since that failed.
    pub may_try: bool,
}

impl Ways {
    const fn of(&self, span: Span) -> Way {
        match span {
            Span::Recent => self.recent,
            Span::Older => self.older,
        }
    }
}

/// What naming the authors costs in each run, if all of them are named.
pub(super) fn naming(wanted: &Wanted) -> Naming {
    let authors = most_authors(wanted);
    Naming::of(authors, wanted.kinds_asked_together().len())
}

fn most_authors(wanted: &Wanted) -> usize {
    let authors = wanted.parts.iter().map(|part| part.authors.len());
    authors.max().unwrap_or_default()
}

/// The tasks of a session at `now`, in Unix seconds; the last one comes first.
pub(super) fn plan(wanted: &Wanted, ways: Ways, now: u64) -> Vec<Task> {
    let groups = wanted.kinds_asked_together();
    let is_cheap = naming(wanted).is_cheap();
    let (mut tries, mut tasks) = (Vec::new(), Vec::new());
    for part in &wanted.parts {
        // A few keys are named: without names the peer would list what is wanted of all others.
        let is_of_all = part.authors.len() == most_authors(wanted);
        let pieces = pieces(part, now);
        let is_by_kinds = |(span, _): &(Span, Part)| matches!(ways.of(*span), Way::ByKinds(_));
        let names_all = is_cheap || !is_of_all || !pieces.iter().any(is_by_kinds);
        for kinds in &groups {
            if names_all {
                let whole = by_kinds(part, kinds);
                tasks.extend(by_authors(&part.authors, &whole));
            }
            for (span, piece) in pieces.iter().filter(|_| !is_cheap && is_of_all) {
                let window = by_kinds(piece, kinds);
                let task = |window, asking| Task {
                    window,
                    authors: Arc::clone(&part.authors),
                    asking,
                };
                match ways.of(*span) {
                    Way::ByKinds(_) => tasks.push(task(window, Asking::ByKinds(*span))),
                    way => {
                        if ways.may_try && way.may_be_tried(now) {
                            let (rest, newest) = newest(&window, now);
                            tries.extend(rest.map(|rest| task(rest, Asking::Try(*span))));
                            tries.push(task(newest, Asking::TryNewest(*span)));
                        }
                        if !names_all {
                            tasks.extend(by_authors(&part.authors, &window));
                        }
                    }
                }
            }
        }
    }
    tries.extend(tasks);
    tries
}

/// Divides a part into what is older and what is recent.
fn pieces(part: &Part, now: u64) -> Vec<(Span, Part)> {
    let cut = now.saturating_sub(RECENT);
    if part.until < cut {
        return vec![(Span::Older, part.clone())];
    }
    if part.since >= cut {
        return vec![(Span::Recent, part.clone())];
    }
    let older = Part {
        until: cut - 1,
        ..part.clone()
    };
    let recent = Part {
        since: cut,
        ..part.clone()
    };
    vec![(Span::Older, older), (Span::Recent, recent)]
}

/// Divides a window into its newest part, which comes last, and the rest.
fn newest(window: &Window, now: u64) -> (Option<Window>, Window) {
    let until = match window.until {
        LATEST => now.max(window.since),
        until => until,
    };
    let length = until.saturating_sub(window.since) / TRIED_FIRST;
    let since = until - length.min(LONGEST_TRIED_FIRST);
    if since <= window.since {
        return (None, window.clone());
    }
    let rest = Window {
        until: since - 1,
        ..window.clone()
    };
    let newest = Window {
        since,
        ..window.clone()
    };
    (Some(rest), newest)
}

/// The question about a part that names only kinds and times.
fn by_kinds(part: &Part, kinds: &[u16]) -> Window {
    Window {
        authors: Vec::new(),
        kinds: kinds.to_vec(),
        since: part.since,
        until: part.until,
    }
}

/// The questions that name these authors.
fn by_authors(authors: &Arc<[Pubkey]>, window: &Window) -> Vec<Task> {
    let chunks = authors.chunks(AUTHORS);
    chunks
        .map(|chunk| Task {
            window: Window {
                authors: chunk.to_vec(),
                ..window.clone()
            },
            authors: Arc::clone(authors),
            asking: Asking::ByAuthors,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;
    const DAY: u64 = 86_400;

    fn keys(count: u16) -> Arc<[Pubkey]> {
        let key = |number: u16| {
            let mut bytes = [1; 32];
            bytes[..2].copy_from_slice(&number.to_be_bytes());
            Pubkey::from_bytes(bytes)
        };
        (0..count).map(key).collect()
    }

    fn ways(recent: Way, older: Way, may_try: bool) -> Ways {
        Ways {
            recent,
            older,
            may_try,
        }
    }

    /// The asking, number of authors and days ago of each task, the first one first.
    fn planned(wanted: &Wanted, ways: Ways) -> Vec<(Asking, usize, u64, u64)> {
        let mut tasks = plan(wanted, ways, NOW);
        tasks.reverse();
        let ago = |time: u64| NOW.saturating_sub(time) / DAY;
        tasks
            .iter()
            .map(|task| {
                let Window { since, until, .. } = task.window;
                (
                    task.asking,
                    task.window.authors.len(),
                    ago(since),
                    ago(until),
                )
            })
            .collect()
    }

    #[test]
    fn authors_are_named_where_that_is_cheap_or_for_a_few_of_them() {
        let named = Asking::ByAuthors;
        let by_kinds = ways(Way::ByKinds(0), Way::ByKinds(0), true);
        let few = Wanted::since(keys(20), vec![1], NOW - DAY);
        assert_eq!(planned(&few, by_kinds), [(named, 20, 1, 0)]);
        let mut many = Wanted::since(keys(1000), vec![1], NOW - DAY);
        let kinds = Asking::ByKinds(Span::Recent);
        assert_eq!(planned(&many, by_kinds), [(kinds, 0, 1, 0)]);
        many.parts.push(Part {
            authors: keys(40),
            since: NOW - 9 * DAY,
            until: LATEST,
        });
        let with_new = [(named, 40, 9, 0), (kinds, 0, 1, 0)];
        assert_eq!(planned(&many, by_kinds), with_new);
    }

    #[test]
    fn it_is_tried_without_names_once_everything_was_had() {
        let wanted = Wanted::since(keys(1000), vec![1], NOW - 10 * DAY);
        let named = Asking::ByAuthors;
        let first = [(named, 150, 10, 0), (named, 850, 10, 0)];
        let tries = [
            (Asking::TryNewest(Span::Recent), 0, 0, 0),
            (Asking::Try(Span::Recent), 0, 2, 0),
            (Asking::TryNewest(Span::Older), 0, 2, 2),
            (Asking::Try(Span::Older), 0, 10, 2),
        ];
        let default = Way::default();
        assert_eq!(planned(&wanted, ways(default, default, false)), first);
        let all = [&first[..], &tries].concat();
        assert_eq!(planned(&wanted, ways(default, default, true)), all);
        let failed = Way::failed(NOW);
        let recent_only = [&first[..], &tries[..2]].concat();
        assert_eq!(planned(&wanted, ways(default, failed, true)), recent_only);
        assert_eq!(planned(&wanted, ways(failed, failed, true)), first);
    }

    #[test]
    fn older_and_recent_events_are_asked_for_in_different_ways() {
        let wanted = Wanted::since(keys(100), vec![1, 4], NOW - 10 * DAY);
        let ways = ways(Way::ByKinds(0), Way::failed(NOW), true);
        let (kinds, named) = (Asking::ByKinds(Span::Recent), Asking::ByAuthors);
        let each = [(kinds, 0, 2, 0), (named, 100, 10, 2)];
        assert_eq!(planned(&wanted, ways), [each, each].concat());
    }

    #[test]
    fn a_question_without_names_becomes_one_that_names_everybody() {
        let wanted = Wanted::since(keys(1000), vec![1, 4], 0);
        let tasks = plan(&wanted, ways(Way::ByKinds(0), Way::ByKinds(0), true), NOW);
        assert!(tasks.iter().any(Task::is_restricted));
        for task in tasks {
            let named = task.by_authors();
            let authors: Vec<Pubkey> = named
                .iter()
                .flat_map(|task| task.window.authors.clone())
                .collect();
            assert_eq!(authors, *task.authors);
            assert!(
                named
                    .iter()
                    .all(|named| named.window.since == task.window.since
                        && named.window.until == task.window.until
                        && named.window.kinds == task.window.kinds)
            );
        }
    }
}
