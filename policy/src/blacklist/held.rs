//! Files that another program holds open: who does, what they appended.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process;

/// Appends the bytes `from..until` of a file to the list, in one write.
pub(super) fn append(file: &File, from: u64, until: u64, list: &Path) -> io::Result<()> {
    let missing = usize::try_from(until.saturating_sub(from)).map_err(io::Error::other)?;
    if missing == 0 {
        return Ok(());
    }
    let mut tail = vec![0; missing];
    file.read_exact_at(&mut tail, from)?;
    let mut list = OpenOptions::new().append(true).create(true).open(list)?;
    list.write_all(&tail)
}

/// The length of the file without half a line at its end.
pub(super) fn whole_lines(file: &File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut piece = [0; 4096];
    while end > 0 {
        let start = end.saturating_sub(piece.len() as u64);
        let length = usize::try_from(end - start).map_err(io::Error::other)?;
        let piece = piece.get_mut(..length).unwrap_or_default();
        file.read_exact_at(piece, start)?;
        if let Some(newline) = memchr::memrchr(b'\n', piece) {
            return Ok(start + newline as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Whether another process has the file open, as far as this user may see (`/proc`).
pub(crate) fn is_held(file: &File) -> bool {
    let Ok(wanted) = file.metadata() else {
        return false;
    };
    let ourselves = process::id().to_string();
    let Ok(processes) = fs::read_dir("/proc") else {
        return false;
    };
    let others = processes.flatten().filter(|entry| {
        let name = entry.file_name();
        let is_process = name
            .as_encoded_bytes()
            .first()
            .is_some_and(u8::is_ascii_digit);
        is_process && name != *ourselves
    });
    others
        .filter_map(|process| fs::read_dir(process.path().join("fd")).ok())
        .flat_map(Iterator::flatten)
        .filter_map(|descriptor| fs::metadata(descriptor.path()).ok())
        .any(|open| (open.dev(), open.ino()) == (wanted.dev(), wanted.ino()))
}
