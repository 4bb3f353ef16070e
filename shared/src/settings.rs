//! `strfry/constellation.toml`: the settings of both programs.
//!
//! ```toml
//! [lists]
//! blacklist = "blacklist.txt"      # relative to the folder of this file
//! amis = ["amisOfAmis.txt"]
//! swarm = false                    # friends of other stations do not count
//!
//! [policy]                         # options of constellation-policy, by their long names
//! strangers = "filters"            # who is in no list may write only what a filter accepts
//!
//! [sync]                           # options of constellation-sync, by their long names
//! kinds = "uplanet,-4"             # or a list: ["uplanet", -4]
//! max-peers = 4
//! ```
//!
//! There are also `[report]`, `[notify]` and `[trigger]`; [`keys`] lists all of them. The command line
//! and the environment win over the file.
//!
//! The policy must not let in more than the file says, so a fault in the tables that it reads, or a text
//! that is not TOML, is a fault of the whole file: it then takes what the file said before, or, if it
//! has only just started, the strictest that the file may say. A faulty value in another table is passed
//! over alone.

pub mod entry;
pub mod keys;
mod mentioned;
mod nearest;
#[cfg(test)]
mod tests;
mod typed;
mod value;

use std::io::{self, Read};
use std::path::Path;

use toml::de::{DeTable, DeValue};

use crate::regular_file;
use crate::sanitize::for_terminal;
pub use entry::{Complaint, Entry};
use keys::{TABLES, Table, table_of};
pub use mentioned::Mentioned;
pub use typed::{LOG_LEVELS, ListSettings, PolicySettings, SyncSettings, grace, timeout};

use crate::verdict::Strangers;

/// The largest file that is read, in bytes.
const LARGEST: u64 = 256 * 1024;

/// Why the file is not understood.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file exists and cannot be read.
    #[error("it cannot be read: {0}")]
    Read(io::Error),
    /// The file is not TOML, or a table that the policy reads is faulty.
    #[error(transparent)]
    Faulty(#[from] Complaint),
}

/// The settings in a file.
#[derive(Debug, Default)]
pub struct Settings {
    /// The settings of the lists in its tables `[lists]` and `[policy]`; none if it is not understood.
    pub lists: ListSettings,
    /// The other settings of its table `[policy]`; none if it is not understood.
    pub policy: PolicySettings,
    /// The kinds in its table `[sync]`.
    pub sync: SyncSettings,
    /// Every known setting with a value of the right form, line by line.
    pub entries: Vec<Entry>,
    /// Whether there is a table `[sync]`, whatever it holds.
    pub has_sync: bool,
    /// Why it is not understood. Its other tables hold what is understood of them even so.
    pub fault: Option<SettingsError>,
    /// What it may say if it is not understood.
    pub mentioned: Mentioned,
    /// What is unknown or wrong in it, and is passed over.
    pub complaints: Vec<Complaint>,
}

impl Settings {
    /// Reads a file, in which paths are relative to its folder. A missing file has no settings.
    pub fn load(path: &Path) -> Self {
        let unreadable = |error: io::Error| Self {
            // Nobody keeps settings in a folder or a FIFO.
            mentioned: if error.kind() == io::ErrorKind::InvalidInput {
                Mentioned::default()
            } else {
                Mentioned::ANYTHING
            },
            fault: Some(SettingsError::Read(error)),
            ..Self::default()
        };
        let bytes = match read(path) {
            // Below a file there is none, either.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Self::default();
            }
            Err(error) => return unreadable(error),
            Ok(bytes) => bytes,
        };
        match std::str::from_utf8(&bytes) {
            Ok(text) => Self::parse(text, path.parent().unwrap_or(Path::new("/"))),
            Err(error) => Self {
                mentioned: Mentioned::in_text(&bytes),
                ..unreadable(io::Error::other(format!("it is not UTF-8: {error}")))
            },
        }
    }

    /// Parses a text, in which paths are relative to `folder`.
    pub fn parse(text: &str, folder: &Path) -> Self {
        let (parsed, errors) = DeTable::parse_recoverable(text);
        let mut reader = Reader {
            text,
            folder,
            settings: Self::default(),
            broken: Vec::new(),
        };
        for error in errors {
            let line = reader.line(error.span().map_or(0, |span| span.start));
            let what = for_terminal(&error.message().replace('\n', ", "), 300);
            reader.broken.push(line);
            reader.fault(Complaint { line, what });
        }
        for (name, value) in parsed.get_ref() {
            reader.table(name.get_ref(), name.span().start, value.get_ref());
        }
        reader.finish()
    }

    /// The settings of the lists: the strictest that the file may say if it is not understood.
    pub fn strictest_lists(&self) -> ListSettings {
        if self.fault.is_none() {
            return self.lists.clone();
        }
        ListSettings {
            blacklist: None,
            amis: None,
            swarm: Some(false),
            strangers: self.mentioned.strangers.then_some(Strangers::Filters),
        }
    }

    /// The setting of this name, if it stands in the file.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}

/// A text on its way to settings.
struct Reader<'a> {
    text: &'a str,
    folder: &'a Path,
    settings: Settings,
    /// The lines that are not TOML. What seems to stand in them is not taken.
    broken: Vec<usize>,
}

impl Reader<'_> {
    /// The number of the line at this position.
    fn line(&self, at: usize) -> usize {
        1 + memchr::memchr_iter(b'\n', self.text.as_bytes().get(..at).unwrap_or_default()).count()
    }

    fn complain(&mut self, line: usize, what: String) {
        self.settings.complaints.push(Complaint { line, what });
    }

    /// Notes a fault of the whole file. The first one in the file is reported as such.
    fn fault(&mut self, complaint: Complaint) {
        match &mut self.settings.fault {
            Some(SettingsError::Faulty(first)) if first.line <= complaint.line => {
                self.settings.complaints.push(complaint);
            }
            Some(SettingsError::Faulty(first)) => {
                let later = std::mem::replace(first, complaint);
                self.settings.complaints.push(later);
            }
            fault => *fault = Some(SettingsError::Faulty(complaint)),
        }
    }

    fn table(&mut self, name: &str, at: usize, value: &DeValue<'_>) {
        let line = self.line(at);
        let Some(table) = Table::named(name) else {
            let what = if value.as_table().is_some() {
                unknown_table(name)
            } else {
                outside(name)
            };
            return self.complain(line, what);
        };
        let Some(keys) = value.as_table() else {
            let what = format!("{name} is no table: write [{name}]");
            return self.wrong(table, line, what);
        };
        self.settings.has_sync |= name == "sync";
        let mut keys: Vec<_> = keys.iter().collect();
        keys.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in keys {
            let line = self.line(key.span().start);
            if !self.broken.contains(&line) {
                self.key(table, key.get_ref(), line, value.get_ref());
            }
        }
    }

    fn key(&mut self, table: &'static Table, name: &str, line: usize, value: &DeValue<'_>) {
        let Some(key) = table.key(name) else {
            return self.complain(line, misplaced(name, table));
        };
        let entry = value::words(key, value, self.folder).map(|words| Entry {
            table: table.name,
            name: key.name,
            line,
            words,
        });
        let taken = entry.and_then(|entry| {
            let settings = &mut self.settings;
            settings.lists.take(&entry)?;
            settings.policy.take(&entry)?;
            settings.sync.take(&entry)?;
            settings.entries.push(entry);
            Ok(())
        });
        if let Err(what) = taken {
            self.wrong(table, line, what);
        }
    }

    /// Notes a faulty value.
    fn wrong(&mut self, table: &Table, line: usize, what: String) {
        if table.is_strict {
            self.fault(Complaint { line, what });
        } else if what.contains("is passed over") {
            self.complain(line, what);
        } else {
            self.complain(line, format!("{what}, and is passed over"));
        }
    }

    fn finish(self) -> Settings {
        let mut settings = self.settings;
        settings.complaints.sort_by_key(|complaint| complaint.line);
        settings.entries.sort_by_key(|entry| entry.line);
        if settings.fault.is_some() {
            settings.mentioned = Mentioned::in_text(self.text.as_bytes());
            settings.lists = ListSettings::default();
            settings.policy = PolicySettings::default();
            settings
                .entries
                .retain(|entry| Table::named(entry.table).is_some_and(|table| !table.is_strict));
        }
        settings
    }
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

/// The complaint about an unknown table, with the nearest known one.
fn unknown_table(name: &str) -> String {
    let shown = for_terminal(name, 40);
    let near = TABLES
        .iter()
        .filter(|table| nearest::is_near(name, table.name))
        .min_by_key(|table| nearest::distance(name, table.name));
    match near {
        Some(near) => format!(
            "unknown table {shown}, which is passed over; did you mean [{}]?",
            near.name
        ),
        None => {
            let known = TABLES.map(|table| table.name).join(", ");
            format!("unknown table {shown}, which is passed over; known are {known}")
        }
    }
}

/// The complaint about a key before the first table.
fn outside(name: &str) -> String {
    let shown = for_terminal(name, 40);
    match keys::nearest(name, None) {
        Some((table, key)) if key.name == name => format!(
            "{shown} stands in no table, and is passed over: write it below [{}]",
            table.name
        ),
        Some((table, key)) => format!(
            "unknown key {shown}, which is passed over; did you mean {} below [{}]?",
            key.name, table.name
        ),
        None => format!("unknown key {shown}, which is passed over: each key stands below a table"),
    }
}

/// The complaint about a key that is not one of this table.
fn misplaced(name: &str, table: &Table) -> String {
    let shown = for_terminal(name, 40);
    if let Some(other) = table_of(name) {
        return format!(
            "{shown} is no key of [{}], and is passed over: write it below [{}]",
            table.name, other.name
        );
    }
    match keys::nearest(name, Some(table)) {
        Some((near, key)) if near.name == table.name => format!(
            "unknown key {shown}, which is passed over; did you mean {}?",
            key.name
        ),
        Some((near, key)) => format!(
            "unknown key {shown}, which is passed over; did you mean {} below [{}]?",
            key.name, near.name
        ),
        None => format!(
            "unknown key {shown}, which is passed over; `constellation-sync config` lists all keys"
        ),
    }
}
