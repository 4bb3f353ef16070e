//! The lists: as they are found on stations, and where they cannot be read.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use constellation_tests::policy_program::{
    ACCEPT, BLOCKED, Policy, UNAVAILABLE, as_somebody, in_force, key, lines, rested,
};
use constellation_tests::station;
use rustix::fs::{CWD, FileType, Mode, mknodat};

#[test]
fn blacklists_as_found_on_stations_are_understood() {
    let station = station!();
    let hex = |number| key(number).to_hex();
    station.write(
        "strfry/blacklist.txt",
        format!(
            "\u{feff}{}\r\n\r\n\n  {}\t \n# {}\n{} # spammer\n[2025-10-30 12:00:00] [INFO] {}\n\
             {}\n0x{}\n\0\n{}\n\u{e9}\n{}\n{}",
            hex(1),
            hex(2).to_uppercase(),
            hex(101),
            hex(3),
            hex(102),
            key(4).to_bech32(),
            hex(5),
            &hex(103)[..40],
            "x".repeat(100_000),
            hex(6),
        ),
    );
    let mut policy = Policy::start(&station);
    // A whole log line blocks who stands in it.
    for number in (1..=6).chain([102]) {
        assert_eq!(policy.ask_key(number), BLOCKED, "{number}");
    }
    for number in [101, 103] {
        assert_eq!(policy.ask_key(number), ACCEPT, "{number}");
    }
    let stderr = policy.close();
    assert!(
        stderr.contains("blacklist.txt: 1 line is unusual, but the keys count: line 7 (1 key "),
        "{stderr}"
    );
    assert!(stderr.contains("; 4 lines skipped: line 10 "), "{stderr}");
    assert_eq!(stderr.matches("lines skipped").count(), 1, "{stderr}");
}

#[test]
fn friends_lists_as_found_on_stations_are_understood() {
    let station = station!();
    station.blacklist(&[1, 2, 3, 4].map(key));
    station.write(
        "strfry/amisOfAmis.txt",
        format!(
            "[2025-10-30 12:00:00] [INFO] Connected…\n {}\r\n",
            key(1).to_hex().to_uppercase()
        ),
    );
    station.write("tmp/swarm/12D3KooA/amisOfAmis.txt", key(2).to_bech32());
    station.write("game/nostr/a@example.org/HEX", format!("{}\r\n", key(3)));
    station.write("game/nostr/no-hex/other", "");
    station.write("tmp/swarm/a file", "");
    let mut policy = Policy::start(&station);
    for (number, rest) in [(1, ACCEPT), (2, ACCEPT), (3, ACCEPT), (4, BLOCKED)] {
        assert_eq!(policy.ask_key(number), rest, "{number}");
    }
    policy.close();
}

/// Any client that authenticates gets a hidden folder beside those of the members.
#[test]
fn a_client_that_merely_proved_to_hold_a_key_is_not_a_member() {
    let station = station!();
    station.blacklist(&[1, 2, 3].map(key));
    let folder = format!("game/nostr/.pubkey_{}/HEX", key(1));
    station.write(&folder, lines([key(1)]));
    station.write("tmp/swarm/.hidden/amisOfAmis.txt", lines([key(2)]));
    station.write("game/nostr/a@example.org/HEX", lines([key(3)]));
    let mut policy = Policy::start(&station);
    for (number, rest) in [(1, BLOCKED), (2, BLOCKED), (3, ACCEPT)] {
        assert_eq!(policy.ask_key(number), rest, "{number}");
    }
    policy.close();
}

/// Another station's list is foreign input: it may be anything.
#[test]
fn lists_of_other_stations_can_neither_block_reading_nor_point_elsewhere() {
    let station = station!();
    station.blacklist(&[1, 2].map(key));
    station.peer_friends("good", &[key(1)]);
    station.write("friends elsewhere", lines([key(2)]));
    let swarm = station.paths().swarm_dir();
    for folder in ["fifo", "link", "folder", "large"] {
        fs::create_dir(swarm.join(folder)).unwrap();
    }
    let fifo = swarm.join("fifo/amisOfAmis.txt");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let elsewhere = station.root().join("friends elsewhere");
    symlink(elsewhere, swarm.join("link/amisOfAmis.txt")).unwrap();
    fs::create_dir(swarm.join("folder/amisOfAmis.txt")).unwrap();
    let large = fs::File::create(swarm.join("large/amisOfAmis.txt")).unwrap();
    large.set_len(1 << 40).unwrap();
    let mut policy = Policy::start(&station);
    assert_eq!(policy.ask_key(1), ACCEPT);
    assert_eq!(policy.ask_key(2), BLOCKED);
    for path in ["fifo", "link", "folder", "large"] {
        policy.expect_stderr(&format!("{path}/amisOfAmis.txt cannot be read"));
    }
    policy.close();
}

#[test]
fn options_name_other_files_and_leave_out_the_swarm() {
    let station = station!();
    station.write("elsewhere", lines([1, 2, 3].map(key)));
    station.write("friends a", lines([key(1)]));
    station.write("friends b", lines([key(2)]));
    station.friends(&[key(3)]);
    station.peer_friends("12D3KooA", &[key(3)]);
    let path = |name: &str| station.root().join(name).display().to_string();
    let (list, a, b) = (path("elsewhere"), path("friends a"), path("friends b"));
    let args = [
        "--blacklist",
        &list,
        "--amis",
        &a,
        "--amis",
        &b,
        "--no-remove",
    ];
    for (more, third) in [(&[][..], ACCEPT), (&["--no-swarm"], BLOCKED)] {
        let mut policy = Policy::start_with(&station, &[&args, more].concat());
        for (number, rest) in [(1, ACCEPT), (2, ACCEPT), (3, third), (4, ACCEPT)] {
            assert_eq!(policy.ask_key(number), rest, "{number} {more:?}");
        }
        policy.close();
    }
}

#[test]
fn nobody_gets_in_while_the_blacklist_was_never_readable() {
    let station = station!();
    let list = station.strfry_dir().join("blacklist.txt");
    fs::create_dir(&list).unwrap();
    let mut policy = Policy::start(&station);
    assert_eq!(policy.ask_key(1), UNAVAILABLE);
    policy.expect_stderr("every event is rejected until it can be read");
    in_force(&mut policy, "readable at last", 2, ACCEPT, || {
        fs::remove_dir(&list).unwrap();
        station.blacklist(&[key(1)]);
    });
    assert_eq!(policy.ask_key(1), BLOCKED);
    fs::remove_file(&list).unwrap();
    fs::create_dir(&list).unwrap();
    policy.expect_stderr("the keys it held before stay blocked");
    assert_eq!(policy.ask_key(1), BLOCKED);
    assert_eq!(policy.ask_key(2), ACCEPT);
    policy.close();
}

#[test]
fn lists_that_this_user_may_not_read_are_reported() {
    let station = station!();
    station.blacklist(&[key(1), key(2)]);
    station.friends(&[key(2)]);
    let mode = |name: &str, mode| {
        let path = station.strfry_dir().join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let Some(command) = as_somebody(&station) else {
        return;
    };
    rested(&station);
    mode("blacklist.txt", 0o000);
    mode("amisOfAmis.txt", 0o000);
    let mut policy = Policy::spawn(command);
    assert_eq!(policy.ask_key(3), UNAVAILABLE);
    policy.expect_stderr("blacklist.txt cannot be read");
    in_force(&mut policy, "a readable blacklist", 3, ACCEPT, || {
        mode("blacklist.txt", 0o644);
    });
    assert_eq!(policy.ask_key(1), BLOCKED);
    assert_eq!(policy.ask_key(2), BLOCKED);
    policy.expect_stderr("amisOfAmis.txt cannot be read");
    policy.expect_stderr("its keys do not count");
    in_force(&mut policy, "a readable friends list", 2, ACCEPT, || {
        mode("amisOfAmis.txt", 0o644);
    });
    mode("blacklist.txt", 0o000);
    policy.expect_stderr("the keys it held before stay blocked");
    assert_eq!(policy.ask_key(1), BLOCKED);
    policy.close();
}
