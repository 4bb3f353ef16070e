//! The ids and times of events in the local strfry, from its command `scan`.

use std::collections::HashSet;

use constellation_shared::EventId;
use serde::Deserialize;

use crate::relay::about::About;
use crate::relay::filter::Window;
use crate::relay::message::Head;
use crate::strfry::Strfry;
use crate::strfry::scan::ScanError;

/// How many authors or ids one scan names at most. An argument of a program has at most 131,072
/// bytes (Linux's MAX_ARG_STRLEN), which is enough for 1,956 authors.
const MOST_NAMED: usize = 1_900;

/// The fields of an event that are needed here.
#[derive(Deserialize)]
struct Fields<'a> {
    id: &'a str,
    pubkey: &'a str,
    created_at: u64,
    kind: u16,
}

impl Fields<'_> {
    fn head(&self) -> Option<Head> {
        Some(Head {
            id: self.id.parse().ok()?,
            author: self.pubkey.parse().ok()?,
            kind: self.kind,
            created_at: self.created_at,
        })
    }
}

impl Strfry {
    /// The ids of all events in a window, and what tells whether an event is inside a smaller one.
    /// The authors must be in ascending order.
    ///
    /// # Errors
    /// [`ScanError`].
    pub(crate) async fn local_ids(
        &self,
        window: &Window,
    ) -> Result<Vec<(About, EventId)>, ScanError> {
        let mut filter = serde_json::json!({
            "kinds": window.kinds,
            "since": window.since,
            "until": window.until,
        });
        let are_named = window.authors.len() <= MOST_NAMED;
        if are_named && let Some(fields) = filter.as_object_mut() {
            let authors: Vec<String> = window.authors.iter().map(ToString::to_string).collect();
            fields.insert("authors".to_owned(), authors.into());
        }
        let mut held = Vec::new();
        self.scan_heads(&filter.to_string(), |head| {
            // To scan everything once is much quicker than to scan for some authors many times.
            if are_named || window.authors.binary_search(&head.author).is_ok() {
                held.push((About::from(&head), head.id));
            }
        })
        .await?;
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
            let filter = serde_json::json!({"ids": ids}).to_string();
            self.scan_heads(&filter, |head| {
                missing.remove(&head.id);
            })
            .await?;
        }
        Ok(missing)
    }

    async fn scan_heads(&self, filter: &str, mut each: impl FnMut(Head)) -> Result<(), ScanError> {
        let mut take = |line: &[u8]| {
            let fields = serde_json::from_slice::<Fields<'_>>(line).ok();
            if let Some(head) = fields.and_then(|fields| fields.head()) {
                each(head);
            }
        };
        self.read_lines(&["scan", filter], &mut take).await
    }
}
