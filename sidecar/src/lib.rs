//! `constellation-sync`, the backfill of a station's strfry from the other stations of its
//! constellation.
//!
//! The modules are floors of a house: each imports only from floors below its own. From the top:
//!
//! | floor | module | what it owns |
//! |---|---|---|
//! | 8 | [`commands`] | what an operator types |
//! | 7 | [`members`] | profiles, full syncs and friends, once a run has ended |
//! | 6 | [`backfill`] | one run: sessions with peers, reconciliation, paging, who fetches what |
//! | 5 | [`report`] | what a run says of itself: document, page, metrics, notifications |
//! | 4 | [`context`], [`options`] | what every command works with |
//! | 3 | [`plan`] | which peers, how far back, what is wanted, what is remembered |
//! | 3 | [`admission`] | the way of an event from a relay's frame to strfry |
//! | 2 | [`strfry`], [`swarm`] | the local strfry as a subprocess; the other stations as files |
//! | 1 | [`relay`] | the protocol: addresses, connections, messages, NIP-11, NIP-77, tunnels |
//! | 0 | [`support`] | atomic files, lock, log, sanitizing foreign text |
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::unchecked_time_subtraction
    )
)]

pub mod admission;
pub mod backfill;
pub mod commands;
pub mod context;
pub mod members;
pub mod options;
pub mod plan;
pub mod relay;
pub mod report;
pub mod strfry;
pub mod support;
pub mod swarm;

use std::env;
use std::fs;
use std::io::{self, Write};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use constellation_shared::Station;
use indicatif::MultiProgress;
use tokio::runtime::Runtime;
use tracing::{error, info};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::backfill::run::Backfill;
use crate::commands::error::SyncError;
use crate::commands::trigger::schedule::{self, Decision, Reason, Schedule};
use crate::commands::trigger::{Trigger, Turn};
use crate::commands::{bugreport, doctor, dry_run, install, notify, status, why};
use crate::context::Run;
use crate::options::{Command, Options};
use crate::plan::selection::Identity;
use crate::report::Report;
use crate::report::document::Document;
use crate::report::publish::{Begin, publish};
use crate::support::clock::unix_time;
use crate::support::error_chain::chain;
use crate::support::lock::{Lock, LockError};
use crate::support::log::{Log, Rotation};
use crate::support::machine::memory;
use crate::support::signals::interruption;
use crate::support::stdout::stdout;
use crate::support::{atomic_file, runtime};
use crate::swarm::peer;

/// The whole program, from its arguments to its exit code.
pub fn main() -> ExitCode {
    let begin = Begin::now();
    let options = Options::from_command_line();
    let bars = MultiProgress::new();
    let code = run(options.clone(), &bars).unwrap_or_else(|error| {
        if options.json {
            let when = begin.circumstances(&options);
            let document = Document::of_failure(error.exit_code(), &chain(&error), when);
            let _ = document.write(&mut stdout());
        }
        complain(&error, options.json);
        error.exit_code()
    });
    ExitCode::from(code)
}

fn complain(error: &SyncError, json: bool) {
    let words = chain(error);
    match error {
        // stdout is for the report alone where one is wanted.
        SyncError::Lock(LockError::Held(_)) if !json => {
            let _ = writeln!(stdout(), "{words}");
        }
        // Where the log is on, it says so on the terminal too.
        _ if tracing::dispatcher::has_been_set() => error!("Backfill failed: {words}"),
        _ => {
            let _ = writeln!(io::stderr(), "constellation-sync: {words}");
        }
    }
}

/// How long the end waits for work that nobody needs any more: a name that DNS still looks
/// for.
const LAST_WAIT: Duration = Duration::from_millis(200);

fn run(options: Options, bars: &MultiProgress) -> Result<u8, SyncError> {
    let runtime = runtime::start()?;
    let result = run_on(&runtime, options, bars);
    runtime.shutdown_timeout(LAST_WAIT);
    result
}

fn run_on(runtime: &Runtime, options: Options, bars: &MultiProgress) -> Result<u8, SyncError> {
    let station = Station::locate(options.zen.clone(), env::var_os("HOME"))?;
    let run = Run {
        options,
        station,
        bars: bars.clone(),
    };
    if let Some(Command::Doctor(options)) = &run.options.command {
        return runtime.block_on(doctor::obey(&run, options, &mut stdout()));
    }
    if let Some(Command::Bugreport(options)) = &run.options.command {
        return runtime.block_on(bugreport::obey(&run, options, &mut stdout()));
    }
    let folder = run.station.strfry_dir();
    match fs::metadata(&folder) {
        Ok(found) if found.is_dir() => {}
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(SyncError::Closed(folder, error));
        }
        _ => return Err(SyncError::NoFolder(folder)),
    }
    let mut output = stdout();
    match &run.options.command {
        Some(Command::Status(command)) => {
            let (json, now) = (run.options.json, unix_time());
            return status::obey(*command, json, &folder, now, &mut output);
        }
        Some(Command::Notify(command)) => {
            return runtime.block_on(notify::obey(&run, *command, &mut output));
        }
        Some(Command::Why(options)) => {
            return runtime.block_on(why::obey(&run, options, &mut output));
        }
        _ => {}
    }
    if let Some(code) = set_up(&run)? {
        return Ok(code);
    }
    let terminal = Log::to_terminal(run.options.verbose, bars.clone());
    if let Some(command @ (Command::Profiles(_) | Command::Friends(_))) = &run.options.command {
        tracing_subscriber::registry().with(terminal).init();
        runtime.block_on(commands::members::obey(&run, command, &mut stdout()))?;
        return Ok(0);
    }
    let is_look = run.options.stats || run.options.show_hex || run.options.dry_run;
    let rotation = Rotation::for_memory(memory());
    let trigger = run.options.trigger();
    let trigger = trigger.map(|given| {
        let phase = Identity::of(&peer::own_name(&run.station)).below(Schedule::HOUR);
        Trigger::new(given, phase, &folder, rotation)
    });
    // Looked at without the lock first: who only looks or waits stands in nobody's way.
    if let Some(trigger) = &trigger
        && let Decision::Wait { left, reason } = trigger.decide()
    {
        if is_look || !trigger.comes_first(left) {
            return skip(trigger, &run.options, left, reason);
        }
        trigger.wait(left);
    }
    if is_look {
        tracing_subscriber::registry().with(terminal).init();
        let outcome = runtime.block_on(dry_run::look(&run, &mut stdout()))?;
        return Ok(outcome.map_or(0, report::Outcome::exit_code));
    }
    // From before there is anything to leave behind.
    let interruption = {
        let _inside = runtime.enter();
        interruption()
    };
    let lock_path = run.file("constellation-sync.lock");
    let locked = Lock::take(&lock_path, run.file("constellation-backfill.lock"));
    let _lock = locked.inspect_err(|error| {
        if let Some(trigger) = &trigger {
            trigger.note(&chain(error));
        }
    })?;
    atomic_file::sweep(&folder, |name| name.contains("constellation"));
    atomic_file::sweep(&run.station.profiles_dir(), |name| {
        name.starts_with("_NIP101.")
    });
    let begin = Begin::now();
    let Some(trigger) = trigger else {
        let result = backfill(&run, runtime, interruption, terminal, rotation);
        return finish(&run, runtime, &result, &begin);
    };
    let turn = trigger.take_turn(|| backfill(&run, runtime, interruption, terminal, rotation));
    let result = match turn {
        Ok(Turn::Ran(report)) => Ok(*report),
        Ok(Turn::Skipped { left, reason }) => return skip(&trigger, &run.options, left, reason),
        Err(error) => Err(error),
    };
    finish(&run, runtime, &result, &begin)
}

/// Installs or uninstalls where that is wanted.
fn set_up(run: &Run) -> Result<Option<u8>, SyncError> {
    let (station, dry_run, out) = (&run.station, run.options.dry_run, &mut stdout());
    Ok(match &run.options.command {
        Some(Command::Install(options)) => Some(install::install(options, station, dry_run, out)?),
        Some(Command::Uninstall(options)) => {
            Some(install::uninstall(options, station, dry_run, out)?)
        }
        _ => None,
    })
}

fn skip(trigger: &Trigger, options: &Options, left: u64, reason: Reason) -> Result<u8, SyncError> {
    let left = schedule::words(left);
    let words = format!("No backfill: {reason}; the next is due in {left}");
    if !options.dry_run {
        trigger.note(&words);
    }
    // stdout is for the report alone where one is wanted.
    if !options.json {
        writeln!(stdout(), "{words}")?;
    }
    Ok(0)
}

fn backfill(
    run: &Run,
    runtime: &Runtime,
    interruption: impl Future<Output = ()>,
    terminal: Log,
    rotation: Rotation,
) -> Result<Report, SyncError> {
    let log_path = run.file("constellation-backfill.log");
    let log = terminal
        .with_files(
            &log_path,
            run.file("constellation-backfill.error.log"),
            rotation,
        )
        .map_err(|error| SyncError::Log(log_path, error))?
        .with_profiles(run.file("hex-to-profile.log"), rotation);
    tracing_subscriber::registry().with(log).init();
    info!("Starting Astroport constellation backfill process");
    runtime.block_on(async {
        let mut interruption = pin!(interruption);
        let prepared = tokio::select! {
            prepared = Backfill::prepare(run) => prepared?,
            () = interruption.as_mut() => return Err(SyncError::Interrupted),
        };
        Ok(prepared.carry_out(interruption).await)
    })
}

/// Publishes what a run came to, and returns its exit code.
fn finish(
    run: &Run,
    runtime: &Runtime,
    result: &Result<Report, SyncError>,
    begin: &Begin,
) -> Result<u8, SyncError> {
    let document = runtime.block_on(publish(run, result, begin));
    if run.options.json {
        document.write(&mut stdout())?;
    }
    if let Err(error) = result {
        complain(error, run.options.json);
    }
    Ok(document.exit_code)
}
