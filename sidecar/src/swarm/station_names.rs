//! [`StationNames`]: finds the name of a station by the address of its relay or by its folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use constellation_shared::Station;

use crate::relay::address::Address;
use crate::relay::peer_id::PeerId;
use crate::swarm::peer::{self, Description, Peer, is_same_node};
use crate::swarm::station_name::StationName;

/// How many of the last characters of an id tell stations of the same name apart.
const END_OF_ID: usize = 6;

/// This station, whose name no other station gets.
#[derive(Debug, Default)]
pub(crate) struct OwnStation {
    /// The id of its IPFS node.
    pub node_id: Option<String>,
    /// Its hostnames.
    pub hosts: Vec<String>,
}

impl OwnStation {
    /// Finds out who this station is.
    pub(crate) fn find(station: &Station) -> Self {
        let machine = fs::read_to_string("/proc/sys/kernel/hostname");
        let described = peer::own_hosts(station);
        Self {
            node_id: peer::own_node_id(station),
            hosts: machine.into_iter().chain(described).collect(),
        }
    }
}

/// The names of the other stations.
#[derive(Debug, Default)]
pub(crate) struct StationNames {
    by_folder: BTreeMap<String, StationName>,
    /// `None` if several stations with different names give the address.
    by_address: BTreeMap<Address, Option<StationName>>,
}

impl StationNames {
    /// Finds the names of the described stations.
    pub(crate) fn of(descriptions: &[Description], own: &OwnStation) -> Self {
        let is_own = |description: &&Description| {
            let ids = [&description.folder]
                .into_iter()
                .chain(&description.node_id);
            let mut ids = ids.map(String::as_str);
            let own = own.node_id.as_deref();
            own.is_some_and(|own| ids.any(|id| is_same_node(own, id)))
        };
        let others = || descriptions.iter().filter(|other| !is_own(other));
        let mut seen: BTreeSet<String> = own.hosts.iter().map(|host| lower(host)).collect();
        let mut shared = seen.clone();
        for name in others().filter_map(|other| other.name.as_ref()) {
            let host = lower(name.host().unwrap_or_default());
            if !seen.insert(host.clone()) {
                shared.insert(host);
            }
        }
        let mut names = Self::default();
        for other in others() {
            let name = other.name.clone().map(|name| {
                let is_shared = name
                    .host()
                    .is_some_and(|host| shared.contains(&lower(host)));
                if is_shared {
                    name.told_apart_by(end_of_id(other))
                } else {
                    name
                }
            });
            if let Some(name) = &name {
                names.by_folder.insert(other.folder.clone(), name.clone());
            }
            for address in addresses(other) {
                let entry = names.by_address.entry(address);
                let known = entry.or_insert_with(|| name.clone());
                if *known != name {
                    *known = None;
                }
            }
        }
        names
    }

    /// The name of the station whose relay has this address.
    pub(crate) fn at(&self, address: &Address) -> Option<&StationName> {
        self.by_address.get(address)?.as_ref()
    }

    /// Names these peers, those that are known.
    pub(crate) fn name(&self, peers: &mut [Peer]) {
        for peer in peers {
            peer.station = self.at(&peer.address).cloned();
        }
    }

    /// The name of the station with this folder.
    pub(crate) fn of_folder(&self, folder: &str) -> Option<&StationName> {
        self.by_folder.get(folder)
    }
}

fn lower(host: &str) -> String {
    host.trim().to_ascii_lowercase()
}

/// The addresses at which a station is reached: the one that it announces, and its own tunnel. Its
/// folder is named by its node, so it does not name the tunnel to another node.
pub(crate) fn addresses(description: &Description) -> impl Iterator<Item = Address> {
    let announced = description.relay.as_deref();
    let announced = announced.and_then(|relay| Address::parse(relay).ok());
    let announced = announced.map(Address::without_query);
    let announced = announced.filter(|address| !address.is_behind_tunnel());
    let node: Option<PeerId> = description
        .node_id
        .as_deref()
        .and_then(|id| id.parse().ok());
    let folder: Option<PeerId> = description.folder.parse().ok();
    let node = node.filter(|node| folder.is_none_or(|folder| folder == *node));
    let tunnel = node.filter(|_| description.offers_tunnel);
    announced.into_iter().chain(tunnel.map(Address::behind))
}

/// The end of the name of a station's folder, which is its id.
fn end_of_id(description: &Description) -> String {
    let id = &description.folder;
    let letters: Vec<char> = id.chars().filter(char::is_ascii_alphanumeric).collect();
    let from = letters.len().saturating_sub(END_OF_ID);
    letters.iter().skip(from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";
    const OTHER: &str = "16Uiu2HAmUaSHarwwYMmAjo8hCbK3uXSAVgTKCqEZqqyeXvUYiXXg";

    fn described(folder: &str, relay: &str, host: &str) -> Description {
        Description {
            folder: folder.to_owned(),
            relay: Some(relay.to_owned()),
            node_id: Some(folder.to_owned()),
            name: StationName::new(Some(host), None),
            ..Description::default()
        }
    }

    fn at(names: &StationNames, url: &str) -> Option<String> {
        let address = Address::parse(url).unwrap();
        names.at(&address).map(ToString::to_string)
    }

    #[test]
    fn each_station_has_a_name_of_its_own() {
        let own = OwnStation {
            node_id: Some("self".to_owned()),
            hosts: vec!["Jupiter\n".to_owned()],
        };
        let all = [
            described("self", "wss://a", "jupiter"),
            described("A", "wss://a.org", "io"),
            described("..AAAAAAAA", "wss://b.org", "io"),
            described("BBBBBBBB", "wss://c.org", "JUPITER"),
            described("C", "wss://d.org", "europa"),
            described("D", "wss://e.org", "one"),
            described("E", "wss://e.org", "two"),
            described("F", "wss://f.org", ""),
        ];
        let names = StationNames::of(&all, &own);
        for (url, expected) in [
            ("wss://a", None),
            ("wss://a.org", Some("io~A")),
            ("wss://b.org", Some("io~AAAAAA")),
            ("wss://c.org", Some("JUPITER~BBBBBB")),
            ("wss://d.org", Some("europa")),
            ("wss://e.org", None),
            ("wss://f.org", None),
        ] {
            assert_eq!(at(&names, url).as_deref(), expected, "{url}");
        }
        let of_folder = |folder| names.of_folder(folder).map(ToString::to_string);
        assert_eq!(of_folder("D").as_deref(), Some("one"));
        assert_eq!(of_folder("self"), None);
    }

    #[test]
    fn a_station_names_its_own_tunnel_only() {
        let tunnelled = |folder: &str, node: &str, host| Description {
            node_id: Some(node.to_owned()),
            offers_tunnel: true,
            ..described(folder, "ws://127.0.0.1:7777", host)
        };
        let all = [tunnelled(ID, ID, "io"), tunnelled(OTHER, ID, "evil")];
        let names = StationNames::of(&all, &OwnStation::default());
        let tunnel = Address::behind(ID.parse().unwrap());
        let name = names.at(&tunnel).map(ToString::to_string);
        assert_eq!(name.as_deref(), Some("io"));
    }
}
