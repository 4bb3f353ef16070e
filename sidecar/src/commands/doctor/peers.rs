//! `doctor` about the other stations: which of them can be reached, their limits, and what they
//! show.

use std::path::{Path, PathBuf};
use std::time::Duration;

use constellation_shared::counted;
use constellation_shared::kinds::{DIRECT_MESSAGE, PROFILE};
use futures_util::future::join_all;
use tokio::time::timeout;

use crate::commands::doctor::clock;
use crate::commands::doctor::finding::{Finding, Remedy, quoted};
use crate::commands::probe::{self, Probe, Unanswered};
use crate::context::Context;
use crate::relay::address::Address;
use crate::relay::connection::{ConnectError, Connector, NO_WEBSOCKET};
use crate::relay::nip11::{Information, InformationError};
use crate::relay::tunnel::ipfs::{Ipfs, IpfsError};
use crate::report::history::RunHistory;
use crate::support::error_chain::chain;
use crate::support::sanitize::for_terminal;
use crate::support::state_file;
use crate::swarm::passed_over::PassedOver;
use crate::swarm::peer::Peer;

/// How long all that is asked of a peer may take together.
const PATIENCE: Duration = Duration::from_secs(9);

/// How long the IPFS daemon may take to answer.
const IPFS_PATIENCE: Duration = Duration::from_secs(8);

/// With lower limits than these, a peer has to be sent so many small requests that a run takes
/// long.
const LEAST_LIMIT: u64 = 100;
const LEAST_MESSAGE: u64 = 16_384;

/// How much of a foreign text is shown, in characters.
const LONGEST: usize = 300;

/// What to do about one peer that fails.
const OTHERS_ARE_SYNCED: &str =
    "nothing here: the other peers are synced; if this lasts, tell its captain";

/// How many peers are named in one finding.
const MOST_NAMED: usize = 5;

/// What one peer replied.
#[derive(Debug)]
struct PeerReply {
    address: Address,
    /// The peer as it is shown to people.
    shown: String,
    /// Whether its station is reached in another way if this is no relay.
    may_be_no_relay: bool,
    /// `None` if the peer is behind a tunnel and none was to be opened.
    answer: Option<Result<Answer, String>>,
}

/// Whether a peer answers a question.
#[derive(Debug, PartialEq, Eq)]
enum Shows {
    Yes,
    /// Only to clients who say who they are.
    Kept,
    /// Why not.
    No(String),
}

/// What a peer that can be reached says and shows.
#[derive(Debug)]
struct Answer {
    /// The peer's information document, or why there is none.
    information: Result<Information, String>,
    /// By how many seconds its clock is ahead of ours.
    ahead: Option<i64>,
    /// Whether it shows what it was asked for.
    shows: Shows,
}

/// What is known of the peers.
#[derive(Debug)]
pub(crate) struct Facts {
    swarm: PathBuf,
    ipfs_program: PathBuf,
    /// This station's own IPFS peer id, if it is known.
    own_node: Option<String>,
    /// How many stations are not described now, but were until lately.
    recalled_stations: usize,
    /// Whether the peers were given with `--peer`.
    given: bool,
    /// Whether no run of this station has ever met a peer.
    is_new: bool,
    passed_over: Vec<String>,
    replies: Vec<PeerReply>,
    /// Whether the IPFS daemon answers; `None` if no peer is behind a tunnel.
    ipfs: Option<Result<(), IpfsError>>,
    /// Whether direct messages are wanted.
    dms: bool,
}

impl Facts {
    /// Asks all of them at once; `dms` says whether direct messages are wanted.
    pub(crate) async fn gather(context: &Context, probe: &Probe, dms: bool) -> Self {
        let kind = if dms { DIRECT_MESSAGE } else { PROFILE };
        let asking = probe.peers.iter().map(async |peer| {
            let answer = if probe.may_ask(peer) {
                Some(ask(&peer.address, &probe.connector, kind).await)
            } else {
                None
            };
            PeerReply {
                address: peer.address.clone(),
                shown: peer.shown(),
                may_be_no_relay: peer.may_be_no_relay(),
                answer,
            }
        });
        let behind_tunnels = |peer: &Peer| peer.address.tunnel().is_some();
        let ipfs_program = context.ipfs_program();
        let ipfs = async {
            if probe.peers.iter().any(behind_tunnels) {
                let ipfs = Ipfs::new(ipfs_program.clone(), IPFS_PATIENCE);
                Some(ipfs.list().await.map(drop))
            } else {
                None
            }
        };
        let (replies, ipfs) = tokio::join!(join_all(asking), ipfs);
        let show = |why: &PassedOver| for_terminal(&why.to_string(), LONGEST);
        Self {
            passed_over: probe.passed_over.iter().map(show).collect(),
            swarm: context.station.swarm_dir(),
            ipfs_program: ipfs_program.path,
            own_node: probe.own_node.clone(),
            recalled_stations: probe.recalled_stations,
            given: !context.options.peer.is_empty(),
            is_new: has_met_nobody(&context.file(state_file::RUNS.name)),
            replies,
            ipfs,
            dms,
        }
    }

    /// What is wrong with them, and with our clock beside theirs.
    pub(crate) fn judge(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        findings.extend(self.judge_own_node());
        findings.extend(self.passed_over.iter().map(|why| {
            let remedy = Remedy::explain("nothing here: that station's captain must mend it, or its folder in tmp/swarm be deleted");
            Finding::warn("peer_passed_over", why, remedy)
        }));
        if self.recalled_stations > 0 {
            findings.push(Finding::ok(
                "swarm_emptied",
                format!(
                    "{} of the swarm without a description now, as each evening when the station's scripts empty tmp/swarm: asked as known within the last 24 hours",
                    counted(self.recalled_stations, "station")
                ),
            ));
        }
        if self.replies.is_empty() {
            findings.push(self.judge_loneliness());
            return findings;
        }
        findings.extend(self.judge_reached());
        findings.extend(self.judge_ipfs());
        findings.extend(self.judge_direct_messages());
        let ahead = self.answers().filter_map(|(_, answer)| answer.ahead);
        findings.push(clock::judge(ahead.collect()));
        findings
    }

    /// The peers that answered, as they are shown to people, and what they answered.
    fn answers(&self) -> impl Iterator<Item = (&str, &Answer)> {
        self.replies.iter().filter_map(|reply| {
            let answer = reply.answer.as_ref()?.as_ref().ok()?;
            Some((reply.shown.as_str(), answer))
        })
    }

    /// No station can be asked: a fault, unless this one is new and has not met any yet.
    fn judge_loneliness(&self) -> Finding {
        let path = self.swarm.display();
        if self.is_new && self.passed_over.is_empty() {
            return Finding::warn(
                "no_peers_yet",
                format!("this station has not met another one yet: {path} holds no 12345.json"),
                Remedy::from("ipfs swarm peers | head -n 3").because(
                    "that is normal on a new station: its own scripts fill the folder within hours once IPFS is connected, which this shows; or say whom to ask: --peer URL",
                ),
            );
        }
        Finding::fail(
            "no_peers",
            format!("{path} holds no 12345.json of a station that can be asked"),
            Remedy::from("ipfs swarm peers | head -n 3").because(
                "the station's own scripts fill that folder as long as IPFS is connected, which this shows; or say whom to ask: --peer URL",
            ),
        )
    }

    fn judge_own_node(&self) -> Option<Finding> {
        match &self.own_node {
            _ if self.given => None,
            Some(id) => Some(Finding::ok(
                "own_node",
                format!("our own node is {}", for_terminal(id, LONGEST)),
            )),
            None => Some(Finding::warn(
                "own_node_unknown",
                "our own IPFS node is unknown, so our own relay may be taken for a peer",
                Remedy::from("export IPFSNODEID=\"$(ipfs id -f '<id>')\"").because(
                    "if ~/.ipfs/config is missing, ipfs init makes it; if kubo keeps it elsewhere, set IPFS_PATH to that folder; or say who we are",
                ),
            )),
        }
    }

    fn judge_reached(&self) -> Vec<Finding> {
        let asked = self
            .replies
            .iter()
            .filter(|reply| reply.answer.is_some())
            .count();
        if asked > 0 && self.answers().next().is_none() {
            let reasons = self.replies.iter().filter_map(|reply| {
                let why = reply.answer.as_ref()?.as_ref().err()?;
                Some(format!("{}: {why}", reply.shown))
            });
            let reasons: Vec<String> = reasons.take(MOST_NAMED).collect();
            return vec![Finding::fail(
                "no_peer_reached",
                match asked {
                    1 => format!("the only peer does not answer: {}", reasons.join("; ")),
                    _ => format!("none of the {asked} peers answers: {}", reasons.join("; ")),
                },
                Remedy::from("ping -c 1 1.1.1.1")
                    .run("getent hosts example.org")
                    .because("is this machine online?"),
            )];
        }
        // Without IPFS there are no tunnels, which is said of IPFS.
        let without_ipfs = matches!(self.ipfs, Some(Err(_)));
        let replies = self.replies.iter();
        replies
            .filter(|reply| !without_ipfs || reply.address.tunnel().is_none())
            .map(judge_one)
            .collect()
    }

    fn judge_ipfs(&self) -> Option<Finding> {
        let program = quoted(&self.ipfs_program);
        Some(match self.ipfs.as_ref()? {
            Ok(()) => Finding::ok("ipfs", "the IPFS daemon answers"),
            Err(error @ IpfsError::Start(..)) => Finding::fail(
                "ipfs_missing",
                chain(error),
                Remedy::explain("install IPFS (kubo), or say where it is: --ipfs PATH"),
            ),
            Err(error @ IpfsError::Exit { message, .. }) if message.contains("stream mounting") => {
                Finding::fail(
                    "ipfs_tunnels_off",
                    chain(error),
                    format!(
                        "{program} config --json Experimental.Libp2pStreamMounting true && sudo systemctl restart ipfs"
                    ),
                )
            }
            Err(error) => Finding::fail(
                "ipfs_daemon",
                format!("peers are behind tunnels, and {}", chain(error)),
                Remedy::from("sudo systemctl restart ipfs").because(
                    "if it runs in a container or as another user, use --ipfs-api /ip4/127.0.0.1/tcp/5001 instead",
                ),
            ),
        })
    }

    fn judge_direct_messages(&self) -> Option<Finding> {
        if !self.dms {
            return None;
        }
        let keeping = self
            .answers()
            .filter(|(_, answer)| answer.shows == Shows::Kept);
        let keeping: Vec<&str> = keeping.map(|(shown, _)| shown).collect();
        let named = keeping.get(..MOST_NAMED).unwrap_or(&keeping).join(", ");
        match keeping.len() {
            0 => None,
            count => Some(Finding::warn(
                "peers_keep_dms",
                format!(
                    "direct messages (kind 4) cannot be fetched from {}, which {} them only to clients who authenticate: {named}",
                    counted(count, "peer"),
                    if count == 1 { "shows" } else { "show" }
                ),
                Remedy::explain(
                    "their captains can change that: relay.auth.restrictedReadKinds = \"\" in their strfry.conf; or leave them out: --no-dms",
                ),
            )),
        }
    }
}

/// Whether no run of this station has ever met a peer, by the memory of its runs.
fn has_met_nobody(runs: &Path) -> bool {
    let history = RunHistory::load(runs);
    let mut runs = history.runs.iter();
    history.last_success_at.is_none() && runs.all(|run| run.peers == 0)
}

fn judge_one(reply: &PeerReply) -> Finding {
    let shown = &reply.shown;
    let answer = match &reply.answer {
        None => {
            return Finding::unknown(
                "peer_not_asked",
                format!("{shown} is behind a tunnel, and was not asked"),
                "constellation-sync doctor --tunnels",
            );
        }
        Some(Err(why)) if reply.may_be_no_relay && why.ends_with(&format!("[{NO_WEBSOCKET}]")) => {
            let text = format!(
                "{shown} is no relay: stations that announce it are asked through their own tunnels"
            );
            return Finding::ok("peer", text);
        }
        Some(Err(why)) => {
            return Finding::warn(
                "peer_unreachable",
                format!("{shown} cannot be reached: {why}"),
                Remedy::explain(OTHERS_ARE_SYNCED),
            );
        }
        Some(Ok(answer)) => answer,
    };
    if let Shows::No(why) = &answer.shows {
        return Finding::warn(
            "peer_refuses",
            format!("{shown} refuses every request: {why}"),
            Remedy::explain(OTHERS_ARE_SYNCED),
        );
    }
    let information = match &answer.information {
        Ok(information) => information,
        Err(why) => {
            return Finding::warn(
                "peer_without_nip11",
                format!(
                    "{shown} has no information document (NIP-11): {why}; the usual limits are assumed"
                ),
                Remedy::explain(
                    "nothing here: the proxy in front of that relay must pass plain HTTP requests on to it",
                ),
            );
        }
    };
    let number = |limit: Option<u64>| limit.map_or("?".to_owned(), |limit| limit.to_string());
    let words = format!(
        "{shown} is {}, {} events at once, messages of {} bytes",
        information.software.as_deref().unwrap_or("a relay"),
        number(information.max_limit),
        number(information.max_message_length),
    );
    let low = |limit: Option<u64>, least| limit.is_some_and(|limit| limit < least);
    if low(information.max_limit, LEAST_LIMIT) || low(information.max_message_length, LEAST_MESSAGE)
    {
        return Finding::warn(
            "peer_low_limits",
            format!("{words}: syncing with it takes long"),
            Remedy::explain(
                "nothing here: relay.maxFilterLimit = 500 and relay.maxWebsocketPayloadSize = 131072 in its strfry.conf",
            ),
        );
    }
    if information.negentropy {
        Finding::ok("peer", format!("{words}, NIP-77"))
    } else {
        Finding::warn(
            "peer_without_nip77",
            format!("{words}, no NIP-77: all its events are paged through"),
            Remedy::explain(
                "nothing here: relay.negentropy.enabled = true in its strfry.conf, or a newer strfry",
            ),
        )
    }
}

/// Asks a peer for its document and for an event, over two connections at once.
async fn ask(address: &Address, connector: &Connector, kind: u16) -> Result<Answer, String> {
    let one = serde_json::json!({"kinds": [kind], "limit": 1});
    let both = async {
        tokio::join!(
            Information::fetch_dated(address, connector),
            probe::ask(&one, address, connector)
        )
    };
    let answers = timeout(PATIENCE, both).await;
    let (document, shows) =
        answers.map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))?;
    let unreachable = |error: &ConnectError| format!("{} [{}]", chain(error), error.code());
    let shows = match shows {
        Ok(_) => Shows::Yes,
        Err(Unanswered::Connect(error)) => return Err(unreachable(&error)),
        Err(Unanswered::Kept) => Shows::Kept,
        Err(error) => Shows::No(format!(
            "{} [{}]",
            for_terminal(&chain(&error), LONGEST),
            error.code()
        )),
    };
    let (information, date) = match document {
        Ok((information, date)) => (Ok(information), date),
        Err(InformationError::Connect(error)) => return Err(unreachable(&error)),
        Err(error) => (Err(for_terminal(&chain(&error), LONGEST)), None),
    };
    Ok(Answer {
        information,
        ahead: date.as_deref().and_then(clock::ahead),
        shows,
    })
}
