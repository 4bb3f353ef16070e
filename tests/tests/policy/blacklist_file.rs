//! The file of the blacklist when keys are removed from it: what it keeps (mode, owner, links, access list,
//! attributes), and that it stays as it is where nothing can be written or may be removed.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::time::{Duration, Instant};

use constellation_tests::command::wait_until;
use constellation_tests::policy_program::{
    ACCEPT, BLOCKED, PROGRAM, Policy, is_root, key, left_beside, lines, request, run_script,
    wait_until_tidy,
};
use constellation_tests::station;
use rustix::fs::{XattrFlags, getxattr, setxattr};

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

/// An access list whose group is closed out, which its mode does not show.
#[test]
fn a_removal_keeps_the_access_list_and_the_attributes() {
    let station = station!();
    station.write(LIST, lines([key(1), key(2)]));
    station.friends(&[key(1)]);
    let list = station.root().join(LIST);
    fs::set_permissions(&list, Permissions::from_mode(0o660)).unwrap();
    // The owner rw, user 12345 rw, the group nothing, the mask rw, others nothing.
    let entries = [
        (1_u16, 6_u16, u32::MAX),
        (2, 6, 12_345),
        (4, 0, u32::MAX),
        (16, 6, u32::MAX),
        (32, 0, u32::MAX),
    ];
    let mut access = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        access.extend(
            [
                &tag.to_le_bytes()[..],
                &permissions.to_le_bytes(),
                &id.to_le_bytes(),
            ]
            .concat(),
        );
    }
    let attributes = [
        ("system.posix_acl_access", &access[..]),
        ("user.note", b"from the captain"),
    ];
    let held: Vec<_> = attributes
        .into_iter()
        .filter(|(name, value)| {
            let set = setxattr(&list, *name, value, XattrFlags::empty());
            if set.is_err() {
                let _ = writeln!(std::io::stderr(), "skipped: {name} cannot be set here");
            }
            set.is_ok()
        })
        .collect();
    let mut policy = Policy::start(&station);
    assert_eq!(policy.ask_key(1), ACCEPT);
    wait_until("the key to be gone", || {
        station.read(LIST) == lines([key(2)])
    });
    assert_eq!(
        fs::metadata(&list).unwrap().permissions().mode() & 0o7777,
        0o660
    );
    for (name, value) in held {
        let mut kept = [0; 1024];
        let length = getxattr(&list, name, &mut kept[..]).expect(name);
        assert_eq!(&kept[..length], value, "{name}");
    }
    wait_until_tidy(&station);
    policy.close();
}

/// A file system that fills up at each page of the new list, and at its very first byte.
#[test]
fn a_disk_that_fills_up_during_a_removal_changes_no_list() {
    let tried = std::process::Command::new("unshare")
        .args(["-rm", "true"])
        .status();
    if !tried.is_ok_and(|status| status.success()) {
        let _ = writeln!(
            std::io::stderr(),
            "skipped: no file system can be mounted here (unshare -rm)"
        );
        return;
    }
    let station = station!();
    let stays = lines((2..500).map(key));
    fs::write(station.root().join("before"), lines([key(1)]) + &stays).unwrap();
    fs::write(station.root().join("after"), stays).unwrap();
    fs::write(
        station.root().join("request"),
        request("1", &key(1).to_hex()) + "\n",
    )
    .unwrap();
    fs::write(station.root().join("friends"), lines([key(1)])).unwrap();
    let script = "set -e; cd .zen; mount -t tmpfs -o size=128k tmpfs strfry
        for pages in 0 1 2 3 4 5 6 7 8 9 10; do
            cp before strfry/blacklist.txt; cp friends strfry/amisOfAmis.txt
            cat /dev/zero > strfry/full 2> /dev/null || true
            truncate -s -$((pages * 4096)) strfry/full
            \"$@\" --zen . < request > answer 2>> stderr
            grep -q accept answer
            rm strfry/full strfry/amisOfAmis.txt strfry/*.before
            if cmp -s strfry/blacklist.txt before; then echo full
            elif cmp -s strfry/blacklist.txt after; then echo gone; else echo broken; fi
            # On a busy machine it may end before it knows that nobody has the old list open. The
            # next one finishes that.
            if cmp -s strfry/blacklist.txt after && ls -A strfry | grep -q constellation; then
                while ls -A strfry | grep -q constellation; do sleep 0.1; done |
                    \"$@\" --zen . 2>> stderr
            fi
            rm strfry/blacklist.txt; ls -A strfry
        done";
    let output = constellation_tests::command::TestCommand::new("unshare", &station.home())
        .args(["-rm", "sh", "-c", script, "sh"])
        .arg(station.program(PROGRAM))
        .env("HOME", station.home())
        .output();
    output.expect_code(0);
    // 8 pages hold the new list.
    let expected = "full\n".repeat(8) + &"gone\n".repeat(3);
    assert_eq!(output.stdout, expected, "{output}");
    let said = station.read("stderr");
    assert_eq!(said.matches("No space left on device").count(), 8, "{said}");
}
