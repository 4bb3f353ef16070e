//! [`Wanted`]: the events that a run wants from a peer, and the subscriptions that ask for them.

use std::sync::Arc;

use constellation_shared::Pubkey;

use crate::relay::filter::{LATEST, Window};
use crate::relay::message::Head;
use crate::relay::nip11::Information;
use crate::relay::pager::Pager;

/// How many authors one filter names at most.
const MOST_AUTHORS: usize = 100;

/// The length of a REQ message without its authors, in bytes.
const REQ_LENGTH: u64 = 1000;
/// The length that each author adds to a REQ message, in bytes.
const AUTHOR_LENGTH: u64 = 67;

/// The number of events for one filter that is assumed of a relay without NIP-11 document:
/// strfry's default.
const USUAL_LIMIT: u64 = 500;
/// The message length in bytes that is assumed of a relay without NIP-11 document: the smallest
/// seen on stations.
const USUAL_MESSAGE_LENGTH: u64 = 65_536;
/// The number of subscriptions that is assumed of a relay without NIP-11 document: the smallest
/// seen on stations.
const USUAL_SUBSCRIPTIONS: u64 = 5;

/// How many subscriptions are open at once at most. More would not be faster: a relay would only
/// work on more of them at the same time.
const MOST_SUBSCRIPTIONS: u64 = 8;

/// The default of strfry's `relay.auth.restrictedReadKinds`: direct messages and gift wraps.
pub(crate) const RESTRICTED_KINDS: [u16; 2] = [4, 1059];

/// The least number of events that a filter asks for, whatever the relay says of itself.
const LEAST_LIMIT: u64 = 100;
/// The most events that a filter asks for, whatever the relay says of itself.
const MOST_LIMIT: u64 = 5000;

/// Authors whose events of a span of time are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The authors, in ascending order.
    pub authors: Arc<[Pubkey]>,
    /// The earliest time, in Unix seconds.
    pub since: u64,
    /// The latest time, in Unix seconds; [`LATEST`] for no bound.
    pub until: u64,
}

impl Part {
    /// Whether an event by this author, created at this time, belongs to the part.
    fn holds(&self, author: &Pubkey, created_at: u64) -> bool {
        (self.since..=self.until).contains(&created_at.min(LATEST))
            && self.authors.binary_search(author).is_ok()
    }
}

/// The events that a run wants from a peer.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Whose events of which time.
    pub parts: Vec<Part>,
    /// The kinds.
    pub kinds: Vec<u16>,
    /// The run stops paging after this many events, which are the newest. The last page is still
    /// taken whole.
    pub most_events: usize,
}

impl Wanted {
    /// All events of these kinds that these authors, in ascending order, created at `since` (in
    /// Unix seconds) or later.
    pub fn since(authors: Arc<[Pubkey]>, kinds: Vec<u16>, since: u64) -> Self {
        let part = Part {
            authors,
            since,
            until: LATEST,
        };
        Self {
            parts: vec![part],
            kinds,
            most_events: usize::MAX,
        }
    }

    /// Whether an event is among the wanted ones.
    pub fn wants(&self, event: &Head) -> bool {
        let mut parts = self.parts.iter();
        self.kinds.contains(&event.kind)
            && parts.any(|part| part.holds(&event.author, event.created_at))
    }

    /// Splits what is wanted into windows, each of which fits into a message that this relay
    /// accepts.
    pub fn windows(&self, information: &Information) -> Vec<Window> {
        let length = information
            .max_message_length
            .unwrap_or(USUAL_MESSAGE_LENGTH);
        let fitting = length.saturating_sub(REQ_LENGTH) / AUTHOR_LENGTH;
        let authors = usize::try_from(fitting)
            .unwrap_or(MOST_AUTHORS)
            .clamp(1, MOST_AUTHORS);
        self.windows_of(authors)
    }

    /// Splits what is wanted into windows with at most `authors` authors each.
    pub fn windows_of(&self, authors: usize) -> Vec<Window> {
        let mut windows = Vec::new();
        for part in &self.parts {
            for authors in part.authors.chunks(authors) {
                for kinds in self.kinds_asked_together() {
                    windows.push(Window {
                        authors: authors.to_vec(),
                        kinds,
                        since: part.since,
                        until: part.until,
                    });
                }
            }
        }
        windows
    }

    /// Groups the kinds for filters. The kinds that some relays only show to authenticated clients
    /// are asked for separately: strfry counts their events towards a page and then leaves them
    /// out, so that a page of mixed kinds could be empty although there are more events.
    pub(crate) fn kinds_asked_together(&self) -> Vec<Vec<u16>> {
        let (restricted, open): (Vec<u16>, Vec<u16>) = self
            .kinds
            .iter()
            .partition(|kind| RESTRICTED_KINDS.contains(kind));
        let alone = restricted.into_iter().map(|kind| vec![kind]);
        std::iter::once(open)
            .chain(alone)
            .filter(|kinds| !kinds.is_empty())
            .collect()
    }

    /// A pager that asks this relay for all events in these windows.
    pub fn pager(&self, windows: Vec<Window>, information: &Information) -> Pager {
        let limit = information
            .max_limit
            .unwrap_or(USUAL_LIMIT)
            .clamp(LEAST_LIMIT, MOST_LIMIT);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Pager::new(windows, subscriptions(information), limit).with_most_events(self.most_events)
    }
}

/// How many subscriptions are open on this relay at once.
pub(crate) fn subscriptions(information: &Information) -> usize {
    let open = information.max_subscriptions.unwrap_or(USUAL_SUBSCRIPTIONS);
    usize::try_from(open.min(MOST_SUBSCRIPTIONS)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(authors: u16, kinds: &[u16]) -> Wanted {
        let key = |number: u16| {
            let mut bytes = [0; 32];
            bytes[..2].copy_from_slice(&number.to_be_bytes());
            Pubkey::from_bytes(bytes)
        };
        Wanted::since((0..authors).map(key).collect(), kinds.to_vec(), 0)
    }

    fn asked(wanted: &Wanted, max_message_length: Option<u64>) -> Vec<(usize, Vec<u16>)> {
        let information = Information {
            max_message_length,
            ..Information::default()
        };
        let windows = wanted.windows(&information).into_iter();
        windows
            .map(|window| (window.authors.len(), window.kinds))
            .collect()
    }

    #[test]
    fn restricted_kinds_are_asked_for_by_themselves() {
        assert_eq!(
            asked(&wanted(1, &[1, 4, 7, 1059]), None),
            [(1, vec![1, 7]), (1, vec![4]), (1, vec![1059])]
        );
        assert_eq!(asked(&wanted(1, &[4]), None), [(1, vec![4])]);
    }

    #[test]
    fn a_question_fits_the_relay_s_messages() {
        let sizes = |length| {
            let windows = asked(&wanted(250, &[1]), length);
            windows
                .into_iter()
                .map(|(authors, _)| authors)
                .collect::<Vec<_>>()
        };
        assert_eq!(sizes(None), [100, 100, 50]);
        assert_eq!(sizes(Some(1000 + 67 * 80)), [80, 80, 80, 10]);
        assert_eq!(sizes(Some(1)).len(), 250, "never fewer than one author");
    }
}
