//! What a blacklist keeps when keys leave it, and when none may.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::time::{Duration, Instant};

use constellation_tests::command::wait_until;
use constellation_tests::policy_program::{
    ACCEPT, BLOCKED, Policy, is_root, key, left_beside, lines, run_script, wait_until_tidy,
};
use constellation_tests::station;

const LIST: &str = "strfry/blacklist.txt";

#[test]
fn a_removal_keeps_mode_owner_and_links() {
    let station = station!();
    let list = station.root().join(LIST);
    for (mode, owner) in [(0o640, 0), (0o600, 65_534), (0o666, 12_345)] {
        station.blacklist(&[key(1), key(2)]);
        station.friends(&[key(1)]);
        fs::set_permissions(&list, Permissions::from_mode(mode)).unwrap();
        if is_root() {
            chown(&list, Some(owner), Some(owner)).unwrap();
        }
        let before = fs::metadata(&list).unwrap();
        let mut policy = Policy::start(&station);
        assert_eq!(policy.ask_key(1), ACCEPT);
        wait_until("the key to leave", || station.read(LIST) == lines([key(2)]));
        let after = fs::metadata(&list).unwrap();
        assert_eq!(after.mode(), before.mode());
        assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
        policy.close();
    }
    // A list that lies elsewhere stays there.
    fs::rename(&list, station.root().join("elsewhere")).unwrap();
    symlink("../elsewhere", &list).unwrap();
    station.write("elsewhere", lines([key(2), key(1)]));
    let mut policy = Policy::start(&station);
    assert_eq!(policy.ask_key(1), ACCEPT);
    wait_until("the key to leave", || {
        station.read("elsewhere") == lines([key(2)])
    });
    assert!(fs::symlink_metadata(&list).unwrap().is_symlink());
    policy.close();
}

#[test]
fn a_read_only_list_stays_as_it_is_and_is_reported_once() {
    let station = station!();
    station.blacklist(&[key(1), key(2)]);
    station.friends(&[key(1)]);
    run_script(&station.strfry_dir(), "chmod 444 blacklist.txt");
    let mut policy = Policy::start(&station);
    for _ in 0..3 {
        assert_eq!(policy.ask_key(1), ACCEPT);
        assert_eq!(policy.ask_key(2), BLOCKED);
        policy.expect_stderr("it is read-only");
    }
    let stderr = policy.close();
    assert_eq!(stderr.matches("read-only").count(), 1, "{stderr}");
    assert!(stderr.contains("pass --no-remove"), "{stderr}");
    assert_eq!(station.read(LIST), lines([key(1), key(2)]));
    assert!(left_beside(&station).is_empty());
}

#[test]
fn lines_appended_to_the_replaced_list_count_within_a_second() {
    let station = station!();
    station.blacklist(&[key(1), key(2)]);
    station.friends(&[key(1)]);
    let mut policy = Policy::start(&station);
    // A program that opened the list before the key leaves, and appends long after.
    let mut late = OpenOptions::new()
        .append(true)
        .open(station.root().join(LIST))
        .unwrap();
    assert_eq!(policy.ask_key(1), ACCEPT);
    wait_until("the key to leave", || station.read(LIST) == lines([key(2)]));
    for number in 3..5 {
        // The longer it is idle the less it is looked at.
        let idle = Instant::now();
        wait_until("a while", || idle.elapsed() > Duration::from_millis(1500));
        late.write_all(lines([key(number)]).as_bytes()).unwrap();
        let delay = policy.ask_until(number, BLOCKED);
        assert!(delay < Duration::from_millis(1500), "{delay:?}");
    }
    drop(late);
    wait_until_tidy(&station);
    assert_eq!(station.read(LIST), lines([2, 3, 4].map(key)));
    policy.close();
}

#[test]
fn with_no_remove_friends_are_let_in_and_stay_in_the_list() {
    let station = station!();
    station.blacklist(&[key(1), key(2)]);
    station.friends(&[key(1)]);
    let before = fs::metadata(station.root().join(LIST)).unwrap().ino();
    let mut policy = Policy::start_with(&station, &["--no-remove"]);
    assert_eq!(policy.ask_key(1), ACCEPT);
    assert_eq!(policy.ask_key(2), BLOCKED);
    policy.close();
    let after = fs::metadata(station.root().join(LIST)).unwrap().ino();
    assert_eq!(before, after);
}
