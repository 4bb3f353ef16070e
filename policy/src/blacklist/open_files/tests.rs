//! Appending to a list that ends in a whole or an unfinished line.

use super::*;

#[test]
fn the_length_of_whole_lines_leaves_out_an_unfinished_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("list");
    for (text, whole) in [
        (String::new(), 0),
        ("half".to_owned(), 0),
        ("a\n".to_owned(), 2),
        ("a\nhalf".to_owned(), 2),
        (format!("a\n{}", "x".repeat(10_000)), 2),
        (format!("{}\n{}", "a".repeat(5000), "x".repeat(3000)), 5001),
    ] {
        fs::write(&path, text).unwrap();
        assert_eq!(
            length_of_whole_lines(&File::open(&path).unwrap()).unwrap(),
            whole
        );
    }
}

#[test]
fn bytes_appended_after_an_unfinished_line_start_a_new_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("list");
    let other = dir.path().join("other");
    let appended = |text: &str, old: &str, from: u64, retry_from: &mut Option<u64>| {
        fs::write(&path, text).unwrap();
        fs::write(&other, old).unwrap();
        let old = File::open(&other).unwrap();
        let until = old.metadata().unwrap().len();
        append(&old, from..until, &path, retry_from).unwrap();
        assert_eq!(*retry_from, None);
        fs::read_to_string(&path).unwrap()
    };
    assert_eq!(appended("", "a\nb\n", 2, &mut None), "b\n");
    assert_eq!(appended("x\n", "a\nb\n", 2, &mut None), "x\nb\n");
    assert_eq!(appended("x\nha", "a\nb\n", 2, &mut None), "x\nha\nb\n");
    // The line is continued, at the start of the file and further down.
    assert_eq!(appended("ha", "half\n", 2, &mut None), "half\n");
    assert_eq!(appended("x\nha", "a\nhalf\n", 4, &mut None), "x\nhalf\n");
    // A line that only looks like the beginning.
    assert_eq!(appended("x\na", "ha\nlf\n", 3, &mut None), "x\na\nlf\n");
    assert_eq!(appended("x\na", "half\n", 2, &mut None), "x\na\nlf\n");
    // After an attempt that wrote a part, even if that part looks like the line's beginning.
    let mut retry_from = Some(2);
    assert_eq!(
        appended("x\nb", "a\nbc\n", 2, &mut retry_from),
        "x\nb\nbc\n"
    );
    let mut retry_from = Some(1);
    assert_eq!(appended("x\nl", "ll\n", 1, &mut retry_from), "x\nl\nl\n");
    let mut retry_from = Some(2);
    assert_eq!(
        appended("x\nhal", "a\nhalf\n", 4, &mut retry_from),
        "x\nhal\nhalf\n"
    );
}

#[test]
fn after_a_failed_attempt_the_line_is_appended_again_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("other");
    fs::write(&other, "a\nhalf\n").unwrap();
    let mut retry_from = None;
    let full = append(
        &File::open(&other).unwrap(),
        2..7,
        Path::new("/dev/full"),
        &mut retry_from,
    );
    assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(retry_from, Some(2));
}
