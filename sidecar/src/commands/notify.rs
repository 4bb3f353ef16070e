//! `constellation-sync notify`: shows which commands would tell the captain of failures and
//! successes, and calls them as a test.

use std::io::Write;

use clap::Args;

use crate::commands::error::SyncError;
use crate::context::Context;
use crate::options::hooks::HookOptions;
use crate::report::history::RunHistory;
use crate::report::notify::hook::{self, Message};
use crate::report::notify::{Call, Occasion};
use crate::report::publish::message;
use crate::support::clock::unix_time;
use crate::support::error_chain::chain;
use crate::support::humanize::duration;
use crate::support::sanitize::for_terminal;
use crate::support::signals::interruption;
use crate::support::state_file::RUNS;

/// Show which commands tell the captain of failures; test them
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
#[command(after_help = "\
Examples:
  constellation-sync notify       show which commands are set, and the last calls
  constellation-sync notify --test --on-failure 'mail -s \"$CONSTELLATION_REASON\" me@example.org </dev/null'

Exit code: 0 if each command ended with 0, else 1; 2 if --test finds no command.")]
pub struct NotifyCommand {
    /// Call each command now, with CONSTELLATION_TEST=1 in its environment
    #[arg(long)]
    pub test: bool,
}

/// Does what was asked for; returns the exit code.
///
/// # Errors
/// If writing fails.
pub(crate) async fn run(
    context: &Context,
    command: NotifyCommand,
    output: &mut impl Write,
) -> Result<u8, SyncError> {
    let options = &context.options.hooks;
    let history = RunHistory::load(&context.file(RUNS.name));
    let mut code = 0;
    let mut found = false;
    for occasion in Occasion::ALL {
        let Some(line) = occasion.command(options) else {
            writeln!(output, "{}: no command", occasion.option())?;
            continue;
        };
        found = true;
        writeln!(output, "{}: {line}", occasion.option())?;
        if command.test && !test(context, options, occasion, line, &history, output).await? {
            code = 1;
        }
    }
    if command.test && !found {
        writeln!(
            output,
            "pass --on-failure CMD or set CONSTELLATION_ON_FAILURE"
        )?;
        return Ok(2);
    }
    if !command.test {
        let failures = history.failures_in_a_row;
        let after = options.on_failure_after;
        writeln!(
            output,
            "Failed runs in a row: {failures}; a failure is told from {after} on"
        )?;
        match &history.notified.last {
            None => writeln!(output, "Nothing was told yet")?,
            Some(call) => {
                let age = duration(unix_time().saturating_sub(call.at));
                let event = for_terminal(&call.event, 20);
                writeln!(output, "Last told: a {event}, {age} ago; {}", result(call))?;
            }
        }
        if let Some(call) = &history.notified.pinged {
            let age = duration(unix_time().saturating_sub(call.at));
            writeln!(output, "Last --on-success: {age} ago; {}", result(call))?;
        }
    }
    Ok(code)
}

/// How a call ended.
fn result(call: &Call) -> String {
    call.failure.as_ref().map_or_else(
        || "the command did its work".to_owned(),
        |failure| format!("the command failed: {}", for_terminal(failure, 200)),
    )
}

/// Calls one command; returns whether it did its work.
async fn test(
    context: &Context,
    options: &HookOptions,
    occasion: Occasion,
    command: &str,
    history: &RunHistory,
    output: &mut impl Write,
) -> Result<bool, SyncError> {
    let reason = format!("a test of {}: nothing has happened", occasion.option());
    let last_exit_code = history.runs.first().map_or(0, |run| run.exit_code);
    let mut message = message(context, occasion, &reason, history, last_exit_code);
    message
        .variables
        .push(("CONSTELLATION_TEST", "1".to_owned()));
    let (lines, result) = call(command, &message, options).await;
    for line in lines {
        writeln!(output, "  {line}")?;
    }
    match &result {
        Ok(()) => writeln!(output, "  ended with 0")?,
        Err(error) => writeln!(output, "  {}", chain(error))?,
    }
    Ok(result.is_ok())
}

async fn call(
    command: &str,
    message: &Message,
    options: &HookOptions,
) -> (Vec<String>, Result<(), hook::HookError>) {
    hook::call(command, message, options.patience(), interruption()).await
}
