//! [`Known`]: the events that came lately, and when they were created.

use std::collections::{HashMap, VecDeque};

use constellation_shared::EventId;

use crate::relay::message::Head;

/// How many events are remembered.
const MOST: usize = 32_768;

/// The last events that came.
#[derive(Debug, Default)]
pub(super) struct Known {
    created_at: HashMap<EventId, u64>,
    order: VecDeque<EventId>,
}

impl Known {
    /// Remembers an event; whether it was not remembered before.
    pub(super) fn is_first(&mut self, event: &Head) -> bool {
        if self.created_at.contains_key(&event.id) {
            return false;
        }
        self.created_at.insert(event.id, event.created_at);
        self.order.push_back(event.id);
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.created_at.remove(&oldest);
        }
        true
    }

    /// When an event was created, in Unix seconds, if it is remembered.
    pub(super) fn created_at(&self, id: &EventId) -> Option<u64> {
        self.created_at.get(id).copied()
    }

    /// Forgets an event. It keeps its place among the last ones.
    pub(super) fn forget(&mut self, id: &EventId) {
        self.created_at.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use constellation_shared::Pubkey;

    #[test]
    fn the_last_events_are_remembered_and_no_more() {
        let event = |number: u32| {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            Head {
                id: EventId::from_bytes(bytes),
                author: Pubkey::from_bytes([1; 32]),
                kind: 1,
                created_at: u64::from(number),
            }
        };
        let mut known = Known::default();
        let many = 2 * u32::try_from(MOST).unwrap();
        for number in 0..many {
            assert!(known.is_first(&event(number)));
            assert!(!known.is_first(&event(number)));
        }
        assert_eq!((known.created_at.len(), known.order.len()), (MOST, MOST));
        assert_eq!(known.created_at(&event(0).id), None);
        let last = event(many - 1);
        assert_eq!(known.created_at(&last.id), Some(last.created_at));
        known.forget(&last.id);
        assert!(known.is_first(&last));
    }
}
