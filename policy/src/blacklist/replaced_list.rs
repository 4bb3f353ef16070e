//! A list that was replaced, and to which other programs may still append.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use constellation_shared::regular_file;
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};

use crate::blacklist::digest::digest_of;
use crate::blacklist::open_files::{append, is_open_elsewhere, length_of_whole_lines};
use crate::blacklist::side_files::{side_file, unless_missing};

/// How long no program may have had a replaced list open before it is deleted. A program that
/// was about to open it with `>>` has done so by then. This user may not see the open files of
/// other users; whatever they append within this time is not lost either.
const CLOSED_FOR: Duration = Duration::from_millis(200);

/// How a new list came to be. Everything but the digest is written in the name of the file
/// beside the list: `.blacklist.txt.constellation-<old>-<new>-<written>-<copied>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ExchangeRecord {
    /// The inode of the old list.
    pub(super) old: u64,
    /// The inode of the new list.
    pub(super) new: u64,
    /// The length of the new list when it was written, in bytes.
    pub(super) written: u64,
    /// How many bytes of the old list went into the new one.
    pub(super) copied: u64,
    /// The digest of those bytes.
    pub(super) digest: u64,
}

impl ExchangeRecord {
    /// The end of the name of the file beside the list.
    pub(super) fn suffix(&self) -> String {
        let Self {
            old,
            new,
            written,
            copied,
            ..
        } = self;
        format!("{old}-{new}-{written}-{copied}")
    }

    /// Reads the end of a file's name; the digest is then 0.
    pub(super) fn parse(suffix: &[u8]) -> Option<Self> {
        let mut numbers = std::str::from_utf8(suffix).ok()?.split('-').map(str::parse);
        let mut number = || numbers.next()?.ok();
        Some(Self {
            old: number()?,
            new: number()?,
            written: number()?,
            copied: number()?,
            digest: 0,
        })
    }
}

/// A list that was replaced, and to which another program may still append.
#[derive(Debug)]
pub struct ReplacedList {
    /// The list that took its place.
    list: PathBuf,
    /// Where the replaced list is now.
    path: PathBuf,
    /// Locked, so that no other process of ours takes it over.
    file: File,
    record: ExchangeRecord,
    /// Where to start appending after an attempt that failed half-way.
    retry_from: Option<u64>,
    /// The digest of the record covers this many bytes from the start.
    digested: u64,
    /// The time of the last change after which those bytes were found to be intact.
    verified: Option<SystemTime>,
    /// Since when no program was seen to have it open.
    closed_since: Option<Instant>,
}

/// The result of exchanging the list with its new content.
#[derive(Debug)]
pub(super) struct Exchanged {
    /// Whether the new content is the list now. If not, the list was no longer what had been
    /// copied, and it was put back.
    pub(super) holds: bool,
    /// The one of the two files that lost its place, if it must be watched.
    pub(super) watched: Option<ReplacedList>,
}

impl ReplacedList {
    /// Exchanges the list with its new content, the file `new`.
    ///
    /// # Errors
    /// Fails if the exchange fails, or if it had to be undone and that failed. In the second
    /// case the next start takes over the file that is left beside the list.
    pub(super) fn exchange(
        list: &Path,
        new: &Path,
        old: File,
        record: ExchangeRecord,
    ) -> io::Result<Exchanged> {
        Self::exchange_with(exchange, list, new, old, record)
    }

    /// Like [`Self::exchange`], with `exchange` for the system call, which not every file
    /// system has.
    pub(super) fn exchange_with(
        exchange: impl Fn(&Path, &Path) -> io::Result<()>,
        list: &Path,
        new: &Path,
        old: File,
        record: ExchangeRecord,
    ) -> io::Result<Exchanged> {
        let mut replaced = Self {
            list: list.to_owned(),
            path: new.to_owned(),
            file: old,
            record,
            retry_from: None,
            digested: record.copied,
            verified: None,
            closed_since: None,
        };
        let installed = replaced.install_new(exchange);
        if !matches!(installed, Ok(true)) {
            let _ = fs::remove_file(&replaced.path);
            return installed.map(|_| Exchanged {
                holds: false,
                watched: None,
            });
        }
        if replaced.is_what_was_copied() {
            return Ok(Exchanged {
                holds: true,
                watched: Some(replaced),
            });
        }
        let watched = undo(&replaced.list, &replaced.path, &replaced.record)?;
        Ok(Exchanged {
            holds: false,
            watched,
        })
    }

    /// Watches a file beside the list whose first `copied` bytes are in the list. `None` if
    /// another process of ours watches it.
    ///
    /// # Errors
    /// Fails if the file cannot be locked, read or renamed.
    pub(super) fn watch(
        list: &Path,
        path: &Path,
        file: File,
        copied: u64,
    ) -> io::Result<Option<Self>> {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            locked => locked?,
        }
        let metadata = file.metadata()?;
        let copied = copied.min(metadata.len());
        let mut start = &file;
        start.seek(SeekFrom::Start(0))?;
        let record = ExchangeRecord {
            old: metadata.ino(),
            // There is no exchange that could be undone.
            new: 0,
            written: 0,
            copied,
            digest: digest_of(start.take(copied))?,
        };
        let renamed = side_file(list, &record.suffix());
        fs::rename(path, &renamed)?;
        Ok(Some(Self {
            list: list.to_owned(),
            path: renamed,
            file,
            record,
            retry_from: None,
            digested: copied,
            verified: None,
            closed_since: None,
        }))
    }

    /// Makes the new content the list and returns whether it is now. Whether what it replaced
    /// is the file that was copied must still be checked.
    fn install_new(
        &mut self,
        exchange: impl Fn(&Path, &Path) -> io::Result<()>,
    ) -> io::Result<bool> {
        flock(&self.file, FlockOperation::NonBlockingLockExclusive)?;
        let renamed = side_file(&self.list, &self.record.suffix());
        fs::rename(&self.path, &renamed)?;
        self.path = renamed;
        match exchange(&self.path, &self.list) {
            Err(error) if is_unsupported(&error) => {
                let same =
                    fs::metadata(&self.list)?.ino() == self.record.old && self.is_intact()?;
                if same {
                    fs::rename(&self.path, &self.list)?;
                }
                Ok(same)
            }
            // If the list was deleted meanwhile, there is nothing left to remove from.
            exchanged => Ok(unless_missing(exchanged)?.is_some()),
        }
    }

    fn is_what_was_copied(&mut self) -> bool {
        let same = unless_missing(fs::metadata(&self.path)).is_ok_and(|replaced| {
            // Missing if the list was replaced with `rename`, without an exchange.
            replaced.is_none_or(|replaced| replaced.ino() == self.record.old)
        });
        same && self.is_intact().unwrap_or(false)
    }

    /// Whether the bytes that were copied are unchanged; more may follow them.
    fn is_intact(&mut self) -> io::Result<bool> {
        let modified = self.file.metadata()?.modified()?;
        if self.verified == Some(modified) {
            return Ok(true);
        }
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        let intact = digest_of(file.take(self.digested))? == self.record.digest;
        if intact {
            self.verified = Some(modified);
        }
        Ok(intact)
    }

    /// Whether something was appended that is not yet in the list.
    pub fn has_grown(&self) -> bool {
        self.file
            .metadata()
            .is_ok_and(|metadata| metadata.len() != self.record.copied)
    }

    /// Whether no program was seen to have it open at the last look.
    pub fn is_closed(&self) -> bool {
        self.closed_since.is_some()
    }

    /// Appends to the list what was appended to this file. Returns whether the file is done
    /// with: no program has had it open for a while, and it was deleted.
    ///
    /// # Errors
    /// Fails if reading, appending or deleting fails. The file is then still there, and this
    /// can be called again.
    pub fn rescue(&mut self) -> io::Result<bool> {
        // Look before copying: a program that closes the file in between has already written
        // all that it will write.
        let looked = Instant::now();
        let is_open = is_open_elsewhere(&self.file);
        let until = if is_open {
            length_of_whole_lines(&self.file)?
        } else {
            self.file.metadata()?.len()
        };
        if !self.is_intact()? {
            // A program had it open and rewrote it. A line twice is better than a lost line.
            self.record.copied = 0;
            self.retry_from = Some(0);
            self.digested = 0;
            self.record.digest = digest_of(io::empty())?;
        }
        // It is less if an unfinished line was copied and a program reads the file now.
        if until > self.record.copied {
            let from = self.record.copied;
            append(&self.file, from..until, &self.list, &mut self.retry_from)?;
            self.record.copied = until;
            let renamed = side_file(&self.list, &self.record.suffix());
            if unless_missing(fs::rename(&self.path, &renamed))?.is_some() {
                self.path = renamed;
            }
        }
        if is_open {
            self.closed_since = None;
            return Ok(false);
        }
        let since = *self.closed_since.get_or_insert_with(Instant::now);
        let is_done = looked.saturating_duration_since(since) >= CLOSED_FOR;
        if is_done {
            unless_missing(fs::remove_file(&self.path))?;
        }
        Ok(is_done)
    }
}

/// Puts the file at `path` back as the list, if the new content of this exchange is the list
/// now. The new content is then returned to be watched: a program may have opened it while it
/// was the list.
///
/// # Errors
/// Fails if one of the files cannot be opened, exchanged, watched or deleted.
pub(super) fn undo(
    list: &Path,
    path: &Path,
    record: &ExchangeRecord,
) -> io::Result<Option<ReplacedList>> {
    if let Some(new) = unless_missing(regular_file::open(list))?
        && new.metadata()?.ino() == record.new
        && put_back(list, path, record.new)?
    {
        return ReplacedList::watch(list, path, new, record.written);
    }
    // The list was replaced or deleted once more, which would have hit the file at `path`.
    unless_missing(fs::remove_file(path))?;
    Ok(None)
}

/// Exchanges the list, last seen to be the file with inode `expected`, with the file at `path`.
/// Returns whether the file with that inode was replaced. If a `mv` put another file there in
/// between, that is the newest list: it becomes the list again, and `path` holds a list that it
/// replaced.
///
/// # Errors
/// Fails if the files cannot be looked at or exchanged.
pub(super) fn put_back(list: &Path, path: &Path, expected: u64) -> io::Result<bool> {
    let mut current = expected;
    loop {
        let older = fs::symlink_metadata(path)?.ino();
        if unless_missing(exchange(path, list))?.is_none() {
            // The list was deleted meanwhile, which would have hit the file at `path`.
            return Ok(false);
        }
        if fs::symlink_metadata(path)?.ino() == current {
            return Ok(current == expected);
        }
        current = older;
    }
}

fn is_unsupported(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
    )
}

pub(super) fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    Ok(renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)?)
}
