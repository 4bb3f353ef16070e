//! The process `strfry import` and its stderr.

use std::collections::VecDeque;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::strfry::output::{self, Said, Written};

/// How many lines of stderr are kept to explain why strfry ended.
const KEPT_LINES: usize = 5;

/// The longest line of stderr that is read, in bytes.
const LONGEST_LINE: u64 = 4096;

/// A running `strfry import` process.
pub(crate) struct Running {
    pub child: Child,
    pub stdin: Option<ChildStdin>,
    pub said: mpsc::UnboundedReceiver<Said>,
    pub messages: JoinHandle<VecDeque<String>>,
}

/// The next line of stderr that has a meaning; `None` once there are no more.
pub(crate) async fn next_said(running: &mut Option<Running>) -> Option<Said> {
    running.as_mut()?.said.recv().await
}

/// Reads stderr to its end. Sends the lines that have a meaning, and returns the last of the
/// others.
pub(crate) async fn listen(
    stderr: Option<ChildStderr>,
    sender: mpsc::UnboundedSender<Said>,
) -> VecDeque<String> {
    let mut messages = VecDeque::new();
    let Some(stderr) = stderr else {
        return messages;
    };
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut reader)
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line)
            .await;
        if !matches!(read, Ok(1..)) {
            return messages;
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        match output::parse(text) {
            Some(said) => {
                let _ = sender.send(said);
            }
            // The lines that every command begins with explain nothing.
            None if text.contains("INFO|") || text.starts_with("date ") || text.is_empty() => {}
            None => {
                messages.push_back(text.to_owned());
                if messages.len() > KEPT_LINES {
                    messages.pop_front();
                }
            }
        }
    }
}

/// What one strfry process was given and what it has reported.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// How many lines it was given.
    pub fed: u64,
    /// How many lines it read, once it has printed its summary.
    pub processed: Option<u64>,
    pub written: Written,
    /// How many events it rejected by name.
    pub rejected: u64,
    /// How many lines it could not read.
    pub unparsable: u64,
}

/// The constant part of a reason; some reasons end in a number.
pub(super) fn kind_of(reason: &str) -> String {
    let kind = reason
        .split(|c: char| c.is_ascii_digit())
        .next()
        .unwrap_or_default();
    kind.trim_end_matches([' ', ':'])
        .chars()
        .take(100)
        .collect()
}
