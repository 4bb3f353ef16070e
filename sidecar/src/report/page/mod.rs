//! The report as a page (`constellation-report.html`): one file without scripts that loads nothing
//! from elsewhere, for light and dark screens.
//!
//! `maud` escapes every text in it. In case anything ever slips through, the Content-Security-Policy
//! allows nothing but our own style sheet (by its hash).

mod database;
mod peers;
mod plots;
mod tables;

use constellation_shared::counted;
use jiff::tz::TimeZone;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::report::document::Document;
use crate::support::clock::local;
use crate::support::humanize::{bytes, count, duration, measured, number_of};

/// The style sheet, and what it is allowed by.
const STYLE: &str = include_str!("style.css");
const STYLE_HASH: &str = "sha256-DW7+GShL5tGrxF2QguaGyf21P28eBM6n+9+TZ0tmKeo=";

/// How often a page that is kept open is read again, in seconds.
const REFRESH: u32 = 300;

/// The page of this document.
pub(crate) fn render(document: &Document) -> String {
    render_at(document, &TimeZone::system())
}

fn render_at(document: &Document, zone: &TimeZone) -> String {
    let policy = format!(
        "default-src 'none'; style-src '{STYLE_HASH}'; base-uri 'none'; form-action 'none'"
    );
    let title = format!("{}: {}", document.station, document.headline());
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta http-equiv="refresh" content=(REFRESH);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                meta name="robots" content="noindex";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (head(document, zone))
                main {
                    (figures(document))
                    @if let Some(live) = &document.live {
                        p {
                            "It is kept level all the time (" code { "constellation-sync live" } "): "
                            (live.connected) " of " (counted(live.peers, "peer")) " connected, "
                            (counted(live.events, "event")) " since it began."
                        }
                    }
                    (peers::table(document, zone))
                    div class="pair" {
                        (plots::by_hour(document, zone))
                        (plots::by_kind(document))
                    }
                    div class="pair" {
                        (tables::refusals(document))
                        (tables::profiles(document))
                    }
                    (database::section(document, zone))
                    (tables::runs(document, zone))
                }
                footer {
                    p {
                        "constellation-sync " (document.version)
                        ". The same for programs: " code { (crate::support::state_file::REPORT.name) }
                        ", or " code { "constellation-sync status --json" } "."
                    }
                }
            }
        }
    };
    page.into_string()
}

fn head(document: &Document, zone: &TimeZone) -> Markup {
    let (mark, class) = match document.exit_code {
        _ if !document.success => ("✘", "bad"),
        0 => ("✔", "good"),
        _ => ("!", "partly"),
    };
    let last = document.last_success_at;
    let stale_at = last.map(|last| last.saturating_add(document.max_age_seconds));
    html! {
        header class=(class) {
            p class="station" { "Constellation backfill of " b { bdi { (document.station) } } }
            h1 { span class="mark" { (mark) } " " (document.headline()) }
            @if let Some(failure) = &document.failure {
                p class="why" { bdi { (failure) } }
            }
            p {
                "This run ended " (moment(document.finished_at, zone)) " and took "
                (measured(document.seconds)) "."
            }
            @match (last, stale_at) {
                (Some(last), Some(stale_at)) => {
                    p {
                        @if document.success { "It counts as a success. " }
                        @else { "The last success was " (moment(last, zone)) ". " }
                        "If it is later than " b { (moment(stale_at, zone)) }
                        " now and this page has not changed, something has stopped: a success may be at most "
                        (duration(document.max_age_seconds)) " old."
                    }
                }
                _ => p class="alert" { "No run has succeeded yet." }
            }
            @if document.failures_in_a_row > 1 {
                p class="alert" { (document.failures_in_a_row) " runs in a row have failed." }
            }
            @if let Some(call) = &document.last_call {
                p {
                    "Told last: a " (call.event) ", " (moment(call.at, zone))
                    @match &call.failure {
                        None => ".",
                        Some(failure) => {
                            "; " span class="alert" { "the command failed: " bdi { (failure) } }
                        }
                    }
                }
            }
            @if let Some(failure) = document.pinged.as_ref().and_then(|call| call.failure.as_ref()) {
                p class="alert" { "--on-success failed: " bdi { (failure) } }
            }
        }
    }
}

/// A time as the station's clock has it, and as everybody's.
fn moment(seconds: u64, zone: &TimeZone) -> Markup {
    let Some(local) = local(seconds, zone) else {
        return html! { "at an unknown time" };
    };
    let utc = local.timestamp();
    let shown = local.strftime("%a %-d %b %Y, %H:%M").to_string();
    let is_utc = local.offset().seconds() == 0;
    html! {
        time datetime=(utc) {
            (shown)
            @if is_utc { " UTC" }
            @else { " (" (local.with_time_zone(TimeZone::UTC).strftime("%H:%M").to_string()) " UTC)" }
        }
    }
}

fn figures(document: &Document) -> Markup {
    let received: u64 = document.peers.iter().map(|peer| peer.bytes).sum();
    let left_out: u64 = document.refused.values().sum();
    let peers = format!("{} of {}", document.synced(), document.peers.len());
    let back = match document.days {
        0 => "everything".to_owned(),
        days => number_of(days, "day"),
    };
    let mut figures = vec![
        ("Peers synced", peers),
        ("Events let in", count(document.events)),
        ("New in strfry", count(document.import.added)),
        ("Left out", count(left_out)),
        ("Received", bytes(received)),
        ("Went back", back),
        ("Pubkeys followed", count(document.followed as u64)),
    ];
    let undelivered: u64 = document.undelivered.values().sum();
    if undelivered > 0 {
        figures.push(("Listed, not delivered", count(undelivered)));
    }
    html! {
        dl class="figures" {
            @for (title, figure) in figures {
                div { dt { (title) } dd { (figure) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::document::tests::document;
    use crate::report::history::RunHistory;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use sha2::{Digest, Sha256};

    fn page(document: &Document) -> String {
        render_at(document, &TimeZone::UTC)
    }

    #[test]
    fn the_style_sheet_is_the_one_that_is_allowed() {
        let hash = format!("sha256-{}", STANDARD.encode(Sha256::digest(STYLE)));
        assert_eq!(hash, STYLE_HASH);
    }

    #[test]
    fn nothing_comes_from_elsewhere_and_nothing_runs() {
        let page = page(&document());
        for foreign in [
            "<script",
            "<img",
            "<link",
            "<iframe",
            "src=",
            "href=",
            "url(",
            " style=\"",
        ] {
            assert!(
                !page.contains(foreign),
                "{foreign}
{page}"
            );
        }
    }

    #[test]
    fn what_others_wrote_stays_text() {
        let hostile =
            "\"'><script>document.title='owned'</script><img src=x onerror=alert(1)>&amp;";
        let mut document = document();
        document.station = hostile.to_owned();
        document.failure = Some(hostile.to_owned());
        document.peers[0].url = hostile.to_owned();
        document.peers[1].failure = Some(hostile.to_owned());
        document.refused.insert(hostile.to_owned(), 1);
        document.import.rejected.insert(hostile.to_owned(), 1);
        document.last_call = Some(crate::report::notify::Call {
            event: hostile.to_owned(),
            at: 1,
            failure: Some(hostile.to_owned()),
        });
        document.pinged.clone_from(&document.last_call);
        if let Some(profiles) = &mut document.profiles {
            profiles.listed[0].name = Some(hostile.to_owned());
            profiles.listed[1].pubkey = hostile.to_owned();
        }
        RunHistory::default().take(&mut document);
        let page = page(&document);
        assert!(page.contains("&lt;script&gt;document.title"), "{page}");
        for tag in ["<script", "<img", "'><", "\"'>"] {
            assert!(
                !page.contains(tag),
                "{tag}
{page}"
            );
        }
    }

    #[test]
    fn the_page_says_until_when_it_holds() {
        let mut document = document();
        RunHistory::default().take(&mut document);
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let page = render_at(&document, &zone);
        // It ended at 9:52:53 UTC; three hours later it is stale.
        for part in [
            "<time datetime=\"2026-11-22T09:52:53Z\">Sun 22 Nov 2026, 10:52 (09:52 UTC)</time>",
            "If it is later than <b><time datetime=\"2026-11-22T12:52:53Z\">",
            "1 of 2 peers is synced",
            "it is dead",
            "no profile",
        ] {
            assert!(
                page.contains(part),
                "{part}
{page}"
            );
        }
    }
}
