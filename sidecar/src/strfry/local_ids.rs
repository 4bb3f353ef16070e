//! The ids and times of events in the local strfry, from its command `scan`.

use std::collections::HashSet;

use constellation_shared::EventId;
use serde::Deserialize;

use crate::relay::filter::Window;
use crate::relay::negentropy::LocalEvent;
use crate::strfry::Strfry;
use crate::strfry::scan::ScanError;

/// How many authors or ids one scan names at most. An argument of a program has at most 131,072
/// bytes (Linux's MAX_ARG_STRLEN), which is enough for 1,956 authors.
const MOST_NAMED: usize = 1_900;

/// The fields of an event that are needed here.
#[derive(Deserialize)]
struct Head<'a> {
    id: &'a str,
    created_at: u64,
}

impl Strfry {
    /// The times and ids of all events in a window.
    ///
    /// # Errors
    /// [`ScanError`].
    pub async fn local_ids(&self, window: &Window) -> Result<Vec<LocalEvent>, ScanError> {
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

    /// The ids among `ids` that are not in the database.
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
            for event in held {
                missing.remove(&event.id);
            }
        }
        Ok(missing)
    }

    async fn scan_heads(&self, filter: &str, held: &mut Vec<LocalEvent>) -> Result<(), ScanError> {
        let mut hold = |line: &[u8]| {
            if let Ok(head) = serde_json::from_slice::<Head<'_>>(line)
                && let Ok(id) = head.id.parse()
            {
                let created_at = head.created_at;
                held.push(LocalEvent { created_at, id });
            }
        };
        self.read_lines(&["scan", filter], &mut hold).await
    }
}
