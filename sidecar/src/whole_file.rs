//! Writing a file whole or not at all, and reading one that is what it should be.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process;

use rustix::fs::OFlags;

/// Writes a file beside the wanted one and puts it in its place.
///
/// # Errors
/// Those of writing; the file is then as it was before, and nothing is left beside it.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", process::id()));
    let beside = path.with_file_name(name);
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Takes away what writers that were killed left beside the files of ours in this folder.
/// Nobody else may be writing there. What cannot be taken away stays.
pub fn sweep(folder: &Path, is_ours: impl Fn(&str) -> bool) {
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

/// Reads a file of at most `most` bytes; nothing where it is missing, larger, no regular
/// file, or cannot be read. Never waits for a FIFO.
pub fn read(path: &Path, most: u64) -> Option<Vec<u8>> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .ok()?;
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || metadata.len() > most {
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
        }
    }
}
