//! Reconciliation (NIP-77) against a relay that is honest until it lies.

use std::collections::{BTreeSet, HashSet};

use constellation_shared::{EventId, hex};
use constellation_sync::testing::negentropy::{LocalEvent, LocalSet, Reconciler, Step};
use negentropy::{Id, Negentropy, NegentropyStorageVector};

/// The frames of both sides, in bytes.
const FRAME: u64 = 4096;

/// The most rounds of one conversation here.
const MOST_ROUNDS: usize = 100;

/// The first bytes say what both sides hold; the rest is what a lying relay puts in the
/// place of its messages: a byte for the round and how, one for the length, the message.
/// Without it all differences are found. With it nothing panics, no message of ours is
/// longer than agreed, and what was learned is not forgotten.
///
/// # Panics
/// Where that is not so.
pub fn holds(data: &[u8]) {
    let Some((&[ours, common, theirs, spread], lies)) = data.split_first_chunk() else {
        return;
    };
    let [ours, common, theirs] = [ours, common, theirs].map(many);
    let events = |from: usize, count: usize| (from..from + count).map(move |n| event(n, spread));
    let held: Vec<_> = events(0, ours + common).collect();
    let offered: Vec<_> = events(ours, common + theirs).collect();
    let known: HashSet<EventId> = held.iter().map(|(_, id)| *id).collect();
    let missing: BTreeSet<EventId> = offered
        .iter()
        .map(|(_, id)| *id)
        .filter(|id| !known.contains(id))
        .collect();
    // Twice, as an event that comes on two ways is noted twice.
    let twice = held.iter().chain(&held);
    let held: LocalSet = twice
        .map(|&(created_at, id)| LocalEvent { created_at, id })
        .collect();
    let mut storage = NegentropyStorageVector::new();
    for (created_at, id) in offered {
        storage
            .insert(created_at, Id::from_byte_array(*id.as_bytes()))
            .unwrap();
    }
    storage.seal().unwrap();
    let mut relay = Negentropy::borrowed(&storage, FRAME).unwrap();

    let (mut reconciler, mut message) = Reconciler::begin(&held, FRAME).unwrap();
    let mut lies = Lies(lies);
    let mut is_honest = true;
    for _ in 0..MOST_ROUNDS {
        assert!(message.len() as u64 <= 2 * FRAME);
        let query = constellation_shared::unhex(&message).unwrap();
        let truth = relay.reconcile(&query).unwrap();
        let (answer, told) = lies.instead_of(&truth);
        is_honest &= told;
        match reconciler.take(&answer, |_| false) {
            Ok(Step::Send(next)) => message = next,
            Ok(Step::Done | Step::Enough) => {
                let needed = reconciler.into_needed();
                if is_honest {
                    assert_eq!(needed, missing);
                }
                return;
            }
            Err(error) => {
                assert!(!is_honest, "{error}");
                return;
            }
        }
    }
    assert!(!is_honest, "it does not come to an end");
}

/// So many events: mostly a few, which are quick; up to 151, more than go into a message.
fn many(byte: u8) -> usize {
    let byte = usize::from(byte);
    byte / 8 + byte.saturating_sub(0xf0) * 8
}

/// The event of this number: all seconds from far apart to one for all, at both ends of
/// what the protocol knows: its largest number means the end of all time.
fn event(number: usize, spread: u8) -> (u64, EventId) {
    let mixed = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut id = [0; 32];
    id[..8].copy_from_slice(&mixed.to_be_bytes());
    id[24..].copy_from_slice(&(number as u64).to_be_bytes());
    let seconds = mixed >> 32 >> (spread % 33);
    let created_at = if spread >= 0xc0 {
        u64::MAX - 1 - seconds
    } else {
        seconds
    };
    (created_at, EventId::from_bytes(id))
}

struct Lies<'a>(&'a [u8]);

impl Lies<'_> {
    /// The relay's message in hex, and whether it is the true one.
    fn instead_of(&mut self, truth: &[u8]) -> (String, bool) {
        let Some((&[how, length], rest)) = self.0.split_first_chunk() else {
            return (hex(truth), true);
        };
        let (lie, rest) = rest.split_at(usize::from(length).min(rest.len()));
        self.0 = rest;
        let mut message = truth.to_vec();
        match how % 8 {
            0 | 1 => {}
            2 => message = [&[0x61], lie].concat(),
            3 => message = lie.to_vec(),
            4 => message.truncate(usize::from(length)),
            5 => message.extend_from_slice(lie),
            // As it is, which need not be hex.
            6 => return (String::from_utf8_lossy(lie).into_owned(), false),
            _ => {
                for (place, byte) in lie.iter().enumerate() {
                    let place = place * usize::from(how) % message.len();
                    message[place] ^= byte;
                }
            }
        }
        let is_true = message == truth;
        (hex(&message), is_true)
    }
}
