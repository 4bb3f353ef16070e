//! From a relay's hands to strfry's: each event is looked at once, verified on all cores,
//! and passed on once, however many peers send it.
//!
//! Every peer has a [`Intake`], which hands batches to verification; all verified events
//! meet in one [`Gate`], which knows what was already passed on. Whether a deletion (NIP-09)
//! counts is for strfry alone to say: it refuses some of them, and what those name must come in.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use constellation_shared::verify::verify;
use constellation_shared::{Event, EventId, Pubkey};
use tokio::sync::{Semaphore, mpsc};

use crate::admission::rules::{Refusal, Rules};
use crate::strfry::import::Line;
use crate::swarm::blocked_now::BlockedNow;

/// How many events are verified as one piece of work: some 3 ms of one core.
const BATCH: usize = 64;

/// How much JSON one piece of work holds, in bytes, give or take an event.
const BATCH_BYTES: usize = 256 * 1024;

/// How many batches of verified events may wait for the gate.
const WAITING_BATCHES: usize = 8;

/// A peer, by its place in the run.
pub type PeerIndex = usize;

/// Is told what became of each event that was looked at.
pub trait ArrivalListener: std::fmt::Debug + Send + Sync {
    /// An event of this id and content has arrived, whether it is let in or not. If it is forged,
    /// the genuine event may still come from another peer. `fetched_by` is the peer that was asked
    /// for it by its id.
    fn arrived(&self, event: &Event, is_forged: bool, fetched_by: Option<PeerIndex>);
}

/// Counts by reason.
pub type Refusals = BTreeMap<Refusal, u64>;

/// What all intakes of a run share.
#[derive(Debug)]
pub struct Admission {
    rules: Rules,
    /// Whether ids and signatures are checked here.
    verify: bool,
    /// What was looked at already, by its bytes: a forged twin has the id of the genuine
    /// event, and must not stand in for it. Two keyed hashes of 64 bits each.
    seen: Mutex<BTreeSet<u128>>,
    hashers: [RandomState; 2],
    /// Is told what became of each event.
    listener: Option<Arc<dyn ArrivalListener>>,
    cores: Arc<Semaphore>,
    verified: mpsc::Sender<Vec<Admitted>>,
}

/// An event that may come in as far as it alone tells.
#[derive(Debug)]
pub struct Admitted {
    event: Event,
    /// Its canonical spelling, without a newline.
    line: String,
    /// Where refusals of the peer that sent it are counted.
    tally: Tally,
}

/// Counts of one peer, shared with the work done on its events.
pub type Tally = Arc<Mutex<Counts>>;

/// What came from one peer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that were asked for and came, however often.
    pub received: u64,
    /// Those that no other peer had sent before, and that were let in.
    pub collected: u64,
    /// Those that were not let in.
    pub refused: Refusals,
    /// How much of it only a broken or hostile relay sends.
    pub garbage: u64,
    /// How many were asked for and are none by NIP-01.
    pub odd: u64,
    /// The ids of those that were looked at for it.
    pub refused_ids: Vec<(EventId, Refusal)>,
}

/// The counts of a peer as they stand.
pub fn counts(tally: &Tally) -> Counts {
    tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn count(tally: &Tally, change: impl FnOnce(&mut Counts)) {
    change(&mut tally.lock().unwrap_or_else(PoisonError::into_inner));
}

impl Admission {
    /// The admission of one run, and the receiving end of what passes it.
    pub fn new(
        rules: Rules,
        verify: bool,
        listener: Option<Arc<dyn ArrivalListener>>,
        cores: usize,
    ) -> (Arc<Self>, mpsc::Receiver<Vec<Admitted>>) {
        let (verified, receiver) = mpsc::channel(WAITING_BATCHES);
        let admission = Self {
            rules,
            verify,
            seen: Mutex::default(),
            hashers: [RandomState::new(), RandomState::new()],
            listener,
            cores: Arc::new(Semaphore::new(cores.max(1))),
            verified,
        };
        (Arc::new(admission), receiver)
    }

    /// Whether these bytes are looked at for the first time.
    fn is_new(&self, json: &str) -> bool {
        let [high, low] = self.hashers.each_ref().map(|hasher| hasher.hash_one(json));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(u128::from(high) << 64 | u128::from(low))
    }

    fn admit(&self, event: Event, source: Source, tally: &Tally) -> Option<Admitted> {
        // Verified first: nothing may be held against an id that is not the event's own.
        let is_forged = self.verify && verify(&event).is_err();
        let admitted = match is_forged {
            true => Err(Refusal::Forged),
            false => self.rules.check(&event).and_then(|()| {
                let mut line = event.to_json();
                match self.rules.takes_line(line.len()) {
                    true => {
                        // It is kept until strfry has stored it.
                        line.shrink_to_fit();
                        Ok(line)
                    }
                    false => Err(Refusal::TooLong),
                }
            }),
        };
        if let Some(listener) = &self.listener {
            let fetched_by = match source {
                Source::Walked => None,
                Source::Fetched(peer) => Some(peer),
            };
            listener.arrived(&event, is_forged, fetched_by);
        }
        match admitted {
            Ok(line) => Some(Admitted {
                event,
                line,
                tally: Arc::clone(tally),
            }),
            Err(refusal) => {
                count(tally, |counts| {
                    *counts.refused.entry(refusal).or_default() += 1;
                    counts.refused_ids.push((event.id, refusal));
                    counts.garbage += u64::from(is_forged);
                });
                None
            }
        }
    }
}

/// How an event was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// By author, kind and time.
    Walked,
    /// By its id, of the peer at this place in the exchange.
    Fetched(PeerIndex),
}

/// Takes one peer's events.
#[derive(Debug)]
pub struct Intake {
    admission: Arc<Admission>,
    tally: Tally,
    peer: PeerIndex,
    batch: Vec<(Event, Source)>,
    batch_bytes: usize,
}

impl Intake {
    /// An intake for the peer at this place in the exchange.
    pub fn new(admission: Arc<Admission>, tally: Tally, peer: PeerIndex) -> Self {
        Self {
            admission,
            tally,
            peer,
            batch: Vec::new(),
            batch_bytes: 0,
        }
    }

    /// Takes an event that was asked for, with the JSON that it came as; whether it is the
    /// first to bring it. Waits while the cores or strfry have enough to do.
    pub async fn take(&mut self, event: Event, json: &str) -> bool {
        count(&self.tally, |counts| counts.received += 1);
        let is_new = self.admission.is_new(json);
        if is_new {
            self.push(event, json, Source::Walked).await;
        }
        is_new
    }

    /// Whether these bytes are new to all peers' intakes; asked once, they are not any more.
    pub fn is_new(&self, json: &str) -> bool {
        self.admission.is_new(json)
    }

    /// Whether this is longer than any spelling of an event that strfry would take: each
    /// character takes six at the most (`\\u0000`).
    pub fn is_too_long(&self, json: &str) -> bool {
        json.len() / 6 > self.admission.rules.max_event_size
    }

    /// Counts an event that was asked for and is none by NIP-01; whether it is the first
    /// to bring it.
    pub fn refuse_odd(&self, json: &str) -> bool {
        let is_new = self.admission.is_new(json);
        if is_new {
            self.refuse(Refusal::Malformed);
            count(&self.tally, |counts| counts.odd += 1);
        }
        is_new
    }

    /// Takes an event that the exchange gave this peer to fetch. It was not asked of
    /// anybody else meanwhile, so it is looked at even if the same bytes came by another
    /// way: the exchange waits to hear what became of it. Its bytes are not kept in mind, as
    /// its id is.
    pub async fn take_fetched(&mut self, event: Event, json: &str) {
        count(&self.tally, |counts| counts.received += 1);
        self.push(event, json, Source::Fetched(self.peer)).await;
    }

    async fn push(&mut self, event: Event, json: &str, source: Source) {
        self.batch_bytes += json.len();
        self.batch.push((event, source));
        if self.batch.len() >= BATCH || self.batch_bytes >= BATCH_BYTES {
            self.flush().await;
        }
    }

    /// Counts what only a broken or hostile relay sends.
    pub fn refuse_garbage(&self, refusal: Refusal) {
        self.refuse(refusal);
        count(&self.tally, |counts| counts.garbage += 1);
    }

    fn refuse(&self, refusal: Refusal) {
        count(&self.tally, |counts| {
            *counts.refused.entry(refusal).or_default() += 1;
        });
    }

    /// How much came that only a broken or hostile relay sends.
    pub fn garbage(&self) -> u64 {
        let counts = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        counts.garbage
    }

    /// How many came that were asked for and are none by NIP-01.
    pub fn odd(&self) -> u64 {
        let counts = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        counts.odd
    }

    /// Sends what was taken to verification.
    pub async fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let batch = mem::take(&mut self.batch);
        self.batch_bytes = 0;
        // Only fails once the semaphore is closed, which nobody does.
        let Ok(core) = Arc::clone(&self.admission.cores).acquire_owned().await else {
            return;
        };
        let admission = Arc::clone(&self.admission);
        let tally = Arc::clone(&self.tally);
        tokio::task::spawn_blocking(move || {
            let admitted: Vec<Admitted> = batch
                .into_iter()
                .filter_map(|(event, source)| admission.admit(event, source, &tally))
                .collect();
            // Where the gate is gone the run is over.
            let _ = admission.verified.blocking_send(admitted);
            drop(core);
        });
    }
}

/// The one place that every verified event passes.
#[derive(Debug, Default)]
pub struct Gate {
    /// Who is blocked at this moment; none where that was settled before.
    blocked: Option<BlockedNow>,
    /// In a tree, which grows by a node: a table doubles, old and new side by side.
    passed: BTreeSet<EventId>,
    by_kind: BTreeMap<u16, u64>,
}

impl Gate {
    /// A gate that asks for the verdict on each author once more.
    pub fn asking(blocked: BlockedNow) -> Self {
        Self {
            blocked: Some(blocked),
            ..Self::default()
        }
    }

    /// Whether it is time to [refresh](Gate::refresh) what it knows of the lists.
    pub fn is_due(&self) -> bool {
        self.blocked.as_ref().is_some_and(BlockedNow::is_due)
    }

    /// Looks at the lists again. Reads files.
    pub fn refresh(&mut self) {
        if let Some(blocked) = &mut self.blocked {
            blocked.refresh();
        }
    }

    fn is_blocked(&self, author: &Pubkey) -> bool {
        let blocked = self.blocked.as_ref();
        blocked.is_some_and(|blocked| blocked.contains(author))
    }

    /// Passes on what was not passed before and whose author is not blocked by now.
    pub fn pass(&mut self, batch: Vec<Admitted>) -> Vec<Line> {
        let mut lines = Vec::with_capacity(batch.len());
        for Admitted { event, line, tally } in batch {
            if self.passed.contains(&event.id) {
                continue;
            }
            if self.is_blocked(&event.pubkey) {
                count(&tally, |counts| {
                    *counts.refused.entry(Refusal::Blocked).or_default() += 1;
                });
                continue;
            }
            self.passed.insert(event.id);
            *self.by_kind.entry(event.kind).or_default() += 1;
            count(&tally, |counts| counts.collected += 1);
            lines.push(Line {
                id: event.id,
                json: line,
            });
        }
        lines
    }

    /// The ids of all that came so far.
    pub const fn passed(&self) -> &BTreeSet<EventId> {
        &self.passed
    }

    /// How many events of each kind were passed on.
    pub const fn by_kind(&self) -> &BTreeMap<u16, u64> {
        &self.by_kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: u8, kind: u16) -> Admitted {
        let event = Event {
            id: EventId::from_bytes([id; 32]),
            pubkey: Pubkey::from_bytes([1; 32]),
            created_at: 1,
            kind,
            tags: Vec::new(),
            content: String::new(),
            sig: [0; 64],
        };
        Admitted {
            line: event.to_json(),
            event,
            tally: Tally::default(),
        }
    }

    fn passed(gate: &mut Gate, batch: Vec<Admitted>) -> Vec<u8> {
        let lines = gate.pass(batch);
        lines.iter().map(|line| line.id.as_bytes()[0]).collect()
    }

    #[test]
    fn each_event_passes_once() {
        let mut gate = Gate::default();
        let batch = vec![event(1, 1), event(1, 1), event(2, 7)];
        assert_eq!(passed(&mut gate, batch), [1, 2]);
        assert!(passed(&mut gate, vec![event(2, 7)]).is_empty());
        assert_eq!(gate.by_kind(), &BTreeMap::from([(1, 1), (7, 1)]));
    }
}
