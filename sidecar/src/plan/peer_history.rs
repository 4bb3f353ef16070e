//! The outcomes of earlier runs with one peer, and what follows from them: how long the peer is
//! left alone, its score, and how far back it is asked. No clock and no file: callers pass the time.

use serde::{Deserialize, Serialize};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// How long a peer is left alone after its first failure, in seconds. Each further failure
/// doubles this, up to [`LONGEST_REST`].
const FIRST_REST: u64 = HOUR;
/// The longest time for which a failing peer is left alone, in seconds.
const LONGEST_REST: u64 = 7 * DAY;

/// A rest ends this many seconds early, because an hourly run often starts a little before the
/// hour is over.
const GRACE: u64 = 60;

/// A peer counts as dead after this many failures in a row, until it answers again.
const DEAD: u32 = 2;

/// The weight of the earlier score in the moving average; the last run has the rest.
const KEPT: f64 = 0.7;

/// The outcomes of earlier runs with one peer; times in Unix seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct PeerHistory {
    /// When the last run began that asked the peer, however that went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_asked: Option<u64>,
    /// When the last run began in which the peer gave everything.
    pub last_success: Option<u64>,
    /// Whether a run ended in which the peer gave what it could, if not everything.
    #[serde(default)]
    pub has_given: bool,
    /// How many runs in a row it has failed since then.
    pub failures: u32,
    /// When the last run began in which it failed.
    pub last_failure: u64,
    /// How many wanted, verified and new events it brings in one run, as a moving average.
    pub score: f64,
}

/// How far back peers are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// How many days before the last success; 0 asks for all events of any age.
    pub days: u64,
    /// The bound on the whole span in days; `days` counts instead if it is larger.
    pub most_days: u64,
}

impl PeerHistory {
    /// When the peer was last asked, as far as the clock at `now` makes sense of it: a time of the
    /// future was recorded before the clock was set back, and may be long ago.
    pub fn last_asked_at(&self, now: u64) -> u64 {
        let asked = self.last_asked.filter(|asked| *asked <= now);
        asked.unwrap_or_default()
    }

    /// Records that the peer gave what it could, though not everything, and how many new events it
    /// brought.
    pub fn give_a_part(&mut self, brought: u64) {
        let last_success = self.last_success;
        self.succeed(0, brought);
        self.last_success = last_success;
    }

    /// Records that the peer gave everything in the run that began at `now`, and how many new
    /// events it brought.
    pub fn succeed(&mut self, now: u64, brought: u64) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts of events are far below 2^52"
        )]
        let brought = brought as f64;
        self.score = match self.last_success {
            Some(_) => KEPT * self.score + (1.0 - KEPT) * brought,
            None => brought,
        };
        self.last_success = Some(now);
        self.has_given = true;
        self.failures = 0;
    }

    /// Records that the peer failed in the run that began at `now`.
    pub fn fail(&mut self, now: u64) {
        self.failures = self.failures.saturating_add(1);
        self.last_failure = now;
        self.score *= KEPT;
    }

    /// Whether the peer is left alone at `now` because it failed recently.
    pub fn rests(&self, now: u64) -> bool {
        let Some(doublings) = self.failures.checked_sub(1) else {
            return false;
        };
        let rest = FIRST_REST
            .saturating_mul(2_u64.saturating_pow(doublings))
            .min(LONGEST_REST);
        // A failure in the future was recorded before the clock was set back.
        now.checked_sub(self.last_failure)
            .is_some_and(|age| age + GRACE < rest)
    }

    /// Whether the peer once gave something, and has not failed since.
    pub const fn is_proven(&self) -> bool {
        self.has_given && self.failures == 0
    }

    /// Whether the peer failed so often in a row that it counts as dead.
    pub const fn is_dead(&self) -> bool {
        self.failures >= DEAD
    }

    /// The time from which on a run at `now` asks for the peer's events: the wanted number of
    /// days before the last success. Without a success, `begin` takes its place: the time when
    /// this station began to remember its peers.
    pub fn since(&self, now: u64, begin: u64, reach: Reach) -> u64 {
        if reach.days == 0 {
            return 0;
        }
        let last = self.last_success.unwrap_or(begin).min(now);
        let days = |days: u64| days.saturating_mul(DAY);
        let least = now.saturating_sub(days(reach.most_days.max(reach.days)));
        last.saturating_sub(days(reach.days)).max(least)
    }
}

/// How a run went with one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerOutcome {
    /// The peer gave everything; the number is that of its wanted, genuine and new events.
    Complete(u64),
    /// The peer gave what it could, the number of whose wanted, genuine and new events this is; but
    /// it holds more. It is asked again as soon as others, and for the same events.
    Partial(u64),
    /// The peer was reached, but left before it had given everything.
    Failed,
    /// The peer could not be reached.
    Unreached,
    /// The run's time was over first. That does not count against the peer, and the next run
    /// asks for the same events.
    Unfinished,
}

/// Records how a run that began at `now` went with each peer that it asked. If no peer could be
/// reached, the cause was our own network, and no failure is recorded.
pub fn settle<'a>(
    now: u64,
    outcomes: impl IntoIterator<Item = (&'a mut PeerHistory, PeerOutcome)>,
) {
    let mut outcomes: Vec<_> = outcomes.into_iter().collect();
    let is_own_link = outcomes
        .iter()
        .all(|(_, outcome)| *outcome == PeerOutcome::Unreached);
    for (history, outcome) in &mut outcomes {
        history.last_asked = Some(now);
        match outcome {
            PeerOutcome::Complete(brought) => history.succeed(now, *brought),
            PeerOutcome::Partial(brought) => history.give_a_part(*brought),
            PeerOutcome::Unfinished => {}
            PeerOutcome::Unreached if is_own_link => {}
            PeerOutcome::Unreached | PeerOutcome::Failed => history.fail(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    #[test]
    fn a_peer_that_fails_is_left_alone_for_an_hour_and_ever_longer_up_to_a_week() {
        let mut history = PeerHistory::default();
        assert!(!history.rests(NOW));
        for hours in [1, 2, 4, 8, 16, 32, 64, 128, 168, 168] {
            history.fail(NOW);
            let end = NOW + hours * HOUR - GRACE;
            assert!(history.rests(end - 1) && !history.rests(end), "{hours}");
        }
        assert!(!history.rests(NOW - 1), "the clock was set back");
        history.succeed(NOW, 0);
        assert!(!history.rests(NOW + 1));
    }

    #[test]
    fn the_score_follows_what_is_brought() {
        let mut history = PeerHistory::default();
        history.succeed(NOW, 100);
        assert_eq!(history.score, 100.0);
        history.succeed(NOW, 0);
        assert_eq!(history.score, 70.0);
        history.succeed(NOW, 10);
        assert_eq!(history.score, 52.0);
        history.fail(NOW);
        assert_eq!(history.score, 36.4);
    }

    #[test]
    fn where_nobody_is_reached_nobody_is_blamed() {
        let mut histories = [PeerHistory::default(); 2];
        let after = |histories: &mut [PeerHistory; 2], turns: [PeerOutcome; 2]| {
            settle(NOW, histories.iter_mut().zip(turns));
            histories.map(|history| history.failures)
        };
        assert_eq!(after(&mut histories, [PeerOutcome::Unreached; 2]), [0, 0]);
        let one = [PeerOutcome::Unreached, PeerOutcome::Complete(7)];
        assert_eq!(after(&mut histories, one), [1, 0]);
        assert_eq!(histories[1].score, 7.0);
        let none = [PeerOutcome::Unfinished; 2];
        assert_eq!(after(&mut histories, none), [1, 0]);
        assert_eq!(
            histories.map(|history| history.last_success),
            [None, Some(NOW)]
        );
        assert_eq!(histories.map(|history| history.last_asked), [Some(NOW); 2]);
    }

    #[test]
    fn dead_peers_are_blamed_although_the_only_peer_that_was_reached_failed_too() {
        let mut histories = [PeerHistory::default(); 3];
        let outcomes = [
            PeerOutcome::Unreached,
            PeerOutcome::Failed,
            PeerOutcome::Unreached,
        ];
        settle(NOW, histories.iter_mut().zip(outcomes));
        assert_eq!(histories.map(|history| history.failures), [1; 3]);
    }

    #[test]
    fn each_peer_is_asked_back_to_its_last_success() {
        let since = |last_success: Option<u64>, days, most_days| {
            let history = PeerHistory {
                last_success,
                ..PeerHistory::default()
            };
            let reach = Reach { days, most_days };
            NOW - history.since(NOW, NOW - 3 * DAY, reach)
        };
        assert_eq!(since(Some(NOW - HOUR), 1, 30), DAY + HOUR);
        assert_eq!(since(Some(NOW - 30 * HOUR), 1, 30), 54 * HOUR);
        assert_eq!(since(Some(NOW - 29 * DAY), 1, 30), 30 * DAY);
        assert_eq!(since(Some(NOW - 300 * DAY), 1, 30), 30 * DAY);
        assert_eq!(since(Some(NOW - 300 * DAY), 90, 30), 90 * DAY);
        assert_eq!(since(None, 1, 30), 4 * DAY, "since the memory began");
        assert_eq!(since(None, 1, 2), 2 * DAY);
        assert_eq!(since(Some(NOW), 0, 30), NOW, "everything");
        assert_eq!(since(Some(NOW + DAY), 1, 30), DAY, "the clock was set back");
        assert_eq!(since(Some(NOW), u64::MAX, 30), NOW);
    }
}
