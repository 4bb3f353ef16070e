//! What is believed of what strfry says, and what is fed again.

use constellation_shared::{EventId, Pubkey};
use futures_util::future::BoxFuture;

use super::*;
use std::collections::BTreeSet;
use std::path::PathBuf;

fn line(byte: u8) -> Line {
    Line {
        id: EventId::from_bytes([byte; 32]),
        author: Pubkey::from_bytes([byte; 32]),
        kind: 1,
        json: "{}".to_owned(),
    }
}

#[test]
fn the_summary_is_believed_where_strfry_said_less_before() {
    let strfry = Strfry::new(PathBuf::new(), PathBuf::new(), Duration::MAX);
    let mut import = Import::new(strfry, false);
    import.queue.add((0..9).map(line).collect());
    import.queue.begin(9);
    import.hear(Said::Written(Written {
        added: 2,
        dups: 1,
        ..Written::default()
    }));
    import.hear(Said::Rejected(line(8).id, "bad".to_owned()));
    assert_eq!(import.queue.len(), 5);
    import.account.fed = 9;
    import.hear(Said::Done {
        processed: 9,
        added: 4,
        rejected: 2,
        dups: 3,
    });
    import.settle(9).unwrap();
    assert_eq!(import.queue.len(), 0);
    let Imported { written, .. } = &import.imported;
    assert_eq!((written.added, written.dups), (4, 3));
    assert_eq!(import.imported.rejected_count(), 2);
}

#[test]
fn numbers_that_cannot_be_are_taken_as_they_come() {
    let strfry = Strfry::new(PathBuf::new(), PathBuf::new(), Duration::MAX);
    let mut import = Import::new(strfry, false);
    import.queue.add((0..9).map(line).collect());
    import.queue.begin(9);
    let most = Written {
        added: u64::MAX,
        dups: u64::MAX,
        replaced: u64::MAX,
        deleted: u64::MAX,
    };
    for _ in 0..2 {
        import.hear(Said::Rejected(line(8).id, "bad".to_owned()));
        import.hear(Said::Written(most));
        import.hear(Said::Done {
            processed: u64::MAX,
            added: u64::MAX,
            rejected: u64::MAX,
            dups: 0,
        });
    }
    assert_eq!(import.imported.written, most);
    let other = import.imported.clone();
    import.imported.add(other);
    assert_eq!(import.imported.rejected_count(), u64::MAX);
    assert_eq!(import.queue.bytes(), 0);
    assert!(import.settle(u64::MAX).is_err());
}

/// Feeds nine short lines to an `import` that is this script.
async fn fed_to(script: &str) -> (Imported, Result<(), String>) {
    let dir = tempfile::tempdir().unwrap();
    // `sh import …`
    std::fs::write(dir.path().join("import"), script).unwrap();
    let (program, folder) = (PathBuf::from("/bin/sh"), dir.path().to_owned());
    let strfry = Strfry::new(program, folder, Duration::from_secs(60));
    let (sender, lines) = mpsc::channel(1);
    sender.send((0..9).map(line).collect()).await.unwrap();
    drop(sender);
    let (imported, result) = Import::new(strfry, false).run(lines).await;
    (imported, result.map_err(|error| error.to_string()))
}

#[tokio::test]
async fn an_import_that_did_not_read_what_it_was_given_is_a_failure() {
    let done = |read: u64, more: &str| {
        format!(
            "cat >/dev/null; {more}\necho \"Done. Processed {read} lines. 0 added, 0 rejected, 0 dups\" >&2\n"
        )
    };
    let writer = "echo \"Writer: added: 8 dups: 0 replaced: 0 deleted: 0\" >&2";
    let unparsable = "echo \"WARN| Unable to parse JSON on line 3\" >&2";
    let read = |number: u64| {
        Err(format!(
            "strfry import was given 9 events and read {number}"
        ))
    };
    for (script, expected) in [
        (done(9, ""), Ok(())),
        // A wrapper that drops its input.
        (done(0, ""), read(0)),
        // One that hands on the first lines, or some.
        (done(8, writer), read(8)),
        // One that hands on another's as well.
        (done(10, ""), read(10)),
        (format!("{}{}", done(9, ""), done(9, "")), read(18)),
        // One that changes them.
        (
            done(8, &format!("{unparsable}; {writer}")),
            Err("strfry import read 1 line other than the events that it was given".to_owned()),
        ),
        (
            done(9, unparsable),
            Err("strfry import read 1 line other than the events that it was given".to_owned()),
        ),
    ] {
        let (imported, result) = fed_to(&script).await;
        assert_eq!(result, expected, "{script}");
        assert_eq!(imported.events, 9);
    }
}

#[tokio::test]
async fn an_import_without_its_summary_is_a_failure() {
    let writer = "echo \"Writer: added: 9 dups: 0 replaced: 0 deleted: 0\" >&2\n";
    for end in [
        "",
        "echo \"Done. 9 added, 0 rejected, 0 dups\" >&2\n",
        "echo Done. >&2\n",
    ] {
        for committed in ["", writer] {
            let (_, result) = fed_to(&format!("cat >/dev/null\n{committed}{end}")).await;
            let error = result.unwrap_err();
            assert!(error.contains("exit status: 0"), "{error}");
        }
    }
}

/// A strfry that was hung up on while it was slow, or that ends early, says how many it
/// has taken: the others are none of them.
#[tokio::test]
async fn what_a_child_did_not_take_is_fed_again_though_it_ends_in_order() {
    let dir = tempfile::tempdir().unwrap();
    // `sh import …`
    let script = "if mkdir once 2>/dev/null; then read line; added=1
        else cat > fed; added=$(grep -c . fed); fi
        echo \"Done. Processed $added lines. $added added, 0 rejected, 0 dups\" >&2\n";
    std::fs::write(dir.path().join("import"), script).unwrap();
    let (program, folder) = (PathBuf::from("/bin/sh"), dir.path().to_owned());
    let strfry = Strfry::new(program, folder, Duration::from_secs(60));
    let (sender, lines) = mpsc::channel(1);
    // More than a pipe holds.
    let long = |byte| Line {
        json: format!("{{\"{byte}\":\"{}\"}}", "x".repeat(1000)),
        ..line(byte)
    };
    let fed: Vec<Line> = (0..200).map(long).collect();
    let lengths = fed.iter().map(|line| line.json.clone() + "\n");
    let expected: String = lengths.collect();
    sender.send(fed).await.unwrap();
    drop(sender);
    let (imported, result) = Import::new(strfry, false).run(lines).await;
    result.unwrap();
    assert_eq!(
        std::fs::read_to_string(dir.path().join("fed")).unwrap(),
        expected
    );
    assert_eq!(imported.replaced_children, 1);
}

/// Blocks the authors 2 and 4 once this folder holds the folder `once`, and says by the file `asked`
/// that it has done so.
struct BlockedOnce(PathBuf);

impl BlockedAuthors for BlockedOnce {
    fn among(&self, authors: BTreeSet<Pubkey>) -> BoxFuture<'_, Option<BTreeSet<Pubkey>>> {
        if !self.0.join("once").exists() {
            return Box::pin(async { Some(BTreeSet::new()) });
        }
        std::fs::write(self.0.join("asked"), "").unwrap();
        let is_blocked = |author: &Pubkey| [2, 4].contains(&author.as_bytes()[0]);
        let blocked = authors.into_iter().filter(is_blocked).collect();
        Box::pin(async { Some(blocked) })
    }
}

/// Feeds these lines to an `import` that is this script, and that has the authors 2 and 4 blocked
/// by making the folder `once`. Returns what it has written to the file `fed`.
async fn fed_while_blocked(script: &str, batches: Vec<Vec<Line>>) -> (String, Imported) {
    let dir = tempfile::tempdir().unwrap();
    // `sh import …`
    std::fs::write(dir.path().join("import"), script).unwrap();
    let (program, folder) = (PathBuf::from("/bin/sh"), dir.path().to_owned());
    let strfry = Strfry::new(program, folder, Duration::from_secs(60));
    let (sender, lines) = mpsc::channel(batches.len());
    for batch in batches {
        sender.send(batch).await.unwrap();
    }
    drop(sender);
    let blocked = BlockedOnce(dir.path().to_owned());
    let import = Import::new(strfry, false).asking(Arc::new(blocked));
    let (imported, result) = import.run(lines).await;
    result.unwrap();
    let fed = std::fs::read_to_string(dir.path().join("fed")).unwrap();
    (fed, imported)
}

fn numbered(byte: u8) -> Line {
    Line {
        json: format!("{{\"number\":{byte}}}"),
        ..line(byte)
    }
}

#[tokio::test]
async fn what_is_fed_again_is_not_fed_if_its_author_was_blocked_meanwhile() {
    let script = "if mkdir once 2>/dev/null; then exit 1; fi
        cat > fed; added=$(grep -c . fed)
        echo \"Done. Processed $added lines. $added added, 0 rejected, 0 dups\" >&2\n";
    let batches = vec![
        (1..=3).map(numbered).collect(),
        (4..=6).map(numbered).collect(),
    ];
    let (fed, imported) = fed_while_blocked(script, batches).await;
    let expected = [1, 3, 5, 6].map(|byte| numbered(byte).json + "\n");
    assert_eq!(fed, expected.concat());
    assert_eq!((imported.events, imported.written.added), (4, 4));
    let withdrawn = imported.withdrawn.iter();
    let withdrawn: BTreeSet<u8> = withdrawn.map(|event| event.id.as_bytes()[0]).collect();
    assert_eq!(withdrawn, BTreeSet::from([2, 4]));
}

/// Meanwhile the pipe to it is full. A line of less than 4096 bytes is written as a whole.
#[tokio::test]
async fn what_waits_behind_a_strfry_that_hangs_is_not_fed_if_its_author_was_blocked_meanwhile() {
    let long = |byte: u8| Line {
        json: format!("{{\"number\":{byte},\"long\":\"{}\"}}", "x".repeat(4000)),
        ..line(byte)
    };
    let script = "mkdir once; until [ -e asked ]; do sleep 0.02; done
        cat > fed; added=$(grep -c . fed)
        echo \"Done. Processed $added lines. $added added, 0 rejected, 0 dups\" >&2\n";
    let others = (0..100).flat_map(|_| [1, 3]).map(long);
    let mut batch: Vec<Line> = others.collect();
    batch.extend([2, 3, 4].map(numbered));
    let (fed, imported) = fed_while_blocked(script, vec![batch, vec![numbered(2)]]).await;
    let has = |byte| fed.contains(&numbered(byte).json);
    assert!(has(3) && !has(2) && !has(4));
    assert_eq!((fed.lines().count(), imported.withdrawn.len()), (201, 3));
}

#[test]
fn reasons_differ_in_kind_not_in_number() {
    assert_eq!(kind_of("tag val too large: 2000"), "tag val too large");
    assert_eq!(kind_of("bad signature"), "bad signature");
    assert_eq!(kind_of("7 of 9"), "");
}

/// What `strfry import` does with a line longer than 20 bytes, its newline included.
const STRICT: &str = r#"
count=0
while read -r line; do
    count=$((count + 1))
    if [ ${#line} -gt 19 ]; then
        echo "[Writer]INFO| Writer: added: $((count - 1)) dups: 0 replaced: 0 deleted: 0" >&2
        echo "strfry error: Line larger than configured maxEventSize on line $count" >&2
        exit 1
    fi
    echo "$line" >> taken
done
echo "[Writer]INFO| Writer: added: $count dups: 0 replaced: 0 deleted: 0" >&2
echo "Done. Processed $count lines. $count added, 0 rejected, 0 dups" >&2
"#;

async fn imported_by(script: &str, lengths: &[usize]) -> (String, Imported, bool) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("import"), script).unwrap();
    let folder = dir.path().to_owned();
    let strfry = Strfry::new("/bin/sh".into(), folder, Duration::from_secs(60));
    let (sender, lines) = mpsc::channel(2);
    let fed = lengths.iter().map(|&length| Line {
        json: "x".repeat(length),
        ..line(1)
    });
    let fed: Vec<Line> = fed.collect();
    let (first, second) = fed.split_at(fed.len() / 2);
    for batch in [first, second] {
        sender.send(batch.to_vec()).await.unwrap();
    }
    drop(sender);
    let (imported, result) = Import::new(strfry, false).run(lines).await;
    let taken = std::fs::read_to_string(dir.path().join("taken")).unwrap_or_default();
    (taken, imported, result.is_ok())
}

#[tokio::test]
async fn a_line_that_strfry_finds_too_long_is_left_out_and_the_others_come_in() {
    for lengths in [
        &[3, 19, 20, 4, 30, 5, 21, 19, 6, 200, 20, 7][..],
        &[20, 1],
        &[1, 20],
        &[30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20],
        &[100_000, 1, 100_000, 2],
    ] {
        let (taken, imported, is_complete) = imported_by(STRICT, lengths).await;
        assert!(is_complete, "{lengths:?}");
        let fits = |length: &&usize| **length <= 19;
        let expected: Vec<usize> = lengths.iter().filter(fits).copied().collect();
        let taken: Vec<usize> = taken.lines().map(str::len).collect();
        assert_eq!(taken, expected);
        assert_eq!(imported.written.added, expected.len() as u64);
        assert_eq!(imported.events, expected.len() as u64);
        assert_eq!(imported.too_long, (lengths.len() - expected.len()) as u64);
        assert_eq!(imported.replaced_children, 0);
    }
}

#[tokio::test]
async fn a_strfry_that_finds_everything_too_long_comes_to_an_end() {
    let lengths: Vec<usize> = (1000..1200).rev().collect();
    let (_, imported, is_complete) = imported_by(STRICT, &lengths).await;
    assert!(!is_complete);
    assert_eq!(imported.too_long, u64::from(MOST_TOO_LONG));
    let nonsense = "cat > /dev/null; echo 'strfry error: Line larger than configured maxEventSize on line 99' >&2; exit 1";
    let (_, imported, is_complete) = imported_by(nonsense, &[1, 2]).await;
    assert!(!is_complete);
    assert_eq!(imported.too_long, 0);
}

/// For as long as no other line comes, nothing else would notice it.
#[tokio::test]
async fn what_a_child_took_and_did_not_store_is_fed_again_at_once_when_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    // `sh import …`
    let script = "read line; mkdir once 2>/dev/null && exit 1
        echo \"$line\" > fed
        echo \"Writer: added: 1 dups: 0 replaced: 0 deleted: 0\" >&2
        cat >/dev/null
        echo \"Done. Processed 1 lines. 1 added, 0 rejected, 0 dups\" >&2\n";
    std::fs::write(dir.path().join("import"), script).unwrap();
    let (program, folder) = (PathBuf::from("/bin/sh"), dir.path().to_owned());
    let strfry = Strfry::new(program, folder, Duration::from_secs(60));
    let (sender, lines) = mpsc::channel(1);
    let import = tokio::spawn(Import::new(strfry, false).run(lines));
    sender.send(vec![line(1)]).await.unwrap();
    let fed = dir.path().join("fed");
    let is_fed = async {
        while !std::fs::read_to_string(&fed).is_ok_and(|text| text == "{}\n") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(60), is_fed).await.unwrap();
    drop(sender);
    let (imported, result) = import.await.unwrap();
    result.unwrap();
    assert_eq!((imported.written.added, imported.replaced_children), (1, 1));
}
