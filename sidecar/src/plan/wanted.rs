//! What is wanted of a peer, and the questions that ask for it.

use std::sync::Arc;

use constellation_shared::Pubkey;

use crate::relay::message::Head;
use crate::relay::nip11::Information;
use crate::relay::pager::{LATEST, Pager, Window};

/// How many authors one question names at the most.
const MOST_AUTHORS: usize = 100;

/// What a question takes besides its authors, and what an author takes, in bytes.
const QUESTION_FRAME: u64 = 1000;
const AUTHOR_LENGTH: u64 = 67;

/// What is believed of a relay that tells nothing: strfry's default of events for one
/// filter, the smallest message length and number of subscriptions seen on stations.
const USUAL_LIMIT: u64 = 500;
const USUAL_MESSAGE_LENGTH: u64 = 65_536;
const USUAL_SUBSCRIPTIONS: u64 = 5;

/// How many questions are open at once at the most: more only makes a relay work on more
/// of them at a time.
const MOST_QUESTIONS: u64 = 8;

/// strfry's `relay.auth.restrictedReadKinds` where its conf does not say otherwise: direct
/// messages and gift wraps.
pub(crate) const RESTRICTED_KINDS: [u16; 2] = [4, 1059];

/// Between what limits a question asks, whatever the relay tells.
const LIMITS: (u64, u64) = (100, 5000);

/// What is wanted of every peer.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Whose events, in ascending order.
    pub authors: Arc<[Pubkey]>,
    /// Of which kinds.
    pub kinds: Vec<u16>,
    /// Not older than this, Unix seconds.
    pub since: u64,
    /// At most so many events, the newest; the page that reaches that comes whole.
    pub most_events: usize,
}

impl Wanted {
    /// Whether the event is part of it.
    pub fn wants(&self, event: &Head) -> bool {
        event.created_at >= self.since
            && self.kinds.contains(&event.kind)
            && self.authors.binary_search(&event.author).is_ok()
    }

    /// The questions to begin with, such that each fits into a message that this relay
    /// takes.
    pub fn windows(&self, information: &Information) -> Vec<Window> {
        let length = information
            .max_message_length
            .unwrap_or(USUAL_MESSAGE_LENGTH);
        let fitting = length.saturating_sub(QUESTION_FRAME) / AUTHOR_LENGTH;
        let authors = usize::try_from(fitting)
            .unwrap_or(MOST_AUTHORS)
            .clamp(1, MOST_AUTHORS);
        self.windows_of(authors)
    }

    /// All of it, for so many authors at a time.
    pub fn windows_of(&self, authors: usize) -> Vec<Window> {
        let mut windows = Vec::new();
        for authors in self.authors.chunks(authors) {
            for kinds in self.kinds_asked_together() {
                windows.push(Window {
                    authors: authors.to_vec(),
                    kinds,
                    since: self.since,
                    until: LATEST,
                });
            }
        }
        windows
    }

    /// The kinds that some relays keep for clients who say who they are go by themselves:
    /// strfry counts their events towards a page and then leaves them out, so that a page
    /// of mixed kinds can be empty though there is more.
    fn kinds_asked_together(&self) -> Vec<Vec<u16>> {
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

    /// Asks this relay for these windows, all of what they hold.
    pub fn pager(&self, windows: Vec<Window>, information: &Information) -> Pager {
        let (least, most) = LIMITS;
        let limit = information
            .max_limit
            .unwrap_or(USUAL_LIMIT)
            .clamp(least, most);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        // Below the least that is asked for, it is not the relay's own limit that counts.
        let is_told = information.max_limit.is_some_and(|told| told >= least);
        Pager::new(windows, questions(information), limit)
            .with_told_limit(is_told)
            .with_most_events(self.most_events)
    }
}

/// How many questions this relay is asked at once.
pub(crate) fn questions(information: &Information) -> usize {
    let open = information.max_subscriptions.unwrap_or(USUAL_SUBSCRIPTIONS);
    usize::try_from(open.min(MOST_QUESTIONS)).unwrap_or(1)
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
        Wanted {
            authors: (0..authors).map(key).collect(),
            kinds: kinds.to_vec(),
            since: 0,
            most_events: usize::MAX,
        }
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
