//! Reading events from the local strfry with its command `scan`.

use std::io;
use std::time::Duration;

use constellation_shared::{EventId, Pubkey};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::time::timeout;

use crate::strfry::Strfry;

/// The longest argument of a program on Linux, in bytes, including the final zero
/// (`MAX_ARG_STRLEN`).
const LONGEST_ARGUMENT: usize = 131_072;

/// The length of an author in a filter, in bytes: 64 digits, two quotes and a comma.
const AUTHOR_LENGTH: usize = 67;

/// The longest line that is read, in bytes: the longest event that strfry accepts.
const LONGEST_LINE: u64 = 16 * 1024 * 1024;

/// Why a scan failed.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// strfry could not be started.
    #[error("strfry could not be started")]
    Start(#[source] io::Error),
    /// strfry failed.
    #[error("strfry scan ended with {0}: {1}")]
    Exit(String, String),
    /// strfry printed no number.
    #[error("strfry scan --count printed no number")]
    Count,
    /// Reading its output failed.
    #[error("strfry scan could not be read")]
    Read(#[source] io::Error),
    /// strfry prints nothing and does not end.
    #[error("strfry scan says nothing for {} s", .0.as_secs())]
    Silent(Duration),
}

impl Strfry {
    /// How many events the database holds (`scan --count {}`).
    ///
    /// # Errors
    /// [`ScanError`].
    pub async fn count(&self) -> Result<u64, ScanError> {
        self.count_matching("{}").await
    }

    /// How many events of the database a filter matches.
    ///
    /// # Errors
    /// [`ScanError`].
    pub async fn count_matching(&self, filter: &str) -> Result<u64, ScanError> {
        let mut count = None;
        let mut number = |line: &[u8]| {
            count = str::from_utf8(line)
                .ok()
                .and_then(|text| text.trim().parse().ok());
        };
        self.read_lines(&["scan", "--count", filter], &mut number)
            .await?;
        count.ok_or(ScanError::Count)
    }

    /// Calls `each` with the JSON of every event of these authors and kinds. There are as few scans as
    /// the length of an argument allows, and only one line is kept in memory.
    ///
    /// # Errors
    /// [`ScanError`], possibly after `each` was called for some events.
    pub async fn scan(
        &self,
        authors: &[Pubkey],
        kinds: &[u16],
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), ScanError> {
        for filter in filters(authors, kinds) {
            self.read_lines(&["scan", &filter], &mut each).await?;
        }
        Ok(())
    }

    /// The JSON of the event with this id, if it is in the database.
    ///
    /// # Errors
    /// [`ScanError`].
    pub async fn event(&self, id: EventId) -> Result<Option<String>, ScanError> {
        let mut found = None;
        let filter = format!("{{\"ids\":[\"{id}\"]}}");
        let mut keep = |line: &[u8]| found = Some(String::from_utf8_lossy(line).into_owned());
        self.read_lines(&["scan", &filter], &mut keep).await?;
        Ok(found)
    }

    /// Runs a command, and calls `each` with every line of its stdout.
    pub(crate) async fn read_lines(
        &self,
        args: &[&str],
        each: &mut impl FnMut(&[u8]),
    ) -> Result<(), ScanError> {
        let mut command = self.command();
        command.args(args);
        // Dropping the handle kills a process that hangs.
        let mut child = command.spawn().map_err(ScanError::Start)?;
        // Both pipes are read at the same time, because strfry stops while either is full.
        let mut words = tokio::spawn(last_of(child.stderr.take()));
        let read = lines(child.stdout.take(), self.patience, each).await;
        let status = match read {
            Ok(()) => timeout(self.patience, child.wait()).await,
            Err(error) => {
                words.abort();
                return Err(error);
            }
        };
        let status = status.map_err(|_| ScanError::Silent(self.patience))?;
        let status = status.map_err(ScanError::Read)?;
        if status.success() {
            return Ok(());
        }
        let said = timeout(self.patience, &mut words).await;
        let said = said.ok().and_then(Result::ok).unwrap_or_default();
        Err(ScanError::Exit(status.to_string(), last_words(&said)))
    }
}

/// Filters for these authors and kinds, each short enough for an argument.
fn filters(authors: &[Pubkey], kinds: &[u16]) -> Vec<String> {
    let kinds: Vec<String> = kinds.iter().map(u16::to_string).collect();
    let kinds = kinds.join(",");
    let frame = format!("{{\"kinds\":[{kinds}],\"authors\":[]}}").len();
    let most = LONGEST_ARGUMENT.saturating_sub(frame) / AUTHOR_LENGTH;
    authors
        .chunks(most.max(1))
        .map(|authors| {
            let authors: Vec<String> = authors.iter().map(|key| format!("\"{key}\"")).collect();
            let authors = authors.join(",");
            format!("{{\"kinds\":[{kinds}],\"authors\":[{authors}]}}")
        })
        .collect()
}

async fn lines(
    stdout: Option<ChildStdout>,
    patience: Duration,
    each: &mut impl FnMut(&[u8]),
) -> Result<(), ScanError> {
    let Some(stdout) = stdout else { return Ok(()) };
    let mut reader = BufReader::with_capacity(64 * 1024, stdout);
    let mut line = Vec::new();
    // Whether this is the rest of a line that is longer than any event, and is ignored.
    let mut is_rest = false;
    loop {
        line.clear();
        let mut piece = (&mut reader).take(LONGEST_LINE);
        let read = timeout(patience, piece.read_until(b'\n', &mut line)).await;
        let read = read.map_err(|_| ScanError::Silent(patience))?;
        if read.map_err(ScanError::Read)? == 0 {
            return Ok(());
        }
        let text = line.strip_suffix(b"\n");
        if let (Some(text), false) = (text, is_rest) {
            each(text);
        }
        is_rest = text.is_none();
    }
}

/// The last bytes of strfry's stderr.
async fn last_of(stderr: Option<ChildStderr>) -> Vec<u8> {
    const KEPT: usize = 64 * 1024;
    let mut words = Vec::new();
    let Some(mut stderr) = stderr else {
        return words;
    };
    let mut piece = vec![0; 8192];
    while let Ok(length @ 1..) = stderr.read(&mut piece).await {
        words.extend_from_slice(piece.get(..length).unwrap_or_default());
        let surplus = words.len().saturating_sub(KEPT);
        words.drain(..surplus);
    }
    words
}

/// The line of stderr with strfry's error message, or else the last line.
fn last_words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let error = text.lines().find(|line| line.starts_with("strfry error:"));
    error.or(text.lines().last()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_as_long_as_an_argument_may_be_and_no_longer() {
        let keys = |count: u32| -> Vec<Pubkey> {
            let key = |number: u32| {
                let mut bytes = [7; 32];
                bytes[..4].copy_from_slice(&number.to_be_bytes());
                Pubkey::from_bytes(bytes)
            };
            (0..count).map(key).collect()
        };
        assert!(filters(&[], &[0]).is_empty());
        let one = filters(&keys(1955), &[0]);
        assert_eq!(one.len(), 1);
        assert!(
            one[0].len() < LONGEST_ARGUMENT && one[0].len() + AUTHOR_LENGTH >= LONGEST_ARGUMENT
        );
        let two = filters(&keys(1956), &[0]);
        assert_eq!(two.len(), 2);
        let filter: serde_json::Value = serde_json::from_str(&two[1]).unwrap();
        assert_eq!(filter["kinds"], serde_json::json!([0]));
        assert_eq!(filter["authors"][0], keys(1956)[1955].to_hex());
        let many = filters(&keys(5000), &[0, 3, 30_800]);
        assert_eq!(many.len(), 3);
        assert!(many.iter().all(|filter| filter.len() < LONGEST_ARGUMENT));
    }
}
