//! Removal on files, one step at a time; the whole program is tested elsewhere.

use super::*;
use std::os::unix::fs::PermissionsExt;
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

/// Removes as soon as the folder is not locked: a child that another test starts holds each
/// lock of ours, too, until it has become its program.
fn remove_soon(path: &Path, keys: &[u8], remainders: &mut Vec<Remainder>) -> u64 {
    let keys = keys.iter().map(|&byte| key(byte)).collect();
    loop {
        match remove(path, &keys, remainders) {
            Err(RemoveError::Locked) => {}
            lines => return lines.unwrap(),
        }
    }
}

/// Removes, and lets what was replaced go as nobody holds it.
fn remove_keys(path: &Path, keys: &[u8]) -> u64 {
    let mut remainders = Vec::new();
    let lines = remove_soon(path, keys, &mut remainders);
    let_go(remainders);
    lines
}

fn let_go(remainders: impl IntoIterator<Item = Remainder>) {
    for mut remainder in remainders {
        assert!(!remainder.rescue().unwrap());
        while !remainder.rescue().unwrap() {}
    }
}

/// Removes one key; the list as it was.
fn remove_one(path: &Path, byte: u8) -> Remainder {
    let mut remainders = Vec::new();
    let lines = remove_soon(path, &[byte], &mut remainders);
    assert_eq!((lines, remainders.len()), (1, 1));
    remainders.remove(0)
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

#[test]
fn a_list_that_cannot_be_reached_is_no_missing_one() {
    let (dir, path) = list("");
    let keys = BTreeSet::from([key(1)]);
    let said = |path: &Path| match remove(path, &keys, &mut Vec::new()) {
        Err(error) => error.to_string(),
        Ok(lines) => panic!("{lines} lines of it left"),
    };
    assert_eq!(said(&path.join("below a file")), "cannot find it");
    let socket = dir.path().join("socket");
    let _open = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert_eq!(said(&socket), "cannot read it");
}

#[test]
fn a_line_appended_to_the_replaced_file_reaches_the_list() {
    let (dir, path) = list(&format!("{}\n{}\n", key(1), key(2)));
    let mut late = OpenOptions::new().append(true).open(&path).unwrap();
    let mut remainder = remove_one(&path, 1);
    writeln!(late, "{}", key(3)).unwrap();
    assert!(remainder.has_grown());
    remainder.rescue().unwrap();
    assert!(!remainder.has_grown());
    writeln!(late, "{}", key(4)).unwrap();
    drop(late);
    while !remainder.rescue().unwrap() {}
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, format!("{}\n{}\n{}\n", key(2), key(3), key(4)));
    assert_eq!(names(dir.path()), ["blacklist.txt"]);
}

/// `grep -r` reads what lies beside the list, too, and has nothing to append to it.
#[test]
fn half_a_line_that_was_copied_does_not_come_again_where_somebody_reads_the_old_list() {
    let (dir, path) = list(&format!("{}\n{}", key(1), key(2)));
    let mut remainder = remove_one(&path, 1);
    let old = dir.path().join(names(dir.path()).remove(0));
    let mut reader = std::process::Command::new("cat")
        .arg("-")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(File::open(&old).unwrap())
        .spawn()
        .unwrap();
    remainder.rescue().unwrap();
    drop(reader.stdin.take());
    reader.wait().unwrap();
    while !remainder.rescue().unwrap() {}
    assert_eq!(fs::read_to_string(&path).unwrap(), key(2).to_hex());
}

/// A removal of key 1 that was stopped before the exchange: the new content lies beside
/// the list.
fn prepared(list: &Path) -> (PathBuf, File, Work) {
    let old = File::open(list).unwrap();
    let new = beside(list, "new");
    match write_without(&old, &new, &BTreeSet::from([key(1)])).unwrap() {
        Written::Whole { lines: 1, work } => (new, old, work),
        _ => panic!("no line, or another number of them"),
    }
}

#[test]
fn a_list_replaced_meanwhile_is_put_back() {
    let (dir, path) = list(&format!("{}\n", key(1)));
    let (new, old, work) = prepared(&path);
    let theirs = dir.path().join("theirs");
    fs::write(&theirs, "theirs\n").unwrap();
    fs::rename(&theirs, &path).unwrap();
    let (taken, put_back) = Remainder::exchange(&path, &new, old, work).unwrap();
    assert!(!taken);
    assert_eq!(fs::read_to_string(&path).unwrap(), "theirs\n");
    // One who opened our list in the instant that it stood there.
    let mut remainder = put_back.unwrap();
    let ours = names(dir.path()).remove(0);
    let mut late = OpenOptions::new()
        .append(true)
        .open(dir.path().join(ours))
        .unwrap();
    remainder.rescue().unwrap();
    writeln!(late, "late").unwrap();
    drop(late);
    while !remainder.rescue().unwrap() {}
    assert_eq!(fs::read_to_string(&path).unwrap(), "theirs\nlate\n");
    assert_eq!(names(dir.path()), ["blacklist.txt"]);
}

#[test]
fn a_list_rewritten_meanwhile_is_put_back() {
    // Shorter, as long, and longer than what was copied.
    for theirs in ["a\n", &"b\n".repeat(33), &"c\n".repeat(100)] {
        let (dir, path) = list(&format!("{}\n", key(1)));
        let (new, old, work) = prepared(&path);
        fs::write(&path, theirs).unwrap();
        let (taken, put_back) = Remainder::exchange(&path, &new, old, work).unwrap();
        assert!(!taken);
        let_go(put_back);
        assert_eq!(fs::read_to_string(&path).unwrap(), theirs);
        assert_eq!(names(dir.path()), ["blacklist.txt"]);
    }
}

#[test]
fn a_list_deleted_meanwhile_stays_deleted() {
    let (dir, path) = list(&format!("{}\n", key(1)));
    let (new, old, work) = prepared(&path);
    fs::remove_file(&path).unwrap();
    let (taken, left) = Remainder::exchange(&path, &new, old, work).unwrap();
    assert!(!taken && left.is_none());
    assert!(names(dir.path()).is_empty());
}

/// What NFS and vfat say.
fn cannot_exchange(_: &Path, _: &Path) -> io::Result<()> {
    Err(rustix::io::Errno::INVAL.into())
}

#[test]
fn where_nothing_can_be_exchanged_the_list_is_replaced_and_what_is_appended_to_the_old_kept() {
    let (dir, path) = list(&format!("{}\n{}\n", key(1), key(2)));
    let mut late = OpenOptions::new().append(true).open(&path).unwrap();
    let (new, old, work) = prepared(&path);
    let (taken, left) = Remainder::exchange_by(cannot_exchange, &path, &new, old, work).unwrap();
    assert!(taken);
    assert_eq!(names(dir.path()), ["blacklist.txt"]);
    writeln!(late, "late").unwrap();
    let mut remainder = left.unwrap();
    assert!(remainder.has_grown());
    while !remainder.rescue().unwrap() {}
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, format!("{}\nlate\n", key(2)));
    assert_eq!(names(dir.path()), ["blacklist.txt"]);
}

#[test]
fn where_nothing_can_be_exchanged_a_list_that_changed_meanwhile_stays() {
    let by_another = |path: &Path| {
        let theirs = path.with_file_name("theirs");
        fs::write(&theirs, "theirs\n").unwrap();
        fs::rename(&theirs, path).unwrap();
    };
    let in_place = |path: &Path| fs::write(path, "theirs\n").unwrap();
    let changes: [&dyn Fn(&Path); 2] = [&by_another, &in_place];
    for change in changes {
        let (dir, path) = list(&format!("{}\n", key(1)));
        let (new, old, work) = prepared(&path);
        change(&path);
        let (taken, left) =
            Remainder::exchange_by(cannot_exchange, &path, &new, old, work).unwrap();
        assert!(!taken && left.is_none());
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs\n");
        assert_eq!(names(dir.path()), ["blacklist.txt"]);
    }
}

#[test]
fn another_error_than_that_nothing_can_be_exchanged_changes_nothing() {
    let (dir, path) = list(&format!("{}\n", key(1)));
    let (new, old, work) = prepared(&path);
    let fails = |_: &Path, _: &Path| Err(rustix::io::Errno::ACCESS.into());
    let error = Remainder::exchange_by(fails, &path, &new, old, work).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, format!("{}\n", key(1)));
    assert_eq!(names(dir.path()), ["blacklist.txt"]);
}

#[test]
fn what_is_written_anew_into_the_replaced_file_reaches_the_list() {
    let (_dir, path) = list(&format!("{}\n{}\n", key(1), key(2)));
    let late = OpenOptions::new().write(true).open(&path).unwrap();
    let mut remainder = remove_one(&path, 1);
    late.set_len(0).unwrap();
    let anew = format!("{}\n{}\n{}\n", key(3), key(4), key(5));
    (&late).write_all(anew.as_bytes()).unwrap();
    assert!(remainder.has_grown());
    remainder.rescue().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, format!("{}\n{anew}", key(2)));
}

/// Adopts as soon as the folder is not locked, as [`remove_soon`] removes.
fn adopt_soon(path: &Path) -> Vec<Remainder> {
    loop {
        if let Some(remainders) = adopt(path).unwrap() {
            return remainders;
        }
    }
}

/// Lets what lies beside the list be adopted and watched until it is gone.
fn adopt_all(path: &Path) {
    let started = Instant::now();
    while names(path.parent().unwrap()).len() > 1 {
        assert!(started.elapsed() < Duration::from_secs(60), "it stays");
        let_go(adopt_soon(path));
    }
}

#[test]
fn a_removal_killed_at_any_step_is_finished_or_undone() {
    let old_text = format!("{}\n{}\n", key(1), key(2));
    let new_text = format!("{}\n", key(2));
    let killed_after = |step: &str| {
        let (dir, path) = list(&old_text);
        let (new, old, work) = prepared(&path);
        let add = |path: &Path, line: &str| {
            let mut file = OpenOptions::new().append(true).open(path).unwrap();
            writeln!(file, "{line}").unwrap();
        };
        let named = beside(&path, &work.name());
        match step {
            "half written" => fs::write(&new, "ha").unwrap(),
            "written" => {}
            "named" => fs::rename(&new, &named).unwrap(),
            "exchanged" => {
                // Dropped, it is as if its process were gone.
                let (taken, _) = Remainder::exchange(&path, &new, old, work).unwrap();
                assert!(taken);
                add(&named, "appended");
            }
            _ => {
                fs::rename(&new, &named).unwrap();
                let theirs = dir.path().join("theirs");
                fs::write(&theirs, "theirs\n").unwrap();
                fs::rename(&theirs, &path).unwrap();
                remainder::exchange(&named, &path).unwrap();
                add(&path, "appended");
                if step == "put back" {
                    remainder::exchange(&named, &path).unwrap();
                }
            }
        }
        adopt_all(&path);
        assert_eq!(names(dir.path()), ["blacklist.txt"], "{step}");
        fs::read_to_string(&path).unwrap()
    };
    assert_eq!(killed_after("half written"), old_text);
    assert_eq!(killed_after("written"), old_text);
    assert_eq!(killed_after("named"), old_text);
    assert_eq!(killed_after("exchanged"), format!("{new_text}appended\n"));
    assert_eq!(killed_after("wrongly exchanged"), "theirs\nappended\n");
    assert_eq!(killed_after("put back"), "theirs\nappended\n");
}

#[test]
fn a_list_deleted_before_it_could_be_put_back_stays_deleted() {
    let (dir, path) = list(&format!("{}\n", key(1)));
    let (new, _old, work) = prepared(&path);
    let named = beside(&path, &work.name());
    fs::rename(&new, &named).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(remainder::undo(&path, &named, &work).unwrap().is_none());
    assert!(names(dir.path()).is_empty());
}

#[test]
fn what_another_of_us_watches_is_left_to_it() {
    let (dir, path) = list(&format!("{}\n{}\n", key(1), key(2)));
    let removal = remove_one(&path, 1);
    assert!(adopt_soon(&path).is_empty());
    assert_eq!(names(dir.path()).len(), 2);
    drop(removal);
    adopt_all(&path);
    assert_eq!(names(dir.path()), ["blacklist.txt"]);
}

#[test]
fn a_digest_does_not_depend_on_the_pieces_it_was_read_in() {
    let text = b"0123456789".repeat(5000);
    let mut digested = Digested::new(&text[..]);
    for length in (1..400).cycle() {
        if digested.read(&mut vec![0; length]).unwrap() == 0 {
            break;
        }
    }
    let whole = Digested::of_all(&text[..]).unwrap();
    assert_eq!(digested.digest.finish(), whole);
    assert_ne!(Digested::of_all(&text[1..]).unwrap(), whole);
}

#[test]
fn a_replaced_list_stays_for_a_while_for_one_who_is_not_seen_to_hold_it() {
    let (dir, path) = list(&format!("{}\n{}\n", key(1), key(2)));
    // Our own descriptors are not looked at, as those of another user cannot be.
    let mut unseen = OpenOptions::new().append(true).open(&path).unwrap();
    let mut remainder = remove_one(&path, 1);
    let started = Instant::now();
    assert!(!remainder.rescue().unwrap());
    assert_eq!(names(dir.path()).len(), 2);
    writeln!(unseen, "late").unwrap();
    while !remainder.rescue().unwrap() {}
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
    fs::write(beside(&path, "new"), "").unwrap();
    assert!(adopt(&path).unwrap().is_none());
    drop(lock);
    assert!(adopt_soon(&path).is_empty());
    assert_eq!(remove_keys(&path, &[1]), 1);
}

/// Half a key on a full disk must not swallow the key that follows.
#[test]
fn a_key_rescued_behind_half_a_line_stays_blocked() {
    let (_dir, path) = list(&format!("{}\n{}\n", key(1), key(2)));
    let mut late = OpenOptions::new().append(true).open(&path).unwrap();
    let mut remainder = remove_one(&path, 1);
    let mut new = OpenOptions::new().append(true).open(&path).unwrap();
    write!(new, "{:.20}", key(3).to_hex()).unwrap();
    writeln!(late, "{}", key(4)).unwrap();
    remainder.rescue().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let half = &key(3).to_hex()[..20];
    assert_eq!(text, format!("{}\n{half}\n{}\n", key(2), key(4)));
}

#[test]
fn a_list_moved_in_while_another_is_put_back_is_the_list() {
    let (dir, path) = list("newest\n");
    let older = beside(&path, "older");
    fs::write(&older, "older\n").unwrap();
    // What was seen to be the list is neither: it was replaced in between.
    let seen = dir.path().join("seen");
    fs::write(&seen, "").unwrap();
    let seen = fs::metadata(&seen).unwrap().ino();
    assert!(!remainder::put_back(&path, &older, seen).unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), "newest\n");
    assert_eq!(fs::read_to_string(&older).unwrap(), "older\n");
    let newest = fs::metadata(&path).unwrap().ino();
    assert!(remainder::put_back(&path, &older, newest).unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), "older\n");
    fs::remove_file(&path).unwrap();
    assert!(!remainder::put_back(&path, &older, newest).unwrap());
}
