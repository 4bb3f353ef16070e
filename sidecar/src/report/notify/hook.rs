//! Runs a command of the captain's with `sh -c` for a limited time. When that is over, the command
//! and its children are killed.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::sanitize::for_log;

/// How much of what it prints is kept, in bytes and in lines; the rest is read and
/// forgotten.
const MOST_BYTES: usize = 16 * 1024;
const MOST_LINES: usize = 50;

/// How long what a killed command printed is read.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The environment variables that a command gets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message {
    /// Their names and values.
    pub variables: Vec<(&'static str, String)>,
}

/// Why a command did not do what it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HookError {
    /// There is no `sh`, or no process.
    #[error("it could not be started")]
    Start(#[source] io::Error),
    /// It says so.
    #[error("it ended with {0}")]
    Status(ExitStatus),
    /// It or a child of it did not come to an end.
    #[error("it did not end within {} s and was killed", .0.as_secs())]
    Slow(Duration),
    /// A signal came.
    #[error("it was killed, for the run was interrupted")]
    Interrupted,
}

/// Calls a command, and waits until it has ended and nobody holds its output any more.
/// Returns what it printed, a line each, harmless.
///
/// It leads a process group of its own: past `patience` all of that is killed. What left
/// the group (`setsid`) and closed its output lives on, as daemons do.
pub(crate) async fn call(
    command: &str,
    message: &Message,
    patience: Duration,
    interruption: impl Future<Output = ()>,
) -> (Vec<String>, Result<(), HookError>) {
    let mut printed = Vec::new();
    let result = run(command, message, patience, interruption, &mut printed).await;
    let text = String::from_utf8_lossy(&printed);
    let lines = text.lines().map(for_log).filter(|line| !line.is_empty());
    (lines.take(MOST_LINES).collect(), result)
}

async fn run(
    command: &str,
    message: &Message,
    patience: Duration,
    interruption: impl Future<Output = ()>,
    printed: &mut Vec<u8>,
) -> Result<(), HookError> {
    let (reader, writer) = io::pipe().map_err(HookError::Start)?;
    let mut output = Receiver::from_owned_fd(reader.into()).map_err(HookError::Start)?;
    let mut child = {
        let both = writer.try_clone().map_err(HookError::Start)?;
        let variables = message.variables.iter();
        // Dropped at once: while we hold it, the pipe has no end.
        let mut shell = Command::new("sh");
        shell
            .args(["-c", command])
            .envs(variables.map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(both)
            .process_group(0)
            .kill_on_drop(true);
        shell.spawn().map_err(HookError::Start)?
    };
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let ended = async { tokio::join!(child.wait(), drain(&mut output, printed)).0 };
    let result = tokio::select! {
        status = ended => return match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(HookError::Status(status)),
            Err(error) => Err(HookError::Start(error)),
        },
        () = tokio::time::sleep(patience) => Err(HookError::Slow(patience)),
        () = interruption => Err(HookError::Interrupted),
    };
    if let Some(group) = group {
        // It may have ended in this very moment.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait().await;
    // What it had printed; nobody but a daemon of its making can hold the other end now.
    let _ = timeout(LAST_WORDS, drain(&mut output, printed)).await;
    result
}

/// Reads to the end, and keeps the beginning.
async fn drain(output: &mut Receiver, kept: &mut Vec<u8>) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = output.read(&mut buffer).await {
        let room = MOST_BYTES.saturating_sub(kept.len());
        kept.extend(buffer.iter().take(length.min(room)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn called(command: &str, patience: Duration) -> (Vec<String>, Result<(), HookError>) {
        let message = Message {
            variables: vec![("CONSTELLATION_REASON", "a 'reason' $(reboot)".to_owned())],
        };
        call(command, &message, patience, std::future::pending()).await
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn it_gets_the_reason_and_what_it_prints_is_kept() {
        let (lines, result) = called(r#"echo "$CONSTELLATION_REASON"; echo two >&2"#, LONG).await;
        assert_eq!(lines, ["a 'reason' $(reboot)", "two"]);
        assert!(result.is_ok());
        let (lines, result) = called("yes | head -c 3000000; exit 7", LONG).await;
        assert_eq!(lines.len(), MOST_LINES);
        assert_eq!(
            result.unwrap_err().to_string(),
            "it ended with exit status: 7"
        );
    }

    /// Whether there is such a process, a zombie not counted.
    fn is_alive(pid: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        !state.is_empty() && !state.starts_with(['Z', 'X'])
    }

    #[tokio::test]
    async fn it_is_killed_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let pids = dir.path().join("pids");
        let command = format!(
            "echo begun; sleep 600 & echo \"$! $$ \" > '{}'; wait",
            pids.display()
        );
        let read = || std::fs::read_to_string(&pids).unwrap_or_default();
        let begun = async {
            while !read().ends_with('\n') {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let (lines, result) = call(&command, &Message::default(), LONG, begun).await;
        assert_eq!(lines, ["begun"]);
        assert!(matches!(result, Err(HookError::Interrupted)));
        for pid in read().split_whitespace() {
            while is_alive(pid) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }

    #[tokio::test]
    async fn one_that_hangs_has_only_so_long() {
        let (_, result) = called("sleep 600", Duration::from_millis(50)).await;
        assert!(matches!(result, Err(HookError::Slow(_))));
    }

    #[tokio::test]
    async fn a_child_that_holds_the_output_is_waited_for_and_one_that_does_not_is_not() {
        let (lines, result) = called("{ sleep 0.2; echo later; } & echo now", LONG).await;
        assert_eq!(lines, ["now", "later"]);
        assert!(result.is_ok());
        let begun = std::time::Instant::now();
        let (_, result) = called("sleep 30 >/dev/null 2>&1 &", LONG).await;
        assert!(result.is_ok() && begun.elapsed() < Duration::from_secs(20));
    }
}
