//! Simulates 1,000 stations that run `live`, and prints the table of `tests/README.md`.

use std::io::{self, Write};

use constellation_tests::simulation::live::{Scenario, World};

/// The rows of the table, by their names.
fn scenarios() -> Vec<(&'static str, Scenario)> {
    let usual = Scenario::default();
    let with = |change: fn(&mut Scenario)| {
        let mut scenario = usual.clone();
        change(&mut scenario);
        scenario
    };
    vec![
        ("usual", usual.clone()),
        ("all peers push everything", with(|s| s.all_push = true)),
        ("while the routes are learned", with(|s| s.warm_up = 0)),
        (
            "30 % of the stations without `live`",
            with(|s| s.without_live = 0.3),
        ),
        (
            "10 % of the stations cut off for 30 to 120 s",
            with(|s| s.failing = 0.1),
        ),
        (
            "each station exchanges 2 of its 8 peers",
            with(|s| s.rotated = 2),
        ),
        ("500 events at once at one station", with(|s| s.burst = 500)),
        (
            "2 % of the events by new authors",
            with(|s| s.newcomers = 0.02),
        ),
        (
            "quiet: an event a minute",
            with(|s| (s.rate, s.warm_up, s.measured) = (1.0 / 60.0, 60, 3600)),
        ),
    ]
}

fn main() -> io::Result<()> {
    let only = std::env::args().nth(1);
    let mut output = io::stdout().lock();
    writeln!(
        output,
        "| | s until 99 % hold an event: median / p99 | copies | polls, kB an hour | subscriptions, kB an hour |\n|---|---|---|---|---|"
    )?;
    for (name, scenario) in scenarios() {
        if only.as_ref().is_some_and(|only| !name.contains(only)) {
            continue;
        }
        let measures = World::new(scenario).run();
        writeln!(
            output,
            "| {name} | {:.1} / {:.1} | {:.2} | {:.0} | {:.0} |",
            measures.seconds_until_everywhere(0.5),
            measures.seconds_until_everywhere(0.99),
            measures.copies(),
            measures.poll_kilobytes_an_hour(),
            measures.subscription_kilobytes_an_hour(),
        )?;
        output.flush()?;
    }
    Ok(())
}
