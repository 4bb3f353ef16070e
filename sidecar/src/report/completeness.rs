//! What the report says of how much of its peers' history is here, as text.

use crate::report::document::{Document, Peer};
use crate::support::humanize::{duration, number_of};

/// What is here of a peer's history, seen from the end of the run; nothing if that is not known.
pub(crate) fn of_peer(peer: &Peer, document: &Document) -> Option<String> {
    let before = |time: u64| duration(document.finished_at.saturating_sub(time));
    let (until, since) = (peer.complete_until?, peer.compared_since?);
    Some(match since {
        0 => format!(
            "complete up to {} before the end of this run; a part of its history has yet to be compared",
            before(until)
        ),
        _ => format!(
            "complete up to {} before the end of this run; all of its history was compared in the last {}",
            before(until),
            before(since)
        ),
    })
}

/// The oldest time after which something may be missing, and of how many peers; nothing if no run
/// has looked at the peers' whole history yet. `now` is in Unix seconds.
pub(crate) fn of_all(document: &Document, now: u64) -> Option<String> {
    let reached = || document.peers.iter().filter(|peer| peer.reached);
    let known = reached().filter_map(|peer| peer.complete_until);
    let oldest = known.min()?;
    let (whole, all) = (
        reached()
            .filter(|peer| peer.complete_until.is_some())
            .count(),
        reached().count(),
    );
    let complete = format!(
        "complete up to {} ago",
        duration(now.saturating_sub(oldest))
    );
    Some(if whole == all {
        complete
    } else {
        format!(
            "{complete} with {whole} of {}; the whole history of the others has yet to come",
            number_of(all as u64, "peer")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::document::tests::document;

    fn with(known: &[Option<u64>]) -> Document {
        let mut document = document();
        let peer = document.peers[0].clone();
        document.peers = known
            .iter()
            .map(|complete_until| Peer {
                reached: true,
                complete_until: *complete_until,
                ..peer.clone()
            })
            .collect();
        document
    }

    #[test]
    fn the_oldest_time_after_which_something_may_be_missing_is_said() {
        assert_eq!(of_all(&with(&[None]), 1000), None);
        assert_eq!(
            of_all(&with(&[Some(400), Some(700)]), 1000).unwrap(),
            "complete up to 10 min ago"
        );
        assert_eq!(
            of_all(&with(&[Some(400), None]), 1000).unwrap(),
            "complete up to 10 min ago with 1 of 2 peers; the whole history of the others has yet to come"
        );
    }

    #[test]
    fn of_each_peer_it_is_said_what_is_here() {
        let document = with(&[Some(400)]);
        let mut peer = document.peers[0].clone();
        let at = Document {
            finished_at: 1000,
            ..document
        };
        assert_eq!(of_peer(&peer, &at), None);
        peer.compared_since = Some(0);
        assert!(
            of_peer(&peer, &at)
                .unwrap()
                .ends_with("has yet to be compared")
        );
        peer.compared_since = Some(880);
        assert_eq!(
            of_peer(&peer, &at).unwrap(),
            "complete up to 10 min before the end of this run; all of its history was compared in the last 2 min"
        );
    }
}
