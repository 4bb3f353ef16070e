//! What the local strfry holds of a window: ids and times, by streaming scans.

use std::collections::{HashSet, VecDeque};

use constellation_shared::EventId;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use super::Strfry;
use super::scan::ScanError;
use crate::relay::pager::Window;

/// How many authors or ids a scan names at the most: one argument of a program holds 131,072
/// bytes (Linux' MAX_ARG_STRLEN), 1,956 authors.
const MOST_NAMED: usize = 1_900;

/// How much of stderr explains a scan that went wrong, in bytes.
const WORDS: u64 = 16 * 1024;

/// The two fields that count; the others are passed over.
#[derive(Deserialize)]
struct Head<'a> {
    id: &'a str,
    created_at: u64,
}

impl Strfry {
    /// Ids and times of all events of a window.
    ///
    /// # Errors
    /// [`ScanError`].
    pub async fn holdings(&self, window: &Window) -> Result<Vec<(u64, EventId)>, ScanError> {
        let mut held = Vec::new();
        for authors in window.authors.chunks(MOST_NAMED) {
            let authors: Vec<String> = authors.iter().map(ToString::to_string).collect();
            let filter = serde_json::json!({
                "authors": authors,
                "kinds": window.kinds,
                "since": window.since,
                "until": window.until,
            });
            self.scan_heads(&filter.to_string(), &mut held).await?;
        }
        Ok(held)
    }

    /// Those of these ids that the database does not hold.
    ///
    /// # Errors
    /// [`ScanError`].
    pub async fn missing(&self, ids: &[EventId]) -> Result<HashSet<EventId>, ScanError> {
        let mut missing: HashSet<EventId> = ids.iter().copied().collect();
        for ids in ids.chunks(MOST_NAMED) {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            let mut held = Vec::new();
            let filter = serde_json::json!({"ids": ids}).to_string();
            self.scan_heads(&filter, &mut held).await?;
            for (_, id) in held {
                missing.remove(&id);
            }
        }
        Ok(missing)
    }

    async fn scan_heads(
        &self,
        filter: &str,
        held: &mut Vec<(u64, EventId)>,
    ) -> Result<(), ScanError> {
        let mut child = self
            .command()
            .args(["scan", filter])
            .spawn()
            .map_err(ScanError::Start)?;
        let stderr = child.stderr.take();
        let words = tokio::spawn(async move {
            let mut words = VecDeque::new();
            if let Some(mut stderr) = stderr {
                let mut piece = [0; 4096];
                while let Ok(length @ 1..) = stderr.read(&mut piece).await {
                    words.extend(piece.get(..length).unwrap_or_default());
                    let surplus = words
                        .len()
                        .saturating_sub(usize::try_from(WORDS).unwrap_or(0));
                    words.drain(..surplus);
                }
            }
            Vec::from(words)
        });
        if let Some(stdout) = child.stdout.take() {
            let mut reader = BufReader::with_capacity(256 * 1024, stdout);
            let mut line = Vec::new();
            while reader
                .read_until(b'\n', &mut line)
                .await
                .map_err(ScanError::Start)?
                > 0
            {
                if let Ok(head) = serde_json::from_slice::<Head<'_>>(&line)
                    && let Ok(id) = head.id.parse()
                {
                    held.push((head.created_at, id));
                }
                line.clear();
            }
        }
        let status = child.wait().await.map_err(ScanError::Start)?;
        if status.success() {
            return Ok(());
        }
        let words = words.await.unwrap_or_default();
        Err(ScanError::ended(status, &words))
    }
}
