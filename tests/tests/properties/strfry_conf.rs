//! `strfry.conf` as the backfill reads it, held against strfry itself where the variable
//! `STRFRY` names one.
//!
//! strfry has no command that prints what it understood. But it says which
//! `relay.nofiles` it cannot have, and makes its database where `db` says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use constellation_sync::testing::conf::{Conf, Fault, database};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, prop_oneof};
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

/// The names in the tables below, and those that strfry speaks about.
const NAMES: [(&str, &str); 2] = [("events", "relay"), ("maxEventSize", "nofiles")];

/// Each says that it is 5000.
const SET: &[&str] = &[
    "events.maxEventSize = 5000",
    "events.maxEventSize=5000",
    "events { maxEventSize : 5000 }",
    "events : { maxEventSize : 5000 }",
    "events = { maxEventSize = 0x1388, }",
    "events{maxEventSize=0X1388}",
    "events { maxEventSize = +5000 }",
    "events { maxEventSize = 5000. }",
    "'events' { \"maxEventSize\" = 5000 }",
    "\"\"\"events\"\"\".'maxEventSize' = 5000",
    "{ \"events\": { \"maxEventSize\": 5000 } } # end",
    "events.maxEventSize = 4000 + 1000",
    "events.maxEventSize = 4000 events.maxEventSize += 1000",
    "events.maxEventSize = 1 events.maxEventSize = 5000",
    "events { maxEventSize = 1 } events { maxEventSize = 5000 }",
    "events.maxEventSize = 1, events { maxEventSize = 5000 }",
    "events { maxEventSize = 5000 } events { other = 1 }",
    "events += { maxEventSize = 5000 }",
    "events.maxEventSize = delete events.maxEventSize += 5000",
    "size = 5000 events.maxEventSize = (size)",
    "events { maxEventSize = (size) } size = 5000",
    "events { maxEventSize = (size) size = 5000 }",
    "a = [1, 5000] events.maxEventSize = (a.1)",
    "a = [1 5000] i = 1 events.maxEventSize = (a.(i))",
    "e { maxEventSize = 5000 } events = (e)",
    "e { maxEventSize = 1 } events = (e) + { maxEventSize = 5000 }",
    "(temporary e) e { maxEventSize = 5000 } events = (e)",
    "(parse \"events.maxEventSize = 5000\")",
    "events { (parse \"maxEventSize = 5000\") }",
    "(include? \"missing\") events.maxEventSize = 5000",
    "(setenv \"A\" \"b\") events.maxEventSize = 5000",
    "// events.maxEventSize = 1\nevents.maxEventSize = 5000 // = 1",
    "/* events.maxEventSize = 1\n*/ events.maxEventSize /**/ = /* 1 */ 5000",
    "# events.maxEventSize = 1\nevents.maxEventSize = 5000 # = 1",
    "x = \"# /* // {\" y = '\" } ' events.maxEventSize = 5000",
    "x = '''\n it's { \n''' events.maxEventSize = 5000",
    "x = $\"\\x00ab\" y = $00.ff z = $ events.maxEventSize = 5000",
    "x = -Infinity y = NaN z = .5 w = 1.5e3 v = null events.maxEventSize = 5000",
    "name = (env \"NAME\") events.maxEventSize = 5000",
    "events.maxEventSize = (env \"SIZE\") events.maxEventSize = 5000",
    "a = (b) b = (c) c = (d) d = 5000 events.maxEventSize = (a)",
    "x=truey=null events.maxEventSize = 5000",
];

/// Each says nothing about it.
const UNSET: &[&str] = &[
    "",
    "events.maxEventSize = 5000 events = delete",
    "events.maxEventSize = 5000 events.maxEventSize = delete",
    "events.maxEventSize = 5000 events { } events = { }",
    "events.maxEventSize = 5000 (temporary events)",
    "events = 7",
    "\"events.maxEventSize\" = 5000",
    "events.maxEventSizes = 5000",
];

/// strfry refuses each.
const REFUSED: &[&str] = &[
    "events.maxEventSize = 6000 + -1000",
    "events.maxEventSize = 5000;",
    "events.maxEventSize 5000",
    "events.maxEventSize = many",
    "events.maxEventSize = 05000",
    "events.maxEventSize = 5000.0",
    "events.maxEventSize = 5e3",
    "events.maxEventSize = -5000",
    "events.maxEventSize = \"5000\"",
    "events.maxEventSize = 5000 + \"0\"",
    "events.maxEventSize = 18446744073709551616",
    "events.maxEventSize = 0x10000000000000000",
    "events.maxEventSize = 0x",
    "events.maxEventSize = 5000 +",
    "events. maxEventSize = 5000",
    "events.maxEventSize = (events.maxEventSize)",
    "events.maxEventSize = (missing)",
    "events.maxEventSize = 5000 + (missing)",
    "events.maxEventSize = true",
    "events.maxEventSize = null",
    "events.maxEventSize = { }",
    "events { maxEventSize = 5000",
    "events { maxEventSize = 5000 ] }",
    "maxEventSize",
    "= 5000",
    "5 = 5000",
    "a = 'b\nc'",
    "a = \"\\q\"",
    "a = \"\t\"",
    "/ comment",
    "/* comment",
    "// caf\u{7f}",
    "a = [1, 2",
    "a = 1,, b = 2",
    "{ a = 1 } b = 2",
    "a = 1 a.b = 2",
    "(include \"missing\")",
    "(include 5)",
    "a = (env)",
];

/// Only strfry can tell what each says.
const DOUBTFUL: &[&str] = &[
    "events.maxEventSize = (env \"SIZE\")",
    "events.maxEventSize = (env? \"SIZE\" \"5000\")",
    "events.maxEventSize = 1 + (parse \"5000\")",
    "events.maxEventSize = (json (read \"file\"))",
    "events = (json '{}')",
    "a = (shell \"date\") events.maxEventSize = (a)",
    "a = (shell \"date\") events.maxEventSize = (a.b)",
    "events.maxEventSize = (frobnicate 1)",
    "(frobnicate 1) events.maxEventSize = 5000",
    "(include (env \"FILE\")) events.maxEventSize = 5000",
    "events.* = 5000",
    "(include \"/proc/self/mem\") events.maxEventSize = 5000",
];

fn ours(text: &str, folder: &Path) -> Result<Option<u64>, Fault> {
    Conf::parse(text.as_bytes(), folder)?.number(&["events", "maxEventSize"])
}

/// What strfry makes of it: a number, or why it does not start.
fn theirs(strfry: &Path, text: &str, folder: &Path) -> Result<u64, String> {
    let text = NAMES.iter().fold(text.to_owned(), |text, (ours, theirs)| {
        text.replace(ours, theirs)
    });
    fs::create_dir_all(folder.join("strfry-db")).unwrap();
    fs::write(folder.join("strfry.conf"), &text).unwrap();
    // No process may have as many files open as the confs say.
    let limited = "ulimit -n 256 && exec \"$0\" --config=./strfry.conf scan --count '{}'";
    let output = Command::new("sh")
        .args(["-c", limited])
        .arg(strfry)
        .envs([("NAME", "x"), ("SIZE", "1")])
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let error = said.lines().find(|line| line.contains("strfry error: "));
    let error = error.unwrap_or("it started").to_owned();
    let number = error.split_once("NOFILES limit to ").and_then(|(_, rest)| {
        let number = rest.split(',').next()?;
        number.parse().ok()
    });
    number.ok_or(error)
}

/// What this strfry takes where nothing is set.
fn default() -> u64 {
    let dir = tempfile::tempdir().unwrap();
    theirs(&strfry().unwrap(), "", dir.path()).unwrap()
}

fn strfry() -> Option<PathBuf> {
    let strfry = std::env::var_os("STRFRY").filter(|path| !path.is_empty())?;
    Some(fs::canonicalize(strfry).unwrap())
}

#[test]
fn every_spelling_that_strfry_knows_is_read() {
    let dir = tempfile::tempdir().unwrap();
    for (texts, expected) in [(SET, Some(5000)), (UNSET, None)] {
        for text in texts {
            assert_eq!(ours(text, dir.path()), Ok(expected), "{text}");
            if let Some(strfry) = strfry() {
                let theirs = theirs(&strfry, text, dir.path());
                assert_eq!(theirs, Ok(expected.unwrap_or_else(default)), "{text}");
            }
        }
    }
}

#[test]
fn what_strfry_refuses_is_refused_and_what_only_strfry_knows_is_no_guess() {
    let dir = tempfile::tempdir().unwrap();
    for (texts, is_certain) in [(REFUSED, true), (DOUBTFUL, false)] {
        for text in texts {
            let fault = ours(text, dir.path()).expect_err(text);
            assert_eq!(fault.is_certain, is_certain, "{text}: {fault}");
            if let Some(strfry) = strfry().filter(|_| is_certain) {
                let error = theirs(&strfry, text, dir.path()).expect_err(text);
                let is_refused = ["Failed to load config", "not a uint64"];
                let is_refused = is_refused.iter().any(|words| error.contains(words));
                assert!(is_refused, "{text}: {error}");
            }
        }
    }
}

fn statement() -> impl Strategy<Value = String> {
    let names = [
        "events.maxEventSize",
        "events",
        "maxEventSize",
        "'events'.\"maxEventSize\"",
        "a",
        "a.b",
        "events.a",
        "a.0",
    ];
    let heads = ["=", ":", " = ", "+=", " ", " /* = 1 */ = ", "// x\n="];
    let values = [
        "5000",
        "0x1388",
        "+7000",
        "4000 + 1000",
        "\"5000\"",
        "'''x'''",
        "delete",
        "{ }",
        "{ maxEventSize = 3000 }",
        "{ maxEventSize += 3000, a: 1 }",
        "{ b = 2000 c = (b) }",
        "[ 1000, 2000 ]",
        "(a)",
        "(a.b)",
        "(events)",
        "(events.maxEventSize)",
        "(a) + 1000",
        "(a) + { maxEventSize = 6000 }",
        "true",
        "null",
        "1.5",
        "-3",
    ];
    let assignment = (
        select(names.to_vec()),
        select(heads.to_vec()),
        select(values.to_vec()),
    );
    let assignment = assignment.prop_map(|(name, head, value)| format!("{name}{head}{value}"));
    prop_oneof![
        8 => assignment.clone(),
        2 => assignment.prop_map(|inner| format!("events {{ {inner} }}")),
        1 => Just("(temporary a)".to_owned()),
        1 => Just("(permanent a)".to_owned()),
        1 => Just("(include? \"missing\")".to_owned()),
        1 => Just("(parse \"events.maxEventSize = 9000\")".to_owned()),
        1 => Just("}".to_owned()),
    ]
}

#[test]
fn confs_at_random_mean_to_us_what_they_mean_to_strfry() {
    let dir = tempfile::tempdir().unwrap();
    let strfry = strfry();
    let cases = if strfry.is_some() { 150 } else { 2000 };
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(cases)
    };
    let separators = ["\n", " ", ", ", "\r\n", " # x\n", "\n// y\n"];
    let confs = (vec(statement(), 1..5), select(separators.to_vec()));
    let tried = TestRunner::new(config).run(&confs, |(statements, separator)| {
        let text = statements.join(separator);
        let ours = ours(&text, dir.path());
        let Some(strfry) = &strfry else { return Ok(()) };
        let theirs = theirs(strfry, &text, dir.path());
        match ours {
            Ok(size) => assert_eq!(theirs, Ok(size.unwrap_or_else(default)), "{text}"),
            Err(fault) if fault.is_certain => assert!(theirs.is_err(), "{text}: {fault}"),
            Err(_) => {}
        }
        Ok(())
    });
    tried.unwrap();
}

#[test]
fn the_database_lies_where_strfry_makes_it() {
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("strfry.conf");
    fs::write(dir.path().join("more"), "db : 'e/'").unwrap();
    for (text, folder) in [
        ("relay.nofiles = 0", "strfry-db"),
        ("db = './a/' relay.nofiles = 0", "a"),
        ("db : \"\"\"\nb\"\"\" relay { nofiles : 0 }", "b"),
        ("db = \"\\u0063\" + '/' // x\nrelay.nofiles = 0x0", "c"),
        (
            "name = 'd' db = (name) /* db = 'x' */ relay.nofiles = 0",
            "d",
        ),
        ("(include \"more\") relay.nofiles = 0", "e"),
        ("db = 'x' (include? 'more') relay.nofiles = 0", "e"),
    ] {
        fs::write(&conf, text).unwrap();
        let expected = dir.path().join(folder).join("data.mdb");
        assert_eq!(database(&conf, dir.path()), expected, "{text}");
        if let Some(strfry) = strfry() {
            let _ = fs::remove_dir_all(dir.path().join(folder));
            fs::create_dir(dir.path().join(folder)).unwrap();
            let output = Command::new(strfry)
                .args(["--config=./strfry.conf", "scan", "--count", "{}"])
                .current_dir(dir.path())
                .output()
                .unwrap();
            assert!(output.status.success(), "{text}: {output:?}");
            assert!(expected.is_file(), "{text}");
        }
    }
}
