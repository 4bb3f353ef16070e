//! [`Record`]: what an install changed, so that it can be undone
//! (`strfry/constellation-install.json`).
//!
//! It is written before anything is changed, and removed after everything is undone. So a run that
//! is killed in between can be repeated, and undone.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::commands::install::rule::RelayRule;
use crate::strfry::conf::edit::Edit;

/// The layout of the file.
const VERSION: u32 = 1;

/// What an install changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    version: u32,
    /// What the relay accepts since then, as it did before. Missing in the records of earlier
    /// versions, and if the policy takes no plugin's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rule: Option<RelayRule>,
    /// In the order in which they were made.
    pub changes: Vec<Change>,
}

/// A change, and what is needed to undo it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "change")]
pub enum Change {
    /// Lines at the end of a file of git's.
    Lines {
        /// The file.
        path: PathBuf,
        /// The lines, with a line break before them if the file did not end with one.
        lines: String,
        /// There was no such file.
        created: bool,
    },
    /// The settings file, which was not there.
    Settings {
        /// The file.
        path: PathBuf,
        /// What was written.
        content: String,
    },
    /// A script in the place of the station's.
    Script {
        /// Its path in `workspace/NIP-101`.
        name: String,
        /// What was there.
        before: Before,
    },
    /// The plugin line of `strfry.conf`.
    Conf {
        /// The file.
        path: PathBuf,
        /// What was edited.
        edit: Edit,
    },
}

/// What was in a script's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Before {
    /// What git has.
    Git,
    /// Something else, kept in the folder of the install.
    Kept,
    /// Nothing.
    Nothing,
}

impl Record {
    /// A record of these changes.
    pub const fn new(changes: Vec<Change>, rule: Option<RelayRule>) -> Self {
        Self {
            version: VERSION,
            rule,
            changes,
        }
    }

    /// What the relay accepts since the install.
    pub const fn rule(&self) -> Option<&RelayRule> {
        self.rule.as_ref()
    }

    /// Reads a record; `None` if the text is not one, or is of another version.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let record: Self = serde_json::from_slice(bytes).ok()?;
        (record.version == VERSION).then_some(record)
    }

    /// The record as it is written to its file.
    ///
    /// # Errors
    /// If a path is not UTF-8.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        Ok(json)
    }

    /// What was in this script's place before.
    pub fn before(&self, script: &str) -> Option<Before> {
        self.changes.iter().find_map(|change| match change {
            Change::Script { name, before } if name == script => Some(*before),
            _ => None,
        })
    }

    /// The lines that were added to this file.
    pub fn lines(&self, file: &std::path::Path) -> Option<(&str, bool)> {
        self.changes.iter().find_map(|change| match change {
            Change::Lines {
                path,
                lines,
                created,
            } if path == file => Some((lines.as_str(), *created)),
            _ => None,
        })
    }

    /// What was written into this settings file.
    pub fn settings(&self, file: &std::path::Path) -> Option<&str> {
        self.changes.iter().find_map(|change| match change {
            Change::Settings { path, content } if path == file => Some(content.as_str()),
            _ => None,
        })
    }

    /// The edit of `strfry.conf`.
    pub fn conf(&self) -> Option<&Edit> {
        self.changes.iter().find_map(|change| match change {
            Change::Conf { edit, .. } => Some(edit),
            _ => None,
        })
    }
}
