//! The table of peers on the report's page: a line for each, with how it did in the last runs and
//! what is here of it.

use jiff::tz::TimeZone;
use maud::{Markup, html};

use crate::report::completeness;
use crate::report::document::{Document, Peer};
use crate::report::run_summary::{Mark, PeerRuns};
use crate::support::clock::local;
use crate::support::humanize::{bytes, count, measured, number_of};

/// How many rows the table has at most; the JSON has them all.
const MOST_PEERS: usize = 500;

/// How many runs are shown of each peer, and the place that a mark takes, in pixels.
const RUNS: usize = 30;
const STEP: usize = 5;
const HEIGHT: usize = 14;

/// The peers that were asked, those that failed first, and behind them those that were asked in an
/// earlier one of the last runs.
pub(crate) fn table(document: &Document, zone: &TimeZone) -> Markup {
    let mut peers: Vec<&Peer> = document.peers.iter().collect();
    peers.sort_by_key(|peer| {
        let events = std::cmp::Reverse(peer.collected);
        (peer.complete, peer.reached, events, &peer.url)
    });
    let earlier: Vec<&PeerRuns> = document
        .peer_runs
        .iter()
        .filter(|known| document.peers.iter().all(|peer| peer.url != known.url))
        .collect();
    let all = peers.len() + earlier.len();
    html! {
        section {
            h2 { "Peers" }
            @if peers.is_empty() {
                p class="none" { "No peer was asked." }
            }
            @if all > 0 {
                table class="peers" {
                    thead { tr {
                        th { "Peer" } th { "This run" } th { "The last runs" } th { "Had completely" } th { "Asked by" }
                        th class="n" { "Events" } th class="n" { "Bytes" } th class="n" { "Time" }
                    } }
                    tbody {
                        @for peer in peers.iter().take(MOST_PEERS) { (asked(peer, document, zone)) }
                        @for known in earlier.iter().take(MOST_PEERS.saturating_sub(peers.len())) {
                            (not_asked(known, document, zone))
                        }
                    }
                }
                @if let Some(left @ 1..) = all.checked_sub(MOST_PEERS) {
                    p class="caption" { "The JSON has " (number_of(left as u64, "more peer")) "." }
                }
                p class="caption" {
                    "The last " (RUNS) " runs, the newest on the right: "
                    (legend(Mark::Synced)) " synced, " (legend(Mark::InPart)) " in part, "
                    (legend(Mark::NotReached)) " not reached, " (legend(Mark::NotAsked)) " not asked. "
                    "Events: those let in that no other peer had sent before. A peer that is level with the others brings few."
                }
            }
        }
    }
}

fn asked(peer: &Peer, document: &Document, zone: &TimeZone) -> Markup {
    let known = document
        .peer_runs
        .iter()
        .find(|known| known.url == peer.url);
    let (sign, class) = match peer.mark() {
        Mark::Synced => ("✔", "good"),
        Mark::InPart => ("!", "bad"),
        Mark::NotReached => ("✘", "bad"),
        Mark::NotAsked => ("–", "bad"),
    };
    let way = match (peer.reached, peer.reconciled) {
        (false, _) => "–",
        (true, true) => "comparison",
        (true, false) => "paging",
    };
    let explained = completeness::of_peer(peer, document);
    html! {
        tr class=(class) {
            td class="url" { bdi { (peer.shown()) } }
            td class="result" { span class="mark" { (sign) } " " (peer.mark().in_words()) }
            td class="marks" { @if let Some(known) = known { (marks(known, document, zone)) } }
            td class="had" title=[explained] { (had(peer.complete_until, known, zone)) }
            td class="asked" { (way) }
            td class="n" data-title="events" { (count(peer.collected)) }
            td class="n" data-title="received" { (bytes(peer.bytes)) }
            td class="n" data-title="took" { (measured(peer.seconds)) }
        }
        @if let Some(failure) = &peer.failure {
            tr class="failure" {
                td colspan="8" {
                    bdi { (failure) }
                    @if let Some(code) = &peer.code { " " code class="dim" { (code) } }
                }
            }
        }
    }
}

/// A peer that was asked in an earlier run, and not in this one.
fn not_asked(known: &PeerRuns, document: &Document, zone: &TimeZone) -> Markup {
    html! {
        tr {
            td class="url" { bdi { (known.shown()) } }
            td class="result dim" { (Mark::NotAsked.in_words()) }
            td class="marks" { (marks(known, document, zone)) }
            td class="had" { (had(known.complete_until, Some(known), zone)) }
            td class="asked" { "–" }
            td class="n" {} td class="n" {} td class="n" {}
        }
    }
}

/// Up to when everything that a peer holds is here, and since when that could be said of it.
fn had(until: Option<u64>, known: Option<&PeerRuns>, zone: &TimeZone) -> Markup {
    let shown = |time, form| local(time, zone).map(|time| time.strftime(form).to_string());
    let since = known.and_then(|known| known.complete_since);
    let since = since.and_then(|since| shown(since, "%-d %b"));
    match until.and_then(|until| shown(until, "%-d %b %H:%M")) {
        None => html! { span class="mark" { "not everything yet" } },
        Some(until) => html! {
            "all until " (until)
            @if let Some(since) = since { span class="dim" { " (since " (since) ")" } }
        },
    }
}

/// The shape of a mark whose middle is at `x`. Shapes differ, as not everybody sees colours.
fn shape(mark: Mark, x: usize) -> String {
    match mark {
        Mark::Synced => format!("M{x} 2v10"),
        Mark::InPart => format!("M{x} 7v5"),
        Mark::NotReached => format!("M{} 5l4 5m0-5l-4 5", x.saturating_sub(2)),
        Mark::NotAsked => format!("M{x} 11v1"),
    }
}

const fn class(mark: Mark) -> &'static str {
    match mark {
        Mark::Synced => "synced",
        Mark::InPart => "partly",
        Mark::NotReached => "unreached",
        Mark::NotAsked => "unasked",
    }
}

fn legend(mark: Mark) -> Markup {
    html! {
        svg class="runs30" width="6" height=(HEIGHT) aria-hidden="true" {
            path class=(class(mark)) d=(shape(mark, 3)) {}
        }
    }
}

/// Runs of a peer, one after the other, that ended in the same way.
struct Stretch {
    mark: Mark,
    /// The oldest and the newest of these runs, counted from the newest run.
    oldest: usize,
    newest: usize,
}

fn stretches(known: &PeerRuns) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for (index, mark) in known.marks().take(RUNS).enumerate() {
        match stretches.last_mut() {
            Some(last) if last.mark == mark => last.oldest = index,
            _ => stretches.push(Stretch {
                mark,
                oldest: index,
                newest: index,
            }),
        }
    }
    stretches
}

/// A row of marks, one for each of the last runs.
fn marks(known: &PeerRuns, document: &Document, zone: &TimeZone) -> Markup {
    let score = known.score();
    let when = |index: usize| {
        let run = document.runs.get(index)?;
        let time = local(run.finished_at, zone)?;
        Some(time.strftime("%a %-d %b %H:%M").to_string())
    };
    let title = |stretch: &Stretch| {
        let (oldest, newest) = (when(stretch.oldest), when(stretch.newest));
        let (oldest, newest) = (oldest.unwrap_or_default(), newest.unwrap_or_default());
        let words = stretch.mark.in_words();
        match stretch.oldest - stretch.newest {
            0 => format!("{newest}: {words}"),
            more => format!("{oldest} to {newest}, {} runs: {words}", more + 1),
        }
    };
    let path = |stretch: &Stretch| {
        let places = stretch.newest..=stretch.oldest;
        let shapes =
            places.map(|index| shape(stretch.mark, (RUNS - 1 - index) * STEP + STEP / 2 + 1));
        shapes.collect::<String>()
    };
    let score = format!("{} of {}", score.synced, score.asked);
    html! {
        svg class="runs30" role="img" width=(RUNS * STEP + 2) height=(HEIGHT)
            aria-label={ "synced in " (score) " runs" } {
            @for stretch in stretches(known) {
                path class=(class(stretch.mark)) d=(path(&stretch)) {
                    title { (title(&stretch)) }
                }
            }
        }
        " " span class="dim" { (score) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::document::tests::document;
    use crate::report::history::RunHistory;

    #[test]
    fn each_peer_is_a_line_with_its_last_runs_and_what_is_here_of_it() {
        let mut history = RunHistory::default();
        let mut last = document();
        for run in 0..40 {
            last = document();
            last.finished_at += run * 3600;
            last.peers[0].complete_until = Some(last.finished_at - 600);
            last.peers[1].reached = run % 2 == 0;
            if run == 39 {
                last.peers.remove(1);
            }
            history.take(&mut last);
        }
        let page = table(&last, &TimeZone::UTC).into_string();
        for part in [
            "aria-label=\"synced in 30 of 30 runs\"",
            "<title>Sun 22 Nov 19:52 to Tue 24 Nov 00:52, 30 runs: synced</title>",
            "all until 24 Nov 00:42<span class=\"dim\"> (since 22 Nov)</span>",
            "<td class=\"result dim\">not asked</td>",
            "aria-label=\"synced in 0 of 29 runs\"",
            "<title>Mon 23 Nov 23:52: in part</title>",
            "<title>Mon 23 Nov 22:52: not reached</title>",
            "not everything yet",
        ] {
            assert!(page.contains(part), "no {part} in\n{page}");
        }
    }

    #[test]
    fn a_hundred_peers_are_a_short_table() {
        let mut document = document();
        let peer = document.peers[0].clone();
        document.peers = (0..100)
            .map(|number| Peer {
                url: format!("wss://relay{number}.example.org"),
                ..peer.clone()
            })
            .collect();
        let mut history = RunHistory::default();
        for _ in 0..30 {
            history.take(&mut document);
        }
        let page = table(&document, &TimeZone::UTC).into_string();
        assert_eq!(page.matches("<tr").count(), 101);
        assert!(page.len() < 150_000, "{}", page.len());
    }
}
