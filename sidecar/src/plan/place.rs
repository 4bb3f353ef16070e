//! [`Place`]: how far paging through a peer's events had come when it broke off. The next run goes
//! on from there: without that, a relay that limits its rate would send the same newest pages in
//! each run, and never the older ones. No clock and no file: callers pass the time.

use constellation_shared::Pubkey;
use serde::{Deserialize, Serialize};

use crate::plan::coverage::TimeSpan;
use crate::relay::filter::{LATEST, Window};

/// A place is kept for this many seconds after the first of its runs began: a week. After that,
/// too much may have come there meanwhile.
const LONGEST: u64 = 7 * 86_400;

/// How many windows a place consists of at most. Where more are left, little has been read.
const MOST_WINDOWS: usize = 500;

/// Authors, kinds and a span of time that are still to be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Rest {
    /// The first of the authors, in ascending order.
    #[serde(with = "in_hex")]
    first: Pubkey,
    /// The last of the authors; all that are followed between them belong to the rest.
    #[serde(with = "in_hex")]
    last: Pubkey,
    kinds: Vec<u16>,
    since: u64,
    until: u64,
}

/// A key in the file: in hex.
mod in_hex {
    use constellation_shared::Pubkey;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(key: &Pubkey, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&key.to_hex())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Pubkey, D::Error> {
        String::deserialize(from)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// How far paging through one peer's events had come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The peer's address. Behind another address there may be another database.
    address: String,
    /// When the first of the runs began that have read so far, in Unix seconds.
    begin: u64,
    /// The number of the last of these runs: keys that have been followed since a later one were
    /// not asked for.
    run: u64,
    /// Up to when everything was asked for that was new in the last of these runs, in Unix seconds.
    newest: u64,
    /// The kinds that were asked for, in ascending order.
    kinds: Vec<u16>,
    /// The spans of time that were asked for, in ascending order.
    spans: Vec<TimeSpan>,
    rests: Vec<Rest>,
}

/// A run that broke off with a peer.
#[derive(Debug, Clone, Copy)]
pub struct BrokenOff<'a> {
    /// The peer's address.
    pub address: &'a str,
    /// When the run began, in Unix seconds.
    pub now: u64,
    /// The number of the run.
    pub run: u64,
    /// Up to when everything was asked for that was new, in Unix seconds.
    pub newest: u64,
    /// The kinds that were asked for, in ascending order.
    pub kinds: &'a [u16],
    /// The spans of time that were asked for, in ascending order.
    pub spans: &'a [TimeSpan],
    /// The keys that were asked for, in ascending order.
    pub followed: &'a [Pubkey],
    /// What is left of it.
    pub left: &'a [Window],
}

impl Place {
    /// The place at which a run broke off that went on from the place `before`, if there was one.
    /// `None` if too much is left.
    pub fn of(before: Option<&Self>, broken_off: BrokenOff<'_>) -> Option<Self> {
        let BrokenOff {
            address,
            now,
            run,
            newest,
            kinds,
            spans,
            followed,
            left,
        } = broken_off;
        let before = before.filter(|before| before.fits(address, kinds, now));
        let rests = rests(left, followed);
        (rests.len() <= MOST_WINDOWS).then(|| Self {
            address: address.to_owned(),
            begin: before.map_or(now, |before| before.begin),
            run,
            newest,
            kinds: kinds.to_vec(),
            spans: spans.to_vec(),
            rests,
        })
    }

    /// When the first of the runs began that have read so far, in Unix seconds.
    pub const fn begin(&self) -> u64 {
        self.begin
    }

    /// The number of the last run that read.
    pub const fn run(&self) -> u64 {
        self.run
    }

    /// Whether a run at `now` that asks for these kinds at this address can go on from here.
    pub fn fits(&self, address: &str, kinds: &[u16], now: u64) -> bool {
        self.address == address
            && kinds.iter().all(|kind| self.kinds.contains(kind))
            && self.is_fresh(now)
    }

    /// Whether the place is of the last week, seen at `now`.
    pub fn is_fresh(&self, now: u64) -> bool {
        let age = now.checked_sub(self.begin);
        age.is_some_and(|age| age < LONGEST)
    }
}

/// What is left, in as few windows as possible.
fn rests(left: &[Window], followed: &[Pubkey]) -> Vec<Rest> {
    let rest = |window: &Window| {
        Some(Rest {
            first: *window.authors.iter().min()?,
            last: *window.authors.iter().max()?,
            kinds: window.kinds.clone(),
            since: window.since,
            // A relay may leave out the events of the second `until`.
            until: (window.until + 1).min(LATEST),
        })
    };
    let mut all: Vec<Rest> = left.iter().filter_map(rest).collect();
    all.sort_by(|a, b| {
        let key = |rest: &Rest| (rest.since, rest.until, rest.first);
        a.kinds.cmp(&b.kinds).then_with(|| key(a).cmp(&key(b)))
    });
    let place = |key: &Pubkey| followed.binary_search(key).ok();
    all.dedup_by(|next, rest| {
        let is_next = place(&rest.last).map(|place| place + 1) == place(&next.first)
            && place(&next.first).is_some();
        let is_alike =
            rest.kinds == next.kinds && (rest.since, rest.until) == (next.since, next.until);
        if is_next && is_alike {
            rest.last = next.last;
        }
        is_next && is_alike
    });
    all
}

/// How a run goes on from a place.
#[derive(Debug, Clone)]
pub struct Resumption {
    /// The place.
    pub place: Place,
    /// The keys that have only been followed since then, in ascending order.
    pub new_keys: Vec<Pubkey>,
    /// The seconds before the newest time of the place that are asked for again.
    pub overlap: u64,
}

impl Resumption {
    /// What is still to be asked for of these windows: first what is new since then, then the rest.
    pub fn windows(&self, windows: Vec<Window>) -> Vec<Window> {
        let recent = self.place.newest.saturating_sub(self.overlap);
        let is_new = |key: &Pubkey| self.new_keys.binary_search(key).is_ok();
        let (mut first, mut then) = (Vec::new(), Vec::new());
        for window in windows {
            let groups = window.authors.chunk_by(|a, b| is_new(a) == is_new(b));
            for authors in groups {
                let window = Window {
                    authors: authors.to_vec(),
                    ..window.clone()
                };
                if authors.first().is_some_and(is_new) {
                    first.push(window);
                    continue;
                }
                first.extend(self.never_asked(&window, recent));
                then.extend(self.left_of(&window, recent));
            }
        }
        first.extend(then);
        first
    }

    /// The parts of a window whose time was not asked for, or is new.
    fn never_asked(&self, window: &Window, recent: u64) -> Vec<Window> {
        let mut parts = Vec::new();
        let mut begin = window.since;
        let mut push = |since: u64, until: u64| {
            if since <= until {
                parts.push(Window {
                    since,
                    until,
                    ..window.clone()
                });
            }
        };
        for span in &self.place.spans {
            if span.since >= recent {
                break;
            }
            let until = span.until.min(recent - 1);
            if span.since > begin {
                push(begin, (span.since - 1).min(window.until));
            }
            begin = begin.max(until + 1);
        }
        push(begin, window.until);
        parts
    }

    /// The parts of a window that had not come when the run before broke off.
    fn left_of(&self, window: &Window, recent: u64) -> Vec<Window> {
        let part = |rest: &Rest| {
            let is_left = |key: &&Pubkey| (rest.first..=rest.last).contains(*key);
            let authors: Vec<Pubkey> = window.authors.iter().filter(is_left).copied().collect();
            let kinds = window.kinds.iter().filter(|kind| rest.kinds.contains(kind));
            let kinds: Vec<u16> = kinds.copied().collect();
            let since = rest.since.max(window.since);
            let until = rest.until.min(window.until).min(recent.checked_sub(1)?);
            let is_empty = authors.is_empty() || kinds.is_empty() || since > until;
            (!is_empty).then_some(Window {
                authors,
                kinds,
                since,
                until,
            })
        };
        self.place.rests.iter().filter_map(part).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;
    const DAY: u64 = 86_400;

    fn keys(numbers: std::ops::Range<u8>) -> Vec<Pubkey> {
        numbers
            .map(|number| Pubkey::from_bytes([number; 32]))
            .collect()
    }

    fn window(authors: std::ops::Range<u8>, kinds: &[u16], since: u64, until: u64) -> Window {
        Window {
            authors: keys(authors),
            kinds: kinds.to_vec(),
            since,
            until,
        }
    }

    fn everything() -> Vec<Window> {
        vec![
            window(0..10, &[1, 7], 0, LATEST),
            window(10..20, &[1, 7], 0, LATEST),
            window(20..30, &[1, 7], 0, LATEST),
        ]
    }

    /// A place at which all but these windows had come of everything.
    fn place(left: &[Window]) -> Place {
        let spans = [TimeSpan {
            since: 0,
            until: LATEST,
        }];
        let broken_off = BrokenOff {
            address: "ws://a",
            now: NOW,
            run: 1,
            newest: NOW,
            kinds: &[1, 7],
            spans: &spans,
            followed: &keys(0..30),
            left,
        };
        Place::of(None, broken_off).unwrap()
    }

    fn resumption(left: &[Window], new_keys: std::ops::Range<u8>) -> Resumption {
        Resumption {
            place: place(left),
            new_keys: keys(new_keys),
            overlap: DAY,
        }
    }

    #[test]
    fn what_is_new_is_asked_for_first_and_then_the_rest() {
        let left = [
            window(0..10, &[1, 7], 0, 500),
            window(10..20, &[1, 7], 0, LATEST),
        ];
        let recent = NOW - DAY;
        assert_eq!(
            resumption(&left, 0..0).windows(everything()),
            [
                window(0..10, &[1, 7], recent, LATEST),
                window(10..20, &[1, 7], recent, LATEST),
                window(20..30, &[1, 7], recent, LATEST),
                window(0..10, &[1, 7], 0, 501),
                window(10..20, &[1, 7], 0, recent - 1),
            ]
        );
    }

    #[test]
    fn the_whole_history_of_new_keys_is_asked_for() {
        let windows = resumption(&[], 3..5).windows(everything());
        assert!(windows.contains(&window(3..5, &[1, 7], 0, LATEST)));
        assert!(windows.contains(&window(5..10, &[1, 7], NOW - DAY, LATEST)));
        assert_eq!(windows.len(), 5);
    }

    #[test]
    fn a_time_that_was_not_asked_for_is() {
        let mut resumption = resumption(&[], 0..0);
        resumption.place.spans = [(100, 199), (NOW - 2 * DAY, LATEST)]
            .map(|(since, until)| TimeSpan { since, until })
            .to_vec();
        let windows = resumption.windows(vec![window(0..3, &[1], 50, LATEST)]);
        assert_eq!(
            windows,
            [
                window(0..3, &[1], 50, 99),
                window(0..3, &[1], 200, NOW - 2 * DAY - 1),
                window(0..3, &[1], NOW - DAY, LATEST),
            ]
        );
    }

    #[test]
    fn a_place_is_small_and_fits_its_peer_for_a_week() {
        let left: Vec<Window> = (0..30)
            .map(|number| window(number..number + 1, &[1], 0, LATEST))
            .collect();
        let place = place(&left);
        assert_eq!(place.rests.len(), 1);
        assert!(place.fits("ws://a", &[1], NOW + LONGEST - 1));
        assert!(!place.fits("ws://a", &[1], NOW + LONGEST));
        assert!(!place.fits("ws://a", &[1], NOW - 1), "the clock was ahead");
        assert!(!place.fits("ws://a", &[1, 3], NOW));
        assert!(!place.fits("ws://b", &[1], NOW));
    }
}
