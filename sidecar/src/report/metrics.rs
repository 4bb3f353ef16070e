//! Figures in Prometheus' text format, for node_exporter's textfile collector.
//!
//! Gauges tell of the last run; counters (`…_total`) go on from run to run and begin anew
//! where `constellation-runs.json` was deleted, as Prometheus expects of counters. A run
//! that fails leaves `constellation_sync_last_success_timestamp_seconds` as it was.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use crate::admission::rules::Refusal;
use crate::report::document::{Document, Peer};
use crate::report::history::Totals;
use crate::report::live_state::LiveSummary;

/// How many peers have figures of their own at most: each is a time series.
const MOST_PEERS: usize = 500;

const PREFIX: &str = "constellation_sync_";

struct Text(String);

/// A label of a sample.
struct Label<'a> {
    name: &'a str,
    value: &'a str,
}

const fn label<'a>(name: &'a str, value: &'a str) -> Label<'a> {
    Label { name, value }
}

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a text cannot fail.
        let _ = write!(
            self.0,
            "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}\n"
        );
    }

    fn sample(&mut self, name: &str, labels: &[Label<'_>], value: impl Display) {
        let labels: Vec<String> = labels
            .iter()
            .map(|label| format!("{}=\"{}\"", label.name, escaped(label.value)))
            .collect();
        let labels = match labels.as_slice() {
            [] => String::new(),
            labels => format!("{{{}}}", labels.join(",")),
        };
        let _ = writeln!(self.0, "{PREFIX}{name}{labels} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "counter", help);
        self.sample(name, &[], value);
    }

    fn of_peers<T: Display>(
        &mut self,
        peers: &[Peer],
        name: &str,
        help: &str,
        value: impl Fn(&Peer) -> T,
    ) {
        if peers.is_empty() {
            return;
        }
        self.family(name, "gauge", help);
        for peer in peers.iter().take(MOST_PEERS) {
            self.sample(name, &[label("peer", &peer.url)], value(peer));
        }
    }
}

/// A label's value: backslash, quote and newline are escaped.
fn escaped(value: &str) -> String {
    let escaped = value.replace('\\', "\\\\");
    escaped.replace('"', "\\\"").replace('\n', "\\n")
}

/// All figures.
pub(crate) fn render(document: &Document, totals: &Totals) -> String {
    let mut text = Text(String::new());
    text.family("build_info", "gauge", "The program that wrote this.");
    text.sample("build_info", &[label("version", &document.version)], 1);
    of_the_last_run(&mut text, document);
    of_its_peers(&mut text, document);
    of_all_runs(&mut text, totals);
    text.0
}

fn of_the_last_run(text: &mut Text, document: &Document) {
    text.gauge(
        "last_run_timestamp_seconds",
        "When the last run ended, however it did.",
        document.finished_at,
    );
    text.gauge(
        "last_success_timestamp_seconds",
        "When the last run ended that succeeded; 0 where none has.",
        document.last_success_at.unwrap_or(0),
    );
    text.gauge(
        "max_age_seconds",
        "How old the last success may become before something is wrong.",
        document.max_age_seconds,
    );
    text.gauge(
        "last_run_success",
        "Whether the last run succeeded: at least one peer gave all that it has.",
        u8::from(document.success),
    );
    text.gauge(
        "last_run_exit_code",
        "The exit code of the last run.",
        document.exit_code,
    );
    text.gauge(
        "last_run_duration_seconds",
        "How long the last run took.",
        document.seconds,
    );
    text.gauge(
        "consecutive_failures",
        "How many runs in a row failed.",
        document.failures_in_a_row,
    );
    text.gauge(
        "followed_pubkeys",
        "How many pubkeys the last run followed.",
        document.followed,
    );
    text.gauge(
        "undelivered_events",
        "Events that peers listed in the last run and none delivered.",
        document.undelivered.values().sum::<u64>(),
    );
    if let Some(bytes) = document.database_bytes {
        text.gauge(
            "database_bytes",
            "How much room strfry's database takes on the disk.",
            bytes,
        );
    }
    if let Some(live) = &document.live {
        of_live(text, live);
    }
    if let Some(profiles) = &document.profiles {
        let name = "profiles";
        text.family(
            name,
            "gauge",
            "Followed pubkeys with and without a profile.",
        );
        text.sample(name, &[label("state", "found")], profiles.found);
        text.sample(name, &[label("state", "missing")], profiles.missing);
    }
}

fn of_live(text: &mut Text, live: &LiveSummary) {
    text.gauge(
        "live_peers_connected",
        "How many peers `live` was connected to at the end of the last run.",
        live.connected,
    );
    if let Some(lag) = live.newest_lag_seconds {
        text.gauge(
            "live_newest_lag_seconds",
            "How long after its creation the newest event came to `live`.",
            lag,
        );
    }
    text.gauge(
        "live_gaps_healed",
        "How many gaps `live` has reconciled since it began.",
        live.gaps_healed,
    );
}

fn of_its_peers(text: &mut Text, document: &Document) {
    let peers = &document.peers;
    let count = |wanted: fn(&Peer) -> bool| peers.iter().filter(|peer| wanted(peer)).count();
    let name = "peers";
    text.family(
        name,
        "gauge",
        "Peers of the last run, by what became of them.",
    );
    for (state, count) in [
        ("synced", count(|peer| peer.complete)),
        ("incomplete", count(|peer| !peer.complete && peer.reached)),
        ("unreachable", count(|peer| !peer.complete && !peer.reached)),
    ] {
        text.sample(name, &[label("state", state)], count);
    }
    text.of_peers(
        peers,
        "peer_synced",
        "Whether the peer gave all that it has.",
        |peer| u8::from(peer.complete),
    );
    text.of_peers(
        peers,
        "peer_reached",
        "Whether the peer answered at all.",
        |peer| u8::from(peer.reached),
    );
    text.of_peers(
        peers,
        "peer_events",
        "Events that were let in from the peer, and that no other sent before.",
        |peer| peer.collected,
    );
    text.of_peers(
        peers,
        "peer_received_bytes",
        "Bytes of the messages of the peer.",
        |peer| peer.bytes,
    );
    text.of_peers(
        peers,
        "peer_duration_seconds",
        "How long the peer took.",
        |peer| peer.seconds,
    );
}

fn of_all_runs(text: &mut Text, totals: &Totals) {
    let name = "runs_total";
    text.family(name, "counter", "Runs, by how they ended.");
    for (result, count) in [
        ("success", totals.succeeded),
        ("failure", totals.failed),
        ("interrupted", totals.interrupted),
    ] {
        text.sample(name, &[label("result", result)], count);
    }
    text.counter("events_total", "Events that were let in.", totals.events);
    text.counter(
        "added_events_total",
        "Events that were new in strfry's database.",
        totals.added,
    );
    text.counter(
        "received_bytes_total",
        "Bytes of the messages of the peers.",
        totals.bytes,
    );
    let name = "refused_events_total";
    text.family(name, "counter", "Events that were not let in, by reason.");
    // Each reason from the first run on: of a counter that appears with its first event,
    // Prometheus sees no increase.
    let mut refused: BTreeMap<&str, u64> = Refusal::ALL.map(|reason| (reason.code(), 0)).into();
    refused.extend(
        totals
            .refused
            .iter()
            .map(|(reason, count)| (reason.as_str(), *count)),
    );
    for (reason, count) in refused {
        text.sample(name, &[label("reason", reason)], count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::document::tests::document;
    use crate::report::history::RunHistory;

    fn value<'a>(text: &'a str, sample: &str) -> Option<&'a str> {
        let line = text.lines().find(|line| line.starts_with(sample))?;
        line.rsplit_once(' ').map(|(_, value)| value)
    }

    #[test]
    fn a_run_that_fails_never_reads_as_a_success() {
        let mut history = RunHistory::default();
        let mut good = document();
        history.take(&mut good);
        let mut bad = Document {
            success: false,
            exit_code: 3,
            finished_at: good.finished_at + 3600,
            ..document()
        };
        history.take(&mut bad);
        let text = render(&bad, &history.totals);
        for (sample, expected) in [
            (
                "constellation_sync_last_success_timestamp_seconds ",
                "1795341173",
            ),
            (
                "constellation_sync_last_run_timestamp_seconds ",
                "1795344773",
            ),
            ("constellation_sync_last_run_success ", "0"),
            ("constellation_sync_last_run_exit_code ", "3"),
            ("constellation_sync_consecutive_failures ", "1"),
            ("constellation_sync_runs_total{result=\"success\"}", "1"),
            ("constellation_sync_runs_total{result=\"failure\"}", "1"),
            ("constellation_sync_peers{state=\"unreachable\"}", "1"),
            ("constellation_sync_events_total ", "72"),
            (
                "constellation_sync_refused_events_total{reason=\"forged\"}",
                "8",
            ),
            (
                "constellation_sync_refused_events_total{reason=\"too_long\"}",
                "0",
            ),
        ] {
            assert_eq!(value(&text, sample), Some(expected), "{sample}\n{text}");
        }
        let never = render(&document(), &Default::default());
        let sample = "constellation_sync_last_success_timestamp_seconds ";
        assert_eq!(value(&never, sample), Some("0"));
    }

    #[test]
    fn a_url_cannot_leave_its_label() {
        let mut document = document();
        document.peers[0].url = "ws://a\"} 1\nevil_metric 1\\".to_owned();
        let text = render(&document, &Default::default());
        assert!(
            text.contains(r#"peer="ws://a\"} 1\nevil_metric 1\\"} 1"#),
            "{text}"
        );
        assert!(!text.lines().any(|line| line.starts_with("evil")));
    }
}
