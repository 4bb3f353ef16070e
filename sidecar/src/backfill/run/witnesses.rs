//! The events by which a later run recognises the database.

use std::collections::BTreeMap;

use constellation_shared::{EventId, Pubkey, kinds};

use crate::strfry::newest::NewestEvent;

/// How many events of one author are chosen at most: an author who deletes all of them must not be
/// taken for the loss of the database.
const MOST_OF_AN_AUTHOR: usize = 4;

/// Of the newest events of the database, those of followed authors (in ascending order) that only a
/// deletion takes away: no newer event replaces them, they do not expire, and their kind is one that strfry keeps.
pub(super) fn witnesses(newest: &[NewestEvent], followed: &[Pubkey]) -> Vec<EventId> {
    let mut chosen: BTreeMap<Pubkey, usize> = BTreeMap::new();
    let lasts = |event: &&NewestEvent| {
        !event.may_expire
            && !kinds::is_replaceable(event.kind)
            && !kinds::is_addressable(event.kind)
            && !kinds::is_ephemeral(event.kind)
            && followed.binary_search(&event.author).is_ok()
    };
    newest
        .iter()
        .filter(lasts)
        .filter(|event| {
            let of_author = chosen.entry(event.author).or_default();
            *of_author += 1;
            *of_author <= MOST_OF_AN_AUTHOR
        })
        .map(|event| event.id)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: u8, author: u8, kind: u16) -> NewestEvent {
        NewestEvent {
            id: EventId::from_bytes([id; 32]),
            author: Pubkey::from_bytes([author; 32]),
            kind,
            created_at: 1,
            may_expire: false,
        }
    }

    #[test]
    fn no_author_alone_can_make_the_database_look_lost() {
        let newest: Vec<NewestEvent> = (0..20)
            .map(|id| event(id, 1, 1))
            .chain([event(50, 2, 1), event(51, 3, 1)])
            .collect();
        let followed = [1, 2].map(|author| Pubkey::from_bytes([author; 32]));
        let witnesses = witnesses(&newest, &followed);
        let ids: Vec<u8> = witnesses.iter().map(|id| id.as_bytes()[0]).collect();
        assert_eq!(ids, [0, 1, 2, 3, 50]);
    }

    #[test]
    fn what_goes_away_by_itself_is_no_witness() {
        let expiring = NewestEvent {
            may_expire: true,
            ..event(1, 1, 1)
        };
        let login = event(5, 1, 22242);
        let newest = [
            expiring,
            event(2, 1, 0),
            event(3, 1, 30023),
            login,
            event(4, 1, 7),
        ];
        let followed = [Pubkey::from_bytes([1; 32])];
        assert_eq!(
            witnesses(&newest, &followed),
            [EventId::from_bytes([4; 32])]
        );
    }
}
