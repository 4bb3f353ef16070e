//! What is appended behind whole and half lines.

use super::*;

#[test]
fn half_a_line_is_told_from_whole_ones() {
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
        assert_eq!(whole_lines(&File::open(&path).unwrap()).unwrap(), whole);
    }
}

#[test]
fn what_is_appended_behind_half_a_line_begins_a_line_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("list");
    let other = dir.path().join("other");
    let appended = |text: &str, old: &str, from: u64, again: &mut Option<u64>| {
        fs::write(&path, text).unwrap();
        fs::write(&other, old).unwrap();
        let old = File::open(&other).unwrap();
        let until = old.metadata().unwrap().len();
        append(&old, from, until, &path, again).unwrap();
        assert_eq!(*again, None);
        fs::read_to_string(&path).unwrap()
    };
    assert_eq!(appended("", "a\nb\n", 2, &mut None), "b\n");
    assert_eq!(appended("x\n", "a\nb\n", 2, &mut None), "x\nb\n");
    assert_eq!(appended("x\nha", "a\nb\n", 2, &mut None), "x\nha\nb\n");
    // The same line goes on, at the beginning and further down.
    assert_eq!(appended("ha", "half\n", 2, &mut None), "half\n");
    assert_eq!(appended("x\nha", "a\nhalf\n", 4, &mut None), "x\nhalf\n");
    // One that only looks the same.
    assert_eq!(appended("x\na", "ha\nlf\n", 3, &mut None), "x\na\nlf\n");
    assert_eq!(appended("x\na", "half\n", 2, &mut None), "x\na\nlf\n");
    // After half of it was written, also where that half looks as if it went on.
    let mut again = Some(2);
    assert_eq!(appended("x\nb", "a\nbc\n", 2, &mut again), "x\nb\nbc\n");
    let mut again = Some(1);
    assert_eq!(appended("x\nl", "ll\n", 1, &mut again), "x\nl\nl\n");
    let mut again = Some(2);
    assert_eq!(
        appended("x\nhal", "a\nhalf\n", 4, &mut again),
        "x\nhal\nhalf\n"
    );
}

#[test]
fn an_attempt_that_failed_begins_again_with_the_whole_line() {
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("other");
    fs::write(&other, "a\nhalf\n").unwrap();
    let mut again = None;
    let full = append(
        &File::open(&other).unwrap(),
        2,
        7,
        Path::new("/dev/full"),
        &mut again,
    );
    assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(again, Some(2));
}
