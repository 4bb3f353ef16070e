//! Files that other programs have open: which are, and what was appended to them.

#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::Path;
use std::process;

use rustix::fs::OFlags;

/// Appends the bytes `range` of a file to the list, in one write. If the list ends in an
/// unfinished line, the bytes start a new line, so that two keys are not joined into no key.
/// They do not if the unfinished line is the beginning of the very line that they continue.
///
/// `retry_from` is where to start instead after an attempt that failed. A part of it may be in
/// the list already (the disk was full), but a line twice is better than a lost line. Hand the
/// same variable to the next attempt.
///
/// # Errors
/// Fails if reading or writing fails.
pub(super) fn append(
    file: &File,
    range: Range<u64>,
    list: &Path,
    retry_from: &mut Option<u64>,
) -> io::Result<()> {
    let from = retry_from.unwrap_or(range.start);
    let until = range.end;
    if until <= from {
        return Ok(());
    }
    let mut list = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(list)?;
    // To open it this way does not wait, but what is written into it would be lost.
    if list.metadata()?.file_type().is_fifo() {
        return Err(io::Error::other("the list is a FIFO"));
    }
    let whole = length_of_whole_lines(&list)?;
    let unfinished = read(&list, whole..list.metadata()?.len())?;
    let begun = from.checked_sub(unfinished.len() as u64);
    let continues = match begun {
        Some(begun) if retry_from.is_none() => {
            let starts_line = begun == 0 || read(file, begun - 1..begun)? == b"\n";
            starts_line && read(file, begun..from)? == unfinished
        }
        _ => false,
    };
    let mut chunk = read(file, from..until)?;
    if !unfinished.is_empty() && !continues {
        chunk.insert(0, b'\n');
    }
    *retry_from = if continues { begun } else { Some(from) };
    list.write_all(&chunk)?;
    *retry_from = None;
    Ok(())
}

fn read(file: &File, range: Range<u64>) -> io::Result<Vec<u8>> {
    let length = range.end.saturating_sub(range.start);
    let length = usize::try_from(length).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes)
}

/// The length of the file without an unfinished line at its end.
///
/// # Errors
/// Fails if the file cannot be read.
pub(super) fn length_of_whole_lines(file: &File) -> io::Result<u64> {
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

/// Whether another process has the file open, as far as `/proc` shows it to this user.
pub(super) fn is_open_elsewhere(file: &File) -> bool {
    any_other_descriptor(file, |_| true)
}

/// Whether another process has the file open for rewriting and not just for appending, as far
/// as `/proc` shows it to this user.
pub(crate) fn is_being_rewritten(file: &File) -> bool {
    any_other_descriptor(file, |descriptor| {
        // The flags of /proc/PID/fd/N are in /proc/PID/fdinfo/N.
        let number = descriptor.file_name().unwrap_or_default();
        let process = descriptor.ancestors().nth(2).unwrap_or(descriptor);
        let info = fs::read_to_string(process.join("fdinfo").join(number)).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
        let flags = OFlags::from_bits_retain(flags.unwrap_or_default());
        flags.intersects(OFlags::RWMODE) && !flags.contains(OFlags::APPEND)
    })
}

/// The inode of the outermost process namespace (`PROC_PID_INIT_INO` of Linux).
const FIRST_NAMESPACE: u64 = 0xeffffffc;

/// The magic numbers of file systems on which programs on other machines may write: NFS, SMB in
/// three versions, FUSE, AFS, Ceph, 9p.
const SHARED_FILE_SYSTEMS: [u64; 8] = [
    0x6969,
    0x517b,
    0xff53_4d42,
    0xfe53_4d42,
    0x6573_5546,
    0x5346_414f,
    0x00c3_6400,
    0x0102_1997,
];

/// Whether we can see every process that may write a list: the processes of all users, inside and
/// outside of containers, with none on another machine. Only then does seeing no writer mean
/// that there is none.
pub(crate) fn sees_every_writer(list: &Path) -> bool {
    // The first process has all rights. If we may see what it has open, we may look at all
    // processes, and nothing hides them (`hidepid`, `ProtectProc=`).
    let sees_others = fs::read_dir("/proc/1/fd").is_ok();
    let namespace = fs::metadata("/proc/self/ns/pid");
    let outermost = namespace.is_ok_and(|namespace| namespace.ino() == FIRST_NAMESPACE);
    let folder = list.parent().unwrap_or(Path::new("."));
    let shared = rustix::fs::statfs(list)
        .or_else(|_| rustix::fs::statfs(folder))
        .map_or(true, |system| {
            let magic = u64::try_from(system.f_type).unwrap_or_default() & 0xffff_ffff;
            SHARED_FILE_SYSTEMS.contains(&magic)
        });
    sees_others && outermost && !shared
}

/// Whether another process has the file open with a descriptor, a path in `/proc`, that
/// `matches`.
fn any_other_descriptor(file: &File, matches: impl Fn(&Path) -> bool) -> bool {
    let Ok(wanted) = file.metadata() else {
        return false;
    };
    let Ok(processes) = fs::read_dir("/proc") else {
        return false;
    };
    let others = processes.flatten().filter(|entry| {
        let process = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        process.is_some_and(|process: u32| process != process::id())
    });
    others
        .filter_map(|process| fs::read_dir(process.path().join("fd")).ok())
        .flat_map(Iterator::flatten)
        .map(|descriptor| descriptor.path())
        .any(|path| {
            fs::metadata(&path).is_ok_and(|open| {
                (open.dev(), open.ino()) == (wanted.dev(), wanted.ino()) && matches(&path)
            })
        })
}
