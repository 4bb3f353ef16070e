use super::*;
use crate::relay::about::author_prefix;
use crate::relay::filter::LATEST;
use std::fs;

const A: &str = "ws://a";
const B: &str = "ws://b";

fn id(number: u64) -> EventId {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    EventId::from_bytes(bytes)
}

fn key(byte: u8) -> Pubkey {
    Pubkey::from_bytes([byte; 32])
}

fn about(author: u8, created_at: u64) -> About {
    About {
        created_at,
        kind: 1,
        author: author_prefix(&key(author)),
    }
}

fn window(since: u64, until: u64) -> Window {
    Window {
        authors: Vec::new(),
        kinds: vec![1],
        since,
        until,
    }
}

fn sets() -> PeerSets {
    let mut sets = PeerSets::default();
    sets.begin(A, 100);
    sets.begin(B, 200);
    sets
}

fn unwanted(sets: &PeerSets, peer: &str) -> Vec<EventId> {
    let all = sets.unwanted(peer, &window(0, LATEST));
    all.iter().map(|event| event.id).collect()
}

#[test]
fn what_is_remembered_of_each_peer_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sets");
    let mut sets = sets();
    sets.learn(A, id(1), about(9, 50));
    sets.learn(A, id(2), about(8, 60));
    sets.holds(B, [id(2), id(3)]);
    sets.lacks(B, [id(4)]);
    sets.set_way(A, Span::Recent, Way::ByKinds(2));
    sets.set_way(B, Span::Older, Way::Named(77));
    sets.save(&path, 1000).unwrap();
    let loaded = PeerSets::load(&path, &[]);
    assert_eq!(loaded, sets);
    assert_eq!(unwanted(&loaded, A), [id(1), id(2)]);
    assert_eq!(
        unwanted(&loaded, B),
        [id(2)],
        "3 is not known to be unwanted"
    );
    assert!(loaded.lacked(B).contains(&id(4)) && !loaded.lacked(A).contains(&id(4)));
    assert_eq!(loaded.way(A, Span::Recent), Way::ByKinds(2));
    assert_eq!(loaded.way(A, Span::Older), Way::default());
    let inside = loaded.unwanted(A, &window(55, 60));
    assert_eq!(inside.len(), 1);
    // No way of breaking it leads to anything but an empty memory.
    let bytes = fs::read(&path).unwrap();
    for length in 0..bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        assert_eq!(PeerSets::load(&path, &[]), PeerSets::default());
    }
    let mut longer = bytes.clone();
    longer.push(0);
    fs::write(&path, longer).unwrap();
    assert_eq!(PeerSets::load(&path, &[]), PeerSets::default());
    let mut endless = bytes;
    endless[26..30].copy_from_slice(&[0xff; 4]);
    fs::write(&path, endless).unwrap();
    assert_eq!(PeerSets::load(&path, &[]), PeerSets::default());
}

#[test]
fn events_of_an_author_who_is_followed_now_are_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sets");
    let mut sets = sets();
    sets.learn(A, id(1), about(9, 50));
    sets.learn(A, id(2), about(8, 60));
    sets.save(&path, 1000).unwrap();
    let loaded = PeerSets::load(&path, &[key(3), key(9)]);
    assert!(!loaded.is_unwanted(&id(1)) && loaded.is_unwanted(&id(2)));
    assert_eq!(unwanted(&loaded, A), [id(2)]);
}

#[test]
fn what_a_peer_lacks_now_is_not_taken_for_held() {
    let mut sets = sets();
    sets.learn(A, id(1), about(9, 50));
    sets.lacks(A, [id(1), id(2)]);
    assert!(unwanted(&sets, A).is_empty());
    assert!(!sets.lacked(A).contains(&id(1)) && sets.lacked(A).contains(&id(2)));
    sets.has(A, &[id(2)]);
    assert!(!sets.lacked(A).contains(&id(2)));
}

#[test]
fn no_peer_takes_more_than_its_share() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sets");
    let mut sets = sets();
    for number in 0..MOST_UNWANTED as u64 + 10 {
        sets.learn(A, id(number), about(9, 50));
    }
    assert_eq!(sets.room(A), 0);
    assert_eq!(sets.unwanted.len(), MOST_UNWANTED);
    sets.learn(B, id(u64::MAX), about(9, 50));
    assert_eq!(unwanted(&sets, B), [id(u64::MAX)]);
    sets.lacks(
        B,
        (0..MOST_LACKED as u64).map(|number| id(1 << 40 | number)),
    );
    assert_eq!(sets.lacked(B).0.len(), MOST_LACKED);
    sets.lacks(B, [id(1 << 41)]);
    assert_eq!(sets.lacked(B).0.len(), 1);
    sets.save(&path, 1000).unwrap();
    assert_eq!(PeerSets::load(&path, &[]), sets);
}

#[test]
fn where_much_is_unwanted_the_last_days_count() {
    const NOW: u64 = 1_800_000_000;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sets");
    let mut sets = sets();
    sets.set_way(A, Span::Recent, Way::ByKinds(0));
    sets.set_way(A, Span::Older, Way::ByKinds(0));
    for number in 0..MOST_UNWANTED as u64 {
        sets.learn(A, id(number), about(9, NOW - 10 * number));
    }
    sets.learn(B, id(0), about(9, NOW));
    sets.learn(B, id(MOST_UNWANTED as u64 - 1), about(9, 50));
    sets.save(&path, NOW).unwrap();
    let days = unwanted(&sets, A).len() as u64;
    assert_eq!(days, KEPT_IF_FULL / 10 + 1);
    assert_eq!(sets.way(A, Span::Recent), Way::ByKinds(0));
    assert_eq!(sets.way(A, Span::Older), Way::failed(NOW));
    assert_eq!(unwanted(&sets, B).len(), 2, "its share is small");
}

#[test]
fn the_peers_not_asked_for_longest_are_forgotten_first() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sets");
    let mut sets = PeerSets::default();
    for number in 0..MOST_PEERS as u64 + 3 {
        let peer = format!("ws://{number}");
        sets.begin(&peer, number);
        sets.learn(&peer, id(number), about(9, 50));
    }
    sets.save(&path, 1000).unwrap();
    assert_eq!(sets.peers.len(), MOST_PEERS);
    assert!(!sets.peers.contains_key("ws://2") && sets.peers.contains_key("ws://3"));
    assert!(!sets.is_unwanted(&id(2)), "no peer holds it any more");
}
