//! The relay's side of NIP-77.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use negentropy::{Id, Negentropy, NegentropyStorageBase, NegentropyStorageVector};
use serde_json::{Value, json};

use super::behaviour::{Behaviour, Nip77};
use super::connection::{Connection, Gone, only_dms};
use super::store::Store;
use super::{Counts, lock};
use crate::filter::Filter;
use crate::record::from_hex;

/// strfry's frames, in bytes: hex doubles them.
const FRAME_BYTES: u64 = 500_000;

/// How often ids were invented.
static INVENTIONS: AtomicU64 = AtomicU64::new(0);

/// Protocol version 1; up to the end of time, no id; a fingerprint, of nothing that is.
const ALL_DIFFERS: &str = "6100000100000000000000000000000000000000";

/// What was opened: the ids in question, and how they are compared.
pub(super) struct Reconciliation {
    ids: NegentropyStorageVector,
}

impl Reconciliation {
    /// Gathers what matches. The message that refuses where there is too much.
    fn open(
        name: &str,
        filter: &Filter,
        store: &Store,
        behaviour: &Behaviour,
    ) -> Result<Self, String> {
        // strfry keeps a ready tree for a filter that names nothing but times, and that
        // tree lists what a REQ will never deliver.
        let listed = |kind| !behaviour.restrict_dms || kind != 4 || filter.asks_for_everything();
        let cap = behaviour.max_sync_events;
        let mut ids = NegentropyStorageVector::new();
        let mut count = 0;
        for record in store.query(filter, behaviour.until_exclusive, filter.limit) {
            count += 1;
            if listed(record.kind) {
                ids.insert(record.created_at, Id::from_byte_array(record.id))
                    .unwrap();
            }
        }
        if count > cap {
            let reason = "blocked: too many query results";
            return Err(json!(["NEG-ERR", name, reason, cap]).to_string());
        }
        let (invented, turn) = match behaviour.nip77 {
            Nip77::Invents(invented) => (invented, INVENTIONS.fetch_add(1, Ordering::Relaxed)),
            Nip77::Insists(invented) => (invented, 0),
            _ => (0, 0),
        };
        for number in 0..invented as u64 {
            let id = Id::from_byte_array(Nip77::invented(turn, number));
            ids.insert(filter.since.max(1), id).unwrap();
        }
        ids.seal().unwrap();
        Ok(Self { ids })
    }

    /// A message that lists each id three times.
    fn repeated(&self) -> Vec<u8> {
        // Protocol version 1; up to the end of time, no id; a list of ids.
        let mut message = vec![0x61, 0, 0, 2];
        let count = 3 * self.ids.size().unwrap();
        let digits = (0..5)
            .rev()
            .map(|place| (count >> (7 * place)) as u8 & 0x7f);
        message.extend(digits.enumerate().map(|(place, digit)| match place {
            4 => digit,
            _ => digit | 0x80,
        }));
        for _ in 0..3 {
            for place in 0..self.ids.size().unwrap() {
                let item = self.ids.get_item(place).unwrap().unwrap();
                message.extend_from_slice(item.id.as_bytes());
            }
        }
        message
    }

    /// The message that answers one of theirs, and whether it was understood.
    fn answer(&self, name: &str, payload: &[u8]) -> Result<String, String> {
        let answer = Negentropy::borrowed(&self.ids, FRAME_BYTES)
            .and_then(|mut negentropy| negentropy.reconcile(payload));
        match answer {
            Ok(bytes) => Ok(json!(["NEG-MSG", name, const_hex::encode(bytes)]).to_string()),
            Err(_) => Err(json!(["NEG-ERR", name, "PROTOCOL-ERROR"]).to_string()),
        }
    }
}

/// The bytes of a NEG-OPEN's or NEG-MSG's last element.
fn payload(value: Option<&Value>) -> Result<Vec<u8>, String> {
    let hex = value.and_then(Value::as_str);
    from_hex(hex.ok_or("negentropy payload not a string")?)
}

impl Connection {
    /// Obeys a NEG-OPEN, NEG-MSG or NEG-CLOSE.
    pub(super) async fn reconcile(
        &mut self,
        command: &str,
        name: &str,
        message: &[Value],
    ) -> Result<(), Gone> {
        let breaks_off = self.shared.counts.reconciliations.load(Ordering::SeqCst) <= 1;
        if command == "NEG-OPEN" {
            Counts::add(&self.shared.counts.reconciliations, 1);
        }
        match self.behaviour.nip77 {
            Nip77::Absent => return self.notice("bad msg: unknown cmd").await,
            Nip77::RefusedByNotice => return self.notice("bad msg: negentropy disabled").await,
            Nip77::NeverAnswers => return Ok(()),
            Nip77::PatienceFirst(kind) if command == "NEG-OPEN" && breaks_off => {
                let words = "rate-limited: slow down";
                let message = match kind {
                    "NOTICE" => json!([kind, words]),
                    kind => json!([kind, name, words]),
                };
                return self.send(message.to_string()).await;
            }
            Nip77::FallsSilent if command == "NEG-MSG" => return Ok(()),
            Nip77::BreaksOffOnce if command == "NEG-MSG" && breaks_off => return Err(Gone),
            _ => {}
        }
        if command == "NEG-CLOSE" {
            self.reconciliations.remove(name);
            return Ok(());
        }
        let bytes = match payload(message.last()) {
            Ok(bytes) => bytes,
            Err(why) => return self.notice(&format!("negentropy error: {why}")).await,
        };
        if command == "NEG-OPEN" {
            let filter = match message.get(2).filter(|value| value.is_object()) {
                Some(filter) => Filter::parse(filter),
                None => Err("negentropy filter must be an object".to_owned()),
            };
            let filter = match filter {
                Ok(filter) => filter,
                Err(why) => return self.notice(&format!("negentropy error: {why}")).await,
            };
            if self.behaviour.restrict_dms && only_dms(&filter) {
                self.send(json!(["AUTH", "challenge"]).to_string()).await?;
                let why = "auth-required: requested filter requires authentication";
                return self.send(json!(["NEG-ERR", name, why]).to_string()).await;
            }
            if let Nip77::ByAuthorsOnly(reason) = self.behaviour.nip77
                && filter.authors.is_none()
            {
                return match reason {
                    "" => Ok(()),
                    reason => {
                        self.send(json!(["NEG-ERR", name, reason]).to_string())
                            .await
                    }
                };
            }
            let store: Arc<Store> = Arc::clone(&lock(&self.shared.store));
            match Reconciliation::open(name, &filter, &store, &self.behaviour) {
                Ok(opened) => self.reconciliations.insert(name.to_owned(), opened),
                Err(refusal) => return self.send(refusal).await,
            };
        }
        let say = |message: &str| Ok(json!(["NEG-MSG", name, message]).to_string());
        let answer = match (self.behaviour.nip77, self.reconciliations.get(name)) {
            (Nip77::Refuses(reason), _) => Err(json!(["NEG-ERR", name, reason]).to_string()),
            (Nip77::Garbage, _) => say("no hex"),
            (Nip77::NeverEnds | Nip77::FallsSilent, _) => say(ALL_DIFFERS),
            (Nip77::BreaksOffOnce, _) if breaks_off => say(ALL_DIFFERS),
            (Nip77::Repeats, Some(opened)) => say(&const_hex::encode(opened.repeated())),
            (_, Some(opened)) => opened.answer(name, &bytes),
            (_, None) => {
                Err(json!(["NEG-ERR", name, "closed: unknown subscription handle"]).to_string())
            }
        };
        if answer.is_err() {
            self.reconciliations.remove(name);
        }
        self.send(answer.unwrap_or_else(|refusal| refusal)).await
    }
}
