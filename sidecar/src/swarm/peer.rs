//! The other stations and their relays, according to their descriptions below `tmp/swarm`. Anybody
//! may have written these files.

use std::env;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use constellation_shared::kubo::Repository;
use constellation_shared::list_file::{self, SwarmFolders};
use constellation_shared::{Pubkey, Station, regular_file};

use crate::relay::address::Address;
use crate::relay::peer_id::PeerId;
use crate::support::shell_json::text_fields;
use crate::swarm::passed_over::{PassedOver, warn_of};
use crate::swarm::station_name::{StationName, with_address};

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
    /// What it calls itself and its captain.
    pub name: Option<StationName>,
    /// Whether its folder has a file `x_strfry.sh`, which means that it offers its relay through an
    /// IPFS tunnel.
    pub offers_tunnel: bool,
}

impl Description {
    /// Reads a description; `None` if it is no JSON object. A shell script wrote it, so it may
    /// hold what only `jq` takes for JSON.
    pub fn parse(json: &[u8]) -> Option<Self> {
        let names = [
            "myRELAY",
            "ipfsnodeid",
            "captainHEX",
            "NODEHEX",
            "hostname",
            "captain",
        ];
        let texts = text_fields(json, names)?.map(|text| {
            let text = text?;
            let text = text.trim();
            (!text.is_empty()).then(|| text.chars().take(LONGEST_TEXT).collect::<String>())
        });
        let [relay, node_id, captain, node, hostname, email] = texts;
        let key = |text: Option<String>| text?.parse().ok();
        Some(Self {
            folder: String::new(),
            relay,
            node_id,
            captain: key(captain),
            node: key(node),
            name: StationName::new(hostname.as_deref(), email.as_deref()),
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
    /// What its station calls itself, if that is known.
    pub station: Option<StationName>,
    /// The address of its relay.
    pub address: Address,
    /// The station's own tunnel, which is used if the address turns out to be no relay.
    pub instead: Option<Address>,
    /// Whether several stations announce the address, and some of them are reached by tunnels of
    /// their own: it may well be no relay.
    pub is_doubtful: bool,
}

impl Peer {
    /// The peer at an address, of which no more is known.
    pub const fn at(address: Address) -> Self {
        Self {
            node: None,
            station: None,
            address,
            instead: None,
            is_doubtful: false,
        }
    }

    /// Whether it is no failure if the address turns out to be no relay.
    pub const fn may_be_no_relay(&self) -> bool {
        self.is_doubtful || self.instead.is_some()
    }

    /// The name by which the peer is remembered: the id of its node, which stays the same when its
    /// relay moves, or else the URL of its relay.
    pub fn name(&self) -> String {
        match &self.node {
            Some(node) => node.in_base58(),
            None => self.url(),
        }
    }

    /// The peer as it is shown to people: the name of its station and the address of its relay.
    pub fn shown(&self) -> String {
        with_address(self.station.as_ref(), &self.address)
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

/// The addresses of this station's own relay in its descriptions.
pub(crate) fn own_relays(station: &Station) -> Vec<Address> {
    let relay = |description: Description| {
        let address = Address::parse(&description.relay?).ok()?.without_query();
        // Every station without a public name gives the same address.
        (!address.is_behind_tunnel()).then_some(address)
    };
    let own = own_descriptions(station);
    own.into_iter().filter_map(relay).collect()
}

/// This station's hostnames in its descriptions.
pub(crate) fn own_hosts(station: &Station) -> Vec<String> {
    let own = own_descriptions(station).into_iter();
    own.filter_map(|description| Some(description.name?.host()?.to_owned()))
        .collect()
}

/// What this station says of itself: in the description that it publishes
/// (`tmp/IPFSNODEID/12345.json`), and in its copy in the swarm.
fn own_descriptions(station: &Station) -> Vec<Description> {
    let id = own_node_id(station).filter(|id| !id.contains('/') && id != "..");
    let Some(id) = id else { return Vec::new() };
    let folders = [
        station.root().join("tmp").join(&id),
        station.swarm_dir().join(&id),
    ];
    let read = |folder: &PathBuf| {
        let json = read_foreign(&folder.join(Station::SWARM_DESCRIPTION)).ok()?;
        Description::parse(&json)
    };
    folders.iter().filter_map(read).collect()
}

/// Whether two texts name the same IPFS node.
pub(crate) fn is_same_node(one: &str, other: &str) -> bool {
    let parsed = |id: &str| id.parse::<PeerId>().ok();
    one == other || parsed(one).is_some_and(|one| parsed(other) == Some(one))
}

/// The name that distinguishes this station from all others: its IPFS peer id, or else the
/// machine's id.
pub(crate) fn own_name(station: &Station) -> String {
    let machine = || fs::read_to_string("/etc/machine-id").unwrap_or_default();
    own_node_id(station).unwrap_or_else(machine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::address::AddressError;

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
