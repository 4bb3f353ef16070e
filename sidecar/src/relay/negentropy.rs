//! [`Reconciler`]: finds out which of a relay's events we lack, by set reconciliation (NIP-77,
//! negentropy).
//!
//! Nothing here touches the network: the relay's messages go in, ours come out. A relay may
//! invent ids, repeat them, or go on for ever, so memory and the number of rounds are bounded.

use std::collections::BTreeSet;

use constellation_shared::EventId;
use negentropy::{Id, Negentropy, NegentropyStorageVector};

/// The smallest frame size that the protocol allows, in bytes.
pub(crate) const SMALLEST_FRAME: u64 = 4096;

/// A reconciliation ends once it has found this many ids that we lack. Another one finds the
/// rest after the events of the first have been fetched.
const ENOUGH: usize = 50_000;

/// How many ids that the relay lacks are kept at most.
const MOST_LACKED: usize = 100_000;

/// The most rounds of one reconciliation. Half a million events in the smallest frames take about
/// 1,200 rounds.
const MOST_ROUNDS: u32 = 5_000;

/// The time and id of an event that this station holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocalEvent {
    /// When the author dated it, in Unix seconds.
    pub created_at: u64,
    /// The event's id.
    pub id: EventId,
}

/// The times and ids of our own events that take part in a reconciliation.
#[derive(Debug)]
pub struct LocalSet(NegentropyStorageVector);

impl FromIterator<LocalEvent> for LocalSet {
    fn from_iter<I: IntoIterator<Item = LocalEvent>>(events: I) -> Self {
        let mut storage = NegentropyStorageVector::new();
        for LocalEvent { created_at, id } in events {
            // This only fails after `seal`.
            let _ = storage.insert(created_at, Id::from_byte_array(*id.as_bytes()));
        }
        let _ = storage.seal();
        Self(storage)
    }
}

/// What to do after a message from the relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send this message, in hex.
    Send(String),
    /// All differences are known.
    Done,
    /// Enough differences are known for now; there may be more.
    Enough,
}

/// Why a reconciliation cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The message is not hex.
    #[error("its reconciliation message is not hex")]
    Hex,
    /// The message is not negentropy version 1.
    #[error("its reconciliation message is not negentropy version 1")]
    Protocol(#[source] negentropy::Error),
    /// There were more rounds than any reconciliation needs.
    #[error("its reconciliation does not come to an end")]
    Endless,
}

/// One reconciliation, in which we are the initiator.
#[derive(Debug)]
pub struct Reconciler<'a> {
    negentropy: Negentropy<'a, NegentropyStorageVector>,
    /// A tree and not a hash table, which would hold old and new table in memory while it grows.
    needed: BTreeSet<EventId>,
    /// The ids of ours that the relay lacks.
    lacked: BTreeSet<EventId>,
    /// Enough ids that we lack.
    enough: usize,
    rounds: u32,
}

impl<'a> Reconciler<'a> {
    /// Begins a reconciliation with messages of at most `frame_limit` bytes, or [`SMALLEST_FRAME`]
    /// if that is more; in hex they are twice as long. Returns the first message in hex.
    ///
    /// # Errors
    /// [`ReconcileError::Protocol`], which cannot happen with ids of ours.
    pub fn begin(local: &'a LocalSet, frame_limit: u64) -> Result<(Self, String), ReconcileError> {
        let mut negentropy = Negentropy::borrowed(&local.0, frame_limit.max(SMALLEST_FRAME))
            .map_err(ReconcileError::Protocol)?;
        let first = negentropy.initiate().map_err(ReconcileError::Protocol)?;
        let begun = Self {
            negentropy,
            needed: BTreeSet::new(),
            lacked: BTreeSet::new(),
            enough: ENOUGH,
            rounds: 0,
        };
        Ok((begun, constellation_shared::hex(&first)))
    }

    /// Ends once more than this many ids are needed, if that is less than usual.
    #[must_use]
    pub fn up_to(mut self, most: usize) -> Self {
        self.enough = ENOUGH.min(most.saturating_add(1));
        self
    }

    /// Takes a message from the relay, in hex. Refused ids are not counted as needed: a relay may
    /// list so many of them that its other events would never be reached.
    ///
    /// # Errors
    /// [`ReconcileError`]; the ids that were found before remain known.
    pub fn take(
        &mut self,
        message: &str,
        is_refused: impl Fn(&EventId) -> bool,
    ) -> Result<Step, ReconcileError> {
        self.rounds += 1;
        let bytes = constellation_shared::unhex(message).ok_or(ReconcileError::Hex)?;
        let (mut have, mut need) = (Vec::new(), Vec::new());
        let answer = self
            .negentropy
            .reconcile_with_ids(&bytes, &mut have, &mut need)
            .map_err(ReconcileError::Protocol)?;
        let ids = need.into_iter().map(|id| EventId::from_bytes(*id));
        self.needed.extend(ids.filter(|id| !is_refused(id)));
        let room = MOST_LACKED.saturating_sub(self.lacked.len());
        let lacked = have.into_iter().take(room);
        self.lacked
            .extend(lacked.map(|id| EventId::from_bytes(*id)));
        if self.rounds > MOST_ROUNDS {
            return Err(ReconcileError::Endless);
        }
        Ok(match answer {
            Some(_) if self.needed.len() >= self.enough => Step::Enough,
            Some(answer) => Step::Send(constellation_shared::hex(&answer)),
            None => Step::Done,
        })
    }

    /// How many ids were found that the relay has and we lack.
    pub fn needed(&self) -> usize {
        self.needed.len()
    }

    /// Takes the ids of ours that were found not to be on the relay.
    pub fn take_lacked(&mut self) -> BTreeSet<EventId> {
        std::mem::take(&mut self.lacked)
    }

    /// The ids that were found to be on the relay and not here.
    pub fn into_needed(self) -> BTreeSet<EventId> {
        self.needed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A generator of numbers, the same for the same seed (SplitMix64).
    struct Seeded(u64);

    impl Seeded {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }

        fn below(&mut self, end: u64) -> u64 {
            self.next() % end
        }

        fn event(&mut self, times: u64) -> LocalEvent {
            let mut id = [0; 32];
            for part in id.chunks_mut(8) {
                part.copy_from_slice(&self.next().to_be_bytes());
            }
            let created_at = self.below(times);
            let id = EventId::from_bytes(id);
            LocalEvent { created_at, id }
        }
    }

    type Set = BTreeSet<LocalEvent>;

    fn needed(ours: &Set, theirs: &Set, frame: u64) -> BTreeSet<EventId> {
        let (held, relay) = (
            LocalSet::from_iter(ours.clone()),
            LocalSet::from_iter(theirs.clone()),
        );
        let mut relay = Negentropy::borrowed(&relay.0, frame).unwrap();
        let (mut reconciler, mut message) = Reconciler::begin(&held, frame).unwrap();
        loop {
            assert!(message.len() as u64 <= 2 * frame, "a frame is too long");
            let answer = relay
                .reconcile(&constellation_shared::unhex(&message).unwrap())
                .unwrap();
            match reconciler
                .take(&constellation_shared::hex(&answer), |_| false)
                .unwrap()
            {
                Step::Send(next) => message = next,
                Step::Done | Step::Enough => return reconciler.into_needed(),
            }
        }
    }

    #[test]
    fn it_finds_what_naive_set_difference_finds() {
        for seed in 0..150 {
            let mut random = Seeded(seed);
            // Few seconds, so that many events share one.
            let times = 1 + random.below(200);
            let common = random.below(3000);
            let mut ours: Set = (0..common).map(|_| random.event(times)).collect();
            let mut theirs = ours.clone();
            for _ in 0..random.below(600) {
                ours.insert(random.event(times));
            }
            for _ in 0..random.below(600) {
                theirs.insert(random.event(times));
            }
            let naive: BTreeSet<EventId> = theirs.difference(&ours).map(|event| event.id).collect();
            for frame in [4096, 30_000] {
                assert_eq!(
                    needed(&ours, &theirs, frame),
                    naive,
                    "seed {seed}, frame {frame}"
                );
            }
        }
    }

    #[test]
    fn equal_sets_need_nothing_and_an_empty_one_everything() {
        let mut random = Seeded(7);
        let all: Set = (0..5000).map(|_| random.event(50)).collect();
        assert!(needed(&all, &all, 4096).is_empty());
        assert_eq!(needed(&Set::new(), &all, 4096).len(), 5000);
        assert!(needed(&all, &Set::new(), 4096).is_empty());
    }

    #[test]
    fn nonsense_is_refused() {
        let held = LocalSet::from_iter([]);
        for (message, words) in [
            ("xyz", "hex"),
            ("", "version 1"),
            ("62", "version 1"),
            // A list of 2^62 ids.
            ("6100000002bfffffffffffffff7f", "version 1"),
        ] {
            let (mut reconciler, _) = Reconciler::begin(&held, 4096).unwrap();
            let Err(error) = reconciler.take(message, |_| false) else {
                panic!("{message} was taken");
            };
            assert!(error.to_string().contains(words), "{message}: {error}");
        }
    }

    #[test]
    fn a_relay_that_never_ends_is_left() {
        let mut random = Seeded(3);
        let held: LocalSet = (0..100).map(|_| random.event(50)).collect();
        let (mut reconciler, _) = Reconciler::begin(&held, 4096).unwrap();
        // A fingerprint of everything that is never ours.
        let wrong = format!("61000001{}", "00".repeat(16));
        let mut rounds = 0;
        let error = loop {
            rounds += 1;
            match reconciler.take(&wrong, |_| false) {
                Ok(Step::Send(_)) => {}
                Ok(Step::Done | Step::Enough) => panic!("it ended"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, ReconcileError::Endless));
        assert_eq!(rounds, MOST_ROUNDS + 1);
    }
}
