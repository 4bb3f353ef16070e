//! `constellation-sync live`: keeps the station level all the time, and does the hourly backfills in
//! the same process.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use sd_notify::NotifyState;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::commands::backfill::{
    Logged, open_log, own_phase, publish_and_say, run_to_report, take_lock,
};
use crate::commands::error::SyncError;
use crate::commands::trigger::schedule::Decision;
use crate::commands::trigger::{Trigger, TriggerOptions, TriggerOutcome};
use crate::context::Context;
use crate::live::{LIVE_LOG, Live};
use crate::report::publish::Begin;
use crate::support::humanize::duration;
use crate::support::lock::Holder;
use crate::support::log::Rotation;
use crate::support::machine::memory;
use crate::support::signals::interruption;

/// The longest time between two looks whether a backfill is due.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// How many minutes after one that succeeded the next backfill is due.
const INTERVAL: u64 = 60;

/// Keep the station level all the time, as a service: seconds instead of an hour
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
#[command(after_help = "\
It stays connected to a few peers, fetches what is new as soon as they have it,
and what was missed while a connection was down. It also does the backfills,
at the station's own time of the hour: other calls of constellation-sync see
that, and end.

Examples:
  constellation-sync live                 follow the peers until Ctrl-C
  constellation-sync live -v              the same, with every log line
  sudo constellation-sync install --live  have systemd start it

Exit code: 0 if a signal ends it, 2 or 3 if it cannot begin.")]
pub struct LiveOptions {}

/// Follows the peers until a signal comes.
///
/// # Errors
/// [`SyncError`] if it cannot begin.
pub(crate) fn run(context: &Arc<Context>, runtime: &Runtime) -> Result<u8, SyncError> {
    let stopped = on_signal(runtime);
    let _lock = take_lock(context, Holder::Live)?;
    let logged = open_log(context)?;
    let live = runtime.block_on(Live::start(Arc::clone(context)))?;
    info!(target: LIVE_LOG, "It begins, version {}", env!("CARGO_PKG_VERSION"));
    tell_systemd(&[NotifyState::Ready]);
    keep_watchdog(runtime);
    let options = TriggerOptions {
        interval: INTERVAL,
        not_before: None,
        now: false,
        live: true,
        is_demanded: false,
    };
    let phase = own_phase(context);
    let folder = context.station.strfry_dir();
    let trigger = Trigger::new(&options, phase, &folder, Rotation::for_memory(memory()));
    while !*stopped.borrow() {
        let wait = match trigger.decide() {
            Decision::Run { .. } => {
                backfill(context, runtime, &trigger, &logged, &stopped);
                continue;
            }
            Decision::Wait { left, .. } => Duration::from_secs(left.max(1)),
        };
        let wait = wait.min(LONGEST_WAIT);
        runtime.block_on(async {
            tokio::select! {
                () = is_stopped(stopped.clone()) => {}
                () = sleep(wait) => {}
            }
        });
    }
    tell_systemd(&[NotifyState::Stopping]);
    let ending = Instant::now();
    runtime.block_on(live.stop());
    let took = duration(ending.elapsed().as_secs());
    info!(target: LIVE_LOG, "It ends, {took} after the signal");
    Ok(0)
}

/// One backfill, while the peers are followed.
fn backfill(
    context: &Context,
    runtime: &Runtime,
    trigger: &Trigger,
    logged: &Logged,
    stopped: &watch::Receiver<bool>,
) {
    let begin = Begin::now(Some(INTERVAL));
    let outcome = trigger.take_turn(|| {
        logged.begin();
        runtime.block_on(run_to_report(context, is_stopped(stopped.clone())))
    });
    let result = match outcome {
        Ok(TriggerOutcome::Ran(report)) => Ok(*report),
        Ok(TriggerOutcome::Skipped { .. }) => return,
        Err(error) => Err(error),
    };
    if let Err(error) = publish_and_say(context, runtime, &result, &begin) {
        warn!(target: LIVE_LOG, "the report of a run was not printed: {error}");
    }
}

/// Becomes true at the first SIGINT or SIGTERM.
fn on_signal(runtime: &Runtime) -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    let _inside = runtime.enter();
    let signal = interruption();
    runtime.spawn(async move {
        signal.await;
        sender.send_replace(true);
        // The receivers must be able to tell it from a sender that is gone.
        sender.closed().await;
    });
    receiver
}

async fn is_stopped(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|is_stopped| *is_stopped).await;
}

fn tell_systemd(states: &[NotifyState<'_>]) {
    // Without systemd, nobody listens.
    let _ = sd_notify::notify(states);
}

/// Gives systemd's watchdog a sign of life, from the runtime that everything else runs on, too.
fn keep_watchdog(runtime: &Runtime) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    runtime.spawn(async move {
        loop {
            tell_systemd(&[NotifyState::Watchdog]);
            sleep(limit / 3).await;
        }
    });
}
