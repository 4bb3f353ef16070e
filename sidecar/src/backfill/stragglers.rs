//! [`Stragglers`]: the peers that keep a run from ending and bring next to nothing.
//!
//! No clock: callers pass the time since the beginning of the run.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::admission::intake::PeerIndex;

/// A relay is slow if it brings fewer useful bytes than this per second of waiting. A station on
/// the worst of lines sends fifty times as many.
const SLOW: u64 = 1000;

/// A slow session is ended once it has taken this many times as long as the longest of the others.
const FAR_LONGER: u32 = 3;

/// How far a running session has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pace {
    /// How many useful bytes its relay sent.
    pub useful: u64,
    /// How long its relay was waited for.
    pub waited: Duration,
    /// Whether it waits for what other peers fetch.
    pub is_waiting_for_others: bool,
}

/// The sessions that have given everything so far.
#[derive(Debug, Clone, Copy)]
struct Finished {
    /// When the last of them did.
    last: Duration,
    /// The longest time that any of them took.
    longest: Duration,
}

/// Finds the sessions that are to be ended.
#[derive(Debug)]
pub(crate) struct Stragglers {
    window: Duration,
    /// How far each running session had come at the end of the window before.
    before: BTreeMap<PeerIndex, Pace>,
    /// `None` as long as no session has given everything.
    finished: Option<Finished>,
}

impl Stragglers {
    /// Compares what the sessions bring in windows of this length.
    pub(crate) const fn new(window: Duration) -> Self {
        Self {
            window,
            before: BTreeMap::new(),
            finished: None,
        }
    }

    /// Records that a peer has given everything, and how long that took.
    pub(crate) fn done(&mut self, now: Duration, took: Duration) {
        let longest = self.finished.map_or(took, |done| done.longest.max(took));
        self.finished = Some(Finished { last: now, longest });
    }

    /// The running sessions that are to be ended. To be called once per window.
    pub(crate) fn find(&mut self, now: Duration, running: &[(PeerIndex, Pace)]) -> Vec<PeerIndex> {
        let before = std::mem::replace(&mut self.before, running.iter().copied().collect());
        let is_slow = |(peer, pace): &(PeerIndex, Pace)| {
            let before = before.get(peer);
            !pace.is_waiting_for_others
                && before.is_some_and(|before| {
                    let waited = pace.waited.saturating_sub(before.waited);
                    let useful = pace.useful.saturating_sub(before.useful);
                    waited >= self.window / 2
                        && useful < SLOW.saturating_mul(waited.as_secs().max(1))
                })
        };
        let mut slow = Vec::new();
        let mut is_anybody_busy = false;
        for running in running {
            if is_slow(running) {
                slow.push(running.0);
            } else if !running.1.is_waiting_for_others {
                is_anybody_busy = true;
            }
        }
        let Some(Finished { last, longest }) = self.finished else {
            return Vec::new();
        };
        let patience = self.window.max(longest * FAR_LONGER);
        if is_anybody_busy || now.saturating_sub(last) < patience {
            return Vec::new();
        }
        slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn pace(useful: u64, minutes: u32) -> Pace {
        Pace {
            useful,
            waited: MINUTE * minutes,
            is_waiting_for_others: false,
        }
    }

    #[test]
    fn one_that_trickles_while_the_others_are_done_is_ended() {
        let mut stragglers = Stragglers::new(MINUTE);
        let mut find = |minute: u32, running: &[(PeerIndex, Pace)]| {
            if minute == 2 {
                stragglers.done(MINUTE * 2, MINUTE);
            }
            stragglers.find(MINUTE * minute, running)
        };
        // Three times as long as the other took, and a window besides.
        for minute in 1..5 {
            let trickle = pace(u64::from(minute) * 7500, minute);
            assert!(find(minute, &[(1, trickle)]).is_empty(), "{minute}");
        }
        let waits = Pace {
            is_waiting_for_others: true,
            ..pace(0, 5)
        };
        let trickle = (1, pace(5 * 7500, 5));
        assert_eq!(find(5, &[trickle, (2, waits)]), [1]);
    }

    #[test]
    fn nobody_is_ended_while_somebody_works_or_nobody_is_done() {
        let mut alone = Stragglers::new(MINUTE);
        for minute in 1..100 {
            assert!(
                alone
                    .find(MINUTE * minute, &[(0, pace(0, minute))])
                    .is_empty()
            );
        }
        let mut beside = Stragglers::new(MINUTE);
        beside.done(MINUTE, MINUTE);
        for minute in 1..100 {
            let works = pace(u64::from(minute) * 100_000, minute);
            let running = [(0, pace(0, minute)), (1, works)];
            assert!(beside.find(MINUTE * minute, &running).is_empty());
        }
        // It is strfry that is slow, and not the peer.
        let mut here = Stragglers::new(MINUTE);
        here.done(MINUTE, MINUTE);
        for minute in 1..100 {
            assert!(here.find(MINUTE * minute, &[(0, pace(0, 1))]).is_empty());
        }
    }
}
