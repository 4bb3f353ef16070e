//! What is left beside the list after a `kill -9`.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::blacklist::remainder::{Remainder, Work, undo};
use crate::blacklist::{lock_folder, prefix, unless_missing};

/// Takes over what processes that were killed left beside the list: new content that did
/// not take its place is deleted, a list that was replaced is a remainder to be watched.
/// `None` where another of us is at work, and it must be tried again.
///
/// # Errors
/// Those of reading the folder and of taking over; what failed is still there.
pub fn adopt(list: &Path) -> io::Result<Option<Vec<Remainder>>> {
    let mut remainders = Vec::new();
    let Ok(list) = fs::canonicalize(list) else {
        return Ok(Some(remainders));
    };
    let left = left_beside(&list)?;
    if left.is_empty() {
        return Ok(Some(remainders));
    }
    // Nobody of us is in the middle of a removal now: what looks so was killed.
    let Some(_alone) = lock_folder(&list)? else {
        return Ok(None);
    };
    let prefix = prefix(&list);
    for path in left_beside(&list)? {
        let Some(file) = unless_missing(File::open(&path))? else {
            continue;
        };
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let what = name.get(prefix.len()..).unwrap_or_default();
        let Some(work) = Work::parse(what) else {
            fs::remove_file(&path)?;
            continue;
        };
        let inode = file.metadata()?.ino();
        let remainder = if inode == work.old {
            Remainder::watch(&list, &path, file, work.copied)
        } else if inode == work.new {
            // Put back, or never exchanged.
            Remainder::watch(&list, &path, file, work.written)
        } else {
            undo(&list, &path, &work)
        };
        remainders.extend(remainder?);
    }
    Ok(Some(remainders))
}

fn left_beside(list: &Path) -> io::Result<Vec<PathBuf>> {
    let prefix = prefix(list);
    let mut left = Vec::new();
    for entry in fs::read_dir(list.parent().unwrap_or(Path::new("/")))? {
        let entry = entry?;
        let name = entry.file_name();
        if name
            .as_encoded_bytes()
            .starts_with(prefix.as_encoded_bytes())
        {
            left.push(entry.path());
        }
    }
    Ok(left)
}
