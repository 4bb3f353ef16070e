//! `why` about an event: whether it is here, which peers have it, and whether it would be let in.

use constellation_shared::verify::verify;
use constellation_shared::wot::KeySet;
use constellation_shared::{Event, EventId, kinds};
use serde_json::{Value, json};

use crate::admission::rules::{Refusal, Rules};
use crate::backfill::error::PrepareError;
use crate::commands::error::SyncError;
use crate::commands::probe::Probe;
use crate::commands::why::answer::{Answer, Findings, Reply, ask_all};
use crate::commands::why::key;
use crate::context::Context;
use crate::members::profiles::render::utc;
use crate::options::{KindOption, Options};
use crate::plan::refused::Refused;
use crate::strfry::conf;
use crate::support::clock::unix_time;
use crate::support::state_file;
use crate::swarm::followed;

/// What becomes of an event that a peer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is here already.
    Here,
    /// The next backfill brings it.
    Wanted,
    /// It is refused.
    Refused(Refusal),
    /// Nobody here follows its author, and its kind is not asked for whoever wrote it.
    NotFollowed(u16),
    /// Its kind is not asked for.
    KindLeftOut(u16),
    /// It is older than the backfill goes back.
    BeforeWindow,
    /// A newer one of its author is here, which takes its place (NIP-01).
    Replaced,
    /// strfry, which is to verify it once more, takes it for forged.
    HoldsDel,
}

impl Fate {
    /// The stable word for it.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::Wanted => "wanted",
            Self::Refused(refusal) => refusal.code(),
            Self::NotFollowed(_) => "not_followed",
            Self::KindLeftOut(_) => "kind_left_out",
            Self::BeforeWindow => "before_window",
            Self::Replaced => "replaced",
            Self::HoldsDel => "holds_del",
        }
    }

    /// What to do about it, with these options.
    pub(crate) fn advice(self, options: &Options) -> String {
        let advice = match self {
            Self::Here => "nothing: it is here",
            Self::Wanted => "nothing, the next backfill brings it; at once: constellation-sync",
            Self::Refused(Refusal::Malformed) => {
                "nothing: it is no event by NIP-01; its author's program is at fault"
            }
            Self::Refused(Refusal::Unasked) => {
                "nothing: that relay sends what it was not asked for"
            }
            Self::Refused(Refusal::Forged) => {
                "nothing: its author did not sign this; ask that relay's captain where it came from"
            }
            Self::Refused(Refusal::Blocked) => {
                "see where: constellation-policy explain AUTHOR; take the line out of blacklist.txt to let him in"
            }
            Self::Refused(Refusal::Visitor) => "nothing: greetings of visitors are left out",
            Self::Refused(Refusal::Expired) => "nothing: its author wanted it to be gone by now",
            Self::Refused(Refusal::Ephemeral) => "nothing: events of this kind are not stored",
            Self::Refused(Refusal::Future) => {
                "wait until its time has come; if our clock is wrong, constellation-sync doctor says so"
            }
            Self::Refused(Refusal::TooLong) => {
                "raise events.maxEventSize in strfry.conf above its length, restart strfry, then constellation-sync --days 0"
            }
            Self::Refused(Refusal::TooManyTags) => {
                "raise events.maxNumTags in strfry.conf above the number of its tags, restart strfry, then constellation-sync --days 0"
            }
            Self::Refused(Refusal::TagTooLong) => {
                "raise events.maxTagValSize in strfry.conf above the length of its longest tag, restart strfry, then constellation-sync --days 0"
            }
            Self::Refused(Refusal::Deleted) => "nothing: its own author deleted it",
            Self::NotFollowed(kind) => return advice_on_author(kind, options),
            Self::KindLeftOut(kind) => return advice_on_kind(kind, options),
            Self::BeforeWindow => "go back further: constellation-sync --days 0",
            Self::Replaced => "nothing: a newer one is here",
            Self::HoldsDel => {
                "it holds the character DEL (0x7f), which strfry hashes in its own way, and so takes it for forged: it comes in without --verify"
            }
        };
        advice.to_owned()
    }
}

fn advice_on_author(kind: u16, options: &Options) -> String {
    let mut advice = "its author must be a member, a friend in amisOfAmis.txt, or a captain of the swarm: constellation-sync why AUTHOR".to_owned();
    if kinds::ANY_AUTHOR.contains(&kind) {
        let how = options.how_to_add(KindOption::AnyAuthor, kind);
        advice.push_str(&format!(
            "; or fetch events of kind {kind} whoever wrote them: {how}"
        ));
    }
    advice
}

fn advice_on_kind(kind: u16, options: &Options) -> String {
    if options.no_dms && kind == kinds::DIRECT_MESSAGE {
        return "direct messages are left out: take away --no-dms or CONSTELLATION_NO_DMS"
            .to_owned();
    }
    let how = options.how_to_add(KindOption::Kinds, kind);
    format!("ask for its kind, too: {how}")
}

/// What a run would let in.
struct Admission {
    rules: Rules,
    followed: KeySet,
    kinds: Vec<u16>,
    any_author_kinds: Vec<u16>,
    since: u64,
    /// How far back a run asks for what is wanted of any author, in Unix seconds.
    since_of_any_author: u64,
}

impl Admission {
    /// What would become of an event that a peer sent under this id, and the event itself if it can
    /// be read. Whether it was deleted or replaced is not looked at: only the database tells.
    fn fate(&self, id: EventId, json: &str) -> (Option<Event>, Fate) {
        let Ok(event) = Event::parse(json.as_bytes()) else {
            return (None, Fate::Refused(Refusal::Malformed));
        };
        let fate = self.fate_of(id, &event);
        (Some(event), fate)
    }

    fn fate_of(&self, id: EventId, event: &Event) -> Fate {
        if event.id != id {
            Fate::Refused(Refusal::Unasked)
        } else if let Err(refusal) = self.rules.judge(event, verify(event).is_err()) {
            Fate::Refused(refusal)
        } else if self.any_author_kinds.contains(&event.kind)
            && event.created_at >= self.since_of_any_author
        {
            Fate::Wanted
        } else if !self.followed.contains(&event.pubkey) {
            if self.any_author_kinds.contains(&event.kind) {
                Fate::BeforeWindow
            } else {
                Fate::NotFollowed(event.kind)
            }
        } else if !self.kinds.contains(&event.kind) {
            Fate::KindLeftOut(event.kind)
        } else if event.created_at < self.since {
            Fate::BeforeWindow
        } else {
            Fate::Wanted
        }
    }
}

/// Looks for an event here, at the peers, and among the refused ones.
///
/// # Errors
/// [`SyncError`] if strfry, its conf or the blacklist cannot be read.
pub(crate) async fn look_into(
    context: &Context,
    probe: &Probe,
    id: EventId,
) -> Result<Answer, SyncError> {
    let now = unix_time();
    let admission = admission(context, probe, now)?;
    let filter = json!({"ids": [id.to_string()]});
    let strfry = context.strfry();
    let (here, replies) = tokio::join!(strfry.event(id), ask_all(probe, &filter));
    let here = here?;
    let is_here = here.is_some();
    let where_it_is = if is_here { "here" } else { "not here" };
    let understood = format!("About the event {id} ({})", id.to_bech32());
    let mut findings = Findings::beginning_with(understood);
    findings.lines.push(format!("event {id} is {where_it_is}"));
    let copies = replies.iter().flat_map(|reply| match &reply.reply {
        Reply::Events(events) => events.as_slice(),
        Reply::NotAsked | Reply::Failed { .. } => &[],
    });
    let mut copies = here.iter().chain(copies);
    let genuine = copies.find_map(|json| {
        let event = Event::parse(json.as_bytes()).ok()?;
        (event.id == id && verify(&event).is_ok()).then_some(event)
    });
    if let Some(event) = &genuine {
        findings
            .lines
            .push(written_by(context, probe, event).await?);
    }
    let mut fates: Vec<Fate> = Vec::new();
    for reply in &replies {
        let Some(events) = findings.events_of(reply) else {
            continue;
        };
        let peer = &reply.peer;
        let Some(event) = events.first() else {
            findings.add_peer(
                peer,
                "does not have it, or does not show it",
                json!({"has": false}),
            );
            continue;
        };
        let fate = fate(context, &admission, id, event, is_here).await?;
        let words = match fate {
            Fate::Here => "has it too".to_owned(),
            fate => format!("has it: {}", fate.code()),
        };
        findings.add_peer(peer, &words, json!({"has": true, "fate": fate.code()}));
        if !fates.contains(&fate) {
            fates.push(fate);
        }
    }
    let Findings { mut lines, peers } = findings;
    let refused_before = refused_before(context, id, now, &mut lines);
    let options = &context.options;
    let advice = advice(is_here, &fates, !refused_before.is_empty(), options);
    lines.extend(advice.iter().map(|advice| format!("What to do: {advice}")));
    Ok(Answer {
        exit_code: u8::from(!is_here),
        is_known: is_here || !fates.is_empty() || !refused_before.is_empty(),
        lines,
        json: json!({
            "event": id.to_string(),
            "here": is_here,
            "peers": peers,
            "refused_before": refused_before,
            "advice": advice,
        }),
    })
}

/// Who wrote an event, when, and of which kind it is.
async fn written_by(context: &Context, probe: &Probe, event: &Event) -> Result<String, SyncError> {
    let whose = key::whose(context, probe, &event.pubkey).await?;
    let comma = if whose.is_empty() { "" } else { ", " };
    let kind = kinds::find(event.kind).map_or_else(String::new, |kind| format!(", {}", kind.name));
    Ok(format!(
        "  written {} by {}{comma}{whose}; kind {}{kind}",
        utc(event.created_at),
        event.pubkey.to_bech32(),
        event.kind
    ))
}

/// What a run that began at `now`, in Unix seconds, would let in.
fn admission(context: &Context, probe: &Probe, now: u64) -> Result<Admission, SyncError> {
    let conf = context.strfry().conf();
    let found = conf::event_limits(&conf).map_err(|error| PrepareError::Conf(conf, error))?;
    let followed = followed::followed(&context.station, &probe.descriptions, &probe.kept.keys)?;
    Ok(Admission {
        rules: Rules {
            now,
            limits: found.limits,
            blocked: followed.blocked,
        },
        followed: followed.keys.into_iter().collect(),
        kinds: context.options.wanted_kinds(),
        any_author_kinds: context.options.any_author_kinds(),
        since: context.options.since(now),
        since_of_any_author: context.options.since_by_days(now),
    })
}

/// What became or would become of the event as a peer sent it. That it would be refused is worth
/// saying even if it is here: it may have come before its author was blocked, or that peer may
/// have a forgery of it.
async fn fate(
    context: &Context,
    admission: &Admission,
    id: EventId,
    json: &str,
    is_here: bool,
) -> Result<Fate, SyncError> {
    match admission.fate(id, json) {
        (_, fate @ Fate::Refused(_)) => Ok(fate),
        _ if is_here => Ok(Fate::Here),
        (Some(event), Fate::Wanted)
            if context.options.verify && event.canonical_form().contains('\u{7f}') =>
        {
            Ok(Fate::HoldsDel)
        }
        (Some(event), Fate::Wanted) => fate_by_database(context, &event).await,
        (_, fate) => Ok(fate),
    }
}

/// The earlier refusals of the event as JSON; for each of them a line is added.
fn refused_before(context: &Context, id: EventId, now: u64, lines: &mut Vec<String>) -> Vec<Value> {
    let refused = Refused::load(&context.file(state_file::REFUSED.name), now);
    let mut before = Vec::new();
    for (sender, when) in refused.of(id) {
        let when = utc(when);
        lines.push(match sender {
            Some(sender) => format!("  refused when {sender} sent it, {when}"),
            None => format!("  refused whoever sends it, since {when}"),
        });
        before.push(json!({"sender": sender, "when": when}));
    }
    before
}

fn advice(is_here: bool, fates: &[Fate], was_refused: bool, options: &Options) -> Vec<String> {
    if is_here {
        return Vec::new();
    }
    let mut advice: Vec<String> = fates.iter().map(|fate| fate.advice(options)).collect();
    if fates.is_empty() {
        advice.push(
            "no peer that was asked shows it: ask its author to send it again, or look elsewhere: --peer URL".to_owned(),
        );
    }
    if was_refused && fates.contains(&Fate::Wanted) {
        advice.push("it is not asked for again for 30 days: constellation-sync --days 0 asks for everything".to_owned());
    }
    advice
}

/// Whether strfry would keep an event that may come in.
async fn fate_by_database(context: &Context, event: &Event) -> Result<Fate, SyncError> {
    let strfry = context.strfry();
    let author = event.pubkey.to_string();
    let deletion = json!({
        "kinds": [kinds::DELETION], "authors": [author], "#e": [event.id.to_string()],
    });
    if strfry.count_matching(&deletion.to_string()).await? > 0 {
        return Ok(Fate::Refused(Refusal::Deleted));
    }
    let (kind, since) = (event.kind, event.created_at);
    if kinds::is_addressable(kind) {
        let address = format!("{kind}:{author}:{}", event.tag("d").unwrap_or_default());
        let deletion = json!({
            "kinds": [kinds::DELETION], "authors": [author], "#a": [address], "since": since,
        });
        if strfry.count_matching(&deletion.to_string()).await? > 0 {
            return Ok(Fate::Refused(Refusal::Deleted));
        }
    }
    let newer = if kinds::is_addressable(kind) {
        let d = event.tag("d").unwrap_or_default();
        json!({"kinds": [kind], "authors": [author], "since": since, "#d": [d]})
    } else if kinds::is_replaceable(kind) {
        json!({"kinds": [kind], "authors": [author], "since": since})
    } else {
        return Ok(Fate::Wanted);
    };
    match strfry.count_matching(&newer.to_string()).await? {
        0 => Ok(Fate::Wanted),
        _ => Ok(Fate::Replaced),
    }
}
