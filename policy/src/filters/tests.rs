//! Which filter is wanted for which spelling of a kind.

use super::*;

#[test]
fn the_name_of_a_filter_is_its_kind_as_everyone_spells_it() {
    for (name, kind) in [
        ("1.sh", Some(1)),
        ("0.sh", Some(0)),
        ("30023.sh", Some(30023)),
        ("01.sh", None),
        ("+1.sh", None),
        ("-1.sh", None),
        ("common.sh", None),
        ("1.py", None),
        (".sh", None),
        ("18446744073709551616.sh", None),
    ] {
        assert_eq!(kind_of(name), kind, "{name}");
    }
}

/// One of kind 1 in this folder.
fn filters(folder: &Path) -> Filters {
    Filters {
        folder: folder.to_owned(),
        timeout: Duration::ZERO,
        kinds: RwLock::new(Some(BTreeSet::from([1]))),
        complaints: Mutex::default(),
        runner: Runner::start().unwrap(),
    }
}

#[test]
fn a_kind_that_is_spelled_otherwise_is_refused_where_there_are_filters() {
    let filters = filters(Path::new(""));
    let refused = Wanted::Refusal(Answer::Reject("invalid: kind is not a number"));
    for (kind, wanted) in [
        (Some("1"), Wanted::Filter(1)),
        (Some("2"), Wanted::Nothing),
        (Some("18446744073709551617"), Wanted::Nothing),
        (Some("-1"), refused),
        (Some("1.0"), refused),
        (Some("1e0"), refused),
        (Some("\"1\""), refused),
        (Some("null"), refused),
        (None, refused),
    ] {
        assert_eq!(filters.wanted(kind.map(str::as_bytes)), wanted, "{kind:?}");
    }
    *filters.kinds.write().unwrap() = Some(BTreeSet::new());
    assert_eq!(filters.wanted(None), Wanted::Nothing);
}

#[test]
fn a_filter_whose_name_cannot_be_read_is_still_asked() {
    let dir = tempfile::tempdir().unwrap();
    fs::copy("/bin/true", dir.path().join("7.sh")).unwrap();
    let filters = filters(dir.path());
    let names = || [Ok(OsString::from("7.sh"))].into_iter();
    let broken = || Err(io::Error::other("the disk is broken"));
    filters.look_through(Ok(names().chain([broken()])));
    assert_eq!(filters.wanted(Some(b"1")), Wanted::Filter(1));
    let complaint = filters.complaints()[dir.path()].clone();
    assert!(
        complaint.contains("the disk is broken") && complaint.contains("found before"),
        "{complaint}"
    );
    filters.look_through(Ok(names()));
    assert_eq!(filters.wanted(Some(b"1")), Wanted::Nothing);
    assert_eq!(filters.wanted(Some(b"7")), Wanted::Filter(7));
    assert!(filters.complaints().is_empty());
}
