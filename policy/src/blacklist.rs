//! Taking a key's lines out of `blacklist.txt` while other programs write to it.
//!
//! No lock is shared with those programs: they append with `>>` and replace with `mv` at
//! any moment. So the new content is written beside the list and the two are exchanged in
//! one step (`renameat2`, `RENAME_EXCHANGE`), which shows which file was taken out. Where
//! that is not the file that was copied, somebody replaced it meanwhile: it is put back,
//! and the work done again. Where it is, a program may still hold it open and append to
//! it; it is kept as a [`Remainder`] and watched until nobody does, and whatever was
//! appended goes to the list.
//!
//! The name of the file beside the list says from which byte on nothing was copied, so
//! that after a `kill -9` at any moment the next start can go on with it ([`adopt`]).
//!
//! On a file system that cannot exchange (NFS, vfat) the list is replaced by `rename`, and
//! two gaps of microseconds stay: a `mv` between the look and the step is undone, and what
//! is appended to the old file is lost if we are killed at that moment.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, fchown};
use std::path::{Path, PathBuf};
use std::process;

use constellation_shared::Pubkey;
use constellation_shared::wot::{LINE_LIMIT, Line, parse_line};
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};

/// How much is read and written at once, in bytes.
const PIECE: usize = 64 * 1024;

/// How often a list that others replace at the same time is tried again.
const ATTEMPTS: u32 = 10;

/// Why no line was taken out.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// The list is marked as not to be written.
    #[error("it is read-only")]
    ReadOnly,
    /// One of the steps failed.
    #[error("cannot {0}")]
    Step(&'static str, #[source] io::Error),
    /// Other programs replaced the list each time.
    #[error("other programs replace it all the time")]
    Contended,
}

fn step(name: &'static str) -> impl FnOnce(io::Error) -> RemoveError {
    move |error| RemoveError::Step(name, error)
}

/// What a removal did.
#[derive(Debug)]
pub struct Removal {
    /// How many lines were taken out.
    pub lines: u64,
    /// The list as it was, where it was replaced.
    pub remainder: Option<Remainder>,
}

/// Takes every line that spells one of `keys` out of the list; the other lines stay byte
/// for byte as they were, and so do mode and owner. A missing list has no such line.
///
/// # Errors
/// [`RemoveError`]; the list is then as it was before.
pub fn remove(list: &Path, keys: &BTreeSet<Pubkey>) -> Result<Removal, RemoveError> {
    let nothing = Removal {
        lines: 0,
        remainder: None,
    };
    let list = match fs::canonicalize(list) {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(nothing),
        Err(error) => return Err(RemoveError::Step("find it", error)),
    };
    let folder = list.parent().unwrap_or(Path::new("/"));
    // One remover at a time: strfry runs a plugin for its relay and one for each stream.
    let _alone = lock(folder).map_err(step("lock its folder"))?;
    for _ in 0..ATTEMPTS {
        let old = match File::open(&list) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(nothing),
            Err(error) => return Err(RemoveError::Step("read it", error)),
        };
        let beside = beside(&list, "new");
        let written = write_without(&old, &beside, keys);
        let (lines, copied) = match written {
            Ok((lines, copied)) if lines > 0 => (lines, copied),
            other => {
                let _ = fs::remove_file(&beside);
                return other.map(|_| nothing);
            }
        };
        let named = self::beside(&list, &copied.to_string());
        fs::rename(&beside, &named).map_err(step("write beside it"))?;
        let remainder = Remainder {
            list: list.clone(),
            path: named,
            file: old,
            copied,
            unheld: 0,
        };
        match remainder.take_the_place() {
            Ok(true) => {
                return Ok(Removal {
                    lines,
                    remainder: Some(remainder),
                });
            }
            Ok(false) => {}
            Err(error) => {
                let _ = fs::remove_file(&remainder.path);
                return Err(RemoveError::Step("replace it", error));
            }
        }
    }
    Err(RemoveError::Contended)
}

/// Nobody else of us removes from a list in this folder while the file is open.
fn lock(folder: &Path) -> io::Result<File> {
    let folder = File::open(folder)?;
    flock(&folder, FlockOperation::LockExclusive)?;
    Ok(folder)
}

const MARK: &str = ".constellation-";

/// `.blacklist.txt.constellation-<pid>-<what>`, in the list's folder.
fn beside(list: &Path, what: &str) -> PathBuf {
    let mut name = OsStr::new(".").to_owned();
    name.push(list.file_name().unwrap_or_default());
    name.push(format!("{MARK}{}-{what}", process::id()));
    list.with_file_name(name)
}

/// Writes the new content to `path`; how many lines were left out, and how many bytes of
/// the old file that is the work of.
fn write_without(
    old: &File,
    path: &Path,
    keys: &BTreeSet<Pubkey>,
) -> Result<(u64, u64), RemoveError> {
    let metadata = old.metadata().map_err(step("read it"))?;
    if metadata.mode() & 0o222 == 0 {
        return Err(RemoveError::ReadOnly);
    }
    let new = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .map_err(step("write beside it"))?;
    // Half a line whose writer is still at work is left for the remainder.
    let copied = match is_held(old) {
        true => whole_lines(old).map_err(step("read it"))?,
        false => metadata.len(),
    };
    let mut reader = BufReader::with_capacity(PIECE, old.take(copied));
    let mut writer = BufWriter::with_capacity(PIECE, &new);
    let lines = copy_without(&mut reader, &mut writer, keys).map_err(step("copy it"))?;
    writer.flush().map_err(step("write beside it"))?;
    drop(writer);
    if lines > 0 {
        fchown(&new, Some(metadata.uid()), Some(metadata.gid())).map_err(step("keep its owner"))?;
        new.set_permissions(metadata.permissions())
            .map_err(step("keep its mode"))?;
        new.sync_all().map_err(step("write beside it"))?;
    }
    Ok((lines, copied))
}

/// Copies all lines but those of `keys`; how many were left out. Memory does not grow with
/// the length of a line.
fn copy_without(
    reader: &mut impl BufRead,
    writer: &mut impl Write,
    keys: &BTreeSet<Pubkey>,
) -> io::Result<u64> {
    let mut lines = 0;
    let mut start = Vec::new();
    let mut first = true;
    loop {
        start.clear();
        let most = LINE_LIMIT as u64 + 1;
        if reader.by_ref().take(most).read_until(b'\n', &mut start)? == 0 {
            return Ok(lines);
        }
        let text = match first {
            true => start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&start),
            false => &start,
        };
        let leaves = matches!(parse_line(text), Line::Key(key) if keys.contains(&key));
        first = false;
        lines += u64::from(leaves);
        if !leaves {
            writer.write_all(&start)?;
        }
        let mut ended = start.ends_with(b"\n");
        while !ended {
            let piece = reader.fill_buf()?;
            let length = match memchr::memchr(b'\n', piece) {
                Some(end) => end + 1,
                None => piece.len(),
            };
            ended = piece
                .get(..length)
                .is_none_or(|piece| piece.is_empty() || piece.ends_with(b"\n"));
            if !leaves {
                writer.write_all(piece.get(..length).unwrap_or_default())?;
            }
            reader.consume(length);
        }
    }
}

/// A list that was replaced, and that another program may still append to.
#[derive(Debug)]
pub struct Remainder {
    /// The list that took its place.
    list: PathBuf,
    /// Where it lies now.
    path: PathBuf,
    file: File,
    /// Up to which byte its content is in the list.
    copied: u64,
    /// How many times in a row nobody was seen to hold it open.
    unheld: u32,
}

impl Remainder {
    /// Exchanges the new content, which lies at [`Self::path`], with the list; `false`
    /// where the list was no longer the file that was copied, and was left as it is.
    fn take_the_place(&self) -> io::Result<bool> {
        let copied_from = self.file.metadata()?;
        let written = fs::metadata(&self.path)?.len();
        let is_the_same = |metadata: &fs::Metadata| {
            (metadata.dev(), metadata.ino()) == (copied_from.dev(), copied_from.ino())
        };
        match exchange(&self.path, &self.list) {
            Ok(()) => {}
            Err(error) if is_unsupported(&error) => {
                let same = is_the_same(&fs::metadata(&self.list)?);
                match same {
                    true => fs::rename(&self.path, &self.list)?,
                    false => fs::remove_file(&self.path)?,
                }
                return Ok(same);
            }
            // The list was deleted meanwhile: there is nothing left to take out.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::remove_file(&self.path)?;
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        if is_the_same(&fs::metadata(&self.path)?) {
            return Ok(true);
        }
        // What was appended to our file in the instant that it stood there is kept.
        let ours = File::open(&self.list)?;
        exchange(&self.path, &self.list)?;
        append(&ours, written, ours.metadata()?.len(), &self.list)?;
        fs::remove_file(&self.path)?;
        Ok(false)
    }

    /// Brings what was appended to the old file into the list; `true` where nobody holds
    /// the old file any more and it is gone.
    ///
    /// # Errors
    /// Those of reading, appending and deleting; the old file is then still there, and
    /// this can be called again.
    pub fn rescue(&mut self) -> io::Result<bool> {
        // Looked at before the copying: a program that let go of the file in between has
        // written all it will write.
        let held = is_held(&self.file);
        let until = match held {
            true => whole_lines(&self.file)?,
            false => self.file.metadata()?.len(),
        };
        if until > self.copied {
            append(&self.file, self.copied, until, &self.list)?;
            self.copied = until;
            let renamed = beside(&self.list, &until.to_string());
            if unless_missing(fs::rename(&self.path, &renamed))? {
                self.path = renamed;
            }
        }
        self.unheld = match held {
            true => 0,
            false => self.unheld + 1,
        };
        // Twice, for a program that was just about to open it.
        if self.unheld < 2 {
            return Ok(false);
        }
        unless_missing(fs::remove_file(&self.path))?;
        Ok(true)
    }
}

/// Whether the file was there.
fn unless_missing(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_unsupported(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
    )
}

fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    Ok(renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)?)
}

/// Appends the bytes `from..until` of a file to the list, in one write.
fn append(file: &File, from: u64, until: u64, list: &Path) -> io::Result<()> {
    let missing = usize::try_from(until.saturating_sub(from)).map_err(io::Error::other)?;
    if missing == 0 {
        return Ok(());
    }
    let mut tail = vec![0; missing];
    file.read_exact_at(&mut tail, from)?;
    let mut list = OpenOptions::new().append(true).create(true).open(list)?;
    list.write_all(&tail)
}

/// The length of the file without half a line at its end.
fn whole_lines(file: &File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut piece = [0; 4096];
    while end > 0 {
        let start = end.saturating_sub(piece.len() as u64);
        let length = usize::try_from(end - start).map_err(io::Error::other)?;
        let piece = piece.get_mut(..length).unwrap_or_default();
        file.read_exact_at(piece, start)?;
        if let Some(newline) = memchr::memrchr(b'\n', piece) {
            return Ok(start + newline as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Whether another process has the file open, as far as this user may see (`/proc`).
fn is_held(file: &File) -> bool {
    let Ok(wanted) = file.metadata() else {
        return false;
    };
    let ourselves = process::id().to_string();
    let Ok(processes) = fs::read_dir("/proc") else {
        return false;
    };
    let others = processes.flatten().filter(|entry| {
        let name = entry.file_name();
        let is_process = name
            .as_encoded_bytes()
            .first()
            .is_some_and(u8::is_ascii_digit);
        is_process && name != *ourselves
    });
    others
        .filter_map(|process| fs::read_dir(process.path().join("fd")).ok())
        .flat_map(Iterator::flatten)
        .filter_map(|descriptor| fs::metadata(descriptor.path()).ok())
        .any(|open| (open.dev(), open.ino()) == (wanted.dev(), wanted.ino()))
}

/// Takes over what processes that were killed left beside the list: new content that did
/// not take its place is deleted, a list that was replaced is a remainder to be watched.
///
/// # Errors
/// Those of reading the folder and of taking over; what failed is still there.
pub fn adopt(list: &Path) -> io::Result<Vec<Remainder>> {
    let mut remainders = Vec::new();
    let Ok(list) = fs::canonicalize(list) else {
        return Ok(remainders);
    };
    let folder = list.parent().unwrap_or(Path::new("/"));
    let mut prefix = OsStr::new(".").to_owned();
    prefix.push(list.file_name().unwrap_or_default());
    prefix.push(MARK);
    let mut lock_held = None;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(rest) = name
            .as_encoded_bytes()
            .strip_prefix(prefix.as_encoded_bytes())
        else {
            continue;
        };
        let Some((process, what)) = std::str::from_utf8(rest)
            .ok()
            .and_then(|r| r.split_once('-'))
        else {
            continue;
        };
        if Path::new("/proc").join(process).exists() {
            continue;
        }
        if lock_held.is_none() {
            lock_held = Some(lock(folder)?);
        }
        let path = entry.path();
        // Another of us may have taken it over while we waited for the lock.
        let Ok(file) = File::open(&path) else {
            continue;
        };
        match what.parse() {
            // New content is shorter than what it was copied from.
            Ok(copied) if file.metadata()?.len() >= copied => {
                let ours = beside(&list, what);
                fs::rename(&path, &ours)?;
                remainders.push(Remainder {
                    list: list.clone(),
                    path: ours,
                    file,
                    copied,
                    unheld: 0,
                });
            }
            _ => fs::remove_file(&path)?,
        }
    }
    Ok(remainders)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn key(byte: u8) -> Pubkey {
        Pubkey::from_bytes([byte; 32])
    }

    fn list(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("blacklist.txt");
        fs::write(&path, text).unwrap();
        (dir, path)
    }

    /// Removes, and lets the remainder go as nobody holds it.
    fn remove_keys(path: &Path, keys: &[u8]) -> u64 {
        let removal = remove(path, &keys.iter().map(|&byte| key(byte)).collect()).unwrap();
        if let Some(mut remainder) = removal.remainder {
            assert!(!remainder.rescue().unwrap());
            assert!(remainder.rescue().unwrap());
        }
        removal.lines
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn every_spelling_of_a_key_leaves_and_all_else_stays_byte_for_byte() {
        let long = "x".repeat(3 * LINE_LIMIT);
        let stays = format!(
            "\n# {long}\r\n{long}\n [INFO] log\u{e9}\n{}\r\nhalf",
            key(2)
        );
        let text = format!(
            "{}\n{}{}  # {long}\n{}\n{}\n",
            key(1),
            stays.replace("half", ""),
            key(1),
            key(1).to_hex().to_uppercase(),
            key(1).to_bech32(),
        ) + "half";
        let (dir, path) = list(&text);
        assert_eq!(remove_keys(&path, &[1, 9]), 4);
        assert_eq!(fs::read_to_string(&path).unwrap(), stays);
        assert_eq!(names(dir.path()), ["blacklist.txt"]);
    }

    #[test]
    fn a_list_without_the_key_is_not_touched() {
        let (dir, path) = list(&format!("{}\n", key(2)));
        let before = fs::metadata(&path).unwrap();
        assert_eq!(remove_keys(&path, &[1]), 0);
        assert_eq!(fs::metadata(&path).unwrap().ino(), before.ino());
        assert_eq!(names(dir.path()), ["blacklist.txt"]);
        assert_eq!(remove_keys(&dir.path().join("missing"), &[1]), 0);
    }

    #[test]
    fn mode_and_a_link_to_the_list_are_kept() {
        let (dir, path) = list(&format!("{}\n{}\n", key(1), key(2)));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(remove_keys(&link, &[1]), 1);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", key(2)));
    }

    #[test]
    fn a_read_only_list_stays_as_it_is() {
        let (dir, path) = list(&format!("{}\n", key(1)));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        let error = remove(&path, &BTreeSet::from([key(1)])).unwrap_err();
        assert_eq!(error.to_string(), "it is read-only");
        assert_eq!(names(dir.path()), ["blacklist.txt"]);
    }

    #[test]
    fn a_line_appended_to_the_replaced_file_reaches_the_list() {
        let (dir, path) = list(&format!("{}\n{}\n", key(1), key(2)));
        let mut late = OpenOptions::new().append(true).open(&path).unwrap();
        let removal = remove(&path, &BTreeSet::from([key(1)])).unwrap();
        let mut remainder = removal.remainder.unwrap();
        writeln!(late, "{}", key(3)).unwrap();
        remainder.rescue().unwrap();
        writeln!(late, "{}", key(4)).unwrap();
        drop(late);
        assert!(remainder.rescue().unwrap());
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("{}\n{}\n{}\n", key(2), key(3), key(4)));
        assert_eq!(names(dir.path()), ["blacklist.txt"]);
    }

    #[test]
    fn a_list_replaced_meanwhile_is_put_back() {
        let (dir, path) = list(&format!("{}\n", key(1)));
        let old = File::open(&path).unwrap();
        let beside = dir.path().join(".blacklist.txt.constellation-0-66");
        fs::write(&beside, "ours\n").unwrap();
        let theirs = dir.path().join("theirs");
        fs::write(&theirs, "theirs\n").unwrap();
        fs::rename(&theirs, &path).unwrap();
        let remainder = Remainder {
            list: path.clone(),
            path: beside,
            file: old,
            copied: 66,
            unheld: 0,
        };
        assert!(!remainder.take_the_place().unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs\n");
        assert_eq!(names(dir.path()), ["blacklist.txt"]);
    }

    #[test]
    fn what_a_killed_process_left_is_finished() {
        let (dir, path) = list("a\n");
        let left = |what: &str| {
            dir.path()
                .join(format!(".blacklist.txt.constellation-0-{what}"))
        };
        fs::write(left("new"), "half of the new cont").unwrap();
        fs::write(left("100"), "new content that never took its place").unwrap();
        fs::write(left("4"), "a\nx\nappended later\n").unwrap();
        let mut remainders = adopt(&path).unwrap();
        assert_eq!(remainders.len(), 1);
        for remainder in &mut remainders {
            remainder.rescue().unwrap();
            assert!(remainder.rescue().unwrap());
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "a\nappended later\n");
        assert_eq!(names(dir.path()), ["blacklist.txt"]);
    }

    #[test]
    fn what_a_living_process_watches_is_left_to_it() {
        let (dir, path) = list("a\n");
        let watched = dir.path().join(".blacklist.txt.constellation-1-2");
        fs::write(&watched, "a\nb\n").unwrap();
        assert!(adopt(&path).unwrap().is_empty());
        assert!(watched.exists());
    }

    #[test]
    fn half_a_line_is_told_from_whole_ones() {
        let (_dir, path) = list("");
        for (text, whole) in [
            (String::new(), 0),
            ("half".to_owned(), 0),
            ("a\n".to_owned(), 2),
            ("a\nhalf".to_owned(), 2),
            (format!("a\n{}", "x".repeat(10_000)), 2),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(whole_lines(&File::open(&path).unwrap()).unwrap(), whole);
        }
    }
}
