//! Writing a file whole or not at all.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process;

/// Writes a file beside the wanted one and puts it in its place.
///
/// # Errors
/// Those of writing; the file is then as it was before, and nothing is left beside it.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    write_then(path, content, |_| Ok(()))
}

/// The same, readable for everybody (0644) whatever the umask is.
///
/// # Errors
/// As [`write`].
pub fn write_readable(path: &Path, content: &[u8]) -> io::Result<()> {
    write_then(path, content, |file| {
        file.set_permissions(Permissions::from_mode(0o644))
    })
}

fn write_then(
    path: &Path,
    content: &[u8],
    finish: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", process::id()));
    let beside = path.with_file_name(name);
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(content)?;
        finish(&file)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
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
}
