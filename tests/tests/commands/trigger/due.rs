//! When a backfill is due, and what is remembered of it.

use constellation_tests::author::now;
use constellation_tests::command::wait_until;
use constellation_tests::relay::dead_url;
use constellation_tests::station::ids;
use constellation_tests::{Behaviour, station};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;

use super::case::{
    ATTEMPTS, DAY, HOUR, LAST, LOG, MEMORY, is_recent, last_success, logged, node_ahead,
    station_with_peer, trigger,
};

fn hanging() -> Behaviour {
    Behaviour {
        hang_after_events: Some(0),
        ..Behaviour::default()
    }
}

#[test]
fn at_most_one_run_an_hour() {
    let (station, relay, notes) = station_with_peer(Behaviour::default());
    trigger(&station).output().expect_code(0);
    assert_eq!(station.stored_ids(), ids(&notes));
    assert!(is_recent(last_success(&station)));
    assert_eq!(relay.connections(), 1);
    let again = trigger(&station).output();
    again
        .expect_code(0)
        .expect_stdout("No backfill: the last one succeeded")
        .expect_stdout("the next is due in");
    assert_eq!(relay.connections(), 1);
    station.write(LAST, (now() - HOUR / 2).to_string());
    trigger(&station).output().expect_stdout("30 min ago");
    assert_eq!(relay.connections(), 1);
    trigger(&station)
        .args(["--interval", "20"])
        .output()
        .expect_code(0);
    assert_eq!(relay.connections(), 2);
    station.write(LAST, (now() - HOUR).to_string());
    trigger(&station).output().expect_code(0);
    assert_eq!(relay.connections(), 3);
    assert!(is_recent(last_success(&station)));
    assert_eq!(logged(&station, "[INFO] Backfill starts: "), 3);
    assert_eq!(logged(&station, "[INFO] Backfill done in"), 3);
    assert_eq!(logged(&station, "[INFO] No backfill"), 2);
}

#[test]
fn a_station_that_was_off_for_a_week_catches_up_by_itself() {
    let (station, _relay, notes) = station_with_peer(Behaviour::default());
    trigger(&station)
        .arg("--sweep=false")
        .output()
        .expect_code(0);
    assert_eq!(station.stored_ids(), ids(&notes[..1]));
    let week = 7 * DAY;
    let last = last_success(&station);
    let memory = station.read(MEMORY);
    let earlier = memory.replace(&last.to_string(), &(last - week).to_string());
    assert_ne!(memory, earlier);
    station.write(MEMORY, earlier);
    station.write(LAST, (last - week).to_string());
    trigger(&station)
        .arg("--sweep=false")
        .output()
        .expect_code(0);
    assert_eq!(station.stored_ids(), ids(&notes[..8]));
}

#[test]
fn a_later_call_starts_at_this_station_s_time_of_the_hour() {
    let (station, relay, _) = station_with_peer(Behaviour::default());
    let before = format!(
        r#"{{"version":1,"in_vain":0,"last":0,"called":{}}}"#,
        now() - 300
    );
    station.write(ATTEMPTS, before);
    station
        .command("constellation-sync")
        .arg("trigger")
        // Half a minute more than half an hour: a busy machine is slow to start it.
        .env("IPFSNODEID", node_ahead(1829))
        .output()
        .expect_code(0)
        .expect_stdout("No backfill: it is not this station's time of the hour")
        .expect_stdout("in 30 min");
    assert_eq!(relay.connections(), 0);
}

#[test]
fn the_last_call_before_this_station_s_time_of_the_hour_waits_for_it() {
    let (station, relay, _) = station_with_peer(Behaviour::default());
    // Called once an hour, then every five minutes.
    for (apart, ahead) in [(HOUR, 1800), (300, 290)] {
        let called = now() - apart;
        let before = format!(r#"{{"version":1,"in_vain":0,"last":0,"called":{called}}}"#);
        station.write(ATTEMPTS, before);
        station.write(LOG, "");
        let mut waiting = station
            .command("constellation-sync")
            .arg("trigger")
            .env("IPFSNODEID", node_ahead(ahead))
            .spawn();
        wait_until("it to wait", || logged(&station, "Waiting for") == 1);
        waiting.signal(Signal::TERM);
        waiting.wait().expect_signal(15);
    }
    assert_eq!(relay.connections(), 0);
}

#[test]
fn a_day_is_a_last_success_too_and_anything_else_is_none() {
    let (station, relay, notes) = station_with_peer(Behaviour::default());
    let date = std::process::Command::new("date")
        .args(["+%Y-%m-%d", "-d", "3 days ago"])
        .output()
        .unwrap();
    station.write(LAST, date.stdout);
    let output = trigger(&station).output();
    output.expect_code(0);
    assert_eq!(logged(&station, "the last success was"), 1);
    assert_eq!(station.stored_ids(), ids(&notes));
    for (run, text) in ["", "yesterday", "\u{0}\u{1}", "99999999999999999999"]
        .iter()
        .enumerate()
    {
        station.write(LAST, text);
        trigger(&station).output().expect_code(0);
        assert_eq!(relay.connections(), run as u64 + 2);
        assert_eq!(logged(&station, "[WARN]"), run + 1, "{}", station.read(LOG));
        assert!(is_recent(last_success(&station)));
    }
}

#[test]
fn a_clock_that_was_set_back_holds_nothing_up() {
    let (station, relay, _) = station_with_peer(Behaviour::default());
    station.write(LAST, (now() + 5).to_string());
    trigger(&station).output().expect_stdout("No backfill");
    assert_eq!(relay.connections(), 0);
    station.write(LAST, (now() + 400 * DAY).to_string());
    trigger(&station).output().expect_code(0);
    assert_eq!(relay.connections(), 1);
    assert!(is_recent(last_success(&station)));
}

#[test]
fn not_before_noon() {
    let (station, relay, _) = station_with_peer(Behaviour::default());
    let at = |zone: &str| {
        trigger(&station)
            .args(["--interval", "1440", "--not-before", "12:00"])
            .env("TZ", zone)
    };
    // Two zones in which it is morning and afternoon, whenever this runs.
    let hour = now() % DAY / HOUR;
    let zone = |wanted: u64| {
        let ahead = (wanted + 24 - hour) % 24;
        // POSIX counts westward.
        match ahead <= 12 {
            true => format!("XXX-{ahead}"),
            false => format!("XXX{}", 24 - ahead),
        }
    };
    at(&zone(9))
        .output()
        .expect_code(0)
        .expect_stdout("No backfill: not before 12:00");
    assert_eq!(relay.connections(), 0);
    at(&zone(15)).output().expect_code(0);
    assert_eq!(relay.connections(), 1);
    at(&zone(15)).output().expect_stdout("succeeded");
    assert_eq!(relay.connections(), 1);
    for wrong in ["25:00", "noon", ""] {
        let arguments = ["--not-before", wrong];
        trigger(&station).args(arguments).output().expect_code(2);
    }
}

#[test]
fn a_failure_is_no_success_and_is_not_repeated_at_once() {
    let station = station!();
    let dead = dead_url();
    station.peer("dead", &dead);
    let before = now() - 2 * DAY;
    station.write(LAST, before.to_string());
    trigger(&station).output().expect_code(1);
    assert_eq!(last_success(&station), before);
    assert!(station.read(ATTEMPTS).contains("\"in_vain\":1"));
    trigger(&station)
        .output()
        .expect_code(0)
        .expect_stdout("No backfill: the last attempt was in vain");
    // Five minutes later, not an hour.
    let attempts = |in_vain: u32, last: u64| {
        let text = format!(r#"{{"version":1,"in_vain":{in_vain},"last":{last}}}"#);
        station.write(ATTEMPTS, text);
    };
    attempts(1, now() - 300);
    trigger(&station).output().expect_code(1);
    assert!(station.read(ATTEMPTS).contains("\"in_vain\":2"));
    attempts(2, now() - 300);
    trigger(&station).output().expect_stdout("No backfill");
    assert_eq!(logged(&station, "[ERROR] Backfill failed after"), 2);
    // One peer that answers is enough, and nothing is in vain any more.
    let (other, relay, _) = station_with_peer(Behaviour::default());
    other.peer("dead", &dead);
    other.write(LAST, before.to_string());
    other.write(ATTEMPTS, r#"{"version":1,"in_vain":3,"last":1}"#);
    trigger(&other).output().expect_code(1);
    assert!(is_recent(last_success(&other)));
    assert!(other.read(ATTEMPTS).contains("\"in_vain\":0"));
    assert_eq!(relay.connections(), 1);
}

#[test]
fn a_backfill_that_cannot_begin_is_a_failure() {
    let station = station!();
    trigger(&station)
        .output()
        .expect_code(3)
        .expect_stderr("No constellation peers found");
    assert_eq!(station.read(LAST), "");
    assert_eq!(
        logged(&station, "exit code 3: No constellation peers found"),
        1
    );
    trigger(&station)
        .output()
        .expect_code(0)
        .expect_stdout("in vain");
}

#[test]
fn never_two_at_once() {
    let (station, relay, _) = station_with_peer(hanging());
    let mut first = trigger(&station).spawn();
    wait_until("the first to ask", || relay.requests() > 0);
    let pid = first.pid();
    let second = trigger(&station).args(["--interval", "0"]).output();
    second
        .expect_code(0)
        .expect_stdout(&format!("Backfill already running with PID: {pid}"));
    assert_eq!(logged(&station, "Backfill already running with PID"), 1);
    first.signal(Signal::TERM);
    first.wait().expect_code(130);
    assert_eq!(station.read(LAST), "");
    assert_eq!(relay.connections(), 1);
    assert_eq!(logged(&station, "exit code 130: it was interrupted"), 1);
}

#[test]
fn many_at_once_are_one_run() {
    let (station, relay, notes) = station_with_peer(Behaviour::default());
    let all: Vec<_> = (0..8).map(|_| trigger(&station).spawn()).collect();
    for one in all {
        one.wait().expect_code(0);
    }
    assert_eq!(relay.connections(), 1);
    assert_eq!(station.stored_ids(), ids(&notes));
}

#[test]
fn a_killed_run_was_in_vain() {
    let (station, relay, _) = station_with_peer(hanging());
    let mut killed = trigger(&station).spawn();
    wait_until("it to ask", || relay.requests() > 0);
    killed.signal(Signal::KILL);
    killed.wait().expect_signal(9);
    trigger(&station)
        .output()
        .expect_code(0)
        .expect_stdout("in vain");
    assert_eq!(station.read(LAST), "");
}

#[test]
fn options_of_the_backfill_pass_through() {
    let (station, relay, notes) = station_with_peer(Behaviour::default());
    let elsewhere = station!();
    elsewhere.member("alice@example.com", notes[0].pubkey);
    let output = elsewhere
        .command("constellation-sync")
        .env("HOME", "/nonexistent")
        .args(["trigger", "--now", "--kinds", "1", "--days", "4", "--json"])
        .args(["--sweep=false"])
        .args(["--peer", &relay.url(), "--verbose", "--zen"])
        .arg(elsewhere.root())
        .output();
    output
        .expect_code(0)
        .expect_stdout("\"outcome\":\"complete\"")
        .expect_stderr("SYNC_PEERS: success=1 total=1");
    assert_eq!(elsewhere.stored_ids(), ids(&notes[..4]));
    drop(station);
}

#[test]
fn a_dry_run_says_what_would_be_and_writes_nothing() {
    let (station, relay, _) = station_with_peer(Behaviour::default());
    station.write(LAST, (now() - 5 * DAY + HOUR).to_string());
    trigger(&station)
        .arg("--dry-run")
        .output()
        .expect_code(0)
        .expect_stdout("of all time that are missing here");
    station.write(LAST, now().to_string());
    trigger(&station)
        .arg("--dry-run")
        .output()
        .expect_code(0)
        .expect_stdout("No backfill");
    assert_eq!(relay.connections(), 0);
    assert_eq!(station.read(LOG) + &station.read(ATTEMPTS), "");
}

#[test]
fn what_is_no_file_does_not_hold_it() {
    let (station, _relay, notes) = station_with_peer(Behaviour::default());
    for file in [LAST, ATTEMPTS] {
        let path = station.root().join(file);
        mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap();
    }
    trigger(&station).output().expect_code(0);
    assert_eq!(station.stored_ids(), ids(&notes));
    assert_eq!(logged(&station, "is passed over: not a regular file"), 1);
    assert!(is_recent(last_success(&station)));
}

#[test]
fn the_log_is_rotated() {
    let (station, _relay, _) = station_with_peer(Behaviour::default());
    station.write(LOG, vec![b'x'; 10_000_001]);
    station.write(LAST, now().to_string());
    trigger(&station).output().expect_code(0);
    assert_eq!(station.read(LOG).lines().count(), 1);
    assert_eq!(
        station.read("strfry/constellation-trigger.log.1").len(),
        10_000_001
    );
}
