//! What the tests of the report share.

use constellation_shared::Event;
use constellation_tests::author::now;
use constellation_tests::command::{Output, TestCommand};
use constellation_tests::relay::Nip77;
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};
use serde_json::Value;

pub(crate) const JSON: &str = "strfry/constellation-report.json";
pub(crate) const PAGE: &str = "strfry/constellation-report.html";
pub(crate) const RUNS: &str = "strfry/constellation-runs.json";
pub(crate) const LOG: &str = "strfry/constellation-backfill.log";

/// A station of three members, of whom the first two have a profile, and a peer that holds
/// these and 20 notes. The second's name is this.
pub(crate) fn with_peer(name: &str) -> (StationDir, ScriptedRelay) {
    let authors = Author::many(3);
    let station = station!();
    let profile = |author: &Author, name: &str| {
        let content = serde_json::json!({ "name": name }).to_string();
        author.sign(0, now() - 3600, &[], &content)
    };
    let mut events: Vec<Event> = (0..20)
        .map(|number| authors[number % 3].note(now() - 600, &format!("note {number}")))
        .collect();
    events.push(profile(&authors[0], "Alice"));
    events.push(profile(&authors[1], name));
    for (number, author) in authors.iter().enumerate() {
        station.member(&format!("{number}@example.org"), author.pubkey());
    }
    let relay = ScriptedRelay::start(&events, Behaviour::default());
    station.peer("12D3KooGood", &relay.url());
    (station, relay)
}

/// A backfill with profiles, about to be run.
pub(crate) fn sync(station: &StationDir) -> TestCommand {
    let command = station.command("constellation-sync");
    command.env_remove("CONSTELLATION_NO_PROFILES")
}

/// A peer that gives nothing, at once: nobody waits for another attempt.
pub(crate) fn refusing(reason: &str) -> ScriptedRelay {
    let behaviour = Behaviour {
        refuse: Some(reason.to_owned()),
        nip77: Nip77::Absent,
        ..Behaviour::default()
    };
    ScriptedRelay::start(&[], behaviour)
}

/// A run of this station that fails: its only peer gives nothing.
pub(crate) fn failing(station: &StationDir, args: &[&str]) -> Output {
    let relay = refusing("blocked: not you");
    let url = relay.url();
    let args = [&["--peer", &url], args].concat();
    let output = station.command("constellation-sync").args(args).output();
    output.expect_code(1);
    output
}

/// The report as it was written.
pub(crate) fn report(station: &StationDir) -> Value {
    serde_json::from_str(&station.read(JSON)).unwrap()
}

/// Every part stands in the text.
#[track_caller]
pub(crate) fn expect_all(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}
