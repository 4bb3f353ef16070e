//! The two plots of the report's page: events by hour and by kind. Widths are in per cent of the
//! page and heights in pixels, so that the plots fit every screen and nothing in them is distorted.

use constellation_shared::kinds;
use jiff::tz::TimeZone;
use maud::{Markup, html};

use crate::report::document::Document;
use crate::report::run_summary::Hour;
use crate::support::clock::local;
use crate::support::humanize::{count, number_of};

const HOUR: u64 = 3600;

/// How many hours are shown.
const HOURS: u64 = 24;

/// The height of the tallest bar, and of what lies above and below, in pixels.
const TALLEST: u64 = 110;
const ABOVE: u64 = 16;
const BELOW: u64 = 26;

/// A part of a whole in hundredths of a per cent; a little of something is never nothing.
pub(super) fn share(part: u64, whole: u64) -> u64 {
    let share = u128::from(part) * 10_000 / u128::from(whole.max(1));
    match u64::try_from(share).unwrap_or(u64::MAX).min(10_000) {
        0 if part > 0 => 50,
        share => share,
    }
}

pub(super) fn percent(hundredths: u64) -> String {
    format!("{}.{:02}%", hundredths / 100, hundredths % 100)
}

/// What the runs that ended in each of the last hours brought.
pub(crate) fn by_hour(document: &Document, zone: &TimeZone) -> Markup {
    let newest = document.finished_at - document.finished_at % HOUR;
    let began = |back: u64| newest.saturating_sub(back * HOUR);
    let find = |began_at| document.hours.iter().find(|hour| hour.began_at == began_at);
    let hours: Vec<(u64, Option<&Hour>)> = (0..HOURS)
        .rev()
        .map(|back| (began(back), find(began(back))))
        .collect();
    let events = |hour: &Option<&Hour>| hour.map_or(0, Hour::events);
    let most = hours
        .iter()
        .map(|(_, hour)| events(hour))
        .max()
        .unwrap_or(0);
    let width = 10_000 / HOURS;
    let height = ABOVE + TALLEST + BELOW;
    let base = ABOVE + TALLEST;
    html! {
        section {
            h2 { "Events by hour" }
            svg class="hours" role="img" width="100%" height=(height)
                aria-label="Events let in during each of the last 24 hours" {
                text x="0" y="10" class="small" { "most: " (count(most)) }
                @for (index, (began_at, hour)) in (0..).zip(&hours) {
                    @let x = index * width;
                    @let tall = share(events(hour), most) * TALLEST / 10_000;
                    g {
                        title { (tooltip(*began_at, *hour, zone)) }
                        rect class="hit" x=(percent(x)) y="0" width=(percent(width)) height=(height) {}
                        rect class="bar" x=(percent(x + width / 8)) y=(base - tall)
                            width=(percent(width * 3 / 4)) height=(tall) {}
                        @match hour {
                            None => {}
                            Some(hour) if hour.succeeded == 0 => {
                                rect class="alert" x=(percent(x + width / 8)) y=(base + 2)
                                    width=(percent(width * 3 / 4)) height="3" {}
                            }
                            Some(_) => {
                                rect class="ran" x=(percent(x + width / 8)) y=(base + 2)
                                    width=(percent(width * 3 / 4)) height="3" {}
                            }
                        }
                    }
                    @if let Some(label) = label(*began_at, zone) {
                        text x=(percent(x + width / 2)) y=(height - 5) text-anchor="middle" class="small" { (label) }
                    }
                }
                line class="axis" x1="0" x2="100%" y1=(base) y2=(base) {}
            }
            p class="caption" {
                "Events let in by the runs that ended in each of the last " (HOURS)
                " hours, by this station's clock. Below the line: a run succeeded, "
                span class="alert" { "runs failed" } ", or there was none."
            }
        }
    }
}

/// What an hour of the plot shows when the pointer rests on it.
fn tooltip(began_at: u64, hour: Option<&Hour>, zone: &TimeZone) -> String {
    let time = local(began_at, zone).map(|time| time.strftime("%a %H:%M").to_string());
    let time = time.unwrap_or_default();
    match hour {
        None => format!("{time}: no run"),
        Some(hour) => format!(
            "{time}: {}, {}, {} succeeded",
            number_of(hour.events(), "event"),
            number_of(u64::from(hour.runs), "run"),
            hour.succeeded
        ),
    }
}

/// `06`, at every sixth hour.
fn label(began_at: u64, zone: &TimeZone) -> Option<String> {
    let time = local(began_at, zone)?;
    (time.hour() % 6 == 0).then(|| format!("{:02} h", time.hour()))
}

/// How many events of one kind were let in.
struct KindRow {
    kind: u16,
    /// By the last run.
    by_run: u64,
    /// By all runs of the last 24 hours.
    by_day: u64,
}

/// The rows of the kinds, the most frequent ones first.
fn kind_rows(document: &Document) -> Vec<KindRow> {
    let oldest =
        (document.finished_at - document.finished_at % HOUR).saturating_sub((HOURS - 1) * HOUR);
    let recent = document.hours.iter();
    let recent: Vec<&Hour> = recent.filter(|hour| hour.began_at >= oldest).collect();
    let in_hours = |kind: u16| -> u64 {
        let counts = recent
            .iter()
            .filter_map(|hour| hour.events_by_kind.get(&kind));
        counts.sum()
    };
    let mut found: Vec<u16> = recent
        .iter()
        .flat_map(|hour| hour.events_by_kind.keys())
        .chain(document.events_by_kind.keys())
        .copied()
        .collect();
    found.sort_unstable();
    found.dedup();
    let rows = found.into_iter().map(|kind| {
        let by_run = document.events_by_kind.get(&kind).copied().unwrap_or(0);
        KindRow {
            kind,
            by_run,
            by_day: in_hours(kind).max(by_run),
        }
    });
    let mut rows: Vec<KindRow> = rows.filter(|row| row.by_day > 0).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.by_day));
    rows
}

/// The kinds of the last run's events, with those of the last 24 hours behind them.
pub(crate) fn by_kind(document: &Document) -> Markup {
    let rows = kind_rows(document);
    let most = rows.first().map_or(0, |row| row.by_day);
    html! {
        section {
            h2 { "Events by kind" }
            @if rows.is_empty() {
                p class="none" { "No event was let in during the last " (HOURS) " hours." }
            } @else {
                table class="kinds" {
                    thead { tr {
                        th { "Kind" } th {} th class="n" { "Run" } th class="n" { "24 h" }
                    } }
                    tbody {
                        @for KindRow { kind, by_run, by_day } in rows {
                            tr {
                                td { (name(kind)) " " span class="dim" { (kind) } }
                                td class="plot" {
                                    svg width="100%" height="10" aria-hidden="true" {
                                        rect class="back" width=(percent(share(by_day, most))) height="10" {}
                                        rect class="bar" width=(percent(share(by_run, most))) height="10" {}
                                    }
                                }
                                td class="n" { (count(by_run)) }
                                td class="n" { (count(by_day)) }
                            }
                        }
                    }
                }
                p class="caption" {
                    "Events let in: strong by this run, faint by all runs of the last " (HOURS) " hours."
                }
            }
        }
    }
}

/// A kind in words, without the number of its NIP.
fn name(number: u16) -> &'static str {
    kinds::find(number).map_or("kind", |kind| {
        kind.name
            .split_once(" (")
            .map_or(kind.name, |(name, _)| name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_fits_and_a_little_is_seen() {
        for (part, whole, hundredths) in [
            (0, 0, 0),
            (0, 9, 0),
            (1, 1_000_000, 50),
            (1, 3, 3333),
            (9, 9, 10_000),
            (u64::MAX, 1, 10_000),
        ] {
            assert_eq!(share(part, whole), hundredths);
        }
        assert_eq!(percent(3305), "33.05%");
    }
}
