//! The tables of the report's page: events left out (with what each reason means), profiles,
//! and earlier runs.

use jiff::tz::TimeZone;
use maud::{Markup, html};

use crate::report::Outcome;
use crate::report::document::{Document, Listed, Profiles};
use crate::report::reasons;
use crate::report::run_summary::RunSummary;
use crate::support::clock::local;
use crate::support::humanize::{bytes, count, measured, number_of};

/// How many pubkeys are listed at most; the JSON has them all.
const MOST_LISTED: usize = 300;

pub(crate) fn refusals(document: &Document) -> Markup {
    let refused = &document.refused;
    let rejected = &document.import.rejected;
    let meaning = |code: &str| reasons::find(code).map_or("", |reason| reason.meaning);
    html! {
        section {
            h2 { "Left out" }
            @if refused.is_empty() && rejected.is_empty() {
                p class="none" { "Nothing: every event that came was let in." }
            } @else {
                table {
                    thead { tr { th { "Reason" } th { "What it is" } th class="n" { "Events" } } }
                    tbody {
                        @for (reason, number) in refused {
                            tr {
                                td { code { (reason) } }
                                td { (meaning(reason)) }
                                td class="n" { (count(*number)) }
                            }
                        }
                        @for (reason, number) in rejected {
                            tr {
                                td { "strfry" }
                                td { bdi { (reason) } }
                                td class="n" { (count(*number)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

pub(crate) fn profiles(document: &Document) -> Markup {
    html! {
        section {
            h2 { "Profiles" }
            @match &document.profiles {
                None => p class="none" { "This run did not look for profiles." }
                Some(profiles) => {
                    p {
                        "Followed pubkeys with a profile: " b { (count(profiles.found as u64)) }
                        ", without one: " b { (count(profiles.missing as u64)) } "."
                    }
                    (people(profiles))
                }
            }
        }
    }
}

fn people(profiles: &Profiles) -> Markup {
    let (members, others): (Vec<&Listed>, Vec<&Listed>) =
        profiles.listed.iter().partition(|person| person.member);
    let shown_others = MOST_LISTED.saturating_sub(members.len());
    let hidden = others.len().saturating_sub(shown_others)
        + members.len().saturating_sub(MOST_LISTED)
        + profiles.unlisted;
    html! {
        @if !members.is_empty() {
            h3 { "Members of this station" }
            (list(&members, MOST_LISTED))
        }
        @if !others.is_empty() {
            details {
                summary { "The other pubkeys that are followed" }
                (list(&others, shown_others))
            }
        }
        @if hidden > 0 {
            p class="caption" { (number_of(hidden as u64, "more pubkey")) "." }
        }
    }
}

fn list(people: &[&Listed], most: usize) -> Markup {
    html! {
        ul class="people" {
            @for person in people.iter().take(most) {
                li class=(if person.name.is_some() { "good" } else { "bad" }) {
                    code title=(person.pubkey) { (person.pubkey.get(..8).unwrap_or_default()) } " "
                    @match person.name.as_deref() {
                        None => span class="mark" { "✘ no profile" }
                        Some("") => span class="dim" { "no name" }
                        Some(name) => bdi { (name) }
                    }
                }
            }
        }
    }
}

pub(crate) fn runs(document: &Document, zone: &TimeZone) -> Markup {
    html! {
        section {
            h2 {
                @match document.runs.len() {
                    1 => "The last run",
                    runs => { "The last " (runs) " runs" }
                }
            }
            table class="runs" {
                thead { tr {
                    th { "Ended" } th { "Result" } th class="n" { "Peers" } th class="n" { "Events" }
                    th class="n" { "New" } th class="n" { "Bytes" } th class="n" { "Time" } th { "What failed" }
                } }
                tbody {
                    @for run in &document.runs { (run_row(run, zone)) }
                }
            }
        }
    }
}

fn run_row(run: &RunSummary, zone: &TimeZone) -> Markup {
    let (mark, result, class) = match run.outcome {
        Outcome::Interrupted => ("–", "interrupted", ""),
        _ if !run.success => ("✘", "failed", "bad"),
        Outcome::Complete => ("✔", "synced", "good"),
        _ => ("!", "in part", "partly"),
    };
    let ended = local(run.finished_at, zone);
    html! {
        tr class=(class) {
            td class="when" {
                @if let Some(time) = ended {
                    time datetime=(time.timestamp()) { (time.strftime("%a %-d %b %H:%M").to_string()) }
                }
            }
            td class="result" { span class="mark" { (mark) } " " (result) }
            td class="n" data-title="peers" { (run.synced) "/" (run.peers) }
            td class="n" data-title="events" { (count(run.events)) }
            td class="n" data-title="new" { (count(run.added)) }
            td class="n" data-title="received" { (bytes(run.bytes)) }
            td class="n" data-title="took" { (measured(run.seconds)) }
            td class="reason" { @if let Some(failure) = &run.failure { bdi { (failure) } } }
        }
    }
}
