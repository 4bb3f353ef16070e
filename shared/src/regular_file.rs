//! Opens files in whose place another program may have put a FIFO, a device, a folder or a link.
//!
//! Opening never waits for the other end of a FIFO, and what is not a regular file is refused.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a regular file for reading.
///
/// # Errors
/// Fails if the file cannot be opened, or with [`io::ErrorKind::InvalidInput`] if it is not a
/// regular file.
pub fn open(path: &Path) -> io::Result<File> {
    open_with(path, OpenOptions::new().read(true))
}

/// Opens a regular file for reading. A symbolic link in its place is not followed.
///
/// # Errors
/// Those of [`open`]. A link is the error `ELOOP`.
pub fn open_without_following(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let mut options = OpenOptions::new();
    let options = options.read(true).custom_flags(flags.bits().cast_signed());
    refuse_others(options.open(path)?)
}

/// Opens a regular file as these options say.
///
/// # Errors
/// Those of [`open`].
pub fn open_with(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    refuse_others(open_without_waiting(path, options)?)
}

/// Opens whatever is at a path as these options say, without waiting for the other end of a FIFO.
///
/// # Errors
/// Those of opening. A FIFO that nobody reads cannot be opened for writing.
pub fn open_without_waiting(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    options.custom_flags(flags).open(path)
}

fn refuse_others(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        let kind = io::ErrorKind::InvalidInput;
        Err(io::Error::new(kind, "not a regular file"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    #[test]
    fn only_regular_files_are_opened_and_a_fifo_holds_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name| dir.path().join(name);
        mknodat(CWD, path("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        std::fs::write(path("file"), "x").unwrap();
        std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
        for refused in [path("fifo"), dir.path().to_owned(), "/dev/zero".into()] {
            let error = open(&refused).unwrap_err();
            assert_eq!(error.to_string(), "not a regular file");
            assert!(open_without_following(&refused).is_err());
        }
        let mut to_append = OpenOptions::new();
        assert!(open_with(&path("fifo"), to_append.read(true).append(true)).is_err());
        assert!(open(&path("file")).is_ok() && open(&path("link")).is_ok());
        assert!(open_without_following(&path("file")).is_ok());
        assert!(open_without_following(&path("link")).is_err());
    }
}
