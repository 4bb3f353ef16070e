//! What the tests of the trigger share.

use constellation_shared::Event;
use constellation_sync::testing::selection::Identity;
use constellation_tests::author::now;
use constellation_tests::command::TestCommand;
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};

pub(crate) const LAST: &str = "strfry/last_constellation_sync";
pub(crate) const ATTEMPTS: &str = "strfry/constellation-trigger.json";
pub(crate) const MEMORY: &str = "strfry/constellation-peers.json";
pub(crate) const LOG: &str = "strfry/constellation-trigger.log";

pub(crate) const HOUR: u64 = 3600;
pub(crate) const DAY: u64 = 86_400;

/// A station with a peer that holds a note of each of the last 40 days, in the middle of
/// each: the first is 12 hours old.
pub(crate) fn station_with_peer(behaviour: Behaviour) -> (StationDir, ScriptedRelay, Vec<Event>) {
    let (station, author) = (station!(), Author::new(1));
    station.member("alice@example.com", author.pubkey());
    let middle = now() - DAY / 2;
    let notes: Vec<Event> = (0..40)
        .map(|day| author.note(middle - day * DAY, &format!("{day} days")))
        .collect();
    let relay = ScriptedRelay::start(&notes, behaviour);
    station.peer("a", &relay.url());
    (station, relay, notes)
}

/// If a run is due, whatever this station's time of the hour is.
pub(crate) fn trigger(station: &StationDir) -> TestCommand {
    let command = station.command("constellation-sync");
    command.arg("trigger").env("CONSTELLATION_NOW", "true")
}

/// A node id whose second of the hour lies so many seconds ahead.
pub(crate) fn node_ahead(seconds: u64) -> String {
    let wanted = (now() + seconds) % HOUR;
    (0..)
        .map(|number| format!("12D3Koo{number}"))
        .find(|name| Identity::of(name).below(HOUR) == wanted)
        .unwrap()
}

/// The time of the last success, as it is written.
pub(crate) fn last_success(station: &StationDir) -> u64 {
    station.read(LAST).trim_end().parse().unwrap()
}

/// Whether a run began in the last two minutes by this record.
pub(crate) fn is_recent(seconds: u64) -> bool {
    (now() - 120..=now()).contains(&seconds)
}

/// Lines in the log of the trigger with these words.
pub(crate) fn logged(station: &StationDir, words: &str) -> usize {
    let log = station.read(LOG);
    log.lines().filter(|line| line.contains(words)).count()
}
