//! [`Intake`]: takes the events of one peer and has them verified in batches on all cores;
//! [`Admission`]: what the intakes of all peers share, so that the same bytes are verified once.
//!
//! Deletions (NIP-09) are left to strfry alone: it rejects some of them, and the events that those
//! name must still be accepted.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::mem;
use std::sync::{Arc, Mutex};

use constellation_shared::verify::{is_signed_as_spelled, verify};
use constellation_shared::{Event, EventId};
use tokio::sync::{Semaphore, mpsc};

use crate::admission::arrival::{Arrival, Unreadable};
use crate::admission::counts::{Tally, count};
use crate::admission::gate::Admitted;
use crate::admission::rules::{Refusal, Rules};
use crate::relay::message::Head;
use crate::relay::traffic::Traffic;
use crate::support::mutex::lock;

/// How many events are verified in one batch, which takes one core about 3 ms.
const BATCH: usize = 64;

/// The size of a batch in bytes of JSON from which on it is verified.
const BATCH_BYTES: usize = 256 * 1024;

/// How many batches of verified events may wait for the gate.
const WAITING_BATCHES: usize = 8;

/// The index of a peer in the run.
pub(crate) type PeerIndex = usize;

/// Is notified of every event that was verified.
pub trait ArrivalListener: std::fmt::Debug + Send + Sync {
    /// An event of this id and content has arrived, whether it is let in or not. If it is forged,
    /// the genuine event may still come from another peer. `fetched_by` is the peer that was asked
    /// for it by its id.
    fn arrived(&self, event: &Head, is_forged: bool, fetched_by: Option<PeerIndex>);
}

/// How many further versions of one event id are verified for each peer. A forged version must not
/// keep out the genuine event, and the JSON of a genuine event can be written in endless ways.
const MOST_TWINS: u8 = 3;

/// How many forged or unasked events and meaningless messages are tolerated from one relay, beyond
/// the number of its genuine events.
pub(crate) const MOST_GARBAGE: u64 = 1000;

/// What the intakes of all peers of a run share.
#[derive(Debug)]
pub struct Admission {
    rules: Rules,
    /// Whether ids and signatures are verified.
    verify: bool,
    /// The events seen so far, each as two keyed 64-bit hashes: of its id and of its bytes. The id
    /// alone would not do, since a forged version has the id of the genuine event.
    seen: Mutex<BTreeSet<u128>>,
    hashers: [RandomState; 2],
    /// Is told what became of each event.
    listener: Option<Arc<dyn ArrivalListener>>,
    cores: Arc<Semaphore>,
    verified: mpsc::Sender<Vec<Admitted>>,
}

impl Admission {
    /// The admission of one run, and the channel on which it sends verified events.
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

    /// Another admission in front of the same gate, with other rules and another listener, which has
    /// seen no event yet.
    pub(crate) fn beside(
        &self,
        rules: Rules,
        listener: Option<Arc<dyn ArrivalListener>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            rules,
            verify: self.verify,
            seen: Mutex::default(),
            hashers: self.hashers.clone(),
            listener,
            cores: Arc::clone(&self.cores),
            verified: self.verified.clone(),
        })
    }

    /// Whether an event has to be verified: whether its bytes are new, and whether this peer has not
    /// sent too many versions of the same id.
    fn novelty(&self, id: &EventId, json: &str, twins: &mut HashMap<u64, u8>) -> Novelty {
        let [of_ids, of_bytes] = &self.hashers;
        let (of_id, of_json) = (of_ids.hash_one(id), of_bytes.hash_one(json));
        let first = u128::from(of_id) << 64;
        let key = first | u128::from(of_json);
        let mut seen = lock(&self.seen);
        if seen.contains(&key) {
            return Novelty::Known;
        }
        let others = first..=first | u128::from(u64::MAX);
        if seen.range(others).next().is_some() {
            let sent = twins.entry(of_id).or_default();
            if *sent >= MOST_TWINS {
                return Novelty::Surplus;
            }
            *sent += 1;
        }
        seen.insert(key);
        Novelty::New
    }

    fn look_at(&self, arrival: Arrival, source: Source, from: &Origin) -> Option<Admitted> {
        match arrival {
            Arrival::Event(_, event) => self.admit(event, source, from),
            Arrival::Unreadable(unreadable) => {
                self.refuse_unreadable(&unreadable, source, from);
                None
            }
        }
    }

    /// Counts an unreadable event. If its author signed it in this form, the relay is not to blame.
    fn refuse_unreadable(&self, unreadable: &Unreadable, source: Source, from: &Origin) {
        let Unreadable {
            head,
            json,
            refusal,
        } = unreadable;
        let is_forged = self.verify && !is_signed_as_spelled(json);
        if !is_forged && source == Source::Surplus {
            return from.refuse_garbage(Refusal::Unasked);
        }
        self.notify(head, is_forged, source);
        if !is_forged {
            from.traffic.credit(json.len() as u64);
        }
        count(&from.tally, |counts| {
            *counts.refused.entry(*refusal).or_default() += 1;
            counts.garbage += u64::from(is_forged);
            counts.genuine += u64::from(!is_forged);
            let why = if is_forged { Refusal::Forged } else { *refusal };
            counts.refused_events.push((*head, why));
        });
    }

    /// Notifies the listener of a verified event.
    fn notify(&self, head: &Head, is_forged: bool, source: Source) {
        if let Some(listener) = &self.listener {
            let fetched_by = match source {
                Source::Walked | Source::Surplus => None,
                Source::Fetched(peer) => Some(peer),
            };
            listener.arrived(head, is_forged, fetched_by);
        }
    }

    fn admit(&self, event: Event, source: Source, from: &Origin) -> Option<Admitted> {
        // Verified first: an id must not be remembered as refused unless it is the event's own.
        let is_forged = self.verify && verify(&event).is_err();
        if !is_forged && source == Source::Surplus {
            from.refuse_garbage(Refusal::Unasked);
            return None;
        }
        let admitted = self.rules.judge(&event, is_forged);
        let head = Head::from(&event);
        self.notify(&head, is_forged, source);
        count(&from.tally, |counts| {
            counts.genuine += u64::from(!is_forged);
        });
        match admitted {
            Ok(line) => Some(Admitted {
                event,
                line,
                tally: Arc::clone(&from.tally),
            }),
            Err(refusal) => {
                count(&from.tally, |counts| {
                    *counts.refused.entry(refusal).or_default() += 1;
                    counts.refused_events.push((head, refusal));
                    counts.garbage += u64::from(is_forged);
                });
                None
            }
        }
    }
}

/// The peer that sent an event.
#[derive(Debug, Clone)]
struct Origin {
    tally: Tally,
    traffic: Arc<Traffic>,
}

impl Origin {
    fn refuse_garbage(&self, refusal: Refusal) {
        count(&self.tally, |counts| {
            *counts.refused.entry(refusal).or_default() += 1;
            counts.garbage += 1;
        });
    }
}

/// How an event was obtained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// It was asked for by author, kind and time.
    Walked,
    /// By its id, of the peer at this place in the claims.
    Fetched(PeerIndex),
    /// It is one version too many of its id, and is verified only to know whether it is forged.
    Surplus,
}

/// Whether an event has to be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Novelty {
    /// It has not been seen before.
    New,
    /// The same bytes were seen before.
    Known,
    /// This peer has sent too many versions of this id.
    Surplus,
}

/// Takes the events of one peer.
#[derive(Debug)]
pub(crate) struct Intake {
    admission: Arc<Admission>,
    from: Origin,
    peer: PeerIndex,
    /// How many versions of an id this peer has sent beyond the first.
    twins: HashMap<u64, u8>,
    batch: Vec<(Arrival, Source)>,
    batch_bytes: usize,
}

impl Intake {
    /// An intake for the peer at this place in the claims. What it finds to be of use it
    /// credits to `traffic`.
    pub(crate) fn new(
        admission: Arc<Admission>,
        tally: Tally,
        traffic: Arc<Traffic>,
        peer: PeerIndex,
    ) -> Self {
        Self {
            admission,
            from: Origin { tally, traffic },
            peer,
            twins: HashMap::new(),
            batch: Vec::new(),
            batch_bytes: 0,
        }
    }

    /// Reads what a relay sent as an event; see [`Arrival::read`]. What cannot be read counts as
    /// garbage.
    pub(crate) fn read_or_refuse(&self, json: &str) -> Option<Arrival> {
        // Each character takes at most six (`\\u0000`).
        let arrival = Arrival::read(json, 6 * self.admission.rules.limits.bytes);
        if arrival.is_none() {
            self.refuse_garbage(Refusal::Malformed);
        }
        arrival
    }

    /// Takes what was asked for, with the JSON that it came as; whether it is the first to
    /// bring it. Waits while the cores or strfry have enough to do.
    pub(crate) async fn take(&mut self, arrival: Arrival, json: &str) -> bool {
        self.take_once(arrival, json, Source::Walked).await
    }

    /// Takes a further version of an event that the claims gave this peer to fetch.
    pub(crate) async fn take_twin(&mut self, arrival: Arrival, json: &str) {
        let source = Source::Fetched(self.peer);
        self.take_once(arrival, json, source).await;
    }

    async fn take_once(&mut self, arrival: Arrival, json: &str, source: Source) -> bool {
        count(&self.from.tally, |counts| counts.received += 1);
        match self.novelty(&arrival.head().id, json) {
            Novelty::New => self.push(arrival, json, source).await,
            Novelty::Surplus => {
                self.push(arrival, json, Source::Surplus).await;
                return false;
            }
            Novelty::Known => return false,
        }
        true
    }

    fn novelty(&mut self, id: &EventId, json: &str) -> Novelty {
        self.admission.novelty(id, json, &mut self.twins)
    }

    /// Takes an event that the claims gave this peer to fetch. It was not asked of
    /// anybody else meanwhile, so it is looked at even if the same bytes came by another
    /// way: the claims waits to hear what became of it. Its bytes are not kept in mind, as
    /// its id is.
    pub(crate) async fn take_fetched(&mut self, arrival: Arrival, json: &str) {
        count(&self.from.tally, |counts| counts.received += 1);
        self.push(arrival, json, Source::Fetched(self.peer)).await;
    }

    async fn push(&mut self, arrival: Arrival, json: &str, source: Source) {
        self.batch_bytes += json.len();
        self.batch.push((arrival, source));
        if self.batch.len() >= BATCH || self.batch_bytes >= BATCH_BYTES {
            self.flush().await;
        }
    }

    /// Counts a message or event that only a broken or hostile relay sends.
    pub(crate) fn refuse_garbage(&self, refusal: Refusal) {
        self.from.refuse_garbage(refusal);
    }

    /// Counts an event that was too long to be taken from the connection.
    pub(crate) fn refuse_too_long(&self, id: Option<EventId>) {
        count(&self.from.tally, |counts| {
            *counts.refused.entry(Refusal::TooLong).or_default() += 1;
            counts.overlong.extend(id);
        });
    }

    /// Whether the relay has sent so much garbage, compared with genuine events, that the session
    /// should end.
    pub(crate) fn is_garbage(&self) -> bool {
        let counts = lock(&self.from.tally);
        counts.garbage > MOST_GARBAGE.saturating_add(counts.genuine)
    }

    /// Sends the current batch to verification.
    pub(crate) async fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        // Acquiring only fails after the semaphore is closed, which never happens.
        let Ok(core) = Arc::clone(&self.admission.cores).acquire_owned().await else {
            return;
        };
        // Only now: a session may be stopped while it waits, and the next run goes on behind these.
        let batch = mem::take(&mut self.batch);
        self.batch_bytes = 0;
        let admission = Arc::clone(&self.admission);
        let from = self.from.clone();
        tokio::task::spawn_blocking(move || {
            let admitted: Vec<Admitted> = batch
                .into_iter()
                .filter_map(|(arrival, source)| admission.look_at(arrival, source, &from))
                .collect();
            // Sending fails if the gate has ended; the run is then over.
            let _ = admission.verified.blocking_send(admitted);
            drop(core);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strfry::conf::EventLimits;
    use constellation_shared::Pubkey;

    fn event() -> Event {
        Event {
            id: EventId::from_bytes([1; 32]),
            pubkey: Pubkey::from_bytes([2; 32]),
            created_at: 1,
            kind: 1,
            tags: Vec::new(),
            content: String::new(),
            sig: [0; 64],
        }
    }

    #[test]
    fn an_event_is_looked_at_a_few_times_however_often_it_is_spelled() {
        let rules = Rules {
            now: 1,
            limits: EventLimits::default(),
            blocked: Vec::new().into_iter().collect(),
        };
        let (admission, _verified) = Admission::new(rules, true, None, 1);
        let peer = |index| {
            let (tally, traffic) = (Tally::default(), Arc::default());
            Intake::new(Arc::clone(&admission), tally, traffic, index)
        };
        let (mut liar, mut honest) = (peer(0), peer(1));
        let spelled = |blanks: usize| format!("{}{}", " ".repeat(blanks), event().to_json());
        let id = event().id;
        let novelties = (1..10_000).map(|blanks| liar.novelty(&id, &spelled(blanks)));
        let novelties: Vec<Novelty> = novelties.collect();
        let (first, more) = novelties.split_at(4);
        assert!(first.iter().all(|novelty| *novelty == Novelty::New));
        assert!(more.iter().all(|novelty| *novelty == Novelty::Surplus));
        // What is genuine is looked at even so, once.
        assert_eq!(honest.novelty(&id, &spelled(0)), Novelty::New);
        assert_eq!(honest.novelty(&id, &spelled(0)), Novelty::Known);
        assert_eq!(admission.seen.lock().unwrap().len(), 5);
        assert_eq!((liar.twins.len(), honest.twins.len()), (1, 1));
    }

    #[tokio::test]
    async fn a_batch_is_not_lost_with_a_session_that_is_stopped_while_it_waits_for_a_core() {
        let rules = Rules {
            now: 1,
            limits: EventLimits::default(),
            blocked: Vec::new().into_iter().collect(),
        };
        let (admission, _verified) = Admission::new(rules, true, None, 1);
        let busy = Arc::clone(&admission.cores).acquire_owned().await;
        let (tally, traffic) = (Tally::default(), Arc::default());
        let mut intake = Intake::new(admission, tally, traffic, 0);
        let json = event().to_json();
        let arrival = intake.read_or_refuse(&json).unwrap();
        assert!(intake.take(arrival, &json).await);
        tokio::select! {
            biased;
            () = intake.flush() => panic!("all cores are busy"),
            () = std::future::ready(()) => {}
        }
        assert_eq!(intake.batch.len(), 1);
        drop(busy);
        intake.flush().await;
        assert!(intake.batch.is_empty());
    }

    #[test]
    fn a_relay_is_left_once_garbage_outweighs_what_is_genuine() {
        let tally = Tally::default();
        let rules = Rules {
            now: 1,
            limits: EventLimits::default(),
            blocked: Vec::new().into_iter().collect(),
        };
        let (admission, _verified) = Admission::new(rules, true, None, 1);
        let intake = Intake::new(admission, Arc::clone(&tally), Arc::default(), 0);
        count(&tally, |counts| counts.genuine = 500);
        for _ in 0..1500 {
            intake.refuse_garbage(Refusal::Unasked);
        }
        assert!(!intake.is_garbage());
        intake.refuse_garbage(Refusal::Unasked);
        assert!(intake.is_garbage());
    }
}
