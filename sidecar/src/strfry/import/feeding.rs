//! How lines are written to strfry: in small pieces, and not without asking once more whether their
//! authors are blocked.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use constellation_shared::Pubkey;
use futures_util::future::BoxFuture;
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;
use tokio::time::timeout;

use super::queue::Piece;
use super::{Import, ImportError, Line};

/// For how long it is not asked again whether the authors of waiting lines are blocked.
const ANSWER_HOLDS: Duration = Duration::from_secs(1);

/// Says which authors are blocked at the moment.
pub(crate) trait BlockedAuthors: Send + Sync {
    /// Returns those of `authors` that are blocked, or `None` if that cannot be found out.
    fn among(&self, authors: BTreeSet<Pubkey>) -> BoxFuture<'_, Option<BTreeSet<Pubkey>>>;
}

/// How much of a piece was written.
#[derive(Debug, PartialEq, Eq)]
enum Written {
    /// All of it.
    All,
    /// Nothing yet: strfry has accepted nothing for [`ANSWER_HOLDS`].
    Nothing,
    /// Nothing or a part of it, and strfry accepts no more.
    CutOff {
        /// Whether it was a part.
        is_begun: bool,
    },
}

impl Import {
    /// Feeds lines that passed the gate.
    pub(super) async fn feed(&mut self, mut batch: Vec<Line>) -> Result<(), ImportError> {
        let before = batch.len();
        batch.retain(|line| line.json.len() < self.shortest_too_long);
        self.imported.too_long += (before - batch.len()) as u64;
        self.imported.events += batch.len() as u64;
        self.queue.add(batch);
        self.withdraw_blocked().await?;
        if self.queue.waiting() == 0 {
            return Ok(());
        }
        if self.running.is_none() {
            self.start()?;
        }
        if !self.write().await? {
            self.replace().await?;
        }
        Ok(())
    }

    /// Takes away the waiting lines whose authors have been blocked meanwhile.
    pub(super) async fn withdraw_blocked(&mut self) -> Result<(), ImportError> {
        let Some(blocked) = &self.blocked else {
            return Ok(());
        };
        let authors = self.queue.authors_waiting();
        let blocked = blocked.among(authors).await.ok_or(ImportError::Vanished)?;
        if !blocked.is_empty() {
            let withdrawn = self.queue.withdraw(&blocked);
            let events = withdrawn.len() as u64;
            self.imported.events = self.imported.events.saturating_sub(events);
            self.imported.withdrawn.extend(withdrawn);
        }
        Ok(())
    }

    /// Writes the waiting lines, for which [`Import::withdraw_blocked`] has just been called.
    /// Returns whether strfry accepted them.
    pub(super) async fn write(&mut self) -> Result<bool, ImportError> {
        let patience = self.strfry.patience;
        let mut asked_at = Instant::now();
        let mut progress_at = Instant::now();
        while let Some(Piece { text, lines }) = self.queue.next_piece() {
            let running = self.running.as_mut();
            let Some(stdin) = running.and_then(|running| running.stdin.as_mut()) else {
                return Ok(false);
            };
            let mut written = write_piece(stdin, text.as_bytes(), patience).await;
            if written == Written::Nothing && progress_at.elapsed() >= patience {
                written = Written::CutOff { is_begun: false };
            }
            if matches!(written, Written::All | Written::CutOff { is_begun: true }) {
                progress_at = Instant::now();
                self.queue.begin(lines);
                self.given += lines as u64;
                self.account.fed += lines as u64;
            }
            if matches!(written, Written::CutOff { .. }) {
                self.is_cut_off = true;
                return Ok(false);
            }
            if asked_at.elapsed() >= ANSWER_HOLDS {
                self.withdraw_blocked().await?;
                asked_at = Instant::now();
            }
        }
        Ok(true)
    }
}

/// Writes a piece unless strfry accepts nothing of it for [`ANSWER_HOLDS`]. Once begun, it is
/// written to its end, for which strfry has `patience`.
async fn write_piece(stdin: &mut ChildStdin, piece: &[u8], patience: Duration) -> Written {
    match timeout(ANSWER_HOLDS.min(patience), stdin.write(piece)).await {
        Err(_) => Written::Nothing,
        Ok(Err(_)) => Written::CutOff { is_begun: false },
        Ok(Ok(length)) => {
            let rest = stdin.write_all(piece.get(length..).unwrap_or_default());
            match timeout(patience, rest).await {
                Ok(Ok(())) => Written::All,
                Ok(Err(_)) | Err(_) => Written::CutOff { is_begun: true },
            }
        }
    }
}
