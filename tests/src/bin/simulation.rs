//! Simulates 1,000 and 10,000 stations: prints the table of `tests/README.md`, and writes its
//! plot to the file that is named, else to `tests/simulation.svg`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::{env, fs, thread};

use constellation_tests::simulation::report::{Reports, plot};

const SEED: u64 = 1;

fn main() -> io::Result<()> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("simulation.svg");
    let path = env::args_os().nth(1).map_or_else(beside, PathBuf::from);
    let (thousand, ten_thousand) = thread::scope(|scope| {
        let more = scope.spawn(|| Reports::of(10_000, 60, false, SEED));
        (Reports::of(1000, 300, true, SEED), more.join())
    });
    let ten_thousand = ten_thousand.map_err(|_| io::Error::other("the simulation broke off"))?;
    let mut output = io::stdout().lock();
    writeln!(
        output,
        "| measure | 1,000 stations | 10,000 |\n|---|---|---|"
    )?;
    let more = ten_thousand.rows();
    for (place, (measure, figure)) in thousand.rows().iter().enumerate() {
        let other = more.get(place).map_or("", |(_, figure)| figure);
        writeln!(output, "| {measure} | {figure} | {other} |")?;
    }
    let svg = plot(&[
        ("1,000 stations", thousand.usual.coverage()),
        ("10,000 stations", ten_thousand.usual.coverage()),
        (
            "1,000, 30 % of the folders dead",
            thousand.dead.map_or_else(Vec::new, |dead| dead.coverage()),
        ),
    ]);
    fs::write(path, svg)
}
