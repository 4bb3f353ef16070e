//! The service in a station, and what is waited for.

use constellation_shared::Event;
use constellation_tests::command::{Running, wait_until};
use constellation_tests::station::ids;
use constellation_tests::sync_program::PROGRAM;
use constellation_tests::{ScriptedRelay, StationDir};
use rustix::process::Signal;
use serde_json::Value;

/// Starts the service.
pub(crate) fn live(station: &StationDir) -> Running {
    let arguments = ["live", "--allow-private-peers", "--no-fallback"];
    station.command(PROGRAM).args(arguments).spawn()
}

/// Ends the service with SIGTERM.
#[track_caller]
pub(crate) fn end(mut live: Running) {
    live.signal(Signal::TERM);
    live.wait().expect_code(0);
}

/// What the service last said of itself.
pub(crate) fn state(station: &StationDir) -> Value {
    let text = station.read("strfry/constellation-live.json");
    serde_json::from_str(&text).unwrap_or_default()
}

/// What the service wrote into its log.
pub(crate) fn log(station: &StationDir) -> String {
    station.read("strfry/constellation-live.log")
}

/// Waits until all of these are stored.
#[track_caller]
pub(crate) fn wait_for(station: &StationDir, events: &[Event]) {
    let wanted = ids(events);
    wait_until("the events to be stored", || {
        wanted.is_subset(&station.stored_ids())
    });
}

/// The questions for what is new, one message each, that the relay was asked so far.
pub(crate) fn questions(relay: &ScriptedRelay) -> Vec<String> {
    let asked = relay.received().into_iter();
    asked
        .filter(|text| text.starts_with("[\"REQ\",\"l"))
        .collect()
}

/// Waits until a first question was asked so many times on a live connection.
#[track_caller]
pub(crate) fn wait_until_asked(relay: &ScriptedRelay, times: usize) {
    wait_until("the relay to be followed", || {
        let asked = questions(relay).into_iter();
        asked.filter(|text| text.contains("\"l0\"")).count() >= times
    });
}
