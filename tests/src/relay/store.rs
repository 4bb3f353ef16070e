//! The events of a relay, newest first.

use std::cmp::Reverse;
use std::sync::Arc;

use constellation_shared::Event;

use crate::filter::Filter;
use crate::record::Record;

pub(super) struct Store {
    newest_first: Vec<Arc<Record>>,
}

impl Store {
    pub(super) fn new(events: &[Event]) -> Self {
        Self {
            newest_first: Vec::new(),
        }
        .with(events)
    }

    /// What it holds, and these. Of two with the same id both are held.
    pub(super) fn with(&self, events: &[Event]) -> Self {
        let spelled: Vec<String> = events.iter().map(Event::to_json).collect();
        self.with_spelled(&spelled)
    }

    /// What it holds, and these as they are spelled.
    pub(super) fn with_spelled(&self, events: &[String]) -> Self {
        let mut newest_first = self.newest_first.clone();
        newest_first.extend(events.iter().map(|json| {
            let record = Record::from_json(json);
            Arc::new(record.unwrap_or_else(|why| panic!("{json}: {why}")))
        }));
        newest_first.sort_by_key(|record| (Reverse(record.created_at), record.id));
        Self { newest_first }
    }

    /// What it holds, and these served without their time.
    pub(super) fn without_time(mut self, events: &[Event]) -> Self {
        for record in &mut self.newest_first {
            if events.iter().any(|event| *event.id.as_bytes() == record.id) {
                let record = Arc::make_mut(record);
                record.json = record.json.replace("\"created_at\":", "\"made_at\":");
            }
        }
        self
    }

    /// The newest that match, as many as `limit`.
    pub(super) fn query(
        &self,
        filter: &Filter,
        until_exclusive: bool,
        limit: usize,
    ) -> impl Iterator<Item = &Arc<Record>> {
        let start = self
            .newest_first
            .partition_point(|record| record.created_at > filter.until);
        self.newest_first
            .get(start..)
            .unwrap_or_default()
            .iter()
            .take_while(|record| record.created_at >= filter.since)
            .filter(move |record| !until_exclusive || record.created_at < filter.until)
            .filter(|record| filter.matches(record))
            .take(limit)
    }
}
