//! The station's own filters: what they decide, and that nothing they do holds up an answer.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use constellation_tests::command::wait_until;
use constellation_tests::policy_program::{
    ACCEPT, BLOCKED, PROGRAM, Policy, clean, in_force, is_root, key, request,
};
use constellation_tests::{StationDir, station};
use rustix::process::Signal;

const REFUSED: &str = r#""action":"reject","msg":"blocked: refused by a filter of this relay""#;
const TIMED_OUT: &str = r#""action":"reject","msg":"error: filter timed out""#;
const NOT_STARTED: &str = r#""action":"reject","msg":"error: filter cannot be started""#;
const TOO_LONG: &str = r#""action":"reject","msg":"error: too long for this relay's filters""#;
const NO_KIND: &str = r#""action":"reject","msg":"invalid: kind is not a number""#;

/// A station whose filters lie in `filter`, and write what they see beside it.
struct Filtered {
    station: StationDir,
    folder: PathBuf,
}

impl Filtered {
    fn new(filters: &[(&str, &str)]) -> Self {
        let station = station!();
        let folder = station.root().join("filter");
        fs::create_dir(&folder).unwrap();
        let filtered = Self { station, folder };
        for (name, script) in filters {
            filtered.write(name, script);
        }
        filtered
    }

    /// Puts a filter in place, whole.
    fn write(&self, name: &str, script: &str) {
        let new = self.station.root().join("new");
        fs::write(&new, format!("#!/bin/sh\ncd \"${{0%/*}}/..\"\n{script}\n")).unwrap();
        fs::set_permissions(&new, Permissions::from_mode(0o755)).unwrap();
        fs::rename(new, self.folder.join(name)).unwrap();
    }

    fn start(&self, args: &[&str]) -> Policy {
        let folder = self.folder.to_str().unwrap();
        Policy::start_with(&self.station, &[&["--filters", folder], args].concat())
    }

    fn read(&self, name: &str) -> String {
        self.station.read(name)
    }

    fn exists(&self, name: &str) -> bool {
        self.station.root().join(name).exists()
    }

    /// Waits until the filters wrote down `count` process ids, and returns them.
    fn pids(&self, count: usize) -> Vec<String> {
        wait_until("the filter's children", || {
            self.exists("pids") && self.read("pids").lines().count() == count
        });
        self.read("pids").lines().map(str::to_owned).collect()
    }
}

fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name, which may hold anything, stands the state.
    let state = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

/// A request about an event of this kind, as strfry writes it.
fn of_kind(kind: &str) -> String {
    request(kind, &key(1).to_hex()).replace(r#""kind":1"#, &format!(r#""kind":{kind}"#))
}

fn answered(id: &str, answer: &str) -> String {
    format!(r#"{{"id":"{id}",{answer}}}"#)
}

#[test]
fn the_exit_code_of_a_filter_decides_about_events_of_its_kind() {
    let filtered = Filtered::new(&[
        ("1.sh", "exit 0"),
        ("7.sh", "exit 1"),
        ("30023.sh", "exit 126"),
        ("5.sh", "kill -KILL $$"),
        ("common.sh", "exit 1"),
    ]);
    let mut policy = filtered.start(&[]);
    let asked = [
        ("1", ACCEPT),
        ("7", REFUSED),
        ("0", ACCEPT),
        ("30023", REFUSED),
        ("5", r#""action":"reject","msg":"error: filter failed""#),
        ("1", ACCEPT),
        ("18446744073709551617", ACCEPT),
        ("-1", NO_KIND),
        ("1.0", NO_KIND),
        ("null", NO_KIND),
    ];
    // All at once: the answers come in the order of the questions.
    let lines: Vec<String> = asked.iter().map(|(kind, _)| of_kind(kind) + "\n").collect();
    policy.write(lines.concat());
    for (kind, answer) in asked {
        assert_eq!(policy.answer(), answered(kind, answer));
    }
    policy.close();
}

#[test]
fn a_filter_gets_the_request_as_its_first_argument() {
    let filtered = Filtered::new(&[(
        "1.sh",
        "printf %s \"$1\" > got; echo \"$#${CONSTELLATION_EVENT-unset}\" > how; cat > stdin",
    )]);
    let mut command = constellation_tests::policy_program::command(&filtered.station);
    // Not what the filter is told by us.
    command.env("CONSTELLATION_EVENT", "stdin");
    command.env("CONSTELLATION_FILTERS", &filtered.folder);
    let mut policy = Policy::spawn(command);
    let sent = of_kind("1");
    policy.write(format!("{sent}\n"));
    assert_eq!(policy.answer(), answered("1", ACCEPT));
    assert_eq!(filtered.read("got"), sent);
    assert_eq!(filtered.read("how"), "1unset\n");
    assert_eq!(filtered.read("stdin"), "");
    policy.close();
}

#[test]
fn a_filter_that_declares_it_gets_every_request_on_stdin() {
    let filtered = Filtered::new(&[
        (
            "1.sh",
            "# constellation: reads stdin\necho \"$#$CONSTELLATION_EVENT\" > how; cat > got",
        ),
        ("2.sh", "# constellation: reads stdin\nexit 0"),
    ]);
    let mut policy = filtered.start(&[]);
    for length in [131_071, 131_072, 3_000_000] {
        let short = of_kind("1");
        let filling = "x".repeat(length - short.len());
        let long = short.replace("say ", &format!("say {filling}"));
        policy.write(format!("{long}\n"));
        assert_eq!(policy.answer(), answered("1", ACCEPT));
        let how = match length {
            131_071 => "1stdin\n",
            _ => "0stdin\n",
        };
        assert_eq!(filtered.read("how"), how);
        // Always, so that one that looks nowhere else sees every event.
        assert!(filtered.read("got") == long, "{length}");
        // Nobody need read it.
        policy.write(long.replace(r#""kind":1"#, r#""kind":2"#) + "\n");
        assert_eq!(policy.answer(), answered("1", ACCEPT));
    }
    policy.close();
}

/// As the stations' filters do, which look at `$1` and nothing else: without it they see
/// nothing to refuse.
const REFUSES_WHAT_IT_SEES: &str = "case \"$1\" in *spam*) exit 1 ;; esac; exit 0";

#[test]
fn an_event_too_long_for_its_filter_is_rejected() {
    let filtered = Filtered::new(&[
        ("1.sh", REFUSES_WHAT_IT_SEES),
        ("2.sh", "touch ran; exit 0"),
    ]);
    let mut policy = filtered.start(&[]);
    let spam = |kind: &str, length: usize| {
        let short = of_kind(kind).replace("say ", "say spam ");
        let filling = "x".repeat(length - short.len());
        short.replace("say ", &format!("say {filling}")) + "\n"
    };
    for length in [131_071, 131_072, 131_073, 3_000_000] {
        for (kind, short) in [("1", REFUSED), ("2", ACCEPT)] {
            policy.write(spam(kind, length));
            let answer = if length < 131_072 { short } else { TOO_LONG };
            assert_eq!(policy.answer(), answered(kind, answer), "{length}");
        }
        // A kind without a filter is none of their business.
        policy.write(spam("3", length));
        assert_eq!(policy.answer(), answered("3", ACCEPT));
    }
    assert!(filtered.exists("ran"));
    // What a filter says of itself counts from the next event on.
    filtered.write("1.sh", "# constellation: reads stdin\n! grep -q spam");
    policy.write(spam("1", 131_072));
    assert_eq!(policy.answer(), answered("1", REFUSED));
    policy.write(spam("1", 300));
    assert_eq!(policy.answer(), answered("1", REFUSED));
    filtered.write("1.sh", REFUSES_WHAT_IT_SEES);
    policy.write(spam("1", 131_072));
    assert_eq!(policy.answer(), answered("1", TOO_LONG));
    let stderr = policy.close();
    let said = "looks for events in its first argument";
    assert_eq!(stderr.matches(said).count(), 2, "{stderr}");
}

/// Where the kernel takes less for all arguments together (`ulimit -s`).
#[test]
fn a_request_above_the_stack_limit_also_comes_on_stdin() {
    let filtered = Filtered::new(&[
        (
            "1.sh",
            "# constellation: reads stdin\necho \"$#$CONSTELLATION_EVENT\" > how",
        ),
        ("2.sh", "exit 0"),
    ]);
    let mut command = Command::new("sh");
    clean(&mut command, &filtered.station.home());
    command
        .args(["-c", "ulimit -s 256; exec \"$0\" --filters \"$1\""])
        .arg(filtered.station.program(PROGRAM))
        .arg(&filtered.folder);
    let mut policy = Policy::spawn(command);
    // Alone it would do: with the environment it is more than 128 KiB, the least there is.
    let short = of_kind("1");
    let filling = "x".repeat(131_000 - short.len());
    let long = short.replace("say ", &format!("say {filling}"));
    policy.write(format!("{long}\n"));
    assert_eq!(policy.answer(), answered("1", ACCEPT));
    assert_eq!(filtered.read("how"), "0stdin\n");
    policy.write(long.replace(r#""kind":1"#, r#""kind":2"#) + "\n");
    assert_eq!(policy.answer(), answered("1", TOO_LONG));
    policy.close();
}

#[test]
fn events_of_blocked_authors_reach_no_filter() {
    let filtered = Filtered::new(&[("1.sh", "touch ran")]);
    filtered.station.blacklist(&[key(2)]);
    let mut policy = filtered.start(&[]);
    assert_eq!(policy.ask_key(2), BLOCKED);
    policy.write("{\"event\":{\"id\":\"x\",\"kind\":1},\"type\":\"other\"}\n");
    assert_eq!(policy.answer(), answered("x", ACCEPT));
    assert!(!filtered.exists("ran"));
    assert_eq!(policy.ask_key(1), ACCEPT);
    assert!(filtered.exists("ran"));
    policy.close();
}

/// One child in its process group, one in a session of its own, and one that nobody waits for.
const HANG: &str = "sleep 1000 & echo $! >> pids
    setsid sh -c 'echo $$ >> pids; sleep 1000' &
    (setsid sh -c 'echo $$ >> pids; trap \"\" TERM; sleep 1000; true' &)
    echo $$ >> pids
    while :; do sleep 1000; done";

#[test]
fn a_filter_that_hangs_is_killed_with_its_children() {
    let filtered = Filtered::new(&[("1.sh", HANG)]);
    let mut policy = filtered.start(&["--filter-timeout", "1"]);
    let asked = Instant::now();
    assert_eq!(policy.ask_key(1), TIMED_OUT);
    assert!(asked.elapsed() >= Duration::from_secs(1));
    for pid in filtered.pids(4) {
        wait_until("its end", || !is_alive(&pid));
    }
    policy.expect_stderr("took longer than 1s and was killed with its children");
    filtered.write("1.sh", "exit 0");
    assert_eq!(policy.ask_key(1), ACCEPT);
    policy.close();
}

#[test]
fn a_signal_during_a_filter_also_kills_the_filter() {
    for signal in [Signal::TERM, Signal::INT] {
        let filtered = Filtered::new(&[("1.sh", HANG)]);
        let mut policy = filtered.start(&["--filter-timeout", "1000"]);
        policy.write(of_kind("1") + "\n");
        let pids = filtered.pids(4);
        policy.signal(signal);
        assert_eq!(policy.wait().signal(), Some(signal.as_raw()));
        for pid in pids {
            wait_until("its end", || !is_alive(&pid));
        }
    }
}

/// As the stations' filters do to answer a note by a language model.
#[test]
fn processes_that_a_filter_leaves_running_live_on_and_hold_up_nothing() {
    let filtered = Filtered::new(&[(
        "1.sh",
        "(for i in $(seq 3000); do [ -e end ] && break; sleep 0.01; done; touch ended) & echo $! >> pids",
    )]);
    let mut policy = filtered.start(&[]);
    assert_eq!(policy.ask_key(1), ACCEPT);
    assert_eq!(policy.ask_key(2), ACCEPT);
    policy.end_input();
    assert_eq!(policy.wait().code(), Some(0));
    // strfry's end of the pipe ends too: they have no copy of ours.
    policy.expect_end_of_answers();
    for pid in filtered.pids(2) {
        assert!(is_alive(&pid));
    }
    fs::write(filtered.station.root().join("end"), "").unwrap();
    wait_until("their end", || filtered.exists("ended"));
}

#[test]
fn what_filters_print_is_appended_to_the_station_s_log() {
    let filtered = Filtered::new(&[
        (
            "1.sh",
            "printf 'one \\033[31m\\n'; echo two >&2; printf three; exit 1",
        ),
        (
            "2.sh",
            "(for i in $(seq 3000); do [ -e end ] && break; sleep 0.01; done; echo late) & exit 0",
        ),
    ]);
    filtered.station.write("tmp/strfry.log", "before\n");
    let mut policy = filtered.start(&[]);
    assert_eq!(policy.ask_key(1), REFUSED);
    assert_eq!(policy.ask_key(1), REFUSED);
    policy.write(of_kind("2") + "\n");
    assert_eq!(policy.answer(), answered("2", ACCEPT));
    let stderr = policy.close();
    let run = "one \u{1b}[31m\ntwo\nthree";
    assert_eq!(
        filtered.read("tmp/strfry.log"),
        format!("before\n{run}{run}")
    );
    assert!(!stderr.contains("three"), "{stderr}");
    // What a filter left running goes on printing when the policy has ended.
    fs::write(filtered.station.root().join("end"), "").unwrap();
    wait_until("its last word", || {
        filtered.read("tmp/strfry.log").ends_with("threelate\n")
    });
}

#[test]
fn a_filter_that_floods_its_output_is_killed() {
    let filtered = Filtered::new(&[("1.sh", "echo $$ >> pids; yes & echo $! >> pids; yes")]);
    let mut policy = filtered.start(&["--filter-timeout", "1000"]);
    let failed = r#""action":"reject","msg":"error: filter failed""#;
    assert_eq!(policy.ask_key(1), failed);
    for pid in filtered.pids(2) {
        wait_until("its end", || !is_alive(&pid));
    }
    policy.expect_stderr("printed more than 16 MiB and was killed");
    policy.close();
}

#[test]
fn a_log_that_cannot_be_written_keeps_no_filter_from_deciding() {
    let filtered = Filtered::new(&[("1.sh", "echo x; echo y >&2; exit 1"), ("2.sh", "echo x")]);
    fs::create_dir_all(filtered.station.root().join("tmp/strfry.log")).unwrap();
    let mut policy = filtered.start(&[]);
    for _ in 0..2 {
        assert_eq!(policy.ask_key(1), REFUSED);
        policy.write(of_kind("2") + "\n");
        assert_eq!(policy.answer(), answered("2", ACCEPT));
    }
    let stderr = policy.close();
    assert_eq!(
        stderr.matches("what filters print is discarded").count(),
        1,
        "{stderr}"
    );
}

/// As a filter does that pays, and waits for the receipt.
#[test]
fn a_filter_that_is_too_late_may_go_on_but_not_for_ever() {
    let wait = "for i in $(seq 6000); do [ -e end ] && break; sleep 0.01; done; touch \"paid-$i\"";
    let filtered = Filtered::new(&[("1.sh", &format!("echo $$ >> pids; {wait}"))]);
    let mut policy = filtered.start(&["--filter-timeout", "0.3", "--filter-grace", "600"]);
    for _ in 0..5 {
        assert_eq!(policy.ask_key(1), TIMED_OUT);
    }
    // Four go on, and the fifth was killed.
    let pids = filtered.pids(5);
    policy.expect_stderr("and was killed with its children");
    assert_eq!(policy.stderr().matches("may go on for 600s").count(), 4);
    let (last, late) = pids.split_last().unwrap();
    wait_until("its end", || !is_alive(last));
    assert!(late.iter().all(|pid| is_alive(pid)));
    fs::write(filtered.station.root().join("end"), "").unwrap();
    for pid in late {
        wait_until("its end", || !is_alive(pid));
    }
    fs::remove_file(filtered.station.root().join("end")).unwrap();
    policy.close();
    // One that has gone on for long enough is killed, too.
    fs::remove_file(filtered.station.root().join("pids")).unwrap();
    let mut policy = filtered.start(&["--filter-timeout", "0.2", "--filter-grace", "0.2"]);
    assert_eq!(policy.ask_key(1), TIMED_OUT);
    let pids = filtered.pids(1);
    wait_until("its end", || !is_alive(&pids[0]));
    policy.expect_stderr("was too late for its event was killed");
    policy.close();
}

#[test]
fn a_filter_that_is_removed_while_it_runs_still_decides() {
    let filtered = Filtered::new(&[("1.sh", "rm -r filter; [ ! -e filter ] && exit 1")]);
    let mut policy = filtered.start(&[]);
    assert_eq!(policy.ask_key(1), REFUSED);
    // There is none any more.
    assert_eq!(policy.ask_key(1), ACCEPT);
    policy.expect_stderr("does not exist: until it does, no filter is run");
    policy.close();
}

#[test]
fn added_and_removed_filters_count_within_a_second() {
    let filtered = Filtered::new(&[]);
    let mut policy = filtered.start(&[]);
    let path = filtered.folder.join("1.sh");
    for round in 1..=2 {
        let what = |change: &str| format!("{change}, round {round}");
        in_force(&mut policy, &what("a filter"), 1, REFUSED, || {
            filtered.write("1.sh", "exit 1");
        });
        in_force(&mut policy, &what("chmod -x"), 1, ACCEPT, || {
            fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        });
        in_force(&mut policy, &what("chmod +x"), 1, REFUSED, || {
            fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        });
        in_force(&mut policy, &what("a filter no more"), 1, ACCEPT, || {
            fs::remove_file(&path).unwrap();
        });
    }
    policy.close();
}

#[test]
fn a_file_that_is_no_program_is_skipped_and_reported_once() {
    let filtered = Filtered::new(&[("1.sh", "exit 1"), ("4.sh", "exit 1")]);
    fs::set_permissions(filtered.folder.join("1.sh"), Permissions::from_mode(0o644)).unwrap();
    fs::create_dir(filtered.folder.join("2.sh")).unwrap();
    symlink("nowhere", filtered.folder.join("3.sh")).unwrap();
    // A link to a filter is that filter.
    symlink("4.sh", filtered.folder.join("5.sh")).unwrap();
    let mut policy = filtered.start(&[]);
    for (kind, answer) in [
        ("1", ACCEPT),
        ("2", NOT_STARTED),
        ("3", ACCEPT),
        ("5", REFUSED),
    ] {
        policy.write(of_kind(kind) + "\n");
        assert_eq!(policy.answer(), answered(kind, answer));
    }
    // Long enough for the folder to have been looked at again.
    in_force(&mut policy, "a filter", 1, REFUSED, || {
        filtered.write("1.sh", "exit 1");
    });
    let stderr = policy.close();
    for said in [
        "1.sh is not executable: it is skipped",
        "2.sh cannot be started",
        "3.sh is a broken link: it is skipped",
    ] {
        assert_eq!(stderr.matches(said).count(), 1, "{said}\n{stderr}");
    }
}

#[test]
fn a_filter_that_cannot_be_started_lets_nobody_in_and_is_reported_once() {
    let filtered = Filtered::new(&[]);
    let path = filtered.folder.join("1.sh");
    // No such interpreter; and no program at all.
    for text in ["#!/nowhere/sh\n", "exit 0\n"] {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        let mut policy = filtered.start(&[]);
        for _ in 0..3 {
            assert_eq!(policy.ask_key(1), NOT_STARTED, "{text}");
        }
        policy.expect_stderr("every event of its kind is rejected until it can");
        filtered.write("1.sh", "exit 0");
        assert_eq!(policy.ask_key(1), ACCEPT);
        let stderr = policy.close();
        let said = "1.sh cannot be started";
        assert_eq!(stderr.matches(said).count(), 1, "{stderr}");
    }
}

#[test]
fn an_unreadable_filter_folder_lets_nobody_in() {
    let filtered = Filtered::new(&[]);
    fs::remove_dir(&filtered.folder).unwrap();
    fs::write(&filtered.folder, "no folder").unwrap();
    let mut policy = filtered.start(&[]);
    let unavailable = r#""action":"reject","msg":"error: filters unavailable""#;
    assert_eq!(policy.ask_key(1), unavailable);
    policy.expect_stderr("every event is rejected until it can be read");
    in_force(&mut policy, "a folder", 1, ACCEPT, || {
        fs::remove_file(&filtered.folder).unwrap();
        fs::create_dir(&filtered.folder).unwrap();
    });
    if !is_root() {
        filtered.write("1.sh", "exit 1");
        fs::set_permissions(&filtered.folder, Permissions::from_mode(0o000)).unwrap();
        policy.expect_stderr("the filters found before are run");
        fs::set_permissions(&filtered.folder, Permissions::from_mode(0o755)).unwrap();
    }
    policy.close();
}

#[test]
fn the_filter_timeout_is_a_number_of_seconds() {
    let station = station!();
    for (seconds, code) in [
        ("0.5", 0),
        ("0", 2),
        ("-1", 2),
        ("x", 2),
        ("3601", 2),
        ("nan", 2),
    ] {
        let output = station.run(
            PROGRAM,
            &[
                "--filters",
                "/nowhere",
                &format!("--filter-timeout={seconds}"),
            ],
        );
        output.expect_code(code);
    }
}
