//! The backfill as a station has it: a process that leaves a log, a report and a database.

pub mod children;
pub mod left_behind;
mod release;

use std::collections::BTreeMap;

use constellation_shared::{Event, EventId, kinds};
use serde_json::Value;

use crate::author::{notes, now};
use crate::command::{Output, TestCommand};
use crate::relay::Nip77;
use crate::station::ids;
use crate::{Author, Behaviour, ScriptedRelay, StationDir};

pub use release::release_program;

/// The name of the program.
pub const PROGRAM: &str = "constellation-sync";
/// The log, below `~/.zen`.
pub const LOG: &str = "strfry/constellation-backfill.log";
/// The log of warnings and errors alone, below `~/.zen`.
pub const ERROR_LOG: &str = "strfry/constellation-backfill.error.log";
/// What a run holds locked, below `~/.zen`.
pub const LOCK: &str = "strfry/constellation-sync.lock";
/// What names the process of a run, below `~/.zen`.
pub const PID_FILE: &str = "strfry/constellation-backfill.lock";
/// A day in seconds.
pub const DAY: u64 = 86_400;

/// A minute ago: what is dated so is recent, and stays so while a test runs.
pub fn recent() -> u64 {
    now() - 60
}

/// Kinds of which no event replaces another.
pub const PLAIN_KINDS: [u16; 5] = [1, 6, 7, 1063, 1111];

/// All kinds of the table.
pub fn all_kinds() -> Vec<u16> {
    kinds::Set::Seed.numbers()
}

/// A relay that is only ever asked by REQ.
pub fn paged(max_limit: usize) -> Behaviour {
    Behaviour {
        max_limit,
        nip77: Nip77::Absent,
        ..Behaviour::default()
    }
}

/// A relay that sends these before all else, whatever is asked.
pub fn saying(extra: Vec<String>) -> Behaviour {
    Behaviour {
        extra,
        ..paged(500)
    }
}

/// Makes these the station's friends, and these relays its peers.
pub fn follow(station: &StationDir, authors: &[Author], peers: &[&str]) {
    let keys: Vec<_> = authors.iter().map(Author::pubkey).collect();
    station.friends(&keys);
    for (number, url) in peers.iter().enumerate() {
        station.peer(&format!("12D3KooPeer{number}"), url);
    }
}

/// Every peer lies in both ways of being asked: compared with, and walked through.
pub const BOTH: [Nip77; 2] = [Nip77::Served, Nip77::Absent];

/// Makes these the station's friends, and starts its only peer, which sends `extra` before what
/// it holds.
pub fn lying_peer(
    station: &StationDir,
    authors: &[Author],
    events: &[Event],
    extra: Vec<String>,
    nip77: Nip77,
) -> ScriptedRelay {
    let behaviour = Behaviour {
        nip77,
        ..saying(extra)
    };
    let relay = ScriptedRelay::start(events, behaviour);
    follow(station, authors, &[&relay.url()]);
    relay
}

/// Starts the station's only peer, which stops after this many of its events and waits. Returns
/// all of its events, too.
pub fn stuck_peer(station: &StationDir, after: usize) -> (ScriptedRelay, Vec<Event>) {
    let authors = Author::many(5);
    let events = notes(&authors, &PLAIN_KINDS, 400, recent(), 3000);
    let stuck = Behaviour {
        hang_after_events: Some(after),
        ..paged(500)
    };
    let relay = ScriptedRelay::start(&events, stuck);
    follow(station, &authors, &[&relay.url()]);
    (relay, events)
}

/// The backfill, about to be started with a report.
pub fn command(station: &StationDir, args: &[&str]) -> TestCommand {
    station.command(PROGRAM).arg("--json").args(args)
}

/// Runs it to its end.
pub fn sync(station: &StationDir, args: &[&str]) -> Output {
    command(station, args).output()
}

/// Runs it, and it must bring everything of every peer.
#[track_caller]
pub fn sync_all(station: &StationDir, args: &[&str]) -> Value {
    let output = sync(station, args);
    output.expect_code(0);
    let report = report(&output);
    assert_eq!(report["outcome"], "complete", "{output}");
    report
}

/// The report, which must be all that is on stdout.
#[track_caller]
pub fn report(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}\n{output}"))
}

/// Its strfry holds exactly these.
#[track_caller]
pub fn expect_stored(station: &StationDir, events: &[Event]) {
    let (stored, wanted) = (station.stored_ids(), ids(events));
    let kinds = |ids: Vec<EventId>, of: &[Event]| -> Vec<u16> {
        let of = of.iter().filter(|event| ids.contains(&event.id));
        of.map(|event| event.kind).collect()
    };
    let missing = kinds(wanted.difference(&stored).copied().collect(), events);
    let surplus = kinds(
        stored.difference(&wanted).copied().collect(),
        &station.stored(),
    );
    assert!(
        stored == wanted,
        "stored {} of {}, missing kinds {missing:?}, surplus kinds {surplus:?}\n{}",
        stored.len(),
        wanted.len(),
        station.read(LOG)
    );
}

/// The `key=123` pairs of the last line with this prefix, as `sync_report.sh` takes them.
#[track_caller]
pub fn said(station: &StationDir, prefix: &str) -> BTreeMap<String, u64> {
    let log = station.read(LOG);
    let line = log.lines().rev().find(|line| line.contains(prefix));
    let line = line.unwrap_or_else(|| panic!("no {prefix} in\n{log}"));
    let (_, pairs) = line.split_once(prefix).unwrap();
    let pairs = pairs.split(' ').filter_map(|pair| pair.split_once('='));
    pairs
        .filter_map(|(key, value)| Some((key.to_owned(), value.parse().ok()?)))
        .collect()
}

/// The log holds this.
#[track_caller]
pub fn expect_logged(station: &StationDir, part: &str) {
    let log = station.read(LOG);
    assert!(log.contains(part), "no {part:?} in\n{log}");
}

/// How many events were left out for this reason.
pub fn refused(report: &Value, reason: &str) -> u64 {
    report["refused"][reason].as_u64().unwrap_or_default()
}
