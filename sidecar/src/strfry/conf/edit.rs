//! Changing the plugin line of `strfry.conf`, all else byte for byte, and changing it back.

use serde::{Deserialize, Serialize};

use crate::strfry::conf::{Look, look, setting};

/// `relay.writePolicy.plugin`
pub const PLUGIN: [&str; 3] = ["relay", "writePolicy", "plugin"];

/// What a text says with a setting changed, and how it is changed back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// What stood in the place of [`Edit::new`]; empty where it was put in between.
    pub old: String,
    /// What stands there now.
    pub new: String,
}

/// The text with `relay.writePolicy.plugin` as given, all else byte for byte as before,
/// and what was changed; none where the text already says so, or where the value holds
/// what strfry's syntax would have to spell otherwise.
pub fn with_plugin(text: &str, command: &str) -> Option<(String, Edit)> {
    if command.contains(['"', '\\']) || command.chars().any(char::is_control) {
        return None;
    }
    let quoted = format!("\"{command}\"");
    let found = look(text, &PLUGIN);
    let (place, new) = match (
        found.value,
        look(text, &PLUGIN[..2]),
        look(text, &PLUGIN[..1]),
    ) {
        (Some(token), ..) if token.word == command => return None,
        (Some(token), ..) => (token.place, quoted),
        (
            None,
            Look {
                inside: Some(at), ..
            },
            _,
        ) => (at..at, format!("\n        plugin = {quoted}")),
        (
            None,
            _,
            Look {
                inside: Some(at), ..
            },
        ) => {
            let block = format!("\n    writePolicy {{\n        plugin = {quoted}\n    }}\n");
            (at..at, block)
        }
        _ => {
            let block =
                format!("\nrelay {{\n    writePolicy {{\n        plugin = {quoted}\n    }}\n}}\n");
            (text.len()..text.len(), block)
        }
    };
    let (before, behind) = (text.get(..place.start)?, text.get(place.end..)?);
    let edit = Edit {
        old: text.get(place)?.to_owned(),
        new,
    };
    let edited = format!("{before}{}{behind}", edit.new);
    (setting(&edited, &PLUGIN).as_deref() == Some(command)).then_some((edited, edit))
}

/// The text as it was before that edit, whatever else was changed since; none where what
/// the edit wrote is no longer there.
pub fn without(text: &str, edit: &Edit) -> Option<String> {
    let place = match edit.old.is_empty() {
        false => {
            let plugin = look(text, &PLUGIN).value?;
            (text.get(plugin.place.clone())? == edit.new).then_some(plugin.place)?
        }
        true => {
            let start = text.find(&edit.new)?;
            start..start + edit.new.len()
        }
    };
    let (before, behind) = (text.get(..place.start)?, text.get(place.end..)?);
    Some(format!("{before}{}{behind}", edit.old))
}

/// Whether the text is as if that edit had never been.
pub fn is_without(text: &str, edit: &Edit) -> bool {
    match look(text, &PLUGIN).value {
        Some(token) => text.get(token.place) == Some(edit.old.as_str()),
        None => edit.old.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::CONF;
    use super::*;

    #[test]
    fn the_plugin_line_is_changed_alone_and_back() {
        let plugin = |text: &str| setting(text, &["relay", "writePolicy", "plugin"]);
        for text in [
            CONF,
            "relay {\n  writePolicy {\n  # plugin = \"x\"\n  }\n}",
            "relay{ nofiles = 0 }",
            "db = \"./x/\"",
            "",
            "relay { writePolicy { plugin = /a/b } }\r\nevents { }",
            "relay { writePolicy { plugin = \"{\" plugin = \"a b\" } }",
        ] {
            let (edited, edit) = with_plugin(text, "/usr/bin/policy --zen /z").unwrap();
            assert_eq!(plugin(&edited).as_deref(), Some("/usr/bin/policy --zen /z"));
            assert_eq!(without(&edited, &edit).as_deref(), Some(text));
            assert!(is_without(text, &edit) && !is_without(&edited, &edit));
            assert_eq!(with_plugin(&edited, "/usr/bin/policy --zen /z"), None);
            // What others change meanwhile stays.
            let later = edited.clone() + "\n# later\n";
            let back = format!("{text}\n# later\n");
            assert_eq!(without(&later, &edit), Some(back));
            let (theirs, _) = with_plugin(&edited, "/other").unwrap();
            assert_eq!(without(&theirs, &edit), None, "{theirs}");
        }
        let (edited, edit) = with_plugin(CONF, "/p").unwrap();
        assert_eq!((edit.old.as_str(), edit.new.as_str()), ("\"\"", "\"/p\""));
        assert_eq!(edited.replace("\"/p\"", "\"\""), CONF);
        assert_eq!(with_plugin(CONF, "a\"b"), None);
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_conf_says_an_edit_is_undone(
            text in r#"([a-z ={}"\n#]|relay|writePolicy|plugin|é){0,40}"#
        ) {
            if let Some((edited, edit)) = with_plugin(&text, "/p") {
                proptest::prop_assert_eq!(without(&edited, &edit), Some(text));
            }
        }
    }
}
