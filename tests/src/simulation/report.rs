//! What a simulation came to: a table for `tests/README.md`, and a plot.

use std::fmt::Write as _;

use super::measure::Measures;
use super::world::{Scenario, World};

/// The simulations that `tests/README.md` shows, all with the same number of stations.
#[derive(Debug)]
pub struct Reports {
    /// Nothing out of the ordinary.
    pub usual: Measures,
    /// Some stations come back after 30 hours.
    pub cut_off: Measures,
    /// 30 % of the folders are dead, for 25 days.
    pub dead: Option<Measures>,
    /// The same on the second day.
    pub newly_dead: Option<Measures>,
    /// Until each was spoken to.
    pub spoken: Option<Measures>,
}

impl Reports {
    /// Runs them side by side; the long ones only where it is said.
    pub fn of(stations: usize, events: usize, with_long: bool, seed: u64) -> Self {
        let base = Scenario {
            stations,
            events,
            seed,
            ..Scenario::default()
        };
        let cut_off = Scenario {
            cut_off: 12,
            hours: (36, 12),
            ..base.clone()
        };
        let spoken = Scenario {
            events: 20,
            hours: (stations as u64 / 2 - 12, 24),
            ..base.clone()
        };
        let dead = Scenario {
            dead: 0.3,
            events: 20,
            hours: (600, 24),
            ..base.clone()
        };
        let newly_dead = Scenario {
            hours: (24, 24),
            ..dead.clone()
        };
        let run = |scenario: Scenario| World::new(scenario).run();
        std::thread::scope(|scope| {
            let long = |scenario| with_long.then(|| scope.spawn(move || run(scenario)));
            let [dead, newly_dead, spoken] = [dead, newly_dead, spoken].map(long);
            let cut_off = scope.spawn(move || run(cut_off));
            let usual = run(base);
            let join = |thread: std::thread::ScopedJoinHandle<'_, Measures>| {
                thread.join().unwrap_or_else(|_| std::process::abort())
            };
            Self {
                usual,
                cut_off: join(cut_off),
                dead: dead.map(join),
                newly_dead: newly_dead.map(join),
                spoken: spoken.map(join),
            }
        })
    }

    /// The rows of the table: what is measured, and the figure.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let Self { usual, .. } = self;
        let (connections, failures) = usual.connections();
        let mut rows = vec![
            (
                "hours until 99 % of the live stations hold an event: median / p99",
                format!(
                    "{:.2} / {:.2}",
                    usual.hours_until(99, 0.5),
                    usual.hours_until(99, 0.99)
                ),
            ),
            (
                "until all do: median",
                format!("{:.2}", usual.hours_until(100, 0.5)),
            ),
            (
                "connections that a station makes in an hour, and how many of them fail",
                format!("{connections:.2}, {failures:.2}"),
            ),
            (
                "connections that the busiest station serves in an hour",
                usual.busiest().to_string(),
            ),
            (
                "runs that start in the busiest minute, relative to the mean",
                format!("{:.1}", usual.busiest_minute()),
            ),
            (
                "hours until an event of a station that was cut off for 30 h is everywhere, after its return: median / longest of 12",
                format!(
                    "{:.2} / {:.2}",
                    self.cut_off.hours_after_return(0.5),
                    self.cut_off.hours_after_return(1.0)
                ),
            ),
        ];
        if let Some(spoken) = &self.spoken {
            let unspoken = spoken.unspoken();
            let words = unspoken.map_or_else(|| "not reached".to_owned(), |u| u.to_string());
            rows.push((
                "live peers that some station has not contacted after (N-1)/2 runs",
                words,
            ));
        }
        let of_dead = |dead: &Measures| {
            let later = dead.hours_until(99, 0.5) / usual.hours_until(99, 0.5) - 1.0;
            format!("{:.2}, {:+.0} %", dead.connections().1, 100.0 * later)
        };
        if let Some(dead) = &self.dead {
            rows.push((
                "30 % of the folders dead for 25 days: failures per run, and how much later 99 % hold an event",
                of_dead(dead),
            ));
        }
        if let Some(dead) = &self.newly_dead {
            rows.push((
                "the same on the second day of a swarm that nobody knows yet",
                of_dead(dead),
            ));
        }
        rows
    }
}

/// The share of stations that hold an event in the hours after it was published, as SVG.
pub fn plot(curves: &[(&str, Vec<(f64, f64)>)]) -> String {
    const COLOURS: [&str; 3] = ["#1f6feb", "#d1242f", "#1a7f37"];
    const HOURS: f64 = 3.0;
    let (left, top, width, height) = (50.0, 15.0, 520.0, 240.0);
    let x = |hours: f64| left + width * hours / HOURS;
    let y = |share: f64| top + height * (1.0 - share);
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 600 300\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"600\" height=\"300\" fill=\"#fff\"/>\n",
    );
    for percent in [0, 25, 50, 75, 100] {
        let at = y(f64::from(percent) / 100.0);
        let _ = writeln!(
            svg,
            "<path d=\"M{left:.0} {at:.1}h{width:.0}\" stroke=\"#ddd\"/><text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{percent} %</text>",
            left - 5.0,
            at + 4.0
        );
    }
    for half_hours in 0..=6 {
        let hours = f64::from(half_hours) / 2.0;
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"272\" text-anchor=\"middle\">{hours} h</text>",
            x(hours)
        );
    }
    for (place, ((name, curve), colour)) in curves.iter().zip(COLOURS).enumerate() {
        let inside = curve.iter().filter(|(hours, _)| *hours <= HOURS + 0.001);
        let points: Vec<String> = inside
            .map(|(hours, share)| format!("{:.1},{:.1}", x(*hours), y(*share)))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/><text x=\"390\" y=\"{}\" fill=\"{colour}\">{name}</text>",
            points.join(" "),
            190 + 18 * place
        );
    }
    svg.push_str("<text x=\"310\" y=\"292\" text-anchor=\"middle\">after it was published: share of the stations that hold an event</text>\n</svg>\n");
    svg
}
