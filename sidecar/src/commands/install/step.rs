//! [`Step`]: one step of a plan, with its description and its execution.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::commands::install::checkout;
use crate::support::atomic_file;

/// The mode of a script.
const EXECUTABLE: u32 = 0o755;

/// A step of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it is for, and how it is undone, in a few words.
    pub why: String,
    /// What is done.
    pub action: Action,
}

/// What a step does. What it finds has to be what the plan saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Writes a file whole; one that is there keeps its mode and owner.
    Write {
        /// The file; its folder is created if it is missing.
        path: PathBuf,
        /// What the file holds now; `None` if it does not exist.
        before: Option<Vec<u8>>,
        /// What it holds then.
        after: Vec<u8>,
        /// What kind of file it is.
        kind: Kind,
    },
    /// Removes a file.
    Remove {
        /// The file.
        path: PathBuf,
        /// What it holds now.
        before: Vec<u8>,
    },
    /// Removes a folder if it is empty.
    RemoveFolder(PathBuf),
    /// Runs git in a work tree.
    Git {
        /// The work tree.
        folder: PathBuf,
        /// git's arguments.
        arguments: Vec<String>,
    },
    /// Runs a program.
    Run {
        /// The program.
        program: PathBuf,
        /// Its arguments.
        arguments: Vec<String>,
    },
}

/// What kind of file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One that others read.
    Plain,
    /// One that others start: a new one can be.
    Script,
    /// One that others watch: it stays the same file.
    Watched,
}

/// Why a step was not done.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// It does not hold what the plan saw.
    #[error("{0} was changed by another program just now; nothing was done to it: try again")]
    Changed(PathBuf),
    /// A file cannot be read, written or removed.
    #[error("{0} cannot be changed; check who owns it and its folder")]
    File(PathBuf, #[source] io::Error),
    /// git failed.
    #[error(transparent)]
    Git(#[from] checkout::GitError),
    /// A program cannot be started, or failed.
    #[error("{0} failed: {1}")]
    Program(String, String),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.action {
            Action::Write { path, before, .. } => {
                let verb = before.as_ref().map_or("write", |_| "change");
                write!(f, "{verb} {}", path.display())?;
            }
            Action::Remove { path, .. } => write!(f, "remove {}", path.display())?,
            Action::RemoveFolder(path) => write!(f, "remove {}", path.display())?,
            Action::Git { folder, arguments } => {
                write!(f, "run git -C {} {}", folder.display(), arguments.join(" "))?;
            }
            Action::Run { program, arguments } => {
                write!(f, "run {} {}", program.display(), arguments.join(" "))?;
            }
        }
        if self.why.is_empty() {
            Ok(())
        } else {
            write!(f, ": {}", self.why)
        }
    }
}

impl Step {
    /// Does it.
    ///
    /// # Errors
    /// [`StepError`]; what it would have changed is then as it was.
    pub fn execute(&self) -> Result<(), StepError> {
        match &self.action {
            Action::Write {
                path,
                before,
                after,
                kind,
            } => {
                unchanged(path, before.as_deref())?;
                write(path, after, *kind).map_err(|error| StepError::File(path.clone(), error))
            }
            Action::Remove { path, before } => {
                unchanged(path, Some(before))?;
                fs::remove_file(path).map_err(|error| StepError::File(path.clone(), error))
            }
            Action::RemoveFolder(path) => match fs::remove_dir(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                // What others put there stays.
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
                removed => removed.map_err(|error| StepError::File(path.clone(), error)),
            },
            Action::Git { folder, arguments } => {
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                checkout::git(folder, &arguments)?;
                Ok(())
            }
            Action::Run { program, arguments } => run(program, arguments),
        }
    }
}

fn run(program: &Path, arguments: &[String]) -> Result<(), StepError> {
    let shown = format!("{} {}", program.display(), arguments.join(" "));
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| StepError::Program(shown.clone(), error.to_string()))?;
    if output.status.success() {
        Ok(())
    } else {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(StepError::Program(shown, said))
    }
}

fn unchanged(path: &Path, before: Option<&[u8]>) -> Result<(), StepError> {
    if read(path)?.as_deref() == before {
        Ok(())
    } else {
        Err(StepError::Changed(path.to_owned()))
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, StepError> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read
            .map(Some)
            .map_err(|error| StepError::File(path.to_owned(), error)),
    }
}

fn write(path: &Path, content: &[u8], kind: Kind) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let is_new = !path.exists();
    match kind {
        Kind::Watched if !is_new => return atomic_file::rewrite(path, content),
        _ => atomic_file::replace(path, content)?,
    }
    if is_new && kind == Kind::Script {
        fs::set_permissions(path, fs::Permissions::from_mode(EXECUTABLE))?;
    }
    Ok(())
}
