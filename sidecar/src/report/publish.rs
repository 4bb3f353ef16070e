//! What is done with the report once a run has ended: it is written, the metrics are written, and
//! the captain is told if that is due. None of this changes the outcome of the run.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use jiff::{Timestamp, Zoned};
use tracing::{error, info, warn};

use crate::context::Context;
use crate::options::Options;
use crate::report::document::{Circumstances, Document};
use crate::report::history::RunHistory;
use crate::report::live_state::{LiveState, LiveSummary};
use crate::report::notify::hook::{self, HookError, Message};
use crate::report::notify::{Call, Occasion};
use crate::report::{Outcome, Report, metrics, page};
use crate::strfry::conf;
use crate::support::atomic_file;
use crate::support::error_chain::chain;
use crate::support::lock::Lock;
use crate::support::sanitize::for_terminal;
use crate::support::signals::interruption;
use crate::support::state_file::{LIVE, LOCK, REPORT, REPORT_PAGE, RUNS};

/// How old the last success may become at the least, and beyond the interval of the
/// trigger, in seconds: two runs may be missed.
const LEAST_MAX_AGE: u64 = 3 * 3600;
const BEYOND_INTERVAL: u64 = 2 * 3600;

/// The most characters of a reason.
const MOST_OF_A_REASON: usize = 300;

/// Why a run could do nothing at all.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// The exit code that it leads to.
    pub exit_code: u8,
    /// What went wrong, with its causes.
    pub message: String,
}

/// When a run began.
#[derive(Debug, Clone)]
pub(crate) struct Begin {
    clock: Instant,
    started_at: u64,
    /// How many minutes after a success the trigger starts the next run, if it does.
    interval: Option<u64>,
}

impl Begin {
    /// A run that begins now; `interval` is that of the trigger in minutes, if it started it.
    pub(crate) fn now(interval: Option<u64>) -> Self {
        Self {
            clock: Instant::now(),
            started_at: seconds(&Zoned::now()),
            interval,
        }
    }

    /// What a document says of the time and place of a run that ends now.
    pub(crate) fn circumstances(&self, options: &Options) -> Circumstances {
        let now = Zoned::now();
        Circumstances {
            station: station_name(),
            started_at: self.started_at,
            finished_at: seconds(&now),
            finished: now.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            seconds: (self.clock.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
            days: options.days,
            max_age: max_age(self.interval),
        }
    }
}

fn seconds(time: &Zoned) -> u64 {
    u64::try_from(time.timestamp().as_second()).unwrap_or(0)
}

/// How old the last success may become, in seconds, where the trigger has this interval in
/// minutes, or where there is none.
fn max_age(interval: Option<u64>) -> u64 {
    let interval = interval.unwrap_or(0).saturating_mul(60);
    interval.saturating_add(BEYOND_INTERVAL).max(LEAST_MAX_AGE)
}

/// The name of this machine; empty if it is unknown.
fn station_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

/// Writes everything that is to be written after a run, and tells what is to be told;
/// returns the document as it was written last.
pub(crate) async fn publish(
    context: &Context,
    result: Result<&Report, &Failure>,
    begin: &Begin,
) -> Document {
    let when = begin.circumstances(&context.options);
    let mut document = match result {
        Ok(report) => Document::of_run(report, when),
        Err(failure) => Document::of_failure(failure.exit_code, &failure.message, when),
    };
    document.database_bytes = database_bytes(context);
    document.live = live(context);
    let history_path = context.file(RUNS.name);
    let mut history = RunHistory::load(&history_path);
    let failures_before = history.failures_in_a_row;
    history.take(&mut document);
    let due = due(context, &mut history, &document);
    warn_if_failed(&history_path, history.save(&history_path));
    write(context, &document, &history);
    let ping = document.success.then_some(Occasion::Success);
    let occasions: Vec<Occasion> = due.into_iter().chain(ping).collect();
    let mut was_called = false;
    for occasion in occasions {
        let Some(command) = occasion.command(&context.options.hooks) else {
            continue;
        };
        let reason = reason(occasion, failures_before, &document);
        let called = call(context, occasion, command, &reason, &history, &document).await;
        was_called = true;
        let was_interrupted = matches!(called, Err(HookError::Interrupted));
        let call = Call {
            event: occasion.to_string(),
            at: document.finished_at,
            failure: called.err().map(|error| chain(&error)),
        };
        history.notified.remember(occasion, call);
        if was_interrupted {
            break;
        }
    }
    if was_called {
        document.last_call.clone_from(&history.notified.last);
        document.pinged.clone_from(&history.notified.pinged);
        warn_if_failed(&history_path, history.save(&history_path));
        write(context, &document, &history);
    }
    document
}

/// How `live` does, if it is running.
fn live(context: &Context) -> Option<LiveSummary> {
    Lock::live(&context.file(LOCK.name))?;
    let state = LiveState::load(&context.file(LIVE.name))?;
    Some(LiveSummary::from(&state))
}

/// How much room the database takes on the disk, which is less than its length: the file has holes.
fn database_bytes(context: &Context) -> Option<u64> {
    let strfry = context.strfry();
    let path = conf::database(&strfry.conf(), &context.station.strfry_dir());
    let metadata = fs::metadata(path).ok()?;
    Some(metadata.blocks().saturating_mul(512))
}

/// Calls a command, and logs what it printed and whether it did its work.
async fn call(
    context: &Context,
    occasion: Occasion,
    command: &str,
    reason: &str,
    history: &RunHistory,
    document: &Document,
) -> Result<(), HookError> {
    let message = message(context, occasion, reason, history, document.exit_code);
    let patience = context.options.hooks.patience();
    let (lines, called) = hook::call(command, &message, patience, interruption()).await;
    let option = occasion.option();
    info!("{option} was called: {reason}");
    for line in lines {
        info!("{option}: {line}");
    }
    if let Err(error) = &called {
        error!("{option} failed: {}", chain(error));
    }
    called
}

/// Whether the captain is to be told of a failure or of its end now. That this happens, is taken
/// down.
fn due(context: &Context, history: &mut RunHistory, document: &Document) -> Option<Occasion> {
    if document.outcome == Outcome::Interrupted {
        return None;
    }
    let (options, now) = (&context.options.hooks, document.finished_at);
    let failures = history.failures_in_a_row;
    let occasion = history
        .notified
        .due(failures, options.on_failure_after, now)?;
    let command = occasion.command(options);
    // A captain who was sent no message about a failure is sent none about its end.
    if command.is_some() || occasion == Occasion::Recovery {
        history.notified.note(occasion, now);
    }
    command.map(|_| occasion)
}

fn reason(occasion: Occasion, failures_before: u32, document: &Document) -> String {
    let reason = match occasion {
        Occasion::Failure => {
            let run = document.runs.first();
            let cause = run.and_then(|run| run.failure.as_deref()).unwrap_or("");
            match document.failures_in_a_row {
                1 => format!("the run failed: {cause}"),
                failures => format!("{failures} runs in a row failed; the last one: {cause}"),
            }
        }
        Occasion::Recovery => {
            let headline = document.headline();
            // Without the word by which the station's scripts count failures in the log.
            format!("a run succeeded after {failures_before} in vain: {headline}")
        }
        Occasion::Success => format!("the run succeeded: {}", document.headline()),
    };
    for_terminal(&reason, MOST_OF_A_REASON)
}

/// The message that a command gets.
pub(crate) fn message(
    context: &Context,
    occasion: Occasion,
    reason: &str,
    history: &RunHistory,
    exit_code: u8,
) -> Message {
    let path = |name: &str| {
        let path = context.file(name);
        let path = std::path::absolute(&path).unwrap_or(path);
        path.to_string_lossy().into_owned()
    };
    let last = history.last_success_at.and_then(|time| {
        let time = Timestamp::from_second(i64::try_from(time).ok()?).ok()?;
        Some(time.to_string())
    });
    Message {
        variables: vec![
            ("CONSTELLATION_OCCASION", occasion.to_string()),
            ("CONSTELLATION_REASON", reason.to_owned()),
            ("CONSTELLATION_REPORT", path(REPORT.name)),
            ("CONSTELLATION_PAGE", path(REPORT_PAGE.name)),
            ("CONSTELLATION_STATION", station_name()),
            (
                "CONSTELLATION_FAILURES",
                history.failures_in_a_row.to_string(),
            ),
            ("CONSTELLATION_EXIT_CODE", exit_code.to_string()),
            ("CONSTELLATION_LAST_SUCCESS", last.unwrap_or_default()),
        ],
    }
}

fn write(context: &Context, document: &Document, history: &RunHistory) {
    let json = document.to_json().map_err(io::Error::other);
    let path = context.file(REPORT.name);
    warn_if_failed(
        &path,
        json.and_then(|json| REPORT.write(&path, (json + "\n").as_bytes())),
    );
    let path = context.file(REPORT_PAGE.name);
    let page = page::render(document);
    warn_if_failed(&path, REPORT_PAGE.write(&path, page.as_bytes()));
    if let Some(path) = context.options.metrics_file() {
        let text = metrics::render(document, &history.totals);
        warn_if_failed(path, atomic_file::write_readable(path, text.as_bytes()));
    }
}

/// Warns if one of the files that a run leaves behind could not be written.
fn warn_if_failed(path: &Path, written: io::Result<()>) {
    if let Err(error) = written {
        warn!(
            "{} could not be written: {error}; check its folder, who may write there, and the free disk space",
            path.display()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_may_be_missed_before_something_is_wrong() {
        let hours = |interval| max_age(interval) / 3600;
        assert_eq!(hours(None), 3);
        assert_eq!(hours(Some(0)), 3);
        assert_eq!(hours(Some(60)), 3);
        assert_eq!(hours(Some(1440)), 26);
        assert!(max_age(Some(u64::MAX)) > 0);
    }
}
