//! What a run works on, and what it can say without doing anything.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use constellation_shared::Station;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::options::Options;
use crate::plan::peer_memory::Knowledge;
use crate::plan::selection::{self, Candidate, Choice, Identity};
use crate::relay::guard::{Guard, OwnRelay};
use crate::strfry::Strfry;
use crate::strfry::conf::Conf;
use crate::support::machine::memory;
use crate::swarm::peer::{self, Description, Peer};

/// What a run works on.
#[derive(Debug)]
pub struct Run {
    /// What was asked of us.
    pub options: Options,
    /// The station.
    pub station: Station,
    /// Where progress is shown.
    pub bars: MultiProgress,
}

impl Run {
    /// This station's strfry.
    pub fn strfry(&self) -> Strfry {
        // Seen from where we were started; strfry's commands run in its own folder.
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        let folder = absolute(self.station.strfry_dir());
        let given = self.options.strfry.clone();
        let binary = given.map_or_else(|| folder.join("strfry"), absolute);
        let patience = Duration::from_secs(self.options.strfry_patience);
        Strfry::new(binary, folder, patience)
    }

    /// A bar or a number that shows progress, where somebody looks on.
    pub fn bar(&self, template: &str, message: String) -> ProgressBar {
        if !io::stderr().is_terminal() {
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
    pub fn file(&self, name: &str) -> PathBuf {
        self.station.strfry_dir().join(name)
    }

    /// Whom it would ask.
    pub fn peers(&self, descriptions: &[Description]) -> Vec<Peer> {
        if !self.options.peer.is_empty() {
            return peer::given(&self.options.peer);
        }
        let own = peer::own_node_id(&self.station);
        peer::peers(descriptions, own.as_deref(), &self.guard())
    }

    /// Where connections may lead: peers of the swarm to other machines only, what the
    /// operator named anywhere.
    pub fn guard(&self) -> Guard {
        let conf = Conf::read(&self.strfry().conf()).ok().flatten();
        let port = conf.unwrap_or_else(Conf::empty).relay_port();
        let own = OwnRelay::on_this_machine(port, peer::own_relays(&self.station));
        let named = self.options.peer.iter().cloned();
        let named = named.chain(self.options.members.fallback());
        Guard::new(own, self.options.allow_private_peers, named.collect())
    }

    /// Which of these peers a backfill at `now`, Unix seconds, asks: all that were named,
    /// all of a small swarm, some of a large one.
    pub fn choice(&self, peers: &[Peer], knowledge: &Knowledge, now: u64) -> Choice {
        let own = Identity::of(&peer::own_name(&self.station));
        let candidates: Vec<Candidate> = peers
            .iter()
            .map(|peer| {
                let url = peer.url();
                Candidate {
                    identity: Identity::of(&url),
                    history: knowledge.history(&url),
                }
            })
            .collect();
        let most = match self.options.max_peers {
            None if candidates.len() <= selection::FEW => candidates.len(),
            None if memory() < selection::SMALL_MEMORY => selection::USUAL_WHERE_SMALL,
            None => selection::USUAL,
            Some(most) => usize::from(most),
        };
        match self.options.peer.is_empty() {
            true => Choice::some(own, &candidates, most, now, &mut fastrand::Rng::new()),
            false => Choice::all(own, &candidates),
        }
    }
}
