//! `why` about a kind of events: whether it is asked for, by which option, and who has some.

use constellation_shared::counted;
use constellation_shared::kinds::{self, DIRECT_MESSAGE, KindList, Set};
use serde_json::json;

use crate::commands::error::SyncError;
use crate::commands::probe::Probe;
use crate::commands::why::answer::{Answer, Findings, ask_all};
use crate::context::Context;
use crate::options::{KindOption, Options};

/// Tells of a kind of events.
///
/// # Errors
/// [`SyncError::Scan`].
pub(crate) async fn look_into(
    context: &Context,
    probe: &Probe,
    kind: u16,
) -> Result<Answer, SyncError> {
    let options = &context.options;
    let is_asked_for = options.wanted_kinds().contains(&kind);
    let of_any_author = options.any_author_kinds().contains(&kind);
    let by = decided_by(options, kind);
    let here = json!({"kinds": [kind]}).to_string();
    let filter = json!({"kinds": [kind], "limit": 1});
    let strfry = context.strfry();
    let (here, replies) = tokio::join!(strfry.count_matching(&here), ask_all(probe, &filter));
    let here = here?;
    let name = kinds::find(kind).map(|kind| kind.name);
    let named = name.map(|name| format!(", {name}")).unwrap_or_default();
    let mut findings = Findings::beginning_with(format!("About events of kind {kind}{named}"));
    findings
        .lines
        .extend(lines(kind, is_asked_for, of_any_author, by));
    findings
        .lines
        .push(format!("  here: {}", counted(here, "event")));
    for reply in &replies {
        if let Some(events) = findings.events_of(reply) {
            let has = !events.is_empty();
            let words = if has {
                "has some"
            } else {
                "has none, or shows none"
            };
            findings.add_peer(&reply.peer, words, json!({"has": has}));
        }
    }
    let Findings { mut lines, peers } = findings;
    let advice = advice(options, kind, is_asked_for || of_any_author);
    lines.extend(advice.iter().map(|advice| format!("What to do: {advice}")));
    Ok(Answer {
        exit_code: u8::from(!is_asked_for && !of_any_author),
        is_known: true,
        lines,
        json: json!({
            "kind": kind,
            "name": name,
            "asked_for": is_asked_for,
            "whoever_wrote_them": of_any_author,
            "by": by,
            "here": here,
            "peers": peers,
            "advice": advice,
        }),
    })
}

fn lines(kind: u16, is_asked_for: bool, of_any_author: bool, by: Option<&str>) -> Vec<String> {
    let by = by.map(|by| format!(" (by {by})")).unwrap_or_default();
    let mut lines = vec![if is_asked_for {
        format!("kind {kind} is asked for, of the followed keys{by}")
    } else {
        format!("kind {kind} is not asked for{by}")
    }];
    if of_any_author {
        lines.push(format!(
            "kind {kind} is asked for whoever wrote it (by --any-author-kinds)"
        ));
    }
    if kinds::is_ephemeral(kind) {
        lines.push("  events of this kind are not stored, by any relay (NIP-01)".to_owned());
    }
    lines
}

/// Which setting decides whether a kind is asked for; `None` if none names it.
fn decided_by(options: &Options, kind: u16) -> Option<&'static str> {
    if kind == DIRECT_MESSAGE && options.no_dms {
        return Some("--no-dms or CONSTELLATION_NO_DMS");
    }
    let is_default = Set::Seed.numbers().contains(&kind);
    let mut decided = is_default.then_some("the default of --kinds, the set seed");
    let mut is_asked_for = is_default;
    for (list, setting) in [
        (
            &options.file.kinds,
            "kinds in [sync] of strfry/constellation.toml",
        ),
        (&options.kinds, "--kinds or CONSTELLATION_KINDS"),
    ] {
        let Some(list) = list else { continue };
        let is_asked_for_then = is_in(list, is_asked_for, kind);
        if is_asked_for_then != is_asked_for || is_in(list, false, kind) {
            decided = Some(setting);
        }
        is_asked_for = is_asked_for_then;
    }
    decided
}

/// Whether a kind is asked for by a list, where it was before or was not.
fn is_in(list: &KindList, before: bool, kind: u16) -> bool {
    let weaker: &[u16] = if before { &[kind] } else { &[] };
    list.over(weaker).contains(&kind)
}

fn advice(options: &Options, kind: u16, is_asked_for: bool) -> Option<String> {
    if is_asked_for || kinds::is_ephemeral(kind) {
        return None;
    }
    if kind == DIRECT_MESSAGE && options.no_dms {
        return Some("take away --no-dms or CONSTELLATION_NO_DMS".to_owned());
    }
    let how = options.how_to_add(KindOption::Kinds, kind);
    Some(format!("ask for it, too: {how}"))
}
