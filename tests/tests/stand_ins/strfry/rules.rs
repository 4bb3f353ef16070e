//! Which events strfry keeps: times, shapes, deletions (NIP-09), replaceable ones.

use constellation_shared::{Event, EventId};
use constellation_tests::Author;

use super::case::{Case, NOW, lines};

#[test]
fn times_are_not_looked_at_but_shapes_always_are() {
    let author = Author::new(1);
    let expired = author.sign(1, NOW, &[&["expiration", "1795000001"]], "expired");
    let ephemeral = author.sign(22_242, NOW - 1, &[], "ephemeral");
    let old = author.note(1_479_982_274, "ten years old");
    let future = author.note(4_000_000_000, "far ahead");
    let long_value = "x".repeat(1025);
    let many = vec![&["x", ""][..]; 2001];
    let sign = |kind, tags: &[&[&str]]| author.sign(kind, NOW, tags, "");
    let wrong = [
        (
            sign(1, &[&["p", "abcd"]]),
            "unexpected size for fixed-size tag: p",
        ),
        (
            sign(1, &[&["e", "abcd"]]),
            "unexpected size for fixed-size tag: e",
        ),
        (sign(1, &[&["t", &long_value]]), "tag val too large: 1025"),
        (sign(1, &many), "too many tags: 2001"),
        (sign(1, &[&[]]), "too few fields in tag"),
    ];
    let events: Vec<&Event> = wrong.iter().map(|(event, _)| event).collect();
    let said = wrong
        .iter()
        .map(|(event, why)| format!("Rejected event {}: {why}", event.id));
    let said: Vec<String> = said.collect();
    let nothing = |name| Case {
        args: &["--show-rejected"],
        done: Some("5 lines. 0 added, 5 rejected, 0 dups"),
        writer: [0; 4],
        said: said.clone(),
        left: Vec::new(),
        ..Case::new(name, &events)
    };
    for case in [
        Case {
            done: Some("4 lines. 4 added, 0 rejected, 0 dups"),
            ..Case::new("any time", &[&future, &expired, &ephemeral, &old])
        },
        nothing("shapes, verified"),
        Case {
            args: &["--show-rejected", "--no-verify"],
            ..nothing("shapes, unverified")
        },
    ] {
        case.check();
    }
}

#[test]
fn deletions_hold_in_both_orders_for_their_author() {
    let (author, other) = (Author::new(1), Author::new(2));
    let mine = author.note(NOW, "mine");
    let theirs = author.note(NOW + 1, "not the other's");
    let deletion = author.delete(NOW + 2, &[mine.id]);
    let foreign = other.delete(NOW + 3, &[theirs.id]);
    let address = format!("30023:{}:x", author.pubkey());
    let article = |age: u64| author.sign(30_023, NOW - age, &[&["d", "x"]], "article");
    let (v1, v2) = (article(20), article(0));
    let by_address = |by: &Author| by.sign(5, NOW - 10, &[&["a", &address]], "");
    let (of_address, of_foreign) = (by_address(&author), by_address(&other));
    let profile = author.sign(0, NOW, &[], "{}");
    let older = author.sign(0, NOW - 100, &[], "{\"name\":\"older\"}");
    let profile_address = format!("0:{}:", author.pubkey());
    let profile_by_address = author.sign(5, NOW + 9, &[&["a", &profile_address]], "");
    let profile_by_id = author.delete(NOW + 9, &[profile.id]);
    let own = |id: &EventId| format!("Deleting event (kind 5, e-tag). id={id}");
    let foreign_refused = |args| Case {
        before: vec![v1.clone()],
        args,
        done: Some("1 lines. 0 added, 1 rejected, 0 dups"),
        writer: [0; 4],
        said: vec![format!(
            "Rejected event {}: can't delete other user's events",
            of_foreign.id
        )],
        left: vec![v1.id],
        ..Case::new("of a foreign address", &[&of_foreign])
    };
    for case in [
        Case {
            done: Some("4 lines. 4 added, 0 rejected, 0 dups"),
            said: vec![own(&mine.id)],
            left: vec![foreign.id, deletion.id, theirs.id],
            ..Case::new("by id", &[&mine, &theirs, &deletion, &foreign])
        },
        Case {
            before: vec![deletion.clone(), foreign.clone()],
            done: Some("2 lines. 1 added, 0 rejected, 0 dups"),
            writer: [1, 0, 0, 1],
            left: vec![foreign.id, deletion.id, theirs.id],
            ..Case::new("by id, ahead of its target", &[&mine, &theirs])
        },
        Case {
            before: vec![mine.clone(), deletion.clone()],
            done: Some("1 lines. 0 added, 0 rejected, 0 dups"),
            writer: [0, 0, 0, 1],
            said: vec!["Committed 0. Processed 1 lines. 0 added, 0 rejected, 0 dups".into()],
            left: vec![deletion.id],
            ..Case::new("and not again", &[&mine])
        },
        Case {
            done: Some("3 lines. 3 added, 0 rejected, 0 dups"),
            said: vec![format!(
                "Deleting replaceable event (kind 5, a-tag). id={}",
                v1.id
            )],
            left: vec![v2.id, of_address.id],
            ..Case::new("by address, what is not newer", &[&v1, &of_address, &v2])
        },
        Case {
            before: vec![of_address.clone()],
            done: Some("1 lines. 0 added, 0 rejected, 0 dups"),
            writer: [0, 0, 0, 1],
            left: vec![of_address.id],
            ..Case::new("by address, ahead of its target", &[&v1])
        },
        foreign_refused(&["--show-rejected"]),
        foreign_refused(&["--show-rejected", "--no-verify"]),
        Case {
            before: vec![profile.clone()],
            done: Some("1 lines. 1 added, 0 rejected, 0 dups"),
            left: vec![profile_by_address.id, profile.id],
            ..Case::new("a profile by address stays", &[&profile_by_address])
        },
        Case {
            before: vec![profile.clone(), profile_by_id.clone()],
            done: Some("1 lines. 1 added, 0 rejected, 0 dups"),
            left: vec![profile_by_id.id, older.id],
            ..Case::new("a profile by id, an older one comes back", &[&older])
        },
    ] {
        case.check();
    }
}

#[test]
fn the_newest_of_replaceable_events_stays() {
    let author = Author::new(1);
    let sign = |kind, age: u64, d: &str| author.sign(kind, NOW - age, &[&["d", d]], "");
    let pair = |kind| (sign(kind, 10, "x"), sign(kind, 0, "x"));
    let replaced = |name, kind| {
        let (old, new) = pair(kind);
        Case {
            before: vec![new.clone()],
            done: Some("1 lines. 0 added, 0 rejected, 0 dups"),
            writer: [0, 0, 1, 0],
            left: vec![new.id],
            ..Case::new(name, &[&old])
        }
    };
    let (old, new) = pair(0);
    // Of two in one second the lower id stays, whichever came first.
    let mut same_second = [author.sign(3, NOW, &[], "a"), author.sign(3, NOW, &[], "b")];
    same_second.sort_by_key(|event| event.id);
    let [lower, higher] = same_second;
    // The `d` tag counts for addressable kinds alone.
    let (x, y) = (sign(10_002, 1, "x"), sign(10_002, 0, "y"));
    let (apart_x, apart_y) = (sign(30_023, 1, "x"), sign(30_023, 0, "y"));
    for case in [
        Case {
            input: lines(&[&new, &old]),
            done: Some("2 lines. 2 added, 0 rejected, 0 dups"),
            writer: [2, 0, 0, 0],
            said: vec![format!("Deleting event (d-tag). id={}", old.id)],
            ..Case::new("newest first in one batch", &[&new])
        },
        replaced("a profile", 0),
        replaced("contacts", 3),
        replaced("a channel (kind 41), in strfry alone", 41),
        replaced("a list", 19_999),
        replaced("an article", 30_023),
        Case {
            before: vec![lower.clone()],
            done: Some("1 lines. 0 added, 0 rejected, 0 dups"),
            writer: [0, 0, 1, 0],
            left: vec![lower.id],
            ..Case::new("the higher id comes second", &[&higher])
        },
        Case {
            before: vec![higher.clone()],
            done: Some("1 lines. 1 added, 0 rejected, 0 dups"),
            ..Case::new("the lower id comes second", &[&lower])
        },
        Case {
            done: Some("2 lines. 2 added, 0 rejected, 0 dups"),
            left: vec![y.id],
            ..Case::new("one list, whatever its d tag", &[&x, &y])
        },
        Case {
            done: Some("2 lines. 2 added, 0 rejected, 0 dups"),
            ..Case::new("an article for each d tag", &[&apart_y, &apart_x])
        },
    ] {
        case.check();
    }
}
