//! [`Fault`]: why a conf, or a value in it, is not understood.

use std::fmt;
use std::path::PathBuf;

/// Why a conf, or one of its settings, is not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The included file with the fault; `None` for the conf itself.
    pub file: Option<PathBuf>,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
    /// Whether strfry refuses it too. Else strfry may understand what we do not.
    pub is_certain: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{} ", file.display())?;
        }
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// The line of a place in a text, from 1.
pub(super) fn line_of(text: &[u8], at: usize) -> usize {
    let before = text.get(..at.min(text.len())).unwrap_or_default();
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}
