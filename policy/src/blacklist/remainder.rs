//! A list that was replaced, and what is still appended to it.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};

use crate::blacklist::held::{append, is_held, whole_lines};
use crate::blacklist::{Digested, beside, unless_missing};

/// For how long nobody may have been seen to hold a replaced list before it is deleted.
/// Who is about to open it by `>>` has done so by then; and of one whose descriptors this
/// user may not see, what he writes in that time is not lost.
const UNHELD_FOR: Duration = Duration::from_millis(200);

/// What a new list was made of. All but the digest stands in the name of the file that
/// lies beside the list: `.blacklist.txt.constellation-<old>-<new>-<written>-<copied>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Work {
    /// The inode of the old list.
    pub(super) old: u64,
    /// The inode of the new list.
    pub(super) new: u64,
    /// The length of the new list when it was written.
    pub(super) written: u64,
    /// How many bytes of the old list are in the new one.
    pub(super) copied: u64,
    /// The digest of these bytes.
    pub(super) digest: u64,
}

impl Work {
    pub(super) fn name(&self) -> String {
        let Self {
            old,
            new,
            written,
            copied,
            ..
        } = self;
        format!("{old}-{new}-{written}-{copied}")
    }

    pub(super) fn parse(name: &[u8]) -> Option<Self> {
        let mut numbers = std::str::from_utf8(name).ok()?.split('-').map(str::parse);
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

/// A list that was replaced, and that another program may still append to.
#[derive(Debug)]
pub struct Remainder {
    /// The list that took its place.
    list: PathBuf,
    /// Where it lies now.
    path: PathBuf,
    /// Locked, so that another of us does not take it over.
    file: File,
    /// Up to which byte its content is in the list.
    work: Work,
    /// From which byte to append after an attempt that failed half-way.
    again: Option<u64>,
    /// How many of its first bytes the digest is of.
    digested: u64,
    /// When it was last seen to be what was copied.
    verified: Option<SystemTime>,
    /// Since when nobody was seen to hold it open.
    unheld_since: Option<Instant>,
}

impl Remainder {
    /// Exchanges the new content, which lies at `new`, with the list. Whether that holds:
    /// where the list was no longer what was copied, it was put back. Either file may be
    /// left to be watched.
    ///
    /// # Errors
    /// Those of the exchange, and of taking it back; in the second case what is left
    /// beside the list is adopted by the next start.
    pub(super) fn exchange(
        list: &Path,
        new: &Path,
        old: File,
        work: Work,
    ) -> io::Result<(bool, Option<Self>)> {
        Self::exchange_by(exchange, list, new, old, work)
    }

    /// [`Self::exchange`] by this means, which a file system may not have.
    pub(super) fn exchange_by(
        means: impl Fn(&Path, &Path) -> io::Result<()>,
        list: &Path,
        new: &Path,
        old: File,
        work: Work,
    ) -> io::Result<(bool, Option<Self>)> {
        let mut remainder = Self {
            list: list.to_owned(),
            path: new.to_owned(),
            file: old,
            work,
            again: None,
            digested: work.copied,
            verified: None,
            unheld_since: None,
        };
        match remainder.take_the_place(means) {
            Ok(true) => {}
            not_taken => {
                let _ = fs::remove_file(&remainder.path);
                return not_taken.map(|_| (false, None));
            }
        }
        if remainder.is_what_was_copied() {
            return Ok((true, Some(remainder)));
        }
        undo(&remainder.list, &remainder.path, &remainder.work).map(|left| (false, left))
    }

    /// Watches a file beside the list, of which so many bytes are in the list; `None`
    /// where another of us does.
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
        let work = Work {
            old: metadata.ino(),
            // Nothing that could be put back.
            new: 0,
            written: 0,
            copied,
            digest: Digested::of_all(start.take(copied))?,
        };
        let named = beside(list, &work.name());
        fs::rename(path, &named)?;
        Ok(Some(Self {
            list: list.to_owned(),
            path: named,
            file,
            work,
            again: None,
            digested: copied,
            verified: None,
            unheld_since: None,
        }))
    }

    /// Whether the new content is the list now, which does not say what was the list.
    fn take_the_place(
        &mut self,
        exchange: impl Fn(&Path, &Path) -> io::Result<()>,
    ) -> io::Result<bool> {
        flock(&self.file, FlockOperation::NonBlockingLockExclusive)?;
        let named = beside(&self.list, &self.work.name());
        fs::rename(&self.path, &named)?;
        self.path = named;
        match exchange(&self.path, &self.list) {
            Err(error) if is_unsupported(&error) => {
                let same = fs::metadata(&self.list)?.ino() == self.work.old && self.is_intact()?;
                if same {
                    fs::rename(&self.path, &self.list)?;
                }
                Ok(same)
            }
            // Where the list was deleted meanwhile, there is nothing left to take out.
            exchanged => Ok(unless_missing(exchanged)?.is_some()),
        }
    }

    fn is_what_was_copied(&mut self) -> bool {
        let same = unless_missing(fs::metadata(&self.path)).is_ok_and(|taken_out| {
            // Missing where it was replaced without an exchange.
            taken_out.is_none_or(|taken_out| taken_out.ino() == self.work.old)
        });
        same && self.is_intact().unwrap_or(false)
    }

    /// Whether what was copied is still there, with or without something behind it.
    fn is_intact(&mut self) -> io::Result<bool> {
        let modified = self.file.metadata()?.modified()?;
        if self.verified == Some(modified) {
            return Ok(true);
        }
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        let intact = Digested::of_all(file.take(self.digested))? == self.work.digest;
        if intact {
            self.verified = Some(modified);
        }
        Ok(intact)
    }

    /// Whether something was appended that is not yet in the list.
    pub fn has_grown(&self) -> bool {
        self.file
            .metadata()
            .is_ok_and(|metadata| metadata.len() != self.work.copied)
    }

    /// Whether nobody was seen to hold it open when it was last looked at.
    pub fn is_let_go(&self) -> bool {
        self.unheld_since.is_some()
    }

    /// Brings what was appended to the old file into the list; `true` where nobody has held
    /// the old file for a while and it is gone.
    ///
    /// # Errors
    /// Those of reading, appending and deleting; the old file is then still there, and
    /// this can be called again.
    pub fn rescue(&mut self) -> io::Result<bool> {
        // Looked at before the copying: a program that let go of the file in between has
        // written all it will write.
        let looked = Instant::now();
        let held = is_held(&self.file);
        let until = match held {
            true => whole_lines(&self.file)?,
            false => self.file.metadata()?.len(),
        };
        if !self.is_intact()? {
            // Somebody had it open and wrote it anew. Better a line twice than none.
            self.work.copied = 0;
            self.again = Some(0);
            self.digested = 0;
            self.work.digest = Digested::of_all(io::empty())?;
        }
        // Less where half a line was copied and somebody reads the file now.
        if until > self.work.copied {
            let from = self.work.copied;
            append(&self.file, from, until, &self.list, &mut self.again)?;
            self.work.copied = until;
            let renamed = beside(&self.list, &self.work.name());
            if unless_missing(fs::rename(&self.path, &renamed))?.is_some() {
                self.path = renamed;
            }
        }
        if held {
            self.unheld_since = None;
            return Ok(false);
        }
        let since = *self.unheld_since.get_or_insert_with(Instant::now);
        let is_over = looked.saturating_duration_since(since) >= UNHELD_FOR;
        if is_over {
            unless_missing(fs::remove_file(&self.path))?;
        }
        Ok(is_over)
    }
}

/// Puts back what lies at `path`, where the new list stands in its place. The new list is
/// watched then: somebody may have opened it in the instant that it stood there.
pub(super) fn undo(list: &Path, path: &Path, work: &Work) -> io::Result<Option<Remainder>> {
    if let Some(new) = unless_missing(File::open(list))?
        && new.metadata()?.ino() == work.new
        && put_back(list, path, work.new)?
    {
        return Remainder::watch(list, path, new, work.written);
    }
    // The list was replaced or deleted once more, as what lies at `path` would have been.
    unless_missing(fs::remove_file(path))?;
    Ok(None)
}

/// Exchanges the list, which was seen to be the file `expected`, with what lies at `path`;
/// whether that is what came out. A `mv` in between can have put another file there: that
/// is the newest, and it is the list again afterwards. What is at `path` then was replaced
/// by it.
pub(super) fn put_back(list: &Path, path: &Path, expected: u64) -> io::Result<bool> {
    let mut held = expected;
    loop {
        let older = fs::symlink_metadata(path)?.ino();
        if unless_missing(exchange(path, list))?.is_none() {
            // Deleted meanwhile, as what lies at `path` would have been.
            return Ok(false);
        }
        if fs::symlink_metadata(path)?.ino() == held {
            return Ok(held == expected);
        }
        held = older;
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
