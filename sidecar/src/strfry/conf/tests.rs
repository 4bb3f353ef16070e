//! Tables of confs and of what strfry makes of them; a real strfry is asked about the same
//! in `tests/tests/properties/strfry_conf.rs`.

use std::fs;
use std::path::Path;

use super::*;

pub(super) const CONF: &str = r#"
    ## maxEventSize = 1
    db = "./strfry-db/" # { events
    events { # what
        maxEventSize = 131072   # bytes
        maxNumTags=2000
    }
    relay {
        info { description = "a { maxEventSize = 2 } b" }
        maxEventSize = 3
        writePolicy { plugin = "" timeoutSeconds = 10 }
    }
"#;

fn parsed(text: &str) -> Result<Conf, Fault> {
    Conf::parse(text.as_bytes(), Path::new("/nonexistent"))
}

fn size(text: &str) -> Result<Option<u64>, Fault> {
    parsed(text)?.number(&["events", "maxEventSize"])
}

#[test]
fn settings_are_found_in_their_block_only() {
    let conf = parsed(CONF).unwrap();
    let number = |path: &[&str]| conf.number(path).unwrap();
    assert_eq!(number(&["events", "maxEventSize"]), Some(131_072));
    assert_eq!(number(&["events", "maxNumTags"]), Some(2000));
    assert_eq!(
        number(&["relay", "writePolicy", "timeoutSeconds"]),
        Some(10)
    );
    assert_eq!(number(&["events", "nothing"]), None);
    assert_eq!(conf.text(&["db"]).unwrap(), Some("./strfry-db/"));
    let plugin = conf.text(&["relay", "writePolicy", "plugin"]).unwrap();
    assert_eq!(plugin, Some(""));
    assert!(conf.has_block(&["relay", "writePolicy"]));
    assert!(!conf.has_block(&["writePolicy"]));
    assert!(!conf.has_block(&["relay", "b"]));
    assert!(!conf.has_block(&["relay", "maxEventSize"]));
}

#[test]
fn included_files_count_where_they_are_included() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("size"), "maxEventSize = 5000 # x").unwrap();
    fs::write(dir.path().join("braces"), "{ maxEventSize = 6000 }").unwrap();
    fs::write(dir.path().join("loop"), "(include \"loop\")").unwrap();
    fs::write(dir.path().join("bad"), "a = 1\nb").unwrap();
    let size = |text: &str| {
        let conf = Conf::parse(text.as_bytes(), dir.path())?;
        conf.number(&["events", "maxEventSize"])
    };
    assert_eq!(size("events { (include \"size\") }"), Ok(Some(5000)));
    assert_eq!(size("events { (include \"braces\") }"), Ok(Some(6000)));
    let both = "events { (include \"size\"), (include? \"braces\") }";
    assert_eq!(size(both), Ok(Some(6000)));
    let overruled = "events { (include \"size\") maxEventSize = 1 }";
    assert_eq!(size(overruled), Ok(Some(1)));
    assert_eq!(size("(include \"size\")"), Ok(None));
    assert!(size("(include \"loop\")").is_err());
    let fault = size("\n(include \"bad\")").unwrap_err();
    assert_eq!((fault.file, fault.line), (Some("bad".into()), 2));
}

#[test]
fn what_nobody_could_read_is_found_with_its_line() {
    for (text, line, what) in [
        ("a {\n b = 1\n", 1, "this { is not closed"),
        ("a {\n}\n}\n", 3, "a } closes nothing"),
        ("a = \"x\nb = 1", 1, "a quote is not closed"),
        ("a {\n b =\n}\n", 3, "a value is missing"),
        ("a =\n", 1, "a value is missing"),
        (
            "a = 1\nb = c",
            2,
            "\"c\" is no value; text belongs in quotes, \"…\"",
        ),
        ("a = 1\nb 2", 2, "a = is missing before \"2\""),
        ("a = 1;\n", 1, "a name is missing before \";\""),
    ] {
        let fault = parsed(text).unwrap_err();
        assert_eq!((fault.line, fault.what.as_str()), (line, what), "{text:?}");
    }
}

#[test]
fn a_missing_conf_has_the_default_and_a_faulty_one_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("strfry.conf");
    let found = || event_limits(&conf).unwrap();
    assert_eq!(found().limits, EventLimits::default());
    fs::write(&conf, CONF).unwrap();
    assert_eq!((found().limits.bytes, found().limits.tags), (131_072, 2000));
    assert!(found().doubts.is_empty());
    let faulty = "\nevents { maxEventSize = many\n maxNumTags = 5\n maxTagValSize = few }";
    fs::write(&conf, faulty).unwrap();
    let LimitsFound { limits, doubts } = found();
    assert_eq!(limits.bytes, 131_072);
    assert_eq!(doubts.first().map(|fault| fault.line), Some(2));
    assert!(limits.tags == 5 || limits.tags == usize::MAX);
    assert_eq!(limits.tag_value, usize::MAX, "no limit in doubt");
}

#[test]
fn deep_and_wide_confs_come_to_an_end() {
    let deep = "a {".repeat(100_000);
    assert!(parsed(&deep).is_err());
    let deep = format!("a = {}", "[".repeat(100_000));
    assert!(parsed(&deep).is_err());
    let deep = format!("x = {}", "(".repeat(100_000));
    assert!(parsed(&deep).is_err());
    let deep = format!("x = (env {}", "(env ".repeat(100_000));
    assert!(parsed(&deep).is_err());
    let mut doubling = String::from("a0 = [1]\n");
    for number in 1..60 {
        let before = number - 1;
        doubling += &format!("a{number} = (a{before}) + (a{before})\n");
    }
    assert!(parsed(&doubling).is_err());
}

proptest::proptest! {
    #[test]
    fn no_text_stops_the_reading(text: Vec<u8>) {
        let _ = Conf::parse(&text, Path::new("/nonexistent"));
    }

    #[test]
    fn no_conf_like_text_stops_the_reading(
        text in r#"([a-z ={}"\n#:.+()'/*$\\]|\[|\]|0x1f|12|events|maxEventSize|delete|include|'''){0,40}"#
    ) {
        let _ = size(&text);
    }
}
