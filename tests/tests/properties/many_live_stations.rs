//! What must hold of many stations that run `live`, in a small simulation; `cargo run --release --bin
//! simulation_live` does the same for 1,000.

use constellation_tests::simulation::live::{Measures, Scenario, World};

fn small() -> Scenario {
    Scenario {
        stations: 100,
        rate: 2.0,
        warm_up: 240,
        measured: 60,
        ..Scenario::default()
    }
}

/// Asserts that 99 % of the live stations hold an event soon, and returns what was measured.
fn arrives_soon(scenario: Scenario) -> Measures {
    let measures = World::new(scenario).run();
    let seconds = |share| measures.seconds_until_everywhere(share);
    assert!(seconds(0.5) <= 10.0, "{}", seconds(0.5));
    assert!(seconds(0.99) <= 60.0, "{}", seconds(0.99));
    measures
}

#[test]
fn an_event_is_everywhere_within_seconds_and_is_downloaded_hardly_more_than_once() {
    let measures = arrives_soon(small());
    assert!(measures.copies() <= 1.3, "{}", measures.copies());
}

#[test]
fn stations_without_live_do_not_keep_events_from_the_others() {
    let measures = arrives_soon(Scenario {
        without_live: 0.3,
        ..small()
    });
    assert!(measures.copies() <= 1.6, "{}", measures.copies());
}

#[test]
fn stations_that_fail_and_come_back_hold_nobody_up() {
    let measures = arrives_soon(Scenario {
        failing: 0.1,
        ..small()
    });
    assert!(measures.copies() <= 1.6, "{}", measures.copies());
}

#[test]
fn exchanging_two_peers_holds_nothing_up() {
    let measures = arrives_soon(Scenario {
        rotated: 2,
        ..small()
    });
    assert!(measures.copies() <= 1.6, "{}", measures.copies());
}

#[test]
fn when_it_is_quiet_nobody_is_polled() {
    let measures = arrives_soon(Scenario {
        rate: 1.0 / 60.0,
        warm_up: 60,
        measured: 1200,
        ..small()
    });
    assert!(measures.poll_kilobytes_an_hour() < 10.0);
}
