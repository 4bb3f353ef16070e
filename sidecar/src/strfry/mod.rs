//! The strfry of this station as a subprocess: what its conf says ([`conf`]), what it
//! holds ([`scan`], [`local_ids`], [`newest`]), what it is given ([`import`]) and what it says of that
//! ([`output`]); and the relay that runs beside ([`process`]).
//!
//! Each of its commands runs with its own folder as working directory, since `db` in its
//! conf is relative to that.

pub(crate) mod conf;
pub(crate) mod import;
pub(crate) mod local_ids;
pub(crate) mod newest;
pub(crate) mod output;
pub(crate) mod plugin_line;
pub(crate) mod process;
pub(crate) mod scan;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// A strfry binary and the folder in which it runs.
#[derive(Debug, Clone)]
pub struct Strfry {
    binary: PathBuf,
    folder: PathBuf,
    patience: Duration,
}

impl Strfry {
    /// The strfry at `binary`, run in `folder`. A command that makes no progress for `patience`
    /// counts as hanging.
    pub const fn new(binary: PathBuf, folder: PathBuf, patience: Duration) -> Self {
        Self {
            binary,
            folder,
            patience,
        }
    }

    /// The path of the binary.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// The path of its conf.
    pub fn conf(&self) -> PathBuf {
        self.folder.join("strfry.conf")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        // Without this, strfry would prefer a conf in /etc.
        if self.conf().is_file() {
            command.arg("--config=./strfry.conf");
        }
        command
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C at a terminal is for us; strfry finishes what it was given.
            .process_group(0)
            .kill_on_drop(true);
        command
    }
}
