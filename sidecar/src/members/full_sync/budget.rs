//! [`Budget`]: how much time and how many connections of a run full syncs may use, and which pubkeys
//! come first.
//!
//! Anybody can invent unknown pubkeys, for example in another station's list. So each run syncs only
//! some of them, the station's own people first, and the next run goes on after the last one. No
//! clock and no file: callers pass both.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use constellation_shared::Pubkey;
use tokio::time::Instant;

/// How many pubkeys are asked for in one session at most.
const KEYS_AT_ONCE: usize = 50;

/// In about how many groups the pubkeys of a run are asked for: what holds one of them up holds
/// up no more than a tenth.
const GROUPS: usize = 10;

/// How many of this number of pubkeys are asked for in one session.
pub(crate) fn group_size(keys: usize) -> usize {
    keys.div_ceil(GROUPS).clamp(1, KEYS_AT_ONCE)
}

/// What full syncs may take of a run.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    /// How many connections, to all peers together.
    connections: Arc<AtomicUsize>,
    /// When full syncs must have ended.
    pub deadline: Instant,
}

impl Budget {
    /// A budget that begins now.
    pub(crate) fn new(connections: usize, time: Duration) -> Self {
        Self {
            connections: Arc::new(AtomicUsize::new(connections)),
            deadline: Instant::now() + time,
        }
    }

    /// Takes this many connections, or none if fewer are left.
    pub(crate) fn take_connections(&self, count: usize) -> bool {
        let take = |left: usize| left.checked_sub(count);
        self.connections
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }

    /// Whether the time is over.
    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }
}

/// Whose events are wanted most.
#[derive(Debug, Default)]
pub(crate) struct Ours {
    /// The members of this station.
    pub members: BTreeSet<Pubkey>,
    /// Its own friends of friends.
    pub friends: BTreeSet<Pubkey>,
}

/// The missing keys whose turn it is, at most `most`: members first, then friends, then all
/// others, each of these from behind the key that had the last turn.
pub(crate) fn choose(
    missing: &[Pubkey],
    ours: &Ours,
    last: Option<Pubkey>,
    most: usize,
) -> Vec<Pubkey> {
    let rank = |key: &Pubkey| match () {
        () if ours.members.contains(key) => 0,
        () if ours.friends.contains(key) => 1,
        () => 2,
    };
    let mut keys: Vec<Pubkey> = missing.to_vec();
    keys.sort_by_key(|key| {
        let had_its_turn = last.is_some_and(|last| *key <= last);
        (rank(key), had_its_turn, *key)
    });
    keys.truncate(most);
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Pubkey {
        Pubkey::from_bytes([byte; 32])
    }

    #[test]
    fn our_own_come_first_and_all_others_in_turn() {
        let missing: Vec<Pubkey> = (0..20).map(key).collect();
        let ours = Ours {
            members: [key(15)].into(),
            friends: [key(3), key(18)].into(),
        };
        let mut last = None;
        let mut turns = [0; 20];
        for run in 0..17 {
            let chosen = choose(&missing, &ours, last, 4);
            assert_eq!(chosen[0], key(15), "run {run}");
            assert!(chosen[1..3].contains(&key(3)) && chosen[1..3].contains(&key(18)));
            last = chosen.last().copied();
            for chosen in chosen {
                turns[usize::from(chosen.as_bytes()[0])] += 1;
            }
        }
        // One of 17 others in each of 17 runs.
        assert!(
            turns.iter().all(|&turns| turns == 1 || turns == 17),
            "{turns:?}"
        );
    }

    #[test]
    fn too_many_of_our_own_have_their_turns_too() {
        let missing: Vec<Pubkey> = (0..10).map(key).collect();
        let ours = Ours {
            members: missing.iter().copied().collect(),
            ..Ours::default()
        };
        let first = choose(&missing, &ours, None, 4);
        let second = choose(&missing, &ours, first.last().copied(), 4);
        let third = choose(&missing, &ours, second.last().copied(), 4);
        assert_eq!(first, [0, 1, 2, 3].map(key));
        assert_eq!(second, [4, 5, 6, 7].map(key));
        assert_eq!(third, [8, 9, 0, 1].map(key));
    }

    #[test]
    fn connections_are_taken_all_or_none() {
        let budget = Budget::new(5, Duration::from_secs(1));
        assert!(budget.take_connections(3));
        assert!(!budget.take_connections(3));
        assert!(budget.take_connections(2));
        assert!(!budget.take_connections(1));
    }
}
