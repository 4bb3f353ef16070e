//! The questions that git is asked about `workspace/NIP-101`.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Why git failed.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// No git.
    #[error("git could not be started; install it: apt install git")]
    Missing(#[source] io::Error),
    /// It failed.
    #[error("git {0} failed in {1}: {2}")]
    Failed(String, PathBuf, String),
}

/// Runs git in a folder; what it prints.
///
/// # Errors
/// [`GitError`]
pub(crate) fn git(folder: &Path, arguments: &[&str]) -> Result<Vec<u8>, GitError> {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        // A hook of another repository may have started us.
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .output()
        .map_err(GitError::Missing)?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(GitError::Failed(
            arguments.join(" "),
            folder.to_owned(),
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ))
    }
}

/// The folder that holds a work tree's `config` and `info`, without links in it.
///
/// # Errors
/// [`GitError`]
pub(crate) fn git_folder(folder: &Path) -> Result<PathBuf, GitError> {
    use std::os::unix::ffi::OsStrExt;
    let printed = git(folder, &["rev-parse", "--git-common-dir"])?;
    let path = folder.join(OsStr::from_bytes(printed.trim_ascii_end()));
    Ok(path.canonicalize().unwrap_or(path))
}

/// The content of this file in HEAD; `None` if HEAD does not have it.
pub(crate) fn committed(folder: &Path, name: &str) -> Option<Vec<u8>> {
    git(folder, &["cat-file", "blob", &format!("HEAD:{name}")]).ok()
}
