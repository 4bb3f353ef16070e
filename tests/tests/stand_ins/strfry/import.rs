//! `strfry import`: what is counted, what is said, what is refused.

use constellation_shared::{Event, EventId};
use constellation_tests::author::{forged_signature, tampered, upper_case_json};
use constellation_tests::{Author, StationDir, station};

use super::case::{Case, NOW, lines, note_of_length, writer};

fn without_newline(mut input: Vec<u8>) -> Vec<u8> {
    input.pop();
    input
}

#[test]
fn imports_are_counted_and_lines_bounded() {
    let author = Author::new(1);
    let note = |age: u64| author.note(NOW - age, &format!("é \"q\" {age}"));
    let notes: Vec<Event> = (0..5).map(note).collect();
    let all: Vec<&Event> = notes.iter().collect();
    let long = note_of_length(&author, 65_536);
    let fits = note_of_length(&author, 65_535);
    let [first, second, third, ..] = &notes[..] else {
        panic!()
    };
    for case in [
        Case {
            done: Some("5 lines. 5 added, 0 rejected, 0 dups"),
            said: vec!["Committed 5. Processed 5 lines. 5 added, 0 rejected, 0 dups".into()],
            ..Case::new("five new", &all)
        },
        Case {
            before: notes.clone(),
            done: Some("5 lines. 0 added, 0 rejected, 5 dups"),
            writer: [0, 5, 0, 0],
            ..Case::new("the same five", &all)
        },
        Case {
            input: lines(&[first, first]),
            done: Some("2 lines. 1 added, 0 rejected, 1 dups"),
            writer: [1, 1, 0, 0],
            ..Case::new("the same twice in one batch", &[first])
        },
        Case {
            input: [lines(&[first, second]), lines(&[&long, third])].concat(),
            code: 1,
            said: vec!["strfry error: Line larger than configured maxEventSize on line 3".into()],
            ..Case::new("a line too long by its newline", &[first, second])
        },
        Case {
            args: &["--no-verify"],
            input: [lines(&[first]), lines(&[&long, third])].concat(),
            code: 1,
            said: vec!["strfry error: Line larger than configured maxEventSize on line 2".into()],
            ..Case::new("a line too long, without verification", &[first])
        },
        Case {
            done: Some("1 lines. 1 added, 0 rejected, 0 dups"),
            ..Case::new("a line that just fits", &[&fits])
        },
        Case {
            input: without_newline(lines(&[first])),
            done: Some("0 lines. 0 added, 0 rejected, 0 dups"),
            said: vec!["WARN| Unable to parse JSON on line 1".into()],
            ..Case::new("a last line without newline", &[])
        },
        Case {
            input: (first.to_json() + " ").into_bytes(),
            done: Some("1 lines. 1 added, 0 rejected, 0 dups"),
            ..Case::new("a blank in the newline's place", &[first])
        },
        Case {
            input: (first.to_json() + "\r\n").into_bytes(),
            done: Some("1 lines. 1 added, 0 rejected, 0 dups"),
            ..Case::new("CRLF", &[first])
        },
        Case {
            done: Some("0 lines. 0 added, 0 rejected, 0 dups"),
            ..Case::new("empty input", &[])
        },
        Case {
            input: (first.to_json()
                + "
")
            .replacen('{', "{\"seen\":\"x\",", 1)
            .into(),
            done: Some("1 lines. 1 added, 0 rejected, 0 dups"),
            ..Case::new("an unknown field", &[first])
        },
        Case {
            args: &["--write-batch=2", "--debounce-millis=1"],
            done: Some("5 lines. 5 added, 0 rejected, 0 dups"),
            ..Case::new("in small batches", &all)
        },
    ] {
        case.check();
    }
}

#[test]
fn verification_rejects_what_no_verify_stores() {
    let author = Author::new(1);
    let (good, better) = (author.note(NOW, "good"), author.note(NOW + 3, "better"));
    let forged = forged_signature(&author.note(NOW + 1, "forged"));
    let changed = tampered(&author.note(NOW + 2, "changed"));
    let mix = [
        lines(&[&good]),
        b"{\"not json\n".to_vec(),
        lines(&[&forged, &good, &changed]),
        b"\nnull\n[1,2]\n{}\n".to_vec(),
        lines(&[&better]),
    ]
    .concat();
    let unparsed = [2, 6].map(|line| format!("WARN| Unable to parse JSON on line {line}"));
    let rejected = |id: &EventId, why: &str| format!("Rejected event {id}: {why}");
    let twin = author.note(NOW, "poisoned");
    // strfry spells DEL as \u007f when it hashes, which NIP-01 does not.
    let delete = author.note(NOW, "\u{7f}");
    for case in [
        Case {
            input: mix.clone(),
            done: Some("7 lines. 2 added, 4 rejected, 1 dups"),
            writer: [2, 1, 0, 0],
            said: unparsed.to_vec(),
            ..Case::new("a mix", &[&better, &good])
        },
        Case {
            args: &["--show-rejected"],
            input: mix.clone(),
            done: Some("7 lines. 2 added, 4 rejected, 1 dups"),
            writer: [2, 1, 0, 0],
            said: vec![
                rejected(&forged.id, "bad signature"),
                rejected(&changed.id, "bad event id"),
                "Rejected event unknown: event is not an object".into(),
                "Rejected event unknown: JSON object key \"id\" not found".into(),
            ],
            ..Case::new("a mix, rejections shown", &[&better, &good])
        },
        Case {
            args: &["--no-verify"],
            input: mix,
            done: Some("7 lines. 4 added, 2 rejected, 1 dups"),
            writer: [4, 1, 0, 0],
            said: vec!["WARN| not verifying event IDs or signatures!".into()],
            ..Case::new("a mix, unverified", &[&better, &changed, &forged, &good])
        },
        Case {
            before: vec![forged_signature(&twin)],
            done: Some("1 lines. 0 added, 0 rejected, 1 dups"),
            writer: [0, 1, 0, 0],
            ..Case::new("a forged event keeps the genuine one out", &[&twin])
        },
        Case {
            args: &["--show-rejected"],
            done: Some("1 lines. 0 added, 1 rejected, 0 dups"),
            writer: [0; 4],
            said: vec![rejected(&delete.id, "bad event id")],
            left: Vec::new(),
            ..Case::new("DEL, verified", &[&delete])
        },
        Case {
            args: &["--no-verify"],
            done: Some("1 lines. 1 added, 0 rejected, 0 dups"),
            ..Case::new("DEL, unverified", &[&delete])
        },
    ] {
        case.check();
    }
}

#[test]
fn max_event_size_is_the_conf_s() {
    let station = StationDir::builder(env!("CARGO_BIN_EXE_demo"))
        .max_event_size(1000)
        .build();
    let author = Author::new(1);
    let (fits, long) = (note_of_length(&author, 999), note_of_length(&author, 1000));
    station.import(std::slice::from_ref(&fits));
    let output = station
        .strfry_command()
        .arg("import")
        .stdin(lines(&[&long]))
        .output();
    output
        .expect_code(1)
        .expect_stderr("Line larger than configured maxEventSize on line 1");
    assert_eq!(station.stored(), [fits]);
}

#[test]
fn spellings_are_stored_as_they_came_when_unverified() {
    let note = Author::new(1).note(NOW, "upper");
    let upper = upper_case_json(&note);
    let station = station!();
    let import = station.strfry_command().args(["import", "--no-verify"]);
    let output = import.stdin(upper.clone() + "\n").output();
    assert_eq!(writer(output.expect_code(0)), [1, 0, 0, 0]);
    assert_eq!(station.run_strfry(["scan", "{}"]).stdout, upper + "\n");
    // It is the same event all the same.
    let import = station
        .strfry_command()
        .arg("import")
        .stdin(lines(&[&note]));
    assert_eq!(writer(import.output().expect_code(0)), [0, 1, 0, 0]);
}

#[test]
fn what_is_stored_is_spelled_anew() {
    let note = Author::new(1).sign(1, NOW, &[&["t", "é", "more"]], "a / \u{1} \u{2028} 🌱");
    let other_spelling = note
        .to_json()
        .replacen('{', "{ \"seen\" : [1.5, {\"a\": null}] , ", 1)
        .replace('/', "\\/")
        .replace('é', "\\u00e9");
    let station = station!();
    let import = station
        .strfry_command()
        .arg("import")
        .stdin(other_spelling + "\n");
    assert_eq!(writer(import.output().expect_code(0)), [1, 0, 0, 0]);
    assert_eq!(
        station.run_strfry(["scan", "{}"]).stdout,
        note.to_json() + "\n"
    );
}
