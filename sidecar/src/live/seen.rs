//! [`Seen`]: the events that a peer sent lately, so that sending one again earns it nothing.

use std::collections::{HashSet, VecDeque};

use constellation_shared::EventId;

/// How many events are remembered.
const MOST: usize = 4096;

/// The ids of the last events.
#[derive(Debug, Default)]
pub(super) struct Seen {
    ids: HashSet<EventId>,
    order: VecDeque<EventId>,
}

impl Seen {
    /// Remembers an event; whether it was not remembered before.
    pub(super) fn is_first(&mut self, id: EventId) -> bool {
        if !self.ids.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_events_are_remembered_and_no_more() {
        let id = |number: u32| {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            EventId::from_bytes(bytes)
        };
        let mut seen = Seen::default();
        for number in 0..10_000 {
            assert!(seen.is_first(id(number)));
            assert!(!seen.is_first(id(number)));
        }
        assert_eq!((seen.ids.len(), seen.order.len()), (MOST, MOST));
        assert!(seen.is_first(id(0)));
    }
}
