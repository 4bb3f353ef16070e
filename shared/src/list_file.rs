//! Where the web-of-trust lists lie, and how to open them safely.
//!
//! The station's own lists are trusted to be what they say. Those below `tmp/swarm` were
//! written by anybody: they may be a device, a FIFO, a link to somewhere else, or larger
//! than the machine.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::blacklist;
use crate::key::Pubkey;
use crate::station::Station;
use crate::wot::{self, Faults};

/// The largest list of another station that is read, in bytes: a million keys.
pub const FOREIGN_LIMIT: u64 = 66_000_000;

/// How much of a list is read at once, in bytes.
const PIECE: usize = 64 * 1024;

/// A list on disk, there or not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListFile {
    path: PathBuf,
    kind: Kind,
}

/// Who writes a list, and how it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    /// The station, and a key that is missed would let its author in.
    Blacklist,
    /// The station.
    Own,
    /// Anybody.
    Foreign,
}

/// What tells one state of a file from another, without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl From<&Metadata> for Signature {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Signature {
    /// When the file was last changed, by its file system's clock: seconds and
    /// nanoseconds since 1970.
    pub const fn changed(&self) -> (i64, i64) {
        self.changed
    }

    /// The file's length, in bytes.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Whether both are states of one file, not of one that took its place.
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

    /// How many keys the file can hold at the most, by its length.
    pub fn most_keys(&self) -> usize {
        usize::try_from(self.metadata.len() / 64).unwrap_or(usize::MAX) + 1
    }

    /// Hands each key with its line number (from 1) to `each_key`.
    ///
    /// # Errors
    /// Those of reading the file.
    pub fn read(self, each_key: impl FnMut(u64, Pubkey)) -> io::Result<Faults> {
        // A file that grows while it is read must not hold us for ever.
        let length = self.metadata.len().saturating_add(FOREIGN_LIMIT);
        let reader = BufReader::with_capacity(PIECE, self.file.take(length));
        match self.kind {
            Kind::Blacklist => blacklist::read(reader, each_key),
            Kind::Own | Kind::Foreign => wot::read_list(reader, each_key),
        }
    }
}

impl ListFile {
    /// The station's blacklist, of which every key counts, however it is spelled
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

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The state of the file, `None` where there is none.
    ///
    /// # Errors
    /// Those of `stat`, but for a missing file.
    pub fn signature(&self) -> io::Result<Option<Signature>> {
        let metadata = match self.kind {
            Kind::Foreign => fs::symlink_metadata(&self.path),
            Kind::Blacklist | Kind::Own => fs::metadata(&self.path),
        };
        Ok(unless_missing(metadata)?.as_ref().map(Signature::from))
    }

    /// Opens the list, `None` where there is none. Never blocks on a FIFO.
    ///
    /// # Errors
    /// Those of opening; and [`io::ErrorKind::InvalidInput`] for what is no regular file,
    /// or, of a foreign list, for a symbolic link or more than [`FOREIGN_LIMIT`] bytes.
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

/// A path whose folder is missing, or is no folder, names no file either.
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

/// The folders of the other stations, by name; links and files among them are passed over.
///
/// # Errors
/// Those of reading `tmp/swarm`; a missing one has no folders.
pub fn swarm_folders(station: &Station) -> io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in unless_missing(fs::read_dir(station.swarm_dir()))?
        .into_iter()
        .flatten()
    {
        let entry = entry?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            folders.push(entry.path());
        }
    }
    folders.sort_unstable();
    Ok(folders)
}

/// The friends lists of the other stations, whether they are there or not.
///
/// # Errors
/// Those of [`swarm_folders`].
pub fn swarm_friends(station: &Station) -> io::Result<Vec<ListFile>> {
    let folders = swarm_folders(station)?;
    Ok(folders
        .into_iter()
        .map(|folder| ListFile::foreign(folder.join(Station::SWARM_FRIENDS)))
        .collect())
}

/// The `HEX` files of the local members, whether they are there or not.
///
/// # Errors
/// Those of reading `game/nostr`; a missing one has no members.
pub fn member_keys(station: &Station) -> io::Result<Vec<ListFile>> {
    let mut files = Vec::new();
    for entry in unless_missing(fs::read_dir(station.members_dir()))?
        .into_iter()
        .flatten()
    {
        files.push(ListFile::own(entry?.path().join(Station::HEX)));
    }
    files.sort_unstable();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

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
        fs::create_dir_all(swarm.join("B")).unwrap();
        fs::create_dir_all(swarm.join("A")).unwrap();
        fs::write(swarm.join("file"), "").unwrap();
        symlink("/", swarm.join("link")).unwrap();
        assert_eq!(
            swarm_friends(&station).unwrap(),
            ["A", "B"].map(|name| ListFile::foreign(swarm.join(name).join("amisOfAmis.txt")))
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

    #[test]
    fn the_time_of_a_change_is_the_file_system_s() {
        let dir = tempfile::tempdir().unwrap();
        let list = ListFile::own(dir.path().join("list"));
        fs::write(list.path(), "x").unwrap();
        let metadata = fs::metadata(list.path()).unwrap();
        let signature = list.signature().unwrap().unwrap();
        assert_eq!(
            signature.changed(),
            (metadata.ctime(), metadata.ctime_nsec())
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
        assert!(grown.is_same_file(&before));
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
