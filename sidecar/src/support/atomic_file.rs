//! Atomic writes of files, and bounded reads of files that others may have written.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use constellation_shared::{attributes, regular_file};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// The mode of a new file, before the umask.
const DEFAULT_MODE: u32 = 0o666;

/// The mode of a file that only its owner may read, and of every new file until it gets its mode.
const PRIVATE_MODE: u32 = 0o600;

/// How many names for a temporary file are tried before giving up.
const MOST_TRIES: u32 = 100;

/// Writes a file atomically: a new file is written beside it and renamed. A symbolic link in its
/// place is replaced, and what it points at stays as it is.
///
/// # Errors
/// If writing fails; the file is then unchanged, and no temporary file is left.
pub(crate) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    put(path, content, DEFAULT_MODE, |_| Ok(()))
}

/// Writes a file atomically that nobody but its owner may read (mode 0600).
///
/// # Errors
/// If writing fails; the file is then unchanged.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    put(path, content, PRIVATE_MODE, |_| Ok(()))
}

/// Writes a file atomically that everybody may read (mode 0644), whatever the umask is.
///
/// # Errors
/// If writing fails; the file is then unchanged.
pub(crate) fn write_readable(path: &Path, content: &[u8]) -> io::Result<()> {
    put(path, content, PRIVATE_MODE, |file| {
        file.set_permissions(Permissions::from_mode(0o644))
    })
}

/// Writes a file of another program atomically. The new file gets the owner, mode, access list and
/// extended attributes of the old one, and a symbolic link remains a link.
///
/// # Errors
/// If writing fails, or if the new file cannot get the old one's attributes, for example because
/// the old one belongs to somebody else; the file is then unchanged.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => write(path, content),
        metadata => {
            metadata?;
            let old = regular_file::open(path)?;
            put(path, content, PRIVATE_MODE, |file| {
                attributes::carry_over(&old, file).map_err(io::Error::other)
            })
        }
    }
}

/// Overwrites an existing file in place. This is for programs that watch the file itself and not
/// its name, as strfry watches its conf: they would not notice changes to a file that takes its
/// place. The text is written in a single call and padded with line breaks to the old length
/// before the file is truncated, so that readers never see the rest of the old text.
///
/// # Errors
/// If writing fails; if the disk is full, the file is unchanged.
pub(crate) fn rewrite(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).open(path)?;
    let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
    match fallocate(&file, FallocateFlags::KEEP_SIZE, 0, length) {
        // An empty text needs no space.
        Err(Errno::INVAL) if text.is_empty() => {}
        // Not every file system can reserve space.
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

/// Creates a temporary file beside another, with a name that [`sweep`] recognises. Never opens an
/// existing file, which could be a link that somebody else planted.
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

/// Appends bytes, all of them or none: if the disk is full, the part that found room is cut off again,
/// so that the next line does not stand behind half of this one.
///
/// # Errors
/// If writing fails.
pub(crate) fn append(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = match file.write(rest) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            written => written,
        };
        match written {
            Ok(length) => rest = rest.get(length..).unwrap_or_default(),
            Err(error) => {
                let _ = cut_off(file, (bytes.len() - rest.len()) as u64);
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Cuts off the bytes that were just written, unless somebody has appended more after them.
fn cut_off(mut file: &File, bytes: u64) -> io::Result<()> {
    let end = file.stream_position()?;
    if bytes > 0 && file.metadata()?.len() == end {
        let begin = end.saturating_sub(bytes);
        file.set_len(begin)?;
        file.seek(io::SeekFrom::Start(begin))?;
    }
    Ok(())
}

/// Removes the temporary files that killed writers left beside our files in a folder. No other
/// writer may be at work there. Files that cannot be removed stay.
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

/// Removes the temporary files that killed writers of this file left beside it.
pub(crate) fn sweep_beside(path: &Path) {
    let name = path.file_name().and_then(OsStr::to_str);
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => return,
    };
    if name.is_some() {
        sweep(folder, |found| Some(found) == name);
    }
}

/// Reads a regular file of at most `most` bytes. Returns `None` if it is missing, larger, no
/// regular file, or unreadable.
pub(crate) fn read(path: &Path, most: u64) -> Option<Vec<u8>> {
    let file = regular_file::open(path).ok()?;
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
        let (_, beside) = create_beside(&path, PRIVATE_MODE).unwrap();
        assert_eq!(mode(&beside), 0o600);
        // Whatever is planted there, a name beside the file is not opened twice.
        symlink(&path, dir.path().join("file.1.new")).unwrap();
        let (_, other) = create_beside(&path, DEFAULT_MODE).unwrap();
        assert!(other != beside && !path.exists());
        write_private(&path, b"mine").unwrap();
        assert_eq!(mode(&path), 0o600);
        write_readable(&path, b"everybody's").unwrap();
        assert_eq!(mode(&path), 0o644);
        sweep(dir.path(), |name| name == "file");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_in_the_place_of_a_file_of_ours_is_replaced_and_what_it_points_at_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        fs::write(&target, "another's").unwrap();
        for write in [write, write_private, write_readable] {
            let _ = fs::remove_file(&link);
            std::os::unix::fs::symlink(&target, &link).unwrap();
            write(&link, b"ours").unwrap();
            assert!(fs::symlink_metadata(&link).unwrap().is_file());
            assert_eq!(fs::read(&link).unwrap(), b"ours");
            assert_eq!(fs::read(&target).unwrap(), b"another's");
        }
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
            assert!(regular_file::open(&path(nothing)).is_err(), "{nothing}");
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
