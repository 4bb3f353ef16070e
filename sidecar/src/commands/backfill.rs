//! The backfill as it is started by an operator or a script: at once, or only if one is due
//! (`trigger`).
//!
//! It takes the lock, opens the log, prepares the backfill and runs it; then come the members
//! (profiles, full syncs, friends) and the report.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::pin::pin;

use constellation_shared::Station;
use tokio::runtime::Runtime;
use tracing::info;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::backfill::run::Backfill;
use crate::commands::dry_run;
use crate::commands::error::{SyncError, complain};
use crate::commands::trigger::schedule::{Decision, Reason, Schedule};
use crate::commands::trigger::{Trigger, TriggerOptions, TriggerOutcome, local_time_in};
use crate::context::Context;
use crate::members::Members;
use crate::plan::selection::Identity;
use crate::report::publish::{Begin, publish};
use crate::report::{self, Outcome, Report, summary};
use crate::support::error_chain::chain;
use crate::support::humanize::duration;
use crate::support::lock::{Holder, Lock};
use crate::support::log::{Log, NextRun, Rotation};
use crate::support::machine::memory;
use crate::support::signals::interruption;
use crate::support::stdout::stdout;
use crate::support::{atomic_file, state_file};
use crate::swarm::peer;

/// A backfill at once; or, with `--stats`, `--show-hex` or `--dry-run`, a look without one.
///
/// # Errors
/// [`SyncError`] if nothing could be done.
pub(crate) fn run(context: &Context, runtime: &Runtime) -> Result<u8, SyncError> {
    if dry_run::is_wanted(context) {
        return look(context, runtime);
    }
    // From before there is anything to leave behind.
    let interruption = on(runtime, interruption);
    let _lock = take_lock(context, Holder::Run)?;
    let begin = Begin::now(None);
    let result = logged_run(context, runtime, interruption);
    publish_and_say(context, runtime, &result, &begin)
}

/// A backfill if one is due; else a line that says when the next one is.
///
/// # Errors
/// [`SyncError`] if nothing could be done.
pub(crate) fn run_where_due(
    context: &Context,
    options: &TriggerOptions,
    runtime: &Runtime,
) -> Result<u8, SyncError> {
    let folder = context.station.strfry_dir();
    let phase = own_phase(context);
    let trigger = Trigger::new(options, phase, &folder, Rotation::for_memory(memory()));
    let only_looks = dry_run::is_wanted(context);
    let lock = context.file(state_file::LOCK.name);
    if !only_looks && let Some(live) = Lock::live(&lock) {
        trigger.note(&chain(&live));
        return Err(live.into());
    }
    // Without the lock first: who only looks or waits stands in nobody's way.
    if let Decision::Wait { left, reason } = trigger.decide() {
        if only_looks || !trigger.comes_first(left) {
            return skip(context, &trigger, left, reason);
        }
        trigger.wait(left, |until| {
            tell(
                context,
                &format!("{until}. To run now: Ctrl-C, then: {NOW}"),
            );
        });
    }
    if only_looks {
        return look(context, runtime);
    }
    let interruption = on(runtime, interruption);
    let _lock = take_lock(context, Holder::Run).inspect_err(|error| trigger.note(&chain(error)))?;
    let begin = Begin::now(Some(options.interval));
    let outcome = trigger.take_turn(|| logged_run(context, runtime, interruption));
    let result = match outcome {
        Ok(TriggerOutcome::Ran(report)) => Ok(*report),
        Ok(TriggerOutcome::Skipped { left, reason }) => {
            return skip(context, &trigger, left, reason);
        }
        Err(error) => Err(error),
    };
    publish_and_say(context, runtime, &result, &begin)
}

/// What to type so that a run begins now, due or not.
const NOW: &str = "constellation-sync trigger --now";

/// Says something to whoever sits at the terminal, if anybody does.
fn tell(context: &Context, words: &str) {
    if context.has_audience() {
        // A terminal that is gone is no failure of the run.
        let _ = writeln!(io::stderr(), "{words}");
    }
}

fn look(context: &Context, runtime: &Runtime) -> Result<u8, SyncError> {
    let terminal = Log::to_terminal(context.options.verbose, context.bars.clone());
    tracing_subscriber::registry().with(terminal).init();
    let outcome = runtime.block_on(dry_run::look(context, &mut stdout()))?;
    Ok(outcome.exit_code())
}

/// This station's own second of the hour, at which its backfills begin.
pub(super) fn own_phase(context: &Context) -> u64 {
    Identity::of(&peer::own_name(&context.station)).below(Schedule::HOUR)
}

fn on<T>(runtime: &Runtime, begin: impl FnOnce() -> T) -> T {
    let _inside = runtime.enter();
    begin()
}

/// Takes the lock, and removes the temporary files of runs that were killed.
pub(super) fn take_lock(context: &Context, holder: Holder) -> Result<Lock, SyncError> {
    let path = context.file(state_file::LOCK.name);
    let lock = Lock::take(&path, context.file(state_file::PID.name), holder)?;
    let station = &context.station;
    atomic_file::sweep(&station.strfry_dir(), |name| name.contains("constellation"));
    atomic_file::sweep(&station.profiles_dir(), |name| name.starts_with("_NIP101."));
    if let Some(metrics) = context.options.metrics_file() {
        atomic_file::sweep_beside(metrics);
    }
    Ok(lock)
}

fn skip(context: &Context, trigger: &Trigger, left: u64, reason: Reason) -> Result<u8, SyncError> {
    let message = format!(
        "No backfill: {reason}; the next is due in {}, at {}",
        duration(left),
        local_time_in(left)
    );
    if !context.options.dry_run {
        trigger.note(&message);
    }
    // stdout is for the report alone where one is wanted.
    if !context.options.json {
        writeln!(stdout(), "{message}")?;
        tell(context, &format!("To run one now: {NOW}"));
    }
    Ok(0)
}

fn logged_run(
    context: &Context,
    runtime: &Runtime,
    interruption: impl Future<Output = ()>,
) -> Result<Report, SyncError> {
    open_log(context)?.begin();
    runtime.block_on(run_to_report(context, interruption))
}

/// The open log.
pub(super) struct Logged {
    next_run: NextRun,
    station: Station,
}

/// Opens the log of this process.
///
/// # Errors
/// [`SyncError::Log`].
pub(super) fn open_log(context: &Context) -> Result<Logged, SyncError> {
    let rotation = Rotation::for_memory(memory());
    let log_path = context.file(state_file::RUN_LOG.name);
    let log = Log::to_terminal(context.options.verbose, context.bars.clone())
        .with_files(
            &log_path,
            context.file(state_file::ERROR_LOG.name),
            rotation,
        )
        .map_err(|error| SyncError::Log(log_path, error))?
        .with_profiles(context.file(state_file::PROFILE_LOG.name), rotation)
        .with_live(context.file(state_file::LIVE_JOURNAL.name), rotation);
    let logged = Logged {
        next_run: log.next_run(),
        station: context.station.clone(),
    };
    tracing_subscriber::registry().with(log).init();
    Ok(logged)
}

impl Logged {
    /// Begins the log of a run.
    pub(super) fn begin(&self) {
        self.next_run.begin();
        show_profile_log(&self.station);
        info!(
            for_scripts = true,
            "Starting Astroport constellation backfill process"
        );
    }
}

/// Today's scripts look for the log about profiles below `tmp/`, which is emptied once a day: a link
/// there leads to it. Whatever else is in its place stays.
fn show_profile_log(station: &Station) {
    let name = state_file::PROFILE_LOG.name;
    let link = station.root().join("tmp").join(name);
    // Without the folder, or with something in its place, there is nothing to be done.
    let _ = std::os::unix::fs::symlink(Path::new("../strfry").join(name), link);
}

/// The backfill itself, and what is done for the members once it has ended.
///
/// # Errors
/// [`SyncError`] if nothing could be done.
pub(super) async fn run_to_report(
    context: &Context,
    interruption: impl Future<Output = ()>,
) -> Result<Report, SyncError> {
    let mut interruption = pin!(interruption);
    let backfill = tokio::select! {
        prepared = Backfill::prepare(context) => prepared?,
        () = interruption.as_mut() => return Err(SyncError::Interrupted),
    };
    let mut done = backfill.run(interruption.as_mut()).await;
    if matches!(
        done.report.outcome,
        Outcome::Complete | Outcome::SomePeersFailed
    ) {
        let members = Members {
            context,
            connector: &done.connector,
            peers: done.peers.clone(),
            keys: &done.followed,
            rules: &done.rules,
            limit: done.limit,
        };
        members
            .after(&mut done.report, done.gate, interruption)
            .await;
    }
    done.tunnels.close().await;
    report::log::write(&done.report, done.import_error.as_ref());
    let has_ended = matches!(
        done.report.outcome,
        Outcome::Complete | Outcome::SomePeersFailed
    );
    if let Some(script) = context.options.report.sync_report.as_deref()
        && has_ended
    {
        report::sync_report::start(script);
    }
    Ok(done.report)
}

/// Publishes what a run came to, and returns its exit code.
///
/// # Errors
/// If the output cannot be written.
pub(super) fn publish_and_say(
    context: &Context,
    runtime: &Runtime,
    result: &Result<Report, SyncError>,
    begin: &Begin,
) -> Result<u8, SyncError> {
    let failure = result.as_ref().map_err(SyncError::failure);
    let published = publish(context, failure.as_ref().map(|report| *report), begin);
    let document = runtime.block_on(published);
    if context.options.json {
        document.write(&mut stdout())?;
    }
    if let Err(error) = result {
        complain(error, context.options.json);
    }
    if !context.options.json {
        for line in summary::lines(&document) {
            tell(context, &line);
        }
    }
    Ok(document.exit_code)
}

/// Whether the station's strfry folder is there and may be entered.
///
/// # Errors
/// [`SyncError::NoFolder`], [`SyncError::Closed`].
pub(crate) fn check_folder(context: &Context) -> Result<(), SyncError> {
    let folder = context.station.strfry_dir();
    match fs::metadata(&folder) {
        Ok(found) if found.is_dir() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(SyncError::Closed(folder, error))
        }
        _ => Err(SyncError::NoFolder(folder)),
    }
}
