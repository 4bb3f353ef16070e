//! Removing keys from files, one step at a time. The whole program is tested elsewhere.

use super::*;
use crate::blacklist::digest::digest_of;
use crate::blacklist::replaced_list::{self, put_back, undo};
use rustix::fs::{FlockOperation, flock};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

fn key(byte: u8) -> Pubkey {
    Pubkey::from_bytes([byte; 32])
}

fn list(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("blacklist.txt");
    fs::write(&path, text).unwrap();
    (dir, path)
}

/// Removes once the folder is not locked. A child process that another test starts holds all
/// our locks until it executes its own program.
fn remove_soon(path: &Path, keys: &[u8], replaced: &mut Vec<ReplacedList>) -> u64 {
    let keys = keys.iter().map(|&byte| key(byte)).collect();
    loop {
        match remove(path, &keys, replaced) {
            Err(RemoveError::Locked) => {}
            lines => return lines.unwrap(),
        }
    }
}

/// Removes keys, and waits until the replaced lists are gone.
fn remove_keys(path: &Path, keys: &[u8]) -> u64 {
    let mut replaced = Vec::new();
    let lines = remove_soon(path, keys, &mut replaced);
    wait_until_gone(replaced);
    lines
}

fn wait_until_gone(replaced: impl IntoIterator<Item = ReplacedList>) {
    for mut replaced in replaced {
        assert!(!replaced.rescue().unwrap());
        while !replaced.rescue().unwrap() {}
    }
}

/// Removes one key and returns the list that was replaced.
fn remove_one(path: &Path, byte: u8) -> ReplacedList {
    let mut replaced = Vec::new();
    let lines = remove_soon(path, &[byte], &mut replaced);
    assert_eq!((lines, replaced.len()), (1, 1));
    replaced.remove(0)
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
fn every_spelling_of_a_key_is_removed_and_all_else_stays_byte_for_byte() {
    let long = "x".repeat(3 * constellation_shared::wot::LINE_CUT);
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
    let error = remove(&path, &BTreeSet::from([key(1)]), &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "it is read-only");
    assert_eq!(names(dir.path()), ["blacklist.txt"]);
}

#[test]
fn a_list_that_is_a_hole_of_gigabytes_is_not_copied() {
    let (dir, path) = list(&format!("{}\n", key(1)));
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(10_000_000_000).unwrap();
    let error = remove(&path, &BTreeSet::from([key(1)]), &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "it is larger than 256 MB");
    assert_eq!(names(dir.path()), ["blacklist.txt"]);
    file.set_len(1_000_000).unwrap();
    assert_eq!(remove_keys(&path, &[1]), 1);
}

fn make_fifo(path: &Path) {
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
    rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
}

/// Runs this, which must not wait for anybody.
fn at_once<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(Duration::from_secs(20)).unwrap()
}

#[test]
fn a_fifo_in_the_list_s_place_keeps_nobody_waiting() {
    let (_dir, path) = list("");
    fs::remove_file(&path).unwrap();
    make_fifo(&path);
    let removed = at_once(move || remove(&path, &[key(1)].into(), &mut Vec::new()).map(drop));
    assert_eq!(removed.unwrap_err().to_string(), "cannot read it");
}

#[test]
fn what_is_beside_the_list_and_not_ours_neither_keeps_us_waiting_nor_is_written_into() {
    let (dir, path) = list(&format!("{}\n{}\n", key(1), key(2)));
    let precious = dir.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    make_fifo(&side_file(&path, "1-2-3-4"));
    std::os::unix::fs::symlink(&precious, side_file(&path, "5-6-7-8")).unwrap();
    let recovering = path.clone();
    let recovered = at_once(move || recover_soon(&recovering).len());
    assert_eq!(recovered, 0);
    let traps: [&dyn Fn(&Path); 2] = [&make_fifo, &|path| {
        std::os::unix::fs::symlink(&precious, path).unwrap();
    }];
    for (byte, trap) in (1..).zip(traps) {
        trap(&side_file(&path, "new"));
        let removing = path.clone();
        assert_eq!(at_once(move || remove_keys(&removing, &[byte])), 1);
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "");
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
}

#[test]
fn a_list_that_cannot_be_reached_does_not_count_as_missing() {
    let (dir, path) = list("");
    let keys = BTreeSet::from([key(1)]);
    let message = |path: &Path| match remove(path, &keys, &mut Vec::new()) {
        Err(error) => error.to_string(),
        Ok(lines) => panic!("{lines} lines were removed"),
    };
    assert_eq!(message(&path.join("below a file")), "cannot find it");
    let socket = dir.path().join("socket");
    let _open = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert_eq!(message(&socket), "cannot read it");
}

#[test]
fn a_line_appended_to_the_replaced_file_reaches_the_list() {
    let (dir, path) = list(&format!("{}\n{}\n", key(1), key(2)));
    let mut late = OpenOptions::new().append(true).open(&path).unwrap();
    let mut replaced = remove_one(&path, 1);
    writeln!(late, "{}", key(3)).unwrap();
    assert!(replaced.has_grown());
    replaced.rescue().unwrap();
    assert!(!replaced.has_grown());
    writeln!(late, "{}", key(4)).unwrap();
    drop(late);
    while !replaced.rescue().unwrap() {}
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, format!("{}\n{}\n{}\n", key(2), key(3), key(4)));
    assert_eq!(names(dir.path()), ["blacklist.txt"]);
}

/// `grep -r` also opens our file beside the list, but only to read it.
#[test]
fn an_unfinished_line_that_was_copied_is_not_repeated_if_a_program_reads_the_old_list() {
    let (dir, path) = list(&format!("{}\n{}", key(1), key(2)));
    let mut replaced = remove_one(&path, 1);
    let old = dir.path().join(names(dir.path()).remove(0));
    let mut reader = std::process::Command::new("cat")
        .arg("-")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(File::open(&old).unwrap())
        .spawn()
        .unwrap();
    replaced.rescue().unwrap();
    drop(reader.stdin.take());
    reader.wait().unwrap();
    while !replaced.rescue().unwrap() {}
    assert_eq!(fs::read_to_string(&path).unwrap(), key(2).to_hex());
}

/// A removal of key 1 that was stopped before the exchange.
struct Prepared {
    /// The file with the new content, beside the list.
    new: PathBuf,
    old: File,
    record: ExchangeRecord,
}

fn prepared(list: &Path) -> Prepared {
    let old = File::open(list).unwrap();
    let new = side_file(list, "new");
    match write_without(&old, &new, &BTreeSet::from([key(1)])).unwrap() {
        Written::Whole { lines: 1, record } => Prepared { new, old, record },
        _ => panic!("not exactly one line would be removed"),
    }
}

#[test]
fn a_list_replaced_meanwhile_is_put_back() {
    let (dir, path) = list(&format!("{}\n", key(1)));
    let Prepared { new, old, record } = prepared(&path);
    let theirs = dir.path().join("theirs");
    fs::write(&theirs, "theirs\n").unwrap();
    fs::rename(&theirs, &path).unwrap();
    let Exchanged { holds, watched } = ReplacedList::exchange(&path, &new, old, record).unwrap();
    assert!(!holds);
    assert_eq!(fs::read_to_string(&path).unwrap(), "theirs\n");
    // A program opened our list while it was in place.
    let mut replaced = watched.unwrap();
    let ours = names(dir.path()).remove(0);
    let mut late = OpenOptions::new()
        .append(true)
        .open(dir.path().join(ours))
        .unwrap();
    replaced.rescue().unwrap();
    writeln!(late, "late").unwrap();
    drop(late);
    while !replaced.rescue().unwrap() {}
    assert_eq!(fs::read_to_string(&path).unwrap(), "theirs\nlate\n");
    assert_eq!(names(dir.path()), ["blacklist.txt"]);
}

#[test]
fn a_list_rewritten_meanwhile_is_put_back() {
    // Shorter, as long, and longer than what was copied.
    for theirs in ["a\n", &"b\n".repeat(33), &"c\n".repeat(100)] {
        let (dir, path) = list(&format!("{}\n", key(1)));
        let Prepared { new, old, record } = prepared(&path);
        fs::write(&path, theirs).unwrap();
        let Exchanged { holds, watched } =
            ReplacedList::exchange(&path, &new, old, record).unwrap();
        assert!(!holds);
        wait_until_gone(watched);
        assert_eq!(fs::read_to_string(&path).unwrap(), theirs);
        assert_eq!(names(dir.path()), ["blacklist.txt"]);
    }
}

#[test]
fn a_list_deleted_meanwhile_stays_deleted() {
    let (dir, path) = list(&format!("{}\n", key(1)));
    let Prepared { new, old, record } = prepared(&path);
    fs::remove_file(&path).unwrap();
    let Exchanged { holds, watched } = ReplacedList::exchange(&path, &new, old, record).unwrap();
    assert!(!holds && watched.is_none());
    assert!(names(dir.path()).is_empty());
}

/// Fails as the system call does on NFS and vfat.
fn cannot_exchange(_: &Path, _: &Path) -> io::Result<()> {
    Err(rustix::io::Errno::INVAL.into())
}

#[test]
fn without_exchange_the_list_is_replaced_and_lines_appended_to_the_old_one_are_kept() {
    let (dir, path) = list(&format!("{}\n{}\n", key(1), key(2)));
    let mut late = OpenOptions::new().append(true).open(&path).unwrap();
    let Prepared { new, old, record } = prepared(&path);
    let Exchanged { holds, watched } =
        ReplacedList::exchange_with(cannot_exchange, &path, &new, old, record).unwrap();
    assert!(holds);
    assert_eq!(names(dir.path()), ["blacklist.txt"]);
    writeln!(late, "late").unwrap();
    let mut replaced = watched.unwrap();
    assert!(replaced.has_grown());
    while !replaced.rescue().unwrap() {}
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, format!("{}\nlate\n", key(2)));
    assert_eq!(names(dir.path()), ["blacklist.txt"]);
}

#[test]
fn without_exchange_a_list_that_changed_meanwhile_stays() {
    let by_another = |path: &Path| {
        let theirs = path.with_file_name("theirs");
        fs::write(&theirs, "theirs\n").unwrap();
        fs::rename(&theirs, path).unwrap();
    };
    let in_place = |path: &Path| fs::write(path, "theirs\n").unwrap();
    let changes: [&dyn Fn(&Path); 2] = [&by_another, &in_place];
    for change in changes {
        let (dir, path) = list(&format!("{}\n", key(1)));
        let Prepared { new, old, record } = prepared(&path);
        change(&path);
        let Exchanged { holds, watched } =
            ReplacedList::exchange_with(cannot_exchange, &path, &new, old, record).unwrap();
        assert!(!holds && watched.is_none());
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs\n");
        assert_eq!(names(dir.path()), ["blacklist.txt"]);
    }
}

#[test]
fn any_other_error_of_the_exchange_changes_nothing() {
    let (dir, path) = list(&format!("{}\n", key(1)));
    let Prepared { new, old, record } = prepared(&path);
    let fails = |_: &Path, _: &Path| Err(rustix::io::Errno::ACCESS.into());
    let error = ReplacedList::exchange_with(fails, &path, &new, old, record).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, format!("{}\n", key(1)));
    assert_eq!(names(dir.path()), ["blacklist.txt"]);
}

#[test]
fn a_rewrite_of_the_replaced_file_reaches_the_list() {
    let (_dir, path) = list(&format!("{}\n{}\n", key(1), key(2)));
    let late = OpenOptions::new().write(true).open(&path).unwrap();
    let mut replaced = remove_one(&path, 1);
    late.set_len(0).unwrap();
    let anew = format!("{}\n{}\n{}\n", key(3), key(4), key(5));
    (&late).write_all(anew.as_bytes()).unwrap();
    assert!(replaced.has_grown());
    replaced.rescue().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, format!("{}\n{anew}", key(2)));
}

/// Recovers once the folder is not locked, which another test's child process may delay.
fn recover_soon(path: &Path) -> Vec<ReplacedList> {
    loop {
        if let Some(replaced) = recover(path).unwrap() {
            return replaced;
        }
    }
}

/// Recovers and watches the files beside the list until they are gone.
fn recover_all(path: &Path) {
    let started = Instant::now();
    while names(path.parent().unwrap()).len() > 1 {
        assert!(started.elapsed() < Duration::from_secs(60), "it stays");
        wait_until_gone(recover_soon(path));
    }
}

#[test]
fn a_removal_killed_at_any_step_is_finished_or_undone() {
    let old_text = format!("{}\n{}\n", key(1), key(2));
    let new_text = format!("{}\n", key(2));
    let killed_after = |step: &str| {
        let (dir, path) = list(&old_text);
        let Prepared { new, old, record } = prepared(&path);
        let add = |path: &Path, line: &str| {
            let mut file = OpenOptions::new().append(true).open(path).unwrap();
            writeln!(file, "{line}").unwrap();
        };
        let renamed = side_file(&path, &record.suffix());
        match step {
            "half written" => fs::write(&new, "ha").unwrap(),
            "written" => {}
            "renamed" => fs::rename(&new, &renamed).unwrap(),
            "exchanged" => {
                // Dropping it looks as if its process were gone.
                let exchanged = ReplacedList::exchange(&path, &new, old, record).unwrap();
                assert!(exchanged.holds);
                add(&renamed, "appended");
            }
            _ => {
                fs::rename(&new, &renamed).unwrap();
                let theirs = dir.path().join("theirs");
                fs::write(&theirs, "theirs\n").unwrap();
                fs::rename(&theirs, &path).unwrap();
                replaced_list::exchange(&renamed, &path).unwrap();
                add(&path, "appended");
                if step == "put back" {
                    replaced_list::exchange(&renamed, &path).unwrap();
                }
            }
        }
        recover_all(&path);
        assert_eq!(names(dir.path()), ["blacklist.txt"], "{step}");
        fs::read_to_string(&path).unwrap()
    };
    assert_eq!(killed_after("half written"), old_text);
    assert_eq!(killed_after("written"), old_text);
    assert_eq!(killed_after("renamed"), old_text);
    assert_eq!(killed_after("exchanged"), format!("{new_text}appended\n"));
    assert_eq!(killed_after("wrongly exchanged"), "theirs\nappended\n");
    assert_eq!(killed_after("put back"), "theirs\nappended\n");
}

#[test]
fn a_list_deleted_before_it_could_be_put_back_stays_deleted() {
    let (dir, path) = list(&format!("{}\n", key(1)));
    let Prepared { new, record, .. } = prepared(&path);
    let renamed = side_file(&path, &record.suffix());
    fs::rename(&new, &renamed).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(undo(&path, &renamed, &record).unwrap().is_none());
    assert!(names(dir.path()).is_empty());
}

#[test]
fn a_file_that_another_process_of_ours_watches_is_left_to_it() {
    let (dir, path) = list(&format!("{}\n{}\n", key(1), key(2)));
    let removal = remove_one(&path, 1);
    assert!(recover_soon(&path).is_empty());
    assert_eq!(names(dir.path()).len(), 2);
    drop(removal);
    recover_all(&path);
    assert_eq!(names(dir.path()), ["blacklist.txt"]);
}

#[test]
fn a_digest_does_not_depend_on_how_much_is_read_at_once() {
    let text = b"0123456789".repeat(5000);
    let mut digested = DigestReader::new(&text[..]);
    for length in (1..400).cycle() {
        if digested.read(&mut vec![0; length]).unwrap() == 0 {
            break;
        }
    }
    let whole = digest_of(&text[..]).unwrap();
    assert_eq!(digested.digest(), whole);
    assert_ne!(digest_of(&text[1..]).unwrap(), whole);
}

#[test]
fn a_replaced_list_stays_for_a_while_as_unseen_programs_may_have_it_open() {
    let (dir, path) = list(&format!("{}\n{}\n", key(1), key(2)));
    // Our own open files are not looked at, just as those of other users cannot be.
    let mut unseen = OpenOptions::new().append(true).open(&path).unwrap();
    let mut replaced = remove_one(&path, 1);
    let started = Instant::now();
    assert!(!replaced.rescue().unwrap());
    assert_eq!(names(dir.path()).len(), 2);
    writeln!(unseen, "late").unwrap();
    while !replaced.rescue().unwrap() {}
    assert!(started.elapsed() >= Duration::from_millis(200));
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, format!("{}\nlate\n", key(2)));
}

#[test]
fn a_folder_that_is_locked_is_not_waited_for() {
    let (dir, path) = list(&format!("{}\n", key(1)));
    let lock = File::open(dir.path()).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let keys = BTreeSet::from([key(1)]);
    let removed = remove(&path, &keys, &mut Vec::new());
    assert!(matches!(removed, Err(RemoveError::Locked)));
    fs::write(side_file(&path, "new"), "").unwrap();
    assert!(recover(&path).unwrap().is_none());
    drop(lock);
    assert!(recover_soon(&path).is_empty());
    assert_eq!(remove_keys(&path, &[1]), 1);
}

/// Half a key that a full disk left must not swallow the key that follows.
#[test]
fn a_key_appended_after_an_unfinished_line_stays_blocked() {
    let (_dir, path) = list(&format!("{}\n{}\n", key(1), key(2)));
    let mut late = OpenOptions::new().append(true).open(&path).unwrap();
    let mut replaced = remove_one(&path, 1);
    let mut new = OpenOptions::new().append(true).open(&path).unwrap();
    write!(new, "{:.20}", key(3).to_hex()).unwrap();
    writeln!(late, "{}", key(4)).unwrap();
    replaced.rescue().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let half = &key(3).to_hex()[..20];
    assert_eq!(text, format!("{}\n{half}\n{}\n", key(2), key(4)));
}

#[test]
fn a_list_moved_in_while_another_is_put_back_is_the_list() {
    let (dir, path) = list("newest\n");
    let older = side_file(&path, "older");
    fs::write(&older, "older\n").unwrap();
    // The list was last seen to be a third file, and was replaced since.
    let seen = dir.path().join("seen");
    fs::write(&seen, "").unwrap();
    let seen = fs::metadata(&seen).unwrap().ino();
    assert!(!put_back(&path, &older, seen).unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), "newest\n");
    assert_eq!(fs::read_to_string(&older).unwrap(), "older\n");
    let newest = fs::metadata(&path).unwrap().ino();
    assert!(put_back(&path, &older, newest).unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), "older\n");
    fs::remove_file(&path).unwrap();
    assert!(!put_back(&path, &older, newest).unwrap());
}
