//! `strfry.conf`: what stands before and behind a conf changes it in known ways, and an edit
//! changes the plugin alone.

use std::path::Path;

use constellation_sync::testing::conf::{Conf, Fault};
use constellation_sync::testing::edit::{Edited, PLUGIN, with_plugin, without};

const SIZE: [&str; 2] = ["events", "maxEventSize"];

fn parse(text: &[u8]) -> Result<Conf, Fault> {
    // Includes lead nowhere.
    Conf::parse(text, Path::new("/nonexistent"))
}

/// A comment changes nothing, a later assignment wins, an earlier one counts only where
/// nothing is said, and the plugin is changed alone and back.
///
/// # Panics
/// Where that is not so.
pub fn holds(conf: &[u8]) {
    let Ok(parsed) = parse(conf) else {
        return;
    };
    let found = parsed.number(&SIZE);
    let comment = [b"# events { \"\n/* events.maxEventSize = 1 */ ", conf].concat();
    assert_eq!(
        parse(&comment).unwrap().number(&SIZE).ok(),
        found.clone().ok()
    );
    let is_mentioned = |word: &[u8]| conf.windows(word.len()).any(|window| window == word);
    let is_in_braces = conf.trim_ascii_start().starts_with(b"{");
    // Names can be written with escapes and come from functions.
    let is_plain = !is_mentioned(b"\\") && !is_mentioned(b"(") && !is_in_braces;
    if is_plain && !is_mentioned(b"maxEventSize") && !is_mentioned(b"events") {
        assert_eq!(found, Ok(None));
        let before = [b"events { maxEventSize = 777 }\n", conf].concat();
        assert_eq!(parse(&before).unwrap().number(&SIZE), Ok(Some(777)));
    }
    if is_plain {
        let behind = [conf, b"\nevents = { maxEventSize = 778 }"].concat();
        if let Ok(conf) = parse(&behind) {
            assert_eq!(conf.number(&SIZE), Ok(Some(778)));
        }
    }
    let edited = with_plugin(conf, Path::new("/nonexistent"), "/a 'b' \"c\"");
    if let Ok(Some(Edited { text, edit })) = edited {
        let changed = parse(&text).unwrap();
        assert_eq!(changed.text(&PLUGIN), Ok(Some("/a 'b' \"c\"")));
        assert_eq!(changed.number(&SIZE).ok(), found.ok());
        let back = without(&text, Path::new("/nonexistent"), &edit);
        assert_eq!(back.as_deref(), Some(conf));
    }
}
