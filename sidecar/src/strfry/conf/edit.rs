//! Changes the plugin line of `strfry.conf`, and changes it back. All other bytes stay the same.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::tree::{Node, Scalar, Value};
use super::{Conf, Fault};

/// The path of the setting `relay.writePolicy.plugin`.
pub const PLUGIN: [&str; 3] = ["relay", "writePolicy", "plugin"];

/// A change of a text that can be undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// The text that was replaced by [`Edit::new`]; empty if it was inserted.
    pub old: String,
    /// The new text.
    pub new: String,
}

/// A changed conf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// Its text.
    pub text: Vec<u8>,
    /// What was changed.
    pub edit: Edit,
}

/// The conf with `relay.writePolicy.plugin` set to `command` and all other bytes unchanged; `None`
/// if it has that value already. The result is parsed again to make sure that exactly this
/// setting has changed.
///
/// # Errors
/// [`Fault`] if the conf is not understood, or if the setting cannot be changed here.
pub fn with_plugin(text: &[u8], folder: &Path, command: &str) -> Result<Option<Edited>, Fault> {
    let conf = Conf::parse(text, folder)?;
    let current = conf.text(&PLUGIN)?;
    if current == Some(command) {
        return Ok(None);
    }
    let wanted = with_text(&conf.root, &PLUGIN, command);
    let quoted = quoted(command);
    let candidates = match (current, conf.place(&PLUGIN)) {
        (Some(_), Some(place)) => vec![(place, quoted)],
        (Some(_), None) => Vec::new(),
        (None, _) => insertions(&conf, &quoted),
    };
    let edited = candidates.into_iter().find_map(|(place, new)| {
        let edited = replaced(text, &place, new.as_bytes())?;
        let is_right = Conf::parse(&edited, folder).is_ok_and(|conf| conf.root == wanted);
        let old = std::str::from_utf8(text.get(place)?).ok()?.to_owned();
        is_right.then_some(Edited {
            text: edited,
            edit: Edit { old, new },
        })
    });
    edited.map(Some).ok_or_else(|| {
        let at = conf.find(&PLUGIN).ok().flatten().map_or(0, |node| node.at);
        Fault {
            file: None,
            line: super::fault::line_of(text, at),
            what: "relay.writePolicy.plugin is put together from several places, or set in an included file: it cannot be changed here".to_owned(),
            is_certain: false,
        }
    })
}

/// The places where the setting can be inserted, and the text to insert: in its block, in the block
/// around it, or as a new block.
fn insertions(conf: &Conf, quoted: &str) -> Vec<(Range<usize>, String)> {
    let end = conf.text.len();
    let block = format!("\n    writePolicy {{\n        plugin = {quoted}\n    }}\n");
    let outer = format!("\nrelay {{\n    writePolicy {{\n        plugin = {quoted}\n    }}\n}}\n");
    let behind = |path: &[&str]| {
        let path: Vec<String> = path.iter().map(ToString::to_string).collect();
        conf.blocks.get(&path).map(|at| *at..*at)
    };
    let [relay, policy, _] = PLUGIN;
    [
        (
            behind(&[relay, policy]),
            format!("\n        plugin = {quoted}"),
        ),
        (behind(&[relay]), block),
        (Some(behind(&[]).unwrap_or(end..end)), outer),
    ]
    .into_iter()
    .filter_map(|(place, new)| Some((place?, new)))
    .collect()
}

/// A text as a quoted value of the conf.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c < ' ' || c == '\u{7f}' => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// The values after one text is set. Missing blocks are added.
fn with_text(node: &Node, path: &[&str], text: &str) -> Node {
    let (value, place, at) = match path.split_first() {
        None => (
            Value::Scalar(Scalar::Text(text.to_owned())),
            node.place.clone(),
            node.at,
        ),
        Some((first, rest)) => {
            let mut members = match &node.value {
                Value::Object(members) => members.clone(),
                _ => BTreeMap::new(),
            };
            let empty = Node {
                value: Value::Object(BTreeMap::new()),
                place: None,
                at: 0,
            };
            let member = members.get(*first).unwrap_or(&empty);
            let member = with_text(member, rest, text);
            members.insert((*first).to_owned(), member);
            (Value::Object(members), node.place.clone(), node.at)
        }
    };
    Node { value, place, at }
}

fn replaced(text: &[u8], place: &Range<usize>, new: &[u8]) -> Option<Vec<u8>> {
    let (before, behind) = (text.get(..place.start)?, text.get(place.end..)?);
    Some([before, new, behind].concat())
}

/// The text with an edit undone, even if other parts were changed since; `None` if the edited
/// setting has another value by now, or if the conf is not understood.
pub fn without(text: &[u8], folder: &Path, edit: &Edit) -> Option<Vec<u8>> {
    let conf = Conf::parse(text, folder).ok()?;
    let plugin = conf.place(&PLUGIN)?;
    let new = edit.new.as_bytes();
    let place = if edit.old.is_empty() {
        // The occurrence that contains the plugin, since a comment may have the same text.
        let first = (plugin.end).saturating_sub(new.len());
        let starts = first..=plugin.start;
        let start = { starts }
            .find(|&start| text.get(start..start.saturating_add(new.len())) == Some(new))?;
        start..start + new.len()
    } else {
        plugin
    };
    if text.get(place.clone())? != new {
        return None;
    }
    replaced(text, &place, edit.old.as_bytes())
}

/// Whether the setting has the value that it had before an edit.
pub(crate) fn is_without(text: &[u8], folder: &Path, edit: &Edit) -> bool {
    let Ok(conf) = Conf::parse(text, folder) else {
        return false;
    };
    match conf.find(&PLUGIN) {
        Ok(None) => edit.old.is_empty(),
        Ok(Some(node)) => {
            let old = node.place.clone().and_then(|place| text.get(place));
            !edit.old.is_empty() && old == Some(edit.old.as_bytes())
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::CONF;
    use super::*;

    const COMMAND: &str = "/usr/bin/policy --zen '/z z' \\ \"q\"";

    fn folder() -> &'static Path {
        Path::new("/nonexistent")
    }

    fn plugin(text: &[u8]) -> Option<String> {
        let conf = Conf::parse(text, folder()).unwrap();
        conf.text(&PLUGIN).unwrap().map(ToOwned::to_owned)
    }

    #[test]
    fn the_plugin_line_is_changed_alone_and_back() {
        for text in [
            CONF,
            "relay {\n  writePolicy {\n  # plugin = \"x\"\n  }\n}",
            "relay{ nofiles = 0 }",
            "db = \"./x/\"",
            "",
            "# no line break",
            "relay { writePolicy { plugin = '/a/b' } }\r\nevents { }",
            "relay { writePolicy { plugin = \"{\" plugin = \"a b\" } }",
            "relay.writePolicy.plugin = \"x\"",
            "relay.writePolicy : { plugin : \"\"\"x\"\"\" }",
            "{ \"relay\": { \"writePolicy\": { \"plugin\": \"x\" } } }",
            "{ \"relay\": { \"port\": 1 } }",
            "{}",
            "// plugin = \"x\"\n/* relay { writePolicy { plugin = \"y\" } } */ relay.port = 7",
            "relay { writePolicy { plugin = \"x\" + \"y\" } }",
            "relay = { writePolicy { } } relay.port = 1 relay.writePolicy = delete",
        ] {
            let text = text.as_bytes();
            let shown = String::from_utf8_lossy(text);
            let edited = with_plugin(text, folder(), COMMAND);
            let Edited { text: edited, edit } = edited.unwrap().unwrap();
            assert_eq!(plugin(&edited).as_deref(), Some(COMMAND), "{shown}");
            assert_eq!(without(&edited, folder(), &edit).as_deref(), Some(text));
            assert!(is_without(text, folder(), &edit), "{shown}");
            assert!(!is_without(&edited, folder(), &edit), "{shown}");
            assert_eq!(with_plugin(&edited, folder(), COMMAND), Ok(None));
            // What others change meanwhile stays.
            let later = [edited.as_slice(), b"\n# later\n"].concat();
            let back = [text, b"\n# later\n"].concat();
            assert_eq!(without(&later, folder(), &edit), Some(back));
            let theirs = with_plugin(&edited, folder(), "/other").unwrap().unwrap();
            assert_eq!(without(&theirs.text, folder(), &edit), None, "{shown}");
        }
        let Edited { text, edit } = with_plugin(CONF.as_bytes(), folder(), "/p")
            .unwrap()
            .unwrap();
        assert_eq!((edit.old.as_str(), edit.new.as_str()), ("\"\"", "\"/p\""));
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text.replace("\"/p\"", "\"\""), CONF);
    }

    #[test]
    fn what_is_not_understood_is_not_changed() {
        let dir = tempfile::tempdir().unwrap();
        let included = "relay.writePolicy.plugin = \"/theirs\"";
        std::fs::write(dir.path().join("more"), included).unwrap();
        for text in [
            "relay {",
            "relay { writePolicy { plugin = (env \"PLUGIN\") } }",
            "relay { writePolicy { plugin = \"a\" + (shell \"b\") } }",
            "relay = (json \"{}\")",
            "(include \"more\")",
            "relay.writePolicy.plugin = \"x\" (include \"more\")",
            "(include \"missing\")",
            "(include (env \"FILE\"))",
            "(frobnicate 1)",
            "relay.*.plugin = \"x\"",
            "relay.writePolicy.plugin = 1",
            "(temporary relay)",
        ] {
            let edited = with_plugin(text.as_bytes(), dir.path(), "/p");
            assert!(edited.is_err(), "{text}: {edited:?}");
        }
        // One that is overruled here is changed here.
        let text = b"(include \"more\") relay.writePolicy.plugin = 'x' # z";
        let edited = with_plugin(text, dir.path(), "/p").unwrap().unwrap();
        assert!(edited.text.ends_with(b"plugin = \"/p\" # z"));
    }

    #[test]
    fn a_comment_of_another_encoding_stays() {
        let text = b"# caf\xe9\nrelay.writePolicy.plugin = \"\"\n";
        let edited = with_plugin(text, folder(), "/p").unwrap().unwrap();
        assert_eq!(
            edited.text,
            b"# caf\xe9\nrelay.writePolicy.plugin = \"/p\"\n"
        );
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_conf_says_an_edit_is_undone(
            text in r#"([a-z ={}"\n#:.+()'/]|relay|writePolicy|plugin|é){0,40}"#
        ) {
            if let Ok(Some(edited)) = with_plugin(text.as_bytes(), folder(), "/p") {
                let back = without(&edited.text, folder(), &edited.edit);
                proptest::prop_assert_eq!(back, Some(text.into_bytes()));
            }
        }
    }
}
