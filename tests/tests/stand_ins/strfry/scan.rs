//! `strfry scan`: filters, order, errors.

use constellation_shared::Event;
use constellation_tests::{Author, station};

use super::case::NOW;

#[test]
fn scan_finds_the_newest_first() {
    let (author, other) = (Author::new(1), Author::new(2));
    let notes: Vec<Event> = (0..5).map(|age| author.note(NOW - age, "note")).collect();
    let topic = author.sign(
        7,
        NOW - 10,
        &[&["t", "garden"], &["p", &other.pubkey().to_hex()]],
        "+",
    );
    let reply = other.sign(1, NOW - 11, &[&["e", &notes[0].id.to_hex()]], "reply");
    let mut all = notes.clone();
    all.extend([topic.clone(), reply.clone()]);
    let station = station!();
    station.import(&all);

    let (key, id) = (author.pubkey(), notes[0].id);
    for (filter, expected) in [
        ("{}".to_owned(), &all[..]),
        ("{\"kinds\":[1],\"limit\":2}".to_owned(), &all[..2]),
        (
            format!("{{\"authors\":[\"{key}\"],\"kinds\":[1]}}"),
            &all[..5],
        ),
        (
            format!("{{\"authors\":[\"{}\"]}}", key.to_hex().to_uppercase()),
            &all[..6],
        ),
        (format!("{{\"authors\":[\"0x{key}\"]}}"), &all[..6]),
        (format!("{{\"ids\":[\"{id}\"]}}"), &all[..1]),
        (
            format!("{{\"since\":{},\"until\":{}}}", NOW - 3, NOW - 1),
            &all[1..4],
        ),
        ("{\"#t\":[\"garden\"]}".to_owned(), &all[5..6]),
        (format!("{{\"#p\":[\"{}\"]}}", other.pubkey()), &all[5..6]),
        (format!("{{\"#e\":[\"{id}\"]}}"), &all[6..]),
        (
            "[{\"kinds\":[1],\"limit\":1},{\"kinds\":[7]}]".to_owned(),
            &[notes[0].clone(), topic][..],
        ),
        // What the first filter gave is not given again.
        (
            "[{\"kinds\":[1],\"limit\":1},{\"kinds\":[1],\"limit\":2}]".to_owned(),
            &all[..2],
        ),
        ("{\"authors\":[]}".to_owned(), &[][..]),
        ("[{\"authors\":[]},{\"kinds\":[31337]}]".to_owned(), &[][..]),
    ] {
        let found = station.scan(&filter);
        assert_eq!(found, expected, "{filter}");
        let count = station.run_strfry(["scan", "--count", &filter]);
        assert_eq!(
            count.expect_code(0).stdout,
            format!("{}\n", expected.len()),
            "{filter}"
        );
    }

    for (filter, error) in [
        (
            "{\"kinds\":[1],\"foo\":[\"x\"]}",
            "unrecognised filter item: foo",
        ),
        ("{\"kinds\":[1", "tao::json::events::from_string:"),
        (
            "{\"authors\":[\"abcd\"]}",
            "error parsing authors: filter item too small",
        ),
        (
            "{\"ids\":[\"zz\"]}",
            "error parsing ids: unexpected character in from_hex: 122",
        ),
        (
            "{\"kinds\":[\"1\"]}",
            "error parsing kinds: std::get: wrong index for variant",
        ),
        ("{\"kinds\":1}", "kinds not an array"),
        (
            "{\"#foo\":[\"x\"]}",
            "error parsing #foo: unindexed tag filter",
        ),
        ("{\"since\":-1}", "error parsing since"),
        ("{\"since\":1.5}", "error parsing since"),
        (
            "{\"#a\":[\"x\"],\"#b\":[\"x\"],\"#c\":[\"x\"],\"#d\":[\"x\"]}",
            "too many tags in filter",
        ),
        ("[1]", "provided filter is not an object"),
    ] {
        let output = station.run_strfry(["scan", filter]);
        output
            .expect_code(1)
            .expect_stderr(&format!("strfry error: {error}"));
        assert_eq!(output.stdout, "", "{filter}\n{output}");
    }
}

#[test]
fn a_filter_of_1956_authors_is_the_longest_that_an_argument_holds() {
    let filter = |count: u64| {
        let keys: Vec<String> = (0..count)
            .map(|number| format!("\"{number:064x}\""))
            .collect();
        format!("{{\"authors\":[{}]}}", keys.join(","))
    };
    let station = station!();
    let output = station.run_strfry(["scan", "--count", &filter(1956)]);
    assert_eq!(output.expect_code(0).stdout, "0\n");
    let started = std::process::Command::new(station.strfry())
        .args(["scan", "--count", &filter(1957)])
        .spawn();
    assert_eq!(
        started.unwrap_err().kind(),
        std::io::ErrorKind::ArgumentListTooLong
    );
}
