//! The other stations and their relays, according to their descriptions below `tmp/swarm`. Anybody
//! may have written these files.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use constellation_shared::kubo::Repository;
use constellation_shared::list_file::{self, MOST_STATIONS, SwarmFolders};
use constellation_shared::{Pubkey, Station, counted, regular_file};
use tracing::warn;

use crate::relay::address::{Address, AddressError};
use crate::relay::guard::{Denial, Guard};
use crate::relay::peer_id::{NoPeerId, PeerId};
use crate::support::shell_json::text_fields;

/// The longest description that is read, in bytes.
const LONGEST: u64 = 256 * 1024;

/// The longest text of a description that is kept, in characters. A longer text is cut off, and is
/// then no valid URL, node id or pubkey.
const LONGEST_TEXT: usize = 1000;

/// What a station says of itself in its `12345.json`. Fields that are missing or of the wrong type
/// are `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    /// The name of its folder.
    pub folder: String,
    /// The address of its relay.
    pub relay: Option<String>,
    /// The IPFS peer id of its node.
    pub node_id: Option<String>,
    /// Its captain's pubkey.
    pub captain: Option<Pubkey>,
    /// The station's own pubkey.
    pub node: Option<Pubkey>,
    /// Whether its folder has a file `x_strfry.sh`, which means that it offers its relay through an
    /// IPFS tunnel.
    pub offers_tunnel: bool,
}

impl Description {
    /// Reads a description; `None` if it is no JSON object. A shell script wrote it, so it may
    /// hold what only `jq` takes for JSON.
    pub fn parse(json: &[u8]) -> Option<Self> {
        let names = ["myRELAY", "ipfsnodeid", "captainHEX", "NODEHEX"];
        let texts = text_fields(json, names)?.map(|text| {
            let text = text?;
            let text = text.trim();
            (!text.is_empty()).then(|| text.chars().take(LONGEST_TEXT).collect::<String>())
        });
        let [relay, node_id, captain, node] = texts;
        let key = |text: Option<String>| text?.parse().ok();
        Some(Self {
            folder: String::new(),
            relay,
            node_id,
            captain: key(captain),
            node: key(node),
            offers_tunnel: false,
        })
    }
}

/// A peer that a run can ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The id of its IPFS node, if its folder of the swarm is named by one. IPNS vouches for that
    /// name; whatever else the folder holds is what its author wrote.
    pub node: Option<PeerId>,
    /// The address of its relay.
    pub address: Address,
}

impl Peer {
    /// The peer at an address, of which no more is known.
    pub const fn at(address: Address) -> Self {
        Self {
            node: None,
            address,
        }
    }

    /// The name by which the peer is remembered: the id of its node, which stays the same when its
    /// relay moves, or else the URL of its relay.
    pub fn name(&self) -> String {
        match &self.node {
            Some(node) => node.in_base58(),
            None => self.url(),
        }
    }

    /// The URL of its relay.
    pub fn url(&self) -> String {
        self.address.to_string()
    }
}

/// The peers at these addresses, without duplicates.
pub(crate) fn given(addresses: &[Address]) -> Vec<Peer> {
    let mut peers: Vec<Peer> = Vec::new();
    for address in addresses {
        if !peers.iter().any(|peer| peer.address == *address) {
            peers.push(Peer::at(address.clone()));
        }
    }
    peers
}

/// Why a station of the swarm is not asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PassedOver {
    /// The folder of all stations cannot be read.
    #[error("{0} cannot be read: {1}")]
    Swarm(String, io::Error),
    /// There are more folders than are looked at.
    #[error(
        "{n} of the swarm passed over: only the first {MOST_STATIONS} by name are looked at; delete folders of tmp/swarm that are no station's",
        n = counted(*.0, "station")
    )]
    TooMany(u64),
    /// Its description cannot be read.
    #[error("{0} is passed over: {1}")]
    Unreadable(String, io::Error),
    /// Its description is no JSON object.
    #[error("{0} is passed over: not a JSON object")]
    NoObject(String),
    /// The address of its relay is invalid.
    #[error("peer {0:?} is passed over: its myRELAY is {1}")]
    Relay(String, AddressError),
    /// Its relay listens only on its own machine, and it offers no tunnel.
    #[error(
        "peer {0:?} is passed over: {1} listens on its own machine only, and it offers no tunnel"
    )]
    NoTunnel(String, Address),
    /// The address is that of this station's own relay.
    #[error("peer {0:?} is passed over: {1} is this station's own relay")]
    Own(String, Address),
    /// The address belongs to this machine or to a private network.
    #[error(
        "peer {0:?} is passed over: {1} is an address of this machine or of a private network; --allow-private-peers allows it"
    )]
    Private(String, Address),
    /// Its node id is invalid.
    #[error("peer {0:?} is passed over: its ipfsnodeid {1:?} is {2}")]
    NodeId(String, String, NoPeerId),
}

fn warn_of(passed_over: Vec<PassedOver>) {
    for why in passed_over {
        warn!("{why}");
    }
}

/// Reads the descriptions of all stations of the swarm. One that cannot be read causes a warning
/// and is passed over.
pub fn descriptions(station: &Station) -> Vec<Description> {
    let (descriptions, passed_over) = read_descriptions(station);
    warn_of(passed_over);
    descriptions
}

/// Reads the descriptions of all stations of the swarm, and the reasons why some are passed over.
pub(crate) fn read_descriptions(station: &Station) -> (Vec<Description>, Vec<PassedOver>) {
    let mut passed_over = Vec::new();
    let folders = list_file::swarm_folders(station).unwrap_or_else(|error| {
        let swarm = station.swarm_dir().display().to_string();
        passed_over.push(PassedOver::Swarm(swarm, error));
        SwarmFolders::default()
    });
    if folders.passed_over > 0 {
        passed_over.push(PassedOver::TooMany(folders.passed_over));
    }
    let mut descriptions = Vec::new();
    for folder in folders.paths {
        let path = folder.join(Station::SWARM_DESCRIPTION);
        let json = match read_foreign(&path) {
            Ok(json) => json,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                passed_over.push(PassedOver::Unreadable(path.display().to_string(), error));
                continue;
            }
        };
        let Some(mut description) = Description::parse(&json) else {
            passed_over.push(PassedOver::NoObject(path.display().to_string()));
            continue;
        };
        description.folder = folder
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        description.offers_tunnel = fs::symlink_metadata(folder.join(Station::SWARM_TUNNEL))
            .is_ok_and(|metadata| metadata.is_file());
        descriptions.push(description);
    }
    (descriptions, passed_over)
}

/// Reads a small regular file that anybody may have written, without following links.
fn read_foreign(path: &Path) -> io::Result<Vec<u8>> {
    let file = regular_file::open_without_following(path)?;
    if file.metadata()?.len() > LONGEST {
        return Err(io::Error::other("larger than 256 kB"));
    }
    let mut content = Vec::new();
    file.take(LONGEST).read_to_end(&mut content)?;
    Ok(content)
}

/// This station's own IPFS peer id: the variable `IPFSNODEID`, else the one in kubo's configuration.
pub(crate) fn own_node_id(station: &Station) -> Option<String> {
    if let Ok(id) = env::var("IPFSNODEID")
        && !id.trim().is_empty()
    {
        return Some(id.trim().to_owned());
    }
    Repository::find(station, env::var_os("IPFS_PATH"))?.peer_id()
}

/// The addresses of this station's own relay in the description that it publishes
/// (`tmp/IPFSNODEID/12345.json`) and in its copy in the swarm.
pub(crate) fn own_relays(station: &Station) -> Vec<Address> {
    let id = own_node_id(station).filter(|id| !id.contains('/') && id != "..");
    let Some(id) = id else { return Vec::new() };
    let folders = [
        station.root().join("tmp").join(&id),
        station.swarm_dir().join(&id),
    ];
    let read = |folder: &PathBuf| {
        let json = read_foreign(&folder.join(Station::SWARM_DESCRIPTION)).ok()?;
        let relay = Description::parse(&json)?.relay?;
        let address = Address::parse(&relay).ok()?.without_query();
        // Every station without a public name gives the same address.
        (!address.is_behind_tunnel()).then_some(address)
    };
    folders.iter().filter_map(read).collect()
}

/// Whether two texts name the same IPFS node.
fn is_same_node(one: &str, other: &str) -> bool {
    let parsed = |id: &str| id.parse::<PeerId>().ok();
    one == other || parsed(one).is_some_and(|one| parsed(other) == Some(one))
}

/// The name that distinguishes this station from all others: its IPFS peer id, or else the
/// machine's id.
pub(crate) fn own_name(station: &Station) -> String {
    let machine = || fs::read_to_string("/etc/machine-id").unwrap_or_default();
    own_node_id(station).unwrap_or_else(machine)
}

/// The peers among the described stations, each relay and each node once and without our own: of
/// several, the first by the name of its folder. A station whose relay cannot or must not be
/// contacted causes a warning and is passed over.
pub fn peers(descriptions: &[Description], own_node_id: Option<&str>, guard: &Guard) -> Vec<Peer> {
    let (peers, passed_over) = sort_out(descriptions, own_node_id, guard);
    warn_of(passed_over);
    peers
}

/// The peers among the described stations, and the reasons why some stations are passed over.
pub(crate) fn sort_out(
    descriptions: &[Description],
    own_node_id: Option<&str>,
    guard: &Guard,
) -> (Vec<Peer>, Vec<PassedOver>) {
    let mut passed_over = Vec::new();
    let (mut seen, mut nodes) = (BTreeSet::new(), BTreeSet::new());
    let mut peers = Vec::new();
    for description in descriptions {
        let (Some(relay), Some(node_id)) = (&description.relay, &description.node_id) else {
            continue;
        };
        let is_own = own_node_id.is_some_and(|own| {
            is_same_node(own, node_id) || is_same_node(own, &description.folder)
        });
        if is_own {
            continue;
        }
        match address_of(description, relay, node_id, guard) {
            Ok(address) => {
                let node: Option<PeerId> = description.folder.parse().ok();
                let is_new = node.as_ref().is_none_or(|node| !nodes.contains(node));
                if is_new && seen.insert(address.clone()) {
                    nodes.extend(node.clone());
                    peers.push(Peer { node, address });
                }
            }
            Err(why) => passed_over.push(*why),
        }
    }
    (peers, passed_over)
}

/// The address by which a station's relay is reached, through a tunnel if need be.
fn address_of(
    description: &Description,
    relay: &str,
    node_id: &str,
    guard: &Guard,
) -> Result<Address, Box<PassedOver>> {
    let folder = || description.folder.clone();
    let address = Address::parse(relay)
        .map_err(|error| Box::new(PassedOver::Relay(folder(), error)))?
        .without_query();
    if !address.is_behind_tunnel() {
        return match guard.judge_literally(&address) {
            None => Ok(address),
            Some(Denial::Own) => Err(Box::new(PassedOver::Own(folder(), address))),
            Some(Denial::Private) => Err(Box::new(PassedOver::Private(folder(), address))),
        };
    }
    if !description.offers_tunnel {
        return Err(Box::new(PassedOver::NoTunnel(folder(), address)));
    }
    node_id.parse().map(Address::behind).map_err(|error| {
        let start = node_id.chars().take(80).collect();
        Box::new(PassedOver::NodeId(folder(), start, error))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";
    const ID_IN_BASE_36: &str = "k51qzi5uqu5dhdmyb9bd18pypu2wp5lpv2xnskfmrqa4lb5knqryrotb05e7or";

    use std::os::unix::fs::symlink;

    #[test]
    fn a_description_may_be_anything() {
        let key = Pubkey::from_bytes([7; 32]);
        let json = format!(
            r#"{{"myRELAY":" wss://a.org ","ipfsnodeid":"12D3KooA","captainHEX":"{key}","NODEHEX":7,"hostname":null}}"#
        );
        assert_eq!(
            Description::parse(json.as_bytes()),
            Some(Description {
                relay: Some("wss://a.org".to_owned()),
                node_id: Some("12D3KooA".to_owned()),
                captain: Some(key),
                ..Description::default()
            })
        );
        assert_eq!(
            Description::parse(br#"{"myRELAY":"","captainHEX":"x"}"#),
            Some(Description::default())
        );
        for nothing in ["", "[]", "{", "null"] {
            assert_eq!(Description::parse(nothing.as_bytes()), None);
        }
    }

    #[test]
    fn long_texts_of_a_description_are_cut_and_then_lead_nowhere() {
        let long = "x".repeat(65_000);
        let json = format!(
            r#"{{"myRELAY":"wss://a.org/{long}","ipfsnodeid":"{long}","captainHEX":"{long}"}}"#
        );
        let described = Description::parse(json.as_bytes()).unwrap();
        let relay = described.relay.unwrap();
        assert_eq!(relay.len(), LONGEST_TEXT);
        assert_eq!(described.node_id.unwrap().len(), LONGEST_TEXT);
        assert_eq!(described.captain, None);
        assert_eq!(Address::parse(&relay), Err(AddressError::TooLong));
    }

    #[test]
    fn foreign_files_lead_nowhere_and_stop_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let station = Station::new(dir.path());
        let folder = |name: &str| {
            let folder = station.swarm_dir().join(name);
            fs::create_dir_all(&folder).unwrap();
            folder
        };
        let secret = dir.path().join("secret");
        fs::write(&secret, r#"{"myRELAY":"ws://secret"}"#).unwrap();
        symlink(&secret, folder("link").join("12345.json")).unwrap();
        symlink("/dev/zero", folder("zero").join("12345.json")).unwrap();
        fs::create_dir(folder("dir").join("12345.json")).unwrap();
        let fifo = folder("fifo").join("12345.json");
        let mode = rustix::fs::Mode::RWXU;
        rustix::fs::mknodat(rustix::fs::CWD, fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let huge = fs::File::create(folder("huge").join("12345.json")).unwrap();
        huge.set_len(1 << 30).unwrap();
        fs::write(folder("half").join("12345.json"), "{\"myREL").unwrap();
        folder("empty");
        let good = folder("good");
        fs::write(good.join("12345.json"), r#"{"myRELAY":"ws://a"}"#).unwrap();
        fs::write(good.join("x_strfry.sh"), "#!/bin/sh").unwrap();
        assert_eq!(
            descriptions(&station),
            [Description {
                folder: "good".to_owned(),
                relay: Some("ws://a".to_owned()),
                offers_tunnel: true,
                ..Description::default()
            }]
        );
    }

    #[test]
    fn each_relay_is_one_peer_and_our_own_is_none() {
        let described = |relay: &str, node_id: &str| Description {
            relay: Some(relay.to_owned()),
            node_id: Some(node_id.to_owned()),
            ..Description::default()
        };
        let behind_tunnel = |folder: &str, node_id: &str| Description {
            folder: folder.to_owned(),
            offers_tunnel: true,
            ..described("ws://localhost:7777", node_id)
        };
        let all = [
            described("wss://own.org", "own"),
            described("wss://a.org", "A"),
            described("WSS://A.org:443/", "B"),
            described("ws://127.0.0.1:7777", "C"),
            behind_tunnel("own", ID),
            behind_tunnel("first", ID),
            behind_tunnel("second", ID_IN_BASE_36),
            behind_tunnel("hostile", "$(reboot)"),
            described("ftp://d.org", "D"),
            Description {
                relay: None,
                ..described("", "E")
            },
            Description {
                node_id: None,
                ..described("wss://f.org", "")
            },
        ];
        let found = peers(&all, Some("own"), &Guard::default());
        let addresses: Vec<String> = found.iter().map(|peer| peer.address.to_string()).collect();
        assert_eq!(
            addresses,
            ["wss://a.org".to_owned(), format!("/x/strfry-{ID}")]
        );
    }

    #[test]
    fn a_peer_is_known_by_its_folder_and_not_by_what_its_author_wrote() {
        let described = |folder: &str, relay: &str| Description {
            folder: folder.to_owned(),
            relay: Some(relay.to_owned()),
            node_id: Some("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N".to_owned()),
            ..Description::default()
        };
        let all = [
            described(ID_IN_BASE_36, "wss://a.org"),
            described(ID, "wss://b.org"),
            described("copy", "wss://a.org"),
            described("folder", "wss://c.org"),
        ];
        let found = peers(&all, None, &Guard::default());
        let names: Vec<String> = found.iter().map(Peer::name).collect();
        assert_eq!(names, [ID, "wss://c.org"], "each node and each relay once");
        let moved = [described(ID, "wss://elsewhere.org")];
        assert_eq!(peers(&moved, None, &Guard::default())[0].name(), ID);
    }

    #[test]
    fn the_own_id_is_in_kubo_s_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let station = Station::new(dir.path().join(".zen"));
        fs::create_dir(dir.path().join(".ipfs")).unwrap();
        fs::write(
            station.ipfs_dir().join("config"),
            r#"{"Identity":{"PeerID":"12D3KooSelf"}}"#,
        )
        .unwrap();
        assert_eq!(own_node_id(&station).as_deref(), Some("12D3KooSelf"));
    }
}
