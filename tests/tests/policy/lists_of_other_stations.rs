//! The policy answers at once from the station's own lists, whatever other stations send, and lets
//! nobody slip in while a program that it cannot see writes the blacklist.

use std::fs::{self, File};
use std::io::Write;
use std::time::{Duration, Instant};

use constellation_tests::policy_program::{
    ACCEPT, BLOCKED, Policy, UNAVAILABLE, UNREAD, as_somebody, in_force, key, lines, rested,
};
use constellation_tests::{StationDir, station};

/// The first answer comes within this, with what a busy machine may add to it.
const FIRST_ANSWER: Duration = Duration::from_millis(300 + 500);

/// Makes lists of the same content in `count` folders of the swarm. They share one file's space.
fn lists_of_others(station: &StationDir, count: usize, text: &str) {
    let swarm = station.paths().swarm_dir();
    station.write("hostile", text);
    for number in 0..count {
        let folder = swarm.join(format!("hostile {number}"));
        fs::create_dir(&folder).unwrap();
        fs::hard_link(
            station.root().join("hostile"),
            folder.join("amisOfAmis.txt"),
        )
        .unwrap();
    }
}

/// Asks about a key as soon as it is started.
fn first_answer(station: &StationDir, number: u32) -> (Policy, String, Duration) {
    let started = Instant::now();
    let mut policy = Policy::start(station);
    let answer = policy.ask_once(key(number).to_hex());
    (policy, answer, started.elapsed())
}

#[test]
fn lists_of_nothing_but_line_breaks_cost_next_to_nothing() {
    let station = station!();
    station.blacklist(&[key(1), key(2)]);
    station.peer_friends("honest", &[key(2)]);
    lists_of_others(&station, 16, &"\n".repeat(65_000_000));
    let (mut policy, answer, time) = first_answer(&station, 3);
    assert_eq!(answer, ACCEPT);
    assert!(time < FIRST_ANSWER, "{time:?}");
    assert_eq!(policy.ask_key(1), BLOCKED);
    // Long lists displace no others.
    assert_eq!(policy.ask_key(2), ACCEPT);
    in_force(&mut policy, "a key is blocked", 4, BLOCKED, || {
        station.blacklist(&[key(1), key(4)]);
    });
    let stderr = policy.close();
    assert!(stderr.contains("are not read: 14 long lists"), "{stderr}");
    assert_eq!(
        stderr.matches("too few keys for its length").count(),
        2,
        "{stderr}"
    );
}

/// As many keys as are read at all.
#[test]
fn own_lists_do_not_wait_for_the_lists_of_other_stations() {
    let station = station!();
    station.blacklist(&[key(1), key(2), key(3)]);
    station.friends(&[key(3)]);
    let text = lines((100..900_000).map(key)) + &lines([key(2)]);
    lists_of_others(&station, 2, &text);
    let (mut policy, answer, time) = first_answer(&station, 5);
    assert_eq!(answer, ACCEPT);
    assert!(time < FIRST_ANSWER, "{time:?}");
    assert_eq!(policy.ask_once(key(3).to_hex()), ACCEPT);
    let of_a_friend = policy.ask_once(key(2).to_hex());
    assert!(
        [UNREAD, ACCEPT].contains(&of_a_friend.as_str()),
        "{of_a_friend}"
    );
    let (changed, mut answer) = (Instant::now(), String::new());
    station.blacklist(&[key(1), key(2), key(3), key(4)]);
    while changed.elapsed() < Duration::from_millis(1500) && answer != BLOCKED && answer != UNREAD {
        answer = policy.ask_once(key(4).to_hex());
    }
    assert!(answer == BLOCKED || answer == UNREAD, "{answer}");
    // And in the end it is known of everybody.
    policy.ask_until(2, ACCEPT);
    assert_eq!(policy.ask_key(4), BLOCKED);
    policy.close();
}

/// Root rewrites the list, slowly, and the policy cannot see that it does.
#[test]
fn nobody_slips_in_while_an_unseen_program_rewrites_the_list() {
    let station = station!();
    station.blacklist(&[key(1), key(2)]);
    rested(&station);
    let (Some(command), Some(again)) = (as_somebody(&station), as_somebody(&station)) else {
        return;
    };
    let mut policy = Policy::spawn(command);
    assert_eq!(policy.ask_key(1), BLOCKED);
    assert_eq!(policy.ask_key(3), ACCEPT);
    let mut list = File::create(station.paths().blacklist()).unwrap();
    let emptied = Instant::now();
    while emptied.elapsed() < Duration::from_millis(1500) {
        assert_eq!(policy.ask_key(1), BLOCKED);
        assert_eq!(policy.ask_key(3), ACCEPT);
    }
    list.write_all(lines([key(2)]).as_bytes()).unwrap();
    // One that is started meanwhile knows nothing of before.
    let started = Instant::now();
    let mut second = Policy::spawn(again);
    assert_eq!(second.ask_key(1), UNAVAILABLE);
    assert!(started.elapsed() < FIRST_ANSWER, "{:?}", started.elapsed());
    assert_eq!(second.ask_key(2), BLOCKED);
    list.write_all(lines([key(1), key(4)]).as_bytes()).unwrap();
    drop(list);
    policy.ask_until(4, BLOCKED);
    assert_eq!([policy.ask_key(1), policy.ask_key(2)], [BLOCKED, BLOCKED]);
    second.ask_until(1, BLOCKED);
    policy.close();
    second.close();
}
