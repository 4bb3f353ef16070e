//! [`Context`]: the options, the station and its paths, which every command works with; and the
//! peers that a run would ask.

pub(crate) mod settings;

use std::env;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use constellation_shared::Station;
use constellation_shared::kubo::Repository;
use constellation_shared::settings::Settings;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::options::Options;
use crate::plan::peer_memory::PeerMemory;
use crate::plan::recall::{Kept, Recall};
use crate::plan::selection::{self, Candidate, Identity, Selection};
use crate::relay::guard::{Guard, OwnRelay};
use crate::relay::identity::RelayIdentity;
use crate::relay::tunnel::ipfs::IpfsProgram;
use crate::strfry::Strfry;
use crate::strfry::conf::Conf;
use crate::strfry::plugin_line::PluginSettings;
use crate::support::machine::memory;
use crate::support::state_file;
use crate::swarm::followed;
use crate::swarm::peer::{self, Description, Peer};
use crate::swarm::reach;
use crate::swarm::station_names::{OwnStation, StationNames};

/// What a run works on.
#[derive(Debug)]
pub(crate) struct Context {
    /// What was asked of us.
    pub options: Options,
    /// The station.
    pub station: Station,
    /// What is not understood in the settings of the lists, in words.
    pub doubts: Vec<String>,
    /// What is wrong in a line of the settings file and passed over, in words.
    pub complaints: Vec<String>,
    /// What the settings file says.
    pub file: Settings,
    /// What strfry's plugin line tells the policy.
    pub plugin: PluginSettings,
    /// Whether a settings file that is not understood may name another blacklist than the one
    /// that is used.
    pub blacklist_is_unknown: bool,
    /// The progress bars.
    pub bars: MultiProgress,
}

/// What is recalled of stations and friends.
#[derive(Debug)]
pub(crate) struct Recalled {
    /// The friends who keep their standing although their list lacks them.
    pub kept: Kept,
    /// How many stations were added that are not described now.
    pub stations: usize,
    /// All of it, to be saved by a run.
    pub recall: Recall,
}

impl Context {
    /// This station's strfry.
    pub(crate) fn strfry(&self) -> Strfry {
        // Seen from where we were started; strfry's commands run in its own folder.
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        let folder = absolute(self.station.strfry_dir());
        let given = self.options.strfry.clone();
        let binary = given.map_or_else(|| folder.join("strfry"), absolute);
        let patience = Duration::from_secs(self.options.strfry_patience);
        Strfry::new(binary, folder, patience)
    }

    /// The ipfs program, and the daemon that it talks to.
    pub(crate) fn ipfs_program(&self) -> IpfsProgram {
        let given = self.options.ipfs_api.clone();
        let found = || Repository::find(&self.station, env::var_os("IPFS_PATH"))?.api();
        IpfsProgram {
            path: self.options.ipfs_program(),
            api: given.filter(|api| !api.is_empty()).or_else(found),
        }
    }

    /// Whether somebody looks on, and wants to see how a run goes and what came of it.
    pub(crate) fn has_audience(&self) -> bool {
        io::stderr().is_terminal() && !self.options.quiet
    }

    /// A progress bar or a number, hidden if nobody looks on.
    pub(crate) fn bar(&self, template: &str, message: String) -> ProgressBar {
        if !self.has_audience() {
            return ProgressBar::hidden();
        }
        let bar = self.bars.add(ProgressBar::new(0));
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(message);
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }

    /// A file of ours in strfry's folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.station.strfry_dir().join(name)
    }

    /// Adds the stations that were described until lately to those that are now, and finds the
    /// friends who keep their standing. Nothing is written.
    pub(crate) fn recall(&self, descriptions: &mut Vec<Description>, now: u64) -> Recalled {
        let mut recall = Recall::load(&self.file(state_file::SWARM.name));
        let stations = recall.stations(descriptions, now);
        let lists = followed::friend_lists(&self.station);
        Recalled {
            kept: recall.friends(&lists, now),
            stations,
            recall,
        }
    }

    /// Whom it would ask.
    pub(crate) fn peers(&self, descriptions: &[Description]) -> Vec<Peer> {
        let own = OwnStation::find(&self.station);
        let mut peers = if self.options.peer.is_empty() {
            reach::peers(descriptions, own.node_id.as_deref(), &self.guard())
        } else {
            peer::given(&self.options.peer)
        };
        StationNames::of(descriptions, &own).name(&mut peers);
        peers
    }

    /// Where connections may lead: peers of the swarm to other machines only, what the
    /// operator named anywhere.
    pub(crate) fn guard(&self) -> Guard {
        let conf = Conf::read(&self.strfry().conf()).ok().flatten();
        let conf = conf.unwrap_or_else(Conf::empty);
        let info = |name| conf.text(&["relay", "info", name]).ok().flatten();
        let own = OwnRelay {
            identity: RelayIdentity::new(info("name"), info("pubkey")),
            ..OwnRelay::on_this_machine(conf.relay_port(), peer::own_relays(&self.station))
        };
        let named = self.options.peer.iter().cloned();
        let named = named.chain(self.options.members.fallback());
        Guard::new(own, self.options.allow_private_peers, named.collect())
    }

    /// Which of these peers a backfill at `now`, Unix seconds, asks: all that were named,
    /// all of a small swarm, some of a large one.
    pub(crate) fn selection(
        &self,
        peers: &[Peer],
        peer_memory: &PeerMemory,
        now: u64,
    ) -> Selection {
        let own = Identity::of(&peer::own_name(&self.station));
        let candidates: Vec<Candidate> = peers
            .iter()
            .map(|peer| Candidate {
                identity: Identity::of(&peer.name()),
                history: peer_memory.history(peer),
            })
            .collect();
        let most = match self.options.max_peers {
            None if candidates.len() <= selection::ASK_ALL_UP_TO => candidates.len(),
            None if memory() < selection::SMALL_MEMORY => selection::PEERS_PER_RUN_WHERE_SMALL,
            None => selection::PEERS_PER_RUN,
            Some(most) => usize::from(most),
        };
        if self.options.peer.is_empty() {
            Selection::some(own, &candidates, most, now, &mut fastrand::Rng::new())
        } else {
            Selection::all(own, &candidates)
        }
    }
}
