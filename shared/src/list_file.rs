//! Finds the web-of-trust lists on disk and opens them safely.
//!
//! The station's own lists are trusted. Those below `tmp/swarm` may have been written by anybody:
//! they may be a device, a FIFO, a link to somewhere else, or larger than the machine.

use std::collections::BinaryHeap;
use std::fs::{self, DirEntry, File, Metadata};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::blacklist;
use crate::key::Pubkey;
use crate::regular_file;
use crate::sparse::SparseReader;
use crate::station::Station;
use crate::wot::{self, Allowance, Faults};

/// The largest list of another station that is read, in bytes: a million keys.
pub const FOREIGN_LIMIT: u64 = 66_000_000;

/// The largest `HEX` or `HEX_CAPTAIN` of another station that is read, in bytes. It holds one key,
/// rarely a few.
pub const FOREIGN_KEYS_LIMIT: u64 = 64 * 1024;

/// How much of another station's list is read: three times the length of a key's line for each
/// key, and 256 KiB for everything else.
pub const FOREIGN_ALLOWANCE: Allowance = Allowance {
    base: 256 * 1024,
    per_key: 200,
};

/// How many other stations are looked at, at most. No constellation is nearly this large.
pub const MOST_STATIONS: usize = 20_000;

/// How many bytes of a list are read at once.
const READ_SIZE: usize = 64 * 1024;

/// The path of a list, which need not exist, and how it is read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListFile {
    path: PathBuf,
    kind: Kind,
}

/// Who writes a list, and how it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    /// The station writes the list, and a key that is missed would let its author in.
    Blacklist,
    /// The station writes the list.
    Own,
    /// Anybody may have written the list.
    Foreign,
    /// Anybody may have written the list, which should hold a key or two.
    ForeignKeys,
}

impl Kind {
    /// The largest file of this kind that is read, in bytes, and what is said of a larger one.
    /// `None` if there is no limit, as the station itself writes the file.
    const fn limit(self) -> Option<(u64, &'static str)> {
        match self {
            Self::Blacklist | Self::Own => None,
            Self::Foreign => Some((
                FOREIGN_LIMIT,
                "larger than 66 MB, the most that is read of another station",
            )),
            Self::ForeignKeys => Some((
                FOREIGN_KEYS_LIMIT,
                "larger than 64 KiB, the most that is read of another station's keys",
            )),
        }
    }
}

/// Tells two states of a file apart without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    device: u64,
    inode: u64,
    length: u64,
    modified: FileTime,
    changed: FileTime,
}

/// A time by the clock of a file system, since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileTime {
    /// The whole seconds, negative before 1970.
    pub seconds: i64,
    /// The nanoseconds on top of the seconds. They are 0 on a file system that counts seconds only.
    pub nanoseconds: i64,
}

impl From<&Metadata> for Signature {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: FileTime {
                seconds: metadata.mtime(),
                nanoseconds: metadata.mtime_nsec(),
            },
            changed: FileTime {
                seconds: metadata.ctime(),
                nanoseconds: metadata.ctime_nsec(),
            },
        }
    }
}

impl Signature {
    /// When the file or its attributes were last changed, by the clock of its file system.
    pub const fn changed(&self) -> FileTime {
        self.changed
    }

    /// When the file's content was last changed, by the clock of its file system. A program may
    /// have set another time.
    pub const fn modified(&self) -> FileTime {
        self.modified
    }

    /// The length of the file in bytes.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Whether nobody wrote to the file between the two states. Its attributes may differ.
    pub fn has_same_content(&self, other: &Self) -> bool {
        self.is_same_file(other) && (self.length, self.modified) == (other.length, other.modified)
    }

    /// Whether both are states of the same file, and not of one that replaced it.
    pub const fn is_same_file(&self, other: &Self) -> bool {
        self.device == other.device && self.inode == other.inode
    }
}

/// A list that was opened for reading.
#[derive(Debug)]
pub struct OpenList {
    file: File,
    metadata: Metadata,
    kind: Kind,
}

impl OpenList {
    /// The state of the file when it was opened.
    pub fn signature(&self) -> Signature {
        Signature::from(&self.metadata)
    }

    /// How many keys the file can hold at most, judging by its length without holes.
    pub fn most_keys(&self) -> usize {
        let on_disk = self.metadata.blocks().saturating_mul(512);
        let length = self.metadata.len().min(on_disk);
        usize::try_from(length / 64).unwrap_or(usize::MAX) + 1
    }

    /// Reads the list and passes each key with its line number (from 1) to `each_key`. Of another
    /// station's list, no more is read than [`FOREIGN_ALLOWANCE`].
    ///
    /// # Errors
    /// Fails if the file cannot be read.
    pub fn read(self, each_key: impl FnMut(u64, Pubkey)) -> io::Result<Faults> {
        // A file that grows while it is read must not keep us forever.
        let growth = self.kind.limit().map_or(FOREIGN_LIMIT, |(limit, _)| limit);
        let length = self.metadata.len().saturating_add(growth);
        let reader = BufReader::with_capacity(READ_SIZE, SparseReader::new(self.file).take(length));
        match self.kind {
            Kind::Blacklist => blacklist::read(reader, each_key),
            Kind::Own => wot::read_list(reader, each_key),
            Kind::Foreign | Kind::ForeignKeys => {
                wot::read_list_within(FOREIGN_ALLOWANCE, reader, each_key)
            }
        }
    }
}

impl ListFile {
    /// The station's blacklist, in which every key counts, however it is written
    /// ([`crate::blacklist`]).
    pub fn blacklist(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            kind: Kind::Blacklist,
        }
    }

    /// A list that the station itself writes.
    pub fn own(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            kind: Kind::Own,
        }
    }

    /// A list that was downloaded from another station.
    pub fn foreign(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            kind: Kind::Foreign,
        }
    }

    /// The `HEX` or `HEX_CAPTAIN` that was downloaded from another station.
    pub fn foreign_keys(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            kind: Kind::ForeignKeys,
        }
    }

    /// Whether another station wrote the list.
    pub const fn is_foreign(&self) -> bool {
        matches!(self.kind, Kind::Foreign | Kind::ForeignKeys)
    }

    /// The path of the list.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The state of the file, or `None` if it does not exist.
    ///
    /// # Errors
    /// Fails if the state of an existing file cannot be read.
    pub fn signature(&self) -> io::Result<Option<Signature>> {
        let metadata = if self.is_foreign() {
            fs::symlink_metadata(&self.path)
        } else {
            fs::metadata(&self.path)
        };
        Ok(unless_missing(metadata)?.as_ref().map(Signature::from))
    }

    /// Opens the list, or returns `None` if it does not exist. It never blocks on a FIFO.
    ///
    /// # Errors
    /// Fails if the file cannot be opened, or with [`io::ErrorKind::InvalidInput`] if it is not a
    /// regular file. Another station's list must also be no symbolic link and at most
    /// [`FOREIGN_LIMIT`] bytes long, or [`FOREIGN_KEYS_LIMIT`] if it is the file of a key.
    pub fn open(&self) -> io::Result<Option<OpenList>> {
        let opened = if self.is_foreign() {
            regular_file::open_without_following(&self.path)
        } else {
            regular_file::open(&self.path)
        };
        let file = match unless_missing(opened) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(None),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                return Err(refused("a symbolic link, which is not followed here"));
            }
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        if let Some((limit, words)) = self.kind.limit()
            && metadata.len() > limit
        {
            return Err(refused(words));
        }
        Ok(Some(OpenList {
            file,
            metadata,
            kind: self.kind,
        }))
    }
}

fn refused(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

/// Turns the error about a missing file into `None`, even if the file's folder is missing or not
/// a folder.
fn unless_missing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The entries of a folder that the shell's `*` matches. Hidden ones are not meant for programs
/// that go through all entries. A missing folder has no entries.
fn visible_entries(folder: &Path) -> io::Result<impl Iterator<Item = io::Result<DirEntry>>> {
    let entries = unless_missing(fs::read_dir(folder))?.into_iter().flatten();
    Ok(entries.filter(|entry| {
        entry.as_ref().map_or(true, |entry| {
            !entry.file_name().as_encoded_bytes().starts_with(b".")
        })
    }))
}

/// The folders of the other stations.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SwarmFolders {
    /// The folders, sorted by name: the first [`MOST_STATIONS`], if there are more.
    pub paths: Vec<PathBuf>,
    /// How many folders there are beyond those.
    pub passed_over: u64,
}

/// Lists the folders of the other stations. Hidden folders, links and files are skipped. Memory
/// does not grow with their number. If `tmp/swarm` is missing, there are none.
///
/// # Errors
/// Fails if `tmp/swarm` cannot be read.
pub fn swarm_folders(station: &Station) -> io::Result<SwarmFolders> {
    first_folders(&station.swarm_dir(), MOST_STATIONS)
}

fn first_folders(folder: &Path, most: usize) -> io::Result<SwarmFolders> {
    let mut names = BinaryHeap::new();
    let mut passed_over = 0;
    for entry in visible_entries(folder)? {
        let entry = entry?;
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        names.push(entry.file_name());
        if names.len() > most {
            names.pop();
            passed_over += 1;
        }
    }
    let names = names.into_sorted_vec().into_iter();
    Ok(SwarmFolders {
        paths: names.map(|name| folder.join(name)).collect(),
        passed_over,
    })
}

/// Lists the `HEX` files of the local members, whether they exist or not, as the shell's
/// `game/nostr/*/HEX` does. Hidden folders do not belong to members: a client gets one by merely
/// proving that it holds some key. If `game/nostr` is missing, there are no members.
///
/// # Errors
/// Fails if `game/nostr` cannot be read.
pub fn member_keys(station: &Station) -> io::Result<Vec<ListFile>> {
    let mut files = Vec::new();
    for entry in visible_entries(&station.members_dir())? {
        files.push(ListFile::own(entry?.path().join(Station::HEX)));
    }
    files.sort_unstable();
    Ok(files)
}

#[cfg(test)]
mod tests;
