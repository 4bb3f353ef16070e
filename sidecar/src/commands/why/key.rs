//! `why` about a key: whether it is followed, which lists name it, and who has its profile.

use constellation_shared::counted;
use constellation_shared::explain::{Explanation, Place, places};
use constellation_shared::list_file::{self, ListFile};
use constellation_shared::swarm_lists;
use constellation_shared::verdict::Verdict;
use constellation_shared::{Pubkey, kinds};
use serde_json::json;

use crate::commands::error::SyncError;
use crate::commands::probe::Probe;
use crate::commands::why::answer::{Answer, Findings, ask_all};
use crate::commands::why::word;
use crate::context::Context;
use crate::members::profiles::extract;
use crate::support::clock::unix_time;
use crate::support::sanitize::for_terminal;
use crate::swarm::followed;
use crate::swarm::station_name::with_address;

/// How many members and stations that a key belongs to are named.
const MOST_NAMES: usize = 5;

/// How many places are named at most.
const MOST_PLACES: usize = 50;

/// How much of a foreign text is shown, in characters.
const LONGEST: usize = 300;

/// The verdict on a key, and the places where it is listed.
struct Standing {
    verdict: Explanation,
    places: Vec<String>,
    /// Whether any of the places makes it followed, as long as it is not blocked.
    is_followed: bool,
}

impl Standing {
    /// Lines for the verdict and the places.
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("  verdict: {}", self.verdict.words())];
        if self.places.is_empty() {
            lines.push("  it stands in no list".to_owned());
        }
        let named = self.places.iter().take(MOST_PLACES);
        lines.extend(named.map(|place| format!("  {place}")));
        lines
    }
}

/// Looks for a key in all lists and in the descriptions of the other stations.
fn stand(context: &Context, probe: &Probe, key: &Pubkey) -> Standing {
    let station = &context.station;
    let friends = swarm_lists::swarm_friends(station).unwrap_or_default();
    let members = list_file::member_keys(station).unwrap_or_default();
    let own = station.friend_lists().into_iter().map(ListFile::own);
    let mut pardoning: Vec<ListFile> = own.collect();
    pardoning.extend(friends);
    pardoning.extend(members);
    let blacklist = ListFile::blacklist(station.blacklist());
    let verdict = Explanation::of(key, &blacklist, &pardoning, &station.members_dir());
    let mut found: Vec<String> = verdict.places.iter().map(Place::words).collect();
    let mut is_followed = verdict
        .places
        .iter()
        .any(|place| place.role != "blocked" && place.line.is_ok());
    for list in followed::geographic_keys(station) {
        for place in places(&list, key, "geographic key") {
            is_followed |= place.line.is_ok();
            found.push(place.words());
        }
    }
    for description in &probe.descriptions {
        let folder = for_terminal(&description.folder, LONGEST);
        let name = probe.names.of_folder(&description.folder);
        let station = with_address(name, folder.clone());
        for (role, named) in [("captain", description.captain), ("node", description.node)] {
            if named == Some(*key) {
                is_followed = true;
                found.push(format!(
                    "{role} of the station {station}, by its 12345.json"
                ));
            }
        }
    }
    Standing {
        is_followed: is_followed && verdict.verdict != Verdict::Block,
        verdict,
        places: found,
    }
}

/// Whether these 32 bytes are known here as a key.
///
/// # Errors
/// [`SyncError::Scan`].
pub(crate) async fn is_known(
    context: &Context,
    probe: &Probe,
    key: &Pubkey,
) -> Result<bool, SyncError> {
    if !stand(context, probe, key).places.is_empty() {
        return Ok(true);
    }
    let filter = json!({"authors": [key.to_string()], "limit": 1});
    let count = context.strfry().count_matching(&filter.to_string()).await?;
    Ok(count > 0)
}

/// Looks for a key in the lists and in the local strfry, and for its profile at the peers.
///
/// # Errors
/// [`SyncError::Scan`].
pub(crate) async fn look_into(
    context: &Context,
    probe: &Probe,
    key: Pubkey,
) -> Result<Answer, SyncError> {
    let standing = stand(context, probe, &key);
    let strfry = context.strfry();
    let author = key.to_string();
    let profile = json!({"authors": [author], "kinds": [kinds::PROFILE], "limit": 1});
    let window = json!({
        "authors": [author],
        "kinds": context.options.wanted_kinds(),
        "since": context.options.since(unix_time()),
    });
    let profile_here = profile.to_string();
    let window = window.to_string();
    let (events, profile_here, replies) = tokio::join!(
        strfry.count_matching(&window),
        strfry.count_matching(&profile_here),
        ask_all(probe, &profile)
    );
    let (events, has_profile) = (events?, profile_here? > 0);
    let is_followed = standing.is_followed;
    let not = if is_followed { "" } else { "not " };
    let whose = whose(context, probe, &key).await?;
    let colon = if whose.is_empty() { "" } else { ": " };
    let understood = format!("About the key {key} ({}){colon}{whose}", key.to_bech32());
    let mut findings = Findings::beginning_with(understood);
    findings.lines.push(format!("key {key} is {not}followed"));
    findings.lines.extend(standing.lines());
    findings.lines.push(format!(
        "  here: {} {}, {} profile",
        counted(events, "event"),
        span(context.options.days),
        if has_profile { "a" } else { "no" }
    ));
    let mut peer_has_profile = false;
    for reply in &replies {
        if let Some(events) = findings.events_of(reply) {
            let peer = &reply.peer;
            let has = !events.is_empty();
            let a = if has { "a" } else { "no" };
            findings.add_peer(peer, &format!("has {a} profile"), json!({"has": has}));
            peer_has_profile |= has;
        }
    }
    let Findings { mut lines, peers } = findings;
    let advice = advice(&standing, has_profile, peer_has_profile);
    lines.extend(advice.map(|advice| format!("What to do: {advice}")));
    Ok(Answer {
        exit_code: u8::from(!is_followed),
        is_known: !standing.places.is_empty() || events > 0 || has_profile || peer_has_profile,
        lines,
        json: json!({
            "key": author,
            "followed": is_followed,
            "blocked": standing.verdict.verdict == Verdict::Block,
            "verdict": standing.verdict.words(),
            "places": standing.places,
            "events": events,
            "profile": has_profile,
            "peers": peers,
            "advice": advice,
        }),
    })
}

/// Whose key this is, in words: a member, a captain, and the name in the profile that is here; empty
/// if nothing of it is known.
///
/// # Errors
/// [`SyncError::Scan`].
pub(crate) async fn whose(
    context: &Context,
    probe: &Probe,
    key: &Pubkey,
) -> Result<String, SyncError> {
    let mut whose = Vec::new();
    for member in word::members(context) {
        if member.key == *key {
            whose.push(format!(
                "the member {}",
                for_terminal(&member.folder, LONGEST)
            ));
        }
    }
    for description in &probe.descriptions {
        for (role, named) in [("captain", description.captain), ("node", description.node)] {
            if named == Some(*key) {
                let name = probe.names.of_folder(&description.folder);
                let folder = || for_terminal(&description.folder, LONGEST);
                let station = name.map_or_else(folder, ToString::to_string);
                whose.push(format!("the {role} of the station {station}"));
            }
        }
    }
    whose.truncate(MOST_NAMES);
    let profiles = extract(&context.strfry(), &[*key]).await?;
    let called = profiles
        .get(key)
        .and_then(|profile| profile.fields.called());
    if let Some(called) = called {
        whose.push(format!("called {}", word::in_quotes(called)));
    }
    Ok(whose.join(", "))
}

/// The span of time that events are counted in.
fn span(days: u64) -> String {
    match days {
        0 => "of all time".to_owned(),
        1 => "of the last day".to_owned(),
        days => format!("of the last {days} days"),
    }
}

/// What to do so that the key is followed and its profile is here; `None` if nothing.
fn advice(standing: &Standing, has_profile: bool, peer_has_profile: bool) -> Option<&'static str> {
    if standing.verdict.is_unknown {
        Some("make blacklist.txt readable: constellation-sync doctor")
    } else if standing.verdict.verdict == Verdict::Block {
        Some(
            "take the line out of blacklist.txt, or add the key to amisOfAmis.txt, which lets it in at once",
        )
    } else if !standing.is_followed {
        Some(
            "add the key to amisOfAmis.txt, or have a member befriend it: constellation-sync friends",
        )
    } else if has_profile {
        None
    } else if peer_has_profile {
        Some("a peer has its profile; the next backfill brings it: constellation-sync")
    } else {
        Some("nobody has its profile: its owner must write one")
    }
}
