//! Which filter is wanted for which spelling of a kind.

use super::*;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::{Duration, Instant};

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

/// A filter that takes longer is killed at once.
const fn limits(timeout: Duration) -> Limits {
    Limits {
        timeout,
        grace: Duration::ZERO,
    }
}

/// One of kind 1 in this folder.
fn filters(folder: &Path) -> Filters {
    Filters {
        folder: folder.to_owned(),
        limits: limits(Duration::ZERO),
        kinds: RwLock::new(Some(BTreeSet::from([1]))),
        complaints: Mutex::default(),
        too_long: Mutex::default(),
        runner: Arc::new(Runner::start(folder.join("strfry.log")).unwrap()),
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
fn a_filter_that_cannot_be_looked_at_is_still_asked_and_one_that_is_not_there_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let [endless, nowhere] = ["7.sh", "8.sh"].map(|name| dir.path().join(name));
    std::os::unix::fs::symlink(&endless, &endless).unwrap();
    std::os::unix::fs::symlink("nowhere", &nowhere).unwrap();
    let filters = filters(dir.path());
    filters.refresh();
    assert_eq!(filters.wanted(Some(b"7")), Wanted::Filter(7));
    assert_eq!(filters.wanted(Some(b"8")), Wanted::Nothing);
    assert!(filters.complaints()[&nowhere].starts_with("is a broken link"));
    assert_eq!(
        filters.ask(7, b"{}"),
        Some(Answer::Reject("error: filter cannot be started"))
    );
}

#[test]
fn a_filter_whose_name_cannot_be_read_is_still_asked() {
    let dir = tempfile::tempdir().unwrap();
    fs::copy("/bin/true", dir.path().join("7.sh")).unwrap();
    let filters = filters(dir.path());
    let names = || [Ok(OsString::from("7.sh"))].into_iter();
    let broken = || Err(io::Error::other("the disk is broken"));
    filters.refresh_from(Ok(names().chain([broken()])));
    assert_eq!(filters.wanted(Some(b"1")), Wanted::Filter(1));
    let complaint = filters.complaints()[dir.path()].clone();
    assert!(
        complaint.contains("the disk is broken") && complaint.contains("found before"),
        "{complaint}"
    );
    filters.refresh_from(Ok(names()));
    assert_eq!(filters.wanted(Some(b"1")), Wanted::Nothing);
    assert_eq!(filters.wanted(Some(b"7")), Wanted::Filter(7));
    assert!(filters.complaints().is_empty());
}

#[test]
fn a_filter_that_is_being_written_is_waited_for_until_its_time_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("1.sh");
    fs::write(
        &path,
        "#!/bin/sh\n[ $# = 1 ] && [ -z \"$CONSTELLATION_EVENT\" ]\n",
    )
    .unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let writing = fs::OpenOptions::new().append(true).open(&path).unwrap();
    let runner = Runner::start(dir.path().join("log")).unwrap();
    let (started, timeout) = (Instant::now(), Duration::from_millis(50));
    let error = runner.run(&path, b"{}", limits(timeout)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ExecutableFileBusy);
    assert!(started.elapsed() >= timeout);
    // At whatever moment it is let go of.
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        drop(writing);
    });
    let ended = runner
        .run(&path, b"{}", limits(Duration::from_secs(60)))
        .unwrap();
    assert!(
        matches!(ended, End::Exited(status) if status.success()),
        "{ended:?}"
    );
    writer.join().unwrap();
}
