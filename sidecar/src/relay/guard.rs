//! [`Guard`]: the machines to which an address from the swarm may lead.
//!
//! Any station can write any address into its `12345.json`. Without a guard, it could direct our
//! requests at services of this machine or of the captain's own network; and an old folder of
//! our own would make us sync with ourselves and call that a success. So each IP address that a
//! name resolves to is judged right before connecting, and the connection is made to exactly the
//! address that was judged.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::relay::address::Address;
use crate::relay::identity::RelayIdentity;
use crate::relay::ip::{embedded, is_public};

/// The ports of a web server. A web server on this machine is taken for the proxy in front of our
/// relay.
const PROXY_PORTS: [u16; 2] = [80, 443];

/// The timeout for looking up our own name.
const OWN_NAME_PATIENCE: Duration = Duration::from_secs(5);

/// Why an address is not connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// The address is that of our own relay.
    Own,
    /// The address belongs to this machine or to a network that others cannot reach.
    Private,
}

/// Why an address may not be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denied {
    /// The reason.
    pub denial: Denial,
    /// An IP address that led to it.
    pub ip: IpAddr,
}

/// What we recognise our own relay by.
#[derive(Debug, Default)]
pub struct OwnRelay {
    /// The port on which our strfry listens.
    pub port: Option<u16>,
    /// The addresses of our relay in our own descriptions (`myRELAY`).
    pub names: Vec<Address>,
    /// The addresses of this machine's network interfaces.
    pub interfaces: Vec<IpAddr>,
    /// What our relay calls itself.
    pub identity: Option<RelayIdentity>,
}

/// Judges where connections may lead.
#[derive(Debug, Default)]
pub struct Guard {
    own: OwnRelay,
    /// Whether peers may have addresses of this machine or of private networks.
    allow_private: bool,
    /// Addresses that the operator gave, which are all allowed.
    named: BTreeSet<Address>,
    /// The IP addresses of our own names, looked up when first needed.
    resolved: OnceCell<Vec<SocketAddr>>,
}

impl OwnRelay {
    /// A relay on this port of this machine that is known by these names.
    pub fn on_this_machine(port: u16, names: Vec<Address>) -> Self {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        let interfaces = interfaces.iter().map(if_addrs::Interface::ip);
        Self {
            port: Some(port),
            names,
            interfaces: interfaces.collect(),
            identity: None,
        }
    }

    /// Whether an address has the name of our own relay: the same host, and either the same port
    /// or both times the port of a web server.
    pub fn is_named(&self, address: &Address) -> bool {
        let is_proxy = |port: u16| PROXY_PORTS.contains(&port);
        self.names.iter().any(|own| {
            let (ours, theirs) = (own.port(), address.port());
            own.host() == address.host() && (ours == theirs || is_proxy(ours) && is_proxy(theirs))
        })
    }

    fn is_this_machine(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || ip.is_unspecified() || self.interfaces.contains(&ip)
    }

    /// Whether our own relay, or the proxy in front of it, listens there.
    fn listens(&self, ip: IpAddr, port: u16) -> bool {
        let is_ours = self.port == Some(port) || self.names.iter().any(|own| own.port() == port);
        self.is_this_machine(ip) && (is_ours || PROXY_PORTS.contains(&port))
    }
}

impl Guard {
    /// A guard that admits other machines on the internet, and the addresses that the operator
    /// gave.
    pub fn new(own: OwnRelay, allow_private: bool, named: BTreeSet<Address>) -> Self {
        Self {
            own,
            allow_private,
            named,
            resolved: OnceCell::new(),
        }
    }

    /// A guard that admits everything, for addresses that no other station chose.
    pub fn open() -> Self {
        Self {
            allow_private: true,
            ..Self::default()
        }
    }

    /// Whether the relay at an address calls itself what our own relay calls itself: a former
    /// name of ours behind a proxy or a router, whose IP address tells nothing.
    pub fn is_ours(&self, address: &Address, identity: Option<&RelayIdentity>) -> bool {
        let own = self.own.identity.as_ref();
        own.is_some() && own == identity && !self.named.contains(address)
    }

    /// Judges an address without looking up its name.
    pub fn judge_literally(&self, address: &Address) -> Option<Denial> {
        if self.named.contains(address) {
            return None;
        }
        if self.own.is_named(address) {
            return Some(Denial::Own);
        }
        let ip = match address.host().parse() {
            Ok(ip) => Some(ip),
            Err(_) if address.is_on_this_machine() => Some(IpAddr::from(Ipv4Addr::LOCALHOST)),
            Err(_) => None,
        };
        ip.and_then(|ip| self.judge(SocketAddr::new(ip, address.port()), &[]))
    }

    /// The IP addresses among `resolved` that we may connect to.
    ///
    /// # Errors
    /// [`Denied`] if there is none.
    pub async fn admit(
        &self,
        address: &Address,
        resolved: Vec<SocketAddr>,
    ) -> Result<Vec<SocketAddr>, Denied> {
        if self.named.contains(address) {
            return Ok(resolved);
        }
        let own = self.own_addresses().await;
        let mut admitted = Vec::new();
        let mut denied = None;
        for socket in resolved {
            match self.judge(socket, own) {
                None => admitted.push(socket),
                Some(denial) => {
                    let found = Denied {
                        denial,
                        ip: socket.ip(),
                    };
                    if denial == Denial::Own {
                        return Err(found);
                    }
                    denied = Some(found);
                }
            }
        }
        match denied {
            Some(denied) if admitted.is_empty() => Err(denied),
            _ => Ok(admitted),
        }
    }

    fn judge(&self, socket: SocketAddr, own: &[SocketAddr]) -> Option<Denial> {
        let ip = embedded(socket.ip());
        let is_own = own
            .iter()
            .any(|own| embedded(own.ip()) == ip && own.port() == socket.port());
        if is_own || self.own.listens(ip, socket.port()) {
            return Some(Denial::Own);
        }
        let is_reachable = is_public(ip) && !self.own.is_this_machine(ip);
        (!is_reachable && !self.allow_private).then_some(Denial::Private)
    }

    /// The IP addresses of our own relay's names. Ports of web servers are left out, because many
    /// relays may share one proxy, which tells them apart by name.
    async fn own_addresses(&self) -> &[SocketAddr] {
        let look_up = async || {
            let mut resolved = Vec::new();
            let names = self.own.names.iter();
            for own in names.filter(|own| !PROXY_PORTS.contains(&own.port())) {
                let lookup = lookup_host((own.host(), own.port()));
                if let Ok(Ok(found)) = timeout(OWN_NAME_PATIENCE, lookup).await {
                    resolved.extend(found);
                }
            }
            resolved
        };
        self.resolved.get_or_init(look_up).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn guard(allow_private: bool) -> Guard {
        let own = OwnRelay {
            port: Some(7777),
            names: vec![Address::parse("wss://relay.example.org").unwrap()],
            interfaces: vec![ip("192.168.1.5"), ip("1.2.3.4")],
            identity: None,
        };
        let named = [Address::parse("ws://127.0.0.1:7777").unwrap()];
        Guard::new(own, allow_private, named.into())
    }

    async fn admitted(guard: &Guard, url: &str, sockets: &[&str]) -> Result<usize, Denial> {
        let address = Address::parse(url).unwrap();
        let sockets = sockets.iter().map(|socket| socket.parse().unwrap());
        let admitted = guard.admit(&address, sockets.collect()).await;
        admitted
            .map(|sockets| sockets.len())
            .map_err(|denied| denied.denial)
    }

    #[tokio::test]
    async fn what_a_name_leads_to_decides() {
        use Denial::{Own, Private};
        for (sockets, usually, with_private) in [
            (&["8.8.8.8:443"][..], Ok(1), Ok(1)),
            // Our strfry, and the proxy before it, by whatever address of this machine.
            (&["127.0.0.1:7777"], Err(Own), Err(Own)),
            (&["127.9.9.9:443"], Err(Own), Err(Own)),
            (&["[::1]:80"], Err(Own), Err(Own)),
            (&["[::ffff:127.0.0.1]:7777"], Err(Own), Err(Own)),
            (&["192.168.1.5:443"], Err(Own), Err(Own)),
            (&["1.2.3.4:7777"], Err(Own), Err(Own)),
            (&["8.8.8.8:443", "1.2.3.4:443"], Err(Own), Err(Own)),
            // Other services of this machine and its network.
            (&["127.0.0.1:5001"], Err(Private), Ok(1)),
            (&["1.2.3.4:5001"], Err(Private), Ok(1)),
            (&["192.168.1.1:443"], Err(Private), Ok(1)),
            (&["[fd00::1]:443"], Err(Private), Ok(1)),
            // A name that leads here and there is only followed there.
            (&["10.0.0.1:443", "8.8.8.8:443"], Ok(1), Ok(2)),
        ] {
            for (allow, wanted) in [(false, usually), (true, with_private)] {
                let found = admitted(&guard(allow), "wss://other.example", sockets).await;
                assert_eq!(found, wanted, "{sockets:?} {allow}");
            }
        }
        let named = admitted(&guard(false), "ws://127.0.0.1:7777", &["127.0.0.1:7777"]).await;
        assert_eq!(named, Ok(1), "what the operator names may be anything");
    }

    #[test]
    fn our_own_name_is_ours_wherever_it_leads() {
        let judge = |url: &str| guard(true).judge_literally(&Address::parse(url).unwrap());
        for own in [
            "wss://RELAY.example.org/",
            "ws://relay.example.org",
            "wss://relay.example.org./x",
            "ws://192.168.1.5",
            "ws://192.168.1.5:7777",
        ] {
            assert_eq!(judge(own), Some(Denial::Own), "{own}");
        }
        for other in [
            "wss://relay.example.org:7778",
            "wss://relay2.example.org",
            "ws://192.168.1.6:7777",
        ] {
            assert_eq!(judge(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_where_our_own_does_is_ours() {
        let own = OwnRelay {
            names: vec![Address::parse("ws://8.8.4.4:8443").unwrap()],
            ..OwnRelay::default()
        };
        let guard = Guard::new(own, false, BTreeSet::new());
        for (socket, wanted) in [
            ("8.8.4.4:8443", Err(Denial::Own)),
            ("8.8.4.4:8444", Ok(1)),
            ("8.8.8.8:8443", Ok(1)),
        ] {
            let found = admitted(&guard, "ws://old.example", &[socket]).await;
            assert_eq!(found, wanted, "{socket}");
        }
    }
}
