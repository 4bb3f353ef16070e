use super::*;
use crate::swarm_lists::swarm_friends;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, symlink};
use std::time::{Duration, Instant};

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
    fs::create_dir_all(swarm.join(".hidden")).unwrap();
    fs::create_dir_all(swarm.join("B")).unwrap();
    fs::create_dir_all(swarm.join("A")).unwrap();
    fs::write(swarm.join("file"), "").unwrap();
    symlink("/", swarm.join("link")).unwrap();
    let folders = swarm_folders(&station).unwrap();
    assert_eq!(folders.paths, ["A", "B"].map(|name| swarm.join(name)));
    assert_eq!(folders.passed_over, 0);
    let lists = ["A", "B"].map(|name| swarm.join(name).join("amisOfAmis.txt"));
    for list in &lists {
        fs::write(list, "").unwrap();
    }
    assert_eq!(
        swarm_friends(&station).unwrap(),
        lists.map(ListFile::foreign)
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

/// 10 GB in which there is nothing but the first and the last line.
#[test]
fn a_sparse_list_costs_what_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let list = ListFile::own(dir.path().join("list"));
    let [first, last] = [1, 2].map(|byte| Pubkey::from_bytes([byte; 32]));
    fs::write(list.path(), format!("{first}\n")).unwrap();
    let file = fs::OpenOptions::new()
        .write(true)
        .open(list.path())
        .unwrap();
    let end = 10 << 30;
    file.write_all_at(format!("\n{last}\n").as_bytes(), end)
        .unwrap();
    let started = Instant::now();
    assert!(list.open().unwrap().unwrap().most_keys() < 10_000);
    assert_eq!(keys(&list), [first, last]);
    // To read through it takes seconds.
    assert!(started.elapsed() < Duration::from_millis(500));
}

#[test]
fn a_folder_whose_name_begins_with_a_dot_is_no_member_s() {
    let dir = tempfile::tempdir().unwrap();
    let station = Station::new(dir.path());
    let members = station.members_dir();
    let odd = OsStr::from_bytes(b"not \xff UTF-8\nand two lines");
    for name in [".pubkey_ab", ".a@b.org", "a@b.org", "..a"].map(OsStr::new) {
        fs::create_dir_all(members.join(name)).unwrap();
    }
    fs::create_dir_all(members.join(odd)).unwrap();
    symlink("a@b.org", members.join(".link")).unwrap();
    symlink(".a@b.org", members.join("link")).unwrap();
    let found = member_keys(&station).unwrap();
    let expected = [OsStr::new("a@b.org"), OsStr::new("link"), odd];
    assert_eq!(
        found,
        expected.map(|name| ListFile::own(members.join(name).join("HEX")))
    );
}

#[test]
fn of_too_many_folders_the_first_by_name_count() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["d", "a", "c", ".a", "b", "e"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    let folders = first_folders(dir.path(), 3).unwrap();
    assert_eq!(
        folders.paths,
        ["a", "b", "c"].map(|name| dir.path().join(name))
    );
    assert_eq!(folders.passed_over, 2);
    assert_eq!(first_folders(dir.path(), 5).unwrap().passed_over, 0);
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
        FileTime {
            seconds: metadata.ctime(),
            nanoseconds: metadata.ctime_nsec(),
        }
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
    assert!(grown.is_same_file(&before) && !grown.has_same_content(&before));
    let chmod = Signature {
        changed: FileTime {
            seconds: 1,
            nanoseconds: 1,
        },
        ..grown
    };
    assert!(chmod.has_same_content(&grown));
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
