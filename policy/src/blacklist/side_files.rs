//! The files that we put beside the list while we change it, and the lock that keeps two of
//! us from doing that at the same time.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// What the names of our files beside the list begin with: `.blacklist.txt.constellation-`.
fn prefix(list: &Path) -> OsString {
    let mut name = OsStr::new(".").to_owned();
    name.push(list.file_name().unwrap_or_default());
    name.push(".constellation-");
    name
}

/// The path of our file beside the list whose name ends in `suffix`.
pub(super) fn side_file(list: &Path, suffix: &str) -> PathBuf {
    let mut name = prefix(list);
    name.push(suffix);
    list.with_file_name(name)
}

/// The part of a side file's name that tells it from the other side files of the list.
pub(super) fn suffix<'a>(list: &Path, side_file: &'a Path) -> &'a [u8] {
    let name = side_file.file_name().unwrap_or_default().as_encoded_bytes();
    name.get(prefix(list).len()..).unwrap_or_default()
}

/// All our files beside the list. A FIFO, link or folder with such a name is not ours.
///
/// # Errors
/// Fails if the list's folder cannot be read.
pub(super) fn side_files(list: &Path) -> io::Result<Vec<PathBuf>> {
    let prefix = prefix(list);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder(list))? {
        let entry = entry?;
        let name = entry.file_name();
        if name
            .as_encoded_bytes()
            .starts_with(prefix.as_encoded_bytes())
            && entry.file_type().is_ok_and(|kind| kind.is_file())
        {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Locks the list's folder against our other processes until the returned file is closed, or
/// returns `None` if it is locked already. It does not wait: another program may hold such a
/// lock forever.
///
/// # Errors
/// Fails if the folder cannot be opened or locked.
pub(super) fn lock_folder(list: &Path) -> io::Result<Option<File>> {
    let folder = File::open(folder(list))?;
    match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        locked => Ok(locked.map(|()| Some(folder))?),
    }
}

fn folder(list: &Path) -> &Path {
    list.parent().unwrap_or(Path::new("/"))
}

/// Turns the error about a missing file into `None`.
pub(super) fn unless_missing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}
