//! What must hold of many stations, in a small simulation; `cargo run --release --bin
//! simulation` does the same for 1,000 and 10,000.

use constellation_sync::testing::selection::Identity;
use constellation_tests::simulation::{Scenario, World};

fn small() -> Scenario {
    Scenario {
        stations: 200,
        events: 60,
        ..Scenario::default()
    }
}

#[test]
fn events_are_everywhere_soon_and_nobody_serves_much() {
    let measures = World::new(small()).run();
    let hours = |percent, share| measures.hours_until(percent, share);
    assert!(hours(99, 0.5) <= 1.6, "{}", hours(99, 0.5));
    assert!(hours(99, 0.99) <= 2.5, "{}", hours(99, 0.99));
    assert!(hours(100, 0.5) <= 2.0, "{}", hours(100, 0.5));
    let (connections, failures) = measures.connections();
    assert!(connections - failures <= 8.0, "{connections} {failures}");
    assert!(measures.busiest() <= 30, "{}", measures.busiest());
}

#[test]
fn what_was_published_while_its_station_was_cut_off_comes_after_its_return() {
    let scenario = Scenario {
        cut_off: 12,
        hours: (36, 10),
        ..small()
    };
    let measures = World::new(scenario).run();
    let longest = measures.hours_after_return(1.0);
    assert!(longest <= 3.5, "{longest}");
}

#[test]
fn dead_stations_cost_little_once_they_are_known() {
    let scenario = Scenario {
        stations: 100,
        dead: 0.3,
        hours: (240, 24),
        events: 20,
        ..small()
    };
    let dead = World::new(scenario.clone()).run();
    let alive = World::new(Scenario {
        dead: 0.0,
        hours: (24, 24),
        ..scenario
    });
    let (_, failures) = dead.connections();
    assert!(failures <= 0.6, "{failures}");
    let (with, without) = (dead.hours_until(99, 0.5), alive.run().hours_until(99, 0.5));
    assert!(with <= without * 1.1, "{with} {without}");
}

#[test]
fn all_live_peers_but_one_at_most_are_spoken_to_within_half_as_many_runs_as_there_are() {
    let scenario = Scenario {
        stations: 101,
        hours: (40, 24),
        events: 20,
        ..small()
    };
    // A proven peer whose turn has come takes the place of a new one at times.
    let unspoken = World::new(scenario).run().unspoken();
    assert!(
        unspoken.is_some_and(|unspoken| unspoken <= 1),
        "{unspoken:?}"
    );
}

#[test]
fn starts_are_spread_over_the_hour() {
    let mut minutes = [0_u32; 60];
    for station in 0..1000 {
        let phase = Identity::of(&format!("12D3KooW{station}")).below(3600);
        minutes[usize::try_from(phase / 60).unwrap()] += 1;
    }
    let busiest = minutes.into_iter().max().unwrap();
    assert!(busiest <= 3 * 1000 / 60, "{busiest}");
}
