//! The bytes of the file of [`PeerSets`]. A number of many thousand ids is read each hour, so they
//! are not written as text.

use std::collections::{BTreeMap, BTreeSet};

use constellation_shared::EventId;

use super::{IdPrefix, PeerSet, PeerSets, Way};
use crate::relay::about::{About, AuthorPrefix};

/// The beginning of the file, with the version of its format.
const HEADING: &[u8] = b"constellation-peer-sets 1\n";

/// In the file, the byte before a time for [`Way::Named`].
const NAMED: u8 = 0xff;

/// The bytes of the file.
pub(super) fn encode(sets: &PeerSets) -> Vec<u8> {
    let mut bytes = HEADING.to_vec();
    put_count(&mut bytes, sets.unwanted.len());
    for (id, about) in &sets.unwanted {
        bytes.extend_from_slice(id.as_bytes());
        bytes.extend_from_slice(&about.created_at.to_be_bytes());
        bytes.extend_from_slice(&about.kind.to_be_bytes());
        bytes.extend_from_slice(&about.author);
    }
    put_count(&mut bytes, sets.peers.len());
    for (peer, set) in &sets.peers {
        put_count(&mut bytes, peer.len());
        bytes.extend_from_slice(peer.as_bytes());
        bytes.extend_from_slice(&set.last_asked.to_be_bytes());
        put_way(&mut bytes, set.recent);
        put_way(&mut bytes, set.older);
        put_prefixes(&mut bytes, &set.lacks);
        put_prefixes(&mut bytes, &set.holds);
    }
    bytes
}

/// Reads the bytes of the file; `None` if they are broken or of another version.
pub(super) fn decode(bytes: &[u8]) -> Option<PeerSets> {
    let mut bytes = Bytes(bytes.strip_prefix(HEADING)?);
    let mut sets = PeerSets::default();
    for _ in 0..bytes.count()? {
        let id = EventId::from_bytes(bytes.array()?);
        let about = About {
            created_at: bytes.number()?,
            kind: u16::from_be_bytes(bytes.array()?),
            author: bytes.array::<{ size_of::<AuthorPrefix>() }>()?,
        };
        sets.unwanted.insert(id, about);
    }
    let mut peers = BTreeMap::new();
    for _ in 0..bytes.count()? {
        let length = bytes.count()?;
        let peer = String::from_utf8(bytes.take(length)?.to_vec()).ok()?;
        let set = PeerSet {
            last_asked: bytes.number()?,
            recent: bytes.way()?,
            older: bytes.way()?,
            lacks: bytes.prefixes()?,
            holds: bytes.prefixes()?,
        };
        peers.insert(peer, set);
    }
    sets.peers = peers;
    bytes.0.is_empty().then_some(sets)
}

fn put_count(bytes: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&count.to_be_bytes());
}

fn put_way(bytes: &mut Vec<u8>, way: Way) {
    let (first, time) = match way {
        Way::Named(not_before) => (NAMED, not_before),
        Way::ByKinds(strikes) => (strikes, 0),
    };
    bytes.push(first);
    bytes.extend_from_slice(&time.to_be_bytes());
}

fn put_prefixes(bytes: &mut Vec<u8>, prefixes: &BTreeSet<IdPrefix>) {
    put_count(bytes, prefixes.len());
    for prefix in prefixes {
        bytes.extend_from_slice(&prefix.to_be_bytes());
    }
}

/// What is left of the file.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn count(&mut self) -> Option<usize> {
        let count = u32::from_be_bytes(self.array()?);
        usize::try_from(count).ok()
    }

    fn way(&mut self) -> Option<Way> {
        let [first] = self.array()?;
        let time = self.number()?;
        Some(match first {
            NAMED => Way::Named(time),
            strikes => Way::ByKinds(strikes),
        })
    }

    fn prefixes(&mut self) -> Option<BTreeSet<IdPrefix>> {
        let count = self.count()?;
        let bytes = self.take(count.checked_mul(size_of::<IdPrefix>())?)?;
        let prefixes = bytes.chunks_exact(size_of::<IdPrefix>());
        let prefixes = prefixes.filter_map(|prefix| prefix.first_chunk().copied());
        Some(prefixes.map(IdPrefix::from_be_bytes).collect())
    }
}
