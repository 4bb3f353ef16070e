//! Finds the web-of-trust lists on disk and opens them safely.
//!
//! The station's own lists are trusted. Those below `tmp/swarm` may have been written by anybody:
//! they may be a device, a FIFO, a link to somewhere else, or larger than the machine.

use std::collections::BinaryHeap;
use std::fs::{self, DirEntry, File, Metadata, OpenOptions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::blacklist;
use crate::key::Pubkey;
use crate::sparse::SparseReader;
use crate::station::Station;
use crate::wot::{self, Allowance, Faults};

/// The largest list of another station that is read, in bytes: a million keys.
pub const FOREIGN_LIMIT: u64 = 66_000_000;

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
        let length = self.metadata.len().saturating_add(FOREIGN_LIMIT);
        let reader = BufReader::with_capacity(READ_SIZE, SparseReader::new(self.file).take(length));
        match self.kind {
            Kind::Blacklist => blacklist::read(reader, each_key),
            Kind::Own => wot::read_list(reader, each_key),
            Kind::Foreign => wot::read_list_within(FOREIGN_ALLOWANCE, reader, each_key),
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

    /// The path of the list.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The state of the file, or `None` if it does not exist.
    ///
    /// # Errors
    /// Fails if the state of an existing file cannot be read.
    pub fn signature(&self) -> io::Result<Option<Signature>> {
        let metadata = match self.kind {
            Kind::Foreign => fs::symlink_metadata(&self.path),
            Kind::Blacklist | Kind::Own => fs::metadata(&self.path),
        };
        Ok(unless_missing(metadata)?.as_ref().map(Signature::from))
    }

    /// Opens the list, or returns `None` if it does not exist. It never blocks on a FIFO.
    ///
    /// # Errors
    /// Fails if the file cannot be opened, or with [`io::ErrorKind::InvalidInput`] if it is not a
    /// regular file. Another station's list must also be no symbolic link and at most
    /// [`FOREIGN_LIMIT`] bytes long.
    pub fn open(&self) -> io::Result<Option<OpenList>> {
        let mut flags = OFlags::NONBLOCK;
        if self.kind == Kind::Foreign {
            flags |= OFlags::NOFOLLOW;
        }
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(&self.path);
        let file = match unless_missing(opened) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(None),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                return Err(refused("a symbolic link, which is not followed here"));
            }
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(refused("not a regular file"));
        }
        if self.kind == Kind::Foreign && metadata.len() > FOREIGN_LIMIT {
            return Err(refused(
                "larger than 66 MB, the most that is read of another station",
            ));
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
mod tests {
    use super::*;
    use crate::swarm_lists::swarm_friends;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{FileExt, symlink};
    use std::time::{Duration, Instant};

    fn keys(list: &ListFile) -> Vec<Pubkey> {
        let mut keys = Vec::new();
        if let Some(open) = list.open().unwrap() {
            open.read(|_, key| keys.push(key)).unwrap();
        }
        keys
    }

    #[test]
    fn lists_are_found_where_stations_keep_them() {
        let dir = tempfile::tempdir().unwrap();
        let station = Station::new(dir.path());
        assert_eq!(swarm_friends(&station).unwrap(), []);
        assert_eq!(member_keys(&station).unwrap(), []);

        let swarm = station.swarm_dir();
        fs::create_dir_all(swarm.join(".hidden")).unwrap();
        fs::create_dir_all(swarm.join("B")).unwrap();
        fs::create_dir_all(swarm.join("A")).unwrap();
        fs::write(swarm.join("file"), "").unwrap();
        symlink("/", swarm.join("link")).unwrap();
        let folders = swarm_folders(&station).unwrap();
        assert_eq!(folders.paths, ["A", "B"].map(|name| swarm.join(name)));
        assert_eq!(folders.passed_over, 0);
        let lists = ["A", "B"].map(|name| swarm.join(name).join("amisOfAmis.txt"));
        for list in &lists {
            fs::write(list, "").unwrap();
        }
        assert_eq!(
            swarm_friends(&station).unwrap(),
            lists.map(ListFile::foreign)
        );

        let member = station.members_dir().join("a@b.org");
        fs::create_dir_all(&member).unwrap();
        let key = Pubkey::from_bytes([7; 32]);
        fs::write(member.join("HEX"), key.to_hex()).unwrap();
        let members = member_keys(&station).unwrap();
        assert_eq!(members.len(), 1);
        assert_eq!(keys(&members[0]), [key]);
    }

    #[test]
    fn a_missing_list_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let list = ListFile::own(dir.path().join("missing/list"));
        assert!(list.open().unwrap().is_none());
        assert_eq!(list.signature().unwrap(), None);
        fs::write(dir.path().join("missing"), "").unwrap();
        assert!(list.open().unwrap().is_none());
    }

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
        for path in [fifo.as_path(), dir.path(), Path::new("/dev/zero")] {
            let error = ListFile::own(path).open().unwrap_err();
            assert_eq!(
                error.to_string(),
                "not a regular file",
                "{}",
                path.display()
            );
        }
    }

    #[test]
    fn a_foreign_list_leads_nowhere_else_and_is_not_endless() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        fs::write(&target, Pubkey::from_bytes([7; 32]).to_hex()).unwrap();
        let link = dir.path().join("link");
        symlink(&target, &link).unwrap();
        assert_eq!(keys(&ListFile::own(&link)).len(), 1);
        let error = ListFile::foreign(&link).open().unwrap_err();
        assert_eq!(
            error.to_string(),
            "a symbolic link, which is not followed here"
        );

        let endless_name = ListFile::foreign(dir.path().join("x".repeat(300)));
        let error = endless_name.open().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidFilename);

        let large = dir.path().join("large");
        let file = File::create(&large).unwrap();
        file.set_len(FOREIGN_LIMIT).unwrap();
        assert!(ListFile::foreign(&large).open().is_ok());
        file.set_len(FOREIGN_LIMIT + 1).unwrap();
        assert!(ListFile::foreign(&large).open().is_err());
        assert!(ListFile::own(&large).open().is_ok());
    }

    #[test]
    fn a_list_holds_a_key_in_64_bytes_at_the_most() {
        let dir = tempfile::tempdir().unwrap();
        let list = ListFile::own(dir.path().join("list"));
        for (length, keys) in [(0, 1), (63, 1), (64, 2), (6500, 102)] {
            fs::write(list.path(), "x".repeat(length)).unwrap();
            let open = list.open().unwrap().unwrap();
            assert_eq!(open.most_keys(), keys, "{length}");
        }
    }

    /// 10 GB in which there is nothing but the first and the last line.
    #[test]
    fn a_sparse_list_costs_what_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let list = ListFile::own(dir.path().join("list"));
        let [first, last] = [1, 2].map(|byte| Pubkey::from_bytes([byte; 32]));
        fs::write(list.path(), format!("{first}\n")).unwrap();
        let file = OpenOptions::new().write(true).open(list.path()).unwrap();
        let end = 10 << 30;
        file.write_all_at(format!("\n{last}\n").as_bytes(), end)
            .unwrap();
        let started = Instant::now();
        assert!(list.open().unwrap().unwrap().most_keys() < 10_000);
        assert_eq!(keys(&list), [first, last]);
        // To read through it takes seconds.
        assert!(started.elapsed() < Duration::from_millis(500));
    }

    #[test]
    fn a_folder_whose_name_begins_with_a_dot_is_no_member_s() {
        let dir = tempfile::tempdir().unwrap();
        let station = Station::new(dir.path());
        let members = station.members_dir();
        let odd = OsStr::from_bytes(b"not \xff UTF-8\nand two lines");
        for name in [".pubkey_ab", ".a@b.org", "a@b.org", "..a"].map(OsStr::new) {
            fs::create_dir_all(members.join(name)).unwrap();
        }
        fs::create_dir_all(members.join(odd)).unwrap();
        symlink("a@b.org", members.join(".link")).unwrap();
        symlink(".a@b.org", members.join("link")).unwrap();
        let found = member_keys(&station).unwrap();
        let expected = [OsStr::new("a@b.org"), OsStr::new("link"), odd];
        assert_eq!(
            found,
            expected.map(|name| ListFile::own(members.join(name).join("HEX")))
        );
    }

    #[test]
    fn of_too_many_folders_the_first_by_name_count() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["d", "a", "c", ".a", "b", "e"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let folders = first_folders(dir.path(), 3).unwrap();
        assert_eq!(
            folders.paths,
            ["a", "b", "c"].map(|name| dir.path().join(name))
        );
        assert_eq!(folders.passed_over, 2);
        assert_eq!(first_folders(dir.path(), 5).unwrap().passed_over, 0);
    }

    #[test]
    fn the_time_of_a_change_is_the_file_system_s() {
        let dir = tempfile::tempdir().unwrap();
        let list = ListFile::own(dir.path().join("list"));
        fs::write(list.path(), "x").unwrap();
        let metadata = fs::metadata(list.path()).unwrap();
        let signature = list.signature().unwrap().unwrap();
        assert_eq!(
            signature.changed(),
            FileTime {
                seconds: metadata.ctime(),
                nanoseconds: metadata.ctime_nsec(),
            }
        );
    }

    #[test]
    fn a_file_is_the_same_while_it_grows_and_another_in_its_place_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let [list, other] = ["list", "other"].map(|name| ListFile::own(dir.path().join(name)));
        fs::write(list.path(), "one").unwrap();
        fs::write(other.path(), "one").unwrap();
        let state = |list: &ListFile| list.signature().unwrap().unwrap();
        let before = state(&list);
        fs::write(list.path(), "longer").unwrap();
        let grown = state(&list);
        assert_eq!((before.length(), grown.length()), (3, 6));
        assert!(grown.is_same_file(&before) && !grown.has_same_content(&before));
        let chmod = Signature {
            changed: FileTime {
                seconds: 1,
                nanoseconds: 1,
            },
            ..grown
        };
        assert!(chmod.has_same_content(&grown));
        assert!(!grown.is_same_file(&state(&other)));
        let elsewhere = Signature {
            device: !grown.device,
            ..grown
        };
        assert!(!grown.is_same_file(&elsewhere));
    }

    #[test]
    fn every_change_changes_the_signature() {
        let dir = tempfile::tempdir().unwrap();
        let list = ListFile::own(dir.path().join("list"));
        fs::write(list.path(), "one").unwrap();
        let first = list.signature().unwrap();
        fs::write(list.path(), "longer").unwrap();
        let second = list.signature().unwrap();
        assert_ne!(first, second);
        fs::write(dir.path().join("other"), "longer").unwrap();
        fs::rename(dir.path().join("other"), list.path()).unwrap();
        assert_ne!(second, list.signature().unwrap());
    }
}
