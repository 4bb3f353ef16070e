//! What strfry holds.

use std::io;
use std::process::{ExitStatus, Output};

use super::Strfry;

/// Why a scan told nothing.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// It could not be started.
    #[error("strfry could not be started")]
    Start(#[source] io::Error),
    /// It said no.
    #[error("strfry scan ended with {0}: {1}")]
    Exit(String, String),
    /// It said something else than a number.
    #[error("strfry scan --count printed no number")]
    Count,
}

impl ScanError {
    pub(super) fn ended(status: ExitStatus, stderr: &[u8]) -> Self {
        Self::Exit(status.to_string(), last_words(stderr))
    }
}

impl Strfry {
    /// How many events the database holds (`scan --count {}`).
    ///
    /// # Errors
    /// [`ScanError`].
    pub async fn count(&self) -> Result<u64, ScanError> {
        let output = self
            .command()
            .args(["scan", "--count", "{}"])
            .output()
            .await
            .map_err(ScanError::Start)?;
        let Output {
            status,
            stdout,
            stderr,
        } = output;
        if !status.success() {
            return Err(ScanError::ended(status, &stderr));
        }
        let text = String::from_utf8_lossy(&stdout);
        text.trim().parse().map_err(|_| ScanError::Count)
    }
}

/// The line of stderr that says what went wrong, else the last one.
fn last_words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let error = text.lines().find(|line| line.starts_with("strfry error:"));
    error.or(text.lines().last()).unwrap_or_default().to_owned()
}
