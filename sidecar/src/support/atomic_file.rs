//! Writing a file whole or not at all, and reading one that is what it should be.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use constellation_shared::attributes;
use rustix::fs::{FallocateFlags, OFlags, fallocate};
use rustix::io::Errno;

/// The mode of a new file, of which the umask takes its part.
const PEERS_PER_RUN: u32 = 0o666;

/// The mode of a file until it gets the right one, and of one that is its owner's alone.
const PRIVATE: u32 = 0o600;

/// How many names beside a file may be taken already.
const MOST_TRIES: u32 = 100;

/// Writes a file beside the wanted one and puts it in its place.
///
/// # Errors
/// Those of writing; the file is then as it was before, and nothing is left beside it.
pub(crate) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    put(path, content, PEERS_PER_RUN, |_| Ok(()))
}

/// The same, for its owner alone (0600) from its first byte on.
///
/// # Errors
/// As [`write()`].
pub(crate) fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    put(path, content, PRIVATE, |_| Ok(()))
}

/// The same, readable for everybody (0644) whatever the umask is.
///
/// # Errors
/// As [`write()`].
pub(crate) fn write_readable(path: &Path, content: &[u8]) -> io::Result<()> {
    put(path, content, PRIVATE, |file| {
        file.set_permissions(Permissions::from_mode(0o644))
    })
}

/// Writes a file of another program's: one that is there keeps its owner, mode, access list
/// and extended attributes, and a symbolic link stays one.
///
/// # Errors
/// As [`write()`]; and where the new file cannot be made like the old one, for instance as
/// the old one belongs to somebody else.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => write(path, content),
        metadata => {
            metadata?;
            let old = open(path)?;
            put(path, content, PRIVATE, |file| {
                attributes::carry_over(&old, file).map_err(io::Error::other)
            })
        }
    }
}

/// Writes a text into the file that is there, for programs that watch the file itself and
/// not its name, as strfry does its conf: of one that is put in its place they would notice
/// no later change. It goes in at once, and is followed by line breaks until the rest of a
/// longer one is cut off, so that a reader and a kill find a text that means the same.
///
/// # Errors
/// Those of writing; where the disk is full, the file is as it was before.
pub(crate) fn rewrite(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).open(path)?;
    let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
    match fallocate(&file, FallocateFlags::KEEP_SIZE, 0, length) {
        // Nothing takes no room.
        Err(Errno::INVAL) if text.is_empty() => {}
        // Not every file system can promise room.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
        allocated => allocated?,
    }
    let before = usize::try_from(file.metadata()?.len()).unwrap_or(0);
    let mut padded = text.to_vec();
    padded.resize(before.max(text.len()), b'\n');
    file.write_all(&padded)?;
    file.set_len(length)?;
    file.sync_all()
}

fn put(
    path: &Path,
    content: &[u8],
    mode: u32,
    finish: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    let (mut file, beside) = create_beside(path, mode)?;
    let written = file.write_all(content).and_then(|()| {
        finish(&file)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

/// A new file beside another, never one that is there: in a folder that others write in,
/// that may be a link to somewhere else. [`sweep`] knows the name.
fn create_beside(path: &Path, mode: u32) -> io::Result<(File, PathBuf)> {
    let mut tries = 0;
    loop {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", fastrand::u32(..)));
        let beside = path.with_file_name(name);
        let mut options = OpenOptions::new();
        match options
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&beside)
        {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < MOST_TRIES => {
                tries += 1;
            }
            created => return created.map(|file| (file, beside)),
        }
    }
}

/// Takes away what writers that were killed left beside the files of ours in this folder.
/// Nobody else may be writing there. What cannot be taken away stays.
pub(crate) fn sweep(folder: &Path, is_ours: impl Fn(&str) -> bool) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let parts = name.to_str().and_then(|name| {
            let (name, writer) = name.strip_suffix(".new")?.rsplit_once('.')?;
            Some((name, writer.parse::<u32>().ok()?))
        });
        if parts.is_some_and(|(name, _)| is_ours(name)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Opens a regular file for reading. Never waits for a FIFO.
///
/// # Errors
/// Those of opening; and where it is a folder, a FIFO or a device.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no regular file")),
    }
}

/// Reads a file of at most `most` bytes; nothing where it is missing, larger, no regular
/// file, or cannot be read. Never waits for a FIFO.
pub(crate) fn read(path: &Path, most: u64) -> Option<Vec<u8>> {
    let file = open(path).ok()?;
    if file.metadata().ok()?.len() > most {
        return None;
    }
    let mut content = Vec::new();
    file.take(most).read_to_end(&mut content).ok()?;
    Some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_replaced_or_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        fs::create_dir(dir.path().join("folder")).unwrap();
        fs::write(dir.path().join("folder/x"), "").unwrap();
        assert!(write(&dir.path().join("folder"), b"three").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn the_file_beside_is_new_and_as_closed_as_the_file_itself() {
        use std::os::unix::fs::{MetadataExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        let (_, beside) = create_beside(&path, PRIVATE).unwrap();
        assert_eq!(mode(&beside), 0o600);
        // Whatever is planted there, a name beside the file is not opened twice.
        symlink(&path, dir.path().join("file.1.new")).unwrap();
        let (_, other) = create_beside(&path, PEERS_PER_RUN).unwrap();
        assert!(other != beside && !path.exists());
        write_private(&path, b"mine").unwrap();
        assert_eq!(mode(&path), 0o600);
        write_readable(&path, b"everybody's").unwrap();
        assert_eq!(mode(&path), 0o644);
        sweep(dir.path(), |name| name == "file");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_writer_left_is_taken_away_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let names = [
            "a.json.12.new",
            "b.json.12.new",
            "a.json",
            "a.new",
            "a.x.new",
        ];
        for name in names {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        sweep(dir.path(), |name| name.starts_with('a'));
        let left = names.map(|name| dir.path().join(name).exists());
        assert_eq!(left, [false, true, true, true, true]);
    }

    #[test]
    fn what_is_no_file_of_that_size_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("file"), "four").unwrap();
        fs::create_dir(path("folder")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path("zero")).unwrap();
        let mode = rustix::fs::Mode::RWXU;
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, path("fifo"), fifo, mode, 0).unwrap();
        assert_eq!(read(&path("file"), 4).as_deref(), Some(&b"four"[..]));
        assert_eq!(read(&path("file"), 3), None);
        for nothing in ["folder", "zero", "fifo", "missing"] {
            assert_eq!(read(&path(nothing), 1000), None, "{nothing}");
            assert!(open(&path(nothing)).is_err(), "{nothing}");
        }
    }

    #[test]
    fn a_replaced_file_keeps_its_mode_and_a_link_stays_one() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("file"), dir.path().join("link"));
        replace(&path, b"one").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o750)).unwrap();
        symlink("file", &link).unwrap();
        replace(&link, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o750);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn a_replaced_file_keeps_its_attributes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "one").unwrap();
        let flags = rustix::fs::XattrFlags::empty();
        if rustix::fs::setxattr(&path, "user.note", b"kept", flags).is_err() {
            let _ = writeln!(io::stderr(), "skipped: no attributes on this file system");
            return;
        }
        replace(&path, b"two").unwrap();
        let mut value = [0; 4];
        let length = rustix::fs::getxattr(&path, "user.note", &mut value[..]).unwrap();
        assert_eq!(&value[..length], b"kept");
        assert_eq!(fs::read(&path).unwrap(), b"two");
    }

    #[test]
    fn a_rewritten_file_is_the_same_file() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "three").unwrap();
        let before = fs::metadata(&path).unwrap().ino();
        for text in ["longer than that", "short", ""] {
            rewrite(&path, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(fs::metadata(&path).unwrap().ino(), before);
        assert!(rewrite(&dir.path().join("none"), b"x").is_err());
    }
}
