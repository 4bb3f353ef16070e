//! The parts of the last run's report that may go into a bug report.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::reduce::Reducer;
use crate::report::document::{Document, Peer};
use crate::report::run_summary::RunSummary;

/// How many earlier runs are shown.
const RUNS: usize = 10;

/// The report in lines, without names, addresses and what others wrote. Keys of objects are
/// ours; of texts only what [`Reducer`] leaves is taken.
pub(super) fn reduced(report: &str, reducer: &mut Reducer) -> String {
    match serde_json::from_str::<Document>(report) {
        Ok(document) => {
            let value = document_of(&document, reducer);
            serde_json::to_string_pretty(&value).unwrap_or_default() + "\n"
        }
        Err(error) => format!(
            "left out: it is not what this version writes (line {}, column {})\n",
            error.line(),
            error.column()
        ),
    }
}

fn document_of(document: &Document, reducer: &mut Reducer) -> Value {
    let import = &document.import;
    json!({
        "schema": document.schema,
        "outcome": document.outcome,
        "exit_code": document.exit_code,
        "success": document.success,
        "failure": text(document.failure.as_deref(), reducer),
        "started_at": document.started_at,
        "finished_at": document.finished_at,
        "seconds": document.seconds,
        "days": document.days,
        "last_success_at": document.last_success_at,
        "failures_in_a_row": document.failures_in_a_row,
        "told": document.last_call.as_ref().map(|call| json!({
            "at": call.at,
            "failure": text(call.failure.as_deref(), reducer),
        })),
        "followed": document.followed,
        "events": document.events,
        "events_by_kind": document.events_by_kind,
        "refused": codes(&document.refused, reducer),
        "undelivered": document.undelivered.values().sum::<u64>(),
        "import": {
            "events": import.events,
            "added": import.added,
            "dups": import.dups,
            "replaced": import.replaced,
            "deleted": import.deleted,
            "rejected": import.rejected.values().sum::<u64>(),
            "replaced_children": import.replaced_children,
        },
        "profiles": document.profiles.as_ref().map(|profiles| json!({
            "found": profiles.found,
            "missing": profiles.missing,
        })),
        "peers": document.peers.iter().map(|peer| peer_of(peer, reducer)).collect::<Vec<_>>(),
        "runs": document.runs.iter().take(RUNS).map(|run| run_of(run, reducer)).collect::<Vec<_>>(),
    })
}

fn peer_of(peer: &Peer, reducer: &mut Reducer) -> Value {
    json!({
        "peer": reducer.peer(&peer.url),
        "complete": peer.complete,
        "failure": text(peer.failure.as_deref(), reducer),
        "code": peer.code.as_deref().and_then(|code| reducer.code(code)),
        "reached": peer.reached,
        "received": peer.received,
        "collected": peer.collected,
        "refused": codes(&peer.refused, reducer),
        "bytes": peer.bytes,
        "seconds": peer.seconds,
        "reconciled": peer.reconciled,
        "unreadable_kinds": peer.unreadable_kinds,
    })
}

fn run_of(run: &RunSummary, reducer: &mut Reducer) -> Value {
    json!({
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "outcome": run.outcome,
        "exit_code": run.exit_code,
        "success": run.success,
        "failure": text(run.failure.as_deref(), reducer),
        "synced": run.synced,
        "peers": run.peers,
        "events": run.events,
        "added": run.added,
        "seconds": run.seconds,
    })
}

fn text(text: Option<&str>, reducer: &mut Reducer) -> Option<String> {
    text.map(|text| reducer.text(text))
}

/// Counts by code; those of words that are no codes of ours under `other`.
fn codes(counts: &BTreeMap<String, u64>, reducer: &Reducer) -> Value {
    let mut ours = serde_json::Map::new();
    let mut other = 0;
    for (word, count) in counts {
        match reducer.code(word) {
            Some(code) => {
                ours.insert(code.to_owned(), (*count).into());
            }
            None => other += count,
        }
    }
    if other > 0 {
        ours.insert("other".to_owned(), other.into());
    }
    Value::Object(ours)
}
