//! [`Coverage`]: what was had of one peer, completely: of which keys and kinds, and when each span
//! of time was last compared with it. From this follows what the next run asks the peer
//! ([`Asked`]), among it a slice of the older history ([`Slices`]). No clock and no file: callers pass the time.
//!
//! An event's `created_at` does not say when it reached a peer: events arrive days and years late,
//! and so do deletions. So it is not enough to ask for what is new. A run also compares a slice of
//! older time, such that all of time is compared once in a sweep's period.

use std::sync::Arc;

use constellation_shared::Pubkey;
use serde::{Deserialize, Serialize};

use crate::plan::slices::{HOUR, Slices};
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
mod tests;
