//! The summary of a run in three to eight lines, as a run on a terminal ends with it and
//! `constellation-sync report` prints it: what became of the peers, which events are new and which
//! were left out, what is still missing, and what to do next.

use crate::plan::wanted::RESTRICTED_KINDS;
use crate::report::document::{Document, Peer};
use crate::report::run_summary::Mark;
use crate::report::{Outcome, reasons};
use crate::support::humanize::{count, measured, number_of};
use crate::support::sanitize::for_terminal;

/// How many peers that failed are named at most.
const MOST_PEERS: usize = 2;

/// How many reasons for leaving events out are named at most.
const MOST_REASONS: usize = 3;

/// The most characters of why a peer failed.
const MOST_OF_A_REASON: usize = 100;

/// A command that helps, and what it is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Advice {
    /// To be pasted.
    pub command: &'static str,
    /// What it does.
    pub purpose: &'static str,
}

pub(crate) const DOCTOR: Advice = Advice {
    command: "constellation-sync doctor",
    purpose: "finds what is wrong, and says how to repair it",
};
const AGAIN: Advice = Advice {
    command: "constellation-sync trigger --now",
    purpose: "fetches the rest",
};
const WHY: Advice = Advice {
    command: "constellation-sync why EVENT_ID",
    purpose: "says why an event is not here",
};
const STATUS: Advice = Advice {
    command: "constellation-sync status",
    purpose: "shows this run in detail",
};

/// The lines of a run's summary.
pub(crate) fn lines(document: &Document) -> Vec<String> {
    let mut lines = vec![format!(
        "{} {}, in {}",
        document.mark(),
        document.headline(),
        measured(document.seconds)
    )];
    let mut row = |title: &str, text: &str| lines.push(format!("  {title:<9} {text}"));
    if let Some(failure) = document.failure.as_deref().filter(|why| !why.is_empty()) {
        row("why", &for_terminal(failure, 2 * MOST_OF_A_REASON));
    }
    for peer in failed_peers(document) {
        row("peer", &peer);
    }
    if !document.peers.is_empty() {
        row("events", &events(document));
        row("missing", &missing(document));
    }
    for (title, advice) in ["next", ""].into_iter().zip(advice(document)) {
        row(title, &format!("{}  # {}", advice.command, advice.purpose));
    }
    lines
}

/// The peers that did not give everything, a line for each of the first ones.
fn failed_peers(document: &Document) -> Vec<String> {
    let mut failed: Vec<&Peer> = document
        .peers
        .iter()
        .filter(|peer| !peer.complete)
        .collect();
    failed.sort_by_key(|peer| peer.reached);
    let named = if failed.len() > MOST_PEERS {
        MOST_PEERS - 1
    } else {
        MOST_PEERS
    };
    let mut lines: Vec<String> = failed
        .iter()
        .take(named)
        .map(|peer| failed_peer(peer))
        .collect();
    if let Some(more @ 1..) = failed.len().checked_sub(named) {
        let unreached = failed.iter().skip(named).filter(|peer| !peer.reached);
        lines.push(format!(
            "{}, {} of them not reached",
            number_of(more as u64, "more peer"),
            count(unreached.count() as u64)
        ));
    }
    lines
}

fn failed_peer(peer: &Peer) -> String {
    let result = peer.mark().in_words();
    let why = peer.failure.as_deref().unwrap_or_default();
    format!(
        "{} {result}: {}",
        peer.shown(),
        for_terminal(why, MOST_OF_A_REASON)
    )
}

/// How many events are new, and how many were left out for which reasons.
pub(crate) fn events(document: &Document) -> String {
    let import = &document.import;
    let mut text = format!("{} new", count(import.added));
    if import.dups > 0 {
        text.push_str(&format!(", {} already here", count(import.dups)));
    }
    let rejected: u64 = import.rejected.values().sum();
    let mut left_out: Vec<(&str, u64)> = document
        .refused
        .iter()
        .map(|(code, number)| {
            let short = reasons::find(code).map_or("for other reasons", |reason| reason.short);
            (short, *number)
        })
        .chain([("rejected by strfry", rejected)])
        .filter(|(_, number)| *number > 0)
        .collect();
    left_out.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
    let all: u64 = left_out.iter().map(|(_, number)| number).sum();
    if all == 0 {
        text.push_str("; nothing was left out");
        return text;
    }
    let rest: u64 = left_out
        .iter()
        .skip(MOST_REASONS)
        .map(|(_, number)| number)
        .sum();
    let mut words: Vec<String> = left_out
        .iter()
        .take(MOST_REASONS)
        .map(|(short, number)| format!("{} {short}", count(*number)))
        .collect();
    if rest > 0 {
        words.push(format!("{} for other reasons", count(rest)));
    }
    let sum = match words.as_slice() {
        [_] => String::new(),
        _ => format!("{}: ", count(all)),
    };
    text.push_str(&format!("; left out {sum}{}", words.join(", ")));
    text
}

/// What the peers hold, or may hold, and is not here.
pub(crate) fn missing(document: &Document) -> String {
    let of = |wanted: fn(&&Peer) -> bool| document.peers.iter().filter(wanted).count() as u64;
    let is_restricted = |kind: &str| {
        kind.parse()
            .is_ok_and(|kind| RESTRICTED_KINDS.contains(&kind))
    };
    let (mut messages, mut withheld) = (0, 0);
    for (kind, number) in &document.undelivered {
        if is_restricted(kind) {
            messages += number;
        } else {
            withheld += number;
        }
    }
    let mut parts = Vec::new();
    if withheld > 0 {
        let events = number_of(withheld, "event");
        parts.push(format!("{events} that peers list and do not send"));
    }
    if messages > 0 {
        let messages = number_of(messages, "direct message");
        parts.push(format!(
            "{messages}, which peers show only to those who log in"
        ));
    }
    for (mark, peers) in [
        (Mark::NotReached, of(|peer| peer.mark() == Mark::NotReached)),
        (Mark::NotAsked, of(|peer| peer.mark() == Mark::NotAsked)),
    ] {
        if peers > 0 {
            let peers = number_of(peers, "peer");
            let mark = mark.in_words();
            parts.push(format!("whatever only the {peers} {mark} may hold"));
        }
    }
    let partly = of(|peer| peer.mark() == Mark::InPart);
    if partly > 0 {
        let peers = number_of(partly, "peer");
        parts.push(format!("a part of what {peers} may hold"));
    }
    let young = of(|peer| peer.complete && peer.complete_until.is_none());
    if young > 0 && document.success {
        let peers = number_of(young, "peer");
        parts.push(format!(
            "what {peers} may hold of before (the scheduled runs fetch it)"
        ));
    }
    if parts.is_empty() {
        "nothing that these peers hold and show".to_owned()
    } else {
        parts.join("; ")
    }
}

/// What to do next, the most important first; at most two.
pub(crate) fn advice(document: &Document) -> Vec<Advice> {
    if document.outcome == Outcome::Interrupted {
        return vec![AGAIN];
    }
    let has_failed = document.peers.iter().any(|peer| !peer.complete);
    let lacks = document.refused.values().sum::<u64>() > 0 || !document.undelivered.is_empty();
    let mut advice = Vec::new();
    if !document.success || has_failed {
        advice.push(DOCTOR);
    }
    if document.success && lacks {
        advice.push(WHY);
    }
    if advice.len() < 2 && !document.peers.is_empty() {
        advice.push(STATUS);
    }
    advice
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::document::tests::document;

    #[test]
    fn it_says_in_three_to_eight_lines_what_became_of_the_run() {
        assert_eq!(
            lines(&document()),
            [
                "! 1 of 2 peers is synced, in 3.2 s",
                "  peer      ws://b not reached: it is dead",
                "  events    30 new, 2 already here; left out 9: 4 forged, 2 that nobody asked for, 2 rejected by strfry, 1 for other reasons",
                "  missing   1 event that peers list and do not send; 3 direct messages, which peers show only to those who log in; \
                 whatever only the 1 peer not reached may hold; what 1 peer may hold of before (the scheduled runs fetch it)",
                "  next      constellation-sync doctor  # finds what is wrong, and says how to repair it",
                "            constellation-sync why EVENT_ID  # says why an event is not here",
            ]
        );
    }

    #[test]
    fn a_peer_that_is_passed_over_was_not_asked() {
        let mut document = document();
        document.peers[1].code = Some("left_alone".to_owned());
        document.peers[1].failure = Some("it asked to be left alone for another 3 h".to_owned());
        let lines = lines(&document);
        let peer = "  peer      ws://b not asked: it asked to be left alone for another 3 h";
        assert_eq!(lines[1], peer);
        let missing = "whatever only the 1 peer not asked may hold";
        assert!(lines[3].contains(missing), "{lines:#?}");
    }

    #[test]
    fn however_many_peers_fail_it_is_short() {
        let mut document = document();
        let dead = document.peers[1].clone();
        document.peers.extend(vec![dead; 97]);
        document.failure = Some("x".repeat(5000));
        let lines = lines(&document);
        assert!((3..=8).contains(&lines.len()), "{lines:#?}");
        assert_eq!(
            lines[3],
            "  peer      97 more peers, 97 of them not reached"
        );
        assert!(
            lines.iter().all(|line| line.chars().count() < 300),
            "{lines:#?}"
        );
    }

    #[test]
    fn a_run_that_is_complete_says_so_and_one_that_could_do_nothing_says_why() {
        let mut complete = document();
        complete.peers.truncate(1);
        complete.peers[0].complete_until = Some(1);
        complete.outcome = Outcome::Complete;
        complete.exit_code = 0;
        complete.refused.clear();
        complete.undelivered.clear();
        complete.import.rejected.clear();
        assert_eq!(
            lines(&complete),
            [
                "✔ The one peer is synced, in 3.2 s",
                "  events    30 new, 2 already here; nothing was left out",
                "  missing   nothing that these peers hold and show",
                "  next      constellation-sync status  # shows this run in detail",
            ]
        );
        let nothing = Document::of_failure(3, "there is no strfry", Default::default());
        assert_eq!(
            lines(&nothing),
            [
                "✘ Nothing could be done, in 0.0 s",
                "  why       there is no strfry",
                "  next      constellation-sync doctor  # finds what is wrong, and says how to repair it",
            ]
        );
    }

    #[test]
    fn what_others_wrote_is_harmless() {
        let mut document = document();
        document.peers[1].failure = Some("\u{1b}[2J\u{202e}\n".repeat(100));
        let text = lines(&document).join("");
        assert!(!text.contains(['\u{1b}', '\u{202e}', '\n']), "{text}");
    }
}
