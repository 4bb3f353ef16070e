//! What is believed of what strfry says, and what is fed again.

use super::*;
use std::path::PathBuf;

fn line(byte: u8) -> Line {
    Line {
        id: constellation_shared::EventId::from_bytes([byte; 32]),
        json: "{}".to_owned(),
    }
}

#[test]
fn the_summary_is_believed_where_strfry_said_less_before() {
    let strfry = Strfry::new(PathBuf::new(), PathBuf::new(), Duration::MAX);
    let mut import = Import::new(strfry, false);
    import.on_its_way = (0..9).map(line).collect();
    import.bytes_on_its_way = 9 * "{}".len();
    import.hear(Said::Written(Written {
        added: 2,
        dups: 1,
        ..Written::default()
    }));
    import.hear(Said::Rejected(line(8).id, "bad".to_owned()));
    assert_eq!(import.on_its_way.len(), 5);
    import.hear(Said::Done {
        added: 4,
        rejected: 2,
        dups: 3,
    });
    assert!(import.on_its_way.is_empty());
    let Imported { written, .. } = &import.imported;
    assert_eq!((written.added, written.dups), (4, 3));
    assert_eq!(import.imported.rejected_count(), 2);
}

#[test]
fn numbers_that_cannot_be_are_taken_as_they_come() {
    let strfry = Strfry::new(PathBuf::new(), PathBuf::new(), Duration::MAX);
    let mut import = Import::new(strfry, false);
    import.on_its_way = (0..9).map(line).collect();
    import.bytes_on_its_way = 9 * "{}".len();
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
            added: u64::MAX,
            rejected: u64::MAX,
            dups: 0,
        });
    }
    assert_eq!(import.imported.written, most);
    let other = import.imported.clone();
    import.imported.add(other);
    assert_eq!(import.imported.rejected_count(), u64::MAX);
    assert_eq!(import.bytes_on_its_way, 0);
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
    let expected = spell(&fed);
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

#[test]
fn reasons_differ_in_kind_not_in_number() {
    assert_eq!(kind_of("tag val too large: 2000"), "tag val too large");
    assert_eq!(kind_of("bad signature"), "bad signature");
    assert_eq!(kind_of("7 of 9"), "");
}
