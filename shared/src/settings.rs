//! `strfry/constellation.toml`: settings of the lists for both programs, and of the backfill.
//!
//! ```toml
//! [lists]
//! blacklist = "blacklist.txt"      # relative to the station's folder strfry/
//! amis = ["amisOfAmis.txt"]
//! swarm = false                    # friends of other stations do not count
//!
//! [policy]
//! strangers = "filters"            # who is in no list may write only what a filter accepts
//!
//! [sync]                           # options of constellation-sync, by their long names
//! kinds = "uplanet,-4"             # or a list: ["uplanet", -4]
//! any-author-kinds = [30800, 30850, 30851]
//! ```
//!
//! The command line and the environment win over the file. If the file is not understood, other
//! stations cannot pardon anybody, and if it names a rule for strangers, these write only what a
//! filter accepts: that is the strictest thing that it may have said. A faulty value in `[sync]` is
//! passed over alone.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use crate::kinds::KindList;
use crate::regular_file;
use crate::sanitize::for_terminal;
use crate::verdict::Strangers;

/// The largest file that is read, in bytes.
const LARGEST: u64 = 256 * 1024;

/// The known tables and their keys.
const KNOWN: [(&str, &[&str]); 3] = [
    ("lists", &["blacklist", "amis", "swarm"]),
    ("policy", &["strangers"]),
    ("sync", &["kinds", "any-author-kinds"]),
];

/// Settings of the lists from one source. `None` if the source does not mention them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListSettings {
    /// The list of the keys that may not write.
    pub blacklist: Option<PathBuf>,
    /// The lists of this station's friends of friends.
    pub amis: Option<Vec<PathBuf>>,
    /// Whether the friends of other stations count.
    pub swarm: Option<bool>,
    /// What authors may write who are in no list.
    pub strangers: Option<Strangers>,
}

impl ListSettings {
    /// Fills in the settings that are missing here from a weaker source.
    #[must_use]
    pub fn or(self, weaker: Self) -> Self {
        Self {
            blacklist: self.blacklist.or(weaker.blacklist),
            amis: self.amis.or(weaker.amis),
            swarm: self.swarm.or(weaker.swarm),
            strangers: self.strangers.or(weaker.strangers),
        }
    }

    /// The settings for a file that is not understood.
    pub fn strictest(path: &Path) -> Self {
        // A file that does not name the rule says nothing about it, however broken it is.
        let names_rule = |text: Vec<u8>| memchr::memmem::find(&text, b"strangers").is_some();
        let may_say = read(path).is_ok_and(names_rule);
        Self {
            blacklist: None,
            amis: None,
            swarm: Some(false),
            strangers: may_say.then_some(Strangers::Filters),
        }
    }
}

/// Settings of the backfill. `None` if the file does not mention them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncSettings {
    /// The kinds that are fetched.
    pub kinds: Option<KindList>,
    /// The kinds that are fetched whoever wrote them.
    pub any_author_kinds: Option<KindList>,
}

/// Something that is wrong in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The number of the line, from 1.
    pub line: usize,
    /// What is wrong with the line, and what would be right.
    pub what: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for Complaint {}

/// Why the file is not understood.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file exists and cannot be read.
    #[error("it cannot be read: {0}")]
    Read(io::Error),
    /// The file is not valid.
    #[error(transparent)]
    Faulty(#[from] Complaint),
}

/// The settings in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The settings of its tables `[lists]` and `[policy]`.
    pub lists: ListSettings,
    /// The settings of its table `[sync]`.
    pub sync: SyncSettings,
    /// Whether there is a table `[sync]`, whatever it holds.
    pub has_sync: bool,
    /// What is unknown or wrong in it, and is passed over.
    pub complaints: Vec<Complaint>,
}

impl Settings {
    /// Reads a file, in which paths are relative to its folder. A missing file has no settings.
    ///
    /// # Errors
    /// [`SettingsError`] if the file exists but is not understood.
    pub fn load(path: &Path) -> Result<Self, SettingsError> {
        let text = match read(path).and_then(text) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            text => text.map_err(SettingsError::Read)?,
        };
        let folder = path.parent().unwrap_or(Path::new("/"));
        Ok(Self::parse(&text, folder)?)
    }

    /// Parses a text, in which paths are relative to `folder`.
    ///
    /// # Errors
    /// [`Complaint`] if it is not TOML, or the value of a known key has the wrong type.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, Complaint> {
        let complaint = |at: usize, what: String| Complaint {
            line: 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count(),
            what,
        };
        let parsed = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            complaint(at, for_terminal(&error.message().replace('\n', ", "), 300))
        })?;
        let mut settings = Self::default();
        for (name, value) in parsed.get_ref() {
            let at = name.span().start;
            let Some((_, keys)) = KNOWN.iter().find(|(known, _)| known == name.get_ref()) else {
                let tables = KNOWN.map(|(table, _)| table);
                let what = unknown(name.get_ref(), &tables, "table");
                settings.complaints.push(complaint(at, what));
                continue;
            };
            let Some(table) = value.get_ref().as_table() else {
                return Err(complaint(
                    at,
                    format!("{} is no table: write [{0}]", name.get_ref()),
                ));
            };
            settings.has_sync |= name.get_ref() == "sync";
            for (key, value) in table {
                let at = key.span().start;
                let entry = Entry {
                    name: key.get_ref(),
                    value: value.get_ref(),
                };
                let wrong = if keys.contains(&entry.name) {
                    match name.get_ref().as_ref() {
                        "lists" | "policy" => {
                            let read = settings.lists.take(entry, folder);
                            read.map_err(|what| complaint(at, what))?;
                            None
                        }
                        _ => settings.sync.take(entry).err(),
                    }
                } else {
                    Some(unknown(entry.name, keys, "key"))
                };
                settings
                    .complaints
                    .extend(wrong.map(|what| complaint(at, what)));
            }
        }
        settings.complaints.sort_by_key(|complaint| complaint.line);
        Ok(settings)
    }
}

/// A key of a table, and its value.
#[derive(Clone, Copy)]
struct Entry<'a> {
    name: &'a str,
    value: &'a DeValue<'a>,
}

impl ListSettings {
    /// Takes a known key, whose paths are relative to `folder`.
    fn take(&mut self, Entry { name, value }: Entry<'_>, folder: &Path) -> Result<(), String> {
        let wrong = |kind| format!("{name} is not {kind}");
        match name {
            "blacklist" => {
                self.blacklist = Some(path(value, folder).ok_or_else(|| wrong(A_PATH))?);
            }
            "amis" => self.amis = Some(paths(value, folder).ok_or_else(|| wrong(PATHS))?),
            "swarm" => self.swarm = Some(value.as_bool().ok_or_else(|| wrong("true or false"))?),
            _ => {
                let rule = value.as_str().and_then(|text| text.parse().ok());
                self.strangers = Some(rule.ok_or_else(|| wrong(A_RULE))?);
            }
        }
        Ok(())
    }
}

impl SyncSettings {
    /// Takes a known key.
    fn take(&mut self, Entry { name, value }: Entry<'_>) -> Result<(), String> {
        let text =
            words(value).ok_or_else(|| format!("{name} is not {KINDS}, and is passed over"))?;
        let kinds: KindList = text
            .parse()
            .map_err(|error| format!("{name} is passed over: {error}"))?;
        match name {
            "kinds" => self.kinds = Some(kinds),
            _ => self.any_author_kinds = Some(kinds),
        }
        Ok(())
    }
}

/// The words of a list of kinds: a text, a number, or a list of both.
fn words(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Array(values) => {
            let words: Option<Vec<String>> = values
                .iter()
                .map(|value| match value.get_ref() {
                    DeValue::Array(_) => None,
                    value => words(value),
                })
                .collect();
            Some(words?.join(","))
        }
        _ => None,
    }
}

const KINDS: &str = "a list of kinds, such as \"seed,+30850\" or [\"seed\", 30850]";
const A_RULE: &str = "\"accept\" or \"filters\"";
const A_PATH: &str = "the path of a file in quotes, \"…\", written out without ~";
const PATHS: &str = "a list of paths, [\"…\", \"…\"], each written out without ~";

fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(io::Error::other)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = regular_file::open(path)?;
    if file.metadata()?.len() > LARGEST {
        return Err(io::Error::other("it is larger than 256 KiB"));
    }
    let mut text = Vec::new();
    file.take(LARGEST).read_to_end(&mut text)?;
    Ok(text)
}

fn path(value: &DeValue<'_>, folder: &Path) -> Option<PathBuf> {
    let text = value.as_str()?;
    let is_unusable = text.starts_with('~') || text.contains('\0');
    (!text.is_empty() && !is_unusable).then(|| folder.join(text))
}

fn paths(value: &DeValue<'_>, folder: &Path) -> Option<Vec<PathBuf>> {
    let paths = value.as_array()?.iter();
    paths.map(|value| path(value.get_ref(), folder)).collect()
}

/// The complaint about an unknown name, with the nearest known one.
fn unknown(name: &str, known: &[&str], kind: &str) -> String {
    let shown = for_terminal(name, 40);
    let nearest = known.iter().min_by_key(|known| distance(name, known));
    let near = nearest.filter(|known| distance(name, known) <= known.len().div_ceil(2));
    match near {
        Some(near) => format!("unknown {kind} {shown}, which is passed over; did you mean {near}?"),
        None => format!(
            "unknown {kind} {shown}, which is passed over; known are {}",
            known.join(", ")
        ),
    }
}

/// How many characters must be inserted, removed or changed to turn one text into the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (above, a) in a.chars().take(64).enumerate() {
        let mut diagonal = above;
        let mut left = above + 1;
        let mut next = vec![left];
        for (up, b) in row.iter().skip(1).zip(&b) {
            left = (diagonal + usize::from(a != *b)).min(left + 1).min(up + 1);
            diagonal = *up;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, Complaint> {
        Settings::parse(text, Path::new("/zen/strfry"))
    }

    #[test]
    fn paths_are_relative_to_the_file_s_folder() {
        let settings =
            parse("# ours\n[lists]\nblacklist = 'a.txt'\namis = [\"/b\", \"c\"]\nswarm = false\n")
                .unwrap();
        assert_eq!(settings.complaints, []);
        let expected = ListSettings {
            blacklist: Some("/zen/strfry/a.txt".into()),
            amis: Some(vec!["/b".into(), "/zen/strfry/c".into()]),
            swarm: Some(false),
            strangers: None,
        };
        assert_eq!(settings.lists, expected);
        let rule = |text| parse(text).unwrap().lists.strangers;
        assert_eq!(
            rule("[policy]\nstrangers = 'filters'"),
            Some(Strangers::Filters)
        );
        assert_eq!(
            rule("[policy]\nstrangers = 'accept'"),
            Some(Strangers::Accept)
        );
        assert_eq!(parse("").unwrap(), Settings::default());
        assert_eq!(parse("lists.swarm = true").unwrap().lists.swarm, Some(true));
        assert_eq!(parse("lists.amis = []").unwrap().lists.amis, Some(vec![]));
    }

    #[test]
    fn an_unknown_name_is_reported_with_its_line_and_the_nearest_known_one() {
        let settings =
            parse("[lists]\nblaklist = \"x\"\nswarm = true\n[list]\n[z]\na = 1").unwrap();
        assert_eq!(settings.lists.swarm, Some(true));
        let said: Vec<String> = settings
            .complaints
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            said,
            [
                "line 2: unknown key blaklist, which is passed over; did you mean blacklist?",
                "line 4: unknown table list, which is passed over; did you mean lists?",
                "line 5: unknown table z, which is passed over; known are lists, policy, sync",
            ]
        );
    }

    #[test]
    fn kinds_are_written_in_several_ways() {
        let kinds = |text: &str| {
            let settings = parse(&format!("[sync]\nkinds = {text}")).unwrap();
            assert_eq!(settings.complaints, []);
            settings.sync.kinds.unwrap().over(&[4, 9])
        };
        assert_eq!(kinds("\"0,1\""), [0, 1]);
        assert_eq!(kinds("[0, 1]"), [0, 1]);
        assert_eq!(kinds("7"), [7]);
        assert_eq!(kinds("[\"+7\", -4]"), [7, 9]);
        assert_eq!(kinds("\"uplanet\"").len(), 57);
        let settings = parse("sync.any-author-kinds = [30800]").unwrap();
        assert_eq!(settings.sync.any_author_kinds.unwrap().over(&[]), [30_800]);
    }

    #[test]
    fn a_fault_in_the_settings_of_the_backfill_is_passed_over_alone() {
        let settings = parse(
            "[sync]\nkinds = \"seeds\"\nany-author-kinds = [[1]]\nkind = 1\n[lists]\nswarm = false",
        )
        .unwrap();
        assert_eq!(settings.sync, SyncSettings::default());
        assert_eq!(settings.lists.swarm, Some(false));
        let said: Vec<String> = settings
            .complaints
            .iter()
            .map(ToString::to_string)
            .collect();
        assert!(said[0].starts_with("line 2: kinds is passed over: seeds is no kind; write "));
        assert!(said[1].starts_with("line 3: any-author-kinds is not a list of kinds, such as "));
        assert_eq!(
            said[2],
            "line 4: unknown key kind, which is passed over; did you mean kinds?"
        );
    }

    #[test]
    fn a_faulty_text_is_an_error_with_its_line() {
        for (text, line) in [
            ("[lists]\nswarm = \"no\"", 2),
            ("[lists]\nswarm = no", 2),
            ("[policy]\nstrangers = true", 2),
            ("[policy]\nstrangers = \"reject\"", 2),
            ("[lists]\nblacklist = \"~/x\"", 2),
            ("[lists]\nblacklist = \"\"", 2),
            ("[lists]\namis = \"x\"", 2),
            ("[lists]\namis = [\"x\", 1]", 2),
            ("\nlists = 1", 2),
            ("[lists\n", 1),
            ("[lists]\nswarm = true\nswarm = false", 3),
        ] {
            assert_eq!(parse(text).unwrap_err().line, line, "{text}");
        }
    }

    #[test]
    fn a_missing_file_has_no_settings_and_a_strange_one_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("constellation.toml");
        assert_eq!(Settings::load(&path).unwrap(), Settings::default());
        std::fs::write(&path, [0xff]).unwrap();
        assert!(Settings::load(&path).is_err());
        std::fs::write(&path, " ".repeat(300_000)).unwrap();
        assert!(Settings::load(&path).is_err());
        assert!(Settings::load(dir.path()).is_err());
        let rule = |text: &[u8]| {
            std::fs::write(&path, text).unwrap();
            ListSettings::strictest(&path).strangers
        };
        assert_eq!(
            rule(b"[policy]\nstrangers = \xff"),
            Some(Strangers::Filters)
        );
        assert_eq!(rule(b"[lists]\nswarm = \xff"), None);
        assert_eq!(ListSettings::strictest(dir.path()).strangers, None);
    }

    proptest::proptest! {
        #[test]
        fn no_text_stops_the_reading(text in "([a-z =\\[\\]\"\n.~]|lists|sync|kinds|swarm|blacklist|true){0,30}") {
            let _ = parse(&text);
        }
    }
}
