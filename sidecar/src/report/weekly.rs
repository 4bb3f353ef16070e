//! The report in plain text, fit for a mail once a week: the last run, the last seven days, and what
//! is wrong and what to do.

use std::fmt::Write;

use jiff::tz::TimeZone;

use crate::report::document::Document;
use crate::report::growth;
use crate::report::run_summary::{Day, PeerRuns};
use crate::report::summary;
use crate::support::clock::local;
use crate::support::humanize::{bytes, count, number_of};
use crate::support::sanitize::for_terminal;

/// The days of a week, and the length of a day in seconds.
const WEEK: u64 = 7;
const DAY: u64 = 86_400;

/// How many peers are named at most.
const MOST_PEERS: usize = 10;

/// In so many runs at least a peer was asked of which it is said that it never gives everything.
const LEAST_ASKED: usize = 3;

/// The most characters of why something failed.
const MOST_OF_A_REASON: usize = 200;

/// When a report is read, and what is known then besides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading<'a> {
    /// The time, in Unix seconds.
    pub now: u64,
    /// The station's time zone.
    pub zone: &'a TimeZone,
    /// Why the last success is not recent enough; nothing if it is.
    pub stale: Option<&'a str>,
    /// Where the page is, if there is one.
    pub page: Option<&'a str>,
}

/// The whole text.
pub(crate) fn render(document: &Document, reading: Reading<'_>) -> String {
    let mut text = String::new();
    let ended = moment(document.finished_at, reading.zone);
    // Writing to a text cannot fail.
    let _ = writeln!(text, "Constellation backfill of {}\n", document.station);
    let _ = writeln!(text, "The last run ended {ended}:\n");
    for line in summary::lines(document) {
        let _ = writeln!(text, "  {line}");
    }
    let _ = writeln!(text, "\nThe last {WEEK} days:\n");
    for Row { title, text: row } in week(document, reading.now) {
        let _ = writeln!(text, "  {title:<10} {row}");
    }
    let _ = writeln!(text, "\nWhat is wrong, and what to do:\n");
    let wrong = what_is_wrong(document, reading.stale);
    if wrong.is_empty() {
        let _ = writeln!(text, "  Nothing.");
    }
    for line in wrong {
        let _ = writeln!(text, "  - {line}");
    }
    if let Some(page) = reading.page {
        let _ = writeln!(text, "\nThe page: {page}");
    }
    text
}

/// `Sat 28 Nov 2026, 17:53`.
fn moment(seconds: u64, zone: &TimeZone) -> String {
    let time = local(seconds, zone).map(|time| time.strftime("%a %-d %b %Y, %H:%M").to_string());
    time.unwrap_or_else(|| "at an unknown time".to_owned())
}

struct Row {
    title: &'static str,
    text: String,
}

/// What the runs of the last week brought.
fn week(document: &Document, now: u64) -> Vec<Row> {
    let row = |title, text| Row { title, text };
    let oldest = now.saturating_sub(WEEK * DAY);
    let days: Vec<&Day> = document
        .last_days
        .iter()
        .filter(|day| day.ended_at >= oldest)
        .collect();
    let sum = |of: fn(&Day) -> u64| days.iter().map(|day| of(day)).sum::<u64>();
    let runs = sum(|day| day.runs.into());
    let succeeded = sum(|day| day.succeeded.into());
    let interrupted = sum(|day| day.interrupted.into());
    let failed = runs.saturating_sub(succeeded + interrupted);
    let mut rows = vec![
        row(
            "runs",
            format!(
                "{}: {} succeeded, {} failed, {} interrupted",
                count(runs),
                count(succeeded),
                count(failed),
                count(interrupted)
            ),
        ),
        row("events", format!("{} new", count(sum(|day| day.added)))),
        row("received", bytes(sum(|day| day.bytes))),
        row("peers", peers(document)),
    ];
    if let Some(database) = growth::in_words(document, WEEK) {
        rows.push(row("database", database));
    }
    rows
}

/// How the peers did that are remembered.
fn peers(document: &Document) -> String {
    let known = &document.peer_runs;
    let scores = known.iter().map(PeerRuns::score);
    let always = scores.filter(|score| score.synced == score.asked).count();
    let complete = known.iter().filter(|peer| peer.complete_until.is_some());
    format!(
        "{} in the last {}: {} always gave everything; the whole history of {} is here",
        number_of(known.len() as u64, "peer"),
        number_of(document.runs.len() as u64, "run"),
        count(always as u64),
        count(complete.count() as u64)
    )
}

/// What is wrong, each with what to do.
fn what_is_wrong(document: &Document, stale: Option<&str>) -> Vec<String> {
    let doctor = summary::DOCTOR.command;
    let mut wrong = Vec::new();
    if let Some(stale) = stale {
        wrong.push(format!("{stale}: {doctor}"));
    }
    if document.failures_in_a_row > 0 {
        let run = document.runs.first();
        let why = run
            .and_then(|run| run.failure.as_deref())
            .unwrap_or_default();
        wrong.push(format!(
            "{} in a row failed, the last one: {}: {doctor}",
            number_of(document.failures_in_a_row.into(), "run"),
            for_terminal(why, MOST_OF_A_REASON)
        ));
    }
    let never = |peer: &&PeerRuns| {
        let score = peer.score();
        score.synced == 0 && score.asked >= LEAST_ASKED
    };
    let hopeless: Vec<&PeerRuns> = document.peer_runs.iter().filter(never).collect();
    for peer in hopeless.iter().take(MOST_PEERS) {
        wrong.push(format!(
            "{} gave everything in none of the {} in which it was asked{}",
            peer.shown(),
            number_of(peer.score().asked as u64, "run"),
            last_failure(document, peer)
        ));
    }
    if let Some(more @ 1..) = hopeless.len().checked_sub(MOST_PEERS) {
        let more = number_of(more as u64, "more peer");
        wrong.push(format!("the same of {more}"));
    }
    if !hopeless.is_empty() {
        wrong.push(format!("whether it is the peers or this station: {doctor}"));
    }
    for call in [&document.last_call, &document.pinged]
        .into_iter()
        .flatten()
    {
        if let Some(failure) = &call.failure {
            let failure = for_terminal(failure, MOST_OF_A_REASON);
            wrong.push(format!(
                "the command for a {} did not do its work, {failure}: constellation-sync notify --test",
                call.event
            ));
        }
    }
    wrong
}

/// Why a peer did not give everything in the last run, if it was asked.
fn last_failure(document: &Document, peer: &PeerRuns) -> String {
    let mut peers = document.peers.iter();
    let failure = peers
        .find(|asked| asked.url == peer.url)
        .and_then(|asked| asked.failure.as_deref());
    failure.map_or_else(String::new, |why| {
        format!("; the last time: {}", for_terminal(why, MOST_OF_A_REASON))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::document::tests::document;
    use crate::report::history::RunHistory;
    use crate::report::notify::Call;

    fn rendered(document: &Document, stale: Option<&str>) -> String {
        let reading = Reading {
            now: document.finished_at,
            zone: &TimeZone::UTC,
            stale,
            page: Some("/x/report.html"),
        };
        render(document, reading).replace('\u{202f}', " ")
    }

    /// The document of the last of so many hourly runs.
    fn after_runs(runs: u64) -> Document {
        let mut history = RunHistory::default();
        let mut last = document();
        for run in 0..runs {
            last = document();
            last.finished_at += run * 3600;
            last.database_bytes = Some(1_000_000_000 + run * 1_000_000);
            history.take(&mut last);
        }
        last
    }

    #[test]
    fn a_week_is_told_in_plain_text() {
        let text = rendered(&after_runs(24 * 8), None);
        for part in [
            "Constellation backfill of sat\n",
            "The last run ended Mon 30 Nov 2026, 08:52:\n",
            "\n  ! 1 of 2 peers is synced",
            "\n  runs       177: 177 succeeded, 0 failed, 0 interrupted\n",
            "\n  events     5 310 new\n",
            "\n  peers      2 peers in the last 30 runs: 1 always gave everything; the whole history of 0 is here\n",
            "\n  database   1.1 GB, 153 MB more than 6 days ago, 24.0 MB a day\n",
            "\n  - ws://b gave everything in none of the 30 runs in which it was asked; the last time: it is dead\n",
            "\n  - whether it is the peers or this station: constellation-sync doctor\n",
            "\nThe page: /x/report.html\n",
        ] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
    }

    #[test]
    fn what_is_wrong_comes_with_what_to_do() {
        let mut document = after_runs(1);
        assert!(
            rendered(&document, None).contains("What is wrong, and what to do:\n\n  Nothing.\n")
        );
        document.failures_in_a_row = 4;
        document.pinged = Some(Call {
            event: "success".to_owned(),
            at: 1,
            failure: Some("it ended with exit status: 7".to_owned()),
        });
        let text = rendered(
            &document,
            Some("the last success was 9 h ago, more than 3 h"),
        );
        for part in [
            "- the last success was 9 h ago, more than 3 h: constellation-sync doctor\n",
            "- 4 runs in a row failed, the last one: ws://b: it is dead: constellation-sync doctor\n",
            "- the command for a success did not do its work, it ended with exit status: 7: constellation-sync notify --test\n",
        ] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
    }
}
