//! Whether everything that is promised to be here is here, in a few small simulations; `cargo run
//! --release -p constellation-tests --bin completeness` tries 1,000 larger ones.

use constellation_tests::completeness::{Figures, Planning, Scenario, World};

#[test]
fn whatever_goes_wrong_no_complete_run_leaves_out_what_it_promised() {
    let mut figures = Figures::default();
    for seed in 1..=8 {
        let world = World::new(Scenario::small(seed)).run();
        let broken = world.violations.iter();
        let broken: Vec<String> = broken.map(|v| v.describe(&world.library)).collect();
        assert!(broken.is_empty(), "seed {seed}: {}", broken.join("\n"));
        figures.add(&world.figures);
    }
    // It was not idle.
    assert!(figures.complete > 100_000, "{figures:?}");
    assert!(figures.failed > 10_000, "{figures:?}");
    assert!(figures.other_databases > 50, "{figures:?}");
}

#[test]
fn a_window_of_time_loses_events_and_the_simulation_notices() {
    let scenario = Scenario {
        planning: Planning::Window,
        ..Scenario::small(1)
    };
    assert!(!World::new(scenario).run().violations.is_empty());
}
