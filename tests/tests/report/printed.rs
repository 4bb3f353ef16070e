//! `constellation-sync report`: the summary of the last run, and the text for a mail; and what is
//! remembered for both from run to run.

use std::os::unix::fs::MetadataExt;

use constellation_tests::author::now;
use constellation_tests::relay::dead_url;
use constellation_tests::station;
use constellation_tests::terminal::plain;
use serde_json::Value;

use crate::case::{JSON, PAGE, RUNS, expect_all, failing, report, sync, with_peer};

const DAY: u64 = 86_400;

#[test]
fn it_prints_the_words_of_the_run_and_where_the_page_is() {
    let (station, _relay) = with_peer("Bob");
    let dead = dead_url();
    station.peer("12D3KooDead", &dead);
    let run = sync(&station).on_a_terminal().output();
    run.expect_code(1);
    let output = station.run("constellation-sync", &["report"]);
    output.expect_code(0);
    let said = plain(&run.stderr).replace("\n\n", "\n");
    let begin = said.find("! 1 of 2").unwrap();
    let said = said[begin..].trim_end();
    assert!(output.stdout.starts_with(said), "{said}\n\n{output}");
    let page = station.root().join(PAGE);
    expect_all(
        &output.stdout,
        &[&format!("\n  page      {}\n", page.display())],
    );
    let json = station.run("constellation-sync", &["report", "--json"]);
    assert_eq!(json.stdout, station.read(JSON));
}

#[test]
fn without_a_report_it_says_how_to_come_by_one() {
    let station = station!();
    let output = station.run("constellation-sync", &["report"]);
    output
        .expect_code(1)
        .expect_stdout("There is no report yet: constellation-sync trigger --now");
    station.write(JSON, "{\"schema\":");
    let output = station.run("constellation-sync", &["report", "--text"]);
    output.expect_code(1).expect_stdout("cannot be read");
}

#[test]
fn the_text_for_a_mail_tells_of_the_run_and_of_the_week() {
    let (station, _relay) = with_peer("Bob");
    sync(&station).output().expect_code(0);
    (0..3).for_each(|_| drop(failing(&station, &[])));
    let output = station.run("constellation-sync", &["report", "--text"]);
    output.expect_code(0);
    assert!(!output.stdout.contains('\u{1b}'));
    expect_all(
        &output.stdout,
        &[
            "Constellation backfill of ",
            "\nThe last run ended ",
            "\n  ! The one peer could not be synced completely"
                .replace('!', "✘")
                .as_str(),
            "\nThe last 7 days:\n",
            "  runs       4: 1 succeeded, 3 failed, 0 interrupted\n",
            "  events     22 new\n",
            "  database   ",
            "\nWhat is wrong, and what to do:\n",
            "  - 3 runs in a row failed, the last one: no peer gave all it has; ",
            ": constellation-sync doctor\n",
            "\nThe page: ",
        ],
    );
}

/// The size of the database on the disk now.
fn size(station: &constellation_tests::StationDir) -> u64 {
    let data = station.strfry_dir().join("strfry-db/data.mdb");
    std::fs::metadata(data).unwrap().blocks() * 512
}

#[test]
fn the_size_of_the_database_is_remembered_with_each_run() {
    let (station, _relay) = with_peer("Bob");
    let metrics = station.home().join("sync.prom");
    let run = || sync(&station).arg("--metrics").arg(&metrics).output();
    run().expect_code(0);
    let bytes = size(&station);
    assert_eq!(report(&station)["database_bytes"], bytes);
    assert_eq!(report(&station)["runs"][0]["database_bytes"], bytes);
    let figures = std::fs::read_to_string(&metrics).unwrap();
    expect_all(
        &figures,
        &[&format!("constellation_sync_database_bytes {bytes}\n")],
    );
    // Ten days later it has grown.
    let mut runs: Value = serde_json::from_str(&station.read(RUNS)).unwrap();
    let day = &mut runs["days"][0];
    day["began_at"] = (now() / DAY * DAY - 10 * DAY).into();
    day["ended_at"] = (now() - 10 * DAY).into();
    day["database_bytes"] = 0.into();
    station.write(RUNS, runs.to_string());
    run().expect_code(0);
    let status = station.run("constellation-sync", &["status"]);
    let words = ["  database      ", "B more than 10 days ago", " a day"];
    expect_all(&status.stdout, &words);
    expect_all(&station.read(PAGE), &["more than 10 days ago"]);
    assert_eq!(report(&station)["last_days"].as_array().unwrap().len(), 2);
}

#[test]
fn each_peer_has_its_line_of_runs_on_the_page() {
    let (station, relay) = with_peer("Bob");
    let dead = dead_url();
    station.peer("12D3KooDead", &dead);
    (0..3).for_each(|_| drop(sync(&station).arg("--sweep").output()));
    station
        .run("constellation-sync", &["--peer", &relay.url()])
        .expect_code(0);
    let report = report(&station);
    let runs: Vec<(&str, &str)> = report["peer_runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|peer| {
            (
                peer["url"].as_str().unwrap(),
                peer["runs"].as_str().unwrap(),
            )
        })
        .collect();
    let (good, dead) = (relay.url(), dead);
    let of = |url: &str| runs.iter().find(|(peer, _)| *peer == url).unwrap().1;
    assert_eq!((of(&good), of(&dead)), ("ssss", "-uuu"));
    let page = station.read(PAGE);
    expect_all(
        &page,
        &[
            "aria-label=\"synced in 4 of 4 runs\"",
            "4 runs: synced</title>",
            "3 runs: not reached</title>",
            ": not asked</title>",
            "all until ",
            "not everything yet",
        ],
    );
    // A line for each of the two, although one was not asked.
    let table = &page[page.find("class=\"peers\"").unwrap()..];
    let table = &table[..table.find("</table>").unwrap()];
    assert_eq!(table.matches("class=\"url\"").count(), 2);
}
