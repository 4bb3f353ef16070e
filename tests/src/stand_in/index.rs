//! [`Index`]: what is stored, and what of the new may be (NIP-01, NIP-09), by strfry's rules.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::record::{Address, Record, parse_address};

#[derive(Default)]
pub(super) struct Index {
    /// By the number in which they were added.
    records: Vec<Option<Record>>,
    by_id: HashMap<[u8; 32], usize>,
    by_address: HashMap<Address, usize>,
    /// Id and author that a deletion names, and how many deletions do.
    deletions: HashMap<(Vec<u8>, [u8; 32]), usize>,
    /// The times of the deletions that name an address.
    address_deletions: HashMap<Vec<u8>, Vec<u64>>,
}

/// What becomes of an event.
pub(super) enum Fate {
    /// It is stored, and these go, each for its reason in strfry's words.
    Added(Vec<([u8; 32], &'static str)>),
    /// Its id is known.
    Duplicate,
    /// A newer one has its place.
    Replaced,
    /// Its author deleted it.
    Deleted,
}

impl Index {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn holds(&self, id: &[u8; 32]) -> bool {
        self.by_id.contains_key(id)
    }

    pub(super) fn newest_first(&self) -> Vec<&Record> {
        let mut records: Vec<&Record> = self.records.iter().rev().flatten().collect();
        // Stable: within a second the last added comes first.
        records.sort_by_key(|record| Reverse(record.created_at));
        records
    }

    pub(super) fn fate(&self, record: &Record) -> Fate {
        if self.holds(&record.id) {
            return Fate::Duplicate;
        }
        if self
            .deletions
            .contains_key(&(record.id.to_vec(), record.pubkey))
        {
            return Fate::Deleted;
        }
        let mut gone = Vec::new();
        let address = record.address();
        let other = address.as_ref().and_then(|address| self.at(address));
        if let Some(other) = other {
            // Of two in the same second the lower id stays (NIP-01).
            let before = (record.created_at, Reverse(record.id));
            if before < (other.created_at, Reverse(other.id)) {
                return Fate::Replaced;
            }
            gone.push((other.id, "Deleting event (d-tag)"));
        }
        if record.is_addressable() && address.is_some_and(|at| self.is_deleted(&at, record)) {
            return Fate::Deleted;
        }
        if record.kind == 5 {
            gone.extend(self.targets(record));
        }
        Fate::Added(gone)
    }

    fn at(&self, address: &Address) -> Option<&Record> {
        self.records[*self.by_address.get(address)?].as_ref()
    }

    fn is_deleted(&self, (kind, author, name): &Address, record: &Record) -> bool {
        let mut text = format!("{kind}:{}:", const_hex::encode(author)).into_bytes();
        text.extend_from_slice(name);
        let times = self.address_deletions.get(&text);
        times.is_some_and(|times| times.iter().any(|&time| time >= record.created_at))
    }

    /// What a deletion takes away: of its own author alone, and by address only what is
    /// addressable and not newer.
    fn targets(&self, deletion: &Record) -> Vec<([u8; 32], &'static str)> {
        let is_theirs = |record: &&Record| record.pubkey == deletion.pubkey;
        let named = deletion.values(b'e').filter_map(|id| {
            let record = self.records[*self.by_id.get(id)?].as_ref();
            Some((
                record.filter(is_theirs)?.id,
                "Deleting event (kind 5, e-tag)",
            ))
        });
        let addressed = deletion.values(b'a').filter_map(|value| {
            let record = self.at(&parse_address(value)?).filter(is_theirs)?;
            let gone = record.is_addressable() && record.created_at <= deletion.created_at;
            gone.then_some((record.id, "Deleting replaceable event (kind 5, a-tag)"))
        });
        named.chain(addressed).collect()
    }

    pub(super) fn insert(&mut self, record: Record) {
        let number = self.records.len();
        self.by_id.insert(record.id, number);
        if let Some(address) = record.address() {
            self.by_address.insert(address, number);
        }
        if record.kind == 5 {
            for id in record.values(b'e') {
                let named = (id.to_vec(), record.pubkey);
                *self.deletions.entry(named).or_default() += 1;
            }
            for value in record.values(b'a') {
                let times = self.address_deletions.entry(value.to_vec()).or_default();
                times.push(record.created_at);
            }
        }
        self.records.push(Some(record));
    }

    pub(super) fn remove(&mut self, id: &[u8]) {
        let Some(number) = self.by_id.remove(id) else {
            return;
        };
        let Some(record) = self.records[number].take() else {
            return;
        };
        // The one that replaced it has its address already.
        if let Some(address) = record.address()
            && self.by_address.get(&address) == Some(&number)
        {
            self.by_address.remove(&address);
        }
        if record.kind != 5 {
            return;
        }
        // A deletion that was itself deleted deletes nothing more.
        for id in record.values(b'e') {
            let named = (id.to_vec(), record.pubkey);
            if let Some(count) = self.deletions.get_mut(&named) {
                *count -= 1;
                if *count == 0 {
                    self.deletions.remove(&named);
                }
            }
        }
        for value in record.values(b'a') {
            if let Some(times) = self.address_deletions.get_mut(value) {
                let this = times.iter().position(|&time| time == record.created_at);
                this.map(|this| times.swap_remove(this));
            }
        }
    }
}
