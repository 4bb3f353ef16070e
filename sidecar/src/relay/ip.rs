//! The distinction between public and private IP addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IPv4 network.
struct Network {
    address: [u8; 4],
    /// The length of the prefix in bits, at least 1.
    prefix: u32,
}

const fn network(address: [u8; 4], prefix: u32) -> Network {
    Network { address, prefix }
}

/// The IPv4 networks without any machine on the internet (RFC 6890 and IANA's registry of special
/// addresses, as of 2026).
const NOT_PUBLIC: [Network; 15] = [
    network([0, 0, 0, 0], 8),       // this network
    network([10, 0, 0, 0], 8),      // private use
    network([100, 64, 0, 0], 10),   // behind a carrier's NAT
    network([127, 0, 0, 0], 8),     // loopback
    network([169, 254, 0, 0], 16),  // link-local
    network([172, 16, 0, 0], 12),   // private use
    network([192, 0, 0, 0], 24),    // protocol assignments
    network([192, 0, 2, 0], 24),    // documentation
    network([192, 88, 99, 0], 24),  // former 6to4 relays
    network([192, 168, 0, 0], 16),  // private use
    network([198, 18, 0, 0], 15),   // benchmarks
    network([198, 51, 100, 0], 24), // documentation
    network([203, 0, 113, 0], 24),  // documentation
    network([224, 0, 0, 0], 4),     // multicast
    network([240, 0, 0, 0], 4),     // reserved, broadcast
];

/// The IPv4 address that an IPv6 address embeds: mapped (`::ffff:a.b.c.d`), compatible
/// (`::a.b.c.d`), translated (NAT64, `64:ff9b::a.b.c.d`) or tunnelled (6to4, `2002:aabb:ccdd::`).
/// Any other address is returned unchanged.
pub(crate) fn embedded(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(outer) = ip else { return ip };
    let v4 = |high: u16, low: u16| {
        let bits = u32::from(high) << 16 | u32::from(low);
        IpAddr::V4(Ipv4Addr::from_bits(bits))
    };
    match outer.segments() {
        // The unspecified address and the loopback address embed nothing.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => ip,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => v4(high, low),
        _ => ip,
    }
}

/// Whether an address can belong to a machine on the internet.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    match embedded(ip) {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let is_within = |network: &Network| {
        let differs = ip.to_bits() ^ Ipv4Addr::from(network.address).to_bits();
        differs >> (32 - network.prefix) == 0
    };
    !NOT_PUBLIC.iter().any(is_within)
}

/// Public IPv6 addresses lie in `2000::/3`; unique local, link-local, multicast and loopback
/// addresses lie outside.
const fn is_public_v6(ip: Ipv6Addr) -> bool {
    match ip.segments() {
        // Protocol assignments such as Teredo, benchmarks and ORCHID.
        [0x2001, 0..=0x1ff, ..] => false,
        // Documentation.
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        for public in [
            "1.1.1.1",
            "9.255.255.255",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a01:e0a::1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "2002:101:101::1",
        ] {
            assert!(is_public(ip(public)), "{public}");
        }
        for private in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::2",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::192.168.1.1",
            "64:ff9b:1::1.1.1.1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:c0a8:101::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(ip(private)), "{private}");
        }
    }
}
