//! Taking a key's lines out of `blacklist.txt` while other programs write to it.
//!
//! No lock is shared with those programs: they append with `>>`, rewrite with `sort -o`
//! and replace with `mv` at any moment. So the new content is written beside the list and
//! the two are exchanged in one step (`renameat2`, `RENAME_EXCHANGE`), which shows which
//! file was taken out. Where that is not the file that was copied, or no longer what was
//! copied, somebody was faster: it is put back, and the work done again. Where it is, a
//! program may still hold it open and append to it; it is kept as a [`Remainder`] and
//! watched until nobody does, and whatever was appended goes to the list.
//!
//! The name of the file beside the list says what it is the work of, so that after a
//! `kill -9` at any moment the next start can go on with it ([`adopt`]).
//!
//! No system call exchanges only where a file is still the one that was looked at: a list
//! that is replaced in the microseconds between that look and the exchange gives way for as
//! long, and a script that reads it at just that moment to write it back misses what was new
//! in it.
//!
//! On a file system that cannot exchange (NFS, vfat) the list is replaced by `rename`, and
//! two gaps of microseconds stay: a `mv` between the look and the step is undone, and what
//! is appended to the old file is lost if we are killed at that moment.

mod held;
mod leftovers;
mod remainder;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::hash::Hasher;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use constellation_shared::Pubkey;
use constellation_shared::attributes::{self, AttributeError};
use constellation_shared::blacklist::Cuts;
use rustix::fs::{FlockOperation, flock};

pub(crate) use crate::blacklist::held::{is_being_rewritten, sees_every_writer};
use crate::blacklist::held::{is_held, whole_lines};
pub use crate::blacklist::leftovers::adopt;
pub use crate::blacklist::remainder::Remainder;
use crate::blacklist::remainder::Work;

/// How much is read and written at once, in bytes: 64 KiB.
const PIECE: usize = 65_536;

/// The largest list that is copied to take a key out, in bytes: four million keys. A larger
/// one, most likely a hole that a crash left, would keep the thread of the lists busy for
/// too long, and fill the disk.
const LARGEST: u64 = 256 * 1024 * 1024;

/// How often a list that others change at the same time is tried again.
const ATTEMPTS: u32 = 10;

/// Why no line was taken out.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// The list is marked as not to be written.
    #[error("it is read-only")]
    ReadOnly,
    /// The list is larger than any that somebody means.
    #[error("it is larger than 256 MB")]
    TooLarge,
    /// One of the steps failed.
    #[error("cannot {0}")]
    Step(&'static str, #[source] io::Error),
    /// The new content cannot be given to those who may read and write the old.
    #[error(transparent)]
    Attribute(#[from] AttributeError),
    /// Another of us, or another program, is at work in its folder.
    #[error("its folder is locked by another program")]
    Locked,
    /// Other programs changed the list each time.
    #[error("other programs change it all the time")]
    Contended,
}

fn step(name: &'static str) -> impl FnOnce(io::Error) -> RemoveError {
    move |error| RemoveError::Step(name, error)
}

/// Takes `keys` out of the list: lines that hold no other key, and of lines that do, the
/// text of these keys alone. All else stays byte for byte as it was, and so do owner, mode,
/// access list and extended attributes. How many lines that were; a missing list has none. Files that must be watched from now on are added to `remainders`, also
/// where it fails.
///
/// # Errors
/// [`RemoveError`]; the list is then as it was before.
pub fn remove(
    list: &Path,
    keys: &BTreeSet<Pubkey>,
    remainders: &mut Vec<Remainder>,
) -> Result<u64, RemoveError> {
    let found = unless_missing(fs::canonicalize(list)).map_err(step("find it"))?;
    let Some(list) = found else {
        return Ok(0);
    };
    // One remover at a time: strfry runs a plugin for its relay and one for each stream.
    let locked = lock_folder(&list).map_err(step("lock its folder"))?;
    let _alone = locked.ok_or(RemoveError::Locked)?;
    for _ in 0..ATTEMPTS {
        let Some(old) = unless_missing(File::open(&list)).map_err(step("read it"))? else {
            return Ok(0);
        };
        let beside = beside(&list, "new");
        let (lines, work) = match write_without(&old, &beside, keys) {
            Ok(Written::Whole { lines, work }) => (lines, work),
            Ok(Written::Nothing) => return Ok(0),
            Ok(Written::Outdated) => {
                let _ = fs::remove_file(&beside);
                continue;
            }
            Err(error) => {
                let _ = fs::remove_file(&beside);
                return Err(error);
            }
        };
        // One that was replaced while we wrote must not give way even for a moment: a script
        // that reads the list then writes back one without its newest lines.
        if fs::metadata(&list).is_ok_and(|list| list.ino() != work.old) {
            let _ = fs::remove_file(&beside);
            continue;
        }
        let exchanged = Remainder::exchange(&list, &beside, old, work);
        let (taken, remainder) = exchanged.map_err(step("replace it"))?;
        remainders.extend(remainder);
        if taken {
            return Ok(lines);
        }
    }
    Err(RemoveError::Contended)
}

/// What was done to a file, or `None` where that is missing.
fn unless_missing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// Nobody else of us removes from a list in this folder while the file is open; `None`
/// where somebody does now. It is not waited for: anybody may hold such a lock for ever.
fn lock_folder(list: &Path) -> io::Result<Option<File>> {
    let folder = File::open(list.parent().unwrap_or(Path::new("/")))?;
    match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        locked => Ok(locked.map(|()| Some(folder))?),
    }
}

/// What the names of our files beside the list begin with: `.blacklist.txt.constellation-`.
fn prefix(list: &Path) -> OsString {
    let mut name = OsStr::new(".").to_owned();
    name.push(list.file_name().unwrap_or_default());
    name.push(".constellation-");
    name
}

fn beside(list: &Path, what: &str) -> PathBuf {
    let mut name = prefix(list);
    name.push(what);
    list.with_file_name(name)
}

/// What came of writing the new content.
enum Written {
    /// No line holds one of the keys; nothing was written.
    Nothing,
    /// The old file was rewritten at the same time.
    Outdated,
    /// The new content is on the disk.
    Whole {
        /// From how many lines something was left out.
        lines: u64,
        work: Work,
    },
}

/// Writes the new content to `path`.
fn write_without(
    mut old: &File,
    path: &Path,
    keys: &BTreeSet<Pubkey>,
) -> Result<Written, RemoveError> {
    let metadata = old.metadata().map_err(step("read it"))?;
    if metadata.len() > LARGEST {
        return Err(RemoveError::TooLarge);
    }
    // Half a line whose writer is still at work is left for the remainder.
    let copied = match is_held(old) {
        true => whole_lines(old).map_err(step("read it"))?,
        false => metadata.len(),
    };
    let mut reader = BufReader::with_capacity(PIECE, Digested::new(old.take(copied)));
    let cuts = Cuts::of(&mut reader, keys).map_err(step("read it"))?;
    if cuts.cuts.is_empty() {
        return Ok(Written::Nothing);
    }
    if metadata.mode() & 0o222 == 0 {
        return Err(RemoveError::ReadOnly);
    }
    let digest = reader.into_inner().digest.finish();
    let write_it = "write beside it";
    let new = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(step(write_it))?;
    old.seek(SeekFrom::Start(0)).map_err(step("read it"))?;
    let mut reader = Digested::new(BufReader::with_capacity(PIECE, old.take(copied)));
    let mut writer = BufWriter::with_capacity(PIECE, &new);
    copy_without(&mut reader, &mut writer, &cuts).map_err(step("copy it"))?;
    writer.flush().map_err(step(write_it))?;
    drop(writer);
    if reader.digest.finish() != digest {
        return Ok(Written::Outdated);
    }
    attributes::carry_over(old, &new)?;
    new.sync_all().map_err(step(write_it))?;
    let written = new.metadata().map_err(step(write_it))?;
    let work = Work {
        copied,
        digest,
        old: metadata.ino(),
        new: written.ino(),
        written: written.len(),
    };
    Ok(Written::Whole {
        lines: cuts.lines,
        work,
    })
}

/// A reader that remembers, in 64 bits, what was read.
struct Digested<R> {
    reader: R,
    digest: std::hash::DefaultHasher,
}

impl<R: Read> Digested<R> {
    fn new(reader: R) -> Self {
        Self {
            reader,
            digest: std::hash::DefaultHasher::new(),
        }
    }

    /// The digest of all that is left.
    fn of_all(reader: R) -> io::Result<u64> {
        let mut digested = Self::new(reader);
        io::copy(&mut digested, &mut io::sink())?;
        Ok(digested.digest.finish())
    }
}

impl<R: Read> Read for Digested<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        self.digest.write(buffer.get(..length).unwrap_or_default());
        Ok(length)
    }
}

/// Copies all but what is cut.
fn copy_without(reader: &mut impl Read, writer: &mut impl Write, cuts: &Cuts) -> io::Result<()> {
    let mut at = 0;
    for cut in &cuts.cuts {
        let before = cut.place.start.saturating_sub(at);
        let length = cut.place.end.saturating_sub(cut.place.start);
        io::copy(&mut reader.by_ref().take(before), writer)?;
        io::copy(&mut reader.by_ref().take(length), &mut io::sink())?;
        if cut.leaves_blank {
            writer.write_all(b" ")?;
        }
        at = cut.place.end;
    }
    io::copy(reader, writer)?;
    Ok(())
}
