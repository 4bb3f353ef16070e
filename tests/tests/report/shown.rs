//! After each run the report says what happened, most of all what failed.

use constellation_tests::author::{forged_signature, now};
use constellation_tests::command::wait_until;
use constellation_tests::relay::{Nip77, dead_url};
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir};
use rustix::process::Signal;
use serde_json::json;

use crate::case::{JSON, PAGE, RUNS, expect_all, failing, refusing, report, sync, with_peer};

#[test]
fn a_run_with_failures_shows_them() {
    let (station, good) = with_peer("Bob & \"co\" <b>");
    let forged = forged_signature(&Author::new(1).note(now() - 60, "forged"));
    good.behave(Behaviour {
        extra: vec![forged.to_json()],
        nip77: Nip77::Absent,
        ..Behaviour::default()
    });
    let refusing = refusing("blocked: <i>go away</i>");
    let dead = dead_url();
    station.peer("12D3KooRefusing", &refusing.url());
    station.peer("12D3KooDead", &dead);
    let metrics = station.home().join("sync.prom");
    let output = sync(&station)
        .args(["--json", "--metrics"])
        .arg(&metrics)
        .output();
    output.expect_code(1);
    assert_eq!(
        output.stdout,
        station.read(JSON),
        "one and the same document"
    );
    let report = report(&station);
    let peer = |url: &str| {
        let mut peers = report["peers"].as_array().unwrap().iter();
        peers.find(|peer| peer["url"] == url).unwrap().clone()
    };
    let (good, refusing, dead) = (peer(&good.url()), peer(&refusing.url()), peer(&dead));
    assert_eq!(good["complete"], true, "{good}");
    assert_eq!(
        (&refusing["complete"], &refusing["reached"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(
        (&dead["complete"], &dead["reached"]),
        (&json!(false), &json!(false))
    );
    for (pointer, value) in [
        ("/success", json!(true)),
        ("/outcome", json!("some_peers_failed")),
        ("/events", json!(22)),
        ("/events_by_kind/1", json!(20)),
        ("/profiles/found", json!(2)),
        ("/profiles/listed/0/name", json!(null)),
        ("/runs/0/synced", json!(1)),
        ("/hours/0/events_by_kind/0", json!(2)),
    ] {
        assert_eq!(report.pointer(pointer), Some(&value), "{pointer}\n{report}");
    }
    assert!(
        report["refused"]["forged"].as_u64().unwrap() > 0,
        "{report}"
    );
    let url = |peer: &serde_json::Value| peer["url"].as_str().unwrap().to_owned();
    expect_all(
        &station.read(PAGE),
        &[
            "1 of 3 peers is synced",
            &url(&dead),
            "✘</span> not reached",
            "cannot connect to",
            "<code class=\"dim\">connect_refused</code>",
            &url(&refusing),
            "!</span> in part",
            "&lt;i&gt;go away&lt;/i&gt;",
            "<code>forged</code>",
            "Alice",
            "Bob &amp; &quot;co&quot; &lt;b&gt;",
            "✘ no profile",
            "text note",
        ],
    );
    let status = station.run("constellation-sync", &["status"]);
    status.expect_code(0);
    expect_all(
        &status.stdout,
        &[
            "1 of 3 peers is synced",
            "✘ not reached",
            &url(&dead),
            "! in part",
            "forged",
        ],
    );
    assert!(
        !status.stdout.contains('\u{1b}'),
        "no colours but on a terminal"
    );
    let metrics = std::fs::read_to_string(metrics).unwrap();
    expect_all(
        &metrics,
        &[
            "constellation_sync_last_run_exit_code 1\n",
            "constellation_sync_peers{state=\"synced\"} 1\n",
            "constellation_sync_peers{state=\"incomplete\"} 1\n",
            "constellation_sync_peers{state=\"unreachable\"} 1\n",
            &format!(
                "constellation_sync_peer_synced{{peer=\"{}\"}} 0\n",
                url(&dead)
            ),
        ],
    );
}

#[test]
fn a_failed_run_leaves_the_last_success_and_adds_to_the_runs() {
    let (station, _relay) = with_peer("Bob");
    sync(&station).output().expect_code(0);
    let success = report(&station)["last_success_at"].clone();
    assert!(success.as_u64().unwrap() > now() - 120);
    failing(&station, &[]);
    failing(&station, &[]);
    let report = report(&station);
    assert_eq!(report["last_success_at"], success);
    assert_eq!(report["failures_in_a_row"], 2);
    let runs = report["runs"].as_array().unwrap();
    let successes: Vec<bool> = runs.iter().map(|run| run["success"] == true).collect();
    assert_eq!(successes, [false, false, true]);
    expect_all(
        &station.read(PAGE),
        &[
            "The one peer could not be synced",
            "2 runs in a row have failed",
            "The last 3 runs",
        ],
    );
}

#[test]
fn a_run_that_could_do_nothing_is_reported_too() {
    let (station, _relay) = with_peer("Bob");
    sync(&station).output().expect_code(0);
    let before = report(&station)["last_success_at"].clone();
    std::fs::remove_file(station.strfry()).unwrap();
    let output = sync(&station).arg("--json").output();
    output.expect_code(3).expect_stderr("is not a program");
    assert_eq!(output.stdout, station.read(JSON));
    let report = report(&station);
    assert_eq!(report["outcome"], "nothing_done");
    assert_eq!(report["exit_code"], 3);
    assert_eq!(report["last_success_at"], before);
    let failure = report["failure"].as_str().unwrap();
    assert!(
        failure.contains("is not a program; install strfry"),
        "{failure}"
    );
    expect_all(
        &station.read(PAGE),
        &[
            "✘</span> Nothing could be done",
            "is not a program",
            "No peer was asked",
        ],
    );
}

#[test]
fn an_import_that_breaks_is_reported_with_strfry_s_words() {
    let station = StationDir::builder(env!("CARGO_BIN_EXE_demo"));
    let station = station.stand_in().build();
    let author = Author::new(1);
    station.member("a@example.org", author.pubkey());
    let relay = ScriptedRelay::start(&[author.note(now() - 60, "x")], Behaviour::default());
    station.peer("12D3KooGood", &relay.url());
    let output = sync(&station)
        .env("STANDIN_EXIT", "1")
        .env("STANDIN_ONLY", "import")
        .output();
    output.expect_code(3);
    let failure = report(&station)["failure"].as_str().unwrap().to_owned();
    assert!(failure.contains("strfry import ended"), "{failure}");
    expect_all(
        &station.read(PAGE),
        &["Nothing could be done", "strfry import ended"],
    );
}

#[test]
fn an_interrupted_run_is_neither_a_success_nor_a_failure() {
    let (station, relay) = with_peer("Bob");
    relay.behave(Behaviour {
        hang_after_events: Some(5),
        ..Behaviour::default()
    });
    let mut run = sync(&station).spawn();
    wait_until("some events", || relay.events_sent() == 5);
    run.signal(Signal::TERM);
    run.wait().expect_code(130);
    let report = report(&station);
    assert_eq!(report["outcome"], "interrupted");
    assert_eq!(report["success"], false);
    assert_eq!(report["failures_in_a_row"], 0);
    assert_eq!(report["peers"][0]["reached"], true);
    expect_all(&station.read(PAGE), &["The run was interrupted"]);
}

#[test]
fn who_only_looks_writes_no_report() {
    let (station, _relay) = with_peer("Bob");
    let just_now = now().to_string();
    station.write("strfry/last_constellation_sync", just_now);
    for args in [
        &["--dry-run"][..],
        &["--stats"],
        &["--show-hex"],
        &["trigger"],
        &["status"],
    ] {
        let command = station.command("constellation-sync").args(args);
        command.env("CONSTELLATION_NOW", "true").output();
    }
    for file in [JSON, PAGE, RUNS] {
        assert_eq!(station.read(file), "", "{file}");
    }
}

#[test]
fn a_broken_memory_is_no_obstacle_and_a_full_folder_only_a_warning() {
    let (station, _relay) = with_peer("Bob");
    station.write(RUNS, "{\"version\":1,\"runs\":[[[");
    // What cannot be replaced by a file.
    station.write(format!("{PAGE}/x"), "");
    let output = sync(&station).output();
    output
        .expect_code(0)
        .expect_stderr("constellation-report.html could not be written");
    assert_eq!(report(&station)["runs"].as_array().unwrap().len(), 1);
}
