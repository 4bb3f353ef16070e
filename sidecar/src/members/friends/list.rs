//! Adds keys to `amisOfAmis.txt` while other programs append to it, sort it in place, and delete and
//! rebuild it once a day, all without a lock.
//!
//! All lines are appended in one write. If the file was replaced, deleted or truncated meanwhile,
//! they are appended again to the file that is there then. One case remains: a program that sorts
//! the file in place may have read it before our write and write it after our check. Then our lines
//! are lost, as those of any `>>` would be, and the next run adds them again.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufReader};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::Duration;

use constellation_shared::wot::{LINE_LIMIT, Line, parse_line, read_list};
use constellation_shared::{Pubkey, regular_file};
use tokio::time::sleep;

use crate::support::atomic_file;

/// How often the end of a file that somebody writes to is looked at, and how many times.
const TAIL_INTERVAL: Duration = Duration::from_millis(50);
const TAIL_LOOKS: u32 = 20;

/// How often a list that others replace at the same time is tried again.
const ATTEMPTS: u32 = 10;

/// Adds those of the keys that the list does not hold yet, and returns how many these
/// were. A missing list is made.
///
/// # Errors
/// If reading or writing fails. If the disk is full, the list is as it was.
pub(crate) async fn add(path: &Path, keys: &BTreeSet<Pubkey>) -> io::Result<usize> {
    let mut added = BTreeSet::new();
    for _ in 0..ATTEMPTS {
        let file = open(path)?;
        // One of us at a time; other programs know no lock.
        file.lock()?;
        let mut missing = keys.clone();
        read_list(BufReader::new(&file), |_, key| {
            missing.remove(&key);
        })?;
        if missing.is_empty() {
            return Ok(added.len());
        }
        let separator = separator(&file).await?;
        let mut lines = separator.to_owned();
        for key in &missing {
            lines.push_str(&format!("{key}\n"));
        }
        let before = file.metadata()?.len();
        atomic_file::append(&file, lines.as_bytes())?;
        added.append(&mut missing);
        file.sync_data()?;
        let grown = before.saturating_add(lines.len() as u64);
        match fs::metadata(path) {
            Ok(now) if is_same(&now, &file.metadata()?) && now.len() >= grown => {
                return Ok(added.len());
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("other programs replace it all the time"))
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    regular_file::open_with(path, options.read(true).append(true).create(true))
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// What has to stand before our first line: a newline where the last one has none. A line
/// that is half written is waited for a while, so as not to cut it in two.
async fn separator(file: &File) -> io::Result<&'static str> {
    for _ in 0..TAIL_LOOKS {
        let tail = tail(file)?;
        if tail.is_empty() {
            return Ok("");
        }
        if parse_line(&tail) != Line::Faulty {
            return Ok("\n");
        }
        sleep(TAIL_INTERVAL).await;
    }
    Ok(if tail(file)?.is_empty() { "" } else { "\n" })
}

/// What follows the last newline, as far as it matters.
fn tail(file: &File) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    let start = length.saturating_sub(LINE_LIMIT as u64);
    let mut end = vec![0; LINE_LIMIT];
    let mut read = 0;
    while let Some(rest) = end.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, start + read as u64)? {
            0 => break,
            more => read += more,
        }
    }
    end.truncate(read);
    let newline = end.iter().rposition(|&byte| byte == b'\n');
    Ok(end.split_off(newline.map_or(0, |place| place + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::thread;

    fn key(number: u32) -> Pubkey {
        let mut bytes = [7; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        Pubkey::from_bytes(bytes)
    }

    fn lines(numbers: impl IntoIterator<Item = u32>) -> String {
        let line = |number| format!("{}\n", key(number));
        numbers.into_iter().map(line).collect()
    }

    fn add_now(path: &Path, numbers: impl IntoIterator<Item = u32>) -> io::Result<usize> {
        let keys = numbers.into_iter().map(key).collect();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(add(path, &keys))
    }

    #[test]
    fn what_is_there_stays_and_nothing_is_added_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        let upper = key(2).to_hex().to_uppercase();
        for (before, after) in [
            (String::new(), lines([1, 2, 3])),
            (lines([3, 9]), lines([3, 9, 1, 2])),
            // Without a newline at its end, with CRLF, with a remark, with nonsense.
            (lines([9]).trim_end().to_owned(), lines([9, 1, 2, 3])),
            (
                format!("{upper}\r\n"),
                format!("{upper}\r\n{}", lines([1, 3])),
            ),
            (
                format!("# {}", key(1)),
                format!("# {}\n{}", key(1), lines([1, 2, 3])),
            ),
            (
                "half a li".to_owned(),
                format!("half a li\n{}", lines([1, 2, 3])),
            ),
        ] {
            fs::write(&path, &before).unwrap();
            add_now(&path, [1, 2, 3]).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), after);
            assert_eq!(add_now(&path, [1, 2, 3]).unwrap(), 0);
            assert_eq!(fs::read_to_string(&path).unwrap(), after);
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(add_now(&path, [5]).unwrap(), 1);
        assert!(add_now(dir.path(), [5]).is_err());
    }

    #[test]
    fn a_line_that_is_being_written_is_not_cut_in_two() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        let line = lines([9]);
        let (start, rest) = line.split_at(20);
        fs::write(&path, start).unwrap();
        let adder = {
            let path = path.clone();
            thread::spawn(move || add_now(&path, [1]).unwrap())
        };
        let mut writer = OpenOptions::new().append(true).open(&path).unwrap();
        writer.write_all(rest.as_bytes()).unwrap();
        assert_eq!(adder.join().unwrap(), 1);
        assert_eq!(fs::read_to_string(&path).unwrap(), lines([9, 1]));
    }

    #[test]
    fn writers_beside_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        thread::scope(|scope| {
            for part in 0..4 {
                let path = &path;
                scope.spawn(move || {
                    for number in 0..50 {
                        add_now(path, [part * 1000 + number, 7]).unwrap();
                    }
                });
                scope.spawn(move || {
                    for number in 500..700 {
                        let mut file = OpenOptions::new().append(true).create(true).open(path);
                        let file = file.as_mut().unwrap();
                        let line = lines([part * 1000 + number]);
                        file.write_all(line.as_bytes()).unwrap();
                    }
                });
            }
        });
        let text = fs::read_to_string(&path).unwrap();
        let mut keys = Vec::new();
        let faults = read_list(text.as_bytes(), |_, key| keys.push(key)).unwrap();
        assert_eq!(faults.count, 0, "{faults}");
        let distinct: BTreeSet<Pubkey> = keys.iter().copied().collect();
        assert_eq!(keys.len(), distinct.len());
        assert_eq!(distinct.len(), 4 * 250);
    }

    #[test]
    fn a_list_that_is_deleted_meanwhile_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        // Held up by a line that never ends, so that the deletion falls into its work.
        fs::write(&path, "half a li").unwrap();
        let adder = {
            let path = path.clone();
            thread::spawn(move || add_now(&path, [1, 2]).unwrap())
        };
        let held = File::open(&path).unwrap();
        while held.try_lock().is_ok() {
            held.unlock().unwrap();
            thread::yield_now();
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(adder.join().unwrap(), 2);
        assert_eq!(fs::read_to_string(&path).unwrap(), lines([1, 2]));
    }
}
