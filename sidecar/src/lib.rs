//! `constellation-sync`, the backfill of a station's strfry from the other stations of its
//! constellation.
//!
//! The modules are floors of a house: each imports only from floors below its own. From the top:
//!
//! | floor | module | what it owns |
//! |---|---|---|
//! | 8 | [`commands`] | what an operator types |
//! | 7 | [`members`] | profiles, full syncs and friends, once a run has ended |
//! | 7 | [`live`] | keeping level with the peers all the time |
//! | 6 | [`backfill`] | one run: sessions with peers, reconciliation, paging, who fetches what |
//! | 5 | [`report`] | what a run says of itself: document, page, metrics, notifications |
//! | 4 | [`mod@context`], [`options`] | what every command works with |
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

mod admission;
mod backfill;
mod commands;
mod context;
mod live;
mod members;
mod options;
mod plan;
mod relay;
mod report;
mod strfry;
mod support;
mod swarm;

/// What the whole-program tests, the simulation and the benches need of the inside. No interface:
/// it changes with every version.
#[doc(hidden)]
pub mod testing {
    pub mod address {
        pub use crate::relay::address::Address;
    }
    pub mod cli {
        pub use crate::commands::cli::Cli;
    }
    pub mod compare {
        pub use crate::backfill::compare::{CompareError, compare};
    }
    pub mod config {
        pub use crate::commands::config::template::{OF_POLICY, PolicyKey};
    }
    pub mod conf {
        pub use crate::strfry::conf::{Conf, Fault, database};
    }
    pub mod connection {
        pub use crate::relay::connection::{Connection, Connector};
    }
    pub mod edit {
        pub use crate::strfry::conf::edit::{Edited, PLUGIN, with_plugin, without};
    }
    pub mod found {
        pub use crate::commands::install::found::Found;
    }
    pub mod full_sync {
        pub use crate::members::full_sync::PATIENCE;
    }
    pub mod guard {
        pub use crate::relay::guard::Guard;
    }
    pub mod intake {
        pub use crate::admission::counts::Tally;
        pub use crate::admission::intake::Admission;
    }
    pub mod links {
        pub use crate::plan::links::{
            Action, Arrival, Delivery, LinkId, Links, PollOutcome, Worth,
        };
    }
    pub mod message {
        pub use crate::relay::message::{FromRelay, Reason, head, parse};
    }
    pub mod negentropy {
        pub use crate::relay::negentropy::{LocalEvent, LocalSet, Reconciler, Step};
    }
    pub mod nip11 {
        pub use crate::relay::nip11::Information;
    }
    pub mod peer {
        pub use crate::swarm::peer::{Description, descriptions};
        pub use crate::swarm::reach::peers;
    }
    pub mod peer_history {
        pub use crate::plan::peer_history::{PeerHistory, PeerOutcome, Reach, settle};
    }
    pub mod plan {
        pub use crate::commands::install::plan::install;
    }
    pub mod profiles {
        pub use crate::members::profiles::{Profiles, render, take};
    }
    pub mod rules {
        pub use crate::admission::rules::{Refusal, Rules};
        pub use crate::strfry::conf::EventLimits;
    }
    pub mod schedule {
        pub use crate::commands::trigger::schedule::{
            Decision, MOST_DELAY, Schedule, TimeOfDay, TriggerHistory,
        };
    }
    pub mod selection {
        pub use crate::plan::selection::{Candidate, Identity, Selection};
    }
    pub mod objection {
        pub use crate::relay::objection::{Dimension, Objection, classify};
    }
    pub mod session {
        pub use crate::backfill::session::{AnyAuthor, Session, SessionOutcome};
    }
    pub mod state_file {
        pub use crate::support::state_file::{ALL, REFUSED};
    }
    pub mod stop {
        pub use crate::backfill::stop::{Stop, TimeLimit};
    }
    pub mod coverage {
        pub use crate::plan::coverage::{
            Asked, Circumstances, Completed, Coverage, TimeSpan, horizon,
        };
        pub use crate::plan::ledger::Ledger;
        pub use crate::plan::slices::Slices;
    }
    pub mod undo {
        pub use crate::commands::install::undo::uninstall;
    }
    pub mod wanted {
        pub use crate::commands::install::wanted::Wanted as InstallWanted;
        pub use crate::plan::wanted::{Part, Wanted};
    }
}

use std::env;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use constellation_shared::Station;
use constellation_shared::settings::Settings;
use indicatif::MultiProgress;
use tokio::runtime::Runtime;

use crate::commands::cli::{Cli, Command};
use crate::commands::error::{SyncError, complain};
use crate::commands::layers::{Call, Layered};
use crate::commands::{bugreport, config, doctor, dry_run, install, notify, status, why};
use crate::context::Context;
use crate::context::settings::SettingsFound;
use crate::report::document::Document;
use crate::report::publish::Begin;
use crate::support::clock::unix_time;
use crate::support::runtime;
use crate::support::stdout::stdout;

/// The whole program, from its arguments to its exit code.
pub fn main() -> ExitCode {
    let call = Call::from_command_line();
    if let Some(Command::Completions(given)) = call.cli.command {
        // `help` says what is in the other commands.
        let mut definition = Cli::definition().disable_help_subcommand(true);
        let name = definition.get_name().to_owned();
        clap_complete::generate(given.shell, &mut definition, name, &mut stdout());
        return ExitCode::SUCCESS;
    }
    let options = call.cli.options.clone();
    let station = Station::locate(options.zen.clone(), env::var_os("HOME"));
    let found = station.map(|station| {
        let station = station.with_settings_file(options.config.clone());
        SettingsFound::look(station, options.lists())
    });
    let layered = match &found {
        Ok((_, found)) => call.with_file(&found.file),
        Err(_) => call.with_file(&Settings::default()),
    };
    let begin = Begin::now(layered.cli.trigger().map(|trigger| trigger.interval));
    let options = layered.cli.options.clone();
    let context = found.map(|(station, found)| context(station, found, &layered));
    let code = context
        .map_err(SyncError::from)
        .and_then(|context| on_a_runtime(&Arc::new(context), &call, layered.cli.command.as_ref()));
    let code = code.unwrap_or_else(|error| {
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

/// What every command works with.
fn context(station: Station, found: SettingsFound, layered: &Layered) -> Context {
    let mut options = layered.cli.options.clone();
    // Only a run by hand does not; other commands tell of scheduled runs.
    options.sweep.get_or_insert(layered.cli.command.is_some());
    options.file = found.file.sync.clone();
    let path = station.settings_file();
    let mut complaints: Vec<_> = found.file.complaints.iter().collect();
    complaints.extend(&layered.complaints);
    complaints.sort_by_key(|complaint| complaint.line);
    let complaints = complaints
        .iter()
        .map(|complaint| format!("{} {complaint}", path.display()))
        .collect();
    Context {
        options,
        station: station.with_lists(found.lists),
        doubts: found.doubts,
        complaints,
        blacklist_is_unknown: found.blacklist_is_unknown,
        file: found.file,
        plugin: found.plugin,
        bars: MultiProgress::new(),
    }
}

/// How long the end waits for work that nobody needs any more, such as a name that DNS still
/// looks for.
const LAST_WAIT: Duration = Duration::from_millis(200);

fn on_a_runtime(
    context: &Arc<Context>,
    call: &Call,
    command: Option<&Command>,
) -> Result<u8, SyncError> {
    let runtime = runtime::start()?;
    let result = dispatch(&runtime, context, call, command);
    runtime.shutdown_timeout(LAST_WAIT);
    result
}

/// Runs what the command line asks for.
fn dispatch(
    runtime: &Runtime,
    context: &Arc<Context>,
    call: &Call,
    command: Option<&Command>,
) -> Result<u8, SyncError> {
    let (options, station) = (&context.options, &context.station);
    let out = &mut stdout();
    // The doctor and the bug report tell of a missing folder themselves.
    if !matches!(command, Some(Command::Doctor(_) | Command::Bugreport(_))) {
        commands::backfill::check_folder(context)?;
    }
    match command {
        None => commands::backfill::run(context, runtime),
        Some(Command::Trigger(given)) if given.live && !dry_run::is_wanted(context) => {
            commands::live::run(context, runtime)
        }
        Some(Command::Trigger(given)) => commands::backfill::run_where_due(context, given, runtime),
        Some(Command::Live(_)) => commands::live::run(context, runtime),
        Some(Command::Doctor(given)) => runtime.block_on(doctor::run(context, given, out)),
        Some(Command::Bugreport(given)) => runtime.block_on(bugreport::run(context, given, out)),
        Some(Command::Status(given)) => {
            let folder = station.strfry_dir();
            status::run(*given, options.json, &folder, unix_time(), out)
        }
        Some(Command::Report(given)) => {
            let folder = station.strfry_dir();
            commands::report::run(*given, options.json, &folder, unix_time(), out)
        }
        Some(Command::Notify(given)) => runtime.block_on(notify::run(context, *given, out)),
        // That is done before the station is looked for.
        Some(Command::Completions(_)) => Ok(0),
        Some(Command::Config(given)) => config::run(context, call, *given, out),
        Some(Command::Why(given)) => runtime.block_on(why::run(context, given, out)),
        Some(Command::Install(given)) => {
            Ok(install::install(given, station, options.dry_run, out)?)
        }
        Some(Command::Uninstall(given)) => {
            Ok(install::uninstall(given, station, options.dry_run, out)?)
        }
        Some(Command::Profiles(given)) => {
            runtime.block_on(commands::members::print_profiles(context, given, out))
        }
        Some(Command::Friends(given)) => {
            runtime.block_on(commands::members::print_friends(context, *given, out))
        }
    }
}
