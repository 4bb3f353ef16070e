//! Removing a key's lines from `blacklist.txt` while other programs write to it.
//!
//! Those programs take no lock that we could share: at any moment they append with `>>`,
//! rewrite with `sort -o`, or replace with `mv`. So we write the new content to a file beside
//! the list and exchange the two in one step (`renameat2` with `RENAME_EXCHANGE`), which tells
//! us which file was the list until then. If it is not the file that we copied, or no longer
//! holds what we copied, another program was faster: we put it back and start again.
//! Otherwise a program may still have the old file open and append to it, so we keep it as a
//! [`ReplacedList`] and watch it until no program has it open. Whatever was appended goes to
//! the list.
//!
//! The name of the file beside the list records the exchange, so that after a `kill -9` at any
//! moment the next start can finish the work ([`recover`]).
//!
//! One gap remains, because no system call exchanges a file only if it is still the one that
//! was looked at. A list that is replaced in the microseconds between our last look and the
//! exchange disappears for that long, and a script that reads the list at that very moment to
//! write it back misses the lines that were new in it.
//!
//! On a file system that cannot exchange files (NFS, vfat) we replace the list with `rename`,
//! which leaves two gaps of microseconds: a `mv` between the look and the `rename` is undone,
//! and what is appended to the old file is lost if we are killed at that moment.

mod crash_recovery;
mod digest;
mod open_files;
mod replaced_list;
mod side_files;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use constellation_shared::Pubkey;
use constellation_shared::attributes::{self, AttributeError};
use constellation_shared::blacklist::Cuts;
use constellation_shared::regular_file;

pub use crate::blacklist::crash_recovery::recover;
use crate::blacklist::digest::DigestReader;
pub(crate) use crate::blacklist::open_files::{is_being_rewritten, sees_every_writer};
use crate::blacklist::open_files::{is_open_elsewhere, length_of_whole_lines};
pub use crate::blacklist::replaced_list::ReplacedList;
use crate::blacklist::replaced_list::{ExchangeRecord, Exchanged};
use crate::blacklist::side_files::{lock_folder, side_file, unless_missing};

/// How many bytes are read and written at once: 64 KiB.
const BUFFER_SIZE: usize = 65_536;

/// The largest list that is copied to remove a key, in bytes: four million keys. A larger one
/// is most likely a hole that a crash left; copying it would keep the thread that maintains
/// the lists busy for too long, and could fill the disk.
const LARGEST: u64 = 256 * 1024 * 1024;

/// How many times a removal is tried while other programs change the list.
const ATTEMPTS: u32 = 10;

/// Why no line was removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// The mode of the list allows nobody to write it.
    #[error("it is read-only")]
    ReadOnly,
    /// The list is larger than [`LARGEST`], and so hardly what its writer meant.
    #[error("it is larger than 256 MB")]
    TooLarge,
    /// A step of the removal failed.
    #[error("cannot {0}")]
    Step(&'static str, #[source] io::Error),
    /// The new file could not be given the owner or the permissions of the old one.
    #[error(transparent)]
    Attribute(#[from] AttributeError),
    /// Another process, perhaps one of ours, holds the lock of the list's folder.
    #[error("its folder is locked by another program")]
    Locked,
    /// Other programs changed the list during each attempt.
    #[error("other programs change it all the time")]
    Contended,
}

fn step(name: &'static str) -> impl FnOnce(io::Error) -> RemoveError {
    move |error| RemoveError::Step(name, error)
}

/// Removes `keys` from the list and returns from how many lines: a line that holds no other
/// key is removed whole, and from any other line only the text of these keys. Everything else
/// stays byte for byte as it was, and so do owner, mode, access list and extended attributes.
/// A missing list holds no key.
///
/// Files that must be watched from now on are added to `replaced`, even if the removal fails.
///
/// # Errors
/// [`RemoveError`]; the list is then as it was before.
pub fn remove(
    list: &Path,
    keys: &BTreeSet<Pubkey>,
    replaced: &mut Vec<ReplacedList>,
) -> Result<u64, RemoveError> {
    let found = unless_missing(fs::canonicalize(list)).map_err(step("find it"))?;
    let Some(list) = found else {
        return Ok(0);
    };
    // One removal at a time: strfry runs one plugin for its relay and one for each stream.
    let lock = lock_folder(&list).map_err(step("lock its folder"))?;
    let _lock = lock.ok_or(RemoveError::Locked)?;
    for _ in 0..ATTEMPTS {
        let Some(old) = unless_missing(regular_file::open(&list)).map_err(step("read it"))? else {
            return Ok(0);
        };
        let new = side_file(&list, "new");
        let (lines, record) = match write_without(&old, &new, keys) {
            Ok(Written::Whole { lines, record }) => (lines, record),
            Ok(Written::Nothing) => return Ok(0),
            Ok(Written::Outdated) => {
                let _ = fs::remove_file(&new);
                continue;
            }
            Err(error) => {
                let _ = fs::remove_file(&new);
                return Err(error);
            }
        };
        // A list that was replaced while we wrote must not disappear even for a moment: a
        // script that reads ours then would write back a list without its newest lines.
        if fs::metadata(&list).is_ok_and(|list| list.ino() != record.old) {
            let _ = fs::remove_file(&new);
            continue;
        }
        let exchanged = ReplacedList::exchange(&list, &new, old, record);
        let Exchanged { holds, watched } = exchanged.map_err(step("replace it"))?;
        replaced.extend(watched);
        if holds {
            return Ok(lines);
        }
    }
    Err(RemoveError::Contended)
}

/// The result of writing the new content.
enum Written {
    /// Nothing was written, as no line holds any of the keys.
    Nothing,
    /// What was written is of no use, as another program rewrote the old file meanwhile.
    Outdated,
    /// The new content is on the disk.
    Whole {
        /// From how many lines something was removed.
        lines: u64,
        /// What the exchange of the two files has to know.
        record: ExchangeRecord,
    },
}

/// Writes the content of the list without `keys` to the file `path`.
fn write_without(
    mut old: &File,
    path: &Path,
    keys: &BTreeSet<Pubkey>,
) -> Result<Written, RemoveError> {
    let metadata = old.metadata().map_err(step("read it"))?;
    if metadata.len() > LARGEST {
        return Err(RemoveError::TooLarge);
    }
    // An unfinished line whose writer is still at work is carried over later, when it is whole.
    let copied = if is_open_elsewhere(old) {
        length_of_whole_lines(old).map_err(step("read it"))?
    } else {
        metadata.len()
    };
    let mut reader = BufReader::with_capacity(BUFFER_SIZE, DigestReader::new(old.take(copied)));
    let cuts = Cuts::of(&mut reader, keys).map_err(step("read it"))?;
    if cuts.cuts.is_empty() {
        return Ok(Written::Nothing);
    }
    if metadata.mode() & 0o222 == 0 {
        return Err(RemoveError::ReadOnly);
    }
    let digest = reader.into_inner().digest();
    let write_it = "write beside it";
    // What has this name is left over, or not ours: a link would lead us to write into another
    // file, and a FIFO would keep us waiting.
    unless_missing(fs::remove_file(path)).map_err(step(write_it))?;
    let new = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(step(write_it))?;
    old.seek(SeekFrom::Start(0)).map_err(step("read it"))?;
    let mut reader = DigestReader::new(BufReader::with_capacity(BUFFER_SIZE, old.take(copied)));
    let mut writer = BufWriter::with_capacity(BUFFER_SIZE, &new);
    copy_without(&mut reader, &mut writer, &cuts).map_err(step("copy it"))?;
    writer.flush().map_err(step(write_it))?;
    drop(writer);
    if reader.digest() != digest {
        return Ok(Written::Outdated);
    }
    attributes::carry_over(old, &new)?;
    new.sync_all().map_err(step(write_it))?;
    let written = new.metadata().map_err(step(write_it))?;
    let record = ExchangeRecord {
        copied,
        digest,
        old: metadata.ino(),
        new: written.ino(),
        written: written.len(),
    };
    Ok(Written::Whole {
        lines: cuts.lines,
        record,
    })
}

/// Copies everything but the cuts.
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
