//! The command `explain`: shows which lists and lines a key is in, what that makes of its author,
//! and what the author may write.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::time::SystemTime;

use constellation_shared::Pubkey;
use constellation_shared::Station;
use constellation_shared::explain::{Explanation, places};
use constellation_shared::list_file::ListFile;
use constellation_shared::sanitize::one_line;
use constellation_shared::verdict::{Strangers, Verdict};

use crate::filters::kinds_in;
use crate::lists::{Sources, friends_before};
use crate::settings::FilterFolder;

/// The rule by which a relay decides, besides the lists.
#[derive(Debug, Clone)]
pub struct Rule {
    /// What strangers may write.
    pub strangers: Strangers,
    /// The folder of the filters.
    pub filters: FilterFolder,
    /// Where the rule comes from, in words.
    pub source: String,
}

/// What is to be explained.
#[derive(Debug)]
pub struct Question<'a> {
    /// The keys.
    pub keys: &'a [Pubkey],
    /// The kind of the events that the authors want to write, if one was named.
    pub kind: Option<u64>,
    /// The rule that applies.
    pub rule: &'a Rule,
}

/// Writes what each key may write and every line that it is in, and returns the worst verdict:
/// [`Verdict::Block`] if one of the keys may not write. Changes nothing, and runs no filter.
///
/// # Errors
/// Fails if writing fails. A list that cannot be read is named in the output instead.
pub fn explain(
    sources: &Sources,
    question: &Question<'_>,
    output: &mut impl Write,
) -> io::Result<Verdict> {
    let Question { keys, kind, rule } = *question;
    let blacklist = ListFile::blacklist(&sources.blacklist);
    let members_dir = sources.station.members_dir();
    let mut own = sources.own_pardoning();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let before = friends_before::in_force(&sources.friends, now.unwrap_or_default());
    own.files.extend(before);
    let swarm = sources.swarm_pardoning();
    let pardoning = [own.files, swarm.files].concat();
    let stations = sources.station_keys();
    let kinds = match &rule.filters {
        FilterFolder::None => None,
        FilterFolder::At(folder) => Some(kinds_in(folder)),
        FilterFolder::Unknown => Some(Err(io::Error::other(
            "constellation.toml is not understood",
        ))),
    };
    let mut worst = Verdict::Allow;
    for key in keys {
        let mut explanation = Explanation::of(key, &blacklist, &pardoning, &members_dir);
        for list in &stations {
            explanation.places.extend(places(list, key, role(list)));
        }
        let class = class(&explanation);
        let filter = Filter::of(kind, kinds.as_ref());
        let answer = answer(&explanation, class, kind, &filter, rule);
        if answer.verdict != Verdict::Allow && worst != Verdict::Block {
            worst = answer.verdict;
        }
        writeln!(output, "{key} {}", answer.words)?;
        if explanation.places.is_empty() {
            writeln!(output, "  in no list")?;
        }
        for place in explanation.places {
            writeln!(output, "  {}", place.words())?;
        }
        writeln!(output, "  class: {class}")?;
    }
    for (folder, error) in own.unreadable.into_iter().chain(swarm.unreadable) {
        let words = format!("{} cannot be read: {error}", folder.display());
        writeln!(output, "{}", one_line(&words))?;
    }
    if !swarm.left_out.is_empty() {
        writeln!(
            output,
            "some lists of other stations are not read: {}",
            swarm.left_out
        )?;
    }
    write_rule(rule, kinds.as_ref(), output)?;
    Ok(worst)
}

/// Writes the rule, and which filters there are.
fn write_rule(
    rule: &Rule,
    kinds: Option<&io::Result<BTreeSet<u64>>>,
    output: &mut impl Write,
) -> io::Result<()> {
    let words = match rule.strangers {
        Strangers::Accept => "strangers may write like everyone else",
        Strangers::Filters => "strangers may write only what a filter accepts",
    };
    let Rule {
        strangers, source, ..
    } = rule;
    writeln!(output, "rule: {words} (--strangers {strangers}, {source})")?;
    let Some(kinds) = kinds else {
        return Ok(());
    };
    let place = match &rule.filters {
        FilterFolder::At(folder) => format!(" in {}", folder.display()),
        FilterFolder::None | FilterFolder::Unknown => String::new(),
    };
    let kinds = match kinds {
        Ok(kinds) if kinds.is_empty() => "none".to_owned(),
        Ok(kinds) => {
            let kinds: Vec<String> = kinds.iter().map(u64::to_string).collect();
            format!("kinds {}", kinds.join(", "))
        }
        Err(error) => format!("they cannot be read: {error}"),
    };
    let words = format!("filters{place}: {kinds}");
    writeln!(output, "{}", one_line(&words))
}

/// What the keys in a file of a station are.
fn role(list: &ListFile) -> &'static str {
    if list.path().ends_with(Station::HEX_CAPTAIN) {
        "captain"
    } else {
        "node"
    }
}

/// What the author is to this station.
fn class(explanation: &Explanation) -> &'static str {
    let stands = |role: &str| {
        let mut places = explanation.places.iter();
        places.any(|place| place.role == role && place.line.is_ok())
    };
    let classes = ["member", "friend", "node", "captain"].into_iter();
    classes
        .clone()
        .find(|role| stands(role))
        .unwrap_or("stranger")
}

/// Whether a filter decides about events of a kind.
#[derive(Debug, PartialEq, Eq)]
enum Filter {
    /// No kind was named.
    Open,
    /// The kind has a filter.
    Decides,
    /// The kind has no filter.
    None,
    /// It cannot be told.
    Unreadable,
}

impl Filter {
    fn of(kind: Option<u64>, kinds: Option<&io::Result<BTreeSet<u64>>>) -> Self {
        match (kind, kinds) {
            (_, Some(Err(_))) => Self::Unreadable,
            (None, _) => Self::Open,
            (Some(kind), Some(Ok(kinds))) if kinds.contains(&kind) => Self::Decides,
            (Some(_), _) => Self::None,
        }
    }
}

/// What an author may write.
struct Answer {
    verdict: Verdict,
    words: String,
}

fn answer(
    explanation: &Explanation,
    class: &str,
    kind: Option<u64>,
    filter: &Filter,
    rule: &Rule,
) -> Answer {
    let verdict = explanation.verdict;
    let is_stranger =
        verdict == Verdict::Allow && class == "stranger" && rule.strangers == Strangers::Filters;
    let kind = kind.unwrap_or_default();
    let (verdict, words) = match filter {
        _ if verdict == Verdict::Block => (verdict, explanation.words().to_owned()),
        Filter::Unreadable => (
            Verdict::Block,
            "block (the filters cannot be told: every event is rejected)".to_owned(),
        ),
        Filter::Decides => (
            verdict,
            format!("allow if the filter {kind}.sh accepts the event"),
        ),
        Filter::None if is_stranger => (
            Verdict::Block,
            format!("block (a stranger, and kind {kind} has no filter)"),
        ),
        Filter::Open if is_stranger => (
            verdict,
            "allow only what a filter accepts (a stranger)".to_owned(),
        ),
        Filter::Open | Filter::None => (verdict, explanation.words().to_owned()),
    };
    Answer { verdict, words }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    /// A station with these lists, in each of which the key of that number stands.
    fn station(lists: &[(&str, u8)]) -> (tempfile::TempDir, Sources) {
        let dir = tempfile::tempdir().unwrap();
        let station = Station::new(dir.path());
        for (name, byte) in lists {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let mut text = fs::read_to_string(&path).unwrap_or_default();
            text += &format!("{}\n", key(*byte));
            fs::write(path, text).unwrap();
        }
        (dir, station.into())
    }

    fn key(byte: u8) -> Pubkey {
        Pubkey::from_bytes([byte; 32])
    }

    fn rule(strangers: Strangers, filters: FilterFolder) -> Rule {
        Rule {
            strangers,
            filters,
            source: "of this test".to_owned(),
        }
    }

    #[test]
    fn the_worst_of_all_verdicts_counts() {
        let blacklist = "strfry/blacklist.txt";
        let (_dir, sources) =
            station(&[(blacklist, 2), (blacklist, 3), ("strfry/amisOfAmis.txt", 2)]);
        let [allowed, pardoned, blocked] = [1, 2, 3].map(key);
        let rule = rule(Strangers::Accept, FilterFolder::None);
        let worst = |keys: &[Pubkey]| {
            let question = Question {
                keys,
                kind: None,
                rule: &rule,
            };
            explain(&sources, &question, &mut io::sink()).unwrap()
        };
        assert_eq!(worst(&[allowed]), Verdict::Allow);
        assert_eq!(worst(&[pardoned, allowed]), Verdict::Pardon);
        assert_eq!(worst(&[allowed, pardoned]), Verdict::Pardon);
        assert_eq!(
            worst(&[pardoned, blocked, allowed, pardoned]),
            Verdict::Block
        );
    }

    #[test]
    fn class_rule_and_filter_are_named() {
        let (dir, sources) = station(&[
            ("strfry/amisOfAmis.txt", 2),
            ("tmp/swarm/A/HEX", 3),
            ("tmp/swarm/A/HEX_CAPTAIN", 4),
            ("game/nostr/a@b.c/HEX", 5),
            ("tmp/swarm/A/amisOfAmis.txt", 6),
        ]);
        let folder = dir.path().join("filter");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("7.sh"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(folder.join("7.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        let explained = |byte: u8, kind: Option<u64>, strangers: Strangers| {
            let rule = rule(strangers, FilterFolder::At(folder.clone()));
            let question = Question {
                keys: &[key(byte)],
                kind,
                rule: &rule,
            };
            let mut output = Vec::new();
            let verdict = explain(&sources, &question, &mut output).unwrap();
            (verdict, String::from_utf8(output).unwrap())
        };
        let (filters, accept) = (Strangers::Filters, Strangers::Accept);
        for (byte, class) in [
            (1, "stranger"),
            (2, "friend"),
            (3, "node"),
            (4, "captain"),
            (5, "member"),
            (6, "friend"),
        ] {
            let (verdict, words) = explained(byte, Some(1), filters);
            assert!(words.contains(&format!("  class: {class}\n")), "{words}");
            let expected = if byte == 1 {
                Verdict::Block
            } else {
                Verdict::Allow
            };
            assert_eq!(verdict, expected, "{words}");
            assert_eq!(explained(byte, Some(1), accept).0, Verdict::Allow);
            let (verdict, words) = explained(byte, Some(7), filters);
            assert_eq!(verdict, Verdict::Allow);
            let line = format!("{} allow if the filter 7.sh accepts the event\n", key(byte));
            assert!(words.starts_with(&line), "{words}");
            assert!(words.ends_with(": kinds 7\n"), "{words}");
        }
        let (verdict, words) = explained(1, None, filters);
        assert_eq!(verdict, Verdict::Allow);
        assert!(
            words.contains("allow only what a filter accepts"),
            "{words}"
        );
        assert!(
            words.contains("(--strangers filters, of this test)"),
            "{words}"
        );
    }
}
