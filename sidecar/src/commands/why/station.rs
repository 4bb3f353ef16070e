//! `why` about a station of the swarm: how its relay is reached, whether it answers, and what came of
//! it in the last run.

use serde_json::{Value, json};

use crate::commands::error::SyncError;
use crate::commands::probe::Probe;
use crate::commands::why::answer::{Answer, Reply, ask};
use crate::context::Context;
use crate::report::document::Peer as LastRun;
use crate::report::last;
use crate::support::clock::unix_time;
use crate::support::humanize::{duration, number_of};
use crate::support::sanitize::for_terminal;
use crate::support::state_file;
use crate::swarm::peer::{Description, Peer};
use crate::swarm::station_name::with_address;
use crate::swarm::station_names::addresses;

/// How much of a foreign text is shown, in characters.
const LONGEST: usize = 300;

/// What is known of a station.
struct Found<'a> {
    description: &'a Description,
    /// What it is called, or else the name of its folder.
    name: String,
    /// The peer that it is, if a run asks it.
    peer: Option<&'a Peer>,
    /// Why no run asks it, if that is known.
    passed_over: Option<String>,
    /// What came of asking it now.
    reply: Option<Reply>,
    /// What came of it in the last run.
    last: Option<LastRun>,
}

/// Tells of the station with this folder in `tmp/swarm`.
///
/// # Errors
/// None that is known of.
pub(crate) async fn look_into(
    context: &Context,
    probe: &Probe,
    folder: &str,
) -> Result<Answer, SyncError> {
    let mut descriptions = probe.descriptions.iter();
    let unknown = Description::default();
    let description = descriptions.find(|described| described.folder == folder);
    let description = description.unwrap_or(&unknown);
    let here: Vec<_> = addresses(description).collect();
    let peer = probe.peers.iter().find(|peer| here.contains(&peer.address));
    let filter = json!({"limit": 1});
    let mut replies = ask(probe, &filter, peer.into_iter()).await;
    let name = probe.names.of_folder(folder).map(ToString::to_string);
    let passed_over = probe.passed_over.iter().find(|why| why.is_of(folder));
    let found = Found {
        description,
        name: name.unwrap_or_else(|| for_terminal(folder, LONGEST)),
        peer,
        passed_over: passed_over.map(|why| for_terminal(&why.to_string(), LONGEST)),
        reply: replies.pop().map(|reply| reply.reply),
        last: peer.and_then(|peer| last_run(context, &peer.url())),
    };
    Ok(found.answer(folder))
}

/// What came of a peer in the last run.
fn last_run(context: &Context, url: &str) -> Option<LastRun> {
    let document = last::load(&context.file(state_file::REPORT.name));
    let peers = document.ok()??.peers;
    peers.into_iter().find(|peer| peer.url == url)
}

impl Found<'_> {
    fn answer(&self, folder: &str) -> Answer {
        let answers = match &self.reply {
            Some(Reply::Events(_)) => Some(true),
            Some(Reply::Failed { .. }) => Some(false),
            Some(Reply::NotAsked) | None => None,
        };
        let url = self.peer.map(Peer::url);
        let advice = self.advice();
        let mut lines = self.lines(url.as_deref());
        lines.extend(advice.iter().map(|advice| format!("What to do: {advice}")));
        let mut json = json!({
            "station": self.name,
            "folder": for_terminal(folder, LONGEST),
            "url": url,
            "captain": self.description.captain.map(|key| key.to_hex()),
            "node": self.description.node.map(|key| key.to_hex()),
            "asked": self.peer.is_some(),
            "passed_over": self.passed_over,
            "answers": answers,
            "last_run": self.last,
            "advice": advice,
        });
        if let (Some(Reply::Failed { code, reason }), Some(fields)) =
            (&self.reply, json.as_object_mut())
        {
            fields.insert("code".to_owned(), Value::from(*code));
            fields.insert("failure".to_owned(), Value::from(reason.as_str()));
        }
        Answer {
            exit_code: u8::from(self.peer.is_none() || answers == Some(false)),
            is_known: true,
            lines,
            json,
        }
    }

    fn lines(&self, url: Option<&str>) -> Vec<String> {
        let name = &self.name;
        let shown = url.map_or_else(|| name.clone(), |url| with_address(Some(name), url));
        let mut lines = vec![format!("About the station {shown}")];
        lines.push(match (&self.peer, &self.passed_over) {
            (Some(_), _) => format!("station {name} is one of those that runs ask"),
            (None, Some(why)) => format!("station {name} is not asked: {why}"),
            (None, None) if self.description.relay.is_none() => {
                format!("station {name} is not asked: its 12345.json says nothing of its relay")
            }
            (None, None) => format!(
                "station {name} is not asked: --peer names others, or another folder gives the same address"
            ),
        });
        lines.extend(self.reply.as_ref().map(|reply| match reply {
            Reply::Events(_) => "  it answers now".to_owned(),
            Reply::Failed { code, reason } => {
                format!("  it does not answer now: {reason} [{code}]")
            }
            Reply::NotAsked => {
                "  it is behind a tunnel, and was not asked now (--tunnels asks)".to_owned()
            }
        }));
        if self.peer.is_some() {
            lines.push(self.last_words());
        }
        for (role, key) in [
            ("captain", self.description.captain),
            ("node", self.description.node),
        ] {
            lines.extend(key.map(|key| format!("  key of its {role}: {}", key.to_bech32())));
        }
        lines
    }

    /// What came of it in the last run, in words.
    fn last_words(&self) -> String {
        let Some(last) = &self.last else {
            return "  the last run did not ask it, or there was none yet".to_owned();
        };
        let events = number_of(last.collected, "event");
        let until = last.complete_until.map(|until| {
            let ago = duration(unix_time().saturating_sub(until));
            format!("; everything up to {ago} ago is here")
        });
        let until = until.unwrap_or_default();
        match &last.failure {
            None => format!("  the last run brought {events}, and all that it has{until}"),
            Some(why) => {
                let code = last.code.as_deref().unwrap_or_default();
                format!("  the last run brought {events}, and not all: {why} [{code}]{until}")
            }
        }
    }

    fn advice(&self) -> Option<&'static str> {
        match (&self.peer, &self.reply) {
            (None, _) => Some(
                "nothing here: its captain must mend its 12345.json; its address may be asked by hand: constellation-sync --peer URL",
            ),
            (_, Some(Reply::Failed { .. })) => {
                Some("nothing here: the other peers are synced; if this lasts, tell its captain")
            }
            (_, Some(Reply::NotAsked)) => {
                Some("to ask it through its tunnel, add --tunnels to this command")
            }
            _ if self
                .last
                .as_ref()
                .is_some_and(|last| last.failure.is_some()) =>
            {
                Some("ask it again now: constellation-sync trigger --now")
            }
            _ => None,
        }
    }
}
