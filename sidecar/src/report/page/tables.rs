//! The tables of the report's page: peers, events left out (with what each reason means), profiles,
//! and earlier runs.

use jiff::tz::TimeZone;
use maud::{Markup, html};

use crate::report::Outcome;
use crate::report::completeness;
use crate::report::document::{Document, Listed, Peer, Profiles};
use crate::report::page::local;
use crate::report::reasons;
use crate::report::run_summary::RunSummary;
use crate::support::humanize::{bytes, count, measured, number_of};

/// How many rows a table has at most; the JSON has them all.
const MOST_PEERS: usize = 500;
const MOST_LISTED: usize = 300;

/// How many rows found no room in a table.
fn more(left: usize, noun: &str) -> Markup {
    html! {
        @if left > 0 {
            p class="caption" { "The JSON has " (number_of(left as u64, noun)) "." }
        }
    }
}

pub(crate) fn peers(document: &Document) -> Markup {
    let mut peers: Vec<&Peer> = document.peers.iter().collect();
    peers.sort_by_key(|peer| {
        let events = std::cmp::Reverse(peer.collected);
        (peer.complete, peer.reached, events, &peer.url)
    });
    html! {
        section {
            h2 { "Peers" }
            @if peers.is_empty() {
                p class="none" { "No peer was asked." }
            } @else {
                table class="peers" {
                    thead { tr {
                        th { "Peer" } th { "Result" } th { "Asked by" }
                        th class="n" { "Events" } th class="n" { "Bytes" } th class="n" { "Time" }
                    } }
                    tbody {
                        @for peer in peers.iter().take(MOST_PEERS) { (peer_row(peer, document)) }
                    }
                }
                (more(peers.len().saturating_sub(MOST_PEERS), "more peer"))
                p class="caption" {
                    "Events: those let in that no other peer had sent before. A peer that is level with the others brings few."
                }
            }
        }
    }
}

fn peer_row(peer: &Peer, document: &Document) -> Markup {
    let (mark, result, class) = if peer.complete {
        ("✔", "synced", "good")
    } else if peer.reached {
        ("!", "in part", "bad")
    } else {
        ("✘", "not reached", "bad")
    };
    let asked = if !peer.reached {
        "–"
    } else if peer.reconciled {
        "comparison (NIP-77)"
    } else {
        "paging"
    };
    html! {
        tr class=(class) {
            td class="url" { bdi { (peer.shown()) } }
            td class="result" { span class="mark" { (mark) } " " (result) }
            td class="asked" { (asked) }
            td class="n" data-title="events" { (count(peer.collected)) }
            td class="n" data-title="received" { (bytes(peer.bytes)) }
            td class="n" data-title="took" { (measured(peer.seconds)) }
        }
        @if let Some(history) = completeness::of_peer(peer, document) {
            tr class="history" { td colspan="6" class="dim" { (history) } }
        }
        @if let Some(failure) = &peer.failure {
            tr class="failure" {
                td colspan="6" {
                    bdi { (failure) }
                    @if let Some(code) = &peer.code { " " code class="dim" { (code) } }
                }
            }
        }
    }
}

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
