//! The settings file with every setting commented out, as `config --edit` and `install` write it.

use clap::Arg;
use constellation_shared::settings::keys::{Form, Key, TABLES};

use crate::commands::layers::owner_of;

/// How wide a comment may be, in characters.
const WIDTH: usize = 96;

/// A setting that the policy reads, whose options are not ours.
#[derive(Debug, Clone, Copy)]
pub struct PolicyKey {
    /// Its name in the file.
    pub name: &'static str,
    /// What it is, as the policy's help says.
    pub about: &'static str,
    /// Its default, as the file would say it.
    pub default: &'static str,
}

const fn policy(name: &'static str, about: &'static str, default: &'static str) -> PolicyKey {
    PolicyKey {
        name,
        about,
        default,
    }
}

/// What the policy reads.
pub const OF_POLICY: [PolicyKey; 10] = [
    policy("blacklist", "The list of blocked keys", "\"blacklist.txt\""),
    policy(
        "amis",
        "A list of friends of friends; may be repeated",
        "[\"amisOfAmis.txt\"]",
    ),
    policy(
        "swarm",
        "Whether the friends that other stations list count",
        "true",
    ),
    policy(
        "strangers",
        "What authors may write who are in no list: accept (everything) or filters",
        "\"accept\"",
    ),
    policy(
        "filters",
        "Also ask the filters in this folder: DIR/KIND.sh for events of that kind",
        "\"DIR\"",
    ),
    policy(
        "filter-timeout",
        "Reject the event if a filter takes longer than this",
        "5",
    ),
    policy(
        "filter-grace",
        "Let a filter that takes too long go on for this long before it is killed",
        "0",
    ),
    policy(
        "no-remove",
        "Leave the lines of friends and members in the blacklist when they write",
        "false",
    ),
    policy(
        "shadow",
        "Tell blocked authors that their events were accepted",
        "false",
    ),
    policy(
        "log",
        "How much to log: off, error, warn, info or debug",
        "\"info\"",
    ),
];

const HEAD: &str = "\
# The settings of both programs: constellation-policy (the relay) and constellation-sync (the
# backfill). A line counts once you take away the # before it; the values below are the defaults.
# `constellation-sync config` shows what counts and where it comes from, and what is wrong here.
# The command line wins over environment variables, and these over this file.
";

const BY_INSTALL: &str = "\
# What `constellation-sync install` has put into strfry's plugin line (strangers, filters and their
# time limits) wins over this table; `constellation-sync config` says where it does.

";

/// The whole file.
pub(crate) fn text() -> String {
    text_with(&[])
}

/// The whole file, with these lines in the table `[sync]`.
pub(crate) fn text_with(sync: &[String]) -> String {
    let mut text = HEAD.to_owned();
    for table in TABLES {
        text.push_str(&format!("\n# {}.\n[{}]\n", table.about, table.name));
        if table.name == "policy" {
            text.push_str(BY_INSTALL);
        }
        if table.name == "sync" {
            text.extend(sync.iter().map(|line| format!("{line}\n")));
        }
        for (number, key) in table.keys.iter().enumerate() {
            let Some(described) = Described::of(key) else {
                continue;
            };
            if number > 0 {
                text.push('\n');
            }
            for line in wrapped(&described.about) {
                text.push_str(&format!("# {line}\n"));
            }
            text.push_str(&format!("#{} = {}\n", key.name, described.default));
        }
    }
    text
}

/// What the file says of a setting.
pub(super) struct Described {
    /// What it is.
    pub(super) about: String,
    /// Its default, as the file would say it.
    pub(super) default: String,
}

impl Described {
    /// Describes a setting; `None` for another name of one.
    fn of(key: &Key) -> Option<Self> {
        if let Some(known) = OF_POLICY.iter().find(|known| known.name == key.name) {
            return Some(Self {
                about: known.about.to_owned(),
                default: known.default.to_owned(),
            });
        }
        if key.name == "no-swarm" {
            return None;
        }
        let option = owner_of(key.name)?.option;
        // This is that file.
        let about = option.get_help()?.to_string();
        let about = about.replace("as set in strfry/constellation.toml, else ", "");
        Some(Self {
            default: default(key, &option),
            about,
        })
    }
}

/// The default of an option as the file would say it, or what is to be put there.
fn default(key: &Key, option: &Arg) -> String {
    let values: Vec<String> = option
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy().into_owned())
        .collect();
    let quoted = |text: &str| format!("\"{text}\"");
    match (key.form, values.as_slice()) {
        (Form::Kinds, _) if key.name == "kinds" => quoted("seed"),
        (Form::Flag, [value]) => value.clone(),
        (Form::Flag, _) => "true".to_owned(),
        (Form::Values, values @ [_, ..]) => {
            let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
            format!("[{}]", values.join(", "))
        }
        (_, [value]) if value.parse::<f64>().is_ok() => value.clone(),
        (_, [value, ..]) => quoted(value),
        (_, []) => {
            let names = option.get_value_names().unwrap_or_default();
            let name = names.first().map_or("…", |name| name.as_str());
            quoted(name)
        }
    }
}

/// A text in lines that are not too wide.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() < WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use constellation_shared::settings::Settings;

    use super::*;
    use crate::commands::layers::Call;

    #[test]
    fn the_commented_file_says_nothing_and_every_default_in_it_is_right() {
        let folder = Path::new("/zen/strfry");
        let file = Settings::parse(&text(), folder);
        assert!(file.fault.is_none() && file.entries.is_empty() && file.complaints.is_empty());
        let said: String = text()
            .lines()
            .map(|line| {
                let setting = line.strip_prefix('#').filter(|line| !line.starts_with(' '));
                format!("{}\n", setting.unwrap_or(line))
            })
            .collect();
        let file = Settings::parse(&said, folder);
        assert!(file.fault.is_none(), "{:?}\n{said}", file.fault);
        let names: Vec<&str> = TABLES
            .iter()
            .flat_map(|table| table.keys.iter().map(|key| key.name))
            .filter(|name| *name != "no-swarm")
            .collect();
        let call = Call::parse(["constellation-sync"]).unwrap();
        let layered = call.with_file(&file);
        // What has no default has a name for its value there, which may be no value.
        let all: Vec<_> = file.complaints.iter().chain(&layered.complaints).collect();
        for complaint in &all {
            assert!(complaint.what.contains("passed over"), "{complaint}");
        }
        for name in names {
            assert!(text().contains(&format!("\n#{name} = ")), "{name}");
        }
        let default = call.cli.options.clone();
        assert_eq!(layered.cli.options.days, default.days);
        assert_eq!(layered.cli.options.patience, default.patience);
    }
}
