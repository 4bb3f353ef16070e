//! `constellation-sync report`: prints the summary of the last run and where the page is, or a
//! report in plain text about the last run and the last week.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::Args;
use jiff::tz::TimeZone;

use crate::commands::error::SyncError;
use crate::commands::status::freshness;
use crate::report::document::Document;
use crate::report::last::load;
use crate::report::summary;
use crate::report::weekly::{Reading, render};
use crate::support::humanize::duration;
use crate::support::state_file::{REPORT, REPORT_PAGE};

/// Print the summary of the last run, and where its page is
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
#[command(after_help = "\
Examples:
  constellation-sync report          the summary of the last run, and where the page is
  constellation-sync report --text | mail -s 'our station' me@example.org

Exit code: 0 if there is a report, else 1.")]
pub struct ReportCommand {
    /// Print a report in plain text about the last run and the last seven days, fit for a mail
    #[arg(long)]
    pub text: bool,
}

/// Prints it; returns the exit code.
///
/// # Errors
/// If writing fails.
pub(crate) fn run(
    command: ReportCommand,
    json: bool,
    folder: &Path,
    now: u64,
    output: &mut impl Write,
) -> Result<u8, SyncError> {
    let path = folder.join(REPORT.name);
    let document = match load(&path) {
        Ok(Some(document)) => document,
        Ok(None) => {
            writeln!(
                output,
                "There is no report yet: constellation-sync trigger --now makes one"
            )?;
            return Ok(1);
        }
        Err(error) => {
            writeln!(
                output,
                "{} cannot be read: {error}; the next run writes it anew: constellation-sync trigger --now",
                path.display()
            )?;
            return Ok(1);
        }
    };
    let page = folder.join(REPORT_PAGE.name);
    let page = fs::exists(&page)
        .unwrap_or(false)
        .then(|| page.display().to_string());
    if json {
        document.write(output)?;
    } else if command.text {
        let freshness = freshness(Some(&document), None, now);
        let reading = Reading {
            now,
            zone: &TimeZone::system(),
            stale: freshness.reason.as_deref(),
            page: page.as_deref(),
        };
        output.write_all(render(&document, reading).as_bytes())?;
    } else {
        write_summary(&document, page.as_deref(), now, output)?;
    }
    Ok(0)
}

fn write_summary(
    document: &Document,
    page: Option<&str>,
    now: u64,
    output: &mut impl Write,
) -> io::Result<()> {
    for line in summary::lines(document) {
        writeln!(output, "{line}")?;
    }
    let ago = duration(now.saturating_sub(document.finished_at));
    writeln!(output, "  {:<9} {ago} ago, {}", "ended", document.finished)?;
    if let Some(page) = page {
        writeln!(output, "  {:<9} {page}", "page")?;
    }
    Ok(())
}
