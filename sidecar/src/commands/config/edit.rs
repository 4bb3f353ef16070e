//! Opening the settings file in an editor.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::commands::config::template;
use crate::support::atomic_file;

/// The editors that are tried if neither variable names one.
const EDITORS: [&str; 3] = ["sensible-editor", "nano", "vi"];

/// Opens the file in the captain's editor and waits for its end. A missing file is created with a
/// commented default.
///
/// # Errors
/// If the file cannot be created, no editor can be started, or it fails.
pub(super) fn open(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path).is_err() {
        atomic_file::replace(path, template::text().as_bytes())?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o644))?;
    }
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(io::Error::other("it is no file"));
    }
    let editor = editor().ok_or_else(|| {
        let words = "no editor was found: set EDITOR, such as EDITOR=nano";
        io::Error::new(io::ErrorKind::NotFound, words)
    })?;
    // As git does: the variable may hold arguments, and the path may hold anything.
    let mut script = editor;
    script.push(" \"$@\"");
    let status = Command::new("sh")
        .arg("-c")
        .arg(script)
        .arg("editor")
        .arg(path)
        .stdin(Stdio::inherit())
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("the editor failed ({status})")))
    }
}

/// The command of the editor.
fn editor() -> Option<OsString> {
    let named = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &&str| env::split_paths(&path).any(|folder| folder.join(name).is_file());
    named("VISUAL")
        .or_else(|| named("EDITOR"))
        .or_else(|| EDITORS.into_iter().find(is_there).map(OsString::from))
}
