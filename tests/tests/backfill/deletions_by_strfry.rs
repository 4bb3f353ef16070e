//! Which deletions count (NIP-09) is for strfry to say: what a backfill leaves in the database
//! is what `strfry import` makes of the same events, whatever the deletion looks like and in
//! whichever order it and its target arrive. With `STRFRY` set, both are the real one.

use std::collections::BTreeSet;

use constellation_shared::{Event, EventId};
use constellation_tests::record::Record;
use constellation_tests::station::ids;
use constellation_tests::sync_program::{follow, paged, recent, saying, sync_all};
use constellation_tests::{Author, ScriptedRelay, station};

/// A deletion, what it is aimed at, and whether it takes that away.
struct Case {
    name: &'static str,
    target: Event,
    /// The tags of the deletion.
    tags: Vec<Vec<String>>,
    deletes: bool,
}

/// What a target is, and the tags of a deletion that are made of its id.
type Row = (&'static str, fn(&str) -> Vec<Vec<String>>, bool);

fn tag(name: &str, value: impl Into<String>) -> Vec<String> {
    vec![name.to_owned(), value.into()]
}

/// A good tag for this id, beside another.
fn with(id: &str, other: Vec<String>) -> Vec<Vec<String>> {
    vec![tag("e", id), other]
}

/// Deletions by id, each of a note of its own.
const BY_ID: [Row; 27] = [
    ("lower case", |id| vec![tag("e", id)], true),
    ("upper case", |id| vec![tag("e", id.to_uppercase())], true),
    ("twice", |id| vec![tag("e", id), tag("e", id)], true),
    (
        "with a relay",
        |id| vec![vec!["e".into(), id.into(), "wss://a.example".into()]],
        true,
    ),
    (
        "beside another event",
        |id| with(id, tag("e", "ab".repeat(32))),
        true,
    ),
    ("beside a k tag", |id| with(id, tag("k", "1")), true),
    (
        "beside a long tag of a long name",
        |id| with(id, tag("note", "x".repeat(3000))),
        true,
    ),
    (
        "beside 1024 bytes",
        |id| with(id, tag("t", "x".repeat(1024))),
        true,
    ),
    (
        "the last of 2000 tags",
        |id| {
            let mut tags = vec![tag("x", ""); 1999];
            tags.push(tag("e", id));
            tags
        },
        true,
    ),
    ("of the name E", |id| vec![tag("E", id)], false),
    ("of the name event", |id| vec![tag("event", id)], false),
    (
        "bech32",
        |_| vec![tag("e", "note1".to_owned() + &"q".repeat(58))],
        false,
    ),
    (
        "beside bech32",
        |id| with(id, tag("e", "note1".to_owned() + &"q".repeat(58))),
        false,
    ),
    (
        "beside 64 characters that are no hex",
        |id| with(id, tag("e", "note1".to_owned() + &"q".repeat(59))),
        false,
    ),
    (
        "with 0x before it",
        |id| vec![tag("e", format!("0x{id}"))],
        false,
    ),
    (
        "with 0x in place of a byte",
        |id| vec![tag("e", format!("0x{}", &id[2..]))],
        false,
    ),
    ("a digit short", |id| vec![tag("e", &id[1..])], false),
    (
        "beside one that is a digit long",
        |id| with(id, tag("e", format!("{id}0"))),
        false,
    ),
    (
        "beside a blank",
        |id| with(id, tag("e", format!(" {}", &id[1..]))),
        false,
    ),
    ("beside an empty one", |id| with(id, tag("e", "")), false),
    (
        "beside one without value",
        |id| with(id, vec!["e".into()]),
        false,
    ),
    (
        "beside a short p tag",
        |id| with(id, tag("p", "abcd")),
        false,
    ),
    (
        "beside 1025 bytes",
        |id| with(id, tag("t", "x".repeat(1025))),
        false,
    ),
    (
        "the last of 2001 tags",
        |id| {
            let mut tags = vec![tag("x", ""); 2000];
            tags.push(tag("e", id));
            tags
        },
        false,
    ),
    (
        "beside another's address",
        |id| with(id, tag("a", format!("30023:{}:x", "ab".repeat(32)))),
        false,
    ),
    ("beside no address", |id| with(id, tag("a", "30023")), false),
    (
        "beside an expiration that is no number",
        |id| with(id, tag("expiration", "soon")),
        false,
    ),
];

/// Deletions by address; `{d}` is the target's `d` tag, `{pk}` its author. A deletion of an
/// address counts for what is not newer than it.
const BY_ADDRESS: [(&str, u16, &str, bool); 10] = [
    ("an address", 30_023, "30023:{pk}:{d}", true),
    ("of a name with colons", 30_023, "30023:{pk}:{d}", true),
    ("of another kind", 30_023, "30024:{pk}:{d}", false),
    ("of another name", 30_023, "30023:{pk}:{d}x", false),
    ("without a name", 30_023, "30023:{pk}", false),
    ("without a kind", 30_023, ":{pk}:{d}", false),
    (
        "of a kind that is no number",
        30_023,
        "30023x:{pk}:{d}",
        false,
    ),
    ("of half an author", 30_023, "30023:abcd:{d}", false),
    ("of a kind that is not addressable", 1, "1:{pk}:{d}", false),
    ("of a replaceable kind", 3, "3:{pk}:", false),
];

fn cases(author: &Author, at: u64) -> Vec<Case> {
    let mut cases = Vec::new();
    for (number, (name, tags, deletes)) in (0..).zip(BY_ID) {
        let target = author.note(at - number, &format!("deleted {name}"));
        cases.push(Case {
            name,
            tags: tags(&target.id.to_hex()),
            target,
            deletes,
        });
    }
    for (number, (name, kind, address, deletes)) in (0..).zip(BY_ADDRESS) {
        let d = format!("x:{number}:{}", name.len());
        let target = author.sign(kind, at - 100 - number, &[&["d", &d]], name);
        let value = address
            .replace("{pk}", &author.pubkey().to_hex())
            .replace("{d}", &d);
        cases.push(Case {
            name,
            tags: vec![tag("a", value)],
            target,
            deletes,
        });
    }
    // A deletion can be deleted by strfry's rules, though not by NIP-09's.
    let target = author.sign(5, at - 200, &[&["e", &"cd".repeat(32)]], "");
    cases.push(Case {
        name: "a deletion",
        tags: vec![tag("e", target.id.to_hex())],
        target,
        deletes: true,
    });
    cases
}

fn deletion(author: &Author, at: u64, case: &Case) -> Event {
    let tags: Vec<Vec<&str>> = case
        .tags
        .iter()
        .map(|tag| tag.iter().map(String::as_str).collect())
        .collect();
    let tags: Vec<&[&str]> = tags.iter().map(Vec::as_slice).collect();
    author.sign(5, at, &tags, case.name)
}

/// The events arrive in these steps, each with a backfill of its own.
fn arrive(steps: &[Vec<Event>], author: &Author) -> (BTreeSet<EventId>, String) {
    let (station, direct) = (station!(), station!());
    let relay = ScriptedRelay::start(&[], paged(500));
    follow(&station, std::slice::from_ref(author), &[&relay.url()]);
    for events in steps {
        // A relay keeps only what strfry would; the others it sends before all it has.
        let (kept, odd): (Vec<Event>, Vec<Event>) = events
            .iter()
            .cloned()
            .partition(|event| Record::from_json(&event.to_json()).is_ok());
        relay.add(&kept);
        relay.behave(saying(odd.iter().map(Event::to_json).collect()));
        sync_all(&station, &[]);
        direct.import(events);
    }
    let stored = station.stored_ids();
    assert_eq!(stored, direct.stored_ids(), "strfry alone keeps others");
    let memory = station.root().join("strfry/constellation-refused.txt");
    (stored, std::fs::read_to_string(memory).unwrap_or_default())
}

#[test]
fn a_deletion_counts_here_if_and_only_if_it_counts_for_strfry() {
    let author = Author::new(1);
    let now = recent();
    // Newer than its targets, so that a relay sends it before them; and for those that go by
    // id, older.
    for at in [now, now - 1000] {
        let cases = cases(&author, now - 300);
        let by_age = |case: &Case| at == now || !case.tags.iter().any(|tag| tag[0] == "a");
        let cases: Vec<Case> = cases.into_iter().filter(by_age).collect();
        let targets: Vec<Event> = cases.iter().map(|case| case.target.clone()).collect();
        let deletions: Vec<Event> = (0..)
            .zip(&cases)
            .map(|(number, case)| deletion(&author, at - number, case))
            .collect();
        let together = [&targets[..], &deletions].concat();
        for steps in [
            vec![together],
            vec![deletions.clone(), targets.clone()],
            vec![targets.clone(), deletions.clone()],
        ] {
            let (stored, refused) = arrive(&steps, &author);
            for case in &cases {
                let id = case.target.id;
                assert_eq!(
                    !stored.contains(&id),
                    case.deletes,
                    "{}, in {} steps",
                    case.name,
                    steps.len()
                );
                let is_remembered = refused.contains(&id.to_hex());
                assert!(!is_remembered || case.deletes, "{}", case.name);
            }
            assert!(stored.len() > ids(&targets).len() / 2);
        }
    }
}
