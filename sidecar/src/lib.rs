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
use std::process::ExitCode;
use std::time::Duration;

use constellation_shared::Station;
use indicatif::MultiProgress;
use tokio::runtime::Runtime;

use crate::commands::cli::{Cli, Command};
use crate::commands::error::{SyncError, complain};
use crate::commands::{bugreport, doctor, install, notify, status, why};
use crate::context::{Context, ListsFound};
use crate::report::document::Document;
use crate::report::publish::Begin;
use crate::support::clock::unix_time;
use crate::support::runtime;
use crate::support::stdout::stdout;

/// The whole program, from its arguments to its exit code.
pub fn main() -> ExitCode {
    let cli = Cli::from_command_line();
    let begin = Begin::now(cli.trigger().map(|trigger| trigger.interval));
    let options = cli.options.clone();
    let code = on_a_runtime(cli).unwrap_or_else(|error| {
        if options.json {
            let when = begin.circumstances(&options);
            let failure = error.failure();
            let document = Document::of_failure(failure.exit_code, &failure.message, when);
            let _ = document.write(&mut stdout());
        }
        complain(&error, options.json);
        error.exit_code()
    });
    ExitCode::from(code)
}

/// How long the end waits for work that nobody needs any more, such as a name that DNS still
/// looks for.
const LAST_WAIT: Duration = Duration::from_millis(200);

fn on_a_runtime(cli: Cli) -> Result<u8, SyncError> {
    let runtime = runtime::start()?;
    let result = dispatch(&runtime, cli);
    runtime.shutdown_timeout(LAST_WAIT);
    result
}

/// Runs what the command line asks for.
fn dispatch(runtime: &Runtime, cli: Cli) -> Result<u8, SyncError> {
    let Cli { options, command } = cli;
    let station = Station::locate(options.zen.clone(), env::var_os("HOME"))?;
    let found = ListsFound::look(&station, options.lists());
    let station = station.with_lists(found.lists);
    let context = Context {
        options,
        doubts: found.doubts,
        station,
        bars: MultiProgress::new(),
    };
    let (options, station) = (&context.options, &context.station);
    let out = &mut stdout();
    // The doctor and the bug report tell of a missing folder themselves.
    if !matches!(command, Some(Command::Doctor(_) | Command::Bugreport(_))) {
        commands::backfill::check_folder(&context)?;
    }
    match &command {
        None => commands::backfill::run(&context, runtime),
        Some(Command::Trigger(given)) => {
            commands::backfill::run_where_due(&context, given, runtime)
        }
        Some(Command::Doctor(given)) => runtime.block_on(doctor::run(&context, given, out)),
        Some(Command::Bugreport(given)) => runtime.block_on(bugreport::run(&context, given, out)),
        Some(Command::Status(given)) => {
            let folder = station.strfry_dir();
            status::run(*given, options.json, &folder, unix_time(), out)
        }
        Some(Command::Notify(given)) => runtime.block_on(notify::run(&context, *given, out)),
        Some(Command::Why(given)) => runtime.block_on(why::run(&context, given, out)),
        Some(Command::Install(given)) => {
            Ok(install::install(given, station, options.dry_run, out)?)
        }
        Some(Command::Uninstall(given)) => {
            Ok(install::uninstall(given, station, options.dry_run, out)?)
        }
        Some(Command::Profiles(given)) => {
            runtime.block_on(commands::members::print_profiles(&context, given, out))
        }
        Some(Command::Friends(given)) => {
            runtime.block_on(commands::members::print_friends(&context, *given, out))
        }
    }
}
