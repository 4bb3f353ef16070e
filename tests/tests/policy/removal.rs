//! Pardoned keys are removed from the blacklist, and nothing else is, whatever other programs write
//! to it.

use std::collections::BTreeSet;
use std::path::Path;

use constellation_policy::blacklist::{self, RemoveError, ReplacedList};
use constellation_tests::command::wait_until;
use constellation_tests::policy_program::{
    ACCEPT, BLOCKED, PROGRAM, Policy, key, left_beside, lines, script, wait_until_tidy,
};
use constellation_tests::station;

const LIST: &str = "strfry/blacklist.txt";

/// Eight shells that append 10,000 lines together, each in a manner of its own: opening
/// the list for each line, for ten, or once for all.
fn append_ten_thousand(folder: &Path) -> Vec<std::process::Child> {
    let count = "i=0; while [ $i -lt 1250 ]; do i=$((i+1))";
    (0..8)
        .map(|writer| {
            let line = format!("appended by {writer}: $i");
            let text = match writer % 4 {
                0 | 1 => format!("{count}; echo \"{line}\" >> blacklist.txt; done"),
                2 => format!(
                    "{count}; [ $((i%10)) = 1 ] && exec >> blacklist.txt; echo \"{line}\"; done"
                ),
                _ => format!("exec >> blacklist.txt; {count}; echo \"{line}\"; done"),
            };
            script(folder, &text)
        })
        .collect()
}

/// Each line of [`append_ten_thousand`] is there once. In which order is not said: one that
/// went to the old list comes behind one that went to the new.
fn check_appended(text: &str) {
    let lines = text.lines().filter(|line| line.starts_with("appended "));
    let mut seen: Vec<&str> = lines.collect();
    seen.sort_unstable();
    let line = |number| format!("appended by {}: {}", number / 1250, number % 1250 + 1);
    let mut expected: Vec<String> = (0..10_000).map(line).collect();
    expected.sort_unstable();
    assert_eq!(seen.len(), expected.len());
    assert!(seen == expected);
}

/// Lines that stay, with the keys 0 to `count` - 1 between them, in several spellings.
fn mixed_list(count: u32) -> (String, String) {
    let mut stays = String::new();
    let mut all = String::new();
    for number in 0..count {
        let line = match number % 5 {
            0 => format!("# remark {number}\r\n"),
            1 => format!("{}  \n", key(1_000_000 + number)),
            2 => "\n".to_owned(),
            3 => format!("[2025-10-30] [INFO] line {number}\n"),
            _ => format!("{}\n", key(1_000_000 + number).to_hex().to_uppercase()),
        };
        stays += &line;
        all += &line;
        all += &match number % 3 {
            0 => format!("{}\n", key(number)),
            1 => format!(" {}\r\n", key(number).to_hex().to_uppercase()),
            _ => format!("{} # x\n", key(number).to_bech32()),
        };
    }
    (all, stays)
}

#[test]
fn a_thousand_keys_are_removed_while_eight_programs_append_ten_thousand_lines() {
    let station = station!();
    let (all, stays) = mixed_list(1000);
    station.write(LIST, all);
    station.friends(&Vec::from_iter((0..1000).map(key)));
    let mut policy = Policy::start(&station);
    let mut writers = append_ten_thousand(&station.strfry_dir());
    for number in 0..1000 {
        assert_eq!(policy.ask_key(number), ACCEPT);
    }
    for writer in &mut writers {
        assert!(writer.wait().unwrap().success());
    }
    // Each that is still there when it is asked again leaves then.
    let kept = |text: &str| {
        let lines = text.split_inclusive('\n');
        lines
            .filter(|line| !line.starts_with("appended "))
            .collect::<String>()
    };
    wait_until("all removed keys to be gone", || {
        kept(&station.read(LIST)) == stays
    });
    wait_until_tidy(&station);
    let text = station.read(LIST);
    assert!(
        kept(&text) == stays,
        "the other lines, unchanged and in order"
    );
    check_appended(&text);
    policy.close();
}

/// One removal after the other as fast as it goes, an exchange for each key.
#[test]
fn removals_without_a_pause_lose_no_appended_line() {
    let station = station!();
    let list = station.root().join(LIST);
    let (all, stays) = mixed_list(200);
    station.write(LIST, all);
    let mut writers = append_ten_thousand(&station.strfry_dir());
    let mut replaced_lists: Vec<ReplacedList> = Vec::new();
    let mut lines = 0;
    let rescue = |replaced_lists: &mut Vec<ReplacedList>| {
        replaced_lists.retain_mut(|replaced| !replaced.rescue().unwrap());
    };
    for number in 0..200 {
        let keys = BTreeSet::from([key(number)]);
        lines += loop {
            match blacklist::remove(&list, &keys, &mut replaced_lists) {
                // A child that another test starts holds each lock of ours, too, until it
                // has become its program.
                Err(RemoveError::Locked) => {}
                removed => break removed.unwrap(),
            }
        };
        if number % 50 == 49 {
            rescue(&mut replaced_lists);
        }
    }
    assert_eq!(lines, 200);
    for writer in &mut writers {
        assert!(writer.wait().unwrap().success());
    }
    while !replaced_lists.is_empty() {
        rescue(&mut replaced_lists);
    }
    let text = station.read(LIST);
    let kept: String = text
        .split_inclusive('\n')
        .filter(|line| !line.starts_with("appended "))
        .collect();
    assert!(kept == stays, "the other lines, unchanged and in order");
    check_appended(&text);
    assert!(left_beside(&station).is_empty());
}

/// What captains' scripts do to a list while keys leave it.
#[test]
fn scripts_that_replace_and_sort_the_list_keep_what_they_wrote() {
    let station = station!();
    let stays: BTreeSet<String> = (5000..6000).map(|number| key(number).to_hex()).collect();
    station.write(LIST, lines((0..500).chain(5000..6000).map(key)));
    station.friends(&Vec::from_iter((0..500).map(key)));
    let mut policy = Policy::start(&station);
    let mut at_work = script(
        &station.strfry_dir(),
        "i=0; while [ $i -lt 200 ]; do i=$((i+1))
            { echo \"new $i\"; cat blacklist.txt; } > b.tmp && mv b.tmp blacklist.txt
            [ $((i%3)) = 0 ] && sort -u -o blacklist.txt blacklist.txt
        done",
    );
    let mut number = 0;
    while at_work.try_wait().unwrap().is_none() {
        assert_eq!(policy.ask_key(number), ACCEPT);
        number = (number + 1) % 500;
    }
    // All that the scripts never touched, whole.
    let check = |text: &str| {
        let seen: BTreeSet<&str> = text.lines().collect();
        for key in &stays {
            assert!(seen.contains(key.as_str()), "{key} is lost");
        }
        for number in 1..=200 {
            let line = format!("new {number}");
            assert!(seen.contains(line.as_str()), "{line} is lost");
        }
        let friends: BTreeSet<String> = (0..500).map(|number| key(number).to_hex()).collect();
        for line in seen {
            let known = stays.contains(line) || friends.contains(line);
            assert!(known || line.starts_with("new "), "half a line: {line}");
        }
    };
    check(&station.read(LIST));
    wait_until("all friends to leave", || {
        for number in 0..500 {
            assert_eq!(policy.ask_key(number), ACCEPT);
        }
        station.read(LIST).lines().collect::<BTreeSet<_>>().len() == 1200
    });
    wait_until_tidy(&station);
    check(&station.read(LIST));
    policy.close();
}

#[test]
fn two_policies_remove_from_the_same_list() {
    let station = station!();
    let (all, stays) = mixed_list(300);
    station.write(LIST, all);
    station.friends(&Vec::from_iter((0..300).map(key)));
    let mut policies = [Policy::start(&station), Policy::start(&station)];
    let mut writers = append_ten_thousand(&station.strfry_dir());
    for number in 0..300 {
        for policy in &mut policies {
            assert_eq!(policy.ask_key(number), ACCEPT);
        }
    }
    for writer in &mut writers {
        assert!(writer.wait().unwrap().success());
    }
    wait_until_tidy(&station);
    wait_until("all keys to leave", || {
        let text = station.read(LIST);
        let kept = text
            .split_inclusive('\n')
            .filter(|line| !line.starts_with("appended "));
        kept.collect::<String>() == stays
    });
    wait_until_tidy(&station);
    check_appended(&station.read(LIST));
    for policy in policies {
        policy.close();
    }
}

/// Each spelling lies in the list as captains, scripts and crashes leave it.
#[test]
fn a_key_that_a_human_sees_in_the_blacklist_is_blocked_and_removed_alone() {
    let station = station!();
    let list = [
        format!("{} spam", key(1)),
        format!("{} {}", key(2), key(3)),
        format!("{}{}", key(4), key(5)),
        format!("\0\0\0\0{}", key(6)),
        format!("{}\r{}", key(7), key(8)),
        format!("\u{a0}{}", key(9)),
        format!("\"{}\",", key(10)),
        format!("nostr:{}", key(11).to_bech32()),
    ];
    station.write(LIST, list.join("\n") + "\n");
    let mut policy = Policy::start(&station);
    for number in 1..=11 {
        assert_eq!(policy.ask_key(number), BLOCKED, "{number}");
        let hex = key(number).to_hex();
        station.run(PROGRAM, &["explain", &hex]).expect_code(1);
    }
    assert_eq!(policy.ask_key(12), ACCEPT);
    policy.expect_stderr("8 lines are unusual, but the keys count: line 1 (1 key ");
    // Two stand in a line with another; one is half of a run.
    station.friends(&[key(2), key(4), key(10)]);
    let before = station.read(LIST);
    wait_until("the pardons", || {
        [2, 4, 10]
            .iter()
            .all(|&number| policy.ask_key(number) == ACCEPT)
    });
    let [two, four] = [2, 4].map(|number| key(number).to_hex());
    let after = before
        .replace(&two, "")
        .replace(&four, "")
        .replace(&format!("{}\n", list[6]), "");
    wait_until("the keys to be gone", || station.read(LIST) == after);
    for number in [1, 3, 5, 6, 7, 8, 9, 11] {
        assert_eq!(policy.ask_key(number), BLOCKED, "{number}");
    }
    wait_until_tidy(&station);
    policy.close();
}

/// A line is as long as it likes: what is read of it leaves it.
#[test]
fn a_pardoned_line_of_any_length_near_a_limit_is_removed_once() {
    let station = station!();
    let mut keys = Vec::new();
    let mut text = String::new();
    for (number, length) in (0..).zip((4090..4110).chain(65_530..65_545)) {
        keys.push(key(number));
        let line = match number % 2 {
            0 => format!("{}{}\n", key(number), " ".repeat(length - 64)),
            _ => format!("{}{}\n", " ".repeat(length - 64), key(number)),
        };
        text += &line;
    }
    station.write(LIST, text + &lines([key(1000)]));
    let list = station.root().join(LIST);
    let mut replaced_lists = Vec::new();
    for key in &keys {
        let removed = loop {
            match blacklist::remove(&list, &BTreeSet::from([*key]), &mut replaced_lists) {
                Err(RemoveError::Locked) => {}
                removed => break removed.unwrap(),
            }
        };
        assert_eq!(removed, 1, "{key}");
    }
    assert_eq!(station.read(LIST), lines([key(1000)]));
    while !replaced_lists.is_empty() {
        replaced_lists.retain_mut(|replaced| !replaced.rescue().unwrap());
    }
}
