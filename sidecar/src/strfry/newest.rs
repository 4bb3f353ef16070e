//! The newest events of the local strfry, and how its events are spread over time.

use constellation_shared::{EventId, Pubkey};
use serde::Deserialize;

use crate::strfry::Strfry;
use crate::strfry::scan::ScanError;

/// The name of the tag that says when an event expires (NIP-40), as it stands in JSON.
const EXPIRATION: &[u8] = b"\"expiration\"";

/// What is read of an event.
#[derive(Deserialize)]
struct Fields<'a> {
    id: &'a str,
    pubkey: &'a str,
    kind: u64,
    created_at: u64,
}

/// An event of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NewestEvent {
    pub id: EventId,
    pub author: Pubkey,
    pub kind: u16,
    /// When it was created, in Unix seconds.
    pub created_at: u64,
    /// Whether it seems to have a time at which it expires (NIP-40).
    pub may_expire: bool,
}

impl Strfry {
    /// The newest events of these kinds that were created at `until` (in Unix seconds) or earlier,
    /// at most `most` of them, newest first.
    ///
    /// # Errors
    /// [`ScanError`].
    pub(crate) async fn newest(
        &self,
        kinds: &[u16],
        until: u64,
        most: usize,
    ) -> Result<Vec<NewestEvent>, ScanError> {
        let mut newest = Vec::new();
        let filter = serde_json::json!({"kinds": kinds, "until": until, "limit": most});
        let mut keep = |line: &[u8]| {
            if let Ok(fields) = serde_json::from_slice::<Fields<'_>>(line)
                && let (Ok(id), Ok(author)) = (fields.id.parse(), fields.pubkey.parse())
                && let Ok(kind) = fields.kind.try_into()
            {
                newest.push(NewestEvent {
                    id,
                    author,
                    kind,
                    created_at: fields.created_at,
                    may_expire: line
                        .windows(EXPIRATION.len())
                        .any(|part| part == EXPIRATION),
                });
            }
        };
        self.read_lines(&["scan", &filter.to_string()], &mut keep)
            .await?;
        Ok(newest)
    }

    /// The times at which the events of these kinds were created, in Unix seconds, in no order.
    ///
    /// # Errors
    /// [`ScanError`].
    pub(crate) async fn times(&self, kinds: &[u16]) -> Result<Vec<u64>, ScanError> {
        /// What is read of an event.
        #[derive(Deserialize)]
        struct Time {
            created_at: u64,
        }
        let mut times = Vec::new();
        let filter = serde_json::json!({"kinds": kinds}).to_string();
        let mut keep = |line: &[u8]| {
            if let Ok(time) = serde_json::from_slice::<Time>(line) {
                times.push(time.created_at);
            }
        };
        self.read_lines(&["scan", &filter], &mut keep).await?;
        Ok(times)
    }
}
