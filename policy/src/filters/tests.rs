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

#[test]
fn a_kind_that_is_spelled_otherwise_is_refused_where_there_are_filters() {
    let filters = Filters {
        folder: PathBuf::new(),
        timeout: Duration::ZERO,
        kinds: RwLock::new(Some(BTreeSet::from([1]))),
        complaints: Mutex::default(),
        runner: Runner::start().unwrap(),
    };
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
