//! `constellation-sync status`: shows the last report, and whether the last success is recent
//! enough.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::Args;
use serde::Serialize;

use crate::commands::doctor::wants_colours;
use crate::commands::error::SyncError;
use crate::report::completeness;
use crate::report::document::{Document, Peer, SCHEMA};
use crate::report::growth;
use crate::report::last::load;
use crate::report::live_state::LiveState;
use crate::support::humanize::{bytes, count, duration, measured, number_of};
use crate::support::lock::Lock;
use crate::support::sanitize::escaped_json;
use crate::support::state_file::{LIVE, LOCK};

/// The days over which the growth of the database is measured.
const GROWTH_DAYS: u64 = 92;

/// How far ahead of now a success may be, in seconds: clocks are set back by that.
const AHEAD: u64 = 900;

/// Show the last report; exit code 1 if the last success is too old
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
#[command(after_help = "\
Examples:
  constellation-sync status                    the last report
  constellation-sync status --json             the last report as JSON
  constellation-sync status --max-age 26 >/dev/null || echo 'look after the station'

Exit code: 0 if the last success is recent enough, 1 if it is too old or there was none.")]
pub struct StatusCommand {
    /// Fail if the last success is more than this many hours old [default: 2 more than the trigger's interval]
    #[arg(
        long,
        value_name = "HOURS",
        value_parser = clap::value_parser!(u64).range(1..=87_600),
        env = "CONSTELLATION_MAX_AGE"
    )]
    pub max_age: Option<u64>,
}

/// Whether the last success is recent enough; times in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Freshness {
    /// Whether the last success is recent enough.
    pub fresh: bool,
    /// How long ago the last success was, if there was one.
    pub age_seconds: Option<u64>,
    /// How old the last success may be.
    pub max_age_seconds: u64,
    /// Why it is not recent enough.
    pub reason: Option<String>,
}

#[derive(Serialize)]
struct Status<'a> {
    schema: u32,
    #[serde(flatten)]
    freshness: &'a Freshness,
    report: Option<&'a Document>,
}

/// Judges a report at `now`, Unix seconds. `max_age` is in seconds.
pub(crate) fn freshness(document: Option<&Document>, max_age: Option<u64>, now: u64) -> Freshness {
    let kept = document.map_or(3 * 3600, |document| document.max_age_seconds);
    let max_age_seconds = max_age.unwrap_or(kept);
    let last = document.and_then(|document| document.last_success_at);
    let age = last.and_then(|last| match now.checked_sub(last) {
        None if last - now > AHEAD => None,
        age => Some(age.unwrap_or(0)),
    });
    let reason = match (last, age) {
        (None, _) => Some("no run has succeeded yet".to_owned()),
        (_, None) => Some("the last success lies ahead: the clock was set back".to_owned()),
        (_, Some(age)) if age > max_age_seconds => Some(format!(
            "the last success was {} ago, more than {}",
            duration(age),
            duration(max_age_seconds)
        )),
        (_, Some(_)) => None,
    };
    Freshness {
        fresh: reason.is_none(),
        age_seconds: age,
        max_age_seconds,
        reason,
    }
}

/// Writes the last report and returns the exit code.
///
/// # Errors
/// If writing fails.
pub(crate) fn run(
    command: StatusCommand,
    json: bool,
    folder: &Path,
    now: u64,
    output: &mut impl Write,
) -> Result<u8, SyncError> {
    let path = folder.join(crate::support::state_file::REPORT.name);
    let (document, fault) = match load(&path) {
        Ok(document) => (document, None),
        Err(error) => (
            None,
            Some(format!("{} cannot be read: {error}", path.display())),
        ),
    };
    let max_age = command.max_age.map(|hours| hours * 3600);
    let mut freshness = freshness(document.as_ref(), max_age, now);
    if fault.is_some() {
        freshness.reason = fault;
    }
    if json {
        let status = Status {
            schema: SCHEMA,
            freshness: &freshness,
            report: document.as_ref(),
        };
        let json = serde_json::to_string(&status).map_err(io::Error::other)?;
        writeln!(output, "{}", escaped_json(&json))?;
    } else {
        let paint = Paint(wants_colours());
        match &document {
            None => {
                let reason = freshness.reason.as_deref().unwrap_or_default();
                writeln!(output, "{} {reason}", paint.bad("✘"))?;
            }
            Some(document) => write_document(output, document, &freshness, now, paint)?,
        }
        if Lock::live(&folder.join(LOCK.name)).is_some()
            && let Some(live) = LiveState::load(&folder.join(LIVE.name))
        {
            row(output, "live", &live.summary(now))?;
        }
        let page = folder.join(crate::support::state_file::REPORT_PAGE.name);
        if fs::exists(&page).unwrap_or(false) {
            writeln!(output, "  {:<13} {}", "page", page.display())?;
        }
    }
    Ok(u8::from(!freshness.fresh))
}

/// Colours the output, if colours are wanted.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    fn bad(self, text: &str) -> String {
        self.with("1;31", text)
    }

    fn warn(self, text: &str) -> String {
        self.with("33", text)
    }
}

fn write_document(
    output: &mut impl Write,
    document: &Document,
    freshness: &Freshness,
    now: u64,
    paint: Paint,
) -> io::Result<()> {
    let mark = if !document.success {
        paint.bad("✘")
    } else if document.exit_code == 0 {
        paint.good("✔")
    } else {
        paint.warn("!")
    };
    writeln!(
        output,
        "{mark} {}: {}",
        document.station,
        document.headline()
    )?;
    if let Some(failure) = &document.failure {
        row(output, "why", failure)?;
    }
    write_times(output, document, freshness, now, paint)?;
    row(output, "events", &events(document))?;
    if let Some(profiles) = &document.profiles {
        let profiles = format!("{} with one, {} without", profiles.found, profiles.missing);
        row(output, "profiles", &profiles)?;
    }
    if let Some(call) = &document.last_call {
        let result = call.failure.as_ref().map_or_else(String::new, |failure| {
            paint.warn(&format!("; the command failed: {failure}"))
        });
        let ago = ago(call.at, now);
        row(
            output,
            "told",
            &format!("a {}, {ago} ago{result}", call.event),
        )?;
    }
    let ping = document.pinged.as_ref();
    if let Some(failure) = ping.and_then(|call| call.failure.as_ref()) {
        row(
            output,
            "",
            &paint.warn(&format!("--on-success failed: {failure}")),
        )?;
    }
    let mut peers: Vec<&Peer> = document.peers.iter().collect();
    peers.sort_by_key(|peer| (peer.complete, peer.reached));
    for peer in peers {
        write_peer(output, peer, paint)?;
    }
    Ok(())
}

/// How long ago a time in Unix seconds is at `now`.
fn ago(time: u64, now: u64) -> String {
    duration(now.saturating_sub(time))
}

/// Writes when the last run and the last success were, and how many runs have failed since.
fn write_times(
    output: &mut impl Write,
    document: &Document,
    freshness: &Freshness,
    now: u64,
    paint: Paint,
) -> io::Result<()> {
    let last = format!(
        "{} ago, {}, in {}, exit code {}",
        ago(document.finished_at, now),
        document.finished,
        measured(document.seconds),
        document.exit_code
    );
    row(output, "last run", &last)?;
    let success = match &freshness.reason {
        Some(reason) => paint.bad(reason),
        None => format!(
            "{} ago, at most {} is sound",
            duration(freshness.age_seconds.unwrap_or(0)),
            duration(freshness.max_age_seconds)
        ),
    };
    row(output, "last success", &success)?;
    if let Some(history) = completeness::of_all(document, now) {
        row(output, "history", &history)?;
    }
    if let Some(database) = growth::in_words(document, GROWTH_DAYS) {
        row(output, "database", &database)?;
    }
    if document.failures_in_a_row > 0 {
        let failures = format!("{} in a row", document.failures_in_a_row);
        row(output, "failed so far", &paint.bad(&failures))?;
    }
    Ok(())
}

/// How many events were let in, how many were new, and how many were left out, by reason.
fn events(document: &Document) -> String {
    let mut events = format!(
        "{} let in, {} of them new",
        count(document.events),
        count(document.import.added)
    );
    let refused: Vec<String> = document
        .refused
        .iter()
        .map(|(reason, number)| format!("{reason} {}", count(*number)))
        .collect();
    if !refused.is_empty() {
        events.push_str(&format!("; left out: {}", refused.join(", ")));
    }
    events
}

fn row(output: &mut impl Write, title: &str, text: &str) -> io::Result<()> {
    writeln!(output, "  {title:<13} {text}")
}

fn write_peer(output: &mut impl Write, peer: &Peer, paint: Paint) -> io::Result<()> {
    let events = number_of(peer.collected, "event");
    let (size, took) = (bytes(peer.bytes), measured(peer.seconds));
    let (mark, title) = if peer.complete {
        (paint.good("✔"), "synced")
    } else if peer.reached {
        (paint.warn("!"), "in part")
    } else {
        (paint.bad("✘"), "not reached")
    };
    let mut line = format!(
        "{mark} {title:<11} {}  {events}, {size}, {took}",
        peer.shown()
    );
    if let Some(failure) = &peer.failure {
        line.push_str(&format!("\n                {failure}"));
        if let Some(code) = &peer.code {
            line.push_str(&format!(" [{code}]"));
        }
    }
    writeln!(output, "  {line}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::document::tests::document;

    const HOUR: u64 = 3600;

    fn succeeded_at(time: Option<u64>) -> Document {
        Document {
            last_success_at: time,
            ..document()
        }
    }

    #[test]
    fn a_success_is_fresh_for_so_long() {
        let now = 1000 * HOUR;
        for (last, max_age, fresh) in [
            (Some(now), None, true),
            (Some(now - 3 * HOUR), None, true),
            (Some(now - 3 * HOUR - 1), None, false),
            (Some(now - 3 * HOUR - 1), Some(4 * HOUR), true),
            (Some(now - 2 * HOUR), Some(HOUR), false),
            (Some(now + AHEAD), None, true),
            (Some(now + AHEAD + 1), None, false),
            (None, None, false),
        ] {
            let judged = freshness(Some(&succeeded_at(last)), max_age, now);
            assert_eq!(judged.fresh, fresh, "{last:?} {judged:?}");
            assert_eq!(judged.reason.is_none(), fresh);
        }
        assert!(!freshness(None, None, now).fresh);
    }

    #[test]
    fn it_is_shown_plainly_and_with_colours_only_where_they_are_wanted() {
        let document = succeeded_at(Some(1_795_341_173));
        let shown = |is_colourful| {
            let now = 1_795_341_173 + 720;
            let judged = freshness(Some(&document), None, now);
            let mut output = Vec::new();
            let paint = Paint(is_colourful);
            write_document(&mut output, &document, &judged, now, paint).unwrap();
            String::from_utf8(output).unwrap().replace('\u{202f}', " ")
        };
        assert_eq!(
            shown(false),
            "! sat: 1 of 2 peers is synced\n\
             \x20 last run      12 min ago, 2026-11-22T10:32:53+01:00, in 3.2 s, exit code 1\n\
             \x20 last success  12 min ago, at most 3 h is sound\n\
             \x20 events        36 let in, 30 of them new; left out: deleted 1, forged 4, unasked 2\n\
             \x20 profiles      1 with one, 126 without\n\
             \x20 ✘ not reached ws://b  7 events, 1.0 kB, 0.5 s\n\
             \x20               it is dead [silent]\n\
             \x20 ✔ synced      ws://a  7 events, 1.0 kB, 0.5 s\n"
        );
        assert!(shown(true).starts_with("\u{1b}[33m!\u{1b}[0m sat"));
    }
}
