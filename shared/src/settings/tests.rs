//! The reading of the settings file.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

fn parse(text: &str) -> Settings {
    Settings::parse(text, Path::new("/zen/strfry"))
}

/// The settings of a text without a fault.
fn good(text: &str) -> Settings {
    let settings = parse(text);
    assert!(settings.fault.is_none(), "{text}: {:?}", settings.fault);
    settings
}

fn complaints(settings: &Settings) -> Vec<String> {
    settings
        .complaints
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// The number of the line that is to blame for the fault of the file.
fn faulty_line(settings: &Settings) -> usize {
    match &settings.fault {
        Some(SettingsError::Faulty(complaint)) => complaint.line,
        fault => panic!("{fault:?}"),
    }
}

#[test]
fn paths_are_relative_to_the_file_s_folder() {
    let settings =
        good("# ours\n[lists]\nblacklist = 'a.txt'\namis = [\"/b\", \"c\"]\nswarm = false\n");
    assert_eq!(settings.complaints, []);
    let expected = ListSettings {
        blacklist: Some("/zen/strfry/a.txt".into()),
        amis: Some(vec!["/b".into(), "/zen/strfry/c".into()]),
        swarm: Some(false),
        strangers: None,
    };
    assert_eq!(settings.lists, expected);
    let rule = |text| good(text).lists.strangers;
    assert_eq!(
        rule("[policy]\nstrangers = 'filters'"),
        Some(Strangers::Filters)
    );
    assert_eq!(
        rule("[policy]\nstrangers = 'accept'"),
        Some(Strangers::Accept)
    );
    assert_eq!(good("").lists, ListSettings::default());
    assert_eq!(good("lists.swarm = true").lists.swarm, Some(true));
    assert_eq!(good("lists.no-swarm = true").lists.swarm, Some(false));
    assert_eq!(good("lists.amis = []").lists.amis, Some(vec![]));
}

#[test]
fn what_the_policy_does_is_read() {
    let settings = good(
        "[policy]\nfilters = \"f\"\nfilter-timeout = 2.5\nfilter-grace = 0\nno-remove = true\n\
         shadow = false\nlog = \"warn\"\n",
    );
    let expected = PolicySettings {
        filters: Some("/zen/strfry/f".into()),
        filter_timeout: Some(std::time::Duration::from_millis(2500)),
        filter_grace: Some(std::time::Duration::ZERO),
        no_remove: Some(true),
        shadow: Some(false),
        log: Some("warn".to_owned()),
    };
    assert_eq!(settings.policy, expected);
    let lines: Vec<usize> = settings.entries.iter().map(|entry| entry.line).collect();
    assert_eq!(lines, [2, 3, 4, 5, 6, 7]);
}

#[test]
fn an_unknown_name_is_reported_with_its_line_and_the_nearest_known_one() {
    let settings = good(
        "days = 3\nx-y-z = 1\n[lists]\nblaklist = \"x\"\nswarm = true\nmax-peers = 3\n[list]\n[z]\n\
         a = 1\n[sync]\nmaxpeers = 3\nON_FAILURE = \"x\"\nqqqqq = 1\n[report]\npatience = 1\n",
    );
    assert_eq!(settings.lists.swarm, Some(true));
    assert_eq!(
        complaints(&settings),
        [
            "line 1: days stands in no table, and is passed over: write it below [sync]",
            "line 2: unknown key x-y-z, which is passed over: each key stands below a table",
            "line 4: unknown key blaklist, which is passed over; did you mean blacklist?",
            "line 6: max-peers is no key of [lists], and is passed over: write it below [sync]",
            "line 7: unknown table list, which is passed over; did you mean [lists]?",
            "line 8: unknown table z, which is passed over; known are lists, policy, sync, report, notify, trigger",
            "line 11: unknown key maxpeers, which is passed over; did you mean max-peers?",
            "line 12: unknown key ON_FAILURE, which is passed over; did you mean on-failure below [notify]?",
            "line 13: unknown key qqqqq, which is passed over; `constellation-sync config` lists all keys",
            "line 15: patience is no key of [report], and is passed over: write it below [sync]",
        ]
    );
    let taken: Vec<&str> = settings.entries.iter().map(|entry| entry.name).collect();
    assert_eq!(taken, ["swarm"]);
}

#[test]
fn kinds_are_written_in_several_ways() {
    let kinds = |text: &str| {
        let settings = good(&format!("[sync]\nkinds = {text}"));
        assert_eq!(settings.complaints, []);
        settings.sync.kinds.unwrap().over(&[4, 9])
    };
    assert_eq!(kinds("\"0,1\""), [0, 1]);
    assert_eq!(kinds("[0, 1]"), [0, 1]);
    assert_eq!(kinds("7"), [7]);
    assert_eq!(kinds("[\"+7\", -4]"), [7, 9]);
    assert_eq!(kinds("\"uplanet\"").len(), 57);
    let settings = good("sync.any-author-kinds = [30800]");
    assert_eq!(settings.sync.any_author_kinds.unwrap().over(&[]), [30_800]);
}

#[test]
fn values_become_the_words_of_a_command_line() {
    let settings = good(
        "[sync]\ndays = 7\nmax-minutes = 0.5\npeer = [\"wss://a\", \"wss://b\"]\nipfs = \"ipfs\"\n\
         ca-file = \"ca.pem\"\nno-dms = true\nfallback-relay = \"wss://c\"\nstrfry = \"/usr/bin/strfry\"\n\
         [trigger]\nnot-before = 12:30\n[report]\nsync-report = \"\"\n",
    );
    let words = |name: &str| -> Vec<String> {
        let entry = settings.entry(name).unwrap();
        let words = entry.words.iter();
        words
            .map(|word| word.to_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(words("days"), ["7"]);
    assert_eq!(words("max-minutes"), ["0.5"]);
    assert_eq!(words("peer"), ["wss://a", "wss://b"]);
    assert_eq!(words("fallback-relay"), ["wss://c"]);
    assert_eq!(words("ipfs"), ["ipfs"]);
    assert_eq!(words("ca-file"), ["/zen/strfry/ca.pem"]);
    assert_eq!(words("strfry"), ["/usr/bin/strfry"]);
    assert_eq!(words("no-dms"), ["true"]);
    assert_eq!(words("not-before"), ["12:30"]);
    assert_eq!(words("sync-report"), [""]);
    assert!(complaints(&settings).is_empty());
}

#[test]
fn a_fault_in_the_settings_of_the_backfill_is_passed_over_alone() {
    let settings = good(
        "[sync]\nkinds = \"seeds\"\nany-author-kinds = [[1]]\nkind = 1\nno-dms = \"yes\"\ndays = [1]\n\
         ca-file = \"~/x\"\npatience = 4\n[lists]\nswarm = false",
    );
    assert_eq!(settings.sync, SyncSettings::default());
    assert_eq!(settings.lists.swarm, Some(false));
    let said = complaints(&settings);
    assert!(said[0].starts_with("line 2: kinds is passed over: seeds is no kind; write "));
    assert!(said[1].starts_with("line 3: any-author-kinds is not a list of kinds, such as "));
    assert_eq!(
        said[2..],
        [
            "line 4: unknown key kind, which is passed over; did you mean kinds?",
            "line 5: no-dms is not true or false, and is passed over",
            "line 6: days is not a text in quotes or a number, and is passed over",
            "line 7: ca-file is not the path of a file in quotes, \"…\", written out without ~, and is passed over",
        ]
    );
    assert_eq!(settings.entry("patience").unwrap().line, 8);
}

#[test]
fn a_fault_that_the_policy_would_see_is_one_of_the_file_with_its_line() {
    for (text, line) in [
        ("[lists]\nswarm = \"no\"", 2),
        ("[lists]\nswarm = no", 2),
        ("[lists]\nswarm = true\nno-swarm = false", 3),
        ("[policy]\nstrangers = true", 2),
        ("[policy]\nstrangers = \"reject\"", 2),
        ("[policy]\nfilters = \"\"", 2),
        ("[policy]\n\nfilter-timeout = 0", 3),
        ("[policy]\nfilter-grace = -1", 2),
        ("[policy]\nshadow = 1", 2),
        ("[policy]\nlog = \"loud\"", 2),
        ("[lists]\nblacklist = \"~/x\"", 2),
        ("[lists]\nblacklist = \"\"", 2),
        ("[lists]\namis = \"x\"", 2),
        ("[lists]\namis = [\"x\", 1]", 2),
        ("\nlists = 1", 2),
        ("[lists\n", 1),
        ("[lists]\nswarm = true\nswarm = false", 3),
        ("[sync]\ndays = 1\r\ndays = 2\r\n", 3),
        ("[notify]\non-failure = \"x\n[lists]\nswarm = true", 2),
    ] {
        let settings = parse(text);
        assert_eq!(faulty_line(&settings), line, "{text}");
        assert_eq!(settings.lists, ListSettings::default(), "{text}");
        assert_eq!(settings.policy, PolicySettings::default(), "{text}");
    }
}

#[test]
fn what_is_understood_of_a_broken_file_counts_for_the_backfill_only() {
    let settings = parse(
        "[sync]\nno-fallback = true\n[notify]\non-failure = \"mail me\non-recovery = \"true\"\n\
         [lists]\nblacklist = \"/b\"\n",
    );
    assert_eq!(faulty_line(&settings), 4);
    let names: Vec<&str> = settings.entries.iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["no-fallback", "on-recovery"]);
    assert!(settings.mentioned.blacklist && !settings.mentioned.filters);
    assert_eq!(settings.lists, ListSettings::default());
    assert_eq!(settings.strictest_lists().swarm, Some(false));
}

#[test]
fn a_mark_at_the_start_and_windows_line_ends_are_no_fault() {
    let settings = good("\u{feff}[lists]\r\nswarm = false\r\n[sync]\r\ndays = 3\r\n");
    assert_eq!(settings.lists.swarm, Some(false));
    assert_eq!(settings.entry("days").unwrap().line, 4);
}

#[test]
fn a_missing_file_has_no_settings_and_a_strange_one_is_a_fault() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("constellation.toml");
    assert!(Settings::load(&path).fault.is_none());
    let strictest = |text: &[u8]| {
        fs::write(&path, text).unwrap();
        let settings = Settings::load(&path);
        assert!(settings.fault.is_some());
        (
            settings.strictest_lists().strangers,
            settings.mentioned.filters,
        )
    };
    let filters = Some(Strangers::Filters);
    assert_eq!(strictest(&[0xff]), (None, false));
    assert_eq!(strictest(b"[policy]\nstrangers = \xff"), (filters, false));
    assert_eq!(strictest(b"[lists]\nswarm = \xff"), (None, false));
    // What cannot be read may say anything.
    assert_eq!(strictest(&[b' '; 300_000]), (filters, true));
    let folder = Settings::load(dir.path());
    assert!(folder.fault.is_some());
    assert_eq!(folder.mentioned, Mentioned::default());
    let fifo = dir.path().join("fifo");
    let mode = rustix::fs::Mode::RWXU;
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    assert!(Settings::load(&fifo).fault.is_some());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o0)).unwrap();
    if fs::File::open(&path).is_err() {
        assert_eq!(Settings::load(&path).mentioned, Mentioned::ANYTHING);
    }
}

proptest::proptest! {
    #[test]
    fn no_text_stops_the_reading(text in "([a-z =\\[\\]\"\n.~]|lists|sync|kinds|swarm|blacklist|true){0,30}") {
        let _ = parse(&text);
    }
}
