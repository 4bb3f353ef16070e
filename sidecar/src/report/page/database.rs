//! The size and growth of strfry's database on the report's page.

use jiff::tz::TimeZone;
use maud::{Markup, html};

use crate::report::document::Document;
use crate::report::growth;
use crate::report::page::plots::{percent, share};
use crate::report::run_summary::Day;
use crate::support::clock::local;
use crate::support::humanize::bytes;

/// How many days are shown at most, as many as are remembered.
const MOST_DAYS: usize = 92;

/// The height of the plot, in pixels.
const HEIGHT: u64 = 60;

/// The size of the database, by how much it grew, and a bar for the size at the end of each day.
pub(crate) fn section(document: &Document, zone: &TimeZone) -> Markup {
    let Some(words) = growth::in_words(document, MOST_DAYS as u64) else {
        return html! {};
    };
    let days: Vec<&Day> = document.last_days.iter().take(MOST_DAYS).collect();
    let size = |day: &Day| day.database_bytes.unwrap_or(0);
    let most = days.iter().map(|day| size(day)).max().unwrap_or(0);
    let width = 10_000 / days.len().max(14) as u64;
    html! {
        section {
            h2 { "Database" }
            p { "strfry's database takes " b { (words) } "." }
            @if days.len() > 1 {
                svg class="days" role="img" width="100%" height=(HEIGHT)
                    aria-label="The size of the database at the end of each of the last days" {
                    @for (index, day) in (0..).zip(days.iter().rev()) {
                        @let tall = share(size(day), most) * HEIGHT / 10_000;
                        rect class="bar" x=(percent(index * width)) y=(HEIGHT - tall)
                            width=(percent(width * 3 / 4)) height=(tall) {
                            title { (tooltip(day, zone)) }
                        }
                    }
                }
                p class="caption" {
                    "At the end of each day with a run, the newest on the right. The file does not shrink when events are deleted: their room is used again."
                }
            }
        }
    }
}

/// What a bar shows when the pointer rests on it.
fn tooltip(day: &Day, zone: &TimeZone) -> String {
    let time = local(day.ended_at, zone).map(|time| time.strftime("%a %-d %b %H:%M").to_string());
    let time = time.unwrap_or_default();
    match day.database_bytes {
        None => format!("{time}: unknown"),
        Some(size) => format!("{time}: {}", bytes(size)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::document::tests::document;
    use crate::report::history::RunHistory;

    #[test]
    fn the_size_is_shown_with_its_growth_and_nothing_if_it_is_unknown() {
        let mut history = RunHistory::default();
        let mut last = document();
        for day in 0..5 {
            last = document();
            last.finished_at += day * 86_400;
            last.database_bytes = Some(1_000_000_000 + day * 20_000_000);
            history.take(&mut last);
        }
        let page = section(&last, &TimeZone::UTC)
            .into_string()
            .replace('\u{202f}', " ");
        let words = "<b>1.0 GB, 80.0 MB more than 4 days ago, 20.0 MB a day</b>";
        assert!(page.contains(words), "{page}");
        assert_eq!(page.matches("<rect").count(), 5);
        assert_eq!(section(&document(), &TimeZone::UTC).into_string(), "");
    }
}
