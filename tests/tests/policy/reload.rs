//! Changes are in force within a second, while requests flow, without a restart.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use constellation_tests::policy_program::{
    ACCEPT, BLOCKED, Policy, UNAVAILABLE, in_force, key, lines, request, run_script,
};
use constellation_tests::station;

#[test]
fn changes_to_the_blacklist_count_within_a_second() {
    let station = station!();
    let folder = station.strfry_dir();
    let run = |text: &str| run_script(&folder, text);
    let mut policy = Policy::start_with(&station, &["--no-remove"]);
    // Twice, for what is left of the first time.
    for round in 1..=2 {
        let what = |change: &str| format!("{change}, round {round}");
        let hex = [1, 2, 3].map(|number| key(number).to_hex());
        in_force(&mut policy, &what("create"), 1, BLOCKED, || {
            run(&format!("echo {} > blacklist.txt", hex[0]));
        });
        in_force(&mut policy, &what("append"), 2, BLOCKED, || {
            run(&format!("echo {} >> blacklist.txt", hex[1]));
        });
        in_force(
            &mut policy,
            &what("append by one who holds it open"),
            3,
            BLOCKED,
            || {
                run(&format!("exec 3>> blacklist.txt; echo {} >&3", hex[2]));
            },
        );
        in_force(&mut policy, &what("grep -v and mv"), 2, ACCEPT, || {
            run(&format!(
                "grep -v {} blacklist.txt > b.tmp; mv b.tmp blacklist.txt",
                hex[1]
            ));
        });
        in_force(&mut policy, &what("sort -o"), 2, BLOCKED, || {
            run(&format!(
                "echo {} > more; sort -u -o blacklist.txt blacklist.txt more",
                hex[1]
            ));
        });
        assert_eq!(policy.ask_key(1), BLOCKED);
        in_force(&mut policy, &what("emptied"), 1, ACCEPT, || {
            run(": > blacklist.txt");
        });
        in_force(&mut policy, &what("filled by cp"), 2, BLOCKED, || {
            run("cp more blacklist.txt");
        });
        in_force(&mut policy, &what("delete"), 2, ACCEPT, || {
            run("rm blacklist.txt");
        });
    }
    policy.close();
}

#[test]
fn changes_to_the_other_lists_count_within_a_second() {
    let station = station!();
    station.blacklist(&[1, 2, 3, 4].map(key));
    let root = station.root();
    let run = |text: &str| run_script(root, text);
    let mut policy = Policy::start_with(&station, &["--no-remove"]);
    for round in 1..=2 {
        let what = |change: &str| format!("{change}, round {round}");
        let hex = [1, 2, 3, 4].map(|number| key(number).to_hex());
        in_force(&mut policy, &what("a friend"), 1, ACCEPT, || {
            run(&format!("echo {} >> strfry/amisOfAmis.txt", hex[0]));
        });
        in_force(&mut policy, &what("another station"), 2, ACCEPT, || {
            run(&format!(
                "mkdir -p tmp/swarm/N && echo {} > tmp/swarm/N/amisOfAmis.txt",
                hex[1]
            ));
        });
        in_force(&mut policy, &what("its next list"), 3, ACCEPT, || {
            run(&format!(
                "echo {} > new; mv new tmp/swarm/N/amisOfAmis.txt",
                hex[2]
            ));
        });
        in_force(&mut policy, &what("a member"), 4, ACCEPT, || {
            run(&format!(
                "mkdir -p game/nostr/a@b; echo {} > game/nostr/a@b/HEX",
                hex[3]
            ));
        });
        in_force(&mut policy, &what("sort -o"), 2, ACCEPT, || {
            run(&format!(
                "echo {} >> strfry/amisOfAmis.txt; cd strfry; sort -u -o amisOfAmis.txt amisOfAmis.txt",
                hex[1]
            ));
        });
        in_force(&mut policy, &what("a friend no more"), 1, BLOCKED, || {
            run("rm strfry/amisOfAmis.txt");
        });
        in_force(&mut policy, &what("its friend no more"), 3, BLOCKED, || {
            // Who vanishes with the whole list keeps the standing for two hours.
            run(&format!(
                "echo {} > new; mv new tmp/swarm/N/amisOfAmis.txt",
                key(9)
            ));
        });
        in_force(&mut policy, &what("a member no more"), 4, BLOCKED, || {
            run("rm -r game/nostr/a@b");
        });
    }
    policy.close();
}

const SORT: &str =
    "i=0; while [ $i -lt 15 ]; do sort -u -o blacklist.txt blacklist.txt; i=$((i+1)); done";

/// `sort -o` empties a list and fills it again; a blocked key must not slip in meanwhile.
#[test]
fn nobody_slips_in_while_a_list_is_sorted() {
    let station = station!();
    station.write("strfry/blacklist.txt", lines((0..20_000).map(key)));
    let mut policy = Policy::start(&station);
    assert_eq!(policy.ask_key(0), BLOCKED);
    let mut sorting = constellation_tests::policy_program::script(&station.strfry_dir(), SORT);
    let mut number = 0;
    while sorting.try_wait().unwrap().is_none() {
        number = (number + 7919) % 20_000;
        assert_eq!(policy.ask_key(number), BLOCKED, "{number}");
    }
    policy.close();
}

/// However long it takes until there is a moment at which the list is whole.
#[test]
fn nobody_slips_in_if_it_starts_while_a_list_is_sorted() {
    let station = station!();
    station.write("strfry/blacklist.txt", lines((0..20_000).map(key)));
    let mut sorting = constellation_tests::policy_program::script(&station.strfry_dir(), SORT);
    while sorting.try_wait().unwrap().is_none() {
        let mut policy = Policy::start(&station);
        let answer = policy.ask_key(7919);
        assert!(
            [BLOCKED, UNAVAILABLE].contains(&answer.as_str()),
            "{answer}"
        );
        policy.close();
    }
}

/// `sort -o` that is not given a processor for a while when it has emptied the list.
#[test]
fn nobody_slips_in_while_a_list_is_half_written() {
    let station = station!();
    station.blacklist(&[key(1), key(2)]);
    let mut policy = Policy::start(&station);
    assert_eq!(policy.ask_key(1), BLOCKED);
    let mut list = File::create(station.paths().blacklist()).unwrap();
    let emptied = Instant::now();
    while emptied.elapsed() < Duration::from_millis(1500) {
        assert_eq!(policy.ask_key(1), BLOCKED);
    }
    // Neither does one who asks a policy that was started meanwhile.
    let mut second = Policy::start(&station);
    second.write(request("1", &key(1).to_hex()) + "\n");
    assert!(!second.answers_within(Duration::from_millis(500)));
    list.write_all(lines([key(2), key(3)]).as_bytes()).unwrap();
    assert_eq!(policy.ask_key(1), BLOCKED);
    drop(list);
    policy.ask_until(1, ACCEPT);
    assert_eq!(policy.ask_key(3), BLOCKED);
    assert!(second.answer().contains(ACCEPT));
    policy.close();
    second.close();
}

/// strfry may start it at the very moment at which a list is emptied and not yet filled.
#[test]
fn the_first_answer_waits_for_a_list_that_is_being_rewritten() {
    let station = station!();
    let mut list = File::create(station.paths().blacklist()).unwrap();
    let mut policy = Policy::start(&station);
    policy.write(request("1", &key(1).to_hex()) + "\n");
    // Far more than it needs to start.
    assert!(!policy.answers_within(Duration::from_millis(50)));
    list.write_all(lines([key(1)]).as_bytes()).unwrap();
    drop(list);
    assert!(policy.answer().contains(BLOCKED));
    policy.close();
}
