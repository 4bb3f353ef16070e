//! How long profiles and full syncs take: profiles of 100 pubkeys beyond strfry's own scan
//! (at most 0.3 s), and 30 full syncs of 200 events each from loopback peers (at most 3 s).
//!
//! `cargo bench --bench members`, with `STRFRY=PATH` on a real strfry. The exit code is 1
//! where a limit is not kept.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot go on fails, and prints its figures"
)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use constellation_shared::{Event, Pubkey};
use constellation_tests::author::now;
use constellation_tests::station::ids;
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};

const ROUNDS: usize = 5;
const MOST_FOR_PROFILES: Duration = Duration::from_millis(300);
const MOST_FOR_FULL_SYNCS: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let profiles = median((0..ROUNDS).map(|_| profiles()).collect());
    let full_syncs = median((0..ROUNDS).map(|_| full_syncs()).collect());
    let kept = [
        say(
            "profiles of 100 pubkeys, beyond strfry's scan",
            profiles,
            MOST_FOR_PROFILES,
        ),
        say(
            "30 full syncs of 200 events, beyond a run without",
            full_syncs,
            MOST_FOR_FULL_SYNCS,
        ),
    ];
    match kept {
        [true, true] => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn say(what: &str, took: Duration, most: Duration) -> bool {
    println!("{what}: {took:.3?} (at most {most:?})");
    took <= most
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn keys(authors: &[Author]) -> Vec<Pubkey> {
    authors.iter().map(Author::pubkey).collect()
}

fn profile(author: &Author) -> Event {
    let about = "x".repeat(300);
    let content = serde_json::json!({"name": "somebody", "about": about, "nip05": "a@b.org"});
    author.sign(0, now() - 400 * 86_400, &[], &content.to_string())
}

/// A whole run of the backfill; how long it took.
fn backfill(station: &StationDir, relays: &[ScriptedRelay], args: &[&str]) -> Duration {
    let command = station.command("constellation-sync").args(args);
    let mut command = command.env_remove("CONSTELLATION_NO_PROFILES");
    for relay in relays {
        command = command.args(["--peer", &relay.url()]);
    }
    let start = Instant::now();
    command.output().expect_code(0);
    start.elapsed()
}

/// A run with profiles less the same run without, less a scan for them.
fn profiles() -> Duration {
    let station = station!();
    let authors = Author::many(100);
    station.friends(&keys(&authors));
    station.import(&authors.iter().map(profile).collect::<Vec<_>>());
    let relays = [ScriptedRelay::start(&[], Behaviour::default())];
    let without = backfill(&station, &relays, &["--no-profiles"]);
    let with = backfill(&station, &relays, &[]);
    let json = station.read("tmp/coucou/_NIP101.profiles.json");
    assert_eq!(json.matches("fetched_at").count(), 100);
    let filter = serde_json::json!({"kinds": [0], "authors": keys(&authors).iter().map(Pubkey::to_hex).collect::<Vec<_>>()});
    let start = Instant::now();
    assert_eq!(station.scan(&filter.to_string()).len(), 100);
    let scan = start.elapsed();
    with.saturating_sub(without).saturating_sub(scan)
}

/// A run with 30 full syncs, less the same run without.
fn full_syncs() -> Duration {
    let station = station!();
    let authors = Author::many(30);
    station.friends(&keys(&authors));
    let relays: Vec<ScriptedRelay> = (0..3)
        .map(|_| ScriptedRelay::start(&[], Behaviour::default()))
        .collect();
    let mut all = Vec::new();
    for author in &authors {
        let newest = now() - 300 * 86_400;
        let mut events: Vec<Event> = (0..199)
            .map(|number| author.note(newest - number * 60, &format!("note {number}")))
            .collect();
        events.push(profile(author));
        for (place, event) in events.iter().enumerate() {
            // Each at two of three.
            relays[place % 3].add(std::slice::from_ref(event));
            relays[(place + 1) % 3].add(std::slice::from_ref(event));
        }
        all.extend(events);
    }
    let without = backfill(&station, &relays, &["--no-profiles"]);
    let with = backfill(&station, &relays, &[]);
    assert_eq!(station.stored_ids(), ids(&all));
    with.saturating_sub(without)
}
