//! What stands in the file: entries, and what is wrong with a line.

use std::ffi::OsString;
use std::fmt;

/// A setting in the file, with its value as the words of a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name of its table.
    pub table: &'static str,
    /// The name of its key.
    pub name: &'static str,
    /// The number of its line, from 1.
    pub line: usize,
    /// Its value: one word, or one for each element of a list.
    pub words: Vec<OsString>,
}

impl Entry {
    /// Its first word, if that is UTF-8.
    pub fn text(&self) -> Option<&str> {
        self.words.first()?.to_str()
    }

    /// Its value, if it is `true` or `false`.
    pub fn flag(&self) -> Option<bool> {
        self.text()?.parse().ok()
    }
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
