//! [`sort_out`]: how the relay of each described station is reached, at the address that it announces or
//! through its own tunnel.
//!
//! A station without a public name announces an address that leads nowhere from here: its own
//! loopback address, or that of an IPFS gateway, which is the same for all such stations and no
//! relay at all. If it offers a tunnel, that one leads to it.

use std::collections::{BTreeMap, BTreeSet};

use crate::relay::address::Address;
use crate::relay::guard::{Denial, Guard};
use crate::relay::peer_id::PeerId;
use crate::swarm::passed_over::{PassedOver, warn_of};
use crate::swarm::peer::{Description, Peer, is_same_node};

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
    let mut stations: Vec<Station> = Vec::new();
    let others = descriptions.iter().filter(|described| {
        let ids = described.node_id.iter().chain([&described.folder]);
        let mut ids = ids.map(String::as_str);
        own_node_id.is_none_or(|own| !ids.any(|id| is_same_node(own, id)))
    });
    for read in others.filter_map(Station::read) {
        match read {
            Ok(station) => stations.push(station),
            Err(why) => passed_over.push(*why),
        }
    }
    let shared = Shared::among(&stations);
    let mut found = Found::default();
    for station in stations {
        match station.way(guard, &shared) {
            Ok(peer) => found.add(peer),
            Err(why) => passed_over.push(*why),
        }
    }
    found.add_doubtful(&shared, guard);
    (found.peers, passed_over)
}

/// A station that may be asked.
struct Station {
    folder: String,
    /// The node that its folder is named by.
    node: Option<PeerId>,
    /// The id of its node as it says itself.
    node_id: String,
    /// The address that it announces.
    address: Address,
    /// Its tunnel, if it offers one.
    tunnel: Option<Address>,
}

impl Station {
    /// Reads what a station says of its relay; `None` if it says nothing.
    fn read(description: &Description) -> Option<Result<Self, Box<PassedOver>>> {
        let (relay, node_id) = (description.relay.as_ref()?, description.node_id.as_ref()?);
        let folder = description.folder.clone();
        let address = match Address::parse(relay) {
            Ok(address) => address.without_query(),
            Err(error) => return Some(Err(Box::new(PassedOver::Relay(folder, error)))),
        };
        let tunnel = node_id.parse().map(Address::behind);
        if let (Err(error), true) = (&tunnel, address.is_behind_tunnel())
            && description.offers_tunnel
        {
            let start = node_id.chars().take(80).collect();
            return Some(Err(Box::new(PassedOver::NodeId(folder, start, *error))));
        }
        Some(Ok(Self {
            node: folder.parse().ok(),
            folder,
            node_id: node_id.clone(),
            address,
            tunnel: tunnel.ok().filter(|_| description.offers_tunnel),
        }))
    }

    /// The peer that it is: at its address, or behind its tunnel.
    fn way(self, guard: &Guard, shared: &Shared) -> Result<Peer, Box<PassedOver>> {
        let Self {
            folder,
            node,
            address,
            tunnel,
            ..
        } = self;
        let is_hidden = address.is_behind_tunnel();
        let denial = guard.judge_literally(&address);
        let leads_to_it = !is_hidden && denial.is_none() && !shared.is_shared(&address);
        let is_doubtful = shared.has_tunnel(&address);
        match (tunnel, denial) {
            (Some(tunnel), _) if !leads_to_it => Ok(Peer {
                node,
                ..Peer::at(tunnel)
            }),
            (None, _) if is_hidden => Err(Box::new(PassedOver::NoTunnel(folder, address))),
            (_, Some(Denial::Own)) => Err(Box::new(PassedOver::Own(folder, address))),
            (_, Some(Denial::Private)) => Err(Box::new(PassedOver::Private(folder, address))),
            (instead, None) => Ok(Peer {
                node,
                instead,
                is_doubtful,
                ..Peer::at(address)
            }),
        }
    }
}

/// The addresses that several stations announce.
#[derive(Default)]
struct Shared {
    /// Which stations announce each address, and whether any of them offers a tunnel.
    announced: BTreeMap<Address, (BTreeSet<String>, bool)>,
}

impl Shared {
    fn among(stations: &[Station]) -> Self {
        let mut shared = Self::default();
        for station in stations {
            let announced = shared.announced.entry(station.address.clone());
            let (nodes, has_tunnel) = announced.or_default();
            nodes.insert(station.node_id.clone());
            *has_tunnel |= station.tunnel.is_some();
        }
        let is_shared = |nodes: &BTreeSet<String>| nodes.len() > 1;
        shared
            .announced
            .retain(|address, (nodes, _)| is_shared(nodes) && !address.is_behind_tunnel());
        shared
    }

    fn is_shared(&self, address: &Address) -> bool {
        self.announced.contains_key(address)
    }

    /// Whether some of the stations that share an address are reached by tunnels of their own.
    fn has_tunnel(&self, address: &Address) -> bool {
        let announced = self.announced.get(address);
        announced.is_some_and(|(_, has_tunnel)| *has_tunnel)
    }
}

/// The peers, each relay and each node once.
#[derive(Default)]
struct Found {
    peers: Vec<Peer>,
    addresses: BTreeSet<Address>,
    nodes: BTreeSet<PeerId>,
}

impl Found {
    fn add(&mut self, peer: Peer) {
        let mut nodes = peer.node.iter();
        if nodes.all(|node| !self.nodes.contains(node))
            && self.addresses.insert(peer.address.clone())
        {
            self.nodes.extend(peer.node.clone());
            self.peers.push(peer);
        }
    }

    /// An address that several stations announce is asked once, too: whoever copies the address of
    /// another station does not get it asked through tunnels alone.
    fn add_doubtful(&mut self, shared: &Shared, guard: &Guard) {
        for address in shared.announced.keys() {
            if guard.judge_literally(address).is_none() {
                self.add(Peer {
                    is_doubtful: shared.has_tunnel(address),
                    ..Peer::at(address.clone())
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";
    const ID_IN_BASE_36: &str = "k51qzi5uqu5dhdmyb9bd18pypu2wp5lpv2xnskfmrqa4lb5knqryrotb05e7or";

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

    const OTHER: &str = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N";
    const GATEWAY: &str = "ws://ipfs.copylaradio.com";

    fn station(id: &str, relay: &str, offers_tunnel: bool) -> Description {
        Description {
            folder: id.to_owned(),
            relay: Some(relay.to_owned()),
            node_id: Some(id.to_owned()),
            offers_tunnel,
            ..Description::default()
        }
    }

    fn behind(id: &str) -> String {
        format!("/x/strfry-{}", id.parse::<PeerId>().unwrap())
    }

    fn urls(all: &[Description], guard: &Guard) -> Vec<String> {
        let found = peers(all, None, guard);
        found.iter().map(Peer::url).collect()
    }

    #[test]
    fn stations_that_announce_one_address_are_each_reached_by_their_own_tunnel() {
        let lan = [station(ID, GATEWAY, true), station(OTHER, GATEWAY, true)];
        let found = peers(&lan, None, &Guard::default());
        let urls: Vec<String> = found.iter().map(Peer::url).collect();
        assert_eq!(urls, [behind(ID), behind(OTHER), GATEWAY.to_owned()]);
        let named = found.iter().map(Peer::name).take(2);
        assert!(named.eq([ID, OTHER]));
        assert!(found[2].is_doubtful && found[2].node.is_none());
        // One of them offers none: it is asked at the address, which may be no relay.
        let lan = [station(ID, GATEWAY, true), station(OTHER, GATEWAY, false)];
        let found = peers(&lan, None, &Guard::default());
        let urls: Vec<String> = found.iter().map(Peer::url).collect();
        assert_eq!(urls, [behind(ID), GATEWAY.to_owned()]);
        assert_eq!(found[1].name(), OTHER);
        assert!(found[1].may_be_no_relay());
        // Without tunnels it is one relay, and has to be one.
        let lan = [station(ID, GATEWAY, false), station(OTHER, GATEWAY, false)];
        let found = peers(&lan, None, &Guard::default());
        assert_eq!(found.len(), 1);
        assert!(!found[0].may_be_no_relay());
    }

    #[test]
    fn a_single_station_s_tunnel_is_kept_in_case_its_address_is_no_relay() {
        let found = peers(&[station(ID, GATEWAY, true)], None, &Guard::default());
        assert_eq!(found[0].url(), GATEWAY);
        assert_eq!(
            found[0].instead.as_ref().map(ToString::to_string),
            Some(behind(ID))
        );
    }

    #[test]
    fn addresses_of_this_machine_and_of_a_lan_lead_to_a_tunnel_where_there_is_one() {
        for relay in [
            "ws://ipfs.localhost:7777",
            "ws://ipfs.localhost",
            "ws://localhost:9999",
            "ws://127.0.0.1:7777",
            "ws://192.168.1.7:7777",
        ] {
            let tunnelled = urls(&[station(ID, relay, true)], &Guard::default());
            assert_eq!(tunnelled, [behind(ID)], "{relay}");
            assert_eq!(
                urls(&[station(ID, relay, false)], &Guard::default()),
                [""; 0]
            );
        }
    }

    #[test]
    fn what_we_announce_ourselves_leads_to_no_other_station_but_its_tunnel_does() {
        use crate::relay::guard::OwnRelay;
        let own = OwnRelay {
            names: vec![Address::parse(GATEWAY).unwrap()],
            ..OwnRelay::default()
        };
        let guard = Guard::new(own, false, BTreeSet::new());
        assert_eq!(urls(&[station(ID, GATEWAY, true)], &guard), [behind(ID)]);
        assert_eq!(urls(&[station(ID, GATEWAY, false)], &guard), [""; 0]);
        let all = [station(ID, GATEWAY, true), station(OTHER, GATEWAY, true)];
        assert_eq!(urls(&all, &guard), [behind(ID), behind(OTHER)]);
    }
}
