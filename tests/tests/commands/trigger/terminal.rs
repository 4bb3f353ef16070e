//! What the trigger says to a person who calls it on a terminal, and `--now`.

use constellation_tests::Behaviour;
use constellation_tests::author::now;
use constellation_tests::command::wait_until;
use constellation_tests::terminal::plain;
use rustix::process::Signal;

use super::case::{
    ATTEMPTS, HOUR, LAST, is_recent, last_success, logged, node_ahead, station_with_peer, trigger,
};

/// The local time in so many seconds, as `date` says it.
fn local_time(seconds: u64) -> String {
    let output = std::process::Command::new("date")
        .args([&format!("-d@{}", now() + seconds), "+%H:%M"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn who_waits_on_a_terminal_is_told_until_when_and_how_not_to() {
    let (station, relay, _) = station_with_peer(Behaviour::default());
    let called = now() - HOUR;
    let before = format!(r#"{{"version":1,"in_vain":0,"last":0,"called":{called}}}"#);
    let start = || {
        let command = station.command("constellation-sync").arg("trigger");
        command.env("IPFSNODEID", node_ahead(1800))
    };
    for quiet in [false, true] {
        station.write(ATTEMPTS, &before);
        station.write("strfry/constellation-trigger.log", "");
        let command = start().on_a_terminal();
        let command = if quiet { command.arg("-q") } else { command };
        let mut waiting = command.spawn();
        wait_until("it to wait", || logged(&station, "Waiting for") == 1);
        // It begins up to 30 seconds after its time; and a busy machine is slow.
        let times = [1770, 1800, 1830].map(local_time);
        waiting.signal(Signal::TERM);
        let output = waiting.wait();
        output.expect_signal(15);
        let text = plain(&output.stderr);
        if quiet {
            assert_eq!(text, "");
            continue;
        }
        let names_time = times
            .iter()
            .any(|time| text.contains(&format!("until {time}")));
        assert!(names_time, "{times:?} {text}");
        assert!(
            text.contains("Ctrl-C, then: constellation-sync trigger --now"),
            "{text}"
        );
    }
    assert_eq!(relay.connections(), 0);
}

#[test]
fn if_nothing_is_due_it_says_when_and_how_to_run_all_the_same() {
    let (station, relay, _) = station_with_peer(Behaviour::default());
    station.write(LAST, (now() - HOUR / 2).to_string());
    let output = trigger(&station).on_a_terminal().output();
    output
        .expect_code(0)
        .expect_stdout("No backfill: the last one succeeded 30 min ago; the next is due in")
        .expect_stdout(", at ");
    let text = plain(&output.stderr);
    assert!(
        text.contains("To run one now: constellation-sync trigger --now"),
        "{text}"
    );
    let output = trigger(&station).output();
    assert_eq!(output.stderr, "", "nobody is there to be told");
    assert_eq!(relay.connections(), 0);
}

#[test]
fn now_runs_now_whether_or_not_a_run_is_due() {
    let (station, relay, _) = station_with_peer(Behaviour::default());
    let command = |args: &[&str]| station.command("constellation-sync").args(args).output();
    station.write(LAST, (now() - 60).to_string());
    command(&["trigger", "--now"]).expect_code(0);
    assert_eq!(relay.connections(), 1);
    assert!(is_recent(last_success(&station)));
    // Nor after attempts in vain, nor before the time of day.
    let before = format!(
        r#"{{"version":1,"in_vain":9,"last":{},"called":0}}"#,
        now() - 5
    );
    station.write(ATTEMPTS, before);
    command(&["trigger", "--now", "--not-before", "23:59"]).expect_code(0);
    assert_eq!(relay.connections(), 2);
    assert_eq!(logged(&station, "Backfill starts: "), 2);
    // As a setting it cannot mean that.
    trigger(&station).output().expect_stdout("No backfill");
    assert_eq!(relay.connections(), 2);
}
