//! What a process of ours left beside the list when it was killed.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use constellation_shared::regular_file;

use crate::blacklist::replaced_list::{ExchangeRecord, ReplacedList, undo};
use crate::blacklist::side_files::{lock_folder, side_files, suffix, unless_missing};

/// Takes over the files that killed processes left beside the list: deletes new content that
/// never became the list, and returns the lists that were replaced, to be watched. `None` if
/// another process of ours is at work, and it must be tried again.
///
/// # Errors
/// Fails if the folder cannot be read or a file cannot be taken over; such a file stays where
/// it is.
pub fn recover(list: &Path) -> io::Result<Option<Vec<ReplacedList>>> {
    let mut replaced = Vec::new();
    let Ok(list) = fs::canonicalize(list) else {
        return Ok(Some(replaced));
    };
    if side_files(&list)?.is_empty() {
        return Ok(Some(replaced));
    }
    // With the lock, no process of ours is in the middle of a removal: the files are left over.
    let Some(_lock) = lock_folder(&list)? else {
        return Ok(None);
    };
    for path in side_files(&list)? {
        let Some(file) = unless_missing(regular_file::open(&path))? else {
            continue;
        };
        let Some(record) = ExchangeRecord::parse(suffix(&list, &path)) else {
            fs::remove_file(&path)?;
            continue;
        };
        let inode = file.metadata()?.ino();
        let watched = if inode == record.old {
            ReplacedList::watch(&list, &path, file, record.copied)
        } else if inode == record.new {
            // It was put back, or the exchange never happened.
            ReplacedList::watch(&list, &path, file, record.written)
        } else {
            undo(&list, &path, &record)
        };
        replaced.extend(watched?);
    }
    Ok(Some(replaced))
}
