//! Simulates many constellations in which everything goes wrong, one for each seed, and looks
//! whether anything that was promised is missing: `completeness [SEEDS [FIRST]]`, by default the
//! seeds 1 to 1,000. A seed that fails is named, with what it broke.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::{env, thread};

use constellation_tests::completeness::{Figures, Scenario, World};

/// How many broken promises of a seed are described.
const DESCRIBED: usize = 5;

fn main() -> io::Result<ExitCode> {
    let mut arguments = env::args().skip(1).map(|argument| argument.parse::<u64>());
    let mut number = |default| match arguments.next() {
        Some(number) => number.map_err(io::Error::other),
        None => Ok(default),
    };
    let (seeds, first) = (number(1000)?, number(1)?);
    let next = AtomicU64::new(first);
    let total = Mutex::new((Figures::default(), 0_u64));
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        break;
                    }
                    let world = World::new(Scenario::of(seed)).run();
                    let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                    total.0.add(&world.figures);
                    total.1 += u64::from(!world.violations.is_empty());
                    // Nobody reads what cannot be written.
                    let _ = describe(seed, &world);
                }
            });
        }
    });
    let (figures, failed) = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    writeln!(
        io::stdout(),
        "{failed} of {seeds} seeds failed: {} runs, in which a peer was complete {} times and not {} times; another database was noticed {} times; {} events held in the end",
        figures.runs,
        figures.complete,
        figures.failed,
        figures.other_databases,
        figures.held
    )?;
    Ok(ExitCode::from(u8::from(failed > 0)))
}

/// Names a seed that failed, and what it broke.
fn describe(seed: u64, world: &World) -> io::Result<()> {
    let violations = &world.violations;
    if violations.is_empty() {
        return Ok(());
    }
    let mut output = io::stdout().lock();
    writeln!(output, "seed {seed} broke {} promises:", violations.len())?;
    for violation in violations.iter().take(DESCRIBED) {
        writeln!(output, "  {}", violation.describe(&world.library))?;
    }
    Ok(())
}
